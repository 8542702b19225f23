# SPDX-License-Identifier: Apache-2.0
"""Measures cycles separately: of receiving and sending, of the stages of both,
and of Open vSwitch without a driver."""
import contextlib
import time

from loop import FAILURES, FILL_BURSTS, UNIT, Lost, patiently, run_grid
from machine import sets
from peers import Peers
from ports import Ports
from rigs import Layout, PortSwitch, StampSwitch, active, check_layouts
from switch import SWITCH_CPU, OvsSwitch

SIZES = (64, 512, 1514)
WAYS = ("rx", "tx")
# The stages in VHOSTPCI_STAGES of base/stamp.h.
PARTS = ("ring", "translate", "mbuf", "copy")


def _grid(prefixes):
    return {f"stage-{prefix}-{'packed' if packed else 'split'}-{size}-pmd":
            ("pmd", Layout(packed, True), size)
            for packed in (False, True) for size in SIZES
            for prefix in prefixes}


WHOLE = _grid(WAYS)
SPLIT_UP = _grid([f"{way}-{part}" for way in WAYS for part in PARTS])


def cases():
    return {**WHOLE, **SPLIT_UP,
            **{f"floor-ovs-{size}": ("alone", None, size) for size in SIZES}}


def _whole(told, _):
    return {way: told[way] for way in WAYS}


def _parts(told, stamps):
    """The cycles of each stage, and of the whole bursts."""
    return {**_whole(told, None),
            **{f"{way}-{part}": stamps[way][part]
               for way in WAYS for part in PARTS}}


def _loop(contenders, size, options, what):
    """Measure cycles per packet in a loop.  what(told, stamps) returns
    {name: cycles} of a round; this returns {name: what sets() returns}."""
    for who in contenders.values():
        with active(who):
            who.peers.fill(who.kind, size, FILL_BURSTS)

    def stamps(who):
        return getattr(who.switch, "stamps", dict)()

    def take(who):
        with active(who):
            who.peers.go()
            time.sleep(options.seconds)
            who.peers.halt()
        told = who.switch.last
        if told["drops"]:
            raise Lost(f"{told['drops']:.0f} packets were dropped")
        return told["packets"], told

    def one(who):
        before = stamps(who)
        who.peers.select(who.kind)
        told = patiently(lambda: take(who))
        if not told["packets"]:
            raise Lost("no packet circulates")
        after = stamps(who)
        return {name: cycles / told["packets"] for name, cycles in what(
            told, {way: after[way] - before[way] for way in after}).items()}

    found = sets(lambda i: {name: one(contenders[name]) for name in
                            list(contenders)[::-1 if i % 2 else 1]}, options)
    names = list(next(iter(found["near"].values() or
                           found["far"].values()))[0])
    return {name: {where: {kind: [cycles[name] for cycles in values]
                           for kind, values in kinds.items()}
                   for where, kinds in found.items()} for name in names}


def _run_loops(wanted, table, results, options, switch, what, add):
    """Measure all cases of one loop together, and call add(name, the loop's
    result, the case's part) for each case."""
    kept = {}

    def one_case(name, size, contenders):
        part = name.removeprefix("stage-").rsplit("-", 3)[0]
        key = (size, contenders["vhostpci"].peers)
        try:
            check_layouts(contenders)
            if key not in kept:
                kept.clear()
                kept[key] = _loop(contenders, size, options, what)
            add(name, kept[key], part)
        except FAILURES as why:
            results.fail(name, UNIT, why)

    run_grid([name for name in wanted if name in table], table, results,
             options, one_case, switch, Peers)


def _run_stages(wanted, results, options):
    def add_whole(name, found, way):
        results.add_sets(name, UNIT, found[way], "vhostpci", "vhostuser")

    def add_part(name, found, part):
        """Add a part, with the whole burst as the baseline."""
        whole = part.split("-")[0]
        results.add_sets(name, UNIT, {
            where: {"subject": found[part][where].get("vhostpci", []),
                    "baseline": found[whole][where].get("vhostpci", [])}
            for where in found[part]})

    _run_loops(wanted, WHOLE, results, options, PortSwitch, _whole, add_whole)
    _run_loops(wanted, SPLIT_UP, results, options, StampSwitch, _parts, add_part)


def _null(number, size):
    return f"net_null{number},size={size}"


def _ovs_alone(size, options, name, results):
    """Measure Open vSwitch between two ports whose driver only makes and frees
    packets.  The baseline is the driver's own cost, with no switch between the
    ports."""
    with contextlib.ExitStack() as stack:
        ports = Ports("null", SWITCH_CPU, options.huge)
        stack.callback(ports.close)
        pair = [ports.add(_null(i, size)) for i in (0, 1)]
        ovs = OvsSwitch("ours", (), options.huge, "ovs-alone")
        stack.callback(ovs.close)
        ovs.start()
        for i in (0, 1):
            ovs.add_port(f"null{i}", "dpdk",
                         options={"dpdk-devargs": _null(i, size)})
        for i in (0, 1):
            ovs.add_flow(f"in_port=null{i},actions=output:null{1 - i}")

        def take():
            ovs.clear()
            time.sleep(options.seconds)
            cycles, packets = ovs.busy()
            ovs.freeze()
            ports.send("forward", *pair)
            time.sleep(options.seconds / 2)
            ports.send("end")
            told = ports.answer("forward")
            ovs.thaw()
            return min(packets, told["packets"]), (cycles, packets, told)

        def one():
            cycles, packets, told = patiently(take)
            if not packets or not told["packets"]:
                raise Lost("no packet comes through")
            return {"subject": cycles / packets,
                    "baseline": (told["rx"] + told["tx"]) / told["packets"]}

        found = [one() for _ in range(options.rounds)]
        results.add(name, UNIT, [f["subject"] for f in found],
                    [f["baseline"] for f in found])


def run(wanted, results, options):
    table = cases()
    for name in wanted:
        if table[name][0] == "alone":
            options.say(name)
            try:
                _ovs_alone(table[name][2], options, name, results)
            except FAILURES as why:
                results.fail(name, UNIT, why)
    _run_stages(wanted, results, options)
