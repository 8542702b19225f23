# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front-end whose driver is the test: bytes go into its rings, and
come out of them, as they are.

One queue pair of split rings. The switch polls, so nobody is kicked or called.
"""
import mmap
import os
import random
import socket
import struct

GPA = 0x10000000
UVA = 0x7e0000000000
HDR = 12
# Where each ring's parts are, from its beginning.
DESC, AVAIL, USED, RING_ROOM = 0, 0x10000, 0x18000, 0x30000
BUFFERS = 2 * RING_ROOM

F_MRG_RXBUF, F_PROTOCOL_FEATURES, F_VERSION_1 = 1 << 15, 1 << 30, 1 << 32
PROTOCOL_REPLY_ACK = 1 << 3
NEED_REPLY = 8

(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM,
 SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
 GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE) = (
     1, 2, 3, 5, 8, 9, 10, 12, 13, 15, 16, 18)

NEXT, WRITE = 1, 2


class Ring:
    """A split ring as its driver has it."""

    def __init__(self, memory, at, num):
        self.memory, self.at, self.num = memory, at, num
        # Each index is read and written at once; "<H" takes it by the byte.
        self.words = memoryview(memory).cast("H")
        self.avail = self.used = 0
        self.next = 0
        # NO_INTERRUPT
        struct.pack_into("<H", memory, at + AVAIL, 1)

    def describe(self, index, offset, length, flags=0):
        struct.pack_into("<QIHH", self.memory, self.at + DESC + 16 * index,
                         GPA + offset, length, flags, (index + 1) % self.num)

    def offer(self, head):
        """Not to be seen by the device before publish()."""
        struct.pack_into("<H", self.memory, self.at + AVAIL + 4
                         + 2 * (self.avail % self.num), head)
        self.avail = (self.avail + 1) & 0xffff

    def publish(self):
        self.words[(self.at + AVAIL + 2) // 2] = self.avail

    def place(self):
        """The device's."""
        return self.words[(self.at + USED + 2) // 2]

    def taken(self):
        """The next chain that came back, and its length, or None."""
        if self.used == self.place():
            return None
        at = self.at + USED + 4 + 8 * (self.used % self.num)
        self.used = (self.used + 1) & 0xffff
        return struct.unpack_from("<II", self.memory, at)


class RawPeer:
    """`buffer`: bytes of each receive buffer; small ones need `mergeable`."""

    def __init__(self, path, num=1024, buffer=2048, mergeable=True):
        self.num, self.buffer, self.mergeable = num, buffer, mergeable
        size = BUFFERS + num * (2048 + buffer)
        size += -size % mmap.PAGESIZE
        self.size = size
        self.fd = os.memfd_create("peer", os.MFD_CLOEXEC
                                  | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self.memory = mmap.mmap(self.fd, size)
        self.rx = Ring(self.memory, 0, num)
        self.tx = Ring(self.memory, RING_ROOM, num)
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
        features = F_PROTOCOL_FEATURES | F_VERSION_1 \
            | (F_MRG_RXBUF if self.mergeable else 0)
        assert self._ask(GET_FEATURES) & features == features
        assert self._ask(GET_PROTOCOL_FEATURES) & PROTOCOL_REPLY_ACK
        self._tell(SET_PROTOCOL_FEATURES, struct.pack("<Q",
                                                      PROTOCOL_REPLY_ACK))
        self._tell(SET_OWNER)
        self._tell(SET_FEATURES, struct.pack("<Q", features))
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
        self._tell(SET_VRING_BASE, struct.pack("<II", index, 0))
        self._tell(SET_VRING_ADDR, struct.pack(
            "<IIQQQQ", index, 0, at + DESC, at + USED, at + AVAIL, 0))
        for request in (SET_VRING_CALL, SET_VRING_KICK):
            event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self.events.append(event)
            self._tell(request, struct.pack("<Q", index), fds=[event])
        assert self._ask(SET_VRING_ENABLE, struct.pack("<II", index, 1),
                         NEED_REPLY) == 0

    def _rx_buffer(self, slot):
        return BUFFERS + self.num * 2048 + slot * self.buffer

    def _post(self, slot):
        self.rx.describe(slot, self._rx_buffer(slot), self.buffer, WRITE)
        self.rx.offer(slot)

    def put(self, frame, cuts=()):
        """Place a frame behind the earlier ones; it goes with send(). `cuts`:
        where the bytes of header and frame part into descriptors."""
        data = bytes(HDR) + frame
        cuts = [cut for cut in cuts if 0 < cut < len(data)]
        ring, head = self.tx, self.tx.next
        at = BUFFERS + 2048 * head
        assert len(data) <= 2048
        self.memory[at:at + len(data)] = data
        edges = [0, *sorted(set(cuts)), len(data)]
        for start, end in zip(edges, edges[1:]):
            ring.describe(ring.next, at + start, end - start,
                          NEXT if end < len(data) else 0)
            ring.next = (ring.next + 1) % self.num
        ring.offer(head)

    def send(self):
        self.tx.publish()

    def sent(self):
        """Has the switch taken all?"""
        self.tx.used = self.tx.place()
        return self.tx.used == self.tx.avail

    def receive(self):
        """The frames that have come since."""
        frames = []
        while (first := self.rx.taken()) is not None:
            slot, length = first
            at = self._rx_buffer(slot)
            count = 1
            if self.mergeable:
                count = struct.unpack_from("<H", self.memory, at + 10)[0]
            data = self.memory[at + HDR:at + length]
            self._post(slot)
            for _ in range(count - 1):
                # The device publishes a packet's buffers together.
                slot, length = self.rx.taken()
                at = self._rx_buffer(slot)
                data += self.memory[at:at + length]
                self._post(slot)
            frames.append(data)
        if frames:
            self.rx.publish()
        return frames

    def close(self):
        self.socket.close()
        for ring in (self.rx, self.tx):
            ring.words.release()
        self.memory.close()
        for fd in [self.fd, *self.events]:
            os.close(fd)


def cuts(rng: random.Random, length):
    """Where to part header and frame: mostly nowhere."""
    kind = rng.random()
    if kind < 0.7:
        return ()
    if kind < 0.85:
        return (HDR,)
    return tuple(rng.randrange(1, length + HDR) for _ in range(2)) \
        if length else ()
