# SPDX-License-Identifier: Apache-2.0
"""A driver is cut off, and claims that it was in the longest possible commit in
each of 60 rings.  QEMU's main loop ends only as many of these commits as it has
time for."""
import struct
import time

from frontend import MIB, RING_PACKED
from machine import SCALE, wait_until
from test_commit import AVAIL, USED, VERSION_1
from test_state import in_thread, running

RINGS, SIZE, LENGTH = 60, 8192, 4096
BASE, END = 1 << 15, 1 << 15 | LENGTH
AT_ONCE = 32768 // LENGTH
LIMIT = 0.25    # seconds without an answer of the monitor


def ring_file(front, ring):
    return front.regions[1][3] + 16 * SIZE * ring


def session(bench):
    driver, front = bench.driver(), bench.front(size=16 * MIB)
    filled = b"".join(struct.pack("<QIHH", 4711, 2048, i, AVAIL)
                      for i in range(LENGTH))
    filled += struct.pack("<QIHH", 0, 0, 0, USED) * (SIZE - LENGTH)
    for ring in range(RINGS):
        at = ring_file(front, ring)
        front.memory[at:at + len(filled)] = filled

    def run():
        front.negotiate(VERSION_1 | RING_PACKED)
        assert front.set_memory() == 0
        for ring in range(RINGS):
            front.start_ring(ring, BASE, size=SIZE, desc_at=16 * SIZE * ring)
        return True
    done = in_thread(run)
    state = driver.wait_state(running(*range(RINGS)), "all rings run")
    assert wait_until(done, "the session")
    return driver, front, state


def is_ended(front, ring):
    flags = struct.unpack_from("<QIHH", front.memory,
                               ring_file(front, ring))[3]
    return flags & (AVAIL | USED) == AVAIL | USED


def test_commits_of_all_rings_do_not_keep_the_main_loop(make_bench):
    bench = make_bench(",queues=30,ack-timeout=300")
    driver, front, state = session(bench)
    for ring in range(RINGS):
        driver.progress(ring, state.rings[ring].epoch << 32 | BASE << 16 | END)
    stopped, silence = in_thread(front.stop_ring, 0), 0
    while stopped() is None:
        begin = time.monotonic()
        bench.machine.monitor("query-status")
        silence = max(silence, time.monotonic() - begin)
    assert stopped() == END << 16 | END
    assert silence < LIMIT * SCALE
    ended = sum(is_ended(front, ring) for ring in range(RINGS))
    # For every 20 ms the device may end one commit more than AT_ONCE.
    assert AT_ONCE <= ended < AT_ONCE + 10 * SCALE
    assert bench.log_lines("more commits than an honest one makes")
