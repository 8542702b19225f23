# SPDX-License-Identifier: Apache-2.0
"""Every ring layout of stock virtio-user, with packets that carry numbers and
checksums.

The peer is seqcheck. It expects each packet back once, unchanged, and in the
order of its queue. The switch is testpmd in io mode, one process for all cases:
the peer of each case makes a new connection to the same port. A case also fails
if the peer's driver used another path than the one in the case's name.

    INTEROP=all          the whole matrix, not the slice of `make check`
    BACKEND=net_vhost    DPDK's own back-end as the switch: if a case fails
                         there, too, the driver is not the cause
"""
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from native_ovs import native_ovs
from testpmd import Testpmd, driver_eal, log_dir, wait_until
from harness import config
from harness.procs import Child

# Features that the driver serves. While one is False, the cases that need it
# must fail with NotNegotiated.
DRIVER_SERVES = {"packed": True, "in_order": True}

BACKEND = os.environ.get("BACKEND", "net_vpci")
WHOLE = os.environ.get("INTEROP") == "all"

MRG_RXBUF, INDIRECT, VERSION_1, PACKED, IN_ORDER = (
    1 << bit for bit in (15, 28, 32, 34, 35))
NOTHING_WRONG = dict.fromkeys(
    ("lost", "reordered", "duplicated", "changed", "misrouted", "foreign"), 0)


class Layout(NamedTuple):
    """The options of the peer's virtio device."""
    packed: bool
    in_order: bool
    mergeable: bool
    vectorized: bool

    def __str__(self):
        return "-".join(["packed" if self.packed else "split",
                         *(name for name in self._fields[1:]
                           if getattr(self, name))])

    @property
    def devargs(self):
        return (f"packed_vq={self.packed:d},in_order={self.in_order:d},"
                f"mrg_rxbuf={self.mergeable:d},vectorized={self.vectorized:d}")

    @property
    def need(self):
        return (VERSION_1 | INDIRECT | PACKED * self.packed
                | IN_ORDER * self.in_order | MRG_RXBUF * self.mergeable)

    @property
    def refuse(self):
        return (PACKED | IN_ORDER | MRG_RXBUF) & ~self.need

    @property
    def paths(self):
        """The names of virtio-user's receive and transmit functions for this
        layout."""
        if self.packed:
            tx = "vectorized" if self.vectorized else "standard"
            rx = ("mergeable buffer" if self.mergeable else tx)
            return f"packed ring {rx}", f"packed ring {tx}"
        if self.in_order:
            return "inorder", "inorder"
        return ("vectorized" if self.vectorized else
                "mergeable buffer" if self.mergeable else
                "standard"), "standard"

    @property
    def mixes(self):
        """Shapes that vary from packet to packet. virtio-user of DPDK 22.11
        confuses descriptors of a packed ring without IN_ORDER if indirect
        tables and chains are mixed, with any back-end (seqcheck/shape.c); so
        there are two shapes for that layout."""
        return ("tables", "chains") if self.packed and not self.in_order \
            else ("mixed",)

    @property
    def exists(self):
        """False if the layout is vectorised and virtio-user has no vectorised
        path for it. virtio-user has one for receiving from split rings with
        neither IN_ORDER nor mergeable buffers, and for packed rings with
        IN_ORDER: for sending, and without mergeable buffers for receiving."""
        if self.packed:
            return self.in_order or not self.vectorized
        return not (self.vectorized and (self.in_order or self.mergeable))


class Case(NamedTuple):
    """A case. `sizes` names the frame sizes; `room` is the bytes of a receive
    buffer."""
    layout: Layout
    queues: int = 1
    shape: str = "push"
    sizes: str = "every"
    ring: int = 256
    window: int = 64

    def __str__(self):
        words = [str(self.layout), f"{self.queues}q", self.shape, self.sizes]
        if self.ring != 256:
            words.append(f"ring{self.ring}")
        if self.window != 64:
            words.append(f"window{self.window}")
        return "-".join(words)

    @property
    def wide(self):
        return self.sizes == "jumbo"

    @property
    def room(self):
        if self.sizes == "fragments":
            return 256
        return 9600 if self.wide and not self.layout.mergeable else 2048

    @property
    def scattered(self):
        """True if packets come in several receive buffers."""
        return self.sizes == "fragments" or (
            self.wide and self.layout.mergeable)

    @property
    def options(self):
        lengths = "60-1514:1"
        packets = 3000 if self.queues == 1 else 1500
        if self.wide:
            lengths, packets = ("60-9014:1", 9000) if WHOLE \
                else ("60-9014:7", 1500)
        return ["--queues", self.queues, "--shape", self.shape,
                "--sizes", lengths, "--packets", packets,
                "--mtu", 9000 if self.wide or self.scattered else 1500,
                "--room", self.room, "--ring", self.ring,
                "--window", self.window,
                "--need", self.layout.need, "--refuse", self.layout.refuse]


