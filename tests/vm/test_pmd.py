# SPDX-License-Identifier: Apache-2.0
"""The driver alone, under testpmd in a switch VM, on both kernel drivers."""
import re

import pytest

from harness import testpmd, traffic
from harness.procs import wait_until
from harness.testpmd import Sleeper, Testpmd

CYCLES_FULL, CYCLES_SLICE = 500, 20
DEATHS_FULL = 200
DRIVERS = ("uio_pci_generic", "vfio-pci")


def make(net, driver):
    net.sw = testpmd.switch(net, driver=driver)
    net.a, net.b = net.peer("a"), net.peer("b")
    net.up()
    net.sw.bind_ports()
    return net


@pytest.fixture(params=DRIVERS)
def pair(request, topology):
    """Two peers and testpmd between them, up and answering."""
    net = make(topology, request.param)
    net.driver = request.param
    net.pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    return net


@pytest.fixture
def uio_pair(topology):
    net = make(topology, "uio_pci_generic")
    net.pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    return net


def devices(sw):
    """{peer: {property: text}} from QEMU's own view."""
    found = {}
    for part in sw.qmp.hmp("info qtree").split("dev: vhost-pci-net-pci")[1:]:
        values = dict(re.findall(r'(peer-[a-z]+) = "(.*)"', part))
        found[re.search(r'id "dev-(\w+)"', part).group(1)] = values
    return found


def memory_types(sw, address):
    """What the guest's kernel mapped the window BAR of a device as; None if
    that kernel has no list of it, as Debian 13's."""
    text = sw.sh(f"sed -n 3p /sys/bus/pci/devices/{address}/resource; "
                 "grep -q ' /sys/kernel/debug ' /proc/mounts || "
                 "mount -t debugfs debugfs /sys/kernel/debug; "
                 "l=/sys/kernel/debug/x86/pat_memtype_list; "
                 "[ ! -e $l ] || cat $l")
    if "PAT" not in text:
        return None
    first, last = (int(x, 16) for x in text.split()[:2])
    return {kind for start, kind in re.findall(r"mem 0x(\w+)-\w+\] (\S+)",
                                               text)
            if first <= int(start, 16) <= last}


def test_two_peers_talk_through_testpmd(pair):
    traffic.ping(pair.a, pair.b, 20)
    traffic.every_size(pair.a, pair.b, 1500)
    assert traffic.iperf3(pair.a, pair.b)["bytes"] > 100_000
    assert traffic.iperf3(pair.b, pair.a, udp=True)["bytes"] > 100_000
    log = pair.pmd.text
    how = "vfio" if pair.driver == "vfio-pci" else "/dev/mem"
    assert len(re.findall(f"window of 4096 MiB through {how}", log)) == 2
    kind = "uncached-minus" if pair.driver == "vfio-pci" else "write-back"
    for port in pair.sw.ports.values():
        assert memory_types(pair.sw, port.address) in ({kind}, None)
    for peer in devices(pair.sw).values():
        assert peer["peer-driver"] == "ready", peer
        generation = re.findall(r"\d+", peer["peer-generation"])
        assert len(set(generation)) == 1, peer
    for port in (0, 1):
        stats = pair.pmd.xstats(port)
        assert stats["pause_timeouts"] == 0
        assert not any(v for k, v in stats.items() if "violation" in k), stats
        assert stats["rx_good_packets"] > 0 < stats["tx_good_packets"]
    pair.pmd.quit()
    for peer in devices(pair.sw).values():
        assert peer["peer-driver"] != "ready", peer


def test_a_killed_driver_resumes_where_it_was(pair, full):
    """With traffic both ways; the peers are not touched."""
    uptime = pair.a.sh("cat /proc/sys/kernel/random/boot_id")
    with traffic.numbered_stream(pair.a, pair.b) as there, \
            traffic.numbered_stream(pair.b, pair.a, port=9001) as back:
        for _ in range(DEATHS_FULL if full else 2):
            pair.pmd.kill()
            pair.pmd = Testpmd(pair.sw)
            traffic.wait_reachable(pair.a, pair.b)
        traffic.ping(pair.a, pair.b, 20)
    for counts in (there, back):
        assert counts["received"] > 0, counts
        assert counts["duplicated"] == 0 == counts["corrupted"], counts
        assert counts["reordered"] == 0, counts
    assert pair.a.sh("cat /proc/sys/kernel/random/boot_id") == uptime
    for port in (0, 1):
        stats = pair.pmd.xstats(port)
        assert not any(v for k, v in stats.items() if "violation" in k), stats


