# SPDX-License-Identifier: Apache-2.0
"""A driver that does not answer: the peer goes on, its memory is safe."""
import os
import resource
from pathlib import Path

import pytest
from driver import LINK_UP
from frontend import MIB
from machine import wait_until
from test_state import in_thread, running, start


@pytest.fixture
def bench(make_bench):
    return make_bench(",ack-timeout=300")


def silent_stop(bench):
    driver, front, state = start(bench)
    front.memory[0:4] = b"mine"
    base = in_thread(front.stop_ring, 0)
    assert wait_until(lambda: base() is not None, "the reply") and base() == 0
    return driver, front, state


def test_stop_is_answered_and_the_memory_taken_out(bench):
    driver, front, state = silent_stop(bench)
    address = driver.window(state, 0)
    assert driver.machine.read(address, 4) == bytes(4)
    driver.machine.write(address, b"late")
    assert front.memory[0:4] == b"mine"
    assert "does not answer, 1 timeouts" in bench.get("driver")
    assert "taken out" in bench.get("memory")
    assert len(bench.log_lines("did not acknowledge")) == 1


def test_driver_that_answers_late_gets_everything_back(bench):
    driver, front, state = silent_stop(bench)
    epoch = state.rings[1].epoch
    # No ring runs until the driver has released the old memory.
    empty = driver.wait_state(running(), "nothing runs", ack=False)
    assert empty.status & LINK_UP
    driver.ack(empty.generation)
    again = driver.wait_state(running(1), "ring 1 is back")
    assert again.rings[1].epoch != epoch
    assert driver.machine.read(driver.window(again, 0), 4) == b"mine"
    assert bench.get("driver") == "ready, 1 timeouts"


def test_new_driver_gets_everything_back(bench):
    driver, front, state = silent_stop(bench)
    driver.reset()
    driver.start()
    again = driver.wait_state(running(1), "ring 1 is back")
    assert driver.machine.read(driver.window(again, 0), 4) == b"mine"


def test_peer_dies_while_the_driver_is_silent(bench):
    driver, front, state = silent_stop(bench)
    bench.drop(front)
    bench.until("connected", "no")
    # The driver may still use the window: it finds zeroes there, not the peer's
    # memory.
    assert driver.machine.read(driver.window(state, 0), 4) == bytes(4)
    front = bench.front()
    done = in_thread(front.start)
    wait_until(lambda: bench.get("rings").count("run") == 2, "the new peer")
    front.memory[0:4] = b"next"
    # The driver cannot reach the new peer's memory either.
    for offset in range(2, 64, 2):
        data = driver.machine.read(
            driver.areas[1].address + (offset << 20), 4)
        assert data in (bytes(4), b"\xff" * 4)
    state = driver.wait_state(running(0, 1), "the new peer's rings")
    assert driver.machine.read(driver.window(state, 0), 4) == b"next"
    assert done is not None


def test_peers_that_come_and_go_meanwhile_need_the_room_of_one(bench):
    driver, front, state = silent_stop(bench)
    bench.drop(front)
    for turn in range(6):  # of 24 MiB each, in a window of 64
        bench.until("connected", "no")
        front = bench.front(size=24 * MIB)
        done = in_thread(lambda f=front: f.start() or True)
        wait_until(done, f"peer {turn}")
        assert bench.get("rings").count("run") == 2
        assert driver.machine.read(driver.window(state, 0), 4) == bytes(4)
        front.memory[0:4] = b"%04d" % turn
        if turn < 5:
            bench.drop(front)
    state = driver.wait_state(running(0, 1), "the last peer's rings")
    assert driver.machine.read(driver.window(state, 0), 4) == b"0005"
    assert not bench.log_lines("no room")


def test_memory_that_cannot_be_mapped_again_ends_the_connection(bench):
    driver, front, state = silent_stop(bench)
    pid = driver.machine.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, -1))
    try:
        driver.wait_state(running(), "nothing runs")
        assert front.closed_by_device()
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    # The window shows no memory: not the peer's, and no other of QEMU's.
    assert driver.machine.read(driver.window(state, 0), 4) == b"\xff" * 4
    assert len(bench.log_lines("cannot be mapped again")) == 1
    bench.drop(front)
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "a new connection has it")


def test_peer_dies_while_it_waits(make_bench):
    bench = make_bench(",ack-timeout=5000")
    driver, front, state = start(bench)
    in_thread(front.socket.sendall,
              b"\x0b\0\0\0\1\0\0\0\x08\0\0\0" + bytes(8))
    driver.wait_state(running(1), "ring 0 stopped", ack=False)
    bench.drop(front)
    gone = driver.wait_state(lambda s: s.status == 0, "the peer is gone",
                             ack=False)
    assert gone.regions == []
    driver.ack(gone.generation)
    bench.until("memory", "0 regions")
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "the peer is back")
    assert bench.get("driver") == "ready"


def held_by_qemu(bench):
    """The number of descriptors of peers' memory that QEMU has open."""
    held = 0
    for fd in Path(f"/proc/{bench.machine.process.pid}/fd").iterdir():
        try:
            held += "memfd:peer" in os.readlink(fd)
        except FileNotFoundError:
            pass
    return held


def test_nothing_of_a_dead_peer_is_held_for_a_silent_driver(bench):
    driver, front, state = silent_stop(bench)
    assert held_by_qemu(bench)
    bench.drop(front)
    bench.until("memory", "0 regions")
    wait_until(lambda: not held_by_qemu(bench), "no descriptor of the peer")
    # The driver may still use the window: zeroes are there, without the file.
    assert driver.machine.read(driver.window(state, 0), 4) == bytes(4)


def test_peers_that_come_and_go_under_a_silent_driver(make_bench):
    """Each peer has another size, and its place in the window stays occupied.
    When the window is full, the device refuses the next peer."""
    bench = make_bench(",ack-timeout=300,window-size=1G")
    driver, front, state = silent_stop(bench)
    bench.drop(front)
    for turn in range(40):
        bench.until("connected", "no")
        front = bench.front(size=4 * MIB + (turn << 16), low=2 * MIB)
        front.negotiate()
        try:
            front.set_memory()
        except (AssertionError, ConnectionError):
            break
        finally:
            bench.drop(front)
    assert len(bench.log_lines("has not released the memory of earlier "
                               "peers")) == 1
    # When the driver answers, all places are free again for the next peer.
    bench.until("connected", "no")
    driver.reset()
    driver.start()
    front = bench.front()
    in_thread(front.start)
    driver.wait_state(running(0, 1), "the next peer's rings")
