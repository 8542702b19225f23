# SPDX-License-Identifier: Apache-2.0
"""OpenFlow rules that run inside the driver: loops and latency through an Open
vSwitch with other_config:hw-offload=true, against one without it.

Each round checks that the driver handled the packets below Open vSwitch.  If it
did not, the case fails.
"""
import contextlib
import re
import time
from collections import namedtuple

import loop
import rigs
from loop import UNIT
from machine import sets
from peers import Peers
from rigs import FlowPeers, Layout, PortPeers, active, check_layouts
from switch import OvsSwitch
from native_ovs import wait_until  # switch.py sets the path

FLOWS = FlowPeers.FLOWS
# The share of received packets that the driver must have handled.
SHARE = 0.95
# The packets of one round, as in trips.py.
TRIPS = 10000

# rules: a name for rules(); baseline: the kind of port in the switch without
# offload; peers: the class that drives the front-ends.
Case = namedtuple("Case", "layout size rules baseline peers")


class NotSteered(Exception):
    """Open vSwitch handled packets that the driver should have handled."""


FAILURES = loop.FAILURES + (NotSteered,)


def cases():
    split, packed = Layout(False, True), Layout(True, True)
    found = {f"loop-split-{size}-steered":
             Case(split, size, "one", "vhostuser", Peers)
             for size in (64, 512, 1514)}
    return {
        **found,
        "loop-packed-64-steered": Case(packed, 64, "one", "vhostuser", Peers),
        f"loop-split-64-steered-{FLOWS}":
            Case(split, 64, "flows", "vhostuser", FlowPeers),
        f"loop-split-64-marked-{FLOWS}":
            Case(split, 64, "marked", "vhostpci", FlowPeers),
        "latency-p50-64-steered":
            Case(split, 64, "one", "vhostuser", PortPeers)}


def rules(kind, which):
    """OpenFlow rules between the two ports of a kind: one each way, or one for
    each flow (bench_ports.c numbers the flows).  "marked" uses an action that
    Open vSwitch cannot offload completely, and that changes no packet."""
    for side in (0, 1):
        there, back = f"{kind}{side}", f"{kind}{1 - side}"
        action = (f"output(port={back},max_len=9000)" if which == "marked"
                  else f"output:{back}")
        if which == "one":
            yield f"in_port={there},actions={action}"
            continue
        half = FLOWS // 2
        for number in range(side * half, (side + 1) * half):
            yield (f"in_port={there},udp,nw_src=198.18.{number >> 8}."
                   f"{number & 255},tp_src={9 + number},actions={action}")


class RuledSwitch(OvsSwitch):
    """A switch with one kind of port, whose rules can be replaced."""

    def __init__(self, flavour, kind, huge, name, steers):
        self.steers = steers
        # Flows must not expire while the switch is frozen between rounds.
        self.other_config = {**self.other_config, "max-idle": "3600000",
                             "hw-offload": str(steers).lower()}
        super().__init__(flavour, (kind,), huge, name)

    def add_rules(self, kind):
        pass  # set_rules() adds the rules of each case

    def set_rules(self, which):
        self.wanted = "partial" if which == "marked" else "yes"
        lines = [rule for kind in self.kinds for rule in rules(kind, which)]
        self.expected = len(lines)
        path = self.dir / "rules"
        path.write_text("\n".join(lines) + "\n")
        self.ofctl("del-flows", self.bridge)
        # Flows of an earlier case must not count as offloaded; and a flow that
        # stays would prevent Open vSwitch's simple match for its port.
        wait_until(self._forgot, 30, "all flows are forgotten")
        self.ofctl("add-flows", self.bridge, path, seconds=120)

    def _forgot(self):
        self.appctl("revalidator/purge")
        return not self.appctl("dpctl/dump-flows", "type=all").strip()

    def offloaded(self):
        """The number of flows that are offloaded as the rules require: whole,
        or in part."""
        text = self.appctl("dpctl/dump-flows", "-m", "type=all")
        return len(re.findall(rf"\boffloaded:{self.wanted}\b", text))

    def below(self):
        """The number of packets since clear() for which Open vSwitch needed no
        lookup."""
        text = self.appctl("dpif-netdev/pmd-stats-show")
        text = text[text.index("pmd thread"):]
        return sum(map(int, re.findall(r"phwol hits: (\d+)", text)))

    def read(self):
        reading = super().read()
        if self.steers and self.wanted == "yes":
            self.check_below(reading.packets)
        return reading

    def check_below(self, packets):
        below = self.below()
        if below < SHARE * packets:
            raise NotSteered(
                f"{'little' if below else 'nothing'} was steered: {below} of "
                f"{packets} packets were handled below Open vSwitch")


