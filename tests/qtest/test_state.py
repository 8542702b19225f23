# SPDX-License-Identifier: Apache-2.0
"""The peer's state as the driver sees it, and what the device does at the
driver's ACKs."""
import os
import re
import struct
import threading
import time

import pytest
from driver import ABI, CALL, CONNECTED, LINK_UP, NET, RUN
from frontend import (ADD_MEM_REG, GET_MAX_MEM_SLOTS, HIGH, LOW, MIB,
                      NET_SET_MTU, REM_MEM_REG, RING_SIZE, SEND_RARP,
                      SET_VRING_ENABLE, UVA)
from machine import wait_until


def running(*rings):
    def condition(state):
        return [i for i, r in enumerate(state.rings)
                if r.flags & RUN] == list(rings)
    return condition


def start(bench, rings=2):
    """Start a driver and a front-end; the driver acknowledges each state."""
    driver = bench.driver()
    front = bench.front()
    done = []
    thread = threading.Thread(target=lambda: done.append(front.start(rings)))
    thread.start()
    state = driver.wait_state(running(*range(rings)), "all rings run")
    thread.join(10)
    assert done, "the front-end's session did not end"
    return driver, front, state


def in_thread(function, *args):
    """Run a function in the background; returns a function that returns the
    result, or None as long as there is none."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)),
                              daemon=True)
    thread.start()
    return lambda: result[0] if result else None


def test_areas_are_where_the_specification_says(bench):
    driver = bench.driver()
    assert driver.areas[0] == (driver.bars[2], 4096)
    assert driver.areas[1] == (driver.bars[2], 64 * MIB)
    assert driver.areas[2] == (driver.bars[0], 4096)


def test_config_space(make_bench):
    bench = make_bench(",uuid=00112233-4455-6677-8899-aabbccddeeff,queues=2")
    c = bench.driver().config()
    assert (c["abi"], c["flags"], c["status"]) == (ABI, 1, 0)
    assert (c["vector"], c["vectors"], c["notify_queue"]) == (3, 4, 0)
    assert c["name"] == "a"
    assert c["uuid"].hex() == "00112233445566778899aabbccddeeff"
    (kind, first, rings, offered), = c["functions"]
    assert (kind, first, rings, c["rings"]) == (NET, 0, 4, 4)
    assert offered >> 32 & 1, "VERSION_1"


def test_driver_without_peer_gets_an_empty_state(bench):
    state = bench.driver().wait_state(lambda s: True, "the first state")
    assert (state.status, state.regions, state.rings) == (0, [], [])
    function, = state.functions
    assert (function.type, function.max_rings, function.status) == (NET, 8, 0)


def test_peer_session_becomes_state(bench):
    driver, front, state = start(bench)
    function, = state.functions
    assert state.status == function.status == CONNECTED | LINK_UP
    assert (function.type, function.first_ring, function.max_rings) == (
        NET, 0, 8)
    assert (function.config, function.in_flight) == ((0, 0), (0, 0))
    assert [(r.gpa, r.size) for r in state.regions] == [
        (LOW, 8 * MIB), (HIGH, 8 * MIB)]
    assert {(r.space, r.area) for r in state.regions} == {(0, 1)}
    for ring, r in enumerate(state.rings):
        at = HIGH + 0x10000 * ring
        assert (r.desc, r.avail, r.used) == (at, at + 0x4000, at + 0x8000)
        assert (r.num, r.flags, r.base) == (RING_SIZE, RUN | CALL, 0)
        assert r.epoch > 0
    assert driver.config()["status"] == CONNECTED | LINK_UP
    assert bench.get("connected") == "yes, link up"
    assert "ready" in bench.get("driver")
    assert bench.log_lines("vhost-pci") == []


def test_regions_keep_huge_page_alignment_and_do_not_overlap(bench):
    _, _, state = start(bench)
    low, high = state.regions
    assert low.offset >= 2 * MIB
    # Both regions begin at multiples of 2 MiB in the file.
    assert low.offset % (2 * MIB) == 0 and high.offset % (2 * MIB) == 0
    assert (low.offset + low.size <= high.offset
            or high.offset + high.size <= low.offset)


def test_window_is_the_peers_memory(bench):
    driver, front, state = start(bench)
    m = driver.machine
    front.memory[5000:5004] = b"peer"
    assert m.read(driver.window(state, LOW + 5000), 4) == b"peer"
    m.write(driver.window(state, HIGH + 8 * MIB - 8), b"switch!!")
    assert front.memory[-8:] == b"switch!!"


def test_outside_any_region_all_ones_and_writes_dropped(bench):
    driver, _, state = start(bench)
    m = driver.machine
    hole = driver.areas[1].address + 60 * MIB
    m.write32(hole, 0x12345678)
    assert m.read32(hole) == 0xffffffff
    assert m.read64(hole) == 0xffffffffffffffff
    assert m.read16(hole + 3) == 0xffff


def test_late_driver_gets_the_whole_state(bench):
    front = bench.front()
    front.start()
    state = bench.driver().wait_state(lambda s: True, "the first state")
    assert running(0, 1)(state)
    assert len(state.regions) == 2


def test_driver_that_comes_again_resumes_where_the_last_one_was(bench):
    driver, front, state = start(bench)
    first = state.rings[1]
    driver.progress(1, first.epoch << 32 | 77)
    front.set_indices(1, 80, 77)
    driver.reset()
    bench.until("driver", "none")
    driver.start()
    again = driver.wait_state(running(0, 1), "rings run again").rings[1]
    assert again.base == 77
    assert again.epoch != first.epoch


@pytest.mark.parametrize("base, progress, avail, used, place", [
    (0, 100, 140, 132, 132),         # a burst whose progress was not published
    (0, 100, 100 + 256, 100, 100),   # at rest
    (0, 100, 140, 90, 90),           # its last burst went elsewhere
    (0, 65530, 8, 4, 4),
    (0, None, 40100, 40000, 40000),  # DPDK's virtio-user: its base is 0
    # Used indices that no device writes: beyond the available chains, or more
    # than a ring behind.
    (0, 100, 100, 101, 100),
    (0, 100, 100, 100 + 256, 100),
    (0, 100, 400, 143, 100),
    (30, None, 30, 31, 30),
])
def test_place_of_a_split_ring_whose_driver_is_gone(bench, base, progress,
                                                    avail, used, place):
    driver, front = bench.driver(), bench.front()

    def run():
        front.negotiate()
        assert front.set_memory() == 0
        for ring in (0, 1):
            front.start_ring(ring, base)
        return True
    done = in_thread(run)
    state = driver.wait_state(running(0, 1), "both rings run")
    assert wait_until(done, "the session")
    if progress is not None:
        driver.progress(0, state.rings[0].epoch << 32 | progress)
    front.set_indices(0, avail, used)
    driver.reset()
    # The next driver and the front-end must get the same place.
    driver.start()
    again = driver.wait_state(running(0, 1), "rings run again")
    assert again.rings[0].base == place
    driver.reset()
    assert front.stop_ring(0) == place


def test_stop_waits_for_the_ack_and_tells_the_progress(bench):
    driver, front, state = start(bench)
    driver.progress(0, state.rings[0].epoch << 32 | 42)
    front.set_indices(0, 42, 42)
    base = in_thread(front.stop_ring, 0)
    stopped = driver.wait_state(running(1), "ring 0 stopped", ack=False)
    assert base() is None, "answered before the driver let go"
    driver.ack(stopped.generation)
    assert wait_until(base, "GET_VRING_BASE is answered") == 42


def test_disabled_ring_goes_on_with_the_same_epoch(bench):
    driver, front, state = start(bench)
    epoch = state.rings[0].epoch
    enable = in_thread(front.acked, SET_VRING_ENABLE,
                       struct.pack("<II", 0, 0))
    driver.wait_state(running(1), "ring 0 paused")
    assert wait_until(lambda: enable() is not None, "the reply")
    assert front.acked(SET_VRING_ENABLE, struct.pack("<II", 0, 1)) == 0
    again = driver.wait_state(running(0, 1), "ring 0 goes on")
    assert again.rings[0].epoch == epoch


def test_new_memory_table_swaps_after_the_ack(bench):
    driver, front, state = start(bench)
    old = [r.offset for r in state.regions]
    # The region with the rings stays; the new table splits the low region.
    table = [(LOW, 4 * MIB, UVA + LOW, 0),
             (LOW + 4 * MIB, 4 * MIB, UVA + LOW + 4 * MIB, 4 * MIB),
             front.regions[1]]
    front.memory[0:4] = b"old!"
    done = in_thread(front.set_memory, table)
    new = driver.wait_state(lambda s: len(s.regions) == 3, "three regions",
                            ack=False)
    assert done() is None
    # Until the ACK the old and the new region are there, because the driver may
    # still use the old one.
    old_address = driver.areas[1].address + old[0]
    assert driver.machine.read(old_address, 4) == b"old!"
    assert driver.machine.read(driver.window(new, LOW), 4) == b"old!"
    assert new.regions[2].offset == old[1], "what did not change stays"
    driver.ack(new.generation)
    assert wait_until(lambda: done() is not None, "the reply") and done() == 0
    assert driver.machine.read(old_address, 4) == b"\xff" * 4


def test_mtu_and_rarp(bench):
    driver, front, _ = start(bench)
    assert front.acked(NET_SET_MTU, struct.pack("<Q", 9000)) == 0
    state = driver.wait_state(lambda s: s.mtu == 9000, "the MTU")
    assert front.acked(SEND_RARP, b"\x52\x54\0\1\2\3\0\0") == 0
    rarp = driver.wait_state(lambda s: s.rarp_count != state.rarp_count,
                             "the RARP")
    assert rarp.rarp_mac == b"\x52\x54\0\1\2\3"


def test_peer_dies_and_comes_back(bench):
    driver, front, _ = start(bench)
    bench.drop(front)
    state = driver.wait_state(lambda s: s.status == 0, "the peer is gone")
    assert (state.regions, state.rings) == ([], [])
    bench.until("memory", "0 regions")
    front = bench.front()
    in_thread(front.start)
    state = driver.wait_state(running(0, 1), "the peer is back")
    front.memory[0:3] = b"new"
    assert driver.machine.read(driver.window(state, 0), 3) == b"new"


def test_states_without_a_buffer_are_merged(bench):
    driver = bench.driver(buffers=0)
    front = bench.front()
    front.start()
    driver.add_buffer()
    state = wait_until(driver.poll, "a state")
    assert running(0, 1)(state)
    assert driver.poll() is None


def test_doorbell_signals_the_peer(bench):
    driver, front, _ = start(bench)
    assert front.signalled(front.calls[1], 0) == 0
    driver.doorbell(1)
    assert front.signalled(front.calls[1]) == 1
    driver.doorbell(59)  # no such ring: nothing happens
    assert front.signalled(front.calls[0], 0) == 0


def test_virtio_reset_drops_the_doorbells(bench):
    driver, front, _ = start(bench)
    driver.reset()
    driver.doorbell(1)
    assert bench.get("connected") == "yes, link up"
    assert front.signalled(front.calls[1], 0.2) == 0


def interrupts(bench):
    """[interrupts that the peer's kicks have raised, how often the device held
    kicks back]"""
    return [int(n) for n in re.findall(r"\d+", bench.get("kicks"))]


def test_kicks_without_end_raise_so_many_interrupts(bench, accel):
    """At most 100 interrupts in 10 ms.  The last kick always raises one."""
    driver, front, _ = start(bench)
    m = driver.machine
    target = m.alloc(4)
    driver.set_vector(driver.config()["vector"] + 1, target, 0x4321)
    driver.enable_msix()
    begun = time.monotonic()

    def flood():
        for _ in range(20000):
            os.eventfd_write(front.kicks[1], 1)
        return interrupts(bench)[1]
    wait_until(flood, "a ring is held back")
    counts = interrupts(bench)
    assert counts[0] <= 100 * (2 + (time.monotonic() - begun) * 100), counts
    m.write32(target, 0)
    os.eventfd_write(front.kicks[1], 1)
    # KVM delivers messages only to a local APIC, not to memory.
    wait_until(lambda: accel == "kvm" or m.read32(target) == 0x4321,
               "the last kick's message")


def test_kick_raises_the_rings_vector(bench, accel):
    driver, front, state = start(bench)
    m = driver.machine
    target = m.alloc(4)
    vector = driver.config()["vector"] + 1
    driver.set_vector(vector, target, 0x4321)
    driver.enable_msix()

    def arrived():
        # KVM delivers messages only to a local APIC, not to memory.
        if accel == "kvm":
            return interrupts(bench)[0] > 0
        return m.read32(target) == 0x4321

    os.eventfd_write(front.kicks[1], 1)
    wait_until(arrived, "the message")
    # While the vector is masked, the message is pending; unmasking sends it.
    m.write32(target, 0)
    driver.mask_vector(vector, True)
    os.eventfd_write(front.kicks[1], 1)
    pending = driver.bars[1] + 0x800
    wait_until(lambda: m.read32(pending) == 1 << vector, "the pending bit")
    assert m.read32(target) == 0
    if accel != "kvm":
        driver.mask_vector(vector, False)
        wait_until(arrived, "the message, unmasked")


def test_broken_ring_stays_stopped_until_the_peer_restarts_it(bench):
    driver, front, state = start(bench)
    driver.broken(1, state.generation, b"descriptor loop\n\x1b[31m")
    stopped = driver.wait_state(running(0), "ring 1 stopped")
    assert stopped.status == CONNECTED | LINK_UP
    lines = bench.log_lines("ring 1")
    assert len(lines) == 1 and "(peer a)" in lines[0]
    assert "descriptor loop??[31m" in lines[0]
    assert "ring 1: descriptor loop" in bench.get("broken")
    assert front.signalled(front.errs[1]) == 1
    # A second message is stale, so it changes nothing and logs nothing.
    driver.broken(1, state.generation, b"again")
    assert len(bench.log_lines("ring 1")) == 1
    base = in_thread(front.stop_ring, 1)
    wait_until(lambda: base() is not None, "the base of a broken ring")
    in_thread(front.start_ring, 1)
    driver.wait_state(running(0, 1), "ring 1 runs again")
    assert bench.get("broken") == ""


def test_stale_broken_message_is_ignored(bench):
    driver, front, state = start(bench)
    base = in_thread(front.stop_ring, 1)
    driver.wait_state(running(0), "ring 1 stopped")
    wait_until(lambda: base() is not None, "the base")
    in_thread(front.start_ring, 1)
    driver.wait_state(running(0, 1), "ring 1 runs again")
    driver.broken(1, state.generation, b"of its last life")
    assert bench.get("broken") == ""
    assert bench.log_lines("ring 1") == []


def test_memory_slots_come_and_go_one_by_one(bench):
    driver = bench.driver()
    front = bench.front()

    def session():
        front.negotiate()
        assert front.get(GET_MAX_MEM_SLOTS) == 16
        for region in front.regions:
            assert front.memory_slot(ADD_MEM_REG, region) == 0
        front.start_ring(0)
        return True
    done = in_thread(session)
    state = driver.wait_state(running(0), "ring 0 runs")
    assert wait_until(done, "the session")
    assert len(state.regions) == 2
    address = driver.window(state, LOW)
    gone = in_thread(front.memory_slot, REM_MEM_REG, front.regions[0])
    state = driver.wait_state(lambda s: len(s.regions) == 1, "one region",
                              ack=False)
    assert gone() is None
    driver.ack(state.generation)
    assert wait_until(lambda: gone() is not None, "the reply")
    assert driver.machine.read(address, 4) == b"\xff" * 4
    # The peer uses added memory as soon as it has the answer, so the device
    # answers only after the driver's ACK.
    back = in_thread(front.memory_slot, ADD_MEM_REG, front.regions[0])
    state = driver.wait_state(lambda s: len(s.regions) == 2, "two regions",
                              ack=False)
    bench.get("memory")     # by now the device would have sent the answer
    assert back() is None
    driver.ack(state.generation)
    assert wait_until(lambda: back() is not None, "the reply") and back() == 0
    # A ring pauses when its region is removed.
    in_thread(front.memory_slot, REM_MEM_REG, front.regions[1])
    state = driver.wait_state(lambda s: len(s.regions) == 1, "one region")
    assert running()(state)


def test_new_memory_that_is_not_acknowledged_takes_nothing_away(make_bench):
    """If the driver acknowledges new memory too late, the peer gets its answer
    all the same.  The driver keeps the old memory, and reads in the state page
    that the peer uses the new memory.  If the driver is late when memory is
    removed, the device takes the window away."""
    bench = make_bench(",ack-timeout=50")
    driver, front = bench.driver(), bench.front()

    def session():
        front.negotiate()
        assert front.memory_slot(ADD_MEM_REG, front.regions[1]) == 0
        front.start_ring(0)
        return True
    done = in_thread(session)
    state = driver.wait_state(running(0), "ring 0 runs")
    assert wait_until(done, "the session")
    offset = front.regions[1][3]
    front.memory[offset:offset + 4] = b"ours"
    added = in_thread(front.memory_slot, ADD_MEM_REG, front.regions[0])
    state = driver.wait_state(lambda s: len(s.regions) == 2, "two regions",
                              ack=False)
    assert wait_until(lambda: added() is not None, "the reply")
    assert added() == 0
    assert bench.log_lines("did not acknowledge new memory within 50 ms")
    assert "1 timeouts" in bench.get("driver")
    assert "taken out" not in bench.get("memory")
    assert driver.grown() == state.generation
    address = driver.window(state, front.regions[1][0])
    assert driver.machine.read(address, 4) == b"ours"
    driver.ack(state.generation)
    assert front.memory_slot(REM_MEM_REG, front.regions[0]) == 0
    assert "taken out" in bench.get("memory")
    assert "2 timeouts" in bench.get("driver")


def test_window_offsets_follow_the_files_where_pages_are_small(bench):
    """Offsets in the window and in the file are equal modulo 2 MiB, so that the
    host can map huge pages."""
    driver = bench.driver()
    front = bench.front(size=16 * MIB, low=5 * MIB + 4096)
    done = in_thread(front.start)
    state = driver.wait_state(running(0, 1), "both rings run")
    assert done is not None
    high = state.regions[1]
    assert high.offset % (2 * MIB) == (5 * MIB + 4096) % (2 * MIB)
    front.memory[5 * MIB + 4096:5 * MIB + 4100] = b"high"
    front.memory[5 * MIB + 4092:5 * MIB + 4096] = b"low!"
    m = driver.machine
    assert m.read(driver.window(state, HIGH), 4) == b"high"
    assert m.read(driver.window(state, LOW + 5 * MIB + 4092), 4) == b"low!"


def test_as_many_queue_pairs_as_there_can_be(make_bench):
    bench = make_bench(",queues=30,ack-timeout=5000")
    driver = bench.driver()
    front = bench.front()
    done = in_thread(front.start, 60)
    state = driver.wait_state(running(*range(60)), "60 rings run")
    assert wait_until(lambda: bench.get("rings").count("run") == 60, "60")
    wait_until(lambda: 59 in front.calls, "the last call eventfd")
    driver.doorbell(59)
    assert front.signalled(front.calls[59]) == 1
    assert len({r.epoch for r in state.rings}) == 1 and done is not None


def test_device_without_vectors_for_kicks_says_so(make_bench):
    bench = make_bench(",vectors=3,ack-timeout=5000")
    driver, front, _ = start(bench)
    c = driver.config()
    assert (c["vector"], c["vectors"]) == (0, 0)
    os.eventfd_write(front.kicks[0], 1)
    assert bench.get("connected") == "yes, link up"


def test_rings_share_the_vectors_that_there_are(make_bench, accel):
    bench = make_bench(",vectors=4,ack-timeout=5000")
    driver, front, _ = start(bench)
    m, c = driver.machine, driver.config()
    target = m.alloc(4)
    assert (c["vector"], c["vectors"]) == (3, 1)
    driver.set_vector(3, target, 0x4321)
    driver.enable_msix()
    for ring in (0, 1):
        m.write32(target, 0)
        os.eventfd_write(front.kicks[ring], 1)
        wait_until(lambda: interrupts(bench)[0] > ring
                   if accel == "kvm" else m.read32(target) == 0x4321,
                   f"the message for ring {ring}")
    # After masking and unmasking, the device watches each ring again.
    driver.mask_vector(3, True)
    m.write32(target, 0)
    driver.mask_vector(3, False)
    os.eventfd_write(front.kicks[0], 1)
    wait_until(lambda: interrupts(bench)[0] > 2
               if accel == "kvm" else m.read32(target) == 0x4321,
               "the message after unmasking")


def test_control_queue_of_fewer_pairs_is_refused_when_kicked(bench):
    """A front-end with fewer pairs starts the control queue in the place of
    another ring.  The device does not run the ring, and the first kick of the
    ring ends the connection."""
    driver, front, _ = start(bench)
    in_thread(front.start_ring, 2)
    wait_until(lambda: "2:stop,call" in bench.get("rings") and 2 in
               front.kicks, "ring 2 is known")
    assert bench.log_lines("control queue") == []
    os.eventfd_write(front.kicks[2], 1)
    assert wait_until(front.closed_by_device, "the end of the connection")
    assert len(bench.log_lines("ring 2 is the control queue, which the "
                               "front-end has to serve itself")) == 1
    # The device serves a front-end with all queues, whichever it kicks first.
    driver.wait_state(lambda s: s.status == 0, "the peer is gone")
    bench.drop(front)
    front = bench.front()
    done = in_thread(lambda: front.start(4) or True)
    driver.wait_state(running(0, 1, 2, 3), "four rings run")
    assert wait_until(done, "the session")
    os.eventfd_write(front.kicks[2], 1)
    assert front.get(GET_MAX_MEM_SLOTS) == 16
