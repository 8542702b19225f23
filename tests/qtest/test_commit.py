# SPDX-License-Identifier: Apache-2.0
"""A driver is killed while it returns buffers of a packed ring, and the
front-end stops the ring before another driver comes.  Wherever the driver was,
the peer must get each buffer back once, and the ring must go on behind them."""
import mmap
import os
import random
import struct
from itertools import accumulate

import pytest
from frontend import (MIB, REM_MEM_REG, RING_PACKED, RING_SIZE,
                      SET_VRING_ENABLE, memfd)
from machine import wait_until
from test_state import in_thread, running

VERSION_1, IN_ORDER, MRG_RXBUF = 1 << 32, 1 << 35, 1 << 15
NEXT, WRITE, AVAIL, USED = 1, 2, 1 << 7, 1 << 15
TO_PEER, FROM_PEER = 0, 1
# The lengths of the commit's chains, in descriptors.
CHAINS = (1, 3, 1, 1, 2)
# Place 250 with wrap counter 1: the commit crosses the end of the ring.
BASE = 250 | 1 << 15
LENGTH = 77  # in the used descriptors that the driver has written
TRACED = 0x7fff  # protocol/vring_find.h


def ahead(place, n):
    at, wrap = (place & 0x7fff) + n, place >> 15
    return at - RING_SIZE | (wrap ^ 1) << 15 if at >= RING_SIZE else at | (
        wrap << 15)


class Ring:
    """The peer's driver. Its buffer ids do not depend on places in the ring."""

    def __init__(self, front, index, place):
        self.front, self.index, self.place = front, index, place
        self.file = front.regions[1][3] + 0x10000 * index
        # Mark the descriptors before `place` as used in this lap.
        for at in range(place & 0x7fff):
            struct.pack_into("<H", front.memory, self.file + 16 * at + 14,
                             AVAIL | USED)

    def desc(self, place):
        return self.file + 16 * (place & 0x7fff)

    def load(self, place):
        return struct.unpack_from("<QIHH", self.front.memory, self.desc(place))

    def post(self, chains=CHAINS):
        """Make chains available; returns the places of all, and of the end."""
        places = [ahead(self.place, n) for n in accumulate((0,) + chains)]
        for number, n in enumerate(chains):
            for i in range(n):
                place = ahead(places[number], i)
                flags = AVAIL if place >> 15 else USED
                flags |= NEXT if i < n - 1 else 0
                flags |= WRITE if self.index == TO_PEER else 0
                ident = 500 + number if i == n - 1 else 9999
                struct.pack_into("<QIHH", self.front.memory, self.desc(place),
                                 0x1000 * number, 2048, ident, flags)
        return places

    def give(self, place, ident):
        """Write a used descriptor, as the device's driver does."""
        flags = AVAIL | USED if place >> 15 else 0
        struct.pack_into("<IHH", self.front.memory, self.desc(place) + 8,
                         LENGTH, ident, flags)

    def is_used(self, place):
        flags = self.load(place)[3]
        return flags & (AVAIL | USED) == (AVAIL | USED if place >> 15 else 0)

    def take(self, chains=CHAINS):
        """Take used chains, up to the first that is not used; returns their ids
        and lengths."""
        taken = []
        while len(taken) < len(chains) and self.is_used(self.place):
            _, length, ident, flags = self.load(self.place)
            assert not flags & NEXT
            taken.append((ident, length))
            self.place = ahead(self.place, chains[ident - 500])
        return taken


def both(place):
    return place | place << 16


def session(bench, features=0, huge=False):
    driver, front = bench.driver(), bench.front(huge=huge)

    def run():
        front.negotiate(VERSION_1 | RING_PACKED | features)
        assert front.set_memory() == 0
        for ring in (TO_PEER, FROM_PEER):
            front.start_ring(ring, BASE)
        return True
    done = in_thread(run)
    state = driver.wait_state(running(0, 1), "both rings run")
    assert wait_until(done, "the session")
    return driver, front, state