LAYOUTS = [layout for layout in itertools.starmap(
    Layout, itertools.product((False, True), repeat=4)) if layout.exists]
SHAPES = ("push", "indirect", "chain")


def split(*words):
    return Layout(False, *(word in words for word in Layout._fields[1:]))


def packed(*words):
    return Layout(True, *(word in words for word in Layout._fields[1:]))


def matrix():
    """All combinations of layout, queues, shape and sizes."""
    for layout, queues in itertools.product(LAYOUTS, (1, 4)):
        for shape in *SHAPES, *layout.mixes:
            yield Case(layout, queues, shape)
            yield Case(layout, queues, shape, "jumbo")
            if layout.mergeable:
                yield Case(layout, queues, shape, "fragments")


def slice_of_matrix():
    """Every layout, in each combination for which the driver has code."""
    for layout in LAYOUTS:
        yield Case(layout)
        for shape in layout.mixes:
            yield Case(layout, shape=shape)
        yield Case(layout, 4, layout.mixes[0])
        yield Case(layout, 1, layout.mixes[-1], "jumbo")
        if layout.mergeable and not layout.vectorized:
            yield Case(layout, 1, layout.mixes[0], "fragments")
    for layout in split(), split("in_order"), packed(), \
            packed("in_order", "mergeable"):
        yield Case(layout, shape="indirect")
        yield Case(layout, shape="chain")


def rings():
    """Rings of other sizes, and more packets under way than a ring holds."""
    for layout in split("mergeable"), packed(), packed("in_order"):
        shape = layout.mixes[-1]
        yield Case(layout, 1, shape, ring=64)
        yield Case(layout, 1, shape, ring=1024, window=2000)
        yield Case(layout, window=1000)
    # Only packed rings may have a size that is no power of two.
    yield Case(packed("mergeable"), 1, "chains", ring=96)
    yield Case(packed("in_order"), ring=96)


CASES = list(dict.fromkeys(
    [*(matrix() if WHOLE else slice_of_matrix()), *rings()]))


class NotNegotiated(AssertionError):
    """The back-end does not offer a feature that a case is about."""


def not_served(layout):
    return [name for name, served in DRIVER_SERVES.items()
            if getattr(layout, name) and not served]


def parameter(case):
    """The case as pytest's parameter. A case that the driver does not serve
    must fail."""
    lacks = not_served(case.layout) if BACKEND == "net_vpci" else []
    marks = [pytest.mark.xfail(strict=True, raises=NotNegotiated, reason=(
        "the driver does not serve " + " and ".join(lacks)))] if lacks else []
    return pytest.param(case, id=str(case), marks=marks)


# The switch.

class Backend:
    """A testpmd that sends each packet back on its queue. It is started when it
    is first needed, and again after a failure, so that the next case begins
    with a new process."""

    def __init__(self, name):
        self.name = name
        self.dir = Path(tempfile.mkdtemp(prefix="vp-"))
        self.socket = self.dir / "s"
        self.testpmd = None

    def start(self):
        vdev, eal = {
            "net_vpci": (f"net_vpci0,path={self.socket},queues=4",
                             driver_eal),
            "net_vhost": (f"net_vhost0,iface={self.socket},queues=4",
                          lambda: ""),
        }[BACKEND]
        self.testpmd = Testpmd(
            self.name, [vdev],
            "--mbuf-size=10240 --rxq=4 --txq=4 --max-pkt-len=9018", eal())
        # "retry": while a peer gets no CPU time, its ring is full.
        self.testpmd.start("io retry", seconds=120)
        wait_until(self.socket.exists, 10, "the back-end listens")

    def ready(self):
        if self.testpmd and not self.testpmd.child.running():
            self.stop()
        if not self.testpmd:
            self.start()
        return self.socket

    def stop(self):
        if self.testpmd:
            self.testpmd.close()
            self.testpmd = None
        self.socket.unlink(missing_ok=True)

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def the_backend():
    backend = Backend(f"interop-{BACKEND}")
    yield backend
    backend.close()


