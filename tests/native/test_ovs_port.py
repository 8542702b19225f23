# SPDX-License-Identifier: Apache-2.0
"""Ports of type=vhostpci as users see them: options, errors, status, events.

Peers are stock virtio-user front-ends on the driver's socket transport.  A
directory like sysfs's stands for PCI devices, so that the tests can try every
fault of a PCI device on any machine.
"""
import os
import re
import time

import pytest
from native_ovs import Pci, Peer, native_ovs, wait_until
from raw_peer import RawPeer

EMPTY, OTHER, UNBOUND, WRONG, CLOSED, BARE = (
    f"0000:{bus:02x}:00.0" for bus in range(1, 7))


@pytest.fixture(scope="module")
def ovs():
    """One OVS with the driver; each test deletes its ports."""
    switch = native_ovs("ours", name="port")
    try:
        yield switch.start()
    finally:
        switch.close()


@pytest.fixture(autouse=True)
def clean(request):
    """After each test, remove the test's ports and devices; the switch must
    still run."""
    yield
    switch = ("ovs" in request.fixturenames
              and request.getfixturevalue("ovs"))
    if switch:
        assert switch.switch_runs(), switch.switch_log()[-2000:]
        for port in switch.vsctl("list-ports", switch.bridge).split():
            switch.del_port(port)
        for device in list(switch.pci.iterdir()):
            Pci(switch).remove(device.name)


@pytest.fixture
def peers():
    made = []
    yield made
    for peer in made:
        peer.close()


def devices(switch):
    """Add PCI devices: one for each reason why a device cannot be used."""
    pci = Pci(switch)
    pci.add(OTHER, ids=(0x8086, 0x100e), driver="vfio-pci")
    pci.add(UNBOUND)
    pci.add(WRONG, driver="virtio-pci")
    pci.add(CLOSED, driver="vfio-pci", group="vhostpci-test")
    pci.add(BARE, driver="vfio-pci")
    return pci


def add(switch, name, options, **columns):
    switch.add_port(name, "vhostpci", options=options, **columns)


def add_socket(switch, name, **columns):
    """Add a port whose driver listens at a socket; returns its path."""
    path = switch.dir / f"{name}.sock"
    add(switch, name, {"vhostpci-devargs": f"net_vpci_{name},path={path}"},
        **columns)
    assert switch.error(name) == ""
    wait_until(path.exists, 10, f"{path} is there")
    return path


# Each fault has a sentence of its own: (name, options, sentence).

WRONG_OPTIONS = [
    ("missing", {}, "type=vhostpci needs options:vhostpci-devargs"),
    ("both", {"vhostpci-devargs": OTHER, "peer": "a"},
     "options:vhostpci-devargs and options:peer exclude each other"),
    ("no_address", {"vhostpci-devargs": "0000:zz:00.0"},
     "options:vhostpci-devargs=0000:zz:00.0 is neither a PCI address"),
    ("other_vdev", {"vhostpci-devargs": "net_null0"},
     "options:vhostpci-devargs=net_null0 is neither a PCI address"),
    ("no_device", {"vhostpci-devargs": EMPTY},
     f"there is no PCI device {EMPTY}"),
    ("wrong_ids", {"vhostpci-devargs": OTHER},
     f"PCI device {OTHER} is a 8086:100e, not a vhost-pci-net device "
     "(1af4:1077)"),
    ("unbound", {"vhostpci-devargs": UNBOUND},
     f"PCI device {UNBOUND} is bound to no kernel driver; bind it to "
     "vfio-pci or uio_pci_generic"),
    ("wrong_driver", {"vhostpci-devargs": WRONG},
     f"PCI device {WRONG} is bound to kernel driver 'virtio-pci'"),
    ("no_access", {"vhostpci-devargs": CLOSED},
     f"PCI device {CLOSED} cannot be opened: /dev/vfio/vhostpci-test: "
     "No such file or directory"),
    ("no_iommu", {"vhostpci-devargs": BARE},
     f"PCI device {BARE} is bound to vfio-pci but has no IOMMU group"),
    ("peer_comma", {"peer": "a,b"}, "a peer's name has no comma"),
    ("driver_refuses", {"vhostpci-devargs": "net_vpci_x,nonsense=1"},
     "driver net_vpci cannot use device net_vpci_x: "),
]


@pytest.mark.parametrize("options,sentence",
                         [case[1:] for case in WRONG_OPTIONS],
                         ids=[case[0] for case in WRONG_OPTIONS])
def test_wrong_option_has_its_own_sentence(ovs, options, sentence):
    devices(ovs)
    add(ovs, "p", options)
    error = ovs.error("p")
    assert error.startswith("p: ") and sentence in error
    others = [text for _, _, text in WRONG_OPTIONS if text != sentence]
    assert not [text for text in others
                if text in error and text not in sentence]


