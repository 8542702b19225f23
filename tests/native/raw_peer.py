# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front-end whose driver is the test: the test itself writes bytes
into the rings, and reads bytes from them.

The front-end has one queue pair, of split or packed rings. The switch polls, so
kicks and calls are not needed.
"""
import fcntl
import mmap
import os
import random
import select
import socket
import struct

GPA = 0x10000000
UVA = 0x7e0000000000
HDR = 12
# Offsets of a ring's parts from its beginning.
DESC, AVAIL, USED, RING_ROOM = 0, 0x10000, 0x18000, 0x30000
BUFFERS = 2 * RING_ROOM

F_MRG_RXBUF, F_INDIRECT, F_PROTOCOL_FEATURES, F_VERSION_1, F_PACKED = (
    1 << 15, 1 << 28, 1 << 30, 1 << 32, 1 << 34)
PROTOCOL_REPLY_ACK = 1 << 3
NEED_REPLY = 8

(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM,
 SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
 GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE) = (
     1, 2, 3, 5, 8, 9, 10, 12, 13, 15, 16, 18)

NEXT, WRITE, INDIRECT = 1, 2, 4
PACKED_AVAIL, PACKED_USED = 1 << 7, 1 << 15
TABLE = 64  # bytes: four descriptors


def pieces(at, length, cuts):
    """Cut `length` bytes at `at` into parts: (address, bytes) of each one."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < length}), length]
    return [(at + start, end - start) for start, end in zip(edges, edges[1:])]


