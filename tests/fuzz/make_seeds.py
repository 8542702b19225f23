#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes seeds for fuzz_vhost_user from recorded sessions.

usage: make_seeds.py OUT-DIRECTORY SESSION.vus...

The sessions were recorded with another back-end, which offers other features
than this project's.  A front-end acknowledges only offered features, and sends
no messages that depend on others; so this program removes such features and
messages.  It makes five forms of each session: as it is; with memory slots in
place of the memory table, as QEMU sends them if they are offered, and a reset
of the device at the end; with updates that wait; with an in-flight buffer, got
and sent back; and with the name and UUID that this project's QEMU sends.
"""

import os
import struct
import sys

SET_FEATURES, SET_MEM_TABLE = 2, 5
SET_PROTOCOL_FEATURES = 16
GET_INFLIGHT_FD, SET_INFLIGHT_FD = 31, 32
RESET_DEVICE, ADD_MEM_REG, REM_MEM_REG = 34, 37, 38
F_MQ, F_RARP, F_REPLY_ACK, F_NET_MTU, F_BACKEND_REQ = 0, 2, 3, 4, 5
F_INFLIGHT, F_RESET_DEVICE, F_MEM_SLOTS, F_STATUS = 12, 13, 15, 16
F_IDENTITY, SET_IDENTITY, NAME_LENGTH = 55, 1055, 64  # ours
OFFERED_PROTOCOL = sum(1 << bit for bit in (
    F_MQ, F_RARP, F_REPLY_ACK, F_NET_MTU, F_BACKEND_REQ,
    F_INFLIGHT, F_RESET_DEVICE, F_MEM_SLOTS, F_STATUS))
# All features but dirty logging (26) and the IOMMU (33).
OFFERED = (1 << 36) - 1 & ~(1 << 26) & ~(1 << 33)
# {request: the protocol feature that it needs}
NEEDS = {17: F_MQ, 19: F_RARP, 20: F_NET_MTU, 21: F_BACKEND_REQ,
         39: F_STATUS, 40: F_STATUS}
EV_RESUME, EV_WAIT = 1, 3


def records(data):
    """Yield (number of fds, message) of a recorded session."""
    pos = 0
    while pos + 8 <= len(data):
        length, n_fds = struct.unpack_from("<II", data, pos)
        yield n_fds, data[pos + 8:pos + 8 + length]
        pos += 8 + length


def record(word, message):
    """One record with its header."""
    return struct.pack("<II", len(message), word) + message


def message(request, flags, payload):
    """One vhost-user message."""
    return struct.pack("<III", request, flags, len(payload)) + payload


def slots(payload, known):
    """The records that turn the regions KNOWN into those of a table."""
    count, _ = struct.unpack_from("<II", payload)
    regions = [payload[8 + 32 * i:40 + 32 * i] for i in range(count)]
    out = [record(0, message(REM_MEM_REG, 9, bytes(8) + r))
           for r in known if r not in regions]
    out += [record(1, message(ADD_MEM_REG, 9, bytes(8) + r))
            for r in regions if r not in known]
    return b"".join(out), regions


def adapt(data, with_slots=False, waiting=False, inflight=False,
          identity=False):
    """Change a recorded session to one with this project's back-end."""
    out = record(EV_WAIT | 1 << 8, b"") if waiting else b""
    protocol, known = 0, []
    for n_fds, msg in records(data):
        request, flags, _ = struct.unpack_from("<III", msg)
        payload = msg[12:]
        if request in NEEDS and not protocol >> NEEDS[request] & 1:
            continue
        if request == SET_PROTOCOL_FEATURES:
            protocol = struct.unpack("<Q", payload)[0] & OFFERED_PROTOCOL
            if with_slots:
                protocol |= 1 << F_MEM_SLOTS | 1 << F_RESET_DEVICE
            if inflight:
                protocol |= 1 << F_INFLIGHT
            if identity:
                protocol |= 1 << F_IDENTITY
            payload = struct.pack("<Q", protocol)
        elif request == SET_FEATURES:
            features = struct.unpack("<Q", payload)[0] & OFFERED
            payload = struct.pack("<Q", features)
        if request == SET_MEM_TABLE and with_slots:
            more, known = slots(payload, known)
            out += more
        else:
            out += record(n_fds, message(request, flags, payload))
        if request == SET_PROTOCOL_FEATURES and inflight:
            buffer = struct.pack("<QQHHI", 4096, 0, 2, 256, 0)
            out += record(0, message(GET_INFLIGHT_FD, 1, buffer))
            out += record(1, message(SET_INFLIGHT_FD, 9, buffer))
        if request == SET_PROTOCOL_FEATURES and identity:
            # The longest name: the fuzzer can easily make it too long.
            name = b"web".ljust(NAME_LENGTH - 1, b"x") + b"\0"
            out += record(0, message(SET_IDENTITY, 9, bytes(range(16)) + name))
        if waiting:
            out += record(EV_RESUME, b"")
    if with_slots:
        out += record(0, message(RESET_DEVICE, 9, b""))
        out += slots(bytes(8), known)[0]
    return out


def main():
    """Write the seeds."""
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for path in sys.argv[2:]:
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, "rb") as session:
            data = session.read()
        forms = {"": adapt(data), "-slots": adapt(data, with_slots=True),
                 "-waiting": adapt(data, waiting=True),
                 "-inflight": adapt(data, inflight=True),
                 "-identity": adapt(data, identity=True)}
        for suffix, seed in forms.items():
            with open(os.path.join(directory, name + suffix), "wb") as out:
                out.write(seed)


main()
