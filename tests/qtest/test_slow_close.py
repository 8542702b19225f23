# SPDX-License-Identifier: Apache-2.0
"""A peer sends descriptors that are slow to close: TCP sockets with SO_LINGER
and unsent data.

QEMU's main loop must answer all the time, in whatever message the peer sends
them.
"""
import contextlib
import os
import signal
import socket
import struct
import time

import pytest
from frontend import SET_VRING_CALL, Frontend
from machine import SCALE, wait_until
from test_lifecycle import unplug
from test_state import in_thread, running

LINGER = 8      # seconds for which closing blocks: clearly more than LIMIT
LIMIT = 0.25    # seconds without an answer of the monitor
ROUNDS = 1000 if os.environ.get("VHOSTPCI_FULL") else 100


class Slow:
    """A full TCP connection from which nobody reads: closing `near` blocks."""

    def __init__(self):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            self.near = socket.socket()
            self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, int(LINGER * SCALE)))
            self.near.connect(listener.getsockname())
            self.far = listener.accept()[0]
        self.near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.near.send(bytes(65536))

    def release(self):
        """Reset the connection: closing `near` no longer blocks."""
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
        self.far.close()


@contextlib.contextmanager
def stopped(bench):
    """Stop QEMU while the body runs.  If the test closes its copy of a sent
    descriptor meanwhile, QEMU gets the last copy, and has to close it."""
    bench.machine.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        bench.machine.process.send_signal(signal.SIGCONT)


def entries(bench, what):
    return len(os.listdir(f"/proc/{bench.machine.process.pid}/{what}"))


def counts(bench):
    return entries(bench, "fd"), entries(bench, "task")


def maps_and_rss(bench):
    """The number of QEMU's mappings, and its resident memory in KiB."""
    proc = f"/proc/{bench.machine.process.pid}"
    with open(proc + "/maps") as maps, open(proc + "/statm") as statm:
        return len(maps.readlines()), int(statm.read().split()[1]) * 4


class Usage:
    """QEMU's descriptors, threads and memory: many rounds must not raise
    them."""

    def __init__(self, bench):
        self.bench = bench
        self.counts, self.memory = counts(bench), maps_and_rss(bench)

    def check(self):
        # There may be fewer: QEMU's own threads come and go.
        wait_until(lambda: all(now <= was for now, was in zip(
            counts(self.bench), self.counts)), "all is closed")
        maps, rss = (now - was for now, was in zip(maps_and_rss(self.bench),
                                                   self.memory))
        print(f"fds and threads as before {self.counts}, {maps:+} maps, "
              f"{rss:+} KiB")
        # The memory allocator may hold a little more than before.
        assert maps < 16 and rss < 8192


def longest_silence(bench, until):
    """The longest time, in seconds, for which the monitor does not answer,
    until until() is true and for 20 questions more."""
    longest, end = 0, time.monotonic() + 10 * SCALE
    more = 20
    while more:
        begin = time.monotonic()
        assert begin < end, "what was to happen did not"
        more -= bool(until())
        bench.machine.monitor("query-status")
        longest = max(longest, time.monotonic() - begin)
    return longest


def one_refused(front, slow):
    front.send(SET_VRING_CALL, struct.pack("<Q", 0), [slow.near.fileno()])


def one_too_many(front, slow):
    front.send(SET_VRING_CALL, struct.pack("<Q", 0),
               [front.fd] * 8 + [slow.near.fileno()])


def one_beyond_what_qemu_takes(front, slow):
    front.send(SET_VRING_CALL, struct.pack("<Q", 0),
               [front.fd] * 16 + [slow.near.fileno()])


def as_many_as_there_may_be(front, slow):
    front.send(SET_VRING_CALL, struct.pack("<Q", 0),
               [front.fd] * 252 + [slow.near.fileno()])


def one_queued(front, slow):
    """The slow descriptor comes behind a message that ends the connection."""
    front.send(200)
    one_refused(front, slow)


CASES = (one_refused, one_too_many, one_beyond_what_qemu_takes,
         as_many_as_there_may_be, one_queued)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_the_monitor_answers_while_a_descriptor_does_not_close(bench, case):
    before = counts(bench)
    slow, front = Slow(), bench.front()
    bench.until("connected", "yes")
    with stopped(bench):
        case(front, slow)
        slow.near.close()
    silence = longest_silence(
        bench, lambda: bench.get("violations").startswith("1,"))
    assert silence < LIMIT * SCALE
    assert front.closed_by_device()
    bench.drop(front)
    slow.release()
    wait_until(lambda: counts(bench) == before, "all is closed")


def test_the_next_peer_is_served_while_a_descriptor_does_not_close(bench):
    driver, slow, front = bench.driver(), Slow(), bench.front()
    bench.until("connected", "yes")
    with stopped(bench):
        one_refused(front, slow)
        slow.near.close()
    assert front.closed_by_device()
    bench.drop(front)
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "an honest peer")
    slow.release()


def test_the_device_goes_while_a_descriptor_does_not_close(make_bench):
    bench = make_bench(machine="pc")
    slow, front = Slow(), bench.front()
    bench.until("connected", "yes")
    with stopped(bench):
        one_queued(front, slow)
        slow.near.close()
    begin = time.monotonic()
    unplug(bench)
    assert time.monotonic() - begin < LINGER * SCALE / 2
    bench.drop(front)
    slow.release()


def test_a_peer_with_many_open_descriptors_is_not_read_from(bench):
    slow, front = Slow(), bench.front()
    bench.until("connected", "yes")
    with stopped(bench):
        one_refused(front, slow)
        slow.near.close()
    assert front.closed_by_device()
    bench.drop(front)
    before, rounds = entries(bench, "fd"), 0
    while rounds < 10:
        front = Frontend(bench.socket)
        front.socket.settimeout(0.5)
        front.send(SET_VRING_CALL, struct.pack("<Q", 0), [front.fd] * 253)
        try:
            closed = front.socket.recv(1) == b""
        except ConnectionResetError:
            closed = True
        except TimeoutError:
            closed = False
        front.close()
        if not closed:
            break
        rounds += 1
    assert 1 <= rounds <= 3
    assert entries(bench, "fd") < before + 1024
    slow.release()
    # The blocked descriptors close, too.
    wait_until(lambda: entries(bench, "fd") < before, "all is closed")


def test_rounds_leave_nothing_behind(bench):
    usage = None
    for turn in range(ROUNDS):
        slow, front = Slow(), bench.front()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            CASES[turn % len(CASES)](front, slow)
        slow.release()
        slow.near.close()
        assert front.closed_by_device()
        bench.drop(front)
        # In the first turn of each case the C library allocates memory that it
        # keeps.
        if turn + 1 == len(CASES):
            bench.get("connected")
            usage = Usage(bench)
    usage.check()
