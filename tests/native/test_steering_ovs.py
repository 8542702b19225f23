# SPDX-License-Identifier: Apache-2.0
"""OpenFlow rules that run inside the driver, as Open vSwitch's users see them.

Peers are stock virtio-user front-ends; a's packets go to b, or to c, and
hw-offload is on. Two PMD threads have a copy of each datapath flow.
"""
import re
import time

import pytest
from native_ovs import NativeOvs, Peer, config, wait_until

DATAPATH = "dummy@ovs-dummy"


class SteeringOvs(NativeOvs):
    # Whoever sleeps after each burst moves no more than 3,200 packets a second.
    other_config = {**NativeOvs.other_config, "hw-offload": "true",
                    "pmd-cpu-mask": "3", "pmd-maxsleep": "10000"}

    def add(self, name):
        path = self.dir / f"{name}.sock"
        self.add_port(name, "vhostpci", options={
            "vhostpci-devargs": f"net_vhostpci_{name},path={path}"})
        assert self.error(name) == ""
        wait_until(path.exists, 10, f"{path} is there")
        return path

    def datapath_port(self, name):
        return int(re.search(rf"port (\d+): {name} \(",
                             self.appctl("dpctl/show", DATAPATH))[1])

    def put_everywhere(self, source, destination):
        """The datapath's flow, one copy for each thread."""
        self.appctl("dpctl/add-flow", DATAPATH,
                    f"recirc_id(0),in_port({self.datapath_port(source)}),"
                    "packet_type(ns=0,id=0),eth(),eth_type(0x0800),"
                    "ipv4(frag=no)", str(self.datapath_port(destination)))

    def offloaded(self):
        return self.appctl("dpctl/dump-flows", DATAPATH, "type=offloaded")

    def steered(self, port):
        """Packets that rules of the port have moved, as the driver says."""
        return [int(n) for n in re.findall(
            r"packets: (\d+)", self.appctl("vhostpci/flows", port))]

    def packets(self, match):
        text = self.ofctl("dump-flows", self.bridge, match)
        return int(re.search(r"n_packets=(\d+)", text)[1])

    def busy_thread(self):
        """The counters of the PMD thread that receives packets."""
        text = self.appctl("dpif-netdev/pmd-perf-show")
        threads = [{"PHWOL hits": 0} | {
            name.strip(" -"): int(n) for name, n in
            re.findall(r"^ +([\w -]+): +(\d+)", part, re.M)}
                   for part in text.split("pmd thread numa_id")[1:]]
        assert len(threads) == 2, text
        return max(threads, key=lambda counters: counters["Rx packets"])


class Rig:
    """One switch, and a peer for each of its ports."""

    def __init__(self):
        self.ovs = SteeringOvs("ours", name="steering")
        self.peers = {}

    def start(self):
        self.ovs.start()
        for name in "abc":
            path = self.ovs.add(name)
            self.peers[name] = Peer(self.ovs, path, name=name)
            self.ovs.wait_link_up(name)
            if name != "a":
                self.peers[name].command("start")
        return self

    def steer(self, destination="b"):
        """a's packets go there, inside the driver, from now on."""
        self.ovs.add_flow(f"in_port=a,actions={destination}")
        self.ovs.put_everywhere("a", destination)
        wait_until(lambda: self.ovs.steered("a"), 10, "the driver has a rule")

    def send(self, bursts):
        """32 packets each; returns how many the ring had room for."""
        peer = self.peers["a"]
        before = peer.transmitted()
        peer.command(f"start tx_first {bursts}")
        peer.command("stop")
        return peer.transmitted() - before

    def load(self):
        """As much as goes, until stop()."""
        self.peers["a"].command("set fwd txonly")
        self.peers["a"].command("start")

    def stop(self):
        """Returns what a has sent, ever."""
        peer = self.peers["a"]
        peer.command("stop")
        peer.command("set fwd rxonly")
        sent = wait_until(lambda: peer.transmitted() == peer.transmitted()
                          and peer.transmitted(), 10, "a has stopped")
        wait_until(lambda: self.ovs.counters("a")["rx_pkts"] == sent, 10,
                   "the switch has received all")
        return sent

    def close(self):
        for peer in self.peers.values():
            peer.close()
        self.ovs.close()


@pytest.fixture(scope="module")
def rig():
    try:
        made = Rig()
    except config.Missing as missing:
        pytest.skip(str(missing))
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(autouse=True)
def clean(rig):
    yield
    assert rig.ovs.switch_runs(), rig.ovs.switch_log()[-2000:]
    rig.stop()
    rig.ovs.ofctl("del-flows", rig.ovs.bridge)
    rig.ovs.appctl("revalidator/purge")
    wait_until(lambda: not rig.ovs.steered("a"), 10, "the driver has no rule")


def lost(rig):
    """Packets that b and c had no room for; whichever counter has them."""
    ports = [rig.ovs.counters(name) for name in "bc"]
    return sum(port["tx_drop"] + port["tx_errs"] for port in ports)


def counts(rig):
    """Packets that came from a, and that went to b and c."""
    ports = [rig.ovs.counters(name) for name in "abc"]
    return [ports[0]["rx_pkts"]] + [port["tx_pkts"] for port in ports[1:]]


