# SPDX-License-Identifier: Apache-2.0
"""Checksum and TCP segmentation offloads, with Open vSwitch's
userspace-tso-enable: guests exchange packets without checksums, and packets
that are larger than the MTU."""
import contextlib
import re

import pytest

from harness import traffic
from harness.shared import MTU, MTU_MAX, largest_mtu

FILE_MIB, FILE_MIB_SLICE = 64, 8
# The device's properties that offer offloads to its peer, and the properties
# by which a peer's QEMU refuses them.
OFFER = ",peer-offloads=on"
REFUSE = ",csum=off,guest_csum=off"
GUEST_CSUM = 1  # feature bit
JUMBO_PAGES = 440
MSS = 1448  # bytes of TCP payload in a packet of 1500
WAYS = [("a", "b"), ("b", "a")]


@pytest.fixture(scope="module")
def offloads(module_topology):
    """a and b use offloads, a with packed rings and b with split ones.  The
    device offers offloads to c, too, but c refuses them."""
    net = module_topology
    net.sw = net.switch([(n, OFFER) for n in "abc"], memory_mb=1280)
    net.a = net.peer("a", memory_mb=512, mtu=MTU_MAX, device=",packed=on")
    net.b = net.peer("b", memory_mb=256, mtu=MTU_MAX)
    net.c = net.peer("c", memory_mb=128, device=REFUSE)
    net.up()
    net.sw.sh("echo 160 > /proc/sys/vm/nr_hugepages")
    net.sw.start_ovs(userspace_tso_enable="true")
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("a", "b", "c")
    for peer in (net.a, net.b):
        peer.sh(f"ip link set {peer.interface} mtu {MTU}")
    traffic.wait_reachable(net.a, net.b)
    return net


@pytest.fixture
def sound(offloads):
    """After the test, check that no rule was broken and no ring stopped."""
    yield offloads
    offloads.sw.check_rings()


def features(peer):
    """{name: whether it is on} as `ethtool -k` prints it."""
    return {k: v == "on" for k, v in re.findall(
        r"^\s*([\w-]+): (on|off)", peer.sh(f"ethtool -k {peer.interface}"),
        re.M)}


@pytest.mark.parametrize("name, on", [("a", True), ("b", True), ("c", False)])
def test_guests_use_what_their_device_offers(sound, name, on):
    used = features(sound.vms[name])
    for feature in ("tx-checksum-ip-generic", "tx-tcp-segmentation",
                    "tx-tcp6-segmentation"):
        assert used[feature] == on, (feature, used)
    # ethtool's rx-checksumming tells nothing: this kernel always shows "on".
    bits = sound.vms[name].sh("cat /sys/bus/virtio/devices/virtio0/features")
    assert (bits[GUEST_CSUM] == "1") == on, bits


@contextlib.contextmanager
def large_packets(sender, receiver):
    """Check, by the counters of both guests, that packets carry more than one
    segment on average: the sender's device takes, and the receiver's device
    delivers, packets that nobody segmented.  A higher mean is not certain: it
    depends on the sender's pacing, which an emulated guest's clock disturbs.
    The body stores the bytes of TCP payload in the yielded dictionary."""
    sent = {}
    before = sender.counters(), receiver.counters()
    yield sent
    after = sender.counters(), receiver.counters()
    for count, old, new in zip(("tx_packets", "rx_packets"), before, after):
        mean = sent["bytes"] / (new[count] - old[count])
        print(f"{count}: {mean:.0f} bytes of TCP payload each")
        # Without TSO no packet could carry more than MSS bytes.
        assert mean > MSS, (count, mean)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_file_arrives_unchanged_in_large_packets(sound, full, way):
    mib = FILE_MIB if full else FILE_MIB_SLICE
    sender, receiver = sound.named(way)
    with large_packets(sender, receiver) as measured:
        digest, measured["bytes"] = traffic.send_file(sender, receiver, mib)
    assert measured["bytes"] == mib << 20
    assert digest[0] == digest[1]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_iperf3_tcp_moves_large_packets(sound, way):
    sender, receiver = sound.named(way)
    with large_packets(sender, receiver) as measured:
        measured.update(traffic.iperf3(sender, receiver, seconds=2))
    print(f"{measured['bits_per_second'] / 1e6:.0f} Mbit/s")


@pytest.mark.parametrize("way", WAYS + [("a", "c"), ("c", "a")], ids="-".join)
def test_udp_checksums_are_right_whoever_computes_them(sound, way):
    """The receiver's kernel drops a packet with a wrong checksum."""
    sender, receiver = sound.named(way)
    with traffic.numbered_stream(sender, receiver) as counts:
        traffic.ping(receiver, sender)
    assert counts["received"] == counts["sent"] > 50, counts
    assert counts["lost"] == counts["corrupted"] == 0, counts


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_every_size_up_to_the_mtu_arrives_unfragmented(sound, way):
    traffic.every_size(*sound.named(way), 1500)


@pytest.mark.parametrize("way", WAYS + [("c", "a")], ids="-".join)
def test_frames_come_back_once_in_order_and_unchanged(sound, way):
    traffic.raw_frames(*sound.named(way))


@pytest.mark.full
def test_frames_of_every_size_up_to_9014_come_back(sound):
    with largest_mtu(sound, "ab", JUMBO_PAGES) as (a, b):
        for sender, receiver in ((a, b), (b, a)):
            traffic.frames_of_every_size(sender, receiver, MTU_MAX)


def test_a_peer_without_offloads_sends_to_one_with_them(sound):
    digest, sent = traffic.send_file(sound.c, sound.a, 8)
    assert digest[0] == digest[1] and sent == 8 << 20


def test_checksums_alone_reach_a_peer_without_offloads(sound):
    """Large packets do not reach such a peer: Open vSwitch 3.1 does not segment
    them."""
    a = sound.a
    a.sh(f"ethtool -K {a.interface} tso off gso off")
    try:
        digest, sent = traffic.send_file(a, sound.c, 8)
    finally:
        a.sh(f"ethtool -K {a.interface} tso on gso on")
    assert digest[0] == digest[1] and sent == 8 << 20


def test_vswitchd_killed_and_restarted_and_large_packets_go_on(sound):
    sw = sound.sw
    sw.ovs.kill_switch()
    sw.ovs.start_switch()
    sw.ovs.wait_link_up("a", "b", "c")
    traffic.wait_reachable(sound.a, sound.b)
    digest, sent = traffic.send_file(sound.a, sound.b, 16)
    assert digest[0] == digest[1] and sent == 16 << 20
