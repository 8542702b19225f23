# SPDX-License-Identifier: Apache-2.0
"""net_vpci's socket transport against DPDK's own virtio-user."""
import re
from pathlib import Path

import pytest
from testpmd import (Testpmd, driver_eal, packet, read_pcap, wait_until,
                     write_pcap)


@pytest.fixture
def link(tmp_path_factory):
    """Starts both sides of links; at the end closes all processes."""
    made = []

    class Link:
        dir = tmp_path_factory.mktemp("link")
        socket = dir / "s"

        def switch(self, args="", devargs="", name="switch"):
            made.append(Testpmd(
                name, [f"net_vpci0,path={self.socket},peer=a{devargs}"],
                args, driver_eal()))
            return made[-1]

        def peer(self, args="", options="", more=(), name="peer"):
            made.append(Testpmd(
                name,
                [f"net_virtio_user0,path={self.socket}{options}", *more],
                args, "--single-file-segments"))
            return made[-1]

    yield Link()
    for process in made:
        process.close()


def wait_returned(peer):
    """Wait until 1000 more packets have come back to the peer."""
    enough = peer.received() + 1000
    wait_until(lambda: peer.received() > enough, 20, "packets come back")


JUMBO = "--mbuf-size=10240 --max-pkt-len=9018"
SMALL = [60, 61, 64, 65, 127, 128, 129, 255, 256, 512, 1024, 1513, 1514]

