# SPDX-License-Identifier: Apache-2.0
"""Sends bad input to the device's socket: the device ends the connection, and
logs one line that names the rule.  QEMU and the driver go on, and the device
serves the next peer."""
import fcntl
import os
import random
import select
import socket
import struct
import time

import pytest
from driver import (ACKNOWLEDGE, CAP_NOTIFY, CONNECTED, DRIVER, DRIVER_OK,
                    Driver)
from frontend import (ADD_MEM_REG, HIGH, LOW, MIB, NET_SET_MTU, SET_FEATURES,
                      SET_MEM_TABLE, SET_VRING_ADDR, SET_VRING_BASE,
                      SET_VRING_CALL, SET_VRING_ENABLE, SET_VRING_KICK,
                      SET_VRING_NUM, UVA, Frontend, memfd)
from machine import SCALE, wait_until
from test_state import in_thread, running, start


def table(*regions):
    return struct.pack("<II", len(regions), 0) + b"".join(
        struct.pack("<QQQQ", *r) for r in regions)


def ring(front, **change):
    """Start ring 0 with values that break a rule."""
    desc, avail, used = front.ring_address(0)
    a = {"num": 256, "base": 0, "desc": desc, "avail": avail, "used": used}
    a.update(change)
    front.negotiate()
    front.set_memory()
    front.send(SET_VRING_NUM, struct.pack("<II", 0, a["num"]))
    front.send(SET_VRING_BASE, struct.pack("<II", 0, a["base"]))
    front.send(SET_VRING_ADDR, struct.pack(
        "<IIQQQQ", 0, 0, a["desc"], a["used"], a["avail"], 0))
    front.send(SET_VRING_ENABLE, struct.pack("<II", 0, 1))
    front._eventfd(front.kicks, SET_VRING_KICK, 0)


def memory(front, *regions, fds=None):
    front.negotiate()
    front.send(SET_MEM_TABLE, table(*regions), fds or [front.fd]
               * len(regions))


def pipe_as_kick(front):
    r, w = os.pipe()
    front.negotiate()
    front.send(SET_VRING_KICK, struct.pack("<Q", 0), [w])
    os.close(r)
    os.close(w)


def too_many_fds(front):
    front.send(SET_MEM_TABLE, table((LOW, MIB, UVA, 0)), [front.fd] * 9)


def plain_file(front, path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, MIB)
    memory(front, (LOW, MIB, UVA, 0), fds=[fd])
    os.close(fd)


def unsealed(front):
    fd = memfd(MIB, seal=False)
    memory(front, (LOW, MIB, UVA, 0), fds=[fd])
    os.close(fd)


CASES = {
    "version": (lambda f: f.send(1, flags=3), "version"),
    "unknown request": (lambda f: f.send(200), "request 200"),
    "request zero": (lambda f: f.send(0), "request 0"),
    "huge payload": (
        lambda f: f.socket.sendall(struct.pack("<III", 2, 1, 1 << 31)),
        "payload"),
    "features not offered": (
        lambda f: f.send(SET_FEATURES, struct.pack("<Q", 1 << 60)),
        "not offered"),
    "too many fds": (too_many_fds, "fds"),
    "fd with a message that has none": (
        lambda f: f.send(SET_FEATURES, struct.pack("<Q", 0), [f.fd]), "fds"),
    "pipe as kick": (pipe_as_kick, "eventfd"),
    "memfd as call": (
        lambda f: f.send(SET_VRING_CALL, struct.pack("<Q", 0), [f.fd]),
        "eventfd"),
    "ring index": (
        lambda f: f.send(SET_VRING_NUM, struct.pack("<II", 60, 256)),
        "ring 60"),
    "ring size": (
        lambda f: f.send(SET_VRING_NUM, struct.pack("<II", 0, 0x10000)),
        "entries"),
    "ring of no power of two": (lambda f: ring(f, num=255), "power of two"),
    "ring outside memory": (lambda f: ring(f, desc=UVA + (1 << 40)),
                            "descriptor table"),
    "ring across the end of a region": (
        lambda f: ring(f, used=UVA + LOW + 8 * MIB - 64), "used ring"),
    "unaligned ring": (lambda f: ring(f, desc=UVA + HIGH + 1), "aligned"),
    "overlapping regions": (
        lambda f: memory(f, (LOW, 2 * MIB, UVA, 0),
                         (MIB, 2 * MIB, UVA + HIGH, 0)), "overlap"),
    "region beyond its file": (
        lambda f: memory(f, (LOW, 1 << 40, UVA, 0)), "ends at byte"),
    "region that wraps": (
        lambda f: memory(f, (-4096 & (1 << 64) - 1, 8192, UVA, 0)), "wraps"),
    "empty region": (lambda f: memory(f, (LOW, 0, UVA, 0)), "empty"),
    "unaligned region": (
        lambda f: memory(f, (LOW, MIB, UVA, 512)), "aligned"),
    "region count": (
        lambda f: f.send(SET_MEM_TABLE, struct.pack("<II", 9, 0)
                         + bytes(32 * 8), [f.fd]), "SET_MEM_TABLE"),
    "unsealed memory": (unsealed, "F_SEAL_SHRINK"),
    "more memory than the window": (
        lambda f: memory(f, (LOW, 63 * MIB, UVA, 0)), "window-size"),
    "slot without an fd": (
        lambda f: (f.negotiate(), f.send(
            ADD_MEM_REG, struct.pack("<QQQQQ", 0, LOW, MIB, UVA, 0))),
        "fds"),
}


