# SPDX-License-Identifier: Apache-2.0
"""Stock OpenFlow controllers, whose flows run inside the driver.

The controllers do not know the driver, and the peers are stock virtio-user
front-ends. A controller learns where the peers are, and adds flows, which Open
vSwitch offloads to the driver.
"""
import re
import shutil
import socket
from pathlib import Path

import pytest
from native_ovs import Peer, config, wait_until
from steering_rig import OffloadOvs, started
from harness.procs import Child

MACS = {"a": "52:54:00:00:00:01", "b": "52:54:00:00:00:02",
        "c": "52:54:00:00:00:03"}
OTHER = {"a": "b", "b": "a"}
BURST = 32  # packets
IDLE = 2  # idle timeout of ovs-testcontroller's flows, in seconds


class LearningOvs(OffloadOvs):
    def obey(self, controller):
        self.vsctl("set-controller", self.bridge, controller, "--", "set",
                   "controller", self.bridge,
                   "connection_mode=out-of-band")
        wait_until(lambda: "is_connected: true" in self.show(), 30,
                   "the controller is connected")

    def learned(self, port):
        """The packet counters of the controller's flows for the port."""
        text = self.ofctl("dump-flows", self.bridge, f"in_port={port}")
        return [int(n) for n in re.findall(r"n_packets=(\d+)", text)]


class Rig:
    """Three peers: a and b talk to each other, c receives flooded packets."""

    def __init__(self):
        self.ovs = LearningOvs("ours", name="controllers")
        self.peers, self.controller = {}, None

    def start(self):
        self.ovs.start()
        for name, mac in MACS.items():
            path = self.ovs.add(name)
            args = f"--eth-peer=0,{MACS[OTHER[name]]}" if name in OTHER else ""
            self.peers[name] = Peer(self.ovs, path, name=name, args=args,
                                    options=f",mac={mac}")
            self.ovs.wait_link_up(name)
        self.peers["c"].command("start")
        return self

    def control(self, command, where, environment=None):
        """Start a controller, and connect the switch to it at `where`."""
        log = f"{Path(command[0]).name}.log"
        self.controller = Child(
            command, log=self.ovs.logs / log,
            env={**self.ovs.environment, **(environment or {})})
        self.ovs.obey(where)

    def forget(self):
        """End the controller, and remove all of its flows."""
        self.ovs.vsctl("del-controller", self.ovs.bridge)
        if self.controller:
            self.controller.end()
        self.controller = None
        self.ovs.ofctl("del-flows", self.ovs.bridge)
        self.ovs.appctl("revalidator/purge")
        wait_until(lambda: not any(map(self.ovs.steered_packets, MACS)), 10,
                   "the driver has no rule")

    def send(self, name):
        """Send one burst to the other peer; returns its number of packets."""
        peer = self.peers[name]
        before = peer.transmitted()
        peer.command("start tx_first")
        peer.command("stop")
        return peer.transmitted() - before

    def exchange(self):
        """Let both peers send until flows of both ways are in the driver."""
        def known():
            for name in OTHER:
                self.send(name)
            return all(self.ovs.steered_packets(name) for name in OTHER)
        wait_until(known, 20, "flows of both ways are steered")

    def close(self):
        for peer in self.peers.values():
            peer.close()
        if self.controller:
            self.controller.end()
        self.ovs.close()


@pytest.fixture(scope="module")
def made_rig():
    yield from started(Rig)


@pytest.fixture
def rig(made_rig):
    yield made_rig
    ovs = made_rig.ovs
    assert ovs.switch_runs(), ovs.switch_log()[-2000:]
    made_rig.forget()


def expect_steered_both_ways(rig):
    """Check that the driver moves all packets that are sent now, that they
    arrive and count in the controller's flows, and that c gets none."""
    ovs = rig.ovs
    for name, other in OTHER.items():
        before, heard = ovs.steered_packets(name), rig.peers["c"].received()
        got = ovs.counters(other)["tx_pkts"]
        counted = sum(ovs.learned(name))
        sent = sum(rig.send(name) for _ in range(5))
        assert sent == 5 * BURST
        wait_until(lambda n=name, s=before + sent:
                   ovs.steered_packets(n) == s, 10,
                   f"{sent} packets of {name} are steered")
        assert ovs.counters(other)["tx_pkts"] - got == sent
        wait_until(lambda n=name, s=counted + sent: sum(ovs.learned(n)) >= s,
                   10, "the controller's flow counts them")
        assert rig.peers["c"].received() == heard


def find_testcontroller():
    """The program from this project's build, or of Debian's package."""
    path = config.BUILD / "ovs" / "utilities" / "ovs-testcontroller"
    found = path if path.exists() else shutil.which("ovs-testcontroller")
    if not found:
        pytest.skip("no ovs-testcontroller (tools/build-ovs makes it)")
    return found


def control_by_testcontroller(rig):
    path = rig.ovs.dir / "controller.sock"
    rig.control([find_testcontroller(), f"--max-idle={IDLE}", f"punix:{path}"],
                f"unix:{path}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def control_by_osken(rig):
    manager = shutil.which("osken-manager")
    if not manager:
        pytest.skip("no osken-manager (Debian package python3-os-ken)")
    port = free_port()
    rig.control([manager, "--ofp-listen-host", "127.0.0.1",
                 "--ofp-tcp-listen-port", port,
                 Path(__file__).with_name("osken_switch.py")],
                f"tcp:127.0.0.1:{port}",
                {"PYTHONDONTWRITEBYTECODE": "1"})


@pytest.mark.parametrize("control", [control_by_testcontroller,
                                     control_by_osken],
                         ids=["testcontroller", "osken"])
def test_what_a_controller_learns_is_steered(rig, control):
    control(rig)
    rig.exchange()
    expect_steered_both_ways(rig)


def test_steered_flows_outlive_their_idle_timeout_and_end_with_traffic(rig):
    """OpenFlow's idle timeout takes the driver's counters into account."""
    ovs = rig.ovs
    control_by_testcontroller(rig)
    rig.exchange()

    def ages():
        text = ovs.ofctl("dump-flows", ovs.bridge, "in_port=a")
        return [float(n) for n in re.findall(r"duration=([\d.]+)s", text)]

    def is_old():
        rig.send("a")
        return ages() and min(ages()) > 2 * IDLE + 1
    wait_until(is_old, 20, "the flow is older than its timeout")
    assert ovs.steered_packets("a") > 0
    wait_until(lambda: not ages(), 20, "the flow ends without traffic")
    wait_until(lambda: ovs.steered_packets("a") == 0, 20,
               "so does the driver's")
