# SPDX-License-Identifier: Apache-2.0
"""A chain of N functions: N small switches with one stage each, against one
central switch with N stages.

A stage passes packets from one function to the next.  The last function passes
packets to the first one, so that packets circulate, both ways.  All switches
use the same core.  The small switches are N processes, which run in turns;
while one runs, its two functions send packets straight back.  The central
switch runs all N stages in one thread: a packet passes that thread N times.

Rows for N functions, all from one set of rounds, in which the switches take
turns:
  steered  the slowest small switch against the central switch
  stages   the slowest small switch against the first one
  central  the central switch against a switch with only two ports
  idle     the same, while only two ports of the central switch carry packets
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
# The memory of the central switch, of the switch with two ports, of the stages,
# and of the functions of these three.
CENTRAL_MIB, STAGE_MIB = 832, 192
HUGE_MIB = CENTRAL_MIB + (1 + len(LENGTHS)) * STAGE_MIB + 3 * 256 + 72
# Bursts to put in at each port.  With eight stages, all packets of one
# direction together still fit into one ring.  With flows, one packet of each
# flow is put in, for any length of the chain: these fit into one ring, too.
FILL_BURSTS = 3
# Packets for each rule before the measurement begins: see _warm().
PASSES = 500
# The kind that stands for all pairs of ports, joined by functions.
CHAIN = "chain"

# rules: those of each stage, a name for steered.rules().
Case = namedtuple("Case", "length what rules")

FAILURES = steered.FAILURES + (subprocess.TimeoutExpired,)


def cases():
    return {f"chain-{length}-{what}{suffix}": Case(length, what, rules)
            for rules, suffix in (("one", ""), ("flows", f"-{steered.FLOWS}"))
            for length in LENGTHS
            for what in ("steered", "stages", "central", "idle")
            if length > 1 or what in ("steered", "central")}


def chained(pairs):
    """Ports in the order in which functions join them.  For the two stages
    [a0, a1] and [b0, b1], the functions are at (a1, b0) and (b1, a0)."""
    flat = [port for pair in pairs for port in pair]
    return flat[1:] + flat[:1]


class Small(RuledSwitch):
    """A switch with two ports: a stage, or the vhost-user switch "alone"."""

    def __init__(self, flavour, kind, huge, name, steers):
        super().__init__(flavour, kind, huge, name, steers)
        # For two ports, buffers of their own need less memory than a common
        # pool.
        self.other_config = {**self.other_config, "per-port-memory": "true"}
        self.memory = f"-m {STAGE_MIB} --single-file-segments" if huge else \
            f"--no-huge --legacy-mem -m {STAGE_MIB}"


class Central(RuledSwitch):
    """One switch with all stages.  shrink() removes the last stages."""

    def __init__(self, flavour, length, huge, name):
        kinds = tuple(kind_of("vhostuser", n) for n in range(length))
        super().__init__(flavour, None, huge, name, steers=False)
        self.kinds = kinds
        # One pool for all ports, Open vSwitch's default.
        self.other_config = {**self.other_config, "per-port-memory": "false"}
        if not huge:
            # Ordinary memory is taken only when it is used, so allow more.
            self.memory = f"--no-huge --legacy-mem -m {2 * CENTRAL_MIB}"

    def shrink(self, length):
        for kind in self.kinds[length:]:
            for side in (0, 1):
                self.vsctl("del-port", self.bridge, f"{kind}{side}")
        self.kinds = self.kinds[:length]

    def _drops(self, kind):
        """The drops of all ports: a port without traffic drops nothing."""
        text = self.ofctl("dump-ports", self.bridge)
        return sum(map(int, re.findall(r"tx pkts=\d+, bytes=\d+, drop=(\d+)",
                                       text)))

    def read(self):
        self.found = lookups(self.appctl("dpif-netdev/pmd-stats-show"))
        return super().read()


def lookups(text):
    """How the PMD thread found flows: the share of packets for each kind of
    lookup; and the mean number of packets that it sent at a time ("batch").
    Open vSwitch counts hits of dpcls as "megaflow hits"."""
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
    """The name of a pair of ports.  A port's name has one more digit."""
    return f"{driver}{number}p"


class Together:
    """All stages in the form of one switch, for the sockets of functions."""

    def __init__(self, stages):
        self.by_kind = {stage.kinds[0]: stage for stage in stages}
        self.kinds = tuple(self.by_kind)

    def socket(self, kind, side):
        return self.by_kind[kind].socket(kind, side)


class Functions(FlowPeers):
    """FlowPeers, with CHAIN as an additional kind: functions join the pairs."""

    def join(self, length, rules):
        """Set the number of CHAIN's pairs, and the rules, by which fill()
        chooses packets."""
        self.pairs, self.rules = list(self.numbers)[:length], rules
        self.pairs = [kind for kind in self.pairs if kind != CHAIN]
        self.numbers[CHAIN] = chained([self.numbers[k] for k in self.pairs])

    def fill(self, kind, size, bursts):
        pairs = self.pairs if kind == CHAIN else [kind]
        for number, pair in enumerate(pairs):
            count = BURST * FILL_BURSTS
            if self.rules == "flows":
                # All flows go into the first pair; the others are emptied.
                count = 0 if number else self.FLOWS // 2
            sent = self.ports.do("fill", *self.numbers[pair], size, count)
            if sent["sent"] != 2 * count:
                raise RuntimeError(f"only {sent['sent']:.0f} of {2 * count} "
                                   "packets were put in")


class Rig:
    """The switches, and the functions of the longest chain.  A shorter chain
    leaves out the last ones."""

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
            # At the end, a switch has to run to see that its peers have gone.
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
    """Add to the rounds of each regime, as "slowest", those of the stage with
    the highest median, which limits the chain.  Returns the medians of all
    stages."""
    medians = []
    for where in ("far", "near"):
        stages = [rounds for name, rounds in found[where].items()
                  if name.startswith("stage") and rounds]
        if stages:
            found[where]["slowest"] = max(stages, key=median)
            medians = [round(median(rounds), 1) for rounds in stages]
    return medians


# what: (the subject of the row, the baseline of the row).
ROWS = {"steered": ("slowest", "central"), "stages": ("slowest", "stage1"),
        "central": ("central", "alone"), "idle": ("idle", "alone")}


def _warm(who, packets, options):
    """Let `packets` packets pass, to fill Open vSwitch's exact-match cache:
    only one of a hundred packets adds its flow."""
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
    """Measure two sets of rounds, one after the other: first with the chain,
    then with only two ports of the central switch in use.  If the rounds took
    turns, packets of the one would take part in the other."""
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
        # Begin with the longest chain: to remove a port takes no time, but a
        # new vhost-user port takes a second to connect.
        for length, rules in sorted(groups, reverse=True):
            rows = groups[length, rules]
            options.say(next(iter(rows)))
            try:
                _one_chain(rows, rig.contenders(length, rules), results,
                           options)
            except FAILURES as why:
                _fail(rows, results, why)
