# SPDX-License-Identifier: Apache-2.0
"""The driver under ports of type=dpdk in the distribution's unpatched OVS."""
import pytest

from harness import traffic


@pytest.fixture(scope="module")
def stock(module_topology):
    net = module_topology
    net.sw = net.switch(["a", "b"], flavour="stock", kind="dpdk")
    net.a = net.peer("a")
    net.b = net.peer("b", memory_mb=128, machine="pc")
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    # For type=dpdk, Open vSwitch polls the link state every 5 seconds.
    net.sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(net.a, net.b)
    return net


def test_stock_ovs_switches_between_two_peers(stock):
    assert stock.sw.ovs.get("a", "type") == "dpdk"
    assert "vhostpci" not in stock.sw.run("ovs-appctl list-commands").stdout
    traffic.ping(stock.a, stock.b)
    with traffic.numbered_stream(stock.a, stock.b) as counts:
        traffic.ping(stock.b, stock.a)
    assert counts["lost"] == counts["corrupted"] == 0, counts
    traffic.every_size(stock.a, stock.b, 1500, first=1300)


def test_stock_ovs_survives_a_killed_peer(stock):
    stock.b.kill()
    stock.sw.ovs.wait_interface("b", "link_state", "down")
    stock.b.start().ready()
    stock.sw.ovs.wait_link_up("b")
    traffic.wait_reachable(stock.a, stock.b)
