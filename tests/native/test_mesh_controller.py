# SPDX-License-Identifier: Apache-2.0
"""The sample controller of examples/controller, with real switches: bridges in
a full mesh, which patch ports join, with one host at each bridge.
"""
import itertools
import json
import shutil
import signal
import struct
from pathlib import Path

import pytest
from native_ovs import NativeOvs, config, wait_until
from harness.procs import Child
from test_controllers import free_port

CONTROLLER = Path(__file__).resolve().parents[2] / "examples" / "controller" \
    / "mesh_controller.py"
ALL = range(1, 5)
PERIOD = 0.5  # of the probes, in seconds
CHAIN = (1, 2, 3, 4)


def mac(switch):
    return bytes((2, 0, 0, 0, 0, switch))


def address(switch):
    return bytes((10, 0, 0, switch))


def frame(source, target, number):
    """A numbered frame: UDP from host to host, or ARP to all hosts."""
    if target is None:
        return (b"\xff" * 6 + mac(source) + bytes.fromhex(
            "0806 0001 0800 0604 0001") + mac(source) + address(source)
            + bytes(6) + struct.pack("!I", number)).ljust(60, b"\0")
    ip = bytes.fromhex("4500 0020 0000 0000 4011 0000") + address(source) + \
        address(target) + bytes.fromhex("0001 0002 000c 0000") + \
        struct.pack("!I", number)
    return (mac(target) + mac(source) + b"\x08\0" + ip).ljust(60, b"\0")


class Rig(NativeOvs):
    def __init__(self):
        super().__init__("ours", pmd=False, name="mesh-controller")
        self.count, self.controller = 0, None

    def start(self):
        super().start()
        self.del_bridge(self.bridge)
        self.port = free_port()
        for switch in ALL:
            self.add_switch(switch)
        self.start_controller()
        return self

    def del_bridge(self, name):
        self.vsctl("del-br", name)

    def add_switch(self, switch):
        """Add a switch.  Patch ports have the names of both ends: s1-2 is the
        port of switch 1 to switch 2."""
        bridge, host = f"s{switch}", f"h{switch}"
        pcap = self.dir / f"{host}.pcap"
        pcap.unlink(missing_ok=True)
        words = ["add-br", bridge, "--", "set", "Bridge", bridge,
                 "datapath_type=dummy", "fail-mode=secure",
                 f"other-config:datapath-id={switch:016x}", "--", "add-port",
                 bridge, host, "--", "set", "Interface", host, "type=dummy",
                 "ofport_request=9", f"options:tx_pcap={pcap}"]
        for other in set(ALL) - {switch}:
            words += ["--", "add-port", bridge, f"s{switch}-{other}", "--",
                      *self.patch(switch, other)]
        self.vsctl(*words, "--", "set-controller", bridge,
                   f"tcp:127.0.0.1:{self.port}", "--", "set", "controller",
                   bridge, "connection_mode=out-of-band", "max_backoff=1000")

    @staticmethod
    def patch(switch, other):
        return ["set", "Interface", f"s{switch}-{other}", "type=patch",
                f"options:peer=s{other}-{switch}", f"ofport_request={other}"]

    def start_controller(self):
        chains = self.dir / "chains.json"
        chains.write_text(json.dumps({"service": {
            "between": ["10.0.0.1", "10.0.0.4"], "through": CHAIN}}))
        settings = self.dir / "controller.conf"
        settings.write_text(f"[DEFAULT]\nofp_listen_host = 127.0.0.1\n"
                            f"ofp_tcp_listen_port = {self.port}\n[mesh]\n"
                            f"chains = {chains}\nprobe_seconds = {PERIOD}\n")
        self.controller = Child(
            [shutil.which("osken-manager"), "--config-file", settings,
             CONTROLLER], log=self.logs / "controller.log",
            env={**self.environment, "PYTHONDONTWRITEBYTECODE": "1"})

    def got(self, switch):
        """All frames that a switch sent to its host, without probes."""
        data = (self.dir / f"h{switch}.pcap").read_bytes()
        at, frames = 24, []
        while at + 16 <= len(data):
            size = struct.unpack_from("<I", data, at + 8)[0]
            frames.append(data[at + 16:at + 16 + size])
            at += 16 + size
        return [f for f in frames if f[12:14] != b"\x88\xb5"]

    def send(self, source, target=None):
        """Send a frame; returns the frame."""
        self.count += 1
        sent = frame(source, target, self.count)
        self.appctl("netdev-dummy/receive", f"h{source}", sent.hex())
        return sent

    def reaches(self, source, target):
        """Send a frame; returns True if it arrives within a second."""
        sent = self.send(source, target)
        return wait_for(lambda: sent in self.got(target), 1)

    def all_reach(self, switches=ALL, seconds=40):
        """Wait until frames arrive between all pairs of hosts.  Each host sends
        a broadcast before, so that the controller learns the host."""
        def right():
            for switch in switches:
                self.send(switch)
            return all(self.reaches(*pair) for pair
                       in itertools.permutations(switches, 2))
        wait_until(right, seconds, f"{list(switches)} reach each other")

    def counted(self, switch, match):
        # Wait twice: the first pass may have read the flow before its last
        # packet.
        for _ in range(2):
            self.appctl("revalidator/wait")
        text = self.ofctl("dump-flows", f"s{switch}", match)
        return sum(int(line.split("n_packets=")[1].split(",")[0])
                   for line in text.splitlines() if "n_packets=" in line)

    def close(self):
        if self.controller:
            self.controller.end()
        super().close()