def interrupt(driver, ring, state, written, chains=CHAINS, batch=False):
    """Do what a driver does before it is killed, when it has written `written`
    used descriptors of a commit."""
    places = ring.post(chains)
    epoch = state.rings[ring.index].epoch
    driver.progress(ring.index,
                    epoch << 32 | places[0] << 16 | places[-1])
    if batch and written:
        ring.give(places[0], 500 + len(chains) - 1)
    elif not batch:
        for i in range(len(chains) - written, len(chains)):
            ring.give(places[i], 500 + i)
    return places[-1]


def restart(driver, front, ring, base):
    """Start a new driver, and the ring again; returns the STATE."""
    driver.start()
    done = in_thread(lambda: front.start_ring(ring, base) or True)
    state = driver.wait_state(running(0, 1), "both rings run again")
    assert wait_until(done, "the front-end's part")
    return state


@pytest.mark.parametrize("index", [TO_PEER, FROM_PEER])
@pytest.mark.parametrize("features", [0, IN_ORDER, MRG_RXBUF],
                         ids=["plain", "in-order", "mergeable"])
def test_interrupted_commit_is_ended_when_the_ring_stops(bench, index,
                                                         features):
    driver, front, state = session(bench, features)
    ring = Ring(front, index, BASE)
    batch = index == FROM_PEER and features == IN_ORDER
    for written in range(2 if batch else len(CHAINS) + 1):
        end = interrupt(driver, ring, state, written, batch=batch)
        before = [ring.load(ahead(ring.place, i)) for i in range(8)]
        driver.reset()
        assert front.stop_ring(index) == both(end), written
        # The device must not write a descriptor's address.
        assert [ring.load(ahead(ring.place, i))[0] for i in range(8)] == [
            d[0] for d in before]
        whole = written == len(CHAINS) or batch and written
        if batch:
            assert ring.load(ring.place)[1] == (LENGTH if whole else 0)
            assert ring.is_used(ring.place)
            assert ring.load(ring.place)[2] == 500 + len(CHAINS) - 1
            assert not any(ring.is_used(ahead(ring.place, i))
                           for i in range(1, 9))
            ring.place = end
        else:
            lost = 0 if whole else len(CHAINS) if (
                index == TO_PEER and features == MRG_RXBUF) else (
                    len(CHAINS) - written)
            assert ring.take() == [
                (500 + i, 0 if i < lost else LENGTH)
                for i in range(len(CHAINS))]
        assert ring.place == end and not ring.is_used(end)
        state = restart(driver, front, index, end)
        assert state.rings[index].base == both(end)
        assert driver.progress(index) == 0


@pytest.mark.parametrize("cause", ["driver", "reset"])
def test_ring_is_traced_no_longer_when_its_place_was_told(bench, cause):
    """When the device has told the front-end where a ring stands, it removes
    the mark TRACED; with a driver, and without one."""
    driver, front, state = session(bench)
    traced = {}
    for index, said in ((TO_PEER, TRACED), (FROM_PEER, 4711)):
        traced[index] = front.ring_offset(index)
        # The flags behind the mark are DISABLE, and must stay so.
        struct.pack_into("<HH", front.memory, traced[index], said, 1)
    if cause == "reset":
        driver.reset()
    assert front.stop_ring(TO_PEER) == both(BASE)
    assert front.stop_ring(FROM_PEER) == both(BASE)
    said = [struct.unpack_from("<HH", front.memory, at)
            for at in traced.values()]
    assert said == [(0, 1), (4711, 1)]


def test_interrupted_commit_in_huge_pages(bench):
    """A file of huge pages has no write(), so the device has to write in
    another way."""
    try:
        fd = memfd(16 * MIB, huge=True)
        mmap.mmap(fd, 16 * MIB).close()
        os.close(fd)
    except OSError:
        pytest.skip("no huge pages")
    driver, front, state = session(bench, huge=True)
    ring = Ring(front, FROM_PEER, BASE)
    end = interrupt(driver, ring, state, 2)
    driver.reset()
    assert front.stop_ring(FROM_PEER) == both(end)
    assert [i for i, _ in ring.take()] == [500, 501, 502, 503, 504]


def test_chains_that_were_only_available_are_not_touched(bench):
    """A driver that has not begun a commit has returned nothing."""
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    ring.post()
    driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32 | both(BASE))
    driver.reset()
    assert front.stop_ring(FROM_PEER) == both(BASE)
    assert ring.take() == []


