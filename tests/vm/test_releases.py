# SPDX-License-Identifier: Apache-2.0
"""Parts of two releases of Debian work together in one network.  Device and
driver share an ABI; device and peer share the vhost-user protocol.

The tests need a root of another release.  `quickstart check` makes one with a
driver in it; `quickstart check --release NUMBER` makes one with all parts.
"""
import pytest

from harness import other, testpmd, traffic
from harness.testpmd import Testpmd

RELEASES = [other.Release(place) for place in other.roots()]
HERE, THERE = "here", "there"


@pytest.fixture(params=RELEASES or [None],
                ids=lambda r: r.name if r else "no-other-release")
def there(request):
    if request.param is None:
        pytest.skip("no root of another release (quickstart check makes one)")
    return request.param


def needs(release, *parts):
    if not release.has(*parts):
        pytest.skip(f"the root of {release.name} has not all of: "
                    f"{', '.join(parts)} (quickstart check --release)")


@pytest.mark.parametrize("device, driver, peers", [
    (HERE, THERE, THERE), (THERE, HERE, HERE),
    (HERE, THERE, HERE), (THERE, HERE, THERE)])
def test_driver_and_device_of_two_releases(topology, there, device, driver,
                                           peers):
    """testpmd runs the driver, so Open vSwitch plays no part."""
    needs(there, *(["device"] if device == THERE else []), "testpmd", "peer")
    options = there.inside("testpmd") if driver == THERE else {}
    if device == THERE:
        options["qemu"] = there.our_qemu()
    net = topology
    net.sw = testpmd.switch(net, **options)
    of = there.peer() if peers == THERE else {}
    net.a, net.b = net.peer("a", **of), net.peer("b", **of)
    net.up()
    net.sw.bind_ports()
    net.pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    traffic.ping(net.a, net.b, 20)
    traffic.every_size(net.a, net.b, 1500)
    assert traffic.iperf3(net.a, net.b)["bytes"] > 100_000
    for port in (0, 1):
        stats = net.pmd.xstats(port)
        assert not any(v for k, v in stats.items() if "violation" in k), stats


@pytest.mark.parametrize("switch, peers", [(HERE, THERE), (THERE, HERE)])
def test_switch_and_peers_of_two_releases(topology, there, switch, peers):
    """Device, driver and Open vSwitch are of one release; the peers' QEMU and
    guests are of the other."""
    needs(there, *(["device", "switch"] if switch == THERE else ["peer"]))
    net = topology
    sw = net.switch(**(dict(there.inside("switch"), qemu=there.our_qemu())
                       if switch == THERE else {}))
    of = there.peer() if peers == THERE else {}
    a, b = net.peer("a", **of), net.peer("b", **of)
    net.up()
    sw.start_ovs()
    sw.add_ports()
    traffic.wait_reachable(a, b)
    traffic.every_size(a, b, 1500)
    assert traffic.iperf3(a, b)["bytes"] > 100_000
    sw.check_rings()
    before = b.sh("cat /proc/sys/kernel/random/boot_id")
    sw.ovs.kill_switch()
    sw.ovs.start_switch()
    traffic.wait_reachable(a, b)
    assert b.sh("cat /proc/sys/kernel/random/boot_id") == before