class Ring:
    """The driver's side of a split ring."""

    base = 0  # SET_VRING_BASE

    def __init__(self, memory, at, num):
        self.memory, self.at, self.num = memory, at, num
        # To read and write an index in one access; struct's "<H" accesses
        # single bytes.
        self.words = memoryview(memory).cast("H")
        self.avail = self.used = 0
        self.next = 0
        # NO_INTERRUPT
        struct.pack_into("<H", memory, at + AVAIL, 1)

    def describe(self, index, offset, length, flags=0):
        struct.pack_into("<QIHH", self.memory, self.at + DESC + 16 * index,
                         GPA + offset, length, flags, (index + 1) % self.num)

    def offer(self, head):
        """Put a chain into the ring; the device sees it after publish()."""
        struct.pack_into("<H", self.memory, self.at + AVAIL + 4
                         + 2 * (self.avail % self.num), head)
        self.avail = (self.avail + 1) & 0xffff

    def publish(self):
        self.words[(self.at + AVAIL + 2) // 2] = self.avail

    def add(self, slot, parts, flags=0):
        """Add a buffer; the device sees it after publish()."""
        head = slot if flags & WRITE else self.next
        for i, (at, length) in enumerate(parts):
            last = i + 1 == len(parts)
            self.describe(head if i == 0 else self.next, at, length,
                          flags | (0 if last else NEXT))
            self.next = (self.next + 1) % self.num
        self.offer(head)

    def table(self, at, parts):
        """Write an indirect table at `at`."""
        for i, (start, length) in enumerate(parts):
            struct.pack_into("<QIHH", self.memory, at + 16 * i, GPA + start,
                             length, NEXT if i + 1 < len(parts) else 0, i + 1)

    def is_empty(self):
        """True if the device has used all buffers."""
        self.used = self.place()
        return self.used == self.avail

    def place(self):
        """The device's used index."""
        return self.words[(self.at + USED + 2) // 2]

    def taken(self):
        """The next chain that the device has used, and its length; or None."""
        if self.used == self.place():
            return None
        at = self.at + USED + 4 + 8 * (self.used % self.num)
        self.used = (self.used + 1) & 0xffff
        return struct.unpack_from("<II", self.memory, at)


class PackedRing:
    """The driver's side of a packed ring."""

    base = 0x80008000

    def __init__(self, memory, at, num):
        self.memory, self.at, self.num = memory, at, num
        self.words = memoryview(memory).cast("H")
        self.avail = self.used = 0  # descriptors since the start
        self.lengths = {}  # id: number of the buffer's descriptors
        self.heads = []  # first descriptors that are not published yet
        # RING_EVENT_FLAGS_DISABLE
        struct.pack_into("<HH", memory, at + AVAIL, 0, 1)

    def _flags_at(self, index):
        return (self.at + DESC + 16 * (index % self.num) + 14) // 2

    def _wrap(self, index):
        return index // self.num % 2 == 0

    def add(self, slot, parts, flags=0):
        self.lengths[slot] = len(parts)
        for i, (at, length) in enumerate(parts):
            more = flags | (NEXT if i + 1 < len(parts) else 0) | (
                PACKED_AVAIL if self._wrap(self.avail) else PACKED_USED)
            struct.pack_into("<QIH", self.memory, self.at + DESC
                             + 16 * (self.avail % self.num), GPA + at, length,
                             slot)
            if i == 0:
                self.heads.append((self.avail, more))
            else:
                self.words[self._flags_at(self.avail)] = more
            self.avail += 1

    def table(self, at, parts):
        for i, (start, length) in enumerate(parts):
            struct.pack_into("<QIHH", self.memory, at + 16 * i, GPA + start,
                             length, 0, 0)

    def publish(self):
        """Publish the first chain last, so that the device sees all at once."""
        for index, flags in reversed(self.heads):
            self.words[self._flags_at(index)] = flags
        self.heads = []

    def taken(self):
        flags = self.words[self._flags_at(self.used)]
        both = PACKED_AVAIL | PACKED_USED
        if self.used == self.avail \
                or flags & both != (both if self._wrap(self.used) else 0):
            return None
        length, slot = struct.unpack_from(
            "<IH", self.memory, self.at + DESC + 16 * (self.used % self.num)
            + 8)
        self.used += self.lengths.pop(slot)
        return slot, length

    def is_empty(self):
        while self.taken() is not None:
            pass
        return self.used == self.avail


class RawPeer:
    """`buffer`: bytes of each receive buffer; small buffers need `mergeable`.
    `room`: bytes for each sent frame.  `features`: more feature bits.  `nics`:
    leave room in the memory for so many NICs.  `beside`: another NIC of the
    same VM; this NIC uses the room number `place` in that NIC's memory."""

    def __init__(self, path, num=1024, buffer=2048, mergeable=True,
                 packed=False, indirect=False, shared=True, room=2048,
                 features=0, nics=1, beside=None, place=1):
        self.num, self.buffer, self.mergeable = num, buffer, mergeable
        self.room = room
        self.features = F_PROTOCOL_FEATURES | F_VERSION_1 \
            | (F_MRG_RXBUF if mergeable else 0) | (F_PACKED if packed else 0) \
            | (F_INDIRECT if indirect else 0) | features
        self.n_sent = 0
        size = BUFFERS + num * (room + buffer + TABLE)
        size += -size % mmap.PAGESIZE
        self.size = beside.size if beside else nics * size
        self.base = place * size if beside else 0
        self.fd = os.dup(beside.fd) if beside else os.memfd_create(
            "peer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if not beside:
            os.ftruncate(self.fd, self.size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        # Without `shared`, a private copy, as a guest without share=on has.
        self.memory = mmap.mmap(self.fd, self.size, mmap.MAP_SHARED if shared
                                else mmap.MAP_PRIVATE)
        kind = PackedRing if packed else Ring
        self.rx = kind(self.memory, self.base, num)
        self.tx = kind(self.memory, self.base + RING_ROOM, num)
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self._negotiate()

    def _tell(self, request, payload=b"", flags=0, fds=()):
        data = struct.pack("<III", request, 1 | flags, len(payload)) + payload
        if fds:
            socket.send_fds(self.socket, [data], fds)
        else:
            self.socket.sendall(data)

    def _ask(self, request, payload=b"", flags=0):
        self._tell(request, payload, flags)
        data = b""
        while len(data) < 20:
            more = self.socket.recv(20 - len(data))
            assert more, "the back-end has closed the connection"
            data += more
        assert struct.unpack_from("<I", data)[0] == request
        return struct.unpack_from("<Q", data, 12)[0]

    def _negotiate(self):
        assert self._ask(GET_FEATURES) & self.features == self.features
        assert self._ask(GET_PROTOCOL_FEATURES) & PROTOCOL_REPLY_ACK
        self._tell(SET_PROTOCOL_FEATURES, struct.pack("<Q",
                                                      PROTOCOL_REPLY_ACK))
        self._tell(SET_OWNER)
        self._tell(SET_FEATURES, struct.pack("<Q", self.features))
        self._tell(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, GPA, self.size,
                                              UVA, 0), fds=[self.fd])
        for slot in range(self.num):
            self._post(slot)
        self.rx.publish()
        for index, ring in enumerate((self.rx, self.tx)):
            self._start(index, ring)

    def _start(self, index, ring):
        at = UVA + ring.at
        self._tell(SET_VRING_NUM, struct.pack("<II", index, self.num))
        self._tell(SET_VRING_BASE, struct.pack("<II", index, ring.base))
        self._tell(SET_VRING_ADDR, struct.pack(
            "<IIQQQQ", index, 0, at + DESC, at + USED, at + AVAIL, 0))
        for request in (SET_VRING_CALL, SET_VRING_KICK):
            event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self.events.append(event)
            self._tell(request, struct.pack("<Q", index), fds=[event])
        assert self._ask(SET_VRING_ENABLE, struct.pack("<II", index, 1),
                         NEED_REPLY) == 0

    def _rx_buffer(self, slot):
        return self.base + BUFFERS + self.num * self.room + slot * self.buffer

    def _post(self, slot):
        self.rx.add(slot, [(self._rx_buffer(slot), self.buffer)], WRITE)

    def put(self, frame, cuts=(), header=bytes(HDR)):
        """Place a frame behind the earlier ones; send() makes it available.
        `cuts`: where header and frame are cut into descriptors.  If indirect
        tables were negotiated, packets of even length use one."""
        data = header + frame
        # A slot is free again: at most `num` frames are under way.
        slot, self.n_sent = self.n_sent % self.num, self.n_sent + 1
        at = self.base + BUFFERS + self.room * slot
        assert len(data) <= self.room
        self.memory[at:at + len(data)] = data
        parts = pieces(at, len(data), cuts)
        if self.features & F_INDIRECT and len(data) % 2 == 0:
            table = self.base + BUFFERS \
                + self.num * (self.room + self.buffer) + TABLE * slot
            self.tx.table(table, parts)
            self.tx.add(slot, [(table, 16 * len(parts))], INDIRECT)
        else:
            self.tx.add(slot, parts)

    def send(self):
        self.tx.publish()

    def kick(self):
        """Kick both rings, as a driver that ignores the back-end's polling."""
        for event in self.events[1::2]:
            os.eventfd_write(event, 1)

    def kicks_are_taken(self):
        return not select.select(self.events[1::2], [], [], 0)[0]

    def sent(self):
        """True if the switch has taken all frames."""
        return self.tx.is_empty()

    def receive(self):
        """The frames that have arrived since the last call."""
        return [frame for _, frame in self.packets()]

    def packets(self):
        """As receive(), but each frame with its header: (header, frame)."""
        packets = []
        while (first := self.rx.taken()) is not None:
            slot, length = first
            at = self._rx_buffer(slot)
            count = 1
            if self.mergeable:
                count = struct.unpack_from("<H", self.memory, at + 10)[0]
            header = self.memory[at:at + HDR]
            data = self.memory[at + HDR:at + length]
            self._post(slot)
            for _ in range(count - 1):
                # The device publishes all buffers of a packet together.
                slot, length = self.rx.taken()
                at = self._rx_buffer(slot)
                data += self.memory[at:at + length]
                self._post(slot)
            packets.append((header, data))
        if packets:
            self.rx.publish()
        return packets

    def close(self):
        self.socket.close()
        for ring in (self.rx, self.tx):
            ring.words.release()
        self.memory.close()
        for fd in [self.fd, *self.events]:
            os.close(fd)


def cuts(rng: random.Random, length):
    """Places at which to cut header and frame; none for most frames."""
    kind = rng.random()
    if kind < 0.7:
        return ()
    if kind < 0.85:
        return (HDR,)
    return tuple(rng.randrange(1, length + HDR) for _ in range(2)) \
        if length else ()