def _is_below(switch, packets):
    """True if the driver now handles the packets that packets() sends."""
    switch.clear()
    packets()
    _, received = switch.busy()
    return received > 0 and switch.below() >= SHARE * received


def _settle(who, packets, options):
    """Call packets(), which sends some packets, until the driver has taken all
    rules."""
    deadline = time.monotonic() + options.settle
    switch = who.switch
    with active(who):
        while True:
            packets()
            if not switch.steers:
                return
            count = switch.offloaded()
            if count >= switch.expected and (switch.wanted == "partial" or
                                             _is_below(switch, packets)):
                return
            if time.monotonic() > deadline:
                raise NotSteered(
                    f"{'too little' if count else 'nothing'} was steered: the "
                    f"driver has {count} of {switch.expected} flows after "
                    f"{options.settle:g} s")


def _settle_loop(who, options):
    def packets():
        who.peers.select(who.kind)
        who.peers.go()
        time.sleep(loop.WARM_S)
        who.peers.halt()
    _settle(who, packets, options)


def prepare_loop(contenders, size, options):
    for who in contenders.values():
        with active(who):
            who.peers.fill(who.kind, size, loop.FILL_BURSTS)
        _settle_loop(who, options)


def _measure_loop(contenders, size, options):
    prepare_loop(contenders, size, options)
    return loop.take_turns(contenders, options)


def _one_latency(who, size):
    with active(who):
        who.switch.clear()
        told = who.peers.latency(who.kind, size, TRIPS)
        who.switch.read()
    if told["lost"]:
        raise loop.Lost(f"{told['lost']:.0f} packets were lost")
    return told["p50"]


def _measure_latency(contenders, size, options):
    for who in contenders.values():
        _settle(who, lambda who=who: who.peers.warm(who.kind, size), options)
    return sets(lambda i: {
        name: _one_latency(contenders[name], size)
        for name in list(contenders)[::-1 if i % 2 else 1]}, options)


def _switches(baseline, options, stack):
    """{name: switch}.  At most two switches exist at a time, as everywhere in
    the bench."""
    flavour = ("stock" if options.stock and baseline == "vhostuser"
               else "ours")
    wanted = {"steered": ("ours", "vhostpci", True),
              "plain": (flavour, baseline, False)}
    made = {}
    for name, (flavour, kind, steers) in wanted.items():
        switch = RuledSwitch(flavour, kind, options.huge, f"ovs-{name}",
                             steers)
        stack.callback(switch.close)
        made[name] = switch.start()
        switch.freeze()
    return made


def _one_case(name, case, contenders, results, options):
    latency = name.startswith("latency")
    unit = "cycles" if latency else UNIT
    measure = _measure_latency if latency else _measure_loop
    try:
        for who in contenders.values():
            who.switch.thaw()
            who.switch.set_rules(case.rules)
            who.switch.freeze()
        paths = check_layouts(contenders)
        results.add_sets(name, unit, measure(contenders, case.size, options),
                         "steered", "plain", front_end=paths)
    except FAILURES as why:
        results.fail(name, unit, why)


def run(wanted, results, options):
    table = cases()
    rows = {name: table[name] for name in wanted}
    for baseline in dict.fromkeys(row.baseline for row in rows.values()):
        with contextlib.ExitStack() as stack:
            made = _switches(baseline, options, stack)
            groups = dict.fromkeys((row.layout, row.peers)
                                   for row in rows.values()
                                   if row.baseline == baseline)
            for layout, peers in groups:
                names = [name for name, row in rows.items() if (
                    row.layout, row.peers, row.baseline) == (
                        layout, peers, baseline)]
                _one_group(names, rows, made, results, options)


def _one_group(names, rows, made, results, options):
    first = rows[names[0]]
    try:
        with rigs.contenders(made, first.layout, options, first.peers,
                             lambda owner, kind: owner) as found:
            for name in names:
                options.say(name)
                _one_case(name, rows[name], found, results, options)
    except FAILURES as why:
        for name in names:
            results.fail(name, UNIT, why)
