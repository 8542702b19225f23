# SPDX-License-Identifier: Apache-2.0
"""Rules that run inside the driver: it moves packets from one device's ring to
another's.

    peer a --- switch VM, hw-offload=true: port a, port b --- peer b
"""
import pytest

from harness import traffic
from harness.procs import wait_until

WAYS = {"a": "b", "b": "a"}


def put_rules(ovs):
    for source, target in WAYS.items():
        ovs.add_flow(f"priority=100,in_port={source},actions=output:{target}")


@pytest.fixture(scope="module")
def machines(module_topology):
    net = module_topology
    net.sw = net.switch(WAYS)
    net.a, net.b = (net.peer(name, memory_mb=128) for name in WAYS)
    net.up()
    net.sw.start_ovs(hw_offload="true")
    net.sw.add_ports()
    net.sw.ovs.wait_link_up(*WAYS)
    net.sw.ovs.normal()
    return net


@pytest.fixture
def steered(machines):
    """Both ways have a rule.  After the test, check that no ring is broken."""
    put_rules(machines.sw.ovs)
    wait_steered(machines)
    yield machines
    machines.sw.check_rings()


def moved(net, source):
    return net.sw.ovs.steered_packets(source, WAYS[source])


def wait_steered(net, seconds=30):
    """Wait until pings are answered, and the driver moves packets both ways."""
    before = [moved(net, source) for source in WAYS]
    wait_until(lambda: traffic.reachable(net.a, net.b) and
               all(moved(net, source) > then for source, then
                   in zip(WAYS, before)), seconds, "pings are steered")


def wait_grows(count, what, by=3):
    before = count()
    wait_until(lambda: count() >= before + by, 20, f"{what} grows")


def wait_rests(count, other, what):
    """Wait until `count` stands still while `other` grows."""
    def rests():
        before = count()
        wait_grows(other, f"what moves while {what} rests")
        return count() == before
    wait_until(rests, 20, f"{what} rests")


def test_rule_is_changed_and_removed_under_ping(steered):
    ovs, rule = steered.sw.ovs, "priority=100,in_port=a"
    received = lambda: steered.b.counters()["rx_packets"]  # noqa: E731
    with traffic.pinging(steered.a, steered.b) as answers:
        wait_grows(lambda: ovs.steered_by_ring("a"), "the ring's counter")
        wait_grows(lambda: ovs.flow_packets("in_port=a"), "the flow's counter")
        wait_grows(answers, "the number of answers")
        ovs.ofctl("--strict", "mod-flows", "br0", rule + ",actions=drop")
        wait_rests(answers, lambda: ovs.steered_packets("a"), "answers")
        wait_rests(received, lambda: ovs.steered_packets("a"),
                   "what b receives")
        assert moved(steered, "a") == 0
        ovs.ofctl("--strict", "del-flows", "br0", rule)
        wait_grows(answers, "the number of answers")


def test_stream_loses_nothing(steered):
    count = steered.sw.ovs.steered_by_ring
    before = [count(name) for name in WAYS]
    with traffic.numbered_stream(steered.a, steered.b, rate=100) as there, \
            traffic.numbered_stream(steered.b, steered.a, rate=100,
                                    port=9001) as back:
        traffic.ping(steered.a, steered.b, count=10)
    for name, then, counts in zip(WAYS, before, (there, back)):
        assert counts["received"] == counts["sent"] > 100, counts
        for wrong in ("lost", "reordered", "duplicated", "corrupted"):
            assert counts[wrong] == 0, counts
        assert count(name) - then >= counts["received"]


def test_tcp_is_steered(steered):
    before = steered.sw.ovs.steered_by_ring("a")
    result = traffic.iperf3(steered.a, steered.b, seconds=1)
    moved_now = steered.sw.ovs.steered_by_ring("a") - before
    assert moved_now >= result["bytes"] // 1500, result


def test_peer_is_killed_and_returns_while_steered(steered):
    a, b, ovs = steered.a, steered.b, steered.sw.ovs
    flows = ovs.ofctl("dump-flows", "br0", "--no-stats")
    with traffic.pinging(a, b) as answers:
        wait_grows(answers, "the number of answers")
        b.kill()
        ovs.wait_interface("b", "link_state", "down")
        b.start().ready()
        ovs.wait_link_up("b")
    wait_steered(steered)
    assert ovs.ofctl("dump-flows", "br0", "--no-stats") == flows


def test_vswitchd_is_killed_and_rules_come_back(steered):
    """The new vswitchd finds hw-offload in the database.  As a controller
    would, the test adds the OpenFlow rules again."""
    sw, a, b = steered.sw, steered.a, steered.b
    with traffic.numbered_stream(a, b, rate=100) as counts:
        wait_grows(lambda: moved(steered, "a"), "what is steered")
        sw.ovs.kill_switch()
        sw.ovs.start_switch()
        sw.ovs.wait_link_up(*WAYS)
        put_rules(sw.ovs)
        wait_steered(steered)
    assert counts["corrupted"] == 0, counts
    # A driver that is killed after it has moved a burst, and before it has
    # given the burst back to the sender, takes the burst again.
    assert counts["duplicated"] <= 32, counts
