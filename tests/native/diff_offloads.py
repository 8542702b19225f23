# SPDX-License-Identifier: Apache-2.0
"""Unfinished packets, for the differential test of steering.  With offloads, a
peer leaves checksums and segmentation to the receiver of a packet (virtio 1.x,
5.1.6.2).  This module makes such packets, and completes received ones.

It makes odd packets, too, with two exceptions: packets for which the driver
stops a ring; and TCP or UDP packets whose checksum field lacks the sum of the
pseudo header, because Open vSwitch mends that sum, but the driver's rules do
not.
"""
import struct

import diff_frames
from diff_frames import checksum, is_rare

HEADER = struct.Struct("<BBHHHHH")  # struct virtio_net_hdr_v1
PLAIN = HEADER.pack(0, 0, 0, 0, 0, 0, 0)
NEEDS_CSUM = 1
TCPV4, TCPV6, ECN = 1, 4, 0x80
MTU = 1500
TAGS = (b"\x81\0", b"\x88\xa8")
CWR = 0x80

# Offloads of a peer, as feature bits: "host_*" for packets that it sends,
# "guest_*" for packets that it receives.
CSUM = {"csum": 0, "guest_csum": 1}
TSO = {**CSUM, "host_tso4": 11, "host_tso6": 12, "host_ecn": 13,
       "guest_tso4": 7, "guest_tso6": 8, "guest_ecn": 9}
TSO4 = {name: TSO[name] for name in
        ("csum", "guest_csum", "host_tso4", "guest_tso4")}


def features(names):
    return sum(1 << TSO[name] for name in names)


class Packet:
    """Finds the parts of a TCP or UDP packet.  `proto` is None for any other
    packet, and for one that an honest driver would not leave unfinished."""

    def __init__(self, frame):
        self.proto, self.odd = None, False
        self.l3 = 14
        while self.l3 < 26 and frame[self.l3 - 2:self.l3] in TAGS:
            self.l3 += 4
        kind = frame[self.l3 - 2:self.l3]
        data = frame[self.l3:]
        if kind == b"\x08\0" and len(data) >= 20:
            self._ip4(data)
        elif kind == b"\x86\xdd" and len(data) >= 40:
            self._ip6(data)
        if self.proto is not None:
            self._l4(frame)

    def _ip4(self, data):
        size, = struct.unpack_from("!H", data, 2)
        self.l4 = self.l3 + 4 * (data[0] & 15)
        self.end = self.l3 + size
        self.pseudo = data[12:20]
        self.is_six = False
        fragment = struct.unpack_from("!H", data, 6)[0]
        self.odd = data[0] >> 4 != 4 or fragment & 0x3fff != 0 \
            or checksum(data[:self.l4 - self.l3]) != 0
        if 20 <= self.l4 - self.l3 <= size <= len(data) \
                and not fragment & 0x1fff:
            self.proto = data[9]

    def _ip6(self, data):
        size, proto = struct.unpack_from("!HB", data, 4)
        self.end = self.l3 + 40 + size
        self.pseudo = data[8:40]
        self.is_six = True
        self.odd = data[0] >> 4 != 6
        at = 40
        if 40 + size > len(data):
            return
        while proto in (0, 43, 44, 51, 60) and at + 8 <= 40 + size:
            if proto == 44 and data[at + 2:at + 4] != b"\0\0":
                return
            self.odd |= proto in (43, 44, 51)
            length = {44: 8, 51: 4 * data[at + 1] + 8}.get(
                proto, 8 * data[at + 1] + 8)
            proto, at = data[at], at + length
        self.l4 = self.l3 + at
        self.proto = proto

    def _l4(self, frame):
        self.l4_len = 8
        room = self.end - self.l4
        if self.proto == 6 and room >= 20:
            self.l4_len = 4 * (frame[self.l4 + 12] >> 4)
        if self.proto not in (6, 17) or room < self.l4_len \
                or self.l4_len < (20 if self.proto == 6 else 8):
            self.proto = None
            return
        self.field = self.l4 + (16 if self.proto == 6 else 6)

    def sum_pseudo(self):
        return ~checksum(self.pseudo + struct.pack(
            "!II", self.proto, self.end - self.l4)) & 0xffff

    def size_of_open_vswitch(self):
        """The size of Open vSwitch's segments: it segments to the MTU of the
        port, and ignores the size that the sender gave."""
        return MTU - (self.l4 - self.l3) - self.l4_len

    def size_that_was_sent(self, frame):
        """The size of segments that unfinished() writes into the header.  It
        follows from the sequence number, which no rule changes."""
        return [self.size_of_open_vswitch(), 1200, 536, 100][
            frame[self.l4 + 4] & 3]

    def payload(self):
        return self.end - self.l4 - self.l4_len


def put(frame, at, data):
    return frame[:at] + data + frame[at + len(data):]


