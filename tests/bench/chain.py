# SPDX-License-Identifier: Apache-2.0
"""A chain of N functions: N small switches with one stage each, against one
central switch with N stages.

A stage takes packets from the one function and gives them to the next; the
last function's go to the first one again, so that what is put in circulates,
both ways.  Each switch has one core.  Of ours, the stages are N processes,
which take turns on that core; the functions of a stage that runs send back
what they get.  The central switch runs all of its stages at once, in one
thread: a packet passes that thread N times.

Rows of N functions, all from one set of rounds that take turns:
  steered  the slowest stage of ours against the central switch
  stages   the slowest stage of ours against the first one
  central  the central switch against one with nothing but two ports
  idle     likewise, while only two ports of the central switch carry packets
"""
import contextlib
import re
import subprocess
import time
from collections import namedtuple
from statistics import median

import loop
import machine
import steered
from loop import UNIT
from peers import BURST
from rigs import Contender, FlowPeers, Layout, active, check_layouts
from steered import RuledSwitch

LENGTHS = range(1, 9)
LAYOUT, SIZE = Layout(False, True), 64
# A central switch as large as elsewhere, one of two ports, the stages, and
# the functions of each.
CENTRAL_MIB, STAGE_MIB = 832, 192
HUGE_MIB = CENTRAL_MIB + (1 + len(LENGTHS)) * STAGE_MIB + 3 * 256 + 72
# Put in at each port, in bursts.  Where eight stages have as many, all packets
# that go one way fit into one ring, however they bunch.  Of the flows, which
# have one packet each, all are in the chain once, however long it is: they fit,
# too.
FILL_BURSTS = 3
# Packets for each rule before figures count: see _warm().
PASSES = 500
# Instead of one pair of ports: all of them, with functions between them.
CHAIN = "chain"

# rules: as steered.rules() has them, for each stage.
Case = namedtuple("Case", "length what rules")

FAILURES = steered.FAILURES + (subprocess.TimeoutExpired,)


def cases():
    return {f"chain-{length}-{what}{suffix}": Case(length, what, rules)
            for rules, suffix in (("one", ""), ("flows", f"-{steered.FLOWS}"))
            for length in LENGTHS
            for what in ("steered", "stages", "central", "idle")
            if length > 1 or what in ("steered", "central")}


def chained(pairs):
    """Ports in the order in which functions join them: [a0, a1], [b0, b1] are
    two stages, and the functions between them (a1, b0) and (b1, a0)."""
    flat = [port for pair in pairs for port in pair]
    return flat[1:] + flat[:1]


class Small(RuledSwitch):
    """A switch of two ports: a stage of ours, or a stock one alone."""

    def __init__(self, flavour, kind, huge, name, steers):
        super().__init__(flavour, kind, huge, name, steers)
        # Its own buffers for each port are less than the pool for all.
        self.other_config = {**self.other_config, "per-port-memory": "true"}
        self.memory = f"-m {STAGE_MIB} --single-file-segments" if huge else \
            f"--no-huge --legacy-mem -m {STAGE_MIB}"


class Central(RuledSwitch):
    """All stages in one switch, whose number shrinks."""

    def __init__(self, flavour, length, huge, name):
        kinds = tuple(kind_of("vhostuser", n) for n in range(length))
        super().__init__(flavour, None, huge, name, steers=False)
        self.kinds = kinds
        # One pool for all ports, as Open vSwitch has it by default.
        self.other_config = {**self.other_config, "per-port-memory": "false"}
        if not huge:
            # Of ordinary memory, what is not used is not taken.
            self.memory = f"--no-huge --legacy-mem -m {2 * CENTRAL_MIB}"

    def shrink(self, length):
        for kind in self.kinds[length:]:
            for side in (0, 1):
                self.vsctl("del-port", self.bridge, f"{kind}{side}")
        self.kinds = self.kinds[:length]

    def _drops(self, kind):
        """Of all ports: those that carry nothing drop nothing."""
        text = self.ofctl("dump-ports", self.bridge)
        return sum(map(int, re.findall(r"tx pkts=\d+, bytes=\d+, drop=(\d+)",
                                       text)))

    def read(self):
        self.found = lookups(self.appctl("dpif-netdev/pmd-stats-show"))
        return super().read()


