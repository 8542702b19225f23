# SPDX-License-Identifier: Apache-2.0
"""Loops: packets circulate through a switch and its peers, and none may be
lost.  Short rounds of each kind of port take turns."""
import contextlib
import time

import rigs
from machine import sets
from peers import Peers
from rigs import Layout, NotNegotiated, active, check_layouts

SIZES = (64, 128, 256, 512, 1024, 1514, "imix")
UNIT = "cycles/packet"
WARM_S, ROUND_S, PATIENCE_S = 0.03, 0.25, 60
# Bursts of 32 packets to put in at each of a pair's two ports; for the usual
# mix 12 bursts are put in.
FILL_BURSTS = 8


class Lost(Exception):
    """Circulating packets were dropped, or no packet circulates."""


# With one of these exceptions a case fails, and the other cases go on: a peer
# may not come up, a process may end.
FAILURES = (NotNegotiated, Lost, RuntimeError, AssertionError)


def grid(prefix):
    """{name: (where, layout, size)}"""
    return {f"{prefix}-{'packed' if packed else 'split'}-{size}-{where}"
            f"{'' if mergeable else '-nomrg'}":
            (where, Layout(packed, mergeable), size)
            for where in ("ovs", "pmd")
            for mergeable in (True, False)
            for packed in (False, True)
            for size in SIZES}


def cases():
    return grid("loop")


def patiently(take):
    """Call take() until it has found packets, or for PATIENCE_S: on a busy
    machine the processes may not have run.  take() returns (number of packets,
    result); this returns the last result."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        packets, found = take()
        if packets or time.monotonic() > deadline:
            return found


def one_round(who, seconds):
    def take():
        time.sleep(seconds)
        reading = who.switch.read()
        # The cycles of a burst are counted after its packets.
        return min(reading.packets, reading.cycles), reading

    who.peers.select(who.kind)
    with active(who):
        who.peers.go()
        time.sleep(WARM_S)
        who.switch.clear()
        try:
            reading = patiently(take)
        finally:
            _, refused = who.peers.halt()
    lost = reading.drops + refused
    if lost:
        raise Lost(f"{lost} circulating packets were dropped")
    if not reading.packets:
        raise Lost("no packet circulates")
    return reading


def measure(contenders, size, options):
    """Put packets in, and measure cycles per packet; returns what sets()
    returns."""
    for who in contenders.values():
        with active(who):
            who.peers.fill(who.kind, size, FILL_BURSTS)
    return take_turns(contenders, options)


def take_turns(contenders, options):
    """Measure rounds of packets that circulate already.  Every other time the
    order is reversed, so that a drift affects all contenders equally."""
    def take(i):
        order = list(contenders)
        readings = {name: one_round(contenders[name], options.seconds)
                    for name in (reversed(order) if i % 2 else order)}
        return {name: r.cycles / r.packets for name, r in readings.items()}
    return sets(take, options)


def add_found(results, name, unit, found, **notes):
    """Add two rows: against the vhost-user port of the same switch, and against
    that of Debian's Open vSwitch."""
    results.add_sets(name, unit, found, "vhostpci", "vhostuser", **notes)
    if any("stock" in found[where] for where in found):
        results.add_sets(name + "-stock", unit, found, "vhostpci", "stock",
                         **notes)


def _one_size(name, size, contenders, results, options):
    """Measure one size, and add it to the results."""
    try:
        paths = check_layouts(contenders)
        add_found(results, name, UNIT, measure(contenders, size, options),
                  front_end=paths)
    except FAILURES as why:
        results.fail(name, UNIT, why)


def run_grid(wanted, table, results, options, one_case, pmd, peers):
    """Start the switches that the wanted cases need, and call one_case(name,
    size, contenders) for each case.  If a layout fails, the others go on."""
    for where in ("ovs", "pmd"):
        layouts = list(dict.fromkeys(
            table[name][1] for name in wanted if table[name][0] == where))
        if not layouts:
            continue
        with contextlib.ExitStack() as stack:
            made = rigs.switches(where, options, stack, pmd)
            for layout in layouts:
                names = [n for n in wanted if table[n][:2] == (where, layout)]
                try:
                    with rigs.contenders(made, layout, options, peers) as found:
                        for name in names:
                            options.say(name)
                            one_case(name, table[name][2], found)
                except FAILURES as why:
                    for name in names:
                        results.fail(name, UNIT, why)


def run(wanted, results, options):
    run_grid(wanted, cases(), results, options,
             lambda name, size, contenders: _one_size(
                 name, size, contenders, results, options),
             rigs.PmdSwitch, Peers)