def test_new_driver_that_lets_go_before_it_resumes(bench):
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    end = interrupt(driver, ring, state, 2)
    driver.reset()
    driver.start()
    again = driver.wait_state(running(0, 1), "both rings run again")
    # The STATE asks the new driver to end the commit.
    assert again.rings[FROM_PEER].base == end | BASE << 16
    base = in_thread(front.stop_ring, FROM_PEER)
    driver.wait_state(running(0), "ring 1 stopped")
    assert wait_until(base, "the base") == both(end)
    assert [i for i, _ in ring.take()] == [500, 501, 502, 503, 504]


def test_driver_that_is_cut_off_in_a_commit(make_bench):
    """The driver goes on to publish progress, but its writes no longer reach
    the ring: the device must not believe the progress."""
    bench = make_bench(",ack-timeout=300")
    driver, front, state = session(bench)
    rings = [Ring(front, i, BASE) for i in (TO_PEER, FROM_PEER)]
    ends = [interrupt(driver, ring, state, 2) for ring in rings]
    assert front.stop_ring(TO_PEER) == both(ends[0])
    assert "does not answer" in bench.get("driver")
    driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32
                    | both(ahead(ends[1], 5)))
    for ring in rings:
        assert [i for i, _ in ring.take()] == [500, 501, 502, 503, 504]
    driver.wait_state(lambda s: True, "nothing runs")
    again = driver.wait_state(running(1), "ring 1 is back")
    assert again.rings[FROM_PEER].base == both(ends[1])


def enable(front, ring, on):
    return front.acked(SET_VRING_ENABLE, struct.pack("<II", ring, on))


def cut_off(make_bench):
    """A driver that does not acknowledge that ring 0 is paused."""
    bench = make_bench(",ack-timeout=300")
    driver, front, state = session(bench)
    assert enable(front, TO_PEER, 0) == 0
    assert "does not answer" in bench.get("driver")
    return driver, front, state


def test_driver_that_is_cut_off_from_a_paused_ring(make_bench):
    """Buffers that the driver returns after it was cut off do not reach the
    peer's memory: the ring stands where it stood."""
    driver, front, state = cut_off(make_bench)
    for ring in (TO_PEER, FROM_PEER):
        driver.progress(ring, state.rings[ring].epoch << 32
                        | both(ahead(BASE, 5)))
        assert front.stop_ring(ring) == both(BASE)


def test_paused_rings_go_on_after_a_driver_was_cut_off(make_bench):
    driver, front, state = cut_off(make_bench)
    assert enable(front, FROM_PEER, 0) == 0
    driver.wait_state(running(), "nothing runs")
    for ring in (TO_PEER, FROM_PEER):
        assert enable(front, ring, 1) == 0
    again = driver.wait_state(running(0, 1), "both rings run again")
    for ring in (TO_PEER, FROM_PEER):
        assert again.rings[ring].base == both(BASE)
        assert again.rings[ring].epoch != state.rings[ring].epoch
        driver.progress(ring, again.rings[ring].epoch << 32
                        | both(ahead(BASE, 7)))
    base = in_thread(front.stop_ring, FROM_PEER)
    driver.wait_state(running(0), "ring 1 stopped")
    assert wait_until(base, "the base") == both(ahead(BASE, 7))
    driver.reset()
    driver.start()
    last = driver.wait_state(running(0), "another driver")
    assert last.rings[TO_PEER].base == both(ahead(BASE, 7))


def test_paused_rings_go_on_with_another_driver(bench):
    driver, front, state = session(bench)
    paused = in_thread(enable, front, TO_PEER, 0)
    driver.progress(TO_PEER, state.rings[TO_PEER].epoch << 32
                    | both(ahead(BASE, 7)))
    driver.wait_state(running(1), "ring 0 is paused")
    assert wait_until(lambda: paused() is not None, "the reply")
    driver.reset()
    driver.start()
    assert enable(front, TO_PEER, 1) == 0
    again = driver.wait_state(running(0, 1), "ring 0 goes on")
    assert again.rings[TO_PEER].base == both(ahead(BASE, 7))