def lookups(text):
    """How the PMD thread found flows: of all packets, the share of each kind of
    lookup, and how many packets it sent at a time ("batch").  What Open vSwitch
    calls megaflow hits are hits of dpcls."""
    text = text[text.index("pmd thread"):]
    counts = {name: sum(map(int, re.findall(rf"^  {name}: (\d+)", text, re.M)))
              for name in ("packets received", "simple match hits", "emc hits",
                           "megaflow hits")}
    packets = counts.pop("packets received")
    if not packets:
        return {}
    batch = re.search(r"avg. packets per output batch: ([\d.]+)", text)
    return {name.split()[0]: round(count / packets, 3)
            for name, count in counts.items()} | {"batch": float(batch[1])}


def kind_of(driver, number):
    """A pair's name.  Names of ports are this with a digit behind."""
    return f"{driver}{number}p"


class Together:
    """The stages seen as one: whose ports the functions are to have."""

    def __init__(self, stages):
        self.by_kind = {stage.kinds[0]: stage for stage in stages}
        self.kinds = tuple(self.by_kind)

    def socket(self, kind, side):
        return self.by_kind[kind].socket(kind, side)


class Functions(FlowPeers):
    """As FlowPeers; as the kind CHAIN, functions join the pairs."""

    def join(self, length, rules):
        """Of how many pairs CHAIN consists, and what fill() is to put in."""
        self.pairs, self.rules = list(self.numbers)[:length], rules
        self.pairs = [kind for kind in self.pairs if kind != CHAIN]
        self.numbers[CHAIN] = chained([self.numbers[k] for k in self.pairs])

    def fill(self, kind, size, bursts):
        pairs = self.pairs if kind == CHAIN else [kind]
        for number, pair in enumerate(pairs):
            count = BURST * FILL_BURSTS
            if self.rules == "flows":
                # The others are emptied.
                count = 0 if number else self.FLOWS // 2
            sent = self.ports.do("fill", *self.numbers[pair], size, count)
            if sent["sent"] != 2 * count:
                raise RuntimeError(f"only {sent['sent']:.0f} of {2 * count} "
                                   "packets were put in")


class Rig:
    """The switches and all functions of the longest chain; a shorter one does
    without the last ones."""

    def __init__(self, length, options, stack):
        self.huge, self.stack = options.huge, stack
        flavour = "stock" if options.stock else "ours"
        self.stages = [self._start(Small(
            "ours", kind_of("vhostpci", number), self.huge,
            f"ovs-stage{number + 1}", steers=True)) for number in range(length)]
        self.central = self._start(Central(flavour, length, self.huge,
                                           "ovs-central"))
        self.alone = self._start(Small(flavour, "vhostuser", self.huge,
                                       "ovs-alone", steers=False))
        self._meet()

    def _start(self, switch):
        self.stack.callback(switch.close)
        switch.start()
        switch.freeze()
        return switch

    def _meet(self):
        """Give each switch its functions."""
        switches = [*self.stages, self.central, self.alone]
        for switch in switches:
            switch.thaw()
        self.peers = {}
        for name, owner in (("stages", Together(self.stages)),
                            ("central", self.central), ("alone", self.alone)):
            self.peers[name] = Functions(owner, LAYOUT, self.huge,
                                         f"peers-{name}")
            self.stack.callback(self.peers[name].close)
        for switch in switches:
            # Whoever loses its peer has to see it, before it is closed itself.
            self.stack.callback(switch.thaw)
            switch.freeze()

    def contenders(self, length, rules):
        """{name: Contender}: "stage1" and so on, "central" and "alone"."""
        self.central.thaw()
        self.central.shrink(length)
        self.central.freeze()
        stages = self.stages[:length]
        for switch in (*stages, self.central, self.alone):
            switch.thaw()
            switch.set_rules(rules)
            switch.freeze()
        for peers in self.peers.values():
            peers.join(length, rules)
        found = {f"stage{number}": Contender(stage, self.peers["stages"],
                                             stage.kinds[0])
                 for number, stage in enumerate(stages, 1)}
        found["central"] = Contender(self.central, self.peers["central"], CHAIN)
        found["alone"] = Contender(self.alone, self.peers["alone"], "vhostuser")
        return found


