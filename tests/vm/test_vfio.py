# SPDX-License-Identifier: Apache-2.0
"""The device behind an IOMMU, bound to vfio-pci.  An unprivileged user runs
Open vSwitch.  The last test runs without Open vSwitch, and checks receive
interrupts."""
import pytest

from harness import traffic
from harness.testpmd import Sleeper

USER = "openvswitch"
SINGLE_FRAMES = 200


@pytest.fixture(scope="module")
def vfio(module_topology):
    net = module_topology
    net.sw = net.switch([("a", ",queues=2"), "b"], driver="vfio-pci")
    net.a = net.peer("a", queues=2)
    net.b = net.peer("b", memory_mb=128, device=",packed=on")
    net.up()
    net.sw.start_ovs(user=USER)
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(net.a, net.b)
    return net


def test_devices_are_behind_the_iommu(vfio):
    for port in vfio.sw.ports.values():
        base = f"/sys/bus/pci/devices/{port.address}"
        assert vfio.sw.sh(f"basename $(readlink {base}/driver)") \
            == "vfio-pci\n"
        assert vfio.sw.sh(f"ls {base}/iommu_group/devices").strip()
    noiommu = vfio.sw.run("ls /dev/vfio").stdout
    assert "noiommu" not in noiommu


def test_vswitchd_is_unprivileged(vfio):
    status = vfio.sw.sh(f"cat /proc/{vfio.sw.ovs.switch_pid()}/status")
    fields = dict(l.split(":\t", 1) for l in status.splitlines() if ":\t" in l)
    assert set(fields["Uid"].split()) == {"100"}, status
    effective = int(fields["CapEff"], 16)
    for capability in (17, 21):  # SYS_RAWIO, SYS_ADMIN
        assert not effective & 1 << capability, fields["CapEff"]


def test_peers_exchange_packets(vfio):
    traffic.ping(vfio.a, vfio.b)
    traffic.every_size(vfio.b, vfio.a, 1500, first=1300)
    with traffic.numbered_stream(vfio.a, vfio.b) as counts:
        traffic.ping(vfio.b, vfio.a)
    assert counts["lost"] == counts["corrupted"] == 0, counts


def test_vswitchd_killed_and_restarted_by_the_same_user(vfio):
    vfio.sw.ovs.kill_switch()
    vfio.sw.ovs.start_switch(USER)
    vfio.sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(vfio.a, vfio.b)


@pytest.fixture(scope="module")
def idle_devices(vfio):
    vfio.sw.ovs.kill_switch()
    return vfio


@pytest.mark.parametrize("port, queues", [("a", 1), ("a", 2), ("b", 1)])
def test_each_single_frame_wakes_a_sleeping_thread(idle_devices, images, port,
                                                   queues):
    """Peer a has two queue pairs with split rings; peer b has one queue pair
    with packed rings."""
    net = idle_devices
    peer = net.vms[port]
    sleeper = Sleeper(net.sw, images, port, queues).ready()
    for cpu in range(peer.queues):
        traffic.single_frames(peer, SINGLE_FRAMES, cpu)
    before = sleeper.report()
    frames = SINGLE_FRAMES * peer.queues
    assert before["frames"] == frames, before
    # A frame comes only after the sleeper has answered the last one, so each
    # frame has to wake the sleeper.  A sleeper that polled would look far more
    # often.
    assert frames <= before["wakeups"] < 3 * frames, before
    assert before["sleeps"] < 3 * frames, before
    for queue in range(queues):
        assert before[f"queue{queue}"] >= SINGLE_FRAMES, before
    # While no frame comes, the sleeper uses no CPU time.
    net.sw.sh("sleep 1")
    after = sleeper.report()
    assert after["wakeups"] - before["wakeups"] <= 2, (before, after)
    assert after["cpu_us"] - before["cpu_us"] < 200_000, (before, after)
    sleeper.end()
