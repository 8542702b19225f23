# SPDX-License-Identifier: Apache-2.0
"""The device behind an IOMMU: bound to vfio-pci, and Open vSwitch run by an
unprivileged user."""
import pytest

from harness import traffic

USER = "openvswitch"


@pytest.fixture(scope="module")
def vfio(module_topology):
    net = module_topology
    net.sw = net.switch(["a", "b"], driver="vfio-pci")
    net.a, net.b = net.peer("a"), net.peer("b", memory_mb=128)
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
