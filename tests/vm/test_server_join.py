# SPDX-License-Identifier: Apache-2.0
"""VMs join one server: the device's QEMU plugs a vhost-pci device for each VM,
and Open vSwitch in the switch VM serves a port for each network device."""
import pytest

from harness import config, traffic
from harness.procs import wait_until

PORTS = 2


def server_arguments(path, ports=PORTS, reserve="512M", options=""):
    """Arguments of the switch VM's QEMU: a server and root ports, instead of
    devices with sockets of their own."""
    roots = [word for n in range(ports) for word in (
        "-device", f"pcie-root-port,id=rp{n},chassis={n + 1},slot={n + 1},"
        f"pref64-reserve={reserve}")]
    names = ":".join(f"rp{n}" for n in range(ports))
    return roots + ["-device", f"vhost-pci-server,id=s,path={path},"
                    f"ports={names},grace=600{options}"]


def second_nic(peer):
    """Give a peer a second NIC: one more connection to the same server."""
    nic = f"virtio-net-pci,netdev=n1,mac=52:54:00:00:01:{peer.mac[-2:]}"
    if not config.is_kvm():
        nic += ",vectors=0"
    peer.arguments += [
        "-chardev", f"socket,id=link1,path={peer.link},reconnect=1",
        "-netdev", "vhost-user,id=n1,chardev=link1", "-device", nic]


def peers_of(sw):
    return {p["name"]: p for p in sw.qmp.command("query-vhost-pci")["peers"]}


def bind(sw, peer):
    """Wait until Linux has found the device of a peer, and give the device to
    the userspace driver."""
    port = wait_until(lambda: peers_of(sw).get(peer, {}).get("port"), 60,
                      f"a device for {peer}")
    address = f"0000:0{int(port[2:]) + 1}:00.0"
    wait_until(lambda: sw.run(["test", "-e", f"/sys/bus/pci/devices/{address}"
                               "/driver"]).code == 0, 60,
               f"Linux has found the device of {peer} at {address}")
    sw.bind(address, sw.driver)


@pytest.fixture(scope="module")
def served(module_topology):
    """Peer a, with two NICs, and peer b join a server.  Their QEMU is this
    project's, which tells the server their names.  Ports are added before any
    device exists."""
    net = module_topology
    net.sw = net.switch([], hugepages=144, memory_mb=544)  # four ports
    link = net.link("s")
    net.sw.arguments += server_arguments(link)
    net.sw.start().ready()
    net.sw.start_ovs()
    for port, peer in (("a", "a"), ("a1", "a/1"), ("b", "b")):
        net.sw.ovs.add_port(port, "vhostpci", options={"peer": peer})
    net.a, net.b = (net.peer(name, link=link, memory_mb=128)
                    for name in ("a", "b"))
    second_nic(net.a)
    net.b.arguments += ["-device", "pcie-root-port,id=hot,chassis=9,slot=9"]
    for peer in (net.a, net.b):
        peer.qemu = config.our_qemu()
        peer.start()
    for name in ("a", "b"):
        bind(net.sw, name)
        net.vms[name].ready()
    net.a.sh("ip addr add 10.0.1.1/24 dev eth1 && ip link set eth1 up")
    net.b.sh("ip addr add 10.0.1.2/24 dev eth0")
    return net


def test_ports_of_peers_that_were_plugged_carry_packets(served):
    served.sw.ovs.wait_link_up("a", "a1", "b", seconds=60)
    traffic.wait_reachable(served.a, served.b)
    traffic.ping(served.a, served.b)
    # The second NIC is the same device's second function.
    status = served.sw.ovs.get("a1", "status")
    assert (status["peer"], status["peer-function"]) == ("a", "1")
    wait_until(lambda: served.a.run("ping -c 1 -W 1 10.0.1.2").code == 0, 30,
               "the second NIC reaches b")
    served.a.sh("ping -c 3 -i 0.2 -W 2 10.0.1.2")


def test_window_is_behind_the_port_in_full(served):
    """Behind a port that reserves 512 MiB the window has 256 MiB, and the
    peer's whole memory is mapped there."""
    peers = peers_of(served.sw)
    assert {p["window"] for p in peers.values()} == {256 << 20}
    for name, peer in peers.items():
        assert peer["memory"] == 128 << 20, name
        assert peer["driver"] and len(peer["functions"]) == 1 + (name == "a")


def test_peer_that_restarts_finds_its_device_and_ports(served):
    before = peers_of(served.sw)["b"]
    number = served.sw.ovs.ofport("b")
    served.b.kill()
    served.sw.ovs.wait_interface("b", "link_state", "down")
    served.b.start().ready()
    served.sw.ovs.wait_link_up("b")
    traffic.wait_reachable(served.a, served.b)
    after = peers_of(served.sw)["b"]
    assert (after["device"], after["state"]) == (before["device"], "live")
    assert served.sw.ovs.ofport("b") == number
    traffic.ping(served.a, served.b)


def connect_second_nic(peer):
    """Give a running peer the chardev and the netdev of a second NIC, as
    libvirt does."""
    peer.qmp.command("chardev-add", id="link1", backend={
        "type": "socket", "data": {"server": False, "reconnect": 1, "addr": {
            "type": "unix", "data": {"path": str(peer.link)}}}})
    peer.qmp.command("netdev_add", type="vhost-user", id="n1",
                     chardev="link1")


def plug_second_nic(peer):
    more = {} if config.is_kvm() else {"vectors": 0}
    peer.qmp.command("device_add", driver="virtio-net-pci", id="nic1",
                     netdev="n1", bus="hot", **more)
    peer.sh("until [ -e /sys/class/net/eth1 ]; do usleep 50000; done; "
            "ip addr add 10.0.1.3/24 dev eth1; ip link set eth1 up", 60)


def unplug_second_nic(peer):
    # QEMU removes the device some time after the guest has released it.
    peer.qmp.command("device_del", id="nic1")
    wait_until(lambda: "nic1" not in peer.qmp.hmp("info qtree"), 60,
               "the NIC is gone")


def test_function_that_comes_later_finds_its_port(served):
    """A second NIC is plugged into a peer, so the peer's device gets a second
    function.  Open vSwitch has a port for this function before.  The port's
    link follows the NIC, and the first function loses no packet."""
    ovs, a, b = served.sw.ovs, served.a, served.b
    traffic.wait_reachable(a, b)
    ovs.add_port("b1", "vhostpci", options={"peer": "b/1"})
    assert "the device has no function 1" in ovs.get("b1", "error")
    boot, numbers = b.sh("cat /proc/sys/kernel/random/boot_id"), set()
    with traffic.numbered_stream(a, b, 100) as there, \
            traffic.numbered_stream(b, a, 100, port=9001) as back:
        connect_second_nic(b)
        for _ in range(2):
            plug_second_nic(b)
            ovs.wait_link_up("b1", seconds=60)
            b.sh("ping -I eth1 -c 3 -i 0.2 -W 10 10.0.1.1")
            numbers.add(ovs.ofport("b1"))
            status = ovs.get("b1", "status")
            assert (status["peer"], status["peer-function"]) == ("b", "1")
            unplug_second_nic(b)
            ovs.wait_interface("b1", "link_state", "down")
    for counts in (there, back):
        assert counts["received"] > 0, counts
        assert counts["lost"] == counts["duplicated"] == 0, counts
    assert len(numbers) == 1 and min(numbers) > 0, numbers
    assert b.sh("cat /proc/sys/kernel/random/boot_id") == boot
    ovs.del_port("b1")
