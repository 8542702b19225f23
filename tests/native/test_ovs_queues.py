# SPDX-License-Identifier: Apache-2.0
"""Properties of a vhostpci port that follow from its peer, as with
dpdkvhostuserclient ports: queues, polling, memory. Peers are stock virtio-user
front-ends.
"""
import re
import sys
from pathlib import Path

import pytest
from native_ovs import NativeOvs, Peer, config, native_ovs, wait_until
from steering_rig import started

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qtest"))
from frontend import SET_VRING_ENABLE, Frontend  # noqa: E402


@pytest.fixture(scope="module")
def ovs():
    switch = native_ovs("ours", name="queues")
    try:
        yield switch.start()
    finally:
        switch.close()


@pytest.fixture
def peers():
    made = []
    yield made
    for peer in made:
        peer.close()


@pytest.fixture(autouse=True)
def clean(request):
    yield
    if "ovs" in request.fixturenames:
        switch = request.getfixturevalue("ovs")
        assert switch.switch_runs(), switch.switch_log()[-2000:]
        for port in switch.vsctl("list-ports", switch.bridge).split():
            switch.del_port(port)


def add(switch, name, more="", **options):
    path = switch.dir / f"{name}.sock"
    switch.add_port(name, "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_{name},path={path}{more}",
        **options})
    assert switch.error(name) == ""
    wait_until(path.exists, 10, f"{path} is there")
    return path


def polled(switch, port):
    """{queue: enabled} of the port's receive queues."""
    return {int(queue): state == "enabled" for queue, state in re.findall(
        rf"port: +{port} +queue-id: +(\d+) +\((enabled|disabled)\)",
        switch.appctl("dpif-netdev/pmd-rxq-show"))}


def becomes_polled(switch, port, *states):
    want = dict(enumerate(states))
    wait_until(lambda: polled(switch, port) == want, 20,
               f"queues of {port}: {want}, not {polled(switch, port)}")


def rings(switch, port, way):
    """The packet counters of the peer's rings, in the order of queue pairs."""
    shown = switch.appctl("vhostpci/show", port)
    return [int(n) for _, n in sorted(re.findall(
        rf"{way}_ring(\d+)_packets[:=] *(\d+)", shown))]


def many_flows(path, switch, name="a", args=""):
    sender = Peer(switch, path, name, forward="txonly",
                  args=f"--txonly-multi-flow {args}")
    sender.command("set burst tx delay 100 retry 0")
    return sender


class TwoNodes(NativeOvs):
    """An OVS with a PMD thread on each of two nodes.  The memory of peers is on
    the second node."""
    other_config = {**NativeOvs.other_config, "pmd-cpu-mask": "3"}

    def _child(self, name, *arguments):
        plain = self.environment
        if name == "ovs-vswitchd":
            stub = config.BUILD / "tests/native/nodestub.so"
            if not stub.exists():
                pytest.skip(f"{stub} was not built")
            self.environment = {**plain, "LD_PRELOAD": str(stub),
                                "NODESTUB": "1"}
            arguments = ("--dummy-numa=0,1", *arguments)
        try:
            super()._child(name, *arguments)
        finally:
            self.environment = plain


def nodes(switch, port):
    """The nodes of the threads that poll the port."""
    text = switch.appctl("dpif-netdev/pmd-rxq-show")
    return {part.split()[0] for part in text.split("pmd thread numa_id ")[1:]
            if f"port: {port} " in part}


@pytest.fixture
def two_nodes():
    yield from started(lambda: TwoNodes("ours", name="two-nodes"))


def test_a_port_is_polled_and_buffered_where_its_peers_memory_is(two_nodes):
    path = add(two_nodes, "a")
    peer = Peer(two_nodes, path, "a")
    try:
        two_nodes.wait_link_up("a")
        wait_until(lambda: nodes(two_nodes, "a") == {"1"}, 20,
                   "polled where its memory is")
        # The pool's name contains a hash and then the node, 01.
        assert re.search(r"mempool <ovs[0-9a-f]{8}01", two_nodes.appctl(
            "netdev-dpdk/get-mempool-info", "a"))
    finally:
        peer.close()


def test_hash_steering_reaches_all_of_the_peers_pairs_evenly(ovs, peers):
    """There is one PMD thread, and there are four queue pairs."""
    source = add(ovs, "a")
    path = add(ovs, "b")
    ovs.vsctl("set", "Port", "b", "other_config:tx-steering=hash")
    receiver = Peer(ovs, path, "b", options=",queues=4",
                    args="--rxq=4 --txq=4 --total-num-mbufs=8192")
    sender = many_flows(source, ovs)
    peers += [receiver, sender]
    ovs.wait_link_up("a", "b")
    ovs.wait_interface("b", "status", lambda s: s["tx-rings"] == "4")
    ovs.add_flow("in_port=a,actions=b")
    receiver.command("start")
    sender.command("start")
    wait_until(lambda: sum(rings(ovs, "b", "tx")[:4]) > 20000, 30,
               "packets reach the peer")
    sent = rings(ovs, "b", "tx")[:4]
    assert min(sent) > sum(sent) / 8, sent