def test_places_that_make_no_commit(bench):
    """Places that make no sense change no memory and reach no front-end."""
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    for used, avail, told in (
            (RING_SIZE | 1 << 15, BASE, BASE), (BASE, RING_SIZE, BASE),
            (0x7fff, 0xffff, BASE), (0, 0x7fff, BASE),
            (BASE, BASE - 1, BASE - 1),      # backwards
            (BASE, BASE & 0xff | 1, 251),    # more than a ring
            (251, 250 | 1 << 15, 250 | 1 << 15)):
        ring.place = BASE
        ring.post()
        before = front.memory[ring.file:ring.file + 16 * RING_SIZE]
        driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32
                        | used << 16 | avail)
        driver.reset()
        assert front.stop_ring(FROM_PEER) == both(told), (used, avail)
        assert front.memory[ring.file:ring.file + 16 * RING_SIZE] == before
        state = restart(driver, front, FROM_PEER, BASE)


def test_chain_that_does_not_end_within_the_commit(bench):
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    ring.post()
    # The commit ends one descriptor before the last chain ends.
    end = ahead(BASE, sum(CHAINS) - 1)
    driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32
                    | BASE << 16 | end)
    driver.reset()
    assert front.stop_ring(FROM_PEER) == both(end)
    assert [i for i, _ in ring.take()] == [500, 501, 502, 503]


@pytest.mark.parametrize("length, ended", [(4096, True), (4097, False)])
def test_longest_commit(bench, length, ended):
    """The longest commit crosses the end of a large ring.  The device does not
    end a longer one."""
    size, at, used = 8192, 4 * MIB, 8000 | 1 << 15
    avail = (used & 0x7fff) + length - size
    driver, front = bench.driver(), bench.front()
    file = front.regions[1][3] + at
    for i in range(length):
        place = (8000 + i) % size
        struct.pack_into("<QIHH", front.memory, file + 16 * place, 4711, 2048,
                         i, AVAIL if place >= 8000 else USED)

    def run():
        front.negotiate(VERSION_1 | RING_PACKED)
        assert front.set_memory() == 0
        front.start_ring(FROM_PEER, used, size=size, desc_at=at)
        return True
    done = in_thread(run)
    state = driver.wait_state(running(FROM_PEER), "ring 1 runs")
    assert wait_until(done, "the session")
    driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32
                    | used << 16 | avail)
    before = front.memory[file:file + 16 * size]
    driver.reset()
    assert front.stop_ring(FROM_PEER) == both(avail)
    if not ended:
        assert front.memory[file:file + 16 * size] == before
        return
    for i in range(length):
        place = (8000 + i) % size
        assert struct.unpack_from("<QIHH", front.memory, file + 16 * place) == (
            4711, 0, i, AVAIL | USED if place >= 8000 else 0)


def test_ring_of_nonsense(bench):
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    size = 16 * RING_SIZE
    chance = random.Random(4711)
    loop = struct.pack("<QIHH", 0, 0, 0, NEXT | AVAIL) * RING_SIZE
    behind = front.memory[ring.file + size:ring.file + size + 16]
    for turn in range(40):
        front.memory[ring.file:ring.file + size] = (
            loop if turn % 4 == 0 else chance.randbytes(size))
        was, now = (chance.randrange(RING_SIZE) | chance.randrange(2) << 15
                    for _ in range(2))
        driver.progress(FROM_PEER, state.rings[FROM_PEER].epoch << 32
                        | was << 16 | now)
        driver.reset()
        assert front.stop_ring(FROM_PEER) == both(now)
        state = restart(driver, front, FROM_PEER, now)
    assert front.memory[ring.file + size:ring.file + size + 16] == behind
    assert bench.get("connected") == "yes, link up"


def test_ring_whose_memory_is_gone(bench):
    """The device answers the front-end all the same, and logs one line."""
    driver, front, state = session(bench)
    ring = Ring(front, FROM_PEER, BASE)
    end = interrupt(driver, ring, state, 2)
    driver.reset()
    assert front.memory_slot(REM_MEM_REG, front.regions[1]) == 0
    assert front.stop_ring(FROM_PEER) == both(end)
    assert len(bench.log_lines("its memory cannot be written")) == 1
