# SPDX-License-Identifier: Apache-2.0
"""Ports of type=vhostpci with real devices: which device serves a port, and
which error a port has when no device does.  The tests need no peers: a device
exists without its peer.

No test has two devices with one peer name: QEMU refuses the second device.
With vfio-pci, the switch runs as an unprivileged user.
"""
import pytest

from harness.procs import wait_until
from harness.topology import Topology

PORTS = ["a", "b", "c"]
USERS = {"uio_pci_generic": None, "vfio-pci": "openvswitch"}


@pytest.fixture(scope="module", params=USERS)
def switch(request, images):
    net = Topology(f"port-{request.param}", images)
    try:
        sw = net.switch(PORTS, driver=request.param)
        net.up()
        sw.user = USERS[request.param]
        sw.start_ovs(sw.user)
        yield sw
    finally:
        net.close()


@pytest.fixture(autouse=True)
def no_ports(request, switch):
    yield
    assert switch.sh("pidof ovs-vswitchd")
    for port in switch.ovs.vsctl("list-ports", "br0").split():
        switch.ovs.del_port(port)


def add(sw, name, **options):
    sw.ovs.add_port(name, "vhostpci", options={
        key.replace("_", "-"): value for key, value in options.items()})


def error(sw, name):
    value = sw.ovs.get(name, "error")
    return value if isinstance(value, str) else ""


def bind(sw, address):
    """Give a device to the userspace driver, and the file of its group to the
    switch's user: each binding makes a new file."""
    sw.bind(address, sw.driver)
    if sw.user:
        sw.sh(f"chown {sw.user} /dev/vfio/*")


def device(sw, name):
    """The address of the device that serves a port."""
    first = sw.ovs.appctl("vhostpci/show", name).splitlines()[0]
    return first.split(": device ")[1].split(",")[0]


def test_no_device_is_attached_before_a_port_asks(switch):
    log = switch.ovs.log_text()
    for port in switch.ports.values():
        assert f"-b {port.address}" in log
    assert "Probe PCI driver: net_vpci" not in \
        log.split("DPDK Enabled - initialized")[0]


def test_switch_runs_as_its_user(switch):
    uid = switch.sh("awk '/^Uid/ { print $2 }' "
                    f"/proc/{switch.ovs.switch_pid()}/status").strip()
    assert uid == ("100" if switch.user else "0")
    add(switch, "p", vhostpci_devargs=switch.ports["b"].address)
    assert error(switch, "p") == ""
    assert switch.ovs.get("p", "status")["peer"] == "b"


def test_peer_finds_its_device(switch):
    add(switch, "p", peer="b")
    assert error(switch, "p") == ""
    assert device(switch, "p") == switch.ports["b"].address
    status = switch.ovs.get("p", "status")
    assert status["peer"] == "b" and status["transport"] == "pci"
    assert status["window"] in ("write-back", "uncached", "unknown")
    add(switch, "q", peer="c")
    assert device(switch, "q") == switch.ports["c"].address


def test_function_of_a_peer(switch):
    """The device has only function 0."""
    address = switch.ports["b"].address
    add(switch, "q", peer="b/1")
    assert "no device for peer 'b': " in error(switch, "q")
    assert f"device {address}: the device has no function 1" in \
        error(switch, "q")
    add(switch, "r", vhostpci_devargs=f"{address},function=1")
    assert "the device has no function 1" in error(switch, "r")
    add(switch, "p", peer="b/0")
    assert error(switch, "p") == ""
    assert device(switch, "p") == address
    assert switch.ovs.get("p", "status")["peer-function"] == "0"
    # p has attached the device.  DPDK would now take its only port as the port
    # of any function.
    switch.ovs.del_port("r")
    add(switch, "r", vhostpci_devargs=f"{address},function=1")
    assert "the device has no function 1" in error(switch, "r")
    add(switch, "s", vhostpci_devargs=address)
    assert "already in use by 'p'" in error(switch, "s")


def test_deleted_port_lets_go_of_its_device(switch):
    address = switch.ports["b"].address
    for _ in range(3):
        add(switch, "p", peer="b")
        assert error(switch, "p") == ""
        switch.ovs.del_port("p")
    # With vfio-pci, unbinding waits until no process holds the device.
    bind(switch, address)
    add(switch, "p", vhostpci_devargs=address)
    assert error(switch, "p") == ""


def test_unknown_peer_is_told_which_there_are(switch):
    add(switch, "b", peer="b")
    add(switch, "p", peer="nobody")
    said = error(switch, "p")
    assert said.startswith("p: no device for peer 'nobody': ")
    assert f"device {switch.ports['b'].address} has peer 'b'" in said
    assert f'{switch.ports["c"].address}: the peer is "c", not "nobody"' \
        in said
    # The search tried the device of c, and has let go of it.
    assert switch.ovs.appctl("vhostpci/show").count("device 0000:") == 1


def test_address_with_another_peer_is_refused(switch):
    address = switch.ports["b"].address
    add(switch, "p", vhostpci_devargs=f"{address},peer=c")
    assert f'cannot use device {address}: the peer is "b", not "c"' in \
        error(switch, "p")
    switch.ovs.vsctl("set", "Interface", "p",
                     f'options:vhostpci-devargs="{address},peer=b"')
    assert error(switch, "p") == ""


def test_port_waits_for_its_device_to_be_bound(switch):
    address = switch.ports["b"].address
    switch.sh(f"echo {address} > /sys/bus/pci/devices/{address}/driver/unbind")
    add(switch, "p", peer="b")
    assert f"{address} is bound to no kernel driver" in error(switch, "p")
    bind(switch, address)
    wait_until(lambda: error(switch, "p") == "", 20, "the port is there")
    assert device(switch, "p") == address


def test_unplugged_device_takes_its_port_and_brings_it_back(switch):
    address = switch.ports["c"].address
    add(switch, "b", peer="b")
    add(switch, "p", vhostpci_devargs=address)
    assert error(switch, "p") == ""
    resets = switch.ovs.get("b", "link_resets")

    switch.qmp.command("device_del", id="dev-c")
    wait_until(lambda: f"there is no PCI device {address}"
               in error(switch, "p"), 40, "the port lost its device")
    wait_until(lambda: 'id "dev-c"' not in switch.qmp.hmp("info qtree"), 20,
               "QEMU has removed it")
    bus = f"rp{list(switch.ports).index('c')}"
    arguments = {"driver": "vhost-pci-net-pci", "id": "dev-c", "bus": bus,
                 "chardev": "link-c", "peer": "c"}
    if switch.iommu:
        arguments["iommu_platform"] = True
    switch.qmp.command("device_add", **arguments)
    path = f"/sys/bus/pci/devices/{address}"
    wait_until(lambda: switch.run(f"[ -e {path}/vendor ]").code == 0, 20,
               "the guest sees the new device")
    bind(switch, address)
    wait_until(lambda: error(switch, "p") == "", 20, "the port is back")
    assert device(switch, "p") == address
    assert error(switch, "b") == ""
    assert switch.ovs.get("b", "link_resets") == resets
