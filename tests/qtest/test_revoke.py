# SPDX-License-Identifier: Apache-2.0
"""A driver is at work while its window is revoked. As a virtual CPU would, the
driver writes into QEMU's memory while QEMU's main loop runs."""
import os
import struct
import threading

import pytest
from driver import Driver
from frontend import (HIGH, LOW, MIB, RING_PACKED, RING_SIZE,
                      SET_VRING_ENABLE, UVA)
from machine import wait_until
from test_commit import (AVAIL, FROM_PEER, LENGTH, TO_PEER, USED, VERSION_1,
                         ahead, both)
from test_state import in_thread, running, start

BURST = 32
START = 1 << 15  # of a packed ring: descriptor 0, wrap counter 1


class Cpu:
    """Loads and stores that run at the same time as QEMU's main loop.

    The kernel holds the lock of mmap() for each access, so an access meets the
    memory before or after a replacement, as a store of a virtual CPU does.
    """

    def __init__(self, machine):
        self.machine = machine
        self.fd = os.open(f"/proc/{machine.process.pid}/mem", os.O_RDWR)

    def close(self):
        os.close(self.fd)

    def at(self, address):
        """QEMU's own address for a bus address."""
        line = self.machine.hmp(f"gpa2hva {address:#x}")
        return int(line.split(" is ")[1], 16)

    def load64(self, at):
        return struct.unpack("<Q", os.pread(self.fd, 8, at))[0]

    def store64(self, at, value):
        os.pwrite(self.fd, struct.pack("<Q", value), at)


@pytest.fixture
def cpus():
    made = []
    yield made.append
    for cpu in made:
        cpu.close()


def connect(bench, features):
    """Connect a peer whose ring is in the first mapped region.  To replace the
    other regions takes a while, and meanwhile the driver works in the ring."""
    driver, front = Driver(bench.machine), bench.front(size=208 * MIB)
    front.regions = [(LOW, 8 * MIB, UVA + LOW, 0),
                     (HIGH, 8 * MIB, UVA + HIGH, 8 * MIB)]
    more = [((2 + i) << 32, 64 * MIB, UVA + ((2 + i) << 32),
             (16 + 64 * i) * MIB) for i in range(3)]
    front.negotiate(features)
    assert front.set_memory([front.regions[1], front.regions[0]] + more) == 0
    return driver, front


def run_rings(driver, front, base):
    driver.start()
    done = in_thread(lambda: [front.start_ring(ring, base) or True
                              for ring in (TO_PEER, FROM_PEER)])
    state = driver.wait_state(running(0, 1), "both rings run")
    assert wait_until(done, "the front-end's part")
    return state


def touch(cpu, driver, state):
    """Read every page of the window, so that QEMU has mapped it."""
    for region in state.regions:
        at = cpu.at(driver.areas[1].address + region.offset)
        for offset in range(0, region.size, 4096):
            os.pread(cpu.fd, 1, at + offset)


class PackedDriver(threading.Thread):
    """Returns `burst` buffers at a time.  Before, this thread posts them in
    place of the peer."""

    burst = BURST

    def __init__(self, cpu, driver, front, state, place, obeys=True):
        super().__init__(daemon=True)
        self.cpu, self.front, self.obeys = cpu, front, obeys
        self.place = self.end = place
        self.file = front.regions[1][3] + 0x10000 * FROM_PEER
        self.epoch = state.rings[FROM_PEER].epoch
        self.generation = state.generation
        page = cpu.at(driver.areas[0].address)
        self.revoked = page
        self.progress = page + 256 + 64 * FROM_PEER
        self.ring = cpu.at(driver.window(state, state.rings[FROM_PEER].desc))
        self.commits = 0

    def post(self):
        for i in range(self.burst):
            place = ahead(self.place, i)
            struct.pack_into("<QIHH", self.front.memory,
                             self.file + 16 * (place & 0x7fff), 4711, 2048,
                             i + 1, AVAIL if place >> 15 else USED)
        self.end = ahead(self.place, self.burst)

    def publish(self, avail, used):
        self.cpu.store64(self.progress, self.epoch << 32 | used << 16 | avail)

    def is_revoked(self):
        return self.cpu.load64(self.revoked) > self.generation

    def commit(self):
        """Make a commit; returns False if it was given up."""
        self.publish(self.end, self.place)
        if self.obeys and self.is_revoked():
            self.publish(self.place, self.place)
            return False
        for i in reversed(range(self.burst)):
            place = ahead(self.place, i)
            flags = AVAIL | USED if place >> 15 else 0
            self.cpu.store64(self.ring + 16 * (place & 0x7fff) + 8,
                             LENGTH | (i + 1) << 32 | flags << 48)
        self.publish(self.end, self.end)
        return True

    def run(self):
        while True:
            self.post()
            if not self.commit() or self.is_revoked():
                return
            self.place = self.end
            self.commits += 1

    def check(self, told):
        """Check that all buffers before the ring's place, `told`, are returned,
        and none behind it."""
        assert told in (both(self.place), both(self.end))
        for i in range(self.burst):
            place = ahead(self.place, i)
            _, length, ident, flags = struct.unpack_from(
                "<QIHH", self.front.memory, self.file + 16 * (place & 0x7fff))
            used = flags == (AVAIL | USED if place >> 15 else 0)
            assert used == (told == both(self.end)), (i, hex(flags))
            assert ident == i + 1 and (not used or length in (0, LENGTH))


