# SPDX-License-Identifier: Apache-2.0
"""A peer sends eventfds at which thousands of watches wait.  To signal or to
read such an eventfd walks through all watches, so QEMU's main loop must do
neither."""
import contextlib
import os
import select
import struct
import time
from pathlib import Path

from frontend import SET_VRING_CALL
from machine import SCALE, wait_until
from test_hostile import start
from test_slow_close import Usage

SIDE = 300      # SIDE * SIDE watches
LIMIT = 0.25    # seconds without an answer of the monitor
ROUNDS = 1000 if os.environ.get("VHOSTPCI_FULL") else 10


@contextlib.contextmanager
def crowd(fd):
    """Let SIDE * SIDE watches wait at an eventfd while the body runs: each
    epoll descriptor watches each duplicate of `fd`."""
    numbers = [os.dup(fd) for _ in range(SIDE)]
    sets = [select.epoll() for _ in range(SIDE)]
    for watcher in sets:
        for number in numbers:
            watcher.register(number, select.EPOLLIN)
    try:
        yield
    finally:
        for watcher in sets:
            watcher.close()
        for number in numbers:
            os.close(number)


def cost(fd):
    """The seconds that one signal takes for its sender: the least of three."""
    times = []
    for _ in range(3):
        begin = time.monotonic()
        os.eventfd_write(fd, 1)
        times.append(time.monotonic() - begin)
        os.eventfd_read(fd)
    return min(times)


def main_loop(machine):
    """The CPU time of QEMU's main thread, in seconds."""
    pid = machine.process.pid
    path = Path(f"/proc/{pid}/task/{pid}/schedstat")
    return int(path.read_text().split()[0]) / 1e9


def timed(action, *arguments):
    begin = time.monotonic()
    action(*arguments)
    return time.monotonic() - begin


def test_doorbells_do_not_wait_for_slow_calls(bench):
    driver, front, _ = start(bench)
    call, turns = front.calls[1], 20
    with crowd(call):
        least, worked = cost(call), main_loop(bench.machine)
        times = [timed(driver.doorbell, 1) + timed(bench.machine.monitor,
                                                   "query-status")
                 for _ in range(turns)]
        worked = main_loop(bench.machine) - worked
        assert front.signalled(call)
    assert max(times) < LIMIT * SCALE
    # Check CPU time, not the clock: a thread that walks through watches uses a
    # core, and the main loop may have to wait for that core.
    assert worked < turns * least / 2
    # After the pending calls are made, each new call must come.
    wait_until(lambda: not select.select([call], [], [], 0.2)[0]
               or not os.eventfd_read(call), "no more calls")
    for _ in range(10):
        driver.doorbell(1)
        assert front.signalled(call)


def test_kicks_do_not_cost_the_main_loop_a_walk(bench):
    driver, front, _ = start(bench)
    vector, turns = driver.config()["vector"], 20
    driver.set_vector(vector + 1, 0xfee00000, 0x41)
    driver.enable_msix()
    kick = front.kicks[1]
    with crowd(kick):
        walks, quiet, worked = [], [], main_loop(bench.machine)
        for _ in range(turns):
            walks.append(timed(os.eventfd_write, kick, 1))
            quiet.append(timed(bench.machine.monitor, "query-status"))
        worked = main_loop(bench.machine) - worked
    assert max(quiet) < LIMIT * SCALE
    assert worked < turns * min(walks) / 2


def test_a_ring_loses_no_call_with_its_eventfd(bench):
    """The thread makes a pending call, even if the front-end has replaced the
    ring's eventfd meanwhile."""
    driver, front, _ = start(bench)
    for _ in range(ROUNDS):
        old = os.dup(front.calls[1])
        with crowd(old):
            driver.doorbell(1)
            assert front.signalled(old)
            driver.doorbell(1)
            front._eventfd(front.calls, SET_VRING_CALL, 1)
            bench.get("connected")
            got = front.signalled(old, 0.5) or front.signalled(
                front.calls[1], 0.5)
            assert got
        os.close(old)


def test_rounds_leave_nothing_behind(bench):
    driver, front, _ = start(bench)
    # With its first call the thread opens descriptors that it keeps.
    driver.doorbell(1)
    assert front.signalled(front.calls[1])
    usage = Usage(bench)
    for _ in range(ROUNDS):
        with crowd(front.calls[1]):
            driver.doorbell(1)
            front.send(SET_VRING_CALL, struct.pack("<Q", 1 | 1 << 8))
            assert front.signalled(front.calls[1])
        front._eventfd(front.calls, SET_VRING_CALL, 1)
        bench.get("connected")
    usage.check()


def test_calls_that_the_kernel_makes_are_left_to_a_thread(make_bench):
    """With ioeventfds KVM itself makes calls, in the virtual CPU's thread; here
    QEMU does it in place of KVM.  When the device sees that calls take long, it
    leaves them to a thread."""
    bench = make_bench(",ack-timeout=5000,x-ioeventfd=on")
    driver, front, _ = start(bench)
    call = front.calls[1]
    driver.doorbell(1)
    assert front.signalled(call)
    with crowd(call):
        least = cost(call)
        wait_until(lambda: bench.log_lines("calls take long"), "it is seen", 30)
        worked, turns = main_loop(bench.machine), 20
        for _ in range(turns):
            driver.doorbell(1)
        worked = main_loop(bench.machine) - worked
        assert front.signalled(call)
    assert worked < turns * least / 2
    # The device changed all rings of this peer at once, and each call comes.
    for ring in range(2):
        wait_until(lambda fd=front.calls[ring]: not select.select(
            [fd], [], [], 0.2)[0] or not os.eventfd_read(fd), "no more calls")
        driver.doorbell(ring)
        assert front.signalled(front.calls[ring])
    assert len(bench.log_lines("calls take long")) == 1
    # For the next peer the device begins anew.
    bench.drop(front)
    bench.until("connected", "no")
    driver, front, _ = start(bench)
    with crowd(front.calls[0]):
        wait_until(lambda: len(bench.log_lines("calls take long")) == 2,
                   "it is seen", 30)
