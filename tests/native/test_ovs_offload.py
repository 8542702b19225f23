# SPDX-License-Identifier: Apache-2.0
"""other_config:userspace-tso-enable and ports of type vhostpci."""
import pytest
from native_ovs import Peer, native_ovs

OFFLOADS = {"csum", "host_tso4", "host_tso6"}
# Devices that DPDK attaches when it starts: {peer's name: arguments}.
ATTACHED = {"large": ",tso=1", "told": ",tso=1,legacy-ol-flags=1",
            "sums": ",csum=1", "plain": ""}


@pytest.fixture(scope="module")
def ovs():
    """An OVS with userspace-tso-enable.  Other tests cannot use this OVS,
    because the option cannot be switched off again."""
    switch = native_ovs("ours", name="offload")
    # DPDK attaches these devices, as it attaches PCI devices of an allow list.
    switch.devices = " ".join(
        f"--vdev net_vpci_{name},path={switch.dir}/{name}.sock,"
        f"peer={name}{args}" for name, args in ATTACHED.items())
    try:
        switch.start()
        switch.vsctl("set", "Open_vSwitch", ".",
                     "other_config:userspace-tso-enable=true")
        yield switch
    finally:
        switch.close()


def features(ovs, name, args=""):
    """The features negotiated by a peer that asks for all transmit
    offloads."""
    path = ovs.dir / f"{name}.sock"
    ovs.add_port(name, "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_{name},path={path}{args}"})
    peer = Peer(ovs, path, name, args="--tx-offloads=0x802c")
    try:
        ovs.wait_link_up(name)
        return set(ovs.wait_interface(
            name, "status", lambda s: s.get("rx-rings") == "1")
            ["peer-feature-names"].split())
    finally:
        peer.close()
        ovs.del_port(name)


def test_peer_is_offered_segmentation(ovs):
    assert OFFLOADS <= features(ovs, "a")
    assert "a: Tx TSO offload is not supported" not in ovs.switch_log()


def test_user_may_say_otherwise(ovs):
    path = ovs.dir / "b.sock"
    ovs.add_port("b", "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_b,path={path},tso=0"})
    peer = Peer(ovs, path, "b")
    try:
        ovs.wait_link_up("b")
        names = ovs.wait_interface(
            "b", "status", lambda s: s.get("rx-rings") == "1")[
                "peer-feature-names"].split()
        assert not OFFLOADS & set(names)
        assert "b: Tx TSO offload is not supported" in ovs.switch_log()
    finally:
        peer.close()
        ovs.del_port("b")


def by_name(name):
    return {"peer": name}


def by_device(name):
    return {"vhostpci-devargs": f"net_vpci_{name}"}


@pytest.mark.parametrize("options", [by_name, by_device])
@pytest.mark.parametrize("name", ATTACHED)
def test_attached_device_that_would_lose_large_packets_is_refused(
        ovs, name, options):
    """dpdk-extra has set the arguments of an attached device, and a port cannot
    change them."""
    ovs.add_port(name, "vhostpci", options=options(name))
    try:
        error = ovs.error(name)
        if name == "large":
            assert (f"{name}: device net_vpci_{name} was attached without "
                    "legacy-ol-flags=1") in error, error
        else:
            assert error == ""
            assert ovs.ofport(name) > 0
    finally:
        ovs.del_port(name)