LAYOUTS = {
    "mergeable": (SMALL, "", "", ""),
    "plain": (SMALL, "mrg_rxbuf=0", "", ""),
    "one-entry-rings-of-256": (SMALL, "queue_size=256", "", ""),
    "jumbo-mergeable": ([9014, 60, 9000, 4000], "", "--mbuf-size=2176",
                        "--mbuf-size=10240"),
    "jumbo-over-several-mbufs": ([9014, 60, 9000, 4000], "", JUMBO,
                                 "--enable-scatter --max-pkt-len=9018"),
    "jumbo-plain": ([9014, 60, 9000, 4000], "mrg_rxbuf=0", JUMBO,
                    "--mbuf-size=10240"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packets_come_back_whole_and_in_order(link, layout):
    """The packets of a file go through both rings, and back into a file."""
    sizes, options, peer_args, switch_args = LAYOUTS[layout]
    sent = [packet(i, sizes[i % len(sizes)]) for i in range(2000)]
    there, back = link.dir / "there.pcap", link.dir / "back.pcap"
    write_pcap(there, sent)

    switch = link.switch(switch_args)
    switch.start("io retry")
    # A thread for each direction: a thread that waits for room in one ring
    # cannot empty the other ring.
    peer = link.peer(f"--no-flush-rx --nb-cores=2 {peer_args}",
                     f",{options}" if options else "",
                     [f"net_pcap0,rx_pcap={there},tx_pcap={back}"])
    switch.wait_link(True)
    peer.start("io retry")
    wait_until(lambda: len(read_pcap(back)) >= len(sent), 30,
               "all packets are back")
    assert read_pcap(back) == sent
    stats = switch.xstats()
    assert stats["rx_ring0_packets"] == len(sent)
    assert stats["tx_ring0_packets"] == len(sent)
    assert stats["rx_ring0_bytes"] == sum(map(len, sent))
    assert not any(value for name, value in stats.items()
                   if "violation" in name or "oversized" in name)


def test_two_queue_pairs_carry_traffic(link):
    queues = "--rxq=2 --txq=2"
    switch = link.switch(queues, ",queues=2")
    switch.start()
    peer = link.peer(queues, ",queues=2")
    switch.wait_link(True)
    peer.start("io", "start tx_first")
    wait_until(lambda: all(
        switch.xstats()[f"{way}_ring{i}_packets"] > 1000
        for way in ("rx", "tx") for i in (0, 1)), 20,
        "both pairs have traffic both ways")
    switch.ask("stop", "Done")
    stats = switch.xstats()
    for i in 0, 1:
        for what in "packets", "bytes":
            for way in "rx", "tx":
                assert stats[f"{way}_q{i}_{what}"] == \
                    stats[f"{way}_ring{i}_{what}"] > 0


def test_one_receive_queue_serves_two_pairs(link):
    switch = link.switch("", ",queues=2")
    switch.start()
    peer = link.peer("--rxq=2 --txq=2", ",queues=2")
    switch.wait_link(True)
    peer.start("io", "start tx_first")
    wait_until(lambda: min(switch.xstats()[f"rx_ring{i}_packets"]
                           for i in (0, 1)) > 10, 20,
               "both pairs are received from")
    switch.ask("stop", "Done")
    stats = switch.xstats()
    assert stats["rx_q0_packets"] == sum(stats[f"rx_ring{i}_packets"]
                                         for i in (0, 1))


def test_peer_killed_and_restarted(link):
    switch = link.switch()
    switch.start()
    for attempt in range(3):
        peer = link.peer(name=f"peer{attempt}")
        switch.wait_link(True)
        peer.start("io", "start tx_first")
        wait_returned(peer)
        peer.kill()
        switch.wait_link(False)


def test_switch_killed_and_restarted(link):
    """The front-end listens; the new switch connects to it and resumes."""
    switch = link.switch(devargs=",client=1", name="switch0")
    peer = link.peer(options=",server=1")
    switch.start()
    switch.wait_link(True)
    peer.start("io", "start tx_first")
    wait_returned(peer)
    switch.kill()
    peer.wait_link(False)

    switch = link.switch(devargs=",client=1", name="switch1")
    switch.start()
    switch.wait_link(True)
    peer.wait_link(True)
    peer.command("stop")
    peer.start("io", "start tx_first")
    wait_returned(peer)


def test_front_end_killed_and_restarted_while_it_listens(link):
    switch = link.switch(devargs=",client=1")
    switch.start()
    for attempt in range(3):
        peer = link.peer(options=",server=1", name=f"listener{attempt}")
        switch.wait_link(True)
        peer.start("io", "start tx_first")
        wait_returned(peer)
        peer.kill()
        switch.wait_link(False)
        link.socket.unlink()


def growing(switch, names):
    before = switch.xstats()
    wait_until(lambda: all(switch.xstats()[name] > before[name] + 100
                           for name in names), 20, f"{names} grow")


def test_peer_changes_its_number_of_queues(link):
    """The switch keeps its two queues, and traffic goes on."""
    queues = "--rxq=2 --txq=2"
    switch = link.switch(queues, ",queues=2")
    switch.start()
    peer = link.peer(queues, ",queues=2")
    names = {1: ["rx_ring0_packets", "tx_ring0_packets"]}
    names[2] = names[1] + ["rx_ring1_packets", "tx_ring1_packets"]
    for number in 2, 1, 2, 1:
        peer.command("stop")
        peer.command("port stop 0")
        peer.command(f"port config all rxq {number}")
        peer.command(f"port config all txq {number}")
        peer.ask("port start 0", "Done")
        switch.wait_link(True)
        peer.start("io", "start tx_first")
        growing(switch, names[number])
    stats = switch.xstats()
    assert not any(value for name, value in stats.items()
                   if "violation" in name)


def default_plugin(name):
    """The path of one of DPDK's plugins, as the distribution installs it."""
    for found in sorted(Path("/usr/lib").glob(f"*/dpdk/pmds-*/{name}")):
        return found
    pytest.skip(f"no {name} below /usr/lib/*/dpdk (Debian's packages of DPDK)")


@pytest.mark.parametrize("net_vhost_first", [True, False])
def test_devices_are_ours_whatever_is_loaded_first(net_vhost_first, tmp_path):
    """The vdev bus takes the first loaded driver whose name begins the device's
    name."""
    theirs = default_plugin("librte_net_vhost.so")
    eal = driver_eal().replace("-d ", f"-d {theirs} -d " if net_vhost_first
                               else "-d ")
    if not net_vhost_first:
        eal += f" -d {theirs}"
    process = Testpmd("order", [f"net_vpci0,path={tmp_path}/ours",
                                f"net_vhost0,iface={tmp_path}/theirs"],
                      eal=eal)
    try:
        for port, name in enumerate(["net_vpci", "net_vhost"]):
            assert process.ask(f"show port info {port}",
                               r"Driver name: (\S+)").group(1) == name
    finally:
        process.close()


def test_no_driver_of_dpdk_begins_our_name():
    """No driver of DPDK has a name that begins with net_vpci, or with which
    net_vpci's devices begin: else the order of loading would decide which
    driver gets a device."""
    plugins = default_plugin("librte_net_vhost.so").parent.glob("*.so")
    names = {name.decode() for path in plugins for name in re.findall(
        rb'PMD_INFO_STRING= {"name": "([^"]+)"', path.read_bytes())}
    assert "net_vhost" in names
    names.discard("net_vpci")  # this driver, if it is installed there
    assert not [name for name in names if "net_vpci0".startswith(name)
                or name.startswith("net_vpci")]


@pytest.mark.parametrize("args, words", [
    ("queues=2", "argument path is missing"),
    ("path=/nowhere/s", "cannot listen"),
    ("path=s", "path=s: does not begin with a slash"),
    ("path=/nowhere/s,path=/nowhere/t",
     "path=/nowhere/t: there is a path already, /nowhere/s"),
    ("path=/s,queues=31", "expected a number up to 30"),
    ("path=/s,queues=0", "queues=0: at least 1 is needed"),
    ("path=/s,client=2", "expected a number up to 1"),
    ("path=/s,speed=9", "bad arguments"),
])
def test_wrong_argument_has_its_own_words(args, words):
    process = Testpmd("wrong", [f"net_vpci0,{args}"], eal=driver_eal())
    try:
        assert words in process.child.output()
    finally:
        process.close()