def open_fds(bench):
    return len(os.listdir(f"/proc/{bench.machine.process.pid}/fd"))


@pytest.mark.parametrize("case", CASES)
def test_violation_ends_the_connection_with_one_line(bench, case):
    send, rule = CASES[case]
    driver = bench.driver()
    driver.wait_state(lambda s: True, "the first state")
    before = open_fds(bench)
    options = {"size": 64 * MIB} if "window" in case else {}
    front = bench.front(**options)
    send(front)
    assert front.closed_by_device()
    lines = bench.log_lines("(peer a)")
    assert len(lines) == 1, lines
    assert rule in lines[0] and lines[0].endswith("closing the connection")
    assert rule in bench.get("violations")
    bench.drop(front)

    def clean():
        state = driver.poll()
        if state:
            driver.ack(state.generation)
        return open_fds(bench) == before
    wait_until(clean, "no fd is left over")
    # The device serves the next peer as if nothing had happened.
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "an honest peer")


def test_plain_file_is_refused(bench, tmp_path):
    front = bench.front()
    plain_file(front, tmp_path / "memory")
    assert front.closed_by_device()
    line, = bench.log_lines("(peer a)")
    assert "tmpfs" in line or "F_SEAL_SHRINK" in line


def test_unsealed_memory_where_the_user_allows_it(make_bench):
    bench = make_bench(",unsealed=on,ack-timeout=5000")
    front = bench.front(seal=False)
    front.start()
    assert "run" in bench.get("rings")


def test_random_bytes(bench):
    driver = bench.driver()
    rng = random.Random(20260101)
    for _ in range(50):
        front = Frontend(bench.socket, size=MIB, low=MIB // 2)
        try:
            front.socket.sendall(rng.randbytes(rng.randrange(1, 300)))
            front.socket.shutdown(socket.SHUT_WR)
            assert front.closed_by_device()
        finally:
            front.close()
    assert "no" in bench.get("connected")
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "an honest peer")


def test_flood_of_violations_does_not_flood_the_log(bench):
    for _ in range(300):
        front = Frontend(bench.socket, size=MIB, low=MIB // 2)
        front.send(0)
        assert front.closed_by_device()
        front.close()
    assert 100 <= len(bench.log_lines("request 0")) < 250
    assert bench.get("violations").startswith("300,")


def test_peer_that_never_reads_is_let_go(bench):
    front = bench.front()
    front.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    request = struct.pack("<III", 1, 1, 0)
    try:
        for _ in range(100000):
            front.socket.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        pass
    bench.until("connected", "no")
    line, = bench.log_lines("(peer a)")
    assert "does not read" in line


def test_silent_half_message_holds_nobody(bench):
    driver = bench.driver()
    front = bench.front()
    front.socket.sendall(b"\1\0\0")
    driver.wait_state(lambda s: s.status == CONNECTED, "the connection")
    bench.drop(front)
    driver.wait_state(lambda s: s.status == 0, "its end")


def test_malformed_ack_breaks_the_driver_not_the_peer(bench):
    driver, front, _ = start(bench)
    driver.send(b"\xff" * 64)
    assert driver.status() & 0x40, "NEEDS_RESET"
    assert bench.get("connected") == "yes, link up"
    driver.start()
    driver.wait_state(running(0, 1), "the driver is back")


def test_ack_of_the_future_releases_nothing(bench):
    driver, front, state = start(bench)
    base = in_thread(front.stop_ring, 0)
    stopped = driver.wait_state(running(1), "ring 0 stopped", ack=False)
    driver.ack(stopped.generation + 1000)
    driver.ack(state.generation)
    assert base() is None
    driver.ack(stopped.generation)
    wait_until(lambda: base() is not None, "the reply")


def test_driver_without_queues(bench):
    """A driver sets DRIVER_OK and has no queues.  The peer waits for the
    timeout, and no longer."""
    driver = Driver(bench.machine)
    driver.set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK)
    front = bench.front()
    front.start()
    bench.until("driver", "ready")
    assert front.stop_ring(0) == 0


