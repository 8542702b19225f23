# SPDX-License-Identifier: Apache-2.0
"""A driver for vhost-pci devices, as doc and protocol/vhost_pci.h specify it.

The driver follows the specification, and not the device's source.  It finds the
areas by their capabilities, uses the two control queues as split virtqueues,
and reads STATE messages.
"""
import struct
from collections import namedtuple

from machine import wait_until

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
F_VERSION_1 = 1 << 32
CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_SHARED = 1, 2, 3, 4, 8
STATE, ACK, BROKEN = 1, 2, 3
CONNECTED, LINK_UP = 1, 2
RUN, CALL = 1, 2
MAGIC, ABI, NET = b"vhpc", 2, 1
MAX_REGIONS, MAX_FUNCTIONS = 32, 8
REGIONS, FUNCTIONS, RINGS = 32, 1056, 1504  # offsets in a STATE message

Area = namedtuple("Area", "address length")
Region = namedtuple("Region", "gpa size offset space area")
Ring = namedtuple("Ring", "desc avail used num flags base epoch")
Function = namedtuple("Function", "type first_ring max_rings n_rings "
                      "status features space mtu rarp_count "
                      "rarp_mac config in_flight rings")
# The fields from features to rings are those of the first function.
State = namedtuple("State", "generation status regions functions features mtu "
                   "rarp_count rarp_mac rings")

# The addresses that this driver gives to the BARs.
BAR = {0: 0xe0000000, 1: 0xe0010000, 2: 0x1000000000, 4: 0xe0040000}


def parse_function(data, at, rings):
    *head, space, mtu, rarp, mac, _, config, length, in_flight, size = (
        struct.unpack_from("<HHHHIxxxxQHHH6s5I", data, at))
    first, count = head[1], head[3]
    assert count <= head[2] and first + head[2] <= len(rings)
    assert not any(r.flags for r in rings[first + count:first + head[2]])
    return Function(*head, space, mtu, rarp, mac, (config, length),
                    (in_flight, size), rings[first:first + count])


def parse_state(data):
    kind, _, length, generation, status, n_regions, n_functions, n_rings = (
        struct.unpack_from("<HHIQIHHH", data))
    assert (kind, length) == (STATE, len(data))
    assert len(data) == RINGS + 48 * n_rings
    regions = [Region(*struct.unpack_from("<QQQHH", data, REGIONS + 32 * i))
               for i in range(n_regions)]
    rings = [Ring(*struct.unpack_from("<QQQHHII", data, RINGS + 48 * i))
             for i in range(n_rings)]
    functions = [parse_function(data, FUNCTIONS + 56 * i, rings)
                 for i in range(n_functions)]
    first = functions[0]
    return State(generation, status, regions, functions, first.features,
                 first.mtu, first.rarp_count, first.rarp_mac, first.rings)


class Queue:
    """A split virtqueue of 16 entries, one buffer a descriptor."""

    SIZE = 16

    def __init__(self, machine, notify):
        self.machine, self.notify = machine, notify
        self.desc = machine.alloc(16 * self.SIZE)
        self.avail = machine.alloc(6 + 2 * self.SIZE)
        self.used = machine.alloc(6 + 8 * self.SIZE)
        self.avail_idx = self.used_idx = 0

    def add(self, address, length, writable, kick=True):
        m, slot = self.machine, self.avail_idx % self.SIZE
        m.write(self.desc + 16 * slot,
                struct.pack("<QIHH", address, length, 2 if writable else 0, 0))
        m.write16(self.avail + 4 + 2 * slot, slot)
        self.avail_idx += 1
        m.write16(self.avail + 2, self.avail_idx & 0xffff)
        if kick:
            m.write16(self.notify, 0)

    def done(self):
        """Slot of the next buffer that the device has returned, or None."""
        idx = self.machine.read32(self.used) >> 16
        if idx == self.used_idx & 0xffff:
            return None
        slot = self.machine.read32(
            self.used + 4 + 8 * (self.used_idx % self.SIZE))
        self.used_idx += 1
        return slot


