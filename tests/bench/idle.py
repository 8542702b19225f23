# SPDX-License-Identifier: Apache-2.0
"""Measures the cost of ports without traffic: cycles of a poll, memory, and
the time until many ports are up."""
import contextlib
import itertools
import tempfile
import time
from pathlib import Path

from machine import sets
from ports import Ports
from switch import PEER_CPU, SWITCH_CPU, config

# polled queues: (ports, queues of each).  Debian's DPDK allows 32 ports in a
# process, and one process polls both kinds; so 64 queues are those of 16 ports.
POLLED = {1: (1, 1), 8: (8, 1), 64: (16, 4)}
PORTS, QUEUES = 16, 4
POLLS = 400000
# Two processes hold 64 ports.
MANY, PER_PROCESS = 64, 32

DRIVERS = {
    "vhostpci": "net_vpci{n},path={path},queues={q}",
    "vhostuser": "net_vhost{n},iface={path},queues={q}",
}
PEER = "net_virtio_user{n},path={path},queues={q},queue_size=64"

_names = itertools.count()


def cases():
    return dict.fromkeys(["floor-poll-pmd", *(f"idle-poll-{n}-pmd" for n in POLLED),
                          "memory-port-pmd", f"startup-{MANY}-pmd"])


def _switch(name, options):
    return Ports(name, SWITCH_CPU, options.huge, [config.plugin().resolve()])


def _add(ports, pattern, count, queues, paths):
    """Add `count` ports to each process of `ports`, in turns; returns the first
    port's number."""
    for i in range(count):
        for each in ports:
            path = next(paths)
            each.send("add", queues,
                      pattern.format(n=next(_names), path=path, q=queues))
    return [int(each.answer("add")["port"]) for _ in range(count)
            for each in ports][0]


def _used(ports):
    told = ports.do("memory")
    return (told["heap"] + told["anonymous"]) / 1024


class _Growth:
    """Measures the memory that a process takes for each port, by kind.  The
    first port does not count: with it comes memory that is taken only once."""

    def __init__(self, process):
        self.process, self.kib = process, dict.fromkeys(DRIVERS, 0)

    def add(self, kind, add):
        """Measure while add(COUNT) adds ports; add() returns the number of the
        first of them, which this returns, too."""
        first = add(1)
        before = _used(self.process)
        add(PORTS - 1)
        self.kib[kind] += (_used(self.process) - before) / (PORTS - 1)
        return first


def _fill(switch, peers, place):
    """Make PORTS ports of each kind, with their peers.  Returns, by kind, the
    first port's number, and the KiB for each port."""
    growth, first = _Growth(switch), {}
    for kind, pattern in DRIVERS.items():
        paths = (place / f"{kind}{i}" for i in range(PORTS))
        first[kind] = growth.add(kind, lambda n, what=pattern, where=paths: _add(
            [switch], what, n, QUEUES, where))
    for kind in DRIVERS:
        paths = (place / f"{kind}{i}" for i in range(PORTS))
        ready = itertools.count(first[kind])

        def connect(count, where=paths, at=ready):
            _add([peers], PEER, count, QUEUES, where)
            for _ in range(count):
                switch.do("up", next(at), 1)
        growth.add(kind, connect)
    return first, growth.kib


def _poll_and_memory(wanted, results, options):
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="vp-")))
        switch, peers = _switch("idle", options), Ports(
            "idle-peers", PEER_CPU, options.huge)
        stack.callback(switch.close)
        stack.callback(peers.close)
        first, kib = _fill(switch, peers, place)
        if "memory-port-pmd" in wanted:
            results.add("memory-port-pmd", "KiB", [kib["vhostpci"]],
                        [kib["vhostuser"]], queue_pairs=QUEUES)
        for n, (count, queues) in POLLED.items():
            name = f"idle-poll-{n}-pmd"
            if name not in wanted:
                continue
            options.say(name)
            results.add_sets(name, "cycles/poll", sets(
                lambda i, c=count, q=queues: {
                    key: switch.do("idle", first[kind], c, q,
                                   POLLS // c // q)["cycles"]
                    for key, kind in [("subject", "vhostpci"),
                                      ("baseline", "vhostuser")][
                                          ::-1 if i % 2 else 1]}, options),
                ports=count, queues=queues)


def _startup(kind, options):
    """The seconds until all ports of a kind have their peers."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="vp-")))
        switches = [_switch(f"startup{i}", options)
                    for i in range(MANY // PER_PROCESS)]
        peers = [Ports(f"startup-peers{i}", PEER_CPU, options.huge)
                 for i in range(MANY // PER_PROCESS)]
        for each in switches + peers:
            stack.callback(each.close)
        began = time.monotonic()
        for ports, pattern in (switches, DRIVERS[kind]), (peers, PEER):
            _add(ports, pattern, PER_PROCESS, 1,
                 (place / str(i) for i in range(MANY)))
        for each in switches + peers:
            each.send("up")
        for each in switches + peers:
            each.answer("up")
        return time.monotonic() - began


def _nothing(options):
    """The cycles of a poll whose driver does nothing: those of the call."""
    with contextlib.closing(_switch("null", options)) as ports:
        number = ports.add("net_null0,no-rx=1")
        return [ports.do("idle", number, 1, 1, POLLS)["cycles"]
                for _ in range(options.rounds)]


def run(wanted, results, options):
    if "floor-poll-pmd" in wanted:
        options.say("floor-poll-pmd")
        results.add("floor-poll-pmd", "cycles/poll", _nothing(options))
    if any("poll" in name or "memory" in name for name in wanted):
        _poll_and_memory(wanted, results, options)
    name = f"startup-{MANY}-pmd"
    if name in wanted:
        options.say(name)
        results.add(name, "seconds", [_startup("vhostpci", options)],
                    [_startup("vhostuser", options)])
