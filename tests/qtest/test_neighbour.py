# SPDX-License-Identifier: Apache-2.0
"""Two devices are in one QEMU.  Whatever the peer of one device does, calls and
kicks of the other must go on, as fast as beside an honest peer, and the monitor
must answer."""
import os
import struct
import tempfile
import time
from pathlib import Path

from driver import Driver
from frontend import SET_VRING_CALL, Frontend
from machine import SCALE, at_work, wait_until
from test_memory_cost import table
from test_slow_close import Slow
from test_slow_signal import crowd
from test_state import in_thread, running

LIMIT = 0.25    # seconds more than beside an honest peer
LASTS = 200 if os.environ.get("VHOSTPCI_FULL") else 4   # seconds for each peer
BARS = {0: 0xe1000000, 1: 0xe1010000, 2: 0x2000000000, 4: 0xe1040000}
SLOT = 16


def honest(path):
    """Connects, starts the rings, and disconnects, again and again."""
    while True:
        front = Frontend(path)
        front.start()
        front.stop_ring(0)
        front.close()


def slow_to_close(path):
    while True:
        slow, front = Slow(), Frontend(path)
        front.send(SET_VRING_CALL, struct.pack("<Q", 0),
                   [front.fd] * 252 + [slow.near.fileno()])
        slow.near.close()
        front.closed_by_device()
        slow.release()
        front.close()


def slow_to_signal(path):
    front = Frontend(path)
    front.start()
    with crowd(front.calls[1]):
        while True:
            front.signalled(front.calls[1])


def always_changing(path):
    """Sends one memory table after another, each with eight new regions, as
    fast as the device lets it."""
    front, turn = Frontend(path), 0
    front.negotiate()
    front.socket.settimeout(None)
    while True:
        turn += 1
        front.set_memory(table(8, 65536 * (turn % 2)))


class Neighbour:
    """Driver and front-end of the second device."""

    def __init__(self, bench, path):
        self.bench = bench
        self.driver = Driver(bench.machine, SLOT, BARS)
        self.driver.start()
        self.front = Frontend(path)
        bench.fronts.append(self.front)
        started = in_thread(lambda: self.front.start() or True)
        self.driver.wait_state(running(0, 1), "both rings run")
        wait_until(started, "the front-end's part")
        vector = self.driver.config()["vector"]
        self.vector = vector + 1
        self.driver.set_vector(self.vector, 0xfee00000, 0x41)
        self.driver.mask_vector(self.vector, True)
        self.driver.enable_msix()

    def round(self):
        """One call to the peer, one kick of the peer, and one answer of the
        monitor."""
        self.driver.doorbell(1)
        assert self.front.signalled(self.front.calls[1])
        os.eventfd_write(self.front.kicks[1], 1)
        wait_until(lambda: self.bench.machine.read32(
            self.driver.bars[1] + 0x800) == 1 << self.vector, "the kick")
        # Unmasking delivers the interrupt; then mask it again.
        self.driver.mask_vector(self.vector, False)
        self.driver.mask_vector(self.vector, True)
        self.bench.machine.monitor("query-status")


def longest(action, seconds):
    most, end, turns = 0, time.monotonic() + seconds * SCALE, 0
    while (begin := time.monotonic()) < end:
        action()
        most = max(most, time.monotonic() - begin)
        turns += 1
    return most, turns


def test_a_neighbour_does_not_wait_for_a_bad_peer(make_bench):
    with tempfile.TemporaryDirectory(prefix="vhostpci-") as rundir:
        path = Path(rundir) / "b.sock"
        bench = make_bench(",ack-timeout=200", arguments=[
            "-chardev", f"socket,id=cb,path={path},server=on,wait=off",
            "-device", "vhost-pci-net-pci,id=dev2,chardev=cb,peer=b,"
            f"window-size=64M,ack-timeout=5000,addr={SLOT:#x}"])
        driver, neighbour = bench.driver(), Neighbour(bench, path)

        def action():
            state = driver.poll()
            if state:
                driver.ack(state.generation)
            driver.doorbell(1)
            neighbour.round()
        worst = {}
        for attack in (honest, slow_to_close, slow_to_signal,
                       always_changing):
            with at_work(attack, bench.socket) as child:
                worst[attack], turns = longest(action, LASTS)
                assert child.is_alive()
            print(f"{attack.__name__}: {worst[attack]:.3f} s, {turns} rounds")
            bench.until("connected", "no")
        for attack, took in worst.items():
            assert took < LIMIT * SCALE + worst[honest], attack.__name__
