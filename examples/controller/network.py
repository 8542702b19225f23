# SPDX-License-Identifier: Apache-2.0
"""What a controller knows of switches, links and hosts, and the rules that
follow from it.  No OpenFlow in here: a place is (switch, port), times are
seconds.

Between two switches there may be any number of links and ways, so nothing is
ever flooded by a rule.  A port is first *quiet*: nobody knows what is behind
it.  A probe that arrives there makes it a *trunk*, one end of a link, until the
port goes down; if none comes while it is quiet, a host is behind it, and it is
an *edge*.  Hosts are learned at edges only.  A port behind which a switch
starts late is an edge until the first probe arrives; meanwhile the late switch
takes nothing from its own, quiet, end of that link, so nothing goes round.
Probes that get lost take the link away and leave two trunks, for the same
reason.
"""
from collections import deque

QUIET, LOST = 4, 10  # seconds, where a probe is sent every second
MAX_HOSTS = 256      # behind one port: more is an attack


class Network:
    def __init__(self, chains=(), quiet=QUIET, lost=LOST):
        self.chains = list(chains)  # (address, address, [switch, ...])
        self.ends = {address for chain in chains for address in chain[:2]}
        self.quiet, self.lost = quiet, lost
        self.ports = {}      # place: when its quiet time ends
        self.links = {}      # place that sends: (place that receives, when)
        self.trunks = set()  # places
        self.hosts = {}      # MAC: place
        self.addresses = {}  # IPv4 address at a chain's end: MAC

    # What happens.

    def port_up(self, place, now):
        self.ports.setdefault(place, now + self.quiet)

    def port_down(self, place):
        self._forget(lambda p: p == place)

    def switch_gone(self, switch):
        self._forget(lambda p: p[0] == switch)

    def heard(self, sender, receiver, now):
        """A probe of one port arrived at another.  True: that was news."""
        if sender not in self.ports or receiver not in self.ports:
            return False
        known = self.links.get(sender, (None,))[0] == receiver
        self.links[sender] = (receiver, now)
        self.trunks |= {sender, receiver}
        if not known:
            # Hosts that were learned behind a switch that started late.
            self.hosts = {mac: place for mac, place in self.hosts.items()
                          if place not in (sender, receiver)}
        return not known

    def expire(self, now):
        """Drop links over which no probe came for long; returns them."""
        old = [sender for sender, (_, when) in self.links.items()
               if now - when > self.lost]
        for sender in old:
            del self.links[sender]
        return old

    def learn(self, mac, place, now, address=None):
        """A host sent something.  False: not learned, so not to be heard."""
        group = int(mac[:2], 16) & 1
        if group or not self.is_edge(place, now):
            return False
        if self.hosts.get(mac) != place and \
                list(self.hosts.values()).count(place) >= MAX_HOSTS:
            return False
        self.hosts[mac] = place
        if address in self.ends:
            self.addresses[address] = mac
        return True

    def _forget(self, gone):
        self.ports = {p: t for p, t in self.ports.items() if not gone(p)}
        self.trunks = {p for p in self.trunks if not gone(p)}
        self.hosts = {m: p for m, p in self.hosts.items() if not gone(p)}
        self.links = {p: link for p, link in self.links.items()
                      if not gone(p) and not gone(link[0])}

    # What follows.

    def is_edge(self, place, now):
        return place not in self.trunks and self.ports.get(place, now) < now

    def edges(self, now):
        return sorted(p for p in self.ports if self.is_edge(p, now))

    def towards(self, target):
        """{switch: port} on a shortest way to a switch.  Each step is one
        nearer, so there is no loop."""
        ways, edge = {}, deque([target])
        into = {}
        for sender, (receiver, _) in sorted(self.links.items()):
            into.setdefault(receiver[0], []).append(sender)
        while edge:
            for switch, port in into.get(edge.popleft(), ()):
                if switch != target and switch not in ways:
                    ways[switch] = port
                    edge.append(switch)
        return ways

    def walk(self, source, target):
        """Links from one switch to another, as places that send; or None."""
        ways, steps = self.towards(target), []
        while source != target:
            if source not in ways:
                return None
            steps.append((source, ways[source]))
            source = self.links[steps[-1]][0][0]
        return steps

    def rules(self):
        """{switch: {match: port}}; matches are
        ("source", port, MAC)  a host where it was learned (port is None)
        ("link", port)         what comes from a switch (port is None)
        ("host", MAC)          to a host
        ("chain", port, from, to)  a chain's, by IPv4 addresses"""
        rules = {switch: {} for switch, _ in self.ports}
        for switch, port in self.trunks:
            rules[switch]["link", port] = None
        ways = {switch: self.towards(switch) for switch in rules}
        for mac, (home, port) in self.hosts.items():
            rules[home]["source", port, mac] = None
            rules[home]["host", mac] = port
            for switch, way in ways[home].items():
                rules[switch]["host", mac] = way
        for one, other, through in self.chains:
            for ends in ((one, other, through), (other, one, through[::-1])):
                for switch, match, port in self._chain(*ends):
                    rules[switch][match] = port
        return rules

    def _chain(self, source, target, through):
        """Rules of one way through those of the switches that are there.  A
        way that enters a switch twice by one port, and would leave it by two,
        cannot be said in rules: it has none."""
        ends = [self.hosts.get(self.addresses.get(a))
                for a in (source, target)]
        if None in ends:
            return []
        at, steps = ends[0][0], []
        for switch in [*through, ends[1][0]]:
            more = self.walk(at, switch)
            if more is not None:
                steps, at = steps + more, switch
        if at != ends[1][0]:
            return []
        rules, entry = {}, ends[0]
        for out in [*steps, ends[1]]:
            key = entry[0], ("chain", entry[1], source, target)
            if rules.setdefault(key, out[1]) != out[1]:
                return []
            if out in self.links:
                entry = self.links[out][0]
        return [(*key, port) for key, port in rules.items()]
