# SPDX-License-Identifier: Apache-2.0
"""Random frames, valid and odd, for the differential test of steering.

Values come from small pools, so that rules and frames often match.
"""
import ipaddress
import struct

MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03",
        "06:12:34:56:78:9a", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05",
        "33:33:00:00:00:01", "01:80:c2:00:00:00", "00:00:00:00:00:00"]
IP4S = ["10.0.0.1", "10.0.0.2", "10.0.1.3", "192.168.255.254", "224.0.0.5",
        "0.0.0.0", "255.255.255.255"]
IP6S = ["fd00::1", "fd00::2", "fd00:1:2:3:4:5:6:7", "fe80::1", "ff02::1", "::"]
PORTS = [0, 1, 53, 80, 1000, 4789, 65535]
VIDS = [0, 1, 5, 100, 4095]
TTLS = [0, 1, 2, 64, 255]
TOSES = [0, 0x10, 0xb8, 0x03, 0xff]
TCP_FLAGS = [0x10, 0x10, 0x10, 0x18, 0x18, 0x00, 0x02, 0x11, 0x04, 0x50, 0x110,
             0xfff]
ICMPS = [(0, 0), (8, 0), (3, 1), (11, 0)]
ICMP6S = [(128, 0), (129, 0), (135, 0), (136, 0), (1, 3)]
TYPES = [0x88b5, 0x0600, 0x88cc, 0x8847, 0x8848, 0x9100, 0x22f0, 0x0806]

TAG = b"\xa5DiF"
TAG_SIZE = len(TAG) + 4


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def is_rare(rng, share=0.08):
    return rng.random() < share


def _sum_or_not(rng, right):
    if is_rare(rng):
        return rng.choice([0, 0xffff, rng.getrandbits(16)])
    return right


def _payload(rng, tag):
    kind = rng.random()
    if kind < 0.5:
        size = rng.randrange(64)
    elif kind < 0.9:
        size = rng.randrange(64, 256)
    else:
        size = rng.choice([1000, 1430, 1446, 1460, 1472, rng.randrange(1500)])
    return rng.randbytes(size) + tag


def _tcp(rng, pseudo, payload):
    flags = rng.choice(TCP_FLAGS)
    offset, options = 5, b""
    if is_rare(rng, 0.2):
        offset = rng.randrange(5, 16)
        options = rng.randbytes(4 * offset - 20)
    if is_rare(rng, 0.04):
        offset = rng.randrange(16)
    head = struct.pack("!HHIIHHHH", rng.choice(PORTS), rng.choice(PORTS),
                       rng.getrandbits(32), rng.getrandbits(32),
                       offset << 12 | flags, rng.getrandbits(16), 0, 0)
    data = head + options + payload
    right = checksum(pseudo(6, len(data)) + data)
    return data[:16] + struct.pack("!H", _sum_or_not(rng, right)) + data[18:]


def _udp(rng, pseudo, payload):
    size = len(payload) + 8
    told = size if not is_rare(rng, 0.04) else rng.choice([0, 7, 8, 0xffff])
    ports = struct.pack("!HH", rng.choice(PORTS), rng.choice(PORTS))
    data = ports + struct.pack("!HH", told, 0) + payload
    right = checksum(pseudo(17, size) + data) or 0xffff
    value = 0 if is_rare(rng, 0.2) else _sum_or_not(rng, right)
    return data[:6] + struct.pack("!H", value) + data[8:]


def _icmp(rng, pseudo, payload, six):
    kind, code = rng.choice(ICMP6S if six else ICMPS)
    data = struct.pack("!BBHI", kind, code, 0, rng.getrandbits(32))
    if six and kind in (135, 136):
        data += ipaddress.ip_address(rng.choice(IP6S)).packed
        if is_rare(rng, 0.5):
            data += struct.pack("!BB", 2 if kind == 136 else 1, 1) \
                + mac(rng.choice(MACS))
    data += payload
    right = checksum((pseudo(58, len(data)) if six else b"") + data)
    return data[:2] + struct.pack("!H", _sum_or_not(rng, right)) + data[4:]


