# SPDX-License-Identifier: Apache-2.0
"""Two unmodified VMs exchange packets through the switch VM's OVS."""
import pytest

from harness import traffic
from harness.images import IMAGE_LIMIT
from harness.procs import wait_until
from harness.shared import MTU, MTU_MAX, largest_mtu

FILE_MIB, FILE_MIB_SLICE = 64, 16
JUMBO_PAGES = 400


class _Flow:
    """A flow that lives as long as a `with` block."""

    def __init__(self, ovs, match, actions):
        self.ovs, self.match, self.actions = ovs, match, actions

    def __enter__(self):
        self.ovs.add_flow(f"priority=100,{self.match},actions={self.actions}")

    def __exit__(self, *_):
        self.ovs.ofctl("--strict", "del-flows", "br0",
                       f"priority=100,{self.match}")


def test_ports_show_their_peers(shared):
    for port, mib in (("a", 1024), ("b", 128)):
        status = shared.sw.ovs.get(port, "status")
        assert status["peer"] == port
        assert status["peer-connected"] == "true"
        assert int(status["peer-memory"]) == mib << 20
        assert (status["rx-rings"], status["tx-rings"]) == ("1", "1")


def test_ping_both_ways(shared):
    traffic.ping(shared.a, shared.b)
    traffic.ping(shared.b, shared.a)


@pytest.mark.parametrize("sender, receiver", [("a", "b"), ("b", "a")])
def test_file_arrives_unchanged(shared, full, sender, receiver):
    mib = FILE_MIB if full else FILE_MIB_SLICE
    sender, receiver = shared.vms[sender], shared.vms[receiver]
    digest, sent = traffic.send_file(sender, receiver, mib)
    assert sent == mib << 20
    assert digest[0] == digest[1]


@pytest.mark.parametrize("sender, receiver", [("a", "b"), ("b", "a")])
def test_every_size_up_to_the_mtu_arrives_unfragmented(shared, sender,
                                                       receiver):
    traffic.every_size(shared.vms[sender], shared.vms[receiver], MTU)


def test_every_size_up_to_9000_after_an_mtu_request(shared, full):
    """By default the last thousand sizes; test_packed has frames of all."""
    first = traffic.SMALLEST_PING if full else MTU_MAX - 999
    with largest_mtu(shared, "ab", JUMBO_PAGES) as peers:
        traffic.every_size(*peers, MTU_MAX, first)


def test_udp_at_a_low_rate_loses_nothing(shared):
    with traffic.numbered_stream(shared.a, shared.b) as counts:
        traffic.ping(shared.b, shared.a, count=5)
    assert counts["received"] == counts["sent"] > 100, counts
    assert counts["lost"] == counts["duplicated"] == 0, counts
    assert counts["reordered"] == counts["corrupted"] == 0, counts


def test_flow_counters_agree_with_the_guests(shared):
    """a's guest, the flow in OVS, and b's guest count the same packets."""
    ovs = shared.sw.ovs
    with _Flow(ovs, "udp,in_port=a,tp_dst=9000", "output:b"):
        before = shared.b.counters()
        with traffic.numbered_stream(shared.a, shared.b) as counts:
            traffic.ping(shared.a, shared.b, count=2)
        after = shared.b.counters()
        expected = counts["sent"] + counts["ends"]
        # Revalidators soon add the datapath's counters to the flow's.
        wait_until(lambda: ovs.flow_packets("udp,in_port=a,tp_dst=9000")
                   == expected, 10, f"the flow counts {expected}")
        assert after["rx_packets"] - before["rx_packets"] >= expected


def test_a_rule_drops_one_tcp_port_and_no_other(shared):
    with _Flow(shared.sw.ovs, "tcp,tp_dst=5999", "drop"):
        with pytest.raises(AssertionError):
            traffic.iperf3(shared.a, shared.b, seconds=1, port=5999,
                           patience=3)
        assert traffic.iperf3(shared.a, shared.b, seconds=1,
                              port=5998)["bytes"] > 0


def test_two_ports_fit_in_192_mib_of_hugepages(shared):
    used = shared.two_port_memory
    print(used)
    assert used["huge_total"] == 192 * 1024
    assert used["huge_free"] >= 0
    assert shared.sw.image.stat().st_size < IMAGE_LIMIT


def test_appctl_show_names_peer_and_rings(shared):
    text = shared.sw.ovs.appctl("vhostpci/show", "a")
    for word in ("peer: a, connected", "link: up", "memory: 1024.0 MiB",
                 "rings: 1 rx and 1 tx running"):
        assert word in text, text