@pytest.fixture
def backend(the_backend, request):
    """The back-end that all tests share. It ends after a test that fails, so
    that later tests do not suffer."""
    failed = request.session.testsfailed
    yield the_backend
    if request.session.testsfailed > failed:
        the_backend.stop()


def seqcheck(socket, devargs, *options, name="seqcheck", seconds=60):
    """Run the peer; returns its exit status and its result."""
    program = config.BUILD / "tests" / "native" / "seqcheck" / "seqcheck"
    if not program.exists():
        pytest.skip(f"no {program} (make check builds it)")
    place = Path(tempfile.mkdtemp(prefix="vp-"))
    logs = log_dir()
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    log.unlink(missing_ok=True)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    child = Child(
        [program, "--no-huge", "-m", "192", "--single-file-segments",
         "--no-pci", "--no-telemetry", "--lcores", f"0@({cpus})",
         "--force-max-simd-bitwidth=512", f"--file-prefix={place.name}",
         f"--vdev=net_virtio_user0,path={socket},{devargs}", "--", *options],
        log=log, env={**os.environ, "XDG_RUNTIME_DIR": str(place),
                      "RUNTIME_DIRECTORY": str(place)})
    try:
        wait_until(lambda: not child.running(), seconds, "seqcheck has ended",
                   interval=0.02)
        lines = [line for line in child.output().splitlines()
                 if line.startswith("{")]
        assert len(lines) == 1, child.output()
        return child.process.returncode, json.loads(lines[0])
    finally:
        child.end()
        shutil.rmtree(place, ignore_errors=True)


def check_features(layout, result):
    features = result["features"]
    if features & layout.need != layout.need:
        raise NotNegotiated(f"{layout.need & ~features:#x} of {features:#x}")
    assert not features & layout.refuse, f"negotiated: {features:#x}"


def check_path(case, result):
    """Check that the peer used the features, paths and shapes of the case."""
    check_features(case.layout, result)
    assert (result["rx_path"], result["tx_path"]) == case.layout.paths
    # With in-order split rings, virtio-user uses chains in place of tables.
    tables = not (case.layout.in_order and not case.layout.packed)
    indirect = case.shape in ("indirect", "tables", "mixed") and tables
    chained = case.shape in ("chain", "chains", "mixed") or (
        case.shape == "indirect" and not tables)
    assert (result["indirect"] > 0, result["chained"] > 0) == (
        indirect, chained)
    assert (result["multi_segment"] > 0) == case.scattered


def has_avx512():
    return "avx512f" in Path("/proc/cpuinfo").read_text().split()


@pytest.mark.parametrize("case", map(parameter, CASES))
def test_all_packets_come_back(backend, case):
    if case.layout.packed and case.layout.vectorized and not has_avx512():
        pytest.skip("virtio-user's vectorised packed path needs AVX-512")
    status, result = seqcheck(
        backend.ready(), f"queues={case.queues},queue_size={case.ring},"
        f"{case.layout.devargs}", *case.options, name=f"interop-{case}")
    check_features(case.layout, result)
    assert {name: result[name] for name in NOTHING_WRONG} == NOTHING_WRONG, \
        result
    assert status == 0 and result["good"], result
    assert result["sent"] == result["received"] == result["wanted"]
    check_path(case, result)


def test_no_peer_broke_a_rule(backend):
    """This runs after all cases: the counters are those of the port's whole
    life."""
    if BACKEND != "net_vpci" or not backend.testpmd:
        pytest.skip("no driver under test has run")
    bad = {name: value for name, value in backend.testpmd.xstats().items()
           if value and ("violation" in name or "oversized" in name)}
    assert not bad


# Mutations of packets that seqcheck must notice: a check that cannot fail is
# useless.

MUTATIONS = {
    "change": {"changed": 1, "lost": 1},
    "drop": {"lost": 1},
    "duplicate": {"duplicated": 1},
    "reorder": {"reordered": 1},
    "misroute": {"misrouted": 1},
    "cut": {"changed": 1, "lost": 1},
    "grow": {"changed": 1, "lost": 1},
    "foreign": {"foreign": 1, "lost": 1},
}
PLAIN = Case(split())


