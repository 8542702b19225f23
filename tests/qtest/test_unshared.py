# SPDX-License-Identifier: Apache-2.0
"""The guest of a peer does not use the memory that its front-end sent: the
guest kicks, but no index in that memory ever moves."""
import contextlib
import os
import struct

import pytest
from driver import CONNECTED, LINK_UP
from frontend import RING_PACKED, SET_VRING_KICK
from machine import wait_until
from test_commit import VERSION_1
from test_state import in_thread, running

UNSHARED = 4
WORDS = "does not use the memory that was sent: is it shared (share=on)?"


def watched(bench):
    """The number of QEMU's epoll sets.  QEMU has more of them while the device
    watches kicks."""
    fds, n = f"/proc/{bench.machine.process.pid}/fd", 0
    for fd in os.listdir(fds):
        with contextlib.suppress(FileNotFoundError):  # QEMU has closed it
            n += os.readlink(f"{fds}/{fd}") == "anon_inode:[eventpoll]"
    return n


def start(bench, features=VERSION_1):
    driver, front = bench.driver(), bench.front()

    def rings():
        front.negotiate(features)
        assert front.set_memory() == 0
        for ring in range(2):
            front.start_ring(ring)
        return True
    done = in_thread(rings)
    driver.wait_state(running(0, 1), "both rings run")
    wait_until(done, "the front-end's part")
    return driver, front


def is_unshared(state):
    return state.status & UNSHARED


def move(front, packed):
    """Make a first buffer available, as a driver does."""
    if packed:
        struct.pack_into("<H", front.memory, front.regions[1][3] + 14, 1 << 7)
    else:
        front.set_indices(0, 1, 0)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_kicks_without_a_move_are_told(bench, packed):
    driver, front = start(bench, VERSION_1 | (RING_PACKED if packed else 0))
    for ring in range(2):
        os.eventfd_write(front.kicks[ring], 1)
    state = driver.wait_state(is_unshared, "the driver is told")
    assert state.status == CONNECTED | LINK_UP | UNSHARED
    assert state.functions[0].status == state.status
    assert len(bench.log_lines(WORDS)) == 1
    assert all(front.memory[at:at + 4096] == bytes(4096)
               for at in (0, front.regions[1][3]))
    # An index that moves proves the device wrong.
    move(front, packed)
    state = driver.wait_state(lambda s: not is_unshared(s), "it moved")
    assert state.status == CONNECTED | LINK_UP
    assert len(bench.log_lines(WORDS)) == 1


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_a_peer_that_moves_is_believed(bench, packed):
    before = watched(bench)
    _, front = start(bench, VERSION_1 | (RING_PACKED if packed else 0))
    move(front, packed)
    for _ in range(3):
        for ring in range(2):
            os.eventfd_write(front.kicks[ring], 1)
    # The sets that are left are those of the two kicks.
    wait_until(lambda: watched(bench) == before + 2, "nobody looks any more")
    assert not bench.log_lines(WORDS)


def test_kicks_that_rings_begin_with_are_no_sign(bench):
    """QEMU's front-end makes eventfds with a count of 1, so the first kick of a
    ring does not come from the guest."""
    before = watched(bench)
    driver, front = start(bench)
    for ring in range(2):
        fd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        os.close(front.kicks[ring])
        front.kicks[ring] = fd
        front.send(SET_VRING_KICK, struct.pack("<Q", ring), [fd])
        bench.get("connected")
    os.eventfd_write(front.kicks[0], 1)
    move(front, False)
    wait_until(lambda: watched(bench) == before + 2, "nobody looks any more")
    assert not bench.log_lines(WORDS)
    # For the next session the device watches again.
    bench.drop(front)
    driver.wait_state(lambda s: not s.status, "the peer has gone")
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "the next peer")
    for ring in range(2):
        os.eventfd_write(front.kicks[ring], 1)
    driver.wait_state(is_unshared, "the driver is told")
