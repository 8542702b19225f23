# SPDX-License-Identifier: Apache-2.0
"""Checksums and TCP segmentation left to others, with Open vSwitch's
userspace-tso-enable: unfinished packets pass from guest to guest."""
import re

import pytest

from harness import traffic

# The driver serves offloads.  Without, all this is known to fail.
SERVED = False
pytestmark = pytest.mark.skipif(
    not SERVED, reason="the driver does not serve offloads yet")

# Rings that the offloads are tried with; "on": when packed ones are served.
PACKED = ["off"]
FILE_MIB = 64
# What the device offers to a peer, and what that says to its port's driver:
# Open vSwitch 3.1 wants unfinished packets told as net_vhost tells them.
OFFER = "".join(f",peer-{name}=on" for name in (
    "csum", "guest-csum", "guest-tso4", "guest-tso6", "guest-ecn",
    "host-tso4", "host-tso6", "host-ecn"))
DEVARGS = ",legacy-ol-flags=1"
MSS = 1448  # bytes of TCP payload in a packet of 1500
WAYS = [("a", "b"), ("b", "a")]


@pytest.fixture(scope="module", params=PACKED, ids=lambda p: "packed-" + p)
def offloads(request, images, _shared):
    """a and b with all offloads, c with none."""
    from conftest import _topology
    made = _topology(_shared, images, f"test_offloads-{request.param}")
    net = next(made)
    packed = request.param
    net.sw = net.switch([("a", f"{OFFER},peer-packed={packed}"),
                         ("b", f"{OFFER},peer-packed={packed}"), "c"],
                        memory_mb=768)
    net.a = net.peer("a", memory_mb=512, device=f",packed={packed}")
    net.b = net.peer("b", memory_mb=256, device=f",packed={packed}")
    net.c = net.peer("c", memory_mb=128)
    net.up()
    net.sw.sh("echo 160 > /proc/sys/vm/nr_hugepages")
    net.sw.start_ovs(userspace_tso_enable="true")
    for name, port in net.sw.ports.items():
        said = net.sw.ovs.add_port(name, "vhostpci", options={
            "vhostpci-devargs": port.address + DEVARGS})
        assert "rror" not in said, said
    net.sw.ovs.wait_link_up("a", "b", "c")
    traffic.wait_reachable(net.a, net.b)
    yield net
    for _ in made:
        pass


@pytest.fixture
def sound(offloads):
    """After the test, no rule was broken and no ring stopped."""
    yield offloads
    for port in offloads.sw.ports:
        status = offloads.sw.ovs.get(port, "status")
        assert (status["violations"], status["broken-rings"]) == ("0", "0"), \
            (port, status)


def pair(net, names):
    return [net.vms[name] for name in names]


def features(peer):
    """{name: on} of ethtool -k."""
    return {k: v == "on" for k, v in re.findall(
        r"^\s*([\w-]+): (on|off)", peer.sh(f"ethtool -k {peer.interface}"),
        re.M)}


@pytest.mark.parametrize("name, on", [("a", True), ("b", True), ("c", False)])
def test_guests_use_what_their_device_offers(sound, name, on):
    used = features(sound.vms[name])
    for feature in ("tx-checksum-ip-generic", "rx-checksumming",
                    "tx-tcp-segmentation", "tx-tcp6-segmentation"):
        assert used[feature] == on, (feature, used)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_file_of_64_mib_arrives_unchanged_in_large_packets(sound, way):
    sender, receiver = pair(sound, way)
    before = sender.counters(), receiver.counters()
    digest, sent = traffic.send_file(sender, receiver, FILE_MIB)
    after = sender.counters(), receiver.counters()
    assert sent == FILE_MIB << 20
    assert digest[0] == digest[1]
    for count, old, new in zip(("tx_packets", "rx_packets"), before, after):
        mean = sent / (new[count] - old[count])
        print(f"{count}: {mean:.0f} bytes of the file each")
        # Without TSO no packet could carry more than its MSS.
        assert mean > 2 * MSS, (count, mean)


@pytest.mark.parametrize("way", WAYS + [("a", "c"), ("c", "a")], ids="-".join)
def test_udp_checksums_are_right_whoever_computes_them(sound, way):
    """The kernel drops what has a wrong one."""
    sender, receiver = pair(sound, way)
    with traffic.numbered_stream(sender, receiver) as counts:
        traffic.ping(receiver, sender)
    assert counts["received"] == counts["sent"] > 50, counts
    assert counts["lost"] == counts["corrupted"] == 0, counts


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_every_size_up_to_the_mtu_arrives_unfragmented(sound, way):
    traffic.every_size(*pair(sound, way), 1500)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_frames_come_back_once_in_order_and_unchanged(sound, way):
    traffic.raw_frames(*pair(sound, way))


def test_a_peer_without_offloads_sends_to_one_with_them(sound):
    digest, sent = traffic.send_file(sound.c, sound.a, 8)
    assert digest[0] == digest[1] and sent == 8 << 20


def test_checksums_alone_reach_a_peer_without_offloads(sound):
    """Large packets cannot: nobody segments them in Open vSwitch 3.1."""
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