def wait_for(condition, seconds):
    try:
        return wait_until(condition, seconds, "a condition", 0.02)
    except AssertionError:
        return False


@pytest.fixture(scope="module")
def rig():
    if not shutil.which("osken-manager"):
        pytest.skip("no osken-manager (Debian package python3-os-ken)")
    try:
        made = Rig()
    except config.Missing as missing:
        pytest.skip(str(missing))
    try:
        made.start().all_reach()
        yield made
    finally:
        made.close()


def test_a_broadcast_arrives_once_at_every_other_host(rig):
    for source in ALL:
        first = rig.send(source)
        for other in set(ALL) - {source}:
            wait_until(lambda o=other: first in rig.got(o), 10, "it arrives")
        last = rig.send(source)
        for other in set(ALL) - {source}:
            wait_until(lambda o=other: last in rig.got(o), 10, "so does the "
                       "next")
            assert rig.got(other).count(first) == 1
        assert first not in rig.got(source)


def test_rules_carry_packets_while_the_controller_stands_still(rig):
    rig.controller.signal(signal.SIGSTOP)
    try:
        for one, other in itertools.permutations(ALL, 2):
            assert rig.reaches(one, other), (one, other)
    finally:
        rig.controller.signal(signal.SIGCONT)


def test_a_chain_is_counted_in_each_of_its_switches_both_ways(rig):
    ways = {(1, 4): CHAIN, (4, 1): CHAIN[::-1]}
    for (source, target), switches in ways.items():
        match = f"ip,nw_src=10.0.0.{source},nw_dst=10.0.0.{target}"

        def counted(way=(source, target), match=match, switches=switches):
            before = [rig.counted(s, match) for s in switches]
            return all(rig.reaches(*way) for _ in range(3)) and \
                [rig.counted(s, match) for s in switches] == \
                [then + 3 for then in before]
        wait_until(counted, 30, "each counts three")


def lose_port(rig):
    rig.vsctl("del-port", "s2-3")
    return lambda: rig.vsctl("add-port", "s2", "s2-3", "--", *rig.patch(2, 3))


def lose_packets(rig):
    """Cut the link.  Both ports stay, so only lost probes show the loss."""
    rig.vsctl("set", "Interface", "s2-3", "options:peer=nowhere")
    return lambda: rig.vsctl(*rig.patch(2, 3))


@pytest.mark.parametrize("lose", [lose_port, lose_packets])
def test_a_link_that_is_lost_is_gone_around(rig, lose):
    def way():
        text = rig.ofctl("--no-names", "dump-flows", "s2",
                         "table=1,dl_dst=02:00:00:00:00:03")
        return text.strip().rpartition("actions=")[2]
    assert way() == "output:3"
    mend = lose(rig)
    try:
        wait_until(lambda: way() in ("output:1", "output:4"), 20, "a repair")
        rig.all_reach()  # through the chain, too, which returns at switch 2
    finally:
        mend()
    wait_until(lambda: way() == "output:3", 30, "the link is used again")
    rig.all_reach()


def test_a_switch_goes_and_returns(rig):
    rig.del_bridge("s3")
    rig.all_reach((1, 2, 4))
    wait_until(lambda: "02:00:00:00:00:03" not in
               rig.ofctl("dump-flows", "s1"), 20, "nobody sends to it")
    before = rig.counted(4, "ip,nw_dst=10.0.0.4,in_port=s4-2")
    assert rig.reaches(1, 4)
    wait_until(lambda: rig.counted(4, "ip,nw_dst=10.0.0.4,in_port=s4-2")
               == before + 1, 10, "the chain leaves it out")
    rig.add_switch(3)
    rig.all_reach()
    wait_until(lambda: rig.reaches(1, 4) and
               rig.counted(3, "ip,nw_dst=10.0.0.4") > 0, 40,
               "the chain goes through it")


def test_rules_of_others_stay_when_the_controller_starts_again(rig):
    rig.ofctl("add-flow", "s1", "cookie=7,priority=500,tcp,tp_dst=9,"
              "actions=drop")
    rig.controller.kill()
    rig.start_controller()

    def works():
        """True if the new controller has learned a new host."""
        rig.appctl("netdev-dummy/receive", "h1", frame(9, None, 0).hex())
        return mac(9).hex(":") in rig.ofctl("dump-flows", "s1")
    wait_until(works, 40, "the new controller works")
    assert "cookie=0x7" in rig.ofctl("dump-flows", "s1")
