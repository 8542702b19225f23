# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front-end: the peer's side of the device's socket.

Its memory is a sealed memfd with the layout of a QEMU with 3 GiB, on a small
scale: two regions of one file, with a hole between them in guest addresses.
"""
import fcntl
import mmap
import os
import select
import socket
import struct

from machine import SCALE

(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM,
 SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK,
 SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
 GET_QUEUE_NUM, SET_VRING_ENABLE, SEND_RARP, NET_SET_MTU) = (
     1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
SET_IDENTITY = 1055  # of this project, with protocol feature 55
GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG = 36, 37, 38
NEED_REPLY = 8
PROTOCOL_FEATURES = 1 << 30
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2
# Negotiated only if a test asks for them: the rings here are split ones.
RING_PACKED, IN_ORDER = 1 << 34, 1 << 35

MIB = 1 << 20
LOW, HIGH = 0, 1 << 32  # guest addresses of the two regions
UVA = 0x7f0000000000
RING_SIZE = 256


def memfd(size, seal=True, huge=False):
    fd = os.memfd_create("peer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
                         | (os.MFD_HUGETLB if huge else 0))
    os.ftruncate(fd, size)
    if seal:
        fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)
    return fd


class Frontend:
    def __init__(self, path, size=16 * MIB, low=8 * MIB, seal=True,
                 listener=None, huge=False):
        if listener:
            self.socket = listener.accept()[0]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(path))
        self.socket.settimeout(10 * SCALE)
        self.fd = memfd(size, seal, huge)
        self.memory = mmap.mmap(self.fd, size)
        # (guest address, size, front-end address, offset in the file)
        self.regions = [(LOW, low, UVA + LOW, 0),
                        (HIGH, size - low, UVA + HIGH, low)]
        self.kicks, self.calls, self.errs = {}, {}, {}

    def close(self):
        self.socket.close()
        for fd in ([self.fd] + list(self.kicks.values())
                   + list(self.calls.values()) + list(self.errs.values())):
            os.close(fd)
        self.memory.close()

    # Messages

    def send(self, request, payload=b"", fds=(), flags=1):
        message = struct.pack("<III", request, flags, len(payload)) + payload
        socket.send_fds(self.socket, [message], list(fds))

    def receive(self):
        header = self._exactly(12)
        request, flags, size = struct.unpack("<III", header)
        assert flags & 4, "the flag of a reply is missing"
        return request, self._exactly(size)

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            assert piece, "the device closed the connection"
            data += piece
        return data

    def call(self, request, payload=b"", fds=()):
        """Send a request, wait for the reply, and return its payload."""
        self.send(request, payload, fds)
        answered, data = self.receive()
        assert answered == request
        return data

    def get(self, request):
        return struct.unpack("<Q", self.call(request))[0]

    def acked(self, request, payload=b"", fds=()):
        """Send with NEED_REPLY; returns the device's answer: 0 is success."""
        self.send(request, payload, fds, 1 | NEED_REPLY)
        return struct.unpack("<Q", self.receive()[1])[0]

    def closed_by_device(self):
        """Read and drop all messages; returns True if the device has closed the
        connection."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    # Sessions, as QEMU has them

    def negotiate(self, features=None):
        offered = self.get(GET_FEATURES)
        assert offered & PROTOCOL_FEATURES
        protocol = self.get(GET_PROTOCOL_FEATURES)
        self.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", protocol))
        self.send(SET_OWNER)
        if features is None:
            features = offered & ~(RING_PACKED | IN_ORDER)
        self.send(SET_FEATURES, struct.pack("<Q", features
                                            | PROTOCOL_FEATURES))
        return offered

    def identify(self, name, uuid=bytes(16)):
        self.send(SET_IDENTITY, uuid + name.encode().ljust(64, b"\0"))

    def set_memory(self, regions=None):
        regions = regions or self.regions
        payload = struct.pack("<II", len(regions), 0)
        for gpa, size, uva, offset in regions:
            payload += struct.pack("<QQQQ", gpa, size, uva, offset)
        return self.acked(SET_MEM_TABLE, payload, [self.fd] * len(regions))

    def memory_slot(self, request, region):
        """Send ADD_MEM_REG or REM_MEM_REG; returns the device's answer."""
        gpa, size, uva, offset = region
        fds = [self.fd] if request == ADD_MEM_REG else []
        return self.acked(request, struct.pack("<QQQQQ", 0, gpa, size, uva,
                                               offset), fds)

    def _eventfd(self, table, request, ring):
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        if ring in table:
            os.close(table[ring])
        table[ring] = fd
        self.send(request, struct.pack("<Q", ring), [fd])

    def ring_address(self, ring):
        """Front-end addresses of the three parts of a ring, in high memory."""
        at = UVA + HIGH + 0x10000 * ring
        return at, at + 0x4000, at + 0x8000

    def ring_offset(self, ring):
        """The offset of the used ring in the file."""
        return self.regions[1][3] + 0x10000 * ring + 0x8000

    def start_ring(self, ring, base=0, enable=True, size=RING_SIZE,
                   desc_at=None):
        """Start a ring.  @desc_at: the offset of the descriptors in high
        memory."""
        desc, avail, used = self.ring_address(ring)
        if desc_at is not None:
            desc = UVA + HIGH + desc_at
        self._eventfd(self.calls, SET_VRING_CALL, ring)
        self._eventfd(self.errs, SET_VRING_ERR, ring)
        self.send(SET_VRING_NUM, struct.pack("<II", ring, size))
        self.send(SET_VRING_BASE, struct.pack("<II", ring, base))
        self.send(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring, 0, desc, used,
                                              avail, 0))
        self._eventfd(self.kicks, SET_VRING_KICK, ring)
        if enable:
            assert self.acked(SET_VRING_ENABLE,
                              struct.pack("<II", ring, 1)) == 0

    def stop_ring(self, ring):
        """Send GET_VRING_BASE; returns the base."""
        data = self.call(GET_VRING_BASE, struct.pack("<II", ring, 0))
        index, base = struct.unpack("<II", data)
        assert index == ring
        return base

    def start(self, rings=2, name=None, uuid=bytes(16)):
        self.negotiate()
        if name is not None:
            self.identify(name, uuid)
        assert self.set_memory() == 0
        for ring in range(rings):
            self.start_ring(ring)

    def set_indices(self, ring, avail, used):
        """Write the avail and the used index of a split ring."""
        at = self.ring_offset(ring) + 2
        struct.pack_into("<H", self.memory, at - 0x4000, avail)
        struct.pack_into("<H", self.memory, at, used)

    @staticmethod
    def signalled(fd, seconds=10):
        """Wait for an eventfd; returns its count, or 0 if none came in time."""
        ready, _, _ = select.select([fd], [], [], seconds * SCALE)
        return os.eventfd_read(fd) if ready else 0