def add_slowest(found):
    """Of each regime's rounds: the stage with the highest median, which bounds
    the chain, as "slowest".  Returns the medians of all stages."""
    medians = []
    for where in ("far", "near"):
        stages = [rounds for name, rounds in found[where].items()
                  if name.startswith("stage") and rounds]
        if stages:
            found[where]["slowest"] = max(stages, key=median)
            medians = [round(median(rounds), 1) for rounds in stages]
    return medians


# what: the subject and the baseline of the row.
ROWS = {"steered": ("slowest", "central"), "stages": ("slowest", "stage1"),
        "central": ("central", "alone"), "idle": ("idle", "alone")}


def _warm(who, packets, options):
    """Open vSwitch puts a flow into its exact-match cache with one packet of a
    hundred: let as many packets pass, so that the cache is as full as it gets."""
    deadline = time.monotonic() + options.settle
    who.peers.select(who.kind)
    with active(who):
        who.switch.clear()
        who.peers.go()
        while who.switch.busy()[1] < packets and time.monotonic() < deadline:
            time.sleep(loop.WARM_S)
        who.peers.halt()


def _loop(contenders, rules, options):
    steered.prepare_loop(contenders, SIZE, options)
    for who in contenders.values():
        if rules == "flows" and not who.switch.steers:
            _warm(who, PASSES * who.switch.expected, options)
    return loop.take_turns(contenders, options)


def _measure(contenders, rules, options):
    """Two sets of rounds: of the chain, and with two of its ports in use.
    The latter follow each other, so that packets of the one do not take part
    in the other."""
    found = _loop(contenders, rules, options)
    central = contenders["central"]
    looked = central.switch.found
    if len(central.switch.kinds) == 1:
        return found, {"near": {}, "far": {}}, looked
    pair = {"idle": central._replace(kind=central.switch.kinds[0]),
            "alone": contenders["alone"]}
    return found, _loop(pair, rules, options), looked


def _one_chain(rows, contenders, results, options):
    check_layouts(contenders)
    rules = next(iter(rows.values())).rules
    found, idle, looked = _measure(contenders, rules, options)
    medians, hertz = add_slowest(found), machine.hertz()
    for name, (_, what, _) in rows.items():
        notes = {"central": {"lookups": looked},
                 "stages": {"stages": medians}}.get(what, {})
        results.add_sets(name, UNIT, idle if what == "idle" else found,
                         *ROWS[what], hertz=hertz, **notes)


def _fail(names, results, why):
    for name in names:
        results.fail(name, UNIT, why)


def run(wanted, results, options):
    table, groups = cases(), {}
    for name in wanted:
        case = table[name]
        groups.setdefault((case.length, case.rules), {})[name] = case
    with contextlib.ExitStack() as stack:
        try:
            rig = Rig(max(length for length, _ in groups), options, stack)
        except FAILURES as why:
            _fail(wanted, results, why)
            return
        # The longest first: a switch shrinks at once, but a new vhost-user port
        # takes a second until it has its peer.
        for length, rules in sorted(groups, reverse=True):
            rows = groups[length, rules]
            options.say(next(iter(rows)))
            try:
                _one_chain(rows, rig.contenders(length, rules), results,
                           options)
            except FAILURES as why:
                _fail(rows, results, why)