def _long(rng, frame, packet):
    """Lengthen a TCP packet's payload to that of some segments."""
    size = packet.size_that_was_sent(frame)
    want = rng.choice([0, 1, size, size + 1, 2 * size, 3 * size, 2000, 2919,
                       rng.randrange(1, 4 * size + 2)])
    if is_rare(rng, 0.03):
        want = rng.randrange(20000)
    more = max(want - packet.payload(), 0)
    at = packet.l4 + packet.l4_len
    frame = frame[:at] + rng.randbytes(more) + frame[at:]
    if packet.is_six:
        return put(frame, packet.l3 + 4, struct.pack(
            "!H", packet.end + more - packet.l3 - 40))
    was, = struct.unpack_from("!H", frame, packet.l3 + 10)
    ip_is_right = checksum(frame[packet.l3:packet.l4]) == 0
    frame = put(frame, packet.l3 + 2,
                struct.pack("!H", packet.end + more - packet.l3))
    frame = put(frame, packet.l3 + 10, b"\0\0")
    right = checksum(frame[packet.l3:packet.l4])
    return put(frame, packet.l3 + 10,
               struct.pack("!H", right if ip_is_right else was))


def _segmented(rng, frame, packet, names):
    """Make a TCP packet one to be segmented, if the peer may send such packets;
    returns (gso_type, frame)."""
    kind = TCPV6 if packet.is_six else TCPV4
    if packet.proto != 6 or packet.size_of_open_vswitch() < 100 \
            or is_rare(rng, 0.25) \
            or ("host_tso6" if packet.is_six else "host_tso4") not in names:
        return 0, frame
    at = packet.l4 + 13
    flags = frame[at] & ~CWR
    if not is_rare(rng, 0.1):
        flags &= ~7  # SYN, FIN, RST: the driver does not steer such packets
    if "host_ecn" in names and is_rare(rng, 0.2):
        kind |= ECN
        flags |= CWR
    return kind, _long(rng, put(frame, at, bytes([flags])), packet)


def _anywhere(rng, frame):
    """A header that asks for a checksum anywhere outside the frame's tag."""
    tag = frame.rfind(diff_frames.TAG)
    start = rng.choice([0, 14, 34, rng.randrange(len(frame))])
    fields = [at for at in range(start, min(len(frame) - 1, start + 200))
              if not 0 <= tag - 2 < at < tag + diff_frames.TAG_SIZE]
    if not fields:
        return PLAIN
    return HEADER.pack(NEEDS_CSUM, 0, rng.choice([0, 54, 0xffff]),
                       rng.choice([0, 1460]), start,
                       rng.choice(fields) - start, 0)


def unfinished(rng, frame, names):
    """Returns a header for a frame from a peer that negotiated `names`, and the
    frame, changed to fit the header.  The same random numbers make the same
    result, except for the tag."""
    if not names:
        # Without offloads the back-end must ignore the header.
        junk = rng.randbytes(HEADER.size)
        return (junk if is_rare(rng, 0.3) else PLAIN), frame
    packet = Packet(frame)
    if is_rare(rng, 0.2) or len(frame) < 2:
        return PLAIN, frame
    if packet.proto is None or is_rare(rng, 0.05):
        return (_anywhere(rng, frame) if is_rare(rng, 0.5) else PLAIN), frame
    kind, frame = _segmented(rng, frame, packet, names)
    packet = Packet(frame)
    frame = put(frame, packet.field, struct.pack("!H", packet.sum_pseudo()))
    hdr_len = packet.l4 + packet.l4_len
    size = packet.size_that_was_sent(frame) if packet.proto == 6 else 0
    if is_rare(rng):
        hdr_len = rng.choice([0, 14, 0xffff])
    return HEADER.pack(NEEDS_CSUM, kind, hdr_len, size if kind else
                       rng.choice([0, 0, 7]), packet.l4,
                       packet.field - packet.l4, rng.choice([0, 0, 1, 9])), \
        frame


def _check_segments(header, packet, frame, names):
    """Check the header of a packet to be segmented: the size of segments is the
    sender's, or the size of Open vSwitch."""
    _, kind, hdr_len, size, start, _, _ = header
    assert packet.proto == 6 and start == packet.l4, header
    assert kind & ~ECN == (TCPV6 if packet.is_six else TCPV4), header
    assert ("guest_tso6" if packet.is_six else "guest_tso4") in names, header
    assert not kind & ECN or "guest_ecn" in names, header
    assert hdr_len == packet.l4 + packet.l4_len, header
    assert size in (packet.size_of_open_vswitch(),
                    packet.size_that_was_sent(frame)), header


def is_moved_whole(header, frame):
    """True if the header still has the sender's size of segments, and not that
    of Open vSwitch: then the driver's rules have moved the packet."""
    _, kind, _, size, *_ = HEADER.unpack(header)
    return kind != 0 and size != Packet(frame).size_of_open_vswitch()


def meaning(header, frame, names):
    """What a received frame means: the frame with a complete checksum, and
    words in front that tell what was left to do.  Raises AssertionError if a
    peer that negotiated `names` must not receive such a frame."""
    if header[:10] == PLAIN[:10]:
        return frame
    header = HEADER.unpack(header)
    flags, kind, _, _, start, offset, _ = header
    assert flags == NEEDS_CSUM and "guest_csum" in names, header
    at = start + offset
    assert at + 2 <= len(frame), header
    packet = Packet(frame)
    value = checksum(frame[start:])
    if packet.proto == 17 and value == 0:
        value = 0xffff
    words = b"partial "
    if kind:
        _check_segments(header, packet, frame, names)
        # A packet that is not larger than one of Open vSwitch's segments leaves
        # Open vSwitch without a gso_type.
        if packet.payload() > packet.size_of_open_vswitch():
            words += b"large " + (b"ECN " if kind & ECN else b"")
    else:
        assert header[2:4] == (0, 0), header
    return words + put(frame, at, struct.pack("!H", value))
