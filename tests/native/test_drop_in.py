# SPDX-License-Identifier: Apache-2.0
"""vhostpci socket ports of a host's Open vSwitch, used in the same ways as
dpdkvhostuser and dpdkvhostuserclient ports: with both socket roles, with peers
and a switch that die and come back, and with containers.
"""
import os
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from native_ovs import Peer, native_ovs, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qtest"))
from frontend import NET_SET_MTU, SEND_RARP, Frontend  # noqa: E402

LONG = "/" + "x" * 107


@pytest.fixture
def ovs():
    switch = native_ovs("ours", name="drop-in")
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


def add(switch, name, role="server", more=""):
    """Add a port; returns its socket's path."""
    path = switch.dir / f"{name}.sock"
    client = ",client=1" if role == "client" else ""
    switch.add_port(name, "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_{name},path={path}{client}{more}"})
    assert switch.error(name) == ""
    if role == "server":
        wait_until(path.exists, 10, f"{path} is there")
    return path


def peer_of(role):
    """The options of the front-end for a port with @role."""
    return ",server=1" if role == "client" else ""


def flows(switch, port):
    """Wait until 1000 more packets have left through @port."""
    before = switch.counters(port)["tx_pkts"]
    wait_until(lambda: switch.counters(port)["tx_pkts"] > before + 1000, 20,
               f"packets leave through {port}")


def start(peer):
    peer.command("set burst tx delay 100 retry 0")
    peer.command("start")


def restart(switch):
    """Start the switch, and wait until it answers.  Columns in the database do
    not show that: they may be those of the killed switch."""
    switch.start_switch()

    def answers():
        try:
            return switch.counters("a")
        except AssertionError:
            return None
    wait_until(answers, 30, "the bridge is back")


@pytest.mark.parametrize("role", ["server", "client"])
def test_peers_die_and_return_under_traffic(ovs, peers, role):
    """A peer dies and returns: its port and flow stay, and so does the other
    peer.  Then the other peer does the same."""
    sockets = {name: add(ovs, name, role) for name in ("a", "b")}
    ovs.add_flow("in_port=a,actions=b")
    receiver = Peer(ovs, sockets["b"], "b", options=peer_of(role))
    peers.append(receiver)
    ovs.wait_link_up("b")
    start(receiver)
    for round_ in range(4):
        sender = Peer(ovs, sockets["a"], f"a{round_}", forward="txonly",
                      options=peer_of(role))
        peers.append(sender)
        ovs.wait_link_up("a")
        start(sender)
        flows(ovs, "b")
        if round_ == 1:
            # The receiver, too, dies and returns, while packets come for it.
            receiver.kill()
            ovs.wait_interface("b", "link_state", "down")
            if role == "client":
                sockets["b"].unlink()
            receiver = Peer(ovs, sockets["b"], "b-again",
                            options=peer_of(role))
            peers.append(receiver)
            ovs.wait_link_up("b")
            start(receiver)
            flows(ovs, "b")
        sender.kill()
        ovs.wait_interface("a", "link_state", "down")
        if role == "client":
            sockets["a"].unlink()
    assert ovs.switch_runs()
    assert ovs.get("a", "link_resets") >= 7


def test_switch_that_is_killed_reconnects_to_its_peers(ovs, peers):
    """With client=1 the front-ends listen; the test does not restart them."""
    paths = [add(ovs, name, "client") for name in ("a", "b")]
    ovs.add_flow("in_port=a,actions=b")
    sender, receiver = (
        Peer(ovs, path, name, forward=mode, options=",server=1")
        for path, name, mode in zip(paths, "ab", ("txonly", "rxonly")))
    peers += [sender, receiver]
    for port in "ab":
        ovs.wait_link_up(port)
    start(receiver)
    start(sender)
    for _ in range(3):
        flows(ovs, "b")
        ovs.kill_switch()
        restart(ovs)
        ovs.add_flow("in_port=a,actions=b")
    flows(ovs, "b")


def test_socket_of_a_switch_that_was_killed_is_taken_over(ovs, peers):
    path = add(ovs, "a")
    ovs.kill_switch()
    assert path.exists(), "nobody was there to remove it"
    # The new switch replaces a socket at which nobody listens.
    restart(ovs)
    assert ovs.error("a") == ""
    peers.append(Peer(ovs, path))
    ovs.wait_link_up("a")


@pytest.mark.parametrize("role", ["server", "client"])
def test_port_that_is_deleted_and_added_again(ovs, peers, role):
    path = add(ovs, "a", role)
    for round_ in range(3):
        if round_ == 0 or role == "server":
            peers.append(Peer(ovs, path, f"a{round_}", options=peer_of(role)))
        ovs.wait_link_up("a")
        ovs.del_port("a")
        if role == "server":
            wait_until(lambda: not path.exists(), 5, "the socket is gone")
        assert add(ovs, "a", role) == path
    if role == "client":
        ovs.wait_link_up("a")