@pytest.mark.parametrize("obeys", [True, False], ids=["gives-up", "goes-on"])
def test_packed_commit_under_way(make_bench, cpus, obeys):
    bench = make_bench(",ack-timeout=50,window-size=512M")
    driver, front = connect(bench, VERSION_1 | RING_PACKED)
    cpu = Cpu(bench.machine)
    cpus(cpu)
    place = START
    for turn in range(10):
        state = run_rings(driver, front, both(place))
        touch(cpu, driver, state)
        thread = PackedDriver(cpu, driver, front, state, place, obeys)
        thread.start()
        wait_until(lambda t=thread: t.commits, "a commit")
        front.stop_ring(TO_PEER)
        thread.join(10)
        assert not thread.is_alive()
        told = front.stop_ring(FROM_PEER)
        thread.check(told)
        place = told & 0xffff
        driver.reset()
    assert f"{turn + 1} timeouts" in bench.get("driver")


class WholeRing(PackedDriver):
    """Announces a commit of all buffers of the ring, and gives it up."""

    burst = RING_SIZE

    def run(self):
        self.post()
        self.publish(self.end, self.place)
        self.commits = 1
        while not self.is_revoked():
            pass
        self.publish(self.place, self.place)


def test_a_whole_ring_that_is_given_up(make_bench, cpus):
    """The commit's begin may be taken for a place one ring before its end, or
    one ring behind: the device must find the right one."""
    bench = make_bench(",ack-timeout=50,window-size=512M")
    driver, front = connect(bench, VERSION_1 | RING_PACKED)
    cpu = Cpu(bench.machine)
    cpus(cpu)
    place = START
    for _ in range(10):
        state = run_rings(driver, front, both(place))
        touch(cpu, driver, state)
        thread = WholeRing(cpu, driver, front, state, place)
        thread.start()
        wait_until(lambda t=thread: t.commits, "it begins")
        front.stop_ring(TO_PEER)
        thread.join(10)
        assert not thread.is_alive()
        told = front.stop_ring(FROM_PEER)
        assert told == both(thread.end)
        thread.check(told)
        place = told & 0xffff
        driver.reset()


def smaps_at(bench, at, name):
    """The words of /proc/PID/smaps about QEMU's mapping at an address."""
    inside = False
    with open(f"/proc/{bench.machine.process.pid}/smaps",
              encoding="utf-8") as maps:
        for line in maps:
            first = line.split()[0]
            if "-" in first:
                low, high = (int(n, 16) for n in first.split("-"))
                inside = low <= at < high
            elif inside and first == name + ":":
                return line.split()[1:]
    raise AssertionError(f"nothing is mapped at {at:#x}")


def test_revoked_window_counts_what_is_written(make_bench, cpus):
    """A revoked window costs memory of the switch VM only for written pages."""
    if not os.path.exists("/sys/kernel/mm/transparent_hugepage"):
        pytest.skip("a kernel without transparent huge pages")
    bench = make_bench(",ack-timeout=50,window-size=512M")
    driver, front = connect(bench, VERSION_1)
    state = run_rings(driver, front, 0)
    cpu = Cpu(bench.machine)
    cpus(cpu)
    front.stop_ring(TO_PEER)
    assert "taken out" in bench.get("memory")
    at = cpu.at(driver.areas[1].address + state.regions[2].offset)
    assert {"nh", "dd"} <= set(smaps_at(bench, at, "VmFlags"))
    # Reading costs nothing; writing costs a page each.
    for page in range(2000):
        assert cpu.load64(at + 4096 * page) == 0
    assert smaps_at(bench, at, "Anonymous")[0] == "0"
    for page in range(0, 2000, 100):
        cpu.store64(at + 4096 * page, 1)
    assert smaps_at(bench, at, "Anonymous")[0] == str(20 * 4)