def test_unknown_option_is_left_alone(ovs):
    path = ovs.dir / "p.sock"
    add(ovs, "p", {"vhostpci-devargs": f"net_vpci_p,path={path}",
                   "color": "green"})
    assert ovs.error("p") == ""
    assert ovs.get("p", "options")["color"] == "green"


def test_device_that_dpdk_cannot_find_says_what_dpdk_says(ovs):
    if os.geteuid():
        pytest.skip("bound to uio_pci_generic; only root gets this far")
    Pci(ovs).add(UNBOUND, driver="uio_pci_generic")
    add(ovs, "p", {"vhostpci-devargs": UNBOUND})
    # The bus is off (--no-pci): EAL's own first error is the cause.
    assert re.search(rf"cannot use device {UNBOUND}: .*{UNBOUND}",
                     ovs.error("p"))


def test_uio_needs_privileges(ovs):
    if not os.geteuid():
        pytest.skip("root may use uio_pci_generic")
    Pci(ovs).add(UNBOUND, driver="uio_pci_generic")
    (ovs.pci / UNBOUND / "config").chmod(0o444)
    add(ovs, "p", {"vhostpci-devargs": UNBOUND})
    assert "only a privileged ovs-vswitchd can use" in ovs.error("p")


def test_driver_that_is_not_loaded_is_said():
    switch = native_ovs("ours", pmd=False, name="no-driver")
    try:
        switch.start()
        for options in {"peer": "a"}, {"vhostpci-devargs": "net_vpci0"}:
            add(switch, "p", options)
            assert "DPDK driver net_vpci is not loaded" in \
                switch.error("p")
            switch.del_port("p")
    finally:
        switch.close()


def test_unknown_peer_in_a_machine_without_devices(ovs):
    add(ovs, "p", {"peer": "nobody"})
    assert ovs.error("p") == ("p: no device for peer 'nobody': this machine "
                              "has no vhost-pci-net device")


def test_device_of_the_other_id_is_one_too(ovs):
    Pci(ovs).add(OTHER, ids=(0x1af4, 0x1055))
    add(ovs, "p", {"vhostpci-devargs": OTHER})
    assert f"PCI device {OTHER} is bound to no kernel driver" in \
        ovs.error("p")


def test_unknown_peer_lists_what_is_wrong_with_each_device(ovs):
    devices(ovs)
    add(ovs, "p", {"peer": "nobody"})
    error = ovs.error("p")
    assert error.startswith("p: no device for peer 'nobody': ")
    for device in UNBOUND, WRONG, CLOSED, BARE:
        assert device in error
    assert OTHER not in error


def test_failed_port_is_tried_again_when_devices_change(ovs):
    pci = Pci(ovs)
    add(ovs, "p", {"vhostpci-devargs": WRONG})
    assert "there is no PCI device" in ovs.error("p")
    pci.add(WRONG, driver="virtio-pci")
    wait_until(lambda: "kernel driver 'virtio-pci'" in ovs.error("p"), 10,
               "the new device is noticed")
    pci.bind(WRONG, "vfio-pci")
    wait_until(lambda: "no IOMMU group" in ovs.error("p"), 10,
               "the new driver is noticed")


def test_failed_port_works_once_its_option_is_right(ovs):
    add(ovs, "p", {"vhostpci-devargs": "bad"})
    assert ovs.error("p")
    path = ovs.dir / "p.sock"
    ovs.vsctl("set", "Interface", "p", "options:vhostpci-devargs="
              f'"net_vpci_p,path={path}"')
    assert ovs.error("p") == ""
    assert ovs.ofport("p") > 0


def test_device_serves_one_port(ovs):
    add_socket(ovs, "a")
    path = ovs.dir / "a.sock"
    add(ovs, "b", {"vhostpci-devargs": f"net_vpci_a,path={path}"})
    assert "already in use by 'a'" in ovs.error("b")
    # b has not taken the device from a.
    assert ovs.error("a") == "" and ovs.ofport("a") > 0


# Peers come, are shown, and go.

