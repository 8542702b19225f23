# SPDX-License-Identifier: Apache-2.0
"""Packed rings: tests that split rings pass, too, and tests that only packed
rings need.

    peer a: packed=on, two queue pairs     peer b: packed=on, one
    peer c: packed=off on a device that offers packed rings
"""
import pytest

from harness import traffic
from harness.shared import MTU, MTU_MAX, largest_mtu

# Set this to "off" to run the same tests with split rings.
PACKED = "on"
FILE_MIB, FILE_MIB_SLICE = 64, 8
RING_PACKED = 34  # feature bit
JUMBO_PAGES = 440
WAYS = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")]


@pytest.fixture(scope="module")
def rings(module_topology):
    net = module_topology
    net.sw = net.switch([(n, f",peer-packed={PACKED}") for n in "abc"],
                        memory_mb=1280)
    net.a = net.peer("a", queues=2, memory_mb=512, mtu=MTU_MAX,
                     device=f",packed={PACKED}")
    net.b = net.peer("b", memory_mb=128, machine="pc", mtu=MTU_MAX,
                     device=f",packed={PACKED}")
    net.c = net.peer("c", memory_mb=128)
    net.up()
    net.sw.sh("echo 160 > /proc/sys/vm/nr_hugepages")
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("a", "b", "c")
    for peer in (net.a, net.b):
        peer.sh(f"ip link set {peer.interface} mtu {MTU}")
    traffic.wait_reachable(net.a, net.b)
    traffic.wait_reachable(net.c, net.a)
    return net


@pytest.fixture
def sound(rings):
    """After the test, check that no rule was broken and no ring stopped."""
    yield rings
    rings.sw.check_rings()


@pytest.mark.parametrize("name, packed", [("a", True), ("b", True),
                                          ("c", False)])
def test_rings_are_as_the_front_end_negotiated(sound, name, packed):
    bits = sound.vms[name].sh("cat /sys/bus/virtio/devices/virtio0/features")
    assert (bits[RING_PACKED] == "1") == (packed and PACKED == "on"), bits
    status = sound.sw.ovs.get(name, "status")
    assert ("ring_packed" in status["peer-feature-names"].split()) \
        == (packed and PACKED == "on"), status
    pairs = "2" if name == "a" else "1"
    assert (status["rx-rings"], status["tx-rings"]) == (pairs, pairs), status


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_file_arrives_unchanged(sound, full, way):
    mib = FILE_MIB if full else FILE_MIB_SLICE
    sender, receiver = sound.named(way)
    digest, sent = traffic.send_file(sender, receiver, mib)
    assert sent == mib << 20
    assert digest[0] == digest[1]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_every_size_up_to_the_mtu_arrives_unfragmented(sound, way):
    traffic.every_size(*sound.named(way), 1500)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_frames_come_back_once_in_order_and_unchanged(sound, way):
    """There are enough frames for many rounds of each ring."""
    traffic.raw_frames(*sound.named(way))


def test_frames_of_every_size_up_to_9014_come_back(sound):
    with largest_mtu(sound, "ab", JUMBO_PAGES) as (a, b):
        for sender, receiver in ((a, b), (b, a)):
            traffic.frames_of_every_size(sender, receiver, MTU_MAX)


def test_pairs_change_at_run_time_under_traffic(sound):
    a, b, ovs = sound.a, sound.b, sound.sw.ovs
    with traffic.numbered_stream(a, b, rate=200) as there, \
            traffic.numbered_stream(b, a, rate=200, port=9001) as back:
        for pairs in (1, 2, 1, 2):
            a.sh(f"ethtool -L {a.interface} combined {pairs}")
            ovs.wait_interface("a", "status", lambda s, p=str(pairs):
                               (s["rx-rings"], s["tx-rings"]) == (p, p))
            traffic.wait_reachable(a, b)
    # A packet that was in a ring when the ring was stopped may be lost;
    # duplicates and damage are not allowed.
    for counts in (there, back):
        assert counts["duplicated"] == counts["corrupted"] == 0, counts
        assert counts["received"] > 100, counts
    traffic.raw_frames(a, b, 2000)


def test_pairs_change_while_a_file_is_sent(sound):
    a, b = sound.a, sound.b
    changes = a.start_command(
        "i=0; while [ ! -e /run/stop ]; do i=$((i+1)); "
        f"ethtool -L {a.interface} combined $((i % 2 + 1)) || exit 1; "
        "usleep 300000; done; rm /run/stop; echo changes=$i")
    try:
        digest, sent = traffic.send_file(b, a, 16)
    finally:
        a.sh("touch /run/stop")
        changes.wait(20).check()
    assert digest[0] == digest[1] and sent == 16 << 20
    assert int(changes.stdout.split("=")[1]) > 2, changes
    a.sh(f"ethtool -L {a.interface} combined 2")
    traffic.raw_frames(a, b, 1000)


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "ended"])
def test_vswitchd_ends_under_traffic_and_rings_resume(sound, kill):
    """A packed ring has no index in memory that tells how far the driver has
    come: the new driver reads its place in the state page."""
    sw, a, b = sound.sw, sound.a, sound.b
    boots = [p.sh("cat /proc/sys/kernel/random/boot_id") for p in (a, b)]
    before = sw.ovs.switch_pid()
    with traffic.numbered_stream(a, b, rate=100) as there, \
            traffic.numbered_stream(b, a, rate=100, port=9001) as back:
        traffic.ping(a, b)
        if kill:
            sw.ovs.kill_switch()
        else:
            sw.sh("ovs-appctl exit; while pidof ovs-vswitchd; do "
                  "usleep 10000; done")
        sw.ovs.start_switch()
        sw.ovs.wait_link_up("a", "b", "c")
        traffic.wait_reachable(a, b)
    assert sw.ovs.switch_pid() != before
    for counts in (there, back):
        assert counts["corrupted"] == 0, counts
        # A driver that is killed after it has passed on a burst, and before it
        # has stored its place, takes the burst again.
        assert counts["duplicated"] <= (32 if kill else 0), counts
    for way in WAYS:
        traffic.raw_frames(*sound.named(way), 1000)
    assert boots == [p.sh("cat /proc/sys/kernel/random/boot_id")
                     for p in (a, b)]


def test_peers_driver_leaves_and_comes_back(sound):
    b, driver = sound.b, "/sys/bus/virtio/drivers/virtio_net"
    device = b.sh(f"cd {driver} && echo virtio[0-9]*").strip()
    for _ in range(3):
        b.sh(f"echo {device} > {driver}/unbind")
        sound.sw.ovs.wait_interface("b", "link_state", "down")
        b.sh(f"echo {device} > {driver}/bind && "
             f"ip addr add {b.address}/24 dev {b.interface} && "
             f"ip link set {b.interface} up")
        sound.sw.ovs.wait_link_up("b")
        traffic.wait_reachable(sound.a, b)
        traffic.raw_frames(sound.a, b, 500)
