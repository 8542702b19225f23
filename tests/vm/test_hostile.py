# SPDX-License-Identifier: Apache-2.0
"""Sends bad input to the device's socket.  In each case the device ends the
connection, and logs one line that names the broken rule.  QEMU, the guest and
the other ports go on, and the device serves the next front-end."""
import fcntl
import os
import random
import re
import socket
import struct

import pytest

from harness import frontend as vu
from harness import traffic
from harness.frontend import BASE, PAGE, FrontEnd
from harness.procs import wait_until

END = "closing the connection"
MIB = 1 << 20
HUGE = 1 << 62


def random_bytes(front):
    front.raw(random.Random(1).randbytes(4096))


def random_messages_in_a_session(front):
    """Random requests with well-formed headers, which reach the handlers."""
    source = random.Random(2)
    front.negotiate()
    for _ in range(200):
        size = source.randrange(64)
        try:
            front.send(source.randrange(1, 45), source.randbytes(size))
        except OSError:
            return


def announced_payload_beyond_any_message(front):
    front.send(vu.SET_FEATURES, b"12345678", size=0xfffffff0)


def payload_shorter_than_the_message_needs(front):
    front.send(vu.SET_FEATURES, b"1234")


def table_shorter_than_its_count(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, struct.pack("<II", 2, 0) + bytes(32),
               [front.memory_file(MIB), front.memory_file(MIB)])


def version_zero(front):
    front.send(vu.GET_FEATURES, flags=0)


def unknown_request(front):
    front.send(200)


def features_not_offered(front):
    offered = front.ask_u64(vu.GET_FEATURES)
    front.send(vu.SET_FEATURES, struct.pack("<Q", ~offered & (2**64 - 1)))


def fds_where_none_belong(front):
    front.send(vu.SET_FEATURES, struct.pack("<Q", 0), [front.eventfd()])


def more_fds_than_any_message_carries(front):
    fd = front.memory_file(MIB)
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)), [fd] * 60)


def more_regions_than_fds(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table(
        (0, MIB, BASE, 0), (MIB, MIB, BASE + MIB, 0)),
        [front.memory_file(MIB)])


def memory_is_a_pipe(front):
    front.negotiate()
    read, write = os.pipe()
    front.fds += [read, write]
    front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)), [read])


def memory_is_a_socket(front):
    front.negotiate()
    one, two = socket.socketpair()
    with one, two:
        front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)),
                   [one.fileno()])


def memory_is_read_only(front):
    front.negotiate()
    fd = front.memory_file(MIB)
    readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    front.fds.append(readable)
    front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)), [readable])


def memory_can_shrink(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)),
               [front.memory_file(MIB, seals=0)])