def processor_time(bench):
    """QEMU's CPU time in seconds: of the main thread, and of all others."""
    pid, times = bench.machine.process.pid, {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat",
                  encoding="utf-8") as stat:
            times[int(task)] = int(stat.read().split()[0]) / 1e9
    return times.pop(pid), sum(times.values())


def test_large_memory_is_freed_aside(make_bench, cpus):
    """To take 131072 pages out of the window costs tens of milliseconds, which
    another thread than the main loop must spend."""
    bench = make_bench(",ack-timeout=50,window-size=2G")
    driver, front = Driver(bench.machine), bench.front(size=528 * MIB)
    front.regions = [(LOW, 8 * MIB, UVA + LOW, 0),
                     (HIGH, 8 * MIB, UVA + HIGH, 8 * MIB)]
    front.negotiate(VERSION_1)
    assert front.set_memory(front.regions + [
        (2 << 32, 512 * MIB, UVA + (2 << 32), 16 * MIB)]) == 0
    state = run_rings(driver, front, 0)
    cpu = Cpu(bench.machine)
    cpus(cpu)
    touch(cpu, driver, state)
    before = processor_time(bench)
    front.stop_ring(TO_PEER)
    assert "taken out" in bench.get("memory")

    def spent():
        return [now - was for now, was in zip(processor_time(bench), before)]
    wait_until(lambda: spent()[1] > 0.005, "it is freed")
    wait_until(lambda: "Rss" not in rss_of(bench, front), "all of it")
    main, others = spent()
    print(f"main thread {1000 * main:.1f} ms, others {1000 * others:.1f} ms")
    assert main < others / 2
    # The window shows nothing of the peer, and later all of it again.
    front.memory[16 * MIB:16 * MIB + 8] = b"the peer"
    at = cpu.at(driver.areas[1].address + state.regions[2].offset)
    assert cpu.load64(at) == 0
    driver.wait_state(lambda _: "taken out" not in bench.get("memory"),
                      "it is given back")
    assert struct.pack("<Q", cpu.load64(at)) == b"the peer"


def rss_of(bench, front):
    """The lines of smaps for mappings of the peer's file that hold more than
    1 MiB."""
    inode, text = os.fstat(front.fd).st_ino, ""
    with open(f"/proc/{bench.machine.process.pid}/smaps",
              encoding="utf-8") as maps:
        inside = False
        for line in maps:
            words = line.split()
            if "-" in words[0]:
                inside = words[4] == str(inode)
            elif inside and words[0] == "Rss:" and int(words[1]) > 1024:
                text += line
    return text


def test_dump_of_the_vm_lacks_its_peers_memory(make_bench):
    bench = make_bench(",ack-timeout=5000")
    driver, front, state = start(bench)
    secret = b"the peer's own " * 16
    front.memory[MIB:MIB + len(secret)] = secret
    ours = b"the switch VM's own " * 16
    driver.machine.write(driver.machine.alloc(len(ours)), ours)
    assert driver.machine.read(driver.window(state, MIB), 16) == secret[:16]
    path = bench.machine.rundir / "dump"
    bench.machine.monitor("dump-guest-memory", paging=False,
                          protocol=f"file:{path}")
    dump = path.read_bytes()
    assert ours in dump
    assert secret not in dump


def test_received_packets_are_returned_by_the_device(make_bench, cpus):
    """The driver ended its burst, but wrote the used index into memory that no
    longer is the peer's: the device returns the buffers."""
    bench = make_bench(",ack-timeout=50")
    driver, front, state = start(bench)
    at = front.ring_offset(FROM_PEER)
    for i in range(8):
        struct.pack_into("<H", front.memory, at - 0x4000 + 4 + 2 * i, 100 + i)
    front.set_indices(FROM_PEER, 8, 2)
    front.set_indices(TO_PEER, 8, 2)
    for ring in (TO_PEER, FROM_PEER):
        driver.progress(ring, state.rings[ring].epoch << 32 | 5)
    assert front.acked(SET_VRING_ENABLE,
                       struct.pack("<II", TO_PEER, 0)) == 0
    assert "taken out" in bench.get("memory")
    assert struct.unpack_from("<HH", front.memory, at) == (0, 5)
    assert [struct.unpack_from("<II", front.memory, at + 4 + 8 * i)
            for i in range(6)] == [(0, 0), (0, 0), (102, 0), (103, 0),
                                   (104, 0), (0, 0)]
    assert front.stop_ring(FROM_PEER) == 5
    # The device does not return buffers of the other ring, because the driver
    # may not have sent them.
    at = front.ring_offset(TO_PEER)
    assert struct.unpack_from("<HH", front.memory, at) == (0, 2)
    assert front.stop_ring(TO_PEER) == 2