class Driver:
    def __init__(self, machine, slot=None, bars=None):
        self.machine = machine
        self.slot = self._find() if slot is None else slot
        self.bars = bars or BAR
        self.areas, self.caps = {}, {}
        self.generation = 0
        self._plug()

    def _find(self):
        for slot in range(32):
            if self.machine.config32(slot, 0) == 0x10771af4:
                return slot
        raise AssertionError("no vhost-pci device on the bus")

    def _plug(self):
        m = self.machine
        for bar, address in self.bars.items():
            m.config32(self.slot, 0x10 + 4 * bar, address & 0xffffffff)
            if bar in (2, 4):
                m.config32(self.slot, 0x14 + 4 * bar, address >> 32)
        m.config32(self.slot, 4, 0x6)  # memory, bus master
        config = m.config(self.slot)
        at = config[0x34]
        while at:
            if config[at] == 9:
                self._capability(config[at:at + config[at + 2]])
            elif config[at] == 0x11:
                self.msix_cap = at
            at = config[at + 1]

    def _capability(self, cap):
        kind, bar, ident = cap[3], cap[4], cap[5]
        offset, length = struct.unpack_from("<II", cap, 8)
        if kind == CAP_SHARED:
            high = struct.unpack_from("<II", cap, 16)
            assert ident not in self.areas
            self.areas[ident] = Area(
                self.bars[bar] + (high[0] << 32 | offset),
                high[1] << 32 | length)
        elif kind in (CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_DEVICE):
            self.caps[kind] = Area(self.bars[bar] + offset, length)
            if kind == CAP_NOTIFY:
                self.notify_multiplier = struct.unpack_from("<I", cap, 16)[0]

    @property
    def common(self):
        return self.caps[CAP_COMMON].address

    def status(self):
        return self.machine.read8(self.common + 20)

    def set_status(self, value):
        self.machine.write8(self.common + 20, value)

    def reset(self):
        self.set_status(0)

    def _queue(self, index, vector):
        m = self.machine
        m.write16(self.common + 22, index)
        # The size may be larger: QEMU 10.0.13 offers 1024 entries for all
        # queues.
        size = m.read16(self.common + 24)
        assert size >= Queue.SIZE, f"queue {index} has {size} entries"
        m.write16(self.common + 24, Queue.SIZE)
        off = m.read16(self.common + 30)
        q = Queue(m, self.caps[CAP_NOTIFY].address
                  + off * self.notify_multiplier)
        m.write16(self.common + 26, vector)
        for offset, value in ((32, q.desc), (40, q.avail), (48, q.used)):
            m.write32(self.common + offset, value & 0xffffffff)
            m.write32(self.common + offset + 4, value >> 32)
        m.write16(self.common + 28, 1)
        return q

    def start(self, buffers=4, vector=0xffff):
        """Negotiate, set up the queues, set DRIVER_OK, and add @buffers for
        STATE messages."""
        m = self.machine
        self.reset()
        self.set_status(ACKNOWLEDGE | DRIVER)
        for half in (0, 1):
            m.write32(self.common + 8, half)
            m.write32(self.common + 12, F_VERSION_1 >> 32 * half & 0xffffffff)
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        assert self.status() & FEATURES_OK
        self.eventq = self._queue(0, vector)
        self.ackq = self._queue(1, vector)
        self.state_size = RINGS + 48 * self.config()["rings"]
        self.buffers = [m.alloc(self.state_size) for _ in range(Queue.SIZE)]
        self.ack_buffers = [m.alloc(128) for _ in range(Queue.SIZE)]
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        for _ in range(buffers):
            self.add_buffer()

    def add_buffer(self):
        slot = self.eventq.avail_idx % Queue.SIZE
        self.eventq.add(self.buffers[slot], self.state_size, True)

    def poll(self):
        """Read the next STATE, and give its buffer back; returns the STATE or
        None."""
        slot = self.eventq.done()
        if slot is None:
            return None
        data = self.machine.read(self.buffers[slot], self.state_size)
        self.add_buffer()
        state = parse_state(data)
        assert state.generation > self.generation
        self.generation = state.generation
        return state

    def send(self, data):
        slot = self.ackq.avail_idx % Queue.SIZE
        self.machine.write(self.ack_buffers[slot], data)
        self.ackq.add(self.ack_buffers[slot], len(data), False)
        wait_until(lambda: self.ackq.done() is not None, "the ackq is served")

    def ack(self, generation):
        self.send(struct.pack("<HHIQ", ACK, 0, 16, generation))

    def broken(self, ring, generation, rule):
        self.send(struct.pack("<HHIQHHHH48s", BROKEN, 0, 72, generation, ring,
                              0, 0, 0, rule))

    def wait_state(self, condition, what, ack=True):
        """Take (and acknowledge) states until a state meets the condition."""
        def step():
            state = self.poll()
            if state and ack:
                self.ack(state.generation)
            return state if state and condition(state) else None
        return wait_until(step, what)

    # Interrupts

    def set_vector(self, vector, address, data):
        entry = self.bars[1] + 16 * vector
        for offset, value in ((0, address), (4, 0), (8, data), (12, 0)):
            self.machine.write32(entry + offset, value)

    def mask_vector(self, vector, masked):
        self.machine.write32(self.bars[1] + 16 * vector + 12, int(masked))

    def enable_msix(self, on=True):
        m = self.machine
        value = m.config32(self.slot, self.msix_cap) & ~(1 << 31)
        m.config32(self.slot, self.msix_cap, value | on << 31)

    # Areas

    def window(self, state, gpa):
        """The bus address at which the window shows an address of the peer."""
        for r in state.regions:
            if r.gpa <= gpa < r.gpa + r.size:
                return self.areas[1].address + r.offset + gpa - r.gpa
        raise AssertionError(f"{gpa:#x} is in no region")

    def doorbell(self, ring):
        self.machine.write32(self.areas[2].address + 4 * ring, 1)

    def progress(self, ring, value=None):
        address = self.areas[0].address + 256 + 64 * ring
        if value is None:
            return self.machine.read64(address)
        self.machine.write64(address, value)
        return value

    def grown(self):
        """The peer uses memory of states up to this generation."""
        return self.machine.read64(self.areas[0].address + 8)

    def config(self):
        data = self.machine.read(self.caps[CAP_DEVICE].address, 240)
        assert data[:4] == MAGIC
        keys = ("abi", "functions", "flags", "status", "vector", "vectors",
                "notify_queue", "rings")
        c = dict(zip(keys, struct.unpack_from("<HHIIHHHH", data, 4)))
        c["uuid"] = data[32:48]
        c["name"] = data[48:112].split(b"\0")[0].decode()
        c["functions"] = [struct.unpack_from("<HHHxxQ", data, 112 + 16 * i)
                          for i in range(c["functions"])]
        return c
