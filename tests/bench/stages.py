# SPDX-License-Identifier: Apache-2.0
"""Where the cycles go: receiving and sending apart, and Open vSwitch alone."""
import contextlib
import time

from loop import FAILURES, FILL_BURSTS, UNIT, Lost, run_grid
from machine import sets
from peers import Peers
from ports import Ports
from rigs import Layout, PortSwitch, active
from switch import SWITCH_CPU, OvsSwitch

SIZES = (64, 512, 1514)


def cases():
    return {**{f"stage-{way}-{'packed' if packed else 'split'}-{size}-pmd":
               ("pmd", Layout(packed, True), size)
               for packed in (False, True) for size in SIZES
               for way in ("rx", "tx")},
            **{f"floor-ovs-{size}": ("alone", None, size) for size in SIZES}}


def _loop(contenders, size, options):
    """{"rx": what sets() returns, "tx": ...}"""
    for who in contenders.values():
        with active(who):
            who.peers.fill(who.kind, size, FILL_BURSTS)

    def one(who):
        who.peers.select(who.kind)
        with active(who):
            who.peers.go()
            time.sleep(options.seconds)
            who.peers.halt()
        told = who.switch.last
        if told["drops"]:
            raise Lost(f"{told['drops']:.0f} packets were dropped")
        if not told["packets"]:
            raise Lost("no packet circulates")
        return {way: told[way] / told["packets"] for way in ("rx", "tx")}

    found = sets(lambda i: {name: one(contenders[name]) for name in
                            list(contenders)[::-1 if i % 2 else 1]}, options)
    return {way: {where: {name: [told[way] for told in values]
                          for name, values in kinds.items()}
                  for where, kinds in found.items()} for way in ("rx", "tx")}


def _run_stages(wanted, results, options):
    kept = {}

    def one_case(name, size, contenders):
        way = name.split("-")[1]
        key = (size, contenders["vhostpci"].peers)
        try:
            for who in contenders.values():
                who.peers.check_layout(who.kind)
            if key not in kept:
                kept.clear()
                kept[key] = _loop(contenders, size, options)
            results.add_sets(name, UNIT, kept[key][way], "vhostpci", "vhostuser")
        except FAILURES as why:
            results.fail(name, UNIT, why)

    run_grid(wanted, cases(), results, options, one_case, PortSwitch, Peers)


def _null(number, size):
    return f"net_null{number},size={size}"


def _ovs_alone(size, options, name, results):
    """Between two ports whose driver only makes and frees packets, less what
    that driver costs when nothing is between: the baseline."""
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

        def take(_):
            ovs.clear()
            time.sleep(options.seconds)
            cycles, packets = ovs.busy()
            ovs.freeze()
            ports.send("forward", *pair)
            time.sleep(options.seconds / 2)
            ports.send("end")
            told = ports.answer("forward")
            ovs.thaw()
            return {"subject": cycles / packets,
                    "baseline": (told["rx"] + told["tx"]) / told["packets"]}

        found = [take(i) for i in range(options.rounds)]
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
