# SPDX-License-Identifier: Apache-2.0
"""Sets up, and takes down, switches and the peers that measure them."""
import contextlib
import shutil
import tempfile
from collections import Counter, namedtuple
from pathlib import Path

from machine import program
from peers import Layout, NotNegotiated, check_front_end, vdevs_for
from ports import Ports
from switch import (PEER_CPU, SWITCH_CPU, Alone, OvsSwitch, PmdSwitch, Reading,
                    config, devargs)

__all__ = ["Contender", "Layout", "NotNegotiated", "active", "contenders",
           "check_layouts", "switches", "FlowPeers", "PortPeers", "PortSwitch",
           "StampSwitch"]

KINDS = ("vhostuser", "vhostpci")

# A switch with its peers, and the kind of port that is measured.
Contender = namedtuple("Contender", "switch peers kind")


class PortSwitch(Alone):
    """bench_ports as the switch, with the interface of OvsSwitch."""

    driver = staticmethod(config.plugin)

    def __init__(self, kinds, huge, name):
        self.kinds, self.numbers = kinds, {}
        self.sockets = Path(tempfile.mkdtemp(prefix="vp-"))
        self.ports = Ports(name, SWITCH_CPU, huge, [self.driver().resolve()])
        for kind in kinds:
            self.numbers[kind] = [
                self.ports.add(devargs(kind, side, self.socket(kind, side)))
                for side in (0, 1)]

    def select(self, kind):
        self.ports.send("forward", *self.numbers[kind])

    def deselect(self):
        self.ports.send("end")
        self.last = self.ports.answer("forward")

    def clear(self):
        pass

    def read(self):
        return None  # the figures come at deselect(): see reading()

    def reading(self):
        """The reading for the whole time from select() to deselect()."""
        told = self.last
        return Reading(told["rx"] + told["tx"], told["packets"], told["drops"])

    def close(self):
        self.ports.close()
        shutil.rmtree(self.sockets, ignore_errors=True)


class StampSwitch(PortSwitch):
    """A PortSwitch whose driver counts the cycles of each stage of a burst."""

    driver = staticmethod(lambda: program("stamps.so"))

    def __init__(self, _, huge, name):
        super().__init__(("vhostpci",), huge, name)

    def stamps(self):
        """{"rx": {stage: cycles}, "tx": ...}: sums of both ports, since the
        start."""
        found = {"rx": Counter(), "tx": Counter()}
        for port in self.numbers["vhostpci"]:
            for name, value in self.ports.do("xstats", port).items():
                way, _, stage = name.partition("_ring0_cycles_")
                if stage:
                    found[way][stage] += value
        return found


class PortPeers:
    """bench_ports with virtio-user ports: a pair for each kind of port."""

    def __init__(self, switch, layout, huge, name):
        self.layout = layout
        self.ports = Ports(name, PEER_CPU, huge)
        self.numbers = {
            kind: [self.ports.add(vdev) for vdev in vdevs]
            for kind, vdevs in vdevs_for(switch, layout).items()}
        self.ports.do("up")

    def check_layout(self, kind):
        return check_front_end(self.ports.child.output(), self.numbers[kind],
                               self.layout)

    def latency(self, kind, size, count):
        return self.ports.do("latency", *self.numbers[kind], size, count)

    def oneway(self, kind, size, seconds):
        return self.ports.do("oneway", *self.numbers[kind], size,
                             int(seconds * 1000))

    def warm(self, kind, size):
        """Send a few packets each way."""
        for a, b in (self.numbers[kind], self.numbers[kind][::-1]):
            self.ports.do("latency", a, b, size, 100)

    def close(self):
        self.ports.close()


class FlowPeers(PortPeers):
    """Packets circulate as with Peers, but each packet is of another flow."""

    FLOWS = 1000

    def fill(self, kind, size, _):
        """Put packets in: half of the flows at each port."""
        sent = self.ports.do("fill", *self.numbers[kind], size,
                             self.FLOWS // 2)["sent"]
        if sent != self.FLOWS:
            raise RuntimeError(f"only {sent:.0f} of {self.FLOWS} packets were "
                               "put in")

    def select(self, kind):
        self.kind = kind

    def go(self):
        self.ports.send("forward", *self.numbers[self.kind])

    def halt(self):
        """Stop forwarding; returns the numbers of forwarded and of dropped
        packets."""
        self.ports.send("end")
        told = self.ports.answer("forward")
        return int(told["packets"]), int(told["drops"])


def check_layouts(contenders):
    """The front-ends' receive path of each contender.  All must be the same: a
    difference between paths would count as one between ports."""
    paths = {name: who.peers.check_layout(who.kind)
             for name, who in contenders.items()}
    if len({path for both in paths.values() for path in both}) > 1:
        raise NotNegotiated(f"the front-ends' receive paths differ: {paths}")
    return {name: both[0] for name, both in paths.items()}


@contextlib.contextmanager
def active(who):
    """While the body runs, the contender's switch runs, and polls the
    contender's kind of port; the other switches are frozen."""
    who.switch.thaw()
    who.switch.select(who.kind)
    try:
        yield
    finally:
        who.switch.deselect()
        who.switch.freeze()


def switches(where, options, stack, pmd=PmdSwitch):
    """{"ours": switch, "stock": switch}.  `stack` closes the switches."""
    made = {}

    def add(name, switch):
        stack.callback(switch.close)
        made[name] = switch.start()
        # A switch that is not measured must take no time: see active().
        switch.freeze()

    if where == "pmd":
        add("ours", pmd(KINDS, options.huge, "switch"))
        return made
    add("ours", OvsSwitch("ours", KINDS, options.huge, "ovs-ours"))
    if options.stock:
        add("stock", OvsSwitch("stock", KINDS[:1], options.huge, "ovs-stock"))
    return made


def by_kind(owner, kind):
    return kind if owner == "ours" else "stock"


@contextlib.contextmanager
def contenders(made, layout, options, peers_class, named=by_kind):
    """{name: Contender}: "vhostpci", "vhostuser", and "stock" for the
    vhost-user ports of Debian's switch."""
    found = {}
    with contextlib.ExitStack() as stack:
        for owner, switch in made.items():
            switch.thaw()
            peers = peers_class(switch, layout, options.huge, f"peers-{owner}")
            stack.callback(peers.close)
            for kind in switch.kinds:
                found[named(owner, kind)] = Contender(switch, peers, kind)
            switch.freeze()
        yield found
        for switch in made.values():
            switch.thaw()
