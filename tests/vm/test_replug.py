# SPDX-License-Identifier: Apache-2.0
"""Unplugs devices while Open vSwitch runs, and plugs them in again at other PCI
addresses.  Ports follow a device by its peer's name, or Open vSwitch makes and
removes ports itself (vhostpci-auto).

    peers c and d: their traffic must not be disturbed
    device x: moves between two root ports; FrontEnd plays its peer
"""
import contextlib

import pytest

from harness import traffic
from harness.frontend import FrontEnd
from harness.procs import wait_until

CYCLES_FULL, CYCLES_SLICE = 20, 3
UUID = "2f1b7a0e-5d34-4a59-9c5c-0f6d1f3b8a11"


class Plugs:
    """Root ports that are empty at first, and the devices plugged there."""

    def __init__(self, net, sw, ports):
        self.net, self.sw, self.ports = net, sw, ports
        for number, port in enumerate(ports, 20):
            sw.arguments += ["-device", f"pcie-root-port,id={port},"
                             f"chassis={number},slot={number},"
                             "pref64-reserve=8G"]

    def link(self, name):
        return self.net.link(f"plug-{name}")

    def chardev(self, name):
        self.sw.qmp.command("chardev-add", id=f"c-{name}", backend={
            "type": "socket", "data": {
                "addr": {"type": "unix", "data": {
                    "path": str(self.link(name))}},
                "server": True, "wait": False}})

    def devices(self):
        return set(self.sw.sh(
            "grep -l 0x1077 /sys/bus/pci/devices/*/device | cut -d/ -f6"
        ).split())

    def plug(self, name, port, **properties):
        """Plug a device, and bind it to the userspace driver; returns its PCI
        address."""
        before = self.devices()
        self.sw.qmp.command("device_add", driver="vhost-pci-net-pci",
                            id=f"plug-{name}", bus=port, chardev=f"c-{name}",
                            **properties)
        address, = wait_until(lambda: self.devices() - before, 30,
                              f"Linux sees {name} on {port}")
        self.sw.bind(address, self.sw.driver)
        return address

    def unplug(self, name):
        self.sw.qmp.command("device_del", id=f"plug-{name}")
        wait_until(lambda: f'id "plug-{name}"' not in
                   self.sw.qmp.hmp("info qtree"), 30, f"{name} is gone")


@pytest.fixture(scope="module")
def net(module_topology):
    net = module_topology
    net.sw = net.switch(["c", "d"], hugepages=200, memory_mb=800)
    net.plugs = Plugs(net, net.sw, ["px", "py"])
    net.c, net.d = (net.peer(n, memory_mb=128) for n in "cd")
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up("c", "d")
    traffic.wait_reachable(net.c, net.d)
    for name in ("x", "y"):
        net.plugs.chardev(name)
    return net


@contextlib.contextmanager
def uninvolved(net):
    with traffic.tcp_stall(net.d, net.c) as tcp, \
            traffic.numbered_stream(net.c, net.d, 100) as udp:
        yield
    print(udp, tcp)
    assert udp["lost"] == udp["duplicated"] == udp["corrupted"] == 0, udp
    assert tcp["stall"] - tcp["lag"] < 1000, tcp


def error(sw, name):
    value = sw.ovs.get(name, "error")
    return value if isinstance(value, str) else ""


def ports(sw):
    return set(sw.ovs.vsctl("list-ports", "br0").split())


def test_port_follows_its_peer_to_any_address(net, full):
    sw, plugs = net.sw, net.plugs
    sw.ovs.add_port("x", "vhostpci", options={"peer": "x"})
    assert "no device for peer 'x'" in error(sw, "x")
    seen, number = set(), None
    with uninvolved(net):
        for cycle in range(CYCLES_FULL if full else CYCLES_SLICE):
            address = plugs.plug("x", ("px", "py")[cycle % 2], peer="x")
            wait_until(lambda: error(sw, "x") == "", 30, "the port is there")
            seen.add(address)
            assert sw.ovs.appctl("vhostpci/show", "x").startswith(
                f"x: device {address}")
            number = number or sw.ovs.ofport("x")
            assert sw.ovs.ofport("x") == number > 0
            with FrontEnd(plugs.link("x")) as front:
                front.drive()
                sw.ovs.wait_link_up("x")
            plugs.unplug("x")
            wait_until(lambda: "no device for peer 'x'" in error(sw, "x"), 30,
                       "the port says so")
    sw.ovs.del_port("x")
    assert len(seen) == 2


def test_port_by_the_peers_uuid(net):
    sw, plugs = net.sw, net.plugs
    sw.ovs.add_port("u", "vhostpci", options={"peer": UUID.upper()})
    address = plugs.plug("y", "px", peer="y", **{"uuid": UUID})
    wait_until(lambda: error(sw, "u") == "", 30, "the port is there")
    status = sw.ovs.get("u", "status")
    assert (status["peer"], status["peer-uuid"]) == ("y", UUID)
    assert sw.ovs.appctl("vhostpci/show", "u").startswith(
        f"u: device {address}")
    sw.ovs.del_port("u")
    plugs.unplug("y")


def test_ports_come_and_go_by_themselves(net):
    sw, plugs = net.sw, net.plugs
    sw.ovs.add_port("x", "vhostpci", options={"peer": "x"})
    plugs.plug("y", "py", peer="y")
    own = ports(sw)
    assert own == {"c", "d", "x"}, "off unless asked for"
    sw.ovs.vsctl("set", "Open_vSwitch", ".", "other_config:vhostpci-auto=br0")
    try:
        with uninvolved(net):
            wait_until(lambda: ports(sw) == own | {"y"}, 30, "y has a port")
            with FrontEnd(plugs.link("y")) as front:
                front.drive()
                sw.ovs.wait_link_up("y")
            plugs.unplug("y")
            wait_until(lambda: ports(sw) == own, 30, "it went with y")
            # A peer that has a port already gets no second one.
            plugs.plug("x", "px", peer="x")
            wait_until(lambda: error(sw, "x") == "", 30, "x is served")
            plugs.plug("y", "py", peer="a name/that is:too long")
            added = wait_until(lambda: ports(sw) - own, 30, "it has a port")
            name, = added
            assert name.startswith("a_name_tha-") and len(name) == 15
            plugs.unplug("x")
            plugs.unplug("y")
            wait_until(lambda: ports(sw) == own, 30, "only its own went")
    finally:
        sw.ovs.vsctl("remove", "Open_vSwitch", ".", "other_config",
                     "vhostpci-auto")
    sw.ovs.del_port("x")
