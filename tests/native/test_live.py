# SPDX-License-Identifier: Apache-2.0
"""vhost-pci-topology --live with a real Open vSwitch: that of VM a, whose peers
b and c are stock front-ends."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from native_ovs import Peer, wait_until
from steering_rig import OffloadOvs, started

TOOL = Path(__file__).resolve().parents[2] / "topology" / "vhost-pci-topology"
MACS = {"b": "52:54:00:00:00:01", "c": "52:54:00:00:00:02"}
OTHER = {"b": "c", "c": "b"}


class Rig:
    def __init__(self):
        self.ovs, self.peers = OffloadOvs("ours", name="live"), {}

    def start(self):
        self.ovs.start()
        for name, mac in MACS.items():
            path = self.ovs.add(name)
            self.peers[name] = Peer(
                self.ovs, path, name=name, options=f",mac={mac}",
                args=f"--eth-peer=0,{MACS[OTHER[name]]}", forward="mac")
            self.ovs.wait_link_up(name)
            self.ovs.add_flow(f"priority=100,in_port={name},"
                              f"actions=output:{ofport(OTHER[name])}")
        self.file = self.ovs.dir / "net.yaml"
        self.file.write_text("vms: {a: , b: {switch: false}, "
                             "c: {switch: false}}\nlinks: [a-b, a-c]\n")
        return self

    def look(self, *more):
        done = subprocess.run(
            [sys.executable, TOOL, self.file, "--live", "--count", "1",
             "--interval", "1", "--ovsdb", f"a=unix:{self.ovs.dir}/db.sock",
             *map(str, more)], capture_output=True, text=True, timeout=60,
            check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    def fresh(self, *more):
        return self.look("--unixctl", f"a=unix:{self.ovs.control}", *more)

    def close(self):
        for peer in self.peers.values():
            peer.close()
        self.ovs.close()


def ofport(name):
    return {"b": 1, "c": 2}[name]


def row(text, way):
    """State and numbers in the row of one direction."""
    return re.search(rf"^{way} +(.*?)$", text, re.M)[1].split()


@pytest.fixture(scope="module")
def rig():
    yield from started(Rig)


@pytest.fixture
def circulating(rig):
    """Packets go from b to c and back without end, inside the driver."""
    for peer in rig.peers.values():
        peer.command("start")
    rig.peers["b"].command("stop")
    rig.peers["b"].command("start tx_first")
    wait_until(lambda: all(map(rig.ovs.steered_packets, MACS)), 20,
               "rules of both ways are in the driver")
    yield rig
    for peer in rig.peers.values():
        peer.command("stop")


def test_links_that_carry_nothing_are_up(rig):
    status, text = rig.fresh()
    assert status == 0, text
    assert row(text, "b -> a")[:5] == ["up", "0", "0.00", "0", "-"]


def test_what_the_driver_moves_is_shown_with_its_share(circulating):
    def shown():
        status, text = circulating.fresh()
        rows = [row(text, way) for way in ("b -> a", "c -> a")]
        return status == 0 and all(
            int(r[1]) > 100 and float(r[2]) > 0 and int(r[4]) > 90
            for r in rows) and text
    text = wait_until(shown, 30, "rates and a share of steered packets")
    assert int(row(text, "a -> b")[1]) > 100


def test_the_database_alone_has_state_and_no_share(rig):
    status, text = rig.look()
    assert status == 0 and row(text, "b -> a")[4] == "-"


def test_the_picture_has_an_arrow_for_each_direction(rig, tmp_path):
    status, _ = rig.fresh("--svg", tmp_path / "live.svg")
    assert status == 0
    assert (tmp_path / "live.svg").read_text().count('class="edge"') == 4


def test_a_port_that_is_gone_or_wrong_is_named(rig):
    rig.ovs.add_port("d", "vhostpci", options={"peer": "d"})
    rig.file.write_text("vms: {a: , b: , c: , d: , e: }\n"
                        "links: [a-b, a-c, a-d, a-e]\n")
    status, text = rig.fresh()
    assert status == 2
    assert row(text, "b -> a")[0] == "up" and row(text, "d -> a")[0] == "DOWN"
    assert "a: d: " in text and "a has no port e" in text
    rig.ovs.del_port("d")


def test_a_peer_that_went_and_a_switch_that_went(rig):
    rig.peers.pop("c").kill()

    def down():
        status, text = rig.fresh()
        return status == 2 and row(text, "c -> a")[0] == "DOWN" \
            and row(text, "b -> a")[0] == "up" and "down at a" in text
    wait_until(down, 20, "c's link is down, b's is up")
    rig.ovs.kill_switch()
    status, text = rig.fresh()
    assert status == 2 and "a is silent" in text