def _l4(rng, six, pseudo, tag):
    """Returns a protocol number, and the header's bytes."""
    payload = _payload(rng, tag)
    proto = rng.choice([6, 6, 6, 17, 17, 17, 58 if six else 1, 132, 2, 47, 50,
                        1 if six else 58, rng.randrange(256)])
    if proto == 6:
        return proto, _tcp(rng, pseudo, payload)
    if proto == 17:
        return proto, _udp(rng, pseudo, payload)
    if proto in (1, 58):
        return proto, _icmp(rng, pseudo, payload, proto == 58)
    if proto == 132:
        payload = struct.pack("!HHII", rng.choice(PORTS), rng.choice(PORTS),
                              1, rng.getrandbits(32)) + payload
    return proto, payload


def _ip4(rng, tag):
    src, dst = (ipaddress.ip_address(rng.choice(IP4S)).packed
                for _ in range(2))
    proto, data = _l4(rng, False, lambda proto, size: src + dst
                      + struct.pack("!BBH", 0, proto, size), tag)
    options = rng.randbytes(4 * rng.randrange(11)) if is_rare(rng) else b""
    first = 0x45 + len(options) // 4
    size = 20 + len(options) + len(data)
    if is_rare(rng, 0.04):
        first = rng.choice([0x44, 0x40, 0x55, 0x4f, 0x65, 0x05])
    if is_rare(rng, 0.04):
        size = rng.choice([0, 19, 20, 21, 24, 28, 40, size - 1, size + 1,
                           0xffff])
    frag = rng.choice([0, 0, 0, 0x4000, 0x4000])
    if is_rare(rng, 0.15):
        frag = rng.choice([0x2000, 0x2001, 0x00b9, 0x1fff, 0x8000, 0x20b9,
                           0x6000])
    head = struct.pack("!BBHHHBBH4s4s", first, rng.choice(TOSES), size & 0xffff,
                       rng.getrandbits(16), frag, rng.choice(TTLS), proto, 0,
                       src, dst) + options
    value = _sum_or_not(rng, checksum(head))
    return 0x0800, head[:10] + struct.pack("!H", value) + head[12:] + data


def _extension(rng, kind, after):
    """One IPv6 extension header; `after`: the number of the next header."""
    if kind == 44:
        offset = rng.choice([0, 0, 1, 2, 8, 0x5c8, 0x5c9, 0xfff8, 0xfff9, 6])
        return struct.pack("!BBHI", after, rng.choice([0, 0, 7]), offset,
                           rng.getrandbits(32))
    units = rng.choice([0, 0, 1, 2, 12])
    size = 4 * units + 8 if kind == 51 else 8 * units + 8
    told = units if not is_rare(rng, 0.05) else rng.randrange(256)
    return struct.pack("!BB", after, told) + rng.randbytes(size - 2)


def _ip6(rng, tag):
    src, dst = (ipaddress.ip_address(rng.choice(IP6S)).packed
                for _ in range(2))
    proto, data = _l4(rng, True, lambda proto, size: src + dst
                      + struct.pack("!II", size, proto), tag)
    if is_rare(rng, 0.35):
        for _ in range(rng.choice([1, 1, 2, 3])):
            kind = rng.choice([0, 43, 44, 44, 51, 60])
            data = _extension(rng, kind, proto) + data
            proto = kind
    size = len(data)
    if is_rare(rng, 0.05):
        size = rng.choice([0, 1, 8, 20, size + 1, max(size - 1, 0), 0xffff])
    first = 6 << 28 | rng.choice(TOSES) << 20 | rng.choice([0, 0, 0x12345])
    if is_rare(rng, 0.02):
        first ^= 0x20000000
    return 0x86dd, struct.pack("!IHBB", first, size, proto,
                               rng.choice(TTLS)) + src + dst + data