def test_receive_queues_follow_the_peer_and_n_rxq_overrides(ovs, peers):
    path = add(ovs, "b")
    other = add(ovs, "c", n_rxq=3)
    becomes_polled(ovs, "b", False)
    for name, socket in ("b", path), ("c", other):
        peers.append(Peer(ovs, socket, name, options=",queues=4",
                          args="--rxq=4 --txq=4 --total-num-mbufs=8192"))
        ovs.wait_link_up(name)
    becomes_polled(ovs, "b", True, True, True, True)
    becomes_polled(ovs, "c", True, True, True)
    wait_until(lambda: ovs.rx_queues("b") == 4, 20, "they are shown")


def test_queues_that_the_peer_disables_are_polled_by_nobody(ovs):
    path = add(ovs, "b")
    frontend = Frontend(path)
    try:
        frontend.start(rings=8)
        ovs.wait_link_up("b")
        becomes_polled(ovs, "b", True, True, True, True)
        for state in 0, 1:
            for ring in 4, 5, 6, 7:
                frontend.send(SET_VRING_ENABLE,
                              ring.to_bytes(4, "little")
                              + state.to_bytes(4, "little"))
            becomes_polled(ovs, "b", True, True, bool(state), bool(state))
        assert ovs.error("b") == ""
    finally:
        frontend.close()
    becomes_polled(ovs, "b", False, False, False, False)


def test_pmd_perf_show_has_the_length_of_the_peers_queue(ovs, peers):
    """The peer sends faster than the switch polls, so its queue stays full."""
    path = add(ovs, "a")
    ovs.vsctl("set", "Open_vSwitch", ".",
              "other_config:pmd-perf-metrics=true")
    ovs.add_flow("in_port=a,actions=drop")
    sender = Peer(ovs, path, "a", forward="txonly")
    peers.append(sender)
    ovs.wait_link_up("a")
    sender.command("start")

    def long_queues():
        """How many iterations found more than 32 packets, a burst, in the
        queue: from the fifth column of the histogram."""
        rows = re.findall(r"^ +(?:(?:\d+|>) +\d+ *){7}$",
                          ovs.appctl("dpif-netdev/pmd-perf-show"), re.M)
        cells = [row.split()[8:10] for row in rows]
        return sum(int(n) for wall, n in cells if wall == ">" or
                   int(wall) > 32)
    wait_until(long_queues, 30, "the queue's length is seen")


class SmallOvs(NativeOvs):
    memory = "--no-huge --legacy-mem -m 256"


def test_idle_ports_take_next_to_no_memory():
    """30 idle ports fit into 256 MiB, as idle vhost ports do.  Without this
    feature, 12 idle ports did not fit into 1 GiB."""
    switch = SmallOvs("ours", name="small")
    try:
        switch.start()
        for number in range(30):
            add(switch, f"p{number}")
        assert "mempool" not in switch.appctl("netdev-dpdk/get-mempool-info") \
            or "ovs" not in switch.appctl("netdev-dpdk/get-mempool-info")
        peer = Peer(switch, switch.dir / "p7.sock", "p7")
        switch.wait_link_up("p7")
        peer.close()
    finally:
        switch.close()


class TinyOvs(NativeOvs):
    memory = "--no-huge --legacy-mem -m 100"  # a port takes 54 MiB


def test_port_without_memory_says_so_and_has_it_when_another_goes():
    switch = TinyOvs("ours", name="tiny")
    try:
        switch.start()
        peers = []
        for name in ("a", "b"):
            peers.append(Peer(switch, add(switch, name), name))
            if name == "a":
                switch.wait_link_up("a")
        wait_until(lambda: switch.error("b").startswith(
            "b: no memory for packets: there are too few huge pages"), 30,
            "the error column says so")
        switch.del_port("a")
        wait_until(lambda: switch.error("b") == "", 30, "another try")
        # The test starts a new peer, because virtio-user does not connect
        # again.
        peers.append(Peer(switch, switch.dir / "b.sock", "b2"))
        switch.wait_link_up("b")
        for peer in peers:
            peer.close()
    finally:
        switch.close()


def statistics(switch, port):
    return {key: int(value) for key, value in
            switch.get(port, "statistics").items()}


