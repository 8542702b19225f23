# SPDX-License-Identifier: Apache-2.0
"""The peer's memory: taken away for a while, or never shared at all."""
import re
import sys

import pytest

from harness import config, traffic
from harness.procs import wait_until

sys.path.insert(0, str(config.TOP / "tests" / "bench"))
from hugepages import Hugepages, free_mib  # noqa: E402

CYCLES_FULL, CYCLES_SLICE = 50, 6
UNSHARED = "does not use the memory that was sent: is it shared (share=on)?"


def timeouts(sw, port):
    """How often the driver of a port was too late for its peer."""
    text = sw.qmp.command("qom-get", path=f"/machine/peripheral/dev-{port}",
                          property="peer-driver")
    found = re.search(r"(\d+) timeouts?", text)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def hasty(module_topology):
    """A switch VM that has no time to answer: its peers' memory is taken away
    with every stop of theirs."""
    net = module_topology
    net.sw = net.switch([(name, ",ack-timeout=1") for name in ("a", "b")])
    net.a, net.b = net.peer("a"), net.peer("b", machine="pc")
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(net.a, net.b)
    return net


@pytest.mark.parametrize("names", ["ab", "ba"], ids=["sender", "receiver"])
def test_a_peer_that_stops_and_goes_on_is_not_blamed(hasty, full, names):
    sw, sender, receiver = hasty.sw, *hasty.named(names)
    cycles = CYCLES_FULL if full else CYCLES_SLICE
    before = timeouts(sw, "a")
    with traffic.numbered_stream(sender, receiver) as counts:
        for _ in range(cycles):
            hasty.a.qmp.command("stop")
            sw.ovs.wait_interface("a", "link_state", "down")
            assert sw.ovs.get("a", "status")["link-reason"] in (
                "the peer's driver does not run",
                "the peer's memory was taken away: this VM answered too late")
            hasty.a.qmp.command("cont")
            sw.ovs.wait_link_up("a")
            wait_until(lambda: sw.ovs.get("a", "status")["link-reason"] ==
                       "the peer's driver runs", 20, "the port says why")
            traffic.wait_reachable(hasty.a, hasty.b)
    sw.check_rings()
    # Or nothing was tested: it was in time.
    assert timeouts(sw, "a") > before
    assert counts["duplicated"] == counts["corrupted"] == 0, counts
    assert counts["received"] > 0, counts


def test_a_peer_without_shared_memory_is_told_of(topology):
    """QEMU without share=on: its guest runs on a private copy."""
    net = topology
    sw = net.sw = net.switch(["a", "b"])
    net.a = net.peer("a", share="off")
    net.b = net.peer("b")
    net.up()
    sw.start_ovs()
    sw.add_ports()
    sw.ovs.wait_link_up("a", "b")
    # Its driver begins under our eyes: what it did before shows nowhere.
    driver = "/sys/bus/virtio/drivers/virtio_net"
    net.a.sh(f"cd {driver}; for d in virtio[0-9]*; do echo $d > unbind; "
             "echo $d > bind; done; "
             f"ip addr add {net.a.address}/24 dev eth0; ip link set eth0 up")
    with traffic.pinging(net.a, net.b):
        wait_until(lambda: UNSHARED in sw.ovs.get("a", "status").get(
            "link-reason", ""), 40, "the port says so")
    assert UNSHARED in sw.ovs.appctl("vhostpci/show", "a")
    assert len(sw.qemu_lines(UNSHARED)) == 1
    assert len(sw.ovs.log_lines("peer a: its guest " + UNSHARED[:20])) == 1
    with traffic.pinging(net.b, net.a):
        wait_until(lambda: sw.ovs.statistics("b")["rx_packets"] > 0, 20,
                   "the other peer's packets come")
    assert sw.ovs.get("b", "status")["link-reason"] == "the peer's driver runs"
    assert not [line for line in sw.qemu_lines(UNSHARED) if "peer b" in line]


def test_a_peer_of_hugepages_carries_packets_and_returns(topology):
    """Its memory is a file of hugetlbfs, which can be mapped by whole pages
    only."""
    net, mib = topology, 128
    with Hugepages(mib, mount=False) as pages:
        if not pages.usable:
            pytest.skip("no hugepages of 2 MiB are to be had")
        sw = net.sw = net.switch(["a", "b"])
        net.a = net.peer("a", memory_mb=mib,
                         share="on,hugetlb=on,hugetlbsize=2M")
        net.b = net.peer("b")
        net.up()
        sw.start_ovs()
        sw.add_ports()
        sw.ovs.wait_link_up("a", "b")
        traffic.wait_reachable(net.a, net.b)
        with traffic.numbered_stream(net.a, net.b) as there, \
                traffic.numbered_stream(net.b, net.a, port=9001) as back:
            traffic.ping(net.a, net.b)
        for counts in (there, back):
            assert counts["lost"] == counts["corrupted"] == 0, counts
        net.a.kill()
        sw.ovs.wait_interface("a", "link_state", "down")
        # The switch VM lets go of the pages as soon as its driver has.
        wait_until(lambda: free_mib() >= mib, 20,
                   "the pages of the peer that is gone are free")
        net.a.start().ready()
        sw.ovs.wait_link_up("a")
        traffic.wait_reachable(net.a, net.b)
        sw.check_rings()
