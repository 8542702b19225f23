# SPDX-License-Identifier: Apache-2.0
"""What a controller knows of switches, links and hosts, and the rules that
follow.  This file contains no OpenFlow: a place is (switch, port), times are
seconds.

Two switches may have any number of links and ways between them, so no rule
ever floods.  A port is first *quiet*: nobody knows what is behind the port.  A
probe that arrives at the port makes the port a *trunk*, one end of a link,
until the port goes down.  If no probe arrives while the port is quiet, a host
is behind the port, and the port is an *edge*.  The controller learns hosts at
edges only.  If a switch behind a port starts late, the port is an edge until
the first probe arrives; meanwhile the late switch takes no packets from its
own, quiet, end of that link, so no packet goes in a loop.  Lost probes remove
the link, but both its ends stay trunks, so that no packet goes in a loop.
"""
from collections import deque

QUIET, LOST = 4, 10  # seconds, with a probe every second
MAX_HOSTS = 256      # behind one port: more is an attack


class Network:
    def __init__(self, chains=(), quiet=QUIET, lost=LOST):
        self.chains = list(chains)  # (address, address, [switch, ...])
        self.ends = {address for chain in chains for address in chain[:2]}
        self.quiet, self.lost = quiet, lost
        self.ports = {}      # place: the time when it stops being quiet
        self.links = {}      # sending place: (receiving place, last probe)
        self.trunks = set()  # places
        self.hosts = {}      # MAC: place
        self.addresses = {}  # IPv4 address at a chain's end: MAC

    # Events.

    def port_up(self, place, now):
        self.ports.setdefault(place, now + self.quiet)

    def port_down(self, place):
        self._forget(lambda p: p == place)

    def switch_gone(self, switch):
        self._forget(lambda p: p[0] == switch)

    def heard(self, sender, receiver, now):
        """A probe of one port arrived at another.  True: the link is new."""
        if sender not in self.ports or receiver not in self.ports:
            return False
        known = self.links.get(sender, (None,))[0] == receiver
        self.links[sender] = (receiver, now)
        self.trunks |= {sender, receiver}
        if not known:
            # Forget hosts behind a switch that started late: the controller
            # learned them while these ports were edges.
            self.hosts = {mac: place for mac, place in self.hosts.items()
                          if place not in (sender, receiver)}
        return not known

    def expire(self, now):
        """Drop links without a recent probe; returns the dropped links."""
        old = [sender for sender, (_, when) in self.links.items()
               if now - when > self.lost]
        for sender in old:
            del self.links[sender]
        return old

    def learn(self, mac, place, now, address=None):
        """A host sent a packet.  False: the controller did not learn the
        host, so the caller drops the packet."""
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

    # Decisions.

    def is_edge(self, place, now):
        return place not in self.trunks and self.ports.get(place, now) < now

    def edges(self, now):
        return sorted(p for p in self.ports if self.is_edge(p, now))

    def towards(self, target):
        """{switch: port} on a shortest way to a switch.  Each step leads one
        switch nearer, so the way has no loop."""
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
        """Sending places of the links from one switch to another, or None."""
        ways, steps = self.towards(target), []
        while source != target:
            if source not in ways:
                return None
            steps.append((source, ways[source]))
            source = self.links[steps[-1]][0][0]
        return steps

    def rules(self):
        """{switch: {match: port}}; matches are
        ("source", port, MAC)  packets from a host at its port (port is None)
        ("link", port)         packets from another switch (port is None)
        ("host", MAC)          packets to a host
        ("chain", port, from, to)  packets of a chain, by IPv4 addresses"""
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
        """Rules of one way through the switches of a chain that are present.
        If a way enters a switch twice by one port, and leaves the switch by
        two ports, no rules can express the way: the result is empty."""
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