def memory_is_sealed_against_writing(front):
    front.negotiate()
    fd = front.memory_file(MIB, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    front.send(vu.SET_MEM_TABLE, front.table((0, MIB, BASE, 0)), [fd])


def region_beyond_its_file(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table((0, 2 * MIB, BASE, 0)),
               [front.memory_file(MIB)])


def huge_region(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table((0, HUGE, BASE, 0)),
               [front.memory_file(MIB)])


def region_that_wraps_around(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table(
        (2**64 - PAGE, 2 * PAGE, BASE, 0)), [front.memory_file(MIB)])


def region_larger_than_the_window(front):
    front.negotiate()
    size = 64 << 30
    front.send(vu.SET_MEM_TABLE, front.table((0, size, BASE, 0)),
               [front.memory_file(size)])


def empty_region(front):
    front.negotiate()
    front.send(vu.SET_MEM_TABLE, front.table((0, 0, BASE, 0)),
               [front.memory_file(MIB)])


def overlapping_regions(front):
    front.negotiate()
    fd = front.memory_file(4 * MIB)
    front.send(vu.SET_MEM_TABLE, front.table(
        (0, 2 * MIB, BASE, 0), (MIB, 2 * MIB, BASE + 8 * MIB, 2 * MIB)),
        [fd, fd])


def overlapping_user_addresses(front):
    front.negotiate()
    fd = front.memory_file(4 * MIB)
    front.send(vu.SET_MEM_TABLE, front.table(
        (0, 2 * MIB, BASE, 0), (8 * MIB, 2 * MIB, BASE + MIB, 2 * MIB)),
        [fd, fd])


def _ring_at(front, desc, used=BASE + 8 * PAGE, avail=BASE + 4 * PAGE):
    front.negotiate()
    front.share_memory()
    front.ring_state(vu.SET_VRING_NUM, 0, 256)
    front.ring_state(vu.SET_VRING_BASE, 0, 0)
    front.ring_address(0, desc, used, avail)
    front.ring_fd(vu.SET_VRING_CALL, 0, front.eventfd())
    front.ring_fd(vu.SET_VRING_KICK, 0, front.eventfd())
    front.ring_state(vu.SET_VRING_ENABLE, 0, 1)


def descriptor_table_outside_memory(front):
    _ring_at(front, BASE + 16 * MIB)


def descriptor_table_across_the_end_of_memory(front):
    _ring_at(front, BASE + MIB - PAGE + 16)


def used_ring_outside_memory(front):
    _ring_at(front, BASE, used=BASE - PAGE)


def available_ring_wraps_around(front):
    _ring_at(front, BASE, avail=2**64 - 64)


def ring_not_aligned(front):
    _ring_at(front, BASE + 1)


def ring_of_no_power_of_two(front):
    front.negotiate()
    front.share_memory()
    front.ring_state(vu.SET_VRING_NUM, 0, 100)
    front.ring_address(0, BASE, BASE + 8 * PAGE, BASE + 4 * PAGE)
    front.ring_fd(vu.SET_VRING_KICK, 0, front.eventfd())
    front.ring_state(vu.SET_VRING_ENABLE, 0, 1)


def ring_beyond_the_last(front):
    front.negotiate()
    front.ring_state(vu.SET_VRING_NUM, 4000, 256)


def kick_is_no_eventfd(front):
    front.negotiate()
    front.ring_fd(vu.SET_VRING_KICK, 0, front.memory_file(PAGE))


def call_is_no_eventfd(front):
    front.negotiate()
    read, write = os.pipe()
    front.fds += [read, write]
    front.ring_fd(vu.SET_VRING_CALL, 0, write)


def one_eventfd_kicks_two_rings(front):
    front.negotiate()
    front.share_memory()
    kick = front.eventfd()
    for ring in (0, 1):
        front.ring_state(vu.SET_VRING_NUM, ring, 256)
        at = BASE + front.ring_offset(ring)
        front.ring_address(ring, at, at + 4 * PAGE, at + 2 * PAGE)
        front.ring_fd(vu.SET_VRING_KICK, ring, kick)


# Each case, and the pattern of its log line.
CASES = {
    random_bytes: r"protocol|request|payload|flags",
    random_messages_in_a_session: r".",
    announced_payload_beyond_any_message: r"SET_FEATURES.*payload of",
    payload_shorter_than_the_message_needs: r"SET_FEATURES.*payload of 4 ",
    table_shorter_than_its_count: r"SET_MEM_TABLE.*2 regions in 40 bytes",
    version_zero: r"version 0 of the protocol",
    unknown_request: r"unknown request",
    features_not_offered: r"SET_FEATURES.*were not offered",
    fds_where_none_belong: r"SET_FEATURES.*1 fds; allowed",
    more_fds_than_any_message_carries: r"fds",
    more_regions_than_fds: r"2 regions with 1 fds",
    memory_is_a_pipe: r"not open for reading and writing",
    memory_is_a_socket: r"neither on tmpfs nor on hugetlbfs",
    memory_is_read_only: r"not open for reading and writing",
    memory_can_shrink: r"can shrink",
    memory_is_sealed_against_writing: r"sealed against writing",
    region_beyond_its_file: r"ends at byte \d+ of a file",
    huge_region: r"ends at byte|wraps|window|aligned",
    region_that_wraps_around: r"wraps around",
    region_larger_than_the_window: r"window",
    empty_region: r"is empty",
    overlapping_regions: r"overlap in guest-physical",
    overlapping_user_addresses: r"overlap in user addresses",
    descriptor_table_outside_memory: r"descriptor table.*not within",
    descriptor_table_across_the_end_of_memory: r"descriptor table.*not within",
    used_ring_outside_memory: r"used ring.*not within",
    available_ring_wraps_around: r"available ring.*not within",
    ring_not_aligned: r"not aligned",
    ring_of_no_power_of_two: r"not a power of two",
    ring_beyond_the_last: r"no ring 4000, only",
    kick_is_no_eventfd: r"SET_VRING_KICK.*not an eventfd",
    call_is_no_eventfd: r"SET_VRING_CALL.*not an eventfd",
    one_eventfd_kicks_two_rings: r"eventfd of ring 0",
}


@pytest.fixture
def attacked(shared):
    """The shared topology with port x added.  After the test, QEMU and
    ovs-vswitchd must still run, and the other ports must carry traffic."""
    sw = shared.sw
    pids = (sw.child.pid, sw.ovs.switch_pid())
    sw.add_port("x")
    try:
        yield shared
    finally:
        sw.ovs.del_port("x")
    assert (sw.child.pid, sw.ovs.switch_pid()) == pids
    traffic.ping(shared.a, shared.b, count=1)


def _open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_each_bad_message_ends_its_connection_with_one_line(attacked):
    """Run all cases one after the other, while the other ports carry traffic.
    Each case shows that the case before it left the device intact."""
    sw, wrong = attacked.sw, []
    with FrontEnd(sw.ports["x"].link) as front:
        front.drive()
        sw.ovs.wait_link_up("x")
    fds = _open_fds(sw.child.pid)
    with traffic.numbered_stream(attacked.a, attacked.b, rate=50) as counts:
        for case, rule in CASES.items():
            problem = _attack(sw, case, rule)
            if problem:
                wrong.append(f"{case.__name__}: {problem}")
    assert not wrong, "\n".join(wrong)
    assert counts["lost"] == counts["corrupted"] == 0, counts
    wait_until(lambda: _open_fds(sw.child.pid) <= fds, 20,
               f"QEMU has at most the {fds} open files of before")
    # The device serves the next front-end as if nothing had happened.
    with FrontEnd(sw.ports["x"].link) as front:
        front.drive()
        sw.ovs.wait_link_up("x")


def _attack(sw, case, rule):
    """Run one case; returns what is wrong with the answer, or None."""

    before = len(_lines(sw))
    with FrontEnd(sw.ports["x"].link) as front:
        try:
            case(front)
        except (BrokenPipeError, ConnectionResetError, ConnectionError):
            pass  # the device ended the connection before the case had ended
        try:
            front.wait_closed()
        except TimeoutError:
            return "the connection stays open"
    try:
        wait_until(lambda: len(_lines(sw)) > before, 10, "a log line")
    except AssertionError:
        return "no log line"
    said = _lines(sw)[before:]
    if len(said) != 1:
        return f"{len(said)} log lines: {said}"
    if not re.search(rule, said[0]):
        return f"the line does not match {rule!r}: {said[0]}"
    return None


def _lines(sw):
    return [l for l in sw.qemu_lines("peer x") if END in l]


def test_a_message_cut_off_by_a_disconnect_is_forgotten(attacked):
    """The connection ends in the middle of a message."""
    sw = attacked.sw
    for size in (1, 4, 11, 12, 15):
        with FrontEnd(sw.ports["x"].link) as front:
            front.raw((struct.pack("<III", vu.SET_FEATURES, 1, 8)
                       + bytes(8))[:size])
    with FrontEnd(sw.ports["x"].link) as front:
        front.drive()
        sw.ovs.wait_link_up("x")
    sw.ovs.wait_interface("x", "link_state", "down")


def test_descriptor_outside_memory_breaks_the_ring_and_names_the_rule(
        attacked):
    """The driver in the guest finds a bad descriptor.  The driver stops the
    ring and takes the link down; a counter and the status column say why.  The
    other ports go on."""
    sw = attacked.sw
    with traffic.numbered_stream(attacked.a, attacked.b, rate=50) as counts:
        with FrontEnd(sw.ports["x"].link) as front:
            front.drive()
            sw.ovs.wait_link_up("x")
            front.offer_descriptor(1, 1 << 40, 100)
            sw.ovs.wait_interface("x", "link_state", "down")
            status = sw.ovs.get("x", "status")
            assert int(status["violations"]) == 1, status
            assert status["broken-rule"], status
            print(status["broken-rule"])
    assert counts["lost"] == 0, counts


def test_a_front_end_that_is_silent_holds_up_nothing(attacked):
    """A front-end sends half a message, then nothing.  The device must not
    block while the rest is missing."""
    sw = attacked.sw
    with FrontEnd(sw.ports["x"].link) as front:
        front.raw(struct.pack("<III", vu.SET_FEATURES, 1, 8) + b"123")
        assert sw.qmp.command("query-status")["running"]
        traffic.ping(attacked.a, attacked.b, count=1)