def test_a_peer_that_dies_and_returns_leaves_the_other_alone(uio_pair, full):
    net = uio_pair
    for _ in range(DEATHS_FULL if full else 1):
        net.a.kill()
        net.pmd.wait_link(0, False)
        assert net.pmd.link_up(1)
        net.a.start().ready()
        net.pmd.wait_link(0, True)
        traffic.wait_reachable(net.a, net.b)
        traffic.ping(net.a, net.b, 20)


@pytest.mark.parametrize("driver", DRIVERS)
def test_probe_and_remove_cycles_leak_nothing(topology, driver, full):
    net = topology
    net.sw = testpmd.switch(net, ["a"], driver=driver)
    net.a = net.peer("a")
    net.up()
    net.sw.bind_ports()
    cycles = CYCLES_FULL if full else CYCLES_SLICE
    done = testpmd.plugcycle(net.sw, cycles, "a")
    values = dict(re.findall(r"(\w+)=(\d+)", done.check().stdout))
    assert int(values["cycles"]) == cycles, done
    for what in ("files", "maps", "zones", "heap"):
        assert values["before_" + what] == values["after_" + what], done


def test_only_the_named_peer_is_probed(topology):
    sw = testpmd.switch(topology, ["a"])
    topology.up()
    sw.bind_ports()
    named = testpmd.plugcycle(sw, 4, "a", "peer=a")
    assert "cycles=4" in named.check().stdout
    other = testpmd.plugcycle(sw, 4, "a", "peer=other")
    assert other.code == 1 and "error=-19" in other.stdout, other
    said = [l for l in other.stderr.splitlines() if "net_vpci: " in l]
    assert len(said) == 1 and 'the peer is "a", not "other"' in said[0], said
    wrong = testpmd.plugcycle(sw, 4, "a", "pear=a")
    assert wrong.code == 1 and "error=-22" in wrong.stdout, wrong
    assert "only peer=NAME, function=N and legacy-ol-flags" in wrong.stderr


def test_uio_has_no_receive_interrupts_and_says_so(shared, images):
    # Beside Open vSwitch, which has the other ports.
    run = Sleeper(shared.sw, images, "x", eal="--in-memory").command.wait(60)
    assert run.code == 1, run
    assert "error=-95 enable=-95" in run.stdout, run  # ENOTSUP
    assert "no receive interrupts: they need vfio-pci with MSI-X" \
        in run.stderr, run


def test_without_dev_mem_sysfs_maps_the_window(topology):
    net = topology
    net.sw = testpmd.switch(net)
    net.a, net.b = net.peer("a"), net.peer("b")
    net.up()
    net.sw.bind_ports()
    net.sw.sh("mv /dev/mem /dev/mem.away")
    net.pmd = Testpmd(net.sw)
    assert "cannot map the window through /dev/mem" in net.pmd.text
    assert "window of 4096 MiB through sysfs" in net.pmd.text
    traffic.wait_reachable(net.a, net.b)
    for port in net.sw.ports.values():
        assert memory_types(net.sw, port.address) in ({"uncached-minus"}, None)


@pytest.mark.parametrize("driver", ["uio_pci_generic", pytest.param(
    "vfio-pci", marks=pytest.mark.full)])
def test_an_unplugged_device_leaves_the_other_port_alone(topology, driver):
    net = topology
    net.sw = testpmd.switch(net, ["a", "b", "c"], driver=driver)
    for name in "abc":
        setattr(net, name, net.peer(name))
    net.up()
    net.sw.bind_ports()
    # Port c is paired with nobody: testpmd sends what it receives back.
    net.pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    net.sw.qmp.command("device_del", id="dev-c")
    wait_until(lambda: "c" not in devices(net.sw), 30, "the device is gone")
    wait_until(lambda: "the device was removed" in net.pmd.text, 10,
               "the driver noticed")
    # testpmd stops, closes and detaches the port, then goes on.
    wait_until(lambda: "device removal event" in net.pmd.text and
               "Now total ports is 2" in net.pmd.text, 20,
               "the application was told")
    wait_until(lambda: net.pmd.text.count("forwarding cores=1") == 2, 10,
               "testpmd forwards again")
    traffic.ping(net.a, net.b, 20)