WRONG_ARGUMENTS = [
    ("queues=2", "argument path is missing"),
    ("path=", "empty, or longer than 107 bytes"),
    (f"path={LONG}", "empty, or longer than 107 bytes"),
    ("path=/nowhere/at/all", "cannot listen: No such file or directory"),
    ("path=/s,queues=31", "queues=31: expected a number up to 30"),
    ("path=/s,queues=0", "queues=0: at least 1 is needed"),
    ("path=/s,client=2", "client=2: expected a number up to 1"),
    ("path=/s,max-mem=0", "max-mem=0: at least 1 is needed"),
    ("path=/s,sealed=no", "sealed=no: expected a number up to 1"),
    (f"path=/s,peer={'p' * 64}", "longer than 63 bytes"),
    ("path=/s,speed=9", "bad arguments: path=/s,speed=9"),
]


def test_each_wrong_argument_is_named_in_the_error_column(ovs):
    for number, (args, sentence) in enumerate(WRONG_ARGUMENTS):
        port = f"p{number}"
        ovs.add_port(port, "vhostpci", options={
            "vhostpci-devargs": f"net_vpci_{port},{args}"})
        error = ovs.error(port)
        assert f"cannot use device net_vpci_{port}: " in error
        assert sentence in error
        ovs.del_port(port)
    # The driver removes neither a file that is not a socket,
    file = ovs.dir / "file"
    file.write_text("somebody's")
    ovs.add_port("f", "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_f,path={file}"})
    assert "cannot listen: it exists and is not a socket" in ovs.error("f")
    ovs.del_port("f")
    assert file.read_text() == "somebody's"
    # nor a socket at which another one listens.
    path = add(ovs, "a")
    ovs.add_port("b", "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_b,path={path}"})
    assert "cannot listen: Address already in use" in ovs.error("b")
    assert ovs.error("a") == ""


def refused(switch, path, reason):
    """Add a port that cannot listen at @path; check its error."""
    switch.add_port("a", "vhostpci", options={
        "vhostpci-devargs": f"net_vpci_a,path={path}"})
    assert f"{path}: cannot listen: {reason}" in switch.error("a")


def serves(switch, path, peers):
    """Wait until the port, without a new command, listens at its socket; then
    connect a peer."""
    wait_until(lambda: switch.error("a") == "", 60, "the port tried again")
    peers.append(Peer(switch, path))
    switch.wait_link_up("a")


def test_port_whose_directory_is_not_there_yet_tries_again(ovs, peers):
    path = ovs.dir / "later" / "a.sock"
    refused(ovs, path, "No such file or directory")
    path.parent.mkdir()
    serves(ovs, path, peers)


def test_port_whose_address_is_in_use_tries_again(ovs, peers):
    """The file system does not show that the other listener has ended: the port
    has to try."""
    path = ovs.dir / "a.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        refused(ovs, path, "Address already in use")
    assert path.exists()
    serves(ovs, path, peers)


def test_tries_for_a_socket_grow_rare(ovs):
    """The port tries after 1, 2, 4 seconds and so on, to spare the log."""
    path = ovs.dir / "later" / "a.sock"

    def tries():
        return ovs.switch_log().count("a: driver net_vpci cannot use")
    before = time.monotonic()
    refused(ovs, path, "No such file or directory")
    wait_until(lambda: tries() >= 4, 60, "a fourth try")
    assert time.monotonic() - before > 6


def test_mtu_and_announcement_of_a_peer_reach_the_switch(ovs):
    path = add(ovs, "a")
    frontend = Frontend(path)
    try:
        frontend.start()
        ovs.wait_link_up("a")
        assert frontend.acked(NET_SET_MTU, struct.pack("<Q", 9000)) == 0
        ovs.wait_interface("a", "status",
                           lambda s: s.get("peer-mtu") == "9000")
        # The switch receives the announcement as a packet from the peer, and so
        # can learn the peer's new place.
        ovs.add_flow("in_port=a,dl_src=52:54:00:11:22:33,actions=drop")
        mac = bytes.fromhex("525400112233")
        assert frontend.acked(SEND_RARP, mac + b"\0\0") == 0
        wait_until(lambda: re.search(
            r"n_packets=1,.*52:54:00:11:22:33",
            ovs.ofctl("dump-flows", ovs.bridge)), 10,
            "the announcement is received")
    finally:
        frontend.close()


def container(ovs):
    """Words in front of a command, to run it as a container runtime does, in
    new namespaces of networks, mounts and processes.  The sockets are in
    /mnt."""
    if os.geteuid():
        pytest.skip("only root can make namespaces")
    command = ["unshare", "--net", "--mount", "--pid", "--fork",
               "--kill-child", "--mount-proc", "sh", "-c",
               f'mount --bind {ovs.dir} /mnt && exec "$@"', "sh"]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this machine lets us make no namespaces")
    return command


def test_containers_with_virtio_user_peers(ovs, peers):
    paths = [add(ovs, name) for name in ("a", "b")]
    ovs.add_flow("in_port=a,actions=b")
    ovs.add_flow("in_port=b,actions=a")
    for path, mode in zip(paths, ("txonly", "rxonly")):
        peers.append(Peer(ovs, f"/mnt/{path.name}", f"container-{path.stem}",
                          forward=mode, within=container(ovs)))
        ovs.wait_link_up(path.stem)
    start(peers[1])
    start(peers[0])
    flows(ovs, "b")
    ovs.wait_interface("a", "status", lambda s: s["violations"] == "0")
