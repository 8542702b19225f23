# SPDX-License-Identifier: Apache-2.0
"""Loops: packets circulate through a switch and its peers, none is lost, and
short rounds of each kind of port take turns."""
import contextlib
import time
from collections import namedtuple

from machine import sets
from peers import NotNegotiated, Peers
from switch import OvsSwitch, PmdSwitch

SIZES = (64, 128, 256, 512, 1024, 1514, "imix")
UNIT = "cycles/packet"
WARM_S, ROUND_S = 0.03, 0.25
# Of 32 packets, put in at each of a pair's two ports.
FILL_BURSTS = 8

# A switch with its peers, and the kind of port that is looked at.
Contender = namedtuple("Contender", "switch peers kind")
# What is measured together: where, and the layout of the rings.
Layout = namedtuple("Layout", "where packed mergeable")


class Lost(Exception):
    """Packets that circulate were dropped, or stand still."""


def name_of(layout, size):
    ring = "packed" if layout.packed else "split"
    plain = "" if layout.mergeable else "-nomrg"
    return f"loop-{ring}-{size}-{layout.where}{plain}"


def cases():
    """{name: (layout, size)}"""
    return {name_of(layout, size): (layout, size)
            for where in ("ovs", "pmd")
            for mergeable in (True, False)
            for packed in (False, True)
            for layout in [Layout(where, packed, mergeable)]
            for size in SIZES}


@contextlib.contextmanager
def active(who):
    """The contender's switch runs and looks at its kind; others are frozen."""
    who.switch.thaw()
    who.peers.select(who.kind)
    who.switch.select(who.kind)
    try:
        yield
    finally:
        who.switch.deselect()
        who.switch.freeze()


def one_round(who, seconds):
    with active(who):
        who.peers.go()
        time.sleep(WARM_S)
        who.switch.clear()
        time.sleep(seconds)
        reading = who.switch.read()
        _, refused = who.peers.halt()
    lost = reading.drops + refused
    if lost:
        raise Lost(f"{lost} circulating packets were dropped")
    if not reading.packets:
        raise Lost("no packet circulates")
    return reading


def measure(contenders, size, options):
    """What sets() returns: cycles per packet, of {name: Contender}.

    The order is turned round every other time, so that what drifts meets all
    alike.
    """
    for who in contenders.values():
        with active(who):
            who.peers.fill(who.kind, size, FILL_BURSTS)
    def take(i):
        order = list(contenders)
        readings = {name: one_round(contenders[name], options.seconds)
                    for name in (reversed(order) if i % 2 else order)}
        return {name: r.cycles / r.packets for name, r in readings.items()}
    return sets(take, options)


def _switches(where, options, stack):
    """{name: switch}; each is closed by the stack."""
    made = {}

    def add(name, switch):
        stack.callback(switch.close)
        made[name] = switch.start()

    both = ["vhostuser", "vhostpci"]
    if where == "pmd":
        add("ours", PmdSwitch(both, options.huge, "switch"))
        return made
    add("ours", OvsSwitch("ours", both, options.huge, "ovs-ours"))
    if options.stock:
        # The one that is not measured takes no time: see active().
        made["ours"].freeze()
        add("stock", OvsSwitch("stock", both[:1], options.huge, "ovs-stock"))
        made["stock"].freeze()
    return made


def _contenders(switches, layout, options, stack):
    """{name: Contender}: "vhostpci", "vhostuser" and, of Debian's, "stock"."""
    found = {}
    for owner, switch in switches.items():
        switch.thaw()
        peers = Peers(switch, layout.packed, layout.mergeable, options.huge,
                      f"peers-{owner}")
        stack.callback(peers.close)
        for kind in switch.kinds:
            found[kind if owner == "ours" else "stock"] = Contender(
                switch, peers, kind)
        switch.freeze()
    return found


def _one_size(name, size, contenders, results, options):
    """Measures, and adds to the results."""
    try:
        for who in contenders.values():
            who.peers.check_layout(who.kind)
        found = measure(contenders, size, options)
    except (NotNegotiated, Lost) as why:
        results.fail(name, UNIT, why)
        return
    paths = {who: c.peers.paths(c.kind)[0].replace("using ", "")
             for who, c in contenders.items()}
    results.add_sets(name, UNIT, found, "vhostpci", "vhostuser",
                     front_end=paths)
    if "stock" in contenders:
        results.add_sets(name + "-stock", UNIT, found, "vhostpci", "stock")


def run(wanted, results, options):
    """One lifetime of each switch that the wanted cases need."""
    table = cases()
    for where in ("ovs", "pmd"):
        layouts = list(dict.fromkeys(
            table[name][0] for name in wanted if table[name][0].where == where))
        if not layouts:
            continue
        with contextlib.ExitStack() as outer:
            switches = _switches(where, options, outer)
            for layout in layouts:
                with contextlib.ExitStack() as inner:
                    contenders = _contenders(switches, layout, options, inner)
                    for name in wanted:
                        if table[name][0] == layout:
                            options.say(name)
                            _one_size(name, table[name][1], contenders, results,
                                      options)
                    for switch in switches.values():
                        switch.thaw()