def test_steered_packets_count_everywhere_once(rig):
    ovs = rig.ovs
    rig.steer()
    before, missed = counts(rig), lost(rig)
    received = rig.peers["b"].received()
    sent = rig.send(50) + rig.send(50)
    assert sent >= 256
    wait_until(lambda: counts(rig)[0] == before[0] + sent, 10, "they came")
    _, went, other = counts(rig)
    assert went - before[1] + lost(rig) - missed == sent
    assert other == before[2]
    wait_until(lambda: rig.peers["b"].received() - received
               == went - before[1], 10, "b has them")
    assert ovs.steered("a") == [sent]
    wait_until(lambda: ovs.packets("in_port=a") >= sent, 10, "credited")
    for _ in range(4):
        ovs.appctl("revalidator/wait")
    assert ovs.packets("in_port=a") == sent
    # The datapath's copies: three, the packets in one of them.
    lines = ovs.offloaded()
    copies = [int(n) for n in re.findall(r"packets:(\d+)", lines)]
    assert len(copies) == 3 and sum(copies) == sent, lines
    assert f"in_port({ovs.datapath_port('a')})" in lines
    assert f"actions:{ovs.datapath_port('b')}" in lines


def test_flows_names_the_destination(rig):
    rig.steer("c")
    text = rig.ovs.appctl("vhostpci/flows", "a")
    assert re.search(r"actions: output:\S*\(c\)", text), text
    assert "last: " in text and "a: 1 flow\n" in text


def test_steered_load_is_work_and_nobody_sleeps(rig):
    ovs = rig.ovs
    rig.steer()
    rig.load()
    wait_until(lambda: ovs.steered("a")[0] > 10000, 10, "packets are steered")
    ovs.appctl("dpif-netdev/pmd-stats-clear")
    since, before = time.monotonic(), ovs.steered("a")[0]
    wait_until(lambda: ovs.steered("a")[0] > before + 50000, 30,
               "packets are steered")
    rate = (ovs.steered("a")[0] - before) / (time.monotonic() - since)
    now = ovs.busy_thread()
    steered = ovs.steered("a")[0] - before
    print(f"{rate:.0f} packets a second", now)
    assert rate > 6400
    assert steered / 2 < now["PHWOL hits"] < steered * 2
    assert now["PHWOL hits"] <= now["Rx packets"]
    wait_until(lambda: re.search(
        r"port: a +queue-id: +0 \(enabled\) +pmd usage: +[1-9]",
        ovs.appctl("dpif-netdev/pmd-rxq-show")), 20, "the load is seen")


def test_rule_that_changes_under_traffic(rig):
    """All that comes goes one way or the other, and is counted."""
    ovs = rig.ovs
    rig.steer()
    before = counts(rig)
    missed = lost(rig)
    rig.load()
    ways = ["c", "b", "c", "b"]
    for way in ways:
        ovs.ofctl("mod-flows", ovs.bridge, f"in_port=a,actions={way}")
        told = time.monotonic()
        other = "bc".index("cb"["bc".index(way)]) + 1
        this = "bc".index(way) + 1

        def is_changed():
            first = counts(rig)
            second = counts(rig)
            return first[other] == second[other] and \
                first[this] < second[this]
        wait_until(is_changed, 10, f"all goes to {way}", interval=0.01)
        assert time.monotonic() - told < 5
    rig.stop()
    after = counts(rig)
    came = after[0] - before[0]
    # A burst may use a rule between the last look at it and its end.
    wait_until(lambda: ovs.packets("in_port=a") > 0.995 * came, 10,
               f"nearly all of {came} are credited")
    assert ovs.packets("in_port=a") <= came
    went = after[1] + after[2] - before[1] - before[2]
    assert went + lost(rig) - missed == came


def test_rule_that_is_removed_under_traffic(rig):
    ovs = rig.ovs
    rig.steer()
    rig.load()
    wait_until(lambda: ovs.steered("a")[0] > 10000, 10, "packets are steered")
    ovs.ofctl("del-flows", ovs.bridge)

    def nothing_leaves():
        first = counts(rig)
        wait_until(lambda: counts(rig)[0] > first[0] + 1000, 10,
                   "more has come")
        return counts(rig)[1:] == first[1:]
    wait_until(nothing_leaves, 10, "packets come and are dropped")


def test_policed_port_is_not_steered(rig):
    """Packets then pass Open vSwitch's policer; later not."""
    ovs = rig.ovs
    rig.steer()
    rig.load()
    wait_until(lambda: ovs.steered("a")[0] > 10000, 10, "packets are steered")

    def is_steered():
        first = sum(ovs.steered("a"))
        before = counts(rig)[1]
        wait_until(lambda: counts(rig)[1] > before + 1000, 10, "b gets more")
        return sum(ovs.steered("a")) > first
    ovs.vsctl("set", "Interface", "a", "ingress_policing_rate=10000000")
    wait_until(lambda: not is_steered(), 10, "the driver steers no more")
    ovs.vsctl("set", "Interface", "a", "ingress_policing_rate=0")
    wait_until(is_steered, 10, "the driver steers again")
    # A port with QoS is no destination.
    ovs.vsctl("set", "Port", "b", "qos=@q", "--", "--id=@q", "create", "QoS",
              "type=egress-policer", "other-config:cir=1250000000",
              "other-config:cbs=2048000")
    wait_until(lambda: not is_steered(), 10, "b is no destination")
    ovs.vsctl("clear", "Port", "b", "qos", "--", "--all", "destroy", "QoS")
    wait_until(is_steered, 10, "b is one again")
