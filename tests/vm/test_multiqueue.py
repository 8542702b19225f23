# SPDX-License-Identifier: Apache-2.0
"""A front-end with two queue pairs."""
import re

import pytest

from harness import traffic


@pytest.fixture(scope="module")
def queues(module_topology):
    """A front-end with two queue pairs beside one with a single pair."""
    net = module_topology
    net.sw = net.switch(["mq", "one"])
    net.mq = net.peer("mq", queues=2)
    net.one = net.peer("one", memory_mb=128)
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("mq", "one")
    traffic.wait_reachable(net.mq, net.one)
    return net


def _ring_packets(ovs, port):
    """{("rx"|"tx", ring): packets} of the driver's counters."""
    text = ovs.vsctl("get", "Interface", port, "statistics") \
        + ovs.appctl("vhostpci/show", port)
    return {(d, int(n)): int(v) for d, n, v in re.findall(
        r"(rx|tx)_ring(\d)_(?:good_)?packets[:=]\s*\"?(\d+)", text)}


def test_both_pairs_of_a_multiqueue_front_end_carry_traffic(queues):
    status = queues.sw.ovs.get("mq", "status")
    assert (status["rx-rings"], status["tx-rings"]) == ("2", "2"), status
    channels = queues.mq.sh("ethtool -l eth0")
    assert re.search(r"Current.*Combined:\s+2", channels, re.S), channels
    # Linux sends the packets of each CPU through one queue pair: one stream
    # runs on each CPU.
    for cpu in (0, 1):
        receiver = queues.one.start_command(f"nc -l -p {7100 + cpu} | wc -c")
        traffic.wait_listening(queues.one, 7100 + cpu)
        queues.mq.sh(f"dd if=/dev/zero bs=1k count=500 2>/dev/null | "
                     f"taskset {1 << cpu} nc {queues.one.address} "
                     f"{7100 + cpu}", 60)
        assert int(receiver.wait(60).check().stdout) == 500 << 10
    # The counters of the guest for each of its queues.
    guest = {(d, int(q)): int(n) for d, q, n in re.findall(
        r"(rx|tx)_queue_(\d)_packets: (\d+)",
        queues.mq.sh("ethtool -S eth0"))}
    seen = _ring_packets(queues.sw.ovs, "mq")
    print(guest, seen)
    # The rings that the peer transmits on are the switch's rx rings.
    linux = tuple(map(int, queues.mq.sh("uname -r").split(".")[:2]))
    for pair in (0, 1):
        # Kernels after 6.1 report these counters only by netlink, which
        # `ethtool -S` does not use.
        assert guest.get(("tx", pair), 0) > 0 or linux > (6, 1), guest
        assert seen["rx", pair] > 0, seen


def test_a_front_end_may_change_its_number_of_pairs(queues):
    for pairs in (1, 2):
        queues.mq.sh(f"ethtool -L eth0 combined {pairs}")
        queues.sw.ovs.wait_interface(
            "mq", "status", lambda s, p=str(pairs): s["tx-rings"] == p)
        traffic.wait_reachable(queues.mq, queues.one)
        with traffic.numbered_stream(queues.one, queues.mq) as counts:
            traffic.ping(queues.mq, queues.one)
        assert counts["lost"] == 0, counts
