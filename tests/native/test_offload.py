# SPDX-License-Identifier: Apache-2.0
"""Checksum and segmentation offloads against stock front-ends.

The peer is DPDK's virtio-user in a testpmd that leaves checksums and
segmentation to its device ("csum set tcp hw", "tso set").  The packets that
arrive are written to a file.
"""
import struct

import pytest
from testpmd import (Testpmd, driver_eal, read_pcap, wait_until,
                     write_pcap)

PACKETS = 200
SIZES = [1, 2, 3, 64, 65, 500, 1399, 1400]


def words(data):
    data += b"\0" * (len(data) % 2)
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def folded(value):
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value


def packet(number, udp, size):
    """An Ethernet frame with IPv4, and TCP or UDP with a wrong checksum.  It
    is wrong, not zero: testpmd ignores UDP packets without a checksum."""
    payload = struct.pack("!I", number)[:size]
    payload += bytes((number + i) & 0xff for i in range(size - len(payload)))
    l4 = (struct.pack("!HHHH", 1000, 2000, 8 + size, 1) if udp else
          struct.pack("!HHIIBBHHH", 1000, 2000, number, 0, 5 << 4, 0x10,
                      1000, 1, 0)) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(l4), number, 0, 64,
                     17 if udp else 6, 0, bytes([10, 0, 0, 1]),
                     bytes([10, 0, 0, 2]))
    ip = ip[:10] + struct.pack("!H", ~folded(words(ip)) & 0xffff) + ip[12:]
    return (bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip
            + l4)


def checksum_is_right(frame):
    length = struct.unpack_from("!H", frame, 16)[0]
    l4 = frame[34:14 + length]
    field = l4[6:8] if frame[23] == 17 else l4[16:18]
    return (folded(words(l4) + words(frame[26:34]) + frame[23] + len(l4))
            == 0xffff and field != b"\0\0")


def untouched(frame):
    """The frame without L4 checksum and Ethernet addresses, which testpmd
    sets."""
    field = 40 if frame[23] == 17 else 50
    return frame[12:field] + frame[field + 2:]


@pytest.fixture
def link(tmp_path_factory):
    made = []

    class Link:
        dir = tmp_path_factory.mktemp("offload")

        def sent(self, packets):
            write_pcap(self.dir / "sent.pcap", packets)
            write_pcap(self.dir / "none.pcap", [])
            return packets

        def received(self):
            return read_pcap(self.dir / "received.pcap")

        def file(self, name):
            return (f"net_pcap0,rx_pcap={self.dir}/none.pcap,"
                    f"tx_pcap={self.dir}/{name}.pcap")

        def start(self, name, vdevs, args="", eal="--single-file-segments"):
            made.append(Testpmd(name, vdevs, args, eal))
            return made[-1]

        def source(self, socket="a", args="", tso=0):
            """A peer that sends sent.pcap."""
            peer = self.start(
                "source",
                [f"net_virtio_user0,path={self.dir}/{socket}",
                 f"net_pcap0,rx_pcap={self.dir}/sent.pcap,"
                 f"tx_pcap={self.dir}/source.pcap"],
                "--no-flush-rx --nb-cores=2 " + args)
            peer.command("port stop all")
            for what in ("tcp", "udp"):
                peer.command(f"csum set {what} hw 0")
            if tso:
                peer.command(f"tso set {tso} 0")
            peer.ask("port start all", "Done")
            return peer

        def sink(self, socket="b", args="", lro=False):
            """A peer that writes received.pcap."""
            peer = self.start(
                "sink", [f"net_virtio_user0,path={self.dir}/{socket}",
                         self.file("received")], args)
            if lro:
                peer.command("port stop all")
                # For tcp_lro virtio-user acknowledges only GUEST_TSO4, which
                # needs GUEST_CSUM (virtio 1.x, 5.1.3.1): tcp_cksum adds that.
                for what in ("tcp_cksum", "tcp_lro"):
                    peer.command(f"port config 0 rx_offload {what} on")
                peer.ask("port start all", "Done")
            peer.start()
            return peer

    yield Link()
    for process in made:
        process.close()


def unsupported(process, way, port=0):
    return process.xstats(port)[f"{way}_ring0_unsupported"]


@pytest.mark.parametrize("devargs", ["csum=1", "tso=1"])
def test_application_without_offloads_gets_finished_packets(link, devargs):
    sent = link.sent([packet(i, i % 2, SIZES[i // 2 % len(SIZES)])
                      for i in range(PACKETS)])
    switch = link.start(
        "switch", [f"net_vpci0,path={link.dir}/a,{devargs}",
                   link.file("received")], eal=driver_eal())
    switch.start()
    peer = link.source()
    peer.wait_link(True)
    peer.start("csum")
    wait_until(lambda: len(link.received()) == PACKETS, 30, "all arrive")
    for before, after in zip(sent, link.received()):
        assert not checksum_is_right(before)
        assert checksum_is_right(after)
        assert untouched(after) == untouched(before)


LARGE = [packet(i, False, 8000 + i) for i in range(PACKETS)]
LARGE_ARGS = "--mbuf-size=10240 --max-pkt-len=9018"


def two_ports(link):
    """A switch that sends packets from peer a to peer b unchanged, with their
    offload requests."""
    switch = link.start(
        "switch", [f"net_vpci{n},path={link.dir}/{name},tso=1,"
                   "legacy-ol-flags=1" for n, name in enumerate("ab")],
        eal=driver_eal())
    switch.start()
    return switch


def test_large_packets_go_from_peer_to_peer_in_one_piece(link):
    """The application between the peers has small mbufs."""
    sent = link.sent(LARGE)
    switch = two_ports(link)
    sink = link.sink(args=LARGE_ARGS, lro=True)
    sink.wait_link(True)
    peer = link.source(args=LARGE_ARGS, tso=1000)
    peer.wait_link(True)
    peer.start("csum")
    wait_until(lambda: len(link.received()) == PACKETS, 30, "all arrive")
    assert [untouched(f) for f in link.received()] == list(
        map(untouched, sent))
    assert unsupported(switch, "rx", 0) == unsupported(switch, "tx", 1) == 0


def test_large_packets_for_a_peer_that_takes_none_are_counted(link):
    link.sent(LARGE)
    switch = two_ports(link)
    sink = link.sink()
    sink.wait_link(True)
    peer = link.source(args=LARGE_ARGS, tso=1000)
    peer.wait_link(True)
    peer.start("csum")
    wait_until(lambda: unsupported(switch, "tx", 1) == PACKETS, 30,
               "all are counted")
    assert link.received() == []


def test_large_packets_that_the_application_does_not_take_are_counted(link):
    link.sent(LARGE)
    switch = link.start("switch", [f"net_vpci0,path={link.dir}/a,tso=1",
                                   link.file("received")],
                        LARGE_ARGS, driver_eal())
    switch.start()
    peer = link.source(args=LARGE_ARGS, tso=1000)
    peer.wait_link(True)
    peer.start("csum")
    wait_until(lambda: unsupported(switch, "rx") == PACKETS, 30,
               "all are counted")
    assert link.received() == []


def test_checksums_are_computed_for_a_peer_that_takes_none(link):
    link.sent([packet(i, i % 2, SIZES[i // 2 % len(SIZES)])
               for i in range(PACKETS)])
    two_ports(link)
    sink = link.sink()
    sink.wait_link(True)
    peer = link.source()
    peer.wait_link(True)
    peer.start("csum")
    wait_until(lambda: len(link.received()) == PACKETS, 30, "all arrive")
    assert all(map(checksum_is_right, link.received()))