def _arp(rng, tag):
    data = struct.pack("!HHBBH", 1, 0x0800, 6, 4, rng.choice([1, 2, 1, 3, 256]))
    if is_rare(rng):
        data = rng.randbytes(8)
    for _ in range(2):
        data += mac(rng.choice(MACS)) \
            + ipaddress.ip_address(rng.choice(IP4S)).packed
    return rng.choice([0x0806, 0x0806, 0x8035]), data + rng.randbytes(
        rng.choice([0, 0, 18])) + tag


def _llc(rng, tag):
    data = rng.choice([
        bytes.fromhex("424203"), bytes.fromhex("aaaa030000000800"),
        bytes.fromhex("aaaa0300000086dd"), bytes.fromhex("aaaa0300000c2000"),
        bytes.fromhex("aaaa03")]) + _payload(rng, tag)
    size = rng.choice([len(data), len(data), 0, 3, 0x5ff])
    return min(size, 0x5ff), data


def _mpls(rng, tag):
    labels = b"".join(
        struct.pack("!I", rng.choice([0, 3, 16, 0xfffff]) << 12
                    | rng.getrandbits(3) << 9 | (i == 0) << 8
                    | rng.choice(TTLS))
        for i in reversed(range(rng.randrange(1, 5))))
    return rng.choice([0x8847, 0x8848]), labels + _ip4(rng, tag)[1]


def _other(rng, tag):
    return rng.choice(TYPES), _payload(rng, tag)


def _garbage(rng, tag):
    return rng.choice([0x0800, 0x86dd]), _payload(rng, tag)


def _tags(rng):
    count = rng.choices([0, 1, 2, 3], [65, 23, 10, 2])[0]
    return b"".join(struct.pack(
        "!HH", rng.choice([0x8100, 0x8100, 0x88a8]),
        rng.choice([0, 0, 3, 7]) << 13 | is_rare(rng) << 12
        | rng.choice(VIDS)) for _ in range(count))


def _complete_mpls(data):
    """Mark a label of an MPLS frame as the bottom of the stack, if none is.
    Without a bottom Open vSwitch cannot read its own flow of the frame: it
    removes the flow again and again, steered or not, and does not count packets
    that come meanwhile."""
    at = 12
    while data[at:at + 2] in (b"\x81\0", b"\x88\xa8"):
        at += 4
    if data[at:at + 2] not in (b"\x88\x47", b"\x88\x48"):
        return data
    at += 2
    if any(data[i] & 1 for i in range(at + 2, len(data) - 1, 4)):
        return data
    return data[:at] + b"\0\0\1\x40" + data[at + 4:]


def frame(rng, tag):
    """A random frame.  The same random numbers make the same frame, except for
    its tag."""
    head = mac(rng.choice(MACS)) + mac(rng.choice(MACS[:4])) + _tags(rng)
    outside = is_rare(rng, 0.3)
    kind = rng.choices([_ip4, _ip6, _arp, _llc, _mpls, _other, _garbage],
                       [45, 25, 7, 6, 5, 8, 4])[0]
    ethertype, data = kind(rng, b"" if outside else tag)
    data = head + struct.pack("!H", ethertype) + data
    if is_rare(rng, 0.1):
        return _complete_mpls(data[:rng.randrange(len(data))])
    if outside:
        data += rng.randbytes(rng.choice([0, 0, 6, 300])) + tag
    elif is_rare(rng, 0.3):
        data += bytes(max(0, 60 - len(data)))
    if is_rare(rng, 0.03):
        size = rng.choice([1499, 1500, 1501, 1504, 1505, 1508, 1509])
        data = (data + bytes(1600))[:14 + size - TAG_SIZE] + tag
    return _complete_mpls(data[:2000])


def make_tag(case, template, copy):
    return TAG + struct.pack("!HBB", case, template, copy)


def read_tag(data):
    """Read a frame's tag: (case, template, copy), or None without a tag."""
    at = data.rfind(TAG)
    if at < 0 or at + TAG_SIZE > len(data):
        return None
    return struct.unpack_from("!HBB", data, at + len(TAG))
