# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front-end that can break any rule of the protocol.

drive() sends the well-formed messages of a whole session, which a back-end
accepts.  A test calls the other methods, which send one message each, to break
the one rule that the test is about.
"""
import array
import fcntl
import mmap
import os
import socket
import struct

(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE,
 SET_LOG_BASE, SET_LOG_FD, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE,
 GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR,
 GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM,
 SET_VRING_ENABLE) = range(1, 19)
VERSION, REPLY, NEED_REPLY = 1, 4, 8
F_PROTOCOL_FEATURES = 1 << 30
F_VERSION_1 = 1 << 32
F_MRG_RXBUF = 1 << 15
PAGE = 4096
BASE = 0x7f0000000000  # where this front-end says that it maps its memory
DESC_F_WRITE = 2


class FrontEnd:
    def __init__(self, path, seconds=10):
        self.socket = socket.socket(socket.AF_UNIX)
        # A blocking connect: the back-end may not have closed the previous
        # connection yet, and a non-blocking connect to a full backlog fails.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                               struct.pack("ll", seconds, 0))
        self.socket.connect(str(path))
        self.socket.settimeout(seconds)
        self.memory = None
        self.fds = []

    def raw(self, data, fds=()):
        """Send bytes as they are."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], control)

    def send(self, request, payload=b"", fds=(), flags=VERSION, size=None):
        """Send a message; the header announces `size`, if given."""
        size = len(payload) if size is None else size
        self.raw(struct.pack("<III", request, flags, size) + payload, fds)

    def ask(self, request, payload=b"", fds=(), flags=VERSION):
        """Send a message, wait for the answer, and return its payload."""
        self.send(request, payload, fds, flags)
        header = self._exactly(12)
        answered, answer_flags, size = struct.unpack("<III", header)
        assert answered == request and answer_flags & REPLY, header
        return self._exactly(size)

    def ask_u64(self, request):
        return struct.unpack("<Q", self.ask(request))[0]

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the back-end closed the connection")
            data += more
        return data

    def wait_closed(self):
        """Wait until the back-end ends the connection; raise TimeoutError if
        it does not.  Replies that were still under way are dropped."""
        try:
            while self.socket.recv(4096):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass

    def negotiate(self, features=F_VERSION_1 | F_MRG_RXBUF):
        offered = self.ask_u64(GET_FEATURES)
        self.ask_u64(GET_PROTOCOL_FEATURES)
        self.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", 0))
        self.send(SET_OWNER)
        # A front-end may acknowledge only features that were offered.
        self.send(SET_FEATURES, struct.pack(
            "<Q", (features | F_PROTOCOL_FEATURES) & offered))
        return offered

    def memory_file(self, size, seals=fcntl.F_SEAL_SHRINK):
        fd = os.memfd_create("peer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        if seals:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        self.fds.append(fd)
        return fd

    def eventfd(self):
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.fds.append(fd)
        return fd

    @staticmethod
    def table(*regions):
        """Payload of SET_MEM_TABLE: (gpa, size, uva, offset) each."""
        return struct.pack("<II", len(regions), 0) + b"".join(
            struct.pack("<QQQQ", *r) for r in regions)

    def share_memory(self, size=1 << 20):
        fd = self.memory_file(size)
        self.memory = mmap.mmap(fd, size)
        self.send(SET_MEM_TABLE, self.table((0, size, BASE, 0)), [fd])

    def ring_state(self, request, index, number):
        self.send(request, struct.pack("<II", index, number))

    def ring_address(self, index, desc, used, avail):
        self.send(SET_VRING_ADDR, struct.pack(
            "<IIQQQQ", index, 0, desc, used, avail, 0))

    def ring_fd(self, request, index, fd=None):
        self.send(request, struct.pack("<Q", index if fd is not None
                                       else index | 0x100),
                  [fd] if fd is not None else [])

    @staticmethod
    def ring_offset(index):
        """Each ring has 16 pages: descriptors, avail, used."""
        return index * 16 * PAGE

    def start_ring(self, index, entries=256):
        at = BASE + self.ring_offset(index)
        self.ring_state(SET_VRING_NUM, index, entries)
        self.ring_state(SET_VRING_BASE, index, 0)
        self.ring_address(index, at, at + 4 * PAGE, at + 2 * PAGE)
        self.ring_fd(SET_VRING_CALL, index, self.eventfd())
        self.ring_fd(SET_VRING_KICK, index, self.eventfd())
        self.ring_state(SET_VRING_ENABLE, index, 1)

    def drive(self):
        """The whole start of a driver: after it the link is up."""
        self.negotiate()
        self.share_memory()
        self.start_ring(0)
        self.start_ring(1)

    def offer_descriptor(self, index, address, length, flags=0):
        """Make one descriptor of a ring available to the back-end."""
        at = self.ring_offset(index)
        struct.pack_into("<QIHH", self.memory, at, address, length, flags, 0)
        avail = at + 2 * PAGE
        struct.pack_into("<H", self.memory, avail + 4, 0)
        struct.pack_into("<H", self.memory, avail + 2, 1)

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        # Python unmaps the memory with the last reference to it: the test may
        # still read it.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