def test_status_shows_the_peer(ovs, peers):
    path = add_socket(ovs, "a")
    status = ovs.get("a", "status")
    assert status["peer-connected"] == "false"
    assert status["link-reason"] == "no peer is connected"
    assert status["driver_name"] == "net_vpci"
    assert ovs.get("a", "link_state") == "down"

    peers.append(Peer(ovs, path))
    ovs.wait_link_up("a")
    status = ovs.wait_interface(
        "a", "status", lambda s: s.get("rx-rings") == "1")
    assert status["transport"] == "socket"
    assert status["window"] == "shared memory"
    assert status["tx-rings"] == "1"
    assert int(status["peer-memory"]) >= 128 << 20
    assert int(status["peer-memory-regions"]) >= 1
    assert int(status["peer-features"], 16) & (1 << 32)
    assert "version_1" in status["peer-feature-names"].split()
    assert int(status["ring-size"]) > 0
    assert status["violations"] == status["broken-rings"] == "0"
    assert "broken-rule" not in status


@pytest.mark.parametrize("shared", [False, True])
def test_memory_that_the_guest_does_not_use_is_told(ovs, shared):
    """Like QEMU without share=on, the front-end sends memory of which the guest
    uses only a private copy.  The port tells that."""
    path = add_socket(ovs, "a")
    peer = RawPeer(path, shared=shared)
    words = "does not use the memory that was sent: is it shared (share=on)?"
    before = ovs.switch_log().count(words)
    try:
        ovs.wait_link_up("a")
        # The first kick of each ring comes from the front-end, not the guest.
        peer.kick()
        if not shared:
            wait_until(peer.kicks_are_taken, 20, "the switch has looked")
            assert words not in ovs.appctl("vhostpci/show", "a")
        for _ in range(2):
            peer.kick()
        if shared:
            peer.put(bytes(60))
            peer.send()
            wait_until(peer.sent, 20, "the switch takes it")
            assert "the peer's driver runs" in ovs.appctl("vhostpci/show", "a")
        else:
            wait_until(lambda: words in ovs.appctl("vhostpci/show", "a"), 20,
                       "the port says so")
            wait_until(lambda: words in ovs.get("a", "status")["link-reason"],
                       20, "the status says so")
        for _ in range(3):
            peer.kick()
            ovs.appctl("vhostpci/show", "a")
        assert ovs.switch_log().count(words) == before + (not shared)
    finally:
        peer.close()


def test_show_gives_an_overview(ovs, peers):
    path = add_socket(ovs, "a")
    add_socket(ovs, "b")
    peers.append(Peer(ovs, path))
    ovs.wait_link_up("a")
    text = ovs.appctl("vhostpci/show")
    first, second = text.split("\nb: ")
    assert first.startswith("a: device net_vpci_a, ")
    assert "link: up (the peer's driver runs)" in first
    assert "version_1" in first and "MiB in" in first
    assert "1 rx and 1 tx running" in first
    assert "link: down (no peer is connected)" in second
    assert ovs.appctl("vhostpci/show", "b").startswith("b: ")
    with pytest.raises(AssertionError, match="no vhostpci port is named 'no'"):
        ovs.appctl("vhostpci/show", "no")


def port_status(monitor, state, since):
    """Wait for a PORT_STATUS about port "a"; returns the time at which it was
    found."""
    def seen():
        text = monitor.output()[since:]
        return re.search(rf"OFPT_PORT_STATUS.*: MOD: \d+\(a\):[^O]*?"
                         rf"state: +{state}", text, re.S)
    wait_until(seen, 15, f"PORT_STATUS: a is {state}", interval=0.02)
    return time.monotonic()


def test_controller_hears_of_a_peer_within_a_second(ovs, peers):
    path = add_socket(ovs, "a")
    monitor = ovs.monitor()
    # Change another port until the monitor hears of it: then it listens.
    wait_until(lambda: ovs.ofctl("mod-port", ovs.bridge, ovs.bridge, "up")
               or ovs.ofctl("mod-port", ovs.bridge, ovs.bridge, "down")
               or "PORT_STATUS" in monitor.output(), 5, "the monitor listens")
    for round_ in range(3):
        mark = len(monitor.output())
        peer = Peer(ovs, path, name=f"peer-{round_}")
        peers.append(peer)
        # testpmd prints its prompt after it has started its port, so the peer
        # came a little earlier.
        came = time.monotonic()
        assert port_status(monitor, "LIVE", mark) - came < 1

        mark = len(monitor.output())
        went = time.monotonic()
        peer.kill()
        assert port_status(monitor, "LINK_DOWN", mark) - went < 1
    # The port has kept its number.
    assert ovs.error("a") == "" and ovs.ofport("a") > 0


def test_link_is_noticed_without_link_events(ovs, peers):
    path = ovs.dir / "a.sock"
    add(ovs, "a", {"vhostpci-devargs": f"net_vpci_a,path={path}",
                   "dpdk-lsc-interrupt": "false"})
    wait_until(path.exists, 10, "the driver listens")
    # The words of Open vSwitch 3.1, and of 3.5.
    assert re.search("(lsc_interrupt_mode|dpdk-lsc-interrupt)=false",
                     ovs.appctl("dpctl/show"))
    peers.append(Peer(ovs, path))
    ovs.wait_link_up("a", seconds=4)