def plain(backend, *options):
    return seqcheck(backend.ready(), f"queue_size=256,{PLAIN.layout.devargs}",
                    *PLAIN.options, "--packets", 500, *options, name="plain")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_seqcheck_notices(backend, mutation):
    status, result = plain(backend, "--mutate", mutation)
    assert status == 1 and not result["good"]
    assert {name: result[name] for name in NOTHING_WRONG} == {
        **NOTHING_WRONG, **MUTATIONS[mutation]}


def test_seqcheck_notices_features_that_are_not_as_asked_for(backend):
    for option, bits in ("--need", 1 << 60), ("--refuse", VERSION_1):
        status, result = plain(backend, option, bits)
        assert status == 3 and not result["good"] and "sent" not in result


def test_another_path_is_noticed():
    """check_path() must notice a wrong value in each field that it checks."""
    right = {"features": PLAIN.layout.need, "indirect": 0, "chained": 0,
             "rx_path": "standard", "tx_path": "standard", "multi_segment": 0}
    check_path(PLAIN, right)
    for wrong in ({"features": right["features"] | PACKED},
                  {"features": right["features"] | IN_ORDER},
                  {"features": right["features"] & ~INDIRECT},
                  {"rx_path": "vectorized"}, {"tx_path": "inorder"},
                  {"indirect": 1}, {"chained": 1}, {"multi_segment": 1}):
        with pytest.raises(AssertionError):
            check_path(PLAIN, {**right, **wrong})


# Through Open vSwitch.

@pytest.fixture(scope="module")
def ovs():
    switch = native_ovs("ours", name="interop-ovs")
    try:
        yield switch.start()
    finally:
        switch.close()


def add_port(switch, name):
    path = switch.dir / f"{name}.sock"
    switch.add_port(name, "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_{name},path={path},queues=4",
        "n_rxq": 4})
    assert switch.error(name) == ""
    wait_until(path.exists, 10, f"{path} is there")
    return path


def through(switch, path, case, *options):
    """Run a peer against Open vSwitch, which sends packets from all queues back
    through one. At most 32 packets of a queue are under way, which fit into one
    ring: a switch drops packets for which it has no room."""
    args = (path, f"queues={case.queues},queue_size={case.ring},"
            f"{case.layout.devargs}", *case.options, "--any-queue", "yes",
            "--window", 32)
    # The first packet of a flow goes through an upcall, and packets right
    # behind it could overtake it. So send one packet before. It must not be
    # lost, even if it comes back while the last queue pairs still start.
    status, result = seqcheck(*args, "--packets", 1, name="interop-ovs-first")
    assert status == 0 and result["good"], (result, switch.counters("a"))
    status, result = seqcheck(*args, *options, name="interop-ovs")
    assert status == 0 and result["good"], result
    check_path(case, result)
    counted = switch.counters("a")
    assert counted["rx_drop"] == counted["tx_drop"] == 0


def test_one_port_of_open_vswitch_sends_all_back(ovs):
    path = add_port(ovs, "a")
    ovs.add_flow("in_port=a,actions=in_port")
    for layout in split("mergeable"), split(), packed(), \
            packed("in_order", "mergeable"):
        if not not_served(layout):
            through(ovs, path, Case(layout, 4, layout.mixes[0]))
    ovs.del_port("a")


def test_two_ports_of_open_vswitch_send_all_on(ovs):
    """Packets go from the peer through ports a and b to another stock peer, and
    back."""
    path, other = add_port(ovs, "a"), add_port(ovs, "b")
    ovs.add_flow("in_port=a,actions=output:b")
    ovs.add_flow("in_port=b,actions=output:a")
    far = Testpmd("interop-far", [
        f"net_virtio_user0,path={other},queues=4,{PLAIN.layout.devargs}"],
        "--rxq=4 --txq=4", "--single-file-segments")
    try:
        far.start("io retry", seconds=120)
        ovs.wait_link_up("b")
        through(ovs, path, Case(split("mergeable"), 4, "mixed"))
        counted = ovs.counters("b")
        assert counted["rx_pkts"] == counted["tx_pkts"] > 4 * 1500
    finally:
        far.close()
    ovs.del_port("a")
    ovs.del_port("b")
