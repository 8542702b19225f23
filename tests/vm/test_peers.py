# SPDX-License-Identifier: Apache-2.0
"""Peers of different sizes on different machine types."""
import re

import pytest

from harness import traffic

# name: (MiB, machine, number of memory regions).
MEMORY = {"small": (128, "pc", 1), "large": (4096, "q35", 2)}


@pytest.fixture(scope="module")
def sizes(module_topology):
    """A peer of 128 MiB, and one of 4 GiB, whose memory has two regions: below
    and above the PCI hole."""
    net = module_topology
    net.sw = net.switch(["small", ("large", ",window-size=8G")])
    for name, (mib, machine, _) in MEMORY.items():
        setattr(net, name, net.peer(name, memory_mb=mib, machine=machine))
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up(*MEMORY)
    traffic.wait_reachable(net.small, net.large)
    return net


@pytest.mark.parametrize("name", MEMORY)
def test_all_of_a_peers_memory_is_seen_in_its_regions(sizes, name):
    mib, _, regions = MEMORY[name]
    status = sizes.sw.ovs.get(name, "status")
    assert int(status["peer-memory"]) == mib << 20
    assert int(status["peer-memory-regions"]) == regions


def test_buffers_above_the_pci_hole_carry_packets(sizes):
    """A guest of 4 GiB takes its buffers first from the memory above the PCI
    hole: the free memory there shrinks, and packets pass both ways."""
    zones = sizes.large.sh("cat /proc/zoneinfo")
    assert re.search(r"zone\s+Normal\n\s+pages free\s+[1-9]", zones), zones
    traffic.every_size(sizes.small, sizes.large, 1500, first=1400)
    traffic.every_size(sizes.large, sizes.small, 1500, first=1400)
    digest, size = traffic.send_file(sizes.large, sizes.small, 4)
    assert digest[0] == digest[1] and size == 4 << 20


def test_pc_and_q35_front_ends_exchange_packets(sizes):
    assert sizes.small.machine == "pc" and sizes.large.machine == "q35"
    traffic.ping(sizes.small, sizes.large)
    with traffic.numbered_stream(sizes.large, sizes.small) as counts:
        traffic.ping(sizes.small, sizes.large)
    assert counts["lost"] == counts["corrupted"] == 0, counts