def test_peer_name_finds_an_attached_device(ovs, peers):
    path = ovs.dir / "a.sock"
    add(ovs, "a", {"vhostpci-devargs":
                   f"net_vpci_a,path={path},peer=alice"})
    assert ovs.error("a") == ""
    assert ovs.get("a", "status")["peer"] == "alice"
    assert ovs.get("a", "status")["peer-function"] == "0"
    add(ovs, "b", {"peer": "alice"})
    assert "already in use by 'a'" in ovs.error("b")
    add(ovs, "first", {"peer": "alice/0"})
    assert "already in use by 'a'" in ovs.error("first")
    add(ovs, "second", {"peer": "alice/1"})
    assert "no device for peer 'alice'" in ovs.error("second")
    add(ovs, "c", {"vhostpci-devargs": "net_vpci_c,path="
                   f"{ovs.dir}/c.sock,peer=alice"})
    ovs.vsctl("set", "Interface", "b", "external_ids:again=1")
    wait_until(lambda: "peer name 'alice' is ambiguous" in ovs.error("b"), 10,
               "two devices have the name")


def test_queues_and_mtu_are_the_base_classs(ovs):
    path = ovs.dir / "a.sock"
    add(ovs, "a", {"vhostpci-devargs":
                   f"net_vpci_a,path={path},queues=2", "n_rxq": 2},
        mtu_request=9000)
    assert ovs.error("a") == ""
    ovs.wait_interface("a", "mtu", 9000)
    wait_until(lambda: ovs.rx_queues("a") == 2, 20, "they are shown")


def test_ports_come_and_go_beside_traffic_that_loses_nothing(ovs, peers):
    path = add_socket(ovs, "stays")
    peer = Peer(ovs, path, forward="io")
    peers.append(peer)
    ovs.wait_link_up("stays")
    resets = ovs.get("stays", "link_resets")
    # The switch sends each packet back, and the peer sends it again.
    ovs.add_flow("in_port=stays,actions=in_port")
    peer.command("start tx_first 1")
    wait_until(lambda: ovs.counters("stays")["rx_pkts"] > 1000, 10,
               "packets circulate")
    for _ in range(20):
        add_socket(ovs, "a")
        ovs.del_port("a")
        wait_until(lambda: not (ovs.dir / "a.sock").exists(), 5,
                   "the socket is gone with its port")
    before = ovs.counters("stays")["rx_pkts"]
    wait_until(lambda: ovs.counters("stays")["rx_pkts"] > before + 1000, 10,
               "packets still circulate")

    peer.command("stop")
    sent = wait_until(lambda: peer.transmitted() == peer.transmitted()
                      and peer.transmitted(), 10, "the peer has stopped")
    wait_until(lambda: ovs.counters("stays")["rx_pkts"] == sent, 5,
               "all that was sent was received")
    counted = ovs.counters("stays")
    assert counted["tx_pkts"] == sent
    assert counted["rx_drop"] == counted["tx_drop"] == 0
    assert ovs.get("stays", "link_resets") == resets


def test_other_device_for_the_same_port(ovs, peers):
    add_socket(ovs, "a")
    other = ovs.dir / "other.sock"
    ovs.vsctl("set", "Interface", "a", "options:vhostpci-devargs="
              f'"net_vpci_other,path={other}"')
    assert ovs.error("a") == ""
    peers.append(Peer(ovs, other))
    ovs.wait_link_up("a")
    assert not (ovs.dir / "a.sock").exists()


def test_switch_that_restarts_finds_its_ports_again(ovs, peers):
    path = add_socket(ovs, "a")
    ovs.kill_switch()
    path.unlink(missing_ok=True)
    ovs.start_switch()
    wait_until(path.exists, 30, "the driver listens again")
    peers.append(Peer(ovs, path))
    ovs.wait_link_up("a")


def test_stock_ovs_with_a_plain_dpdk_port(peers):
    """The driver works under Debian's own, unpatched ovs-vswitchd."""
    switch = native_ovs("stock", name="stock")
    try:
        switch.start()
        path = switch.dir / "a.sock"
        switch.add_port("a", "dpdk", options={
            "dpdk-devargs": f"net_vpci0,path={path}",
            "dpdk-lsc-interrupt": "true"})
        assert switch.error("a") == ""
        wait_until(path.exists, 10, "the driver listens")
        peers.append(Peer(switch, path))
        switch.wait_link_up("a")
        assert switch.get("a", "status")["driver_name"] == "net_vpci"
    finally:
        switch.close()