def test_driver_whose_queues_are_nowhere(bench):
    driver = bench.driver()
    driver.reset()
    m = driver.machine
    for index in (0, 1):
        m.write16(driver.common + 22, index)
        for offset in range(32, 56, 4):
            m.write32(driver.common + offset, 0xfffffff0)
        m.write16(driver.common + 28, 1)
    driver.set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK)
    for index in (0, 1):
        m.write16(driver.caps[CAP_NOTIFY].address
                  + index * driver.notify_multiplier, index)
    front = bench.front()
    front.start()
    assert front.stop_ring(0) == 0
    driver.start()
    driver.wait_state(running(1), "a driver in order gets the state")


def test_peer_whose_calls_would_block(bench):
    """The call eventfd has a full counter and no O_NONBLOCK, so a write would
    block.  The counter reaches a value that only the kernel's own signal can
    set: that shows that QEMU does not write.  A write would not be safe even
    after a check, because the peer can fill the counter at any moment."""
    driver, front, _ = start(bench)
    call = front.calls[1]
    fcntl.fcntl(call, fcntl.F_SETFL, 0)
    os.eventfd_write(call, (1 << 64) - 2)
    driver.doorbell(1)
    assert bench.get("connected") == "yes, link up"
    overflow = select.poll()
    overflow.register(call, 0)
    assert overflow.poll(10000 * SCALE) == [(call, select.POLLERR)]
    assert os.eventfd_read(call) == (1 << 64) - 1


def test_driver_gone_wild_on_its_registers(bench):
    driver, front, _ = start(bench)
    rng = random.Random(7)
    m = driver.machine
    for _ in range(300):
        m.write32(driver.bars[0] + 4 * rng.randrange(1024), rng.getrandbits(32))
        m.write32(driver.areas[0].address + 4 * rng.randrange(1024),
                  rng.getrandbits(32))
        m.write32(driver.bars[1] + 4 * rng.randrange(44), rng.getrandbits(32))
    driver.enable_msix()
    driver.enable_msix(False)
    os.eventfd_write(front.kicks[0], 1)
    base = in_thread(front.stop_ring, 1)
    driver.wait_state(running(0), "ring 1 stopped")
    wait_until(lambda: base() is not None, "the reply")


def test_other_fds_are_rationed_as_well(bench):
    """New call eventfds do not concern the driver, but they cost the device
    work: the device limits their rate."""
    _, front, _ = start(bench)
    calls, started = 800, time.monotonic()
    for i in range(calls):
        fd = os.eventfd(0)
        front.send(SET_VRING_CALL, struct.pack("<Q", 0), (fd,))
        os.close(fd)
    front.acked(SET_VRING_ENABLE, struct.pack("<II", 0, 1))
    assert time.monotonic() - started > 0.9 * (calls - 512) / 100


def test_changes_of_a_peer_are_rationed(bench):
    """The device limits the rate of a peer's changes, because it tells the
    driver of each change, and the driver may serve other peers, too."""
    front, changes = bench.front(), 800
    front.negotiate()
    started = time.monotonic()
    for i in range(changes):
        assert front.acked(NET_SET_MTU, struct.pack("<Q", 1000 + i % 2)) == 0
    # The device takes 512 at once, then 100 a second.
    assert time.monotonic() - started > 0.9 * (changes - 512) / 100
    # A new connection is a change, too: it may wait, but not for ever.
    for _ in range(3):
        bench.drop(front)
        front = bench.front()
    in_thread(front.start)
    bench.until("connected", "link up")