def test_statistics_have_the_names_that_open_vswitch_knows(ovs, peers):
    """A port has the counters of vhost ports: by sizes, of broadcasts and
    multicasts, of queues, and of retries."""
    ovs.vsctl("set", "Open_vSwitch", ".",
              "other_config:stats-update-interval=1000")
    source = add(ovs, "a")
    path = add(ovs, "b")
    ovs.add_flow("in_port=a,actions=mod_dl_dst:ff:ff:ff:ff:ff:ff,b")
    receiver = Peer(ovs, path, "b")
    sender = Peer(ovs, source, "a", forward="txonly")
    peers += [receiver, sender]
    ovs.wait_link_up("a", "b")
    receiver.command("start")
    sender.command("set txpkts 200")
    sender.command("start")
    found = wait_until(
        lambda: statistics(ovs, "b").get("tx_broadcast_packets", 0) > 1000
        and statistics(ovs, "b"), 20, "broadcasts are counted")
    assert found["tx_128_to_255_packets"] >= found["tx_packets"] > 0
    assert found["tx_65_to_127_packets"] == 0
    assert found["tx_multicast_packets"] == 0
    assert found["tx_q0_packets"] > 0 and found["tx_q0_bytes"] > 0
    assert found["tx_q0_broadcast_packets"] > 0
    assert "ovs_tx_retries" in found
    found = statistics(ovs, "a")
    assert found["rx_128_to_255_packets"] > 0
    assert found["rx_broadcast_packets"] == 0
    assert found["rx_q0_packets"] > 0
    assert found["rx_q0_size_128_to_255_packets"] > 0


@pytest.mark.parametrize("more", ["", ",peer=alice"], ids=["path", "peer"])
def test_ethernet_address_outlives_the_port(ovs, more):
    add(ovs, "a", more)
    add(ovs, "b")
    first = ovs.wait_interface("a", "mac_in_use", lambda mac: mac)
    assert first not in ("00:00:00:00:00:00", ovs.get("b", "mac_in_use"))
    ovs.del_port("a")
    add(ovs, "a", more)
    ovs.wait_interface("a", "mac_in_use", first)
    assert int(first[:2], 16) & 3 == 2, "a local address of one station"


MOST = 32  # RTE_MAX_ETHPORTS of the distribution's DPDK


def working(switch):
    """The ports that have a device: their ofport is a positive number."""
    names = switch.vsctl("list-ports", switch.bridge).split()
    numbers = {name: switch.get(name, "ofport") for name in names}
    return {name for name, number in numbers.items()
            if isinstance(number, int) and number > 0}


def test_same_ports_work_after_a_restart_with_more_than_there_may_be():
    """DPDK limits the number of Ethernet devices of all kinds.  After a
    restart the same ports have devices as before."""
    switch = SmallOvs("ours", name="many")
    try:
        switch.start()
        for number in range(MOST):
            add(switch, f"p{number:02}")
        switch.add_port("a-late", "vhostpci", options={
            "vhostpci-devargs":
            f"net_vpci_late,path={switch.dir}/late.sock"})
        assert "cannot use device net_vpci_late" in switch.error("a-late")
        names = {f"p{number:02}" for number in range(MOST)}
        assert working(switch) == names
        switch.kill_switch()
        switch.start_switch()
        switch.vsctl("set", "Open_vSwitch", ".", "external_ids:again=1")
        assert working(switch) == names
        assert "cannot use device net_vpci_late" in switch.error("a-late")
    finally:
        switch.close()


def test_what_is_normal_leaves_no_warning(ovs, peers):
    """A port is added, gets another number of queues, and then another device:
    the log has no warning."""
    mark = len(ovs.switch_log())
    path = add(ovs, "a")
    peers.append(Peer(ovs, path, "a"))
    ovs.wait_link_up("a")
    ovs.vsctl("set", "Interface", "a", "options:n_rxq=2")
    becomes_polled(ovs, "a", True, False)
    other = ovs.dir / "other.sock"
    ovs.vsctl("set", "Interface", "a", "options:vhostpci-devargs="
              f'"net_vpci_other,path={other}"')
    wait_until(other.exists, 10, "the other device is there")
    ovs.del_port("a")
    said = [line for line in ovs.switch_log()[mark:].splitlines()
            if re.search(r"\|(WARN|ERR|EMER)\|", line)]
    assert not said, "\n".join(said)
    # For a port without a device, the log has no error of DPDK about port
    # numbers.
    ovs.add_port("b", "vhostpci", options={
        "vhostpci-devargs": "net_vpci_b,nonsense=1"})
    ovs.del_port("b")
    assert "Invalid port_id" not in ovs.switch_log()[mark:]
