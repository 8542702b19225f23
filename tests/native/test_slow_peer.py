# SPDX-License-Identifier: Apache-2.0
"""A peer sends descriptors that are slow to close or to signal.  Open vSwitch
must still answer, and the traffic of other ports must go on, as fast as beside
an honest peer."""
import contextlib
import json
import os
import socket
import statistics
import struct
import sys
import time
from pathlib import Path

import pytest
from native_ovs import native_ovs
from raw_peer import AVAIL, RawPeer
from test_drop_in import add

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qtest"))
from frontend import SET_VRING_CALL, Frontend  # noqa: E402
from machine import SCALE, at_work  # noqa: E402
from test_slow_close import Slow  # noqa: E402
from test_slow_signal import crowd  # noqa: E402

LIMIT = 0.25    # seconds more than beside an honest peer
LASTS = 5       # seconds for each peer
FULL = os.environ.get("VHOSTPCI_FULL")


@pytest.fixture
def ovs():
    switch = native_ovs("ours", name="slow-peer")
    try:
        yield switch.start()
    finally:
        switch.close()


def with_calls(path, gather):
    """A peer that sends without end, and wants a call for each packet.  With
    `gather`, thousands of watches wait at the eventfd of the calls."""
    peer = RawPeer(path)
    struct.pack_into("<H", peer.memory, peer.tx.at + AVAIL, 0)
    with crowd(peer.events[2]) if gather else contextlib.nullcontext():
        while True:
            peer.put(bytes(60))
            peer.send()
            while not peer.sent():
                time.sleep(0.0005)


def honest(path):
    with_calls(path, False)


def slow_to_signal(path):
    with_calls(path, True)


def slow_to_close(path):
    while True:
        slow, front = Slow(), Frontend(path)
        front.send(SET_VRING_CALL, struct.pack("<Q", 0),
                   [front.fd] * 252 + [slow.near.fileno()])
        slow.near.close()
        front.closed_by_device()
        slow.release()
        front.close()


class Answers:
    """Asks what `ovs-appctl version` asks, without a new process each time."""

    def __init__(self, switch):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20 * SCALE)
        self.socket.connect(str(switch.control))

    def ask(self):
        self.socket.sendall(json.dumps(
            {"id": 0, "method": "version", "params": []}).encode())
        assert b"Open vSwitch" in self.socket.recv(4096)


def times(action, seconds):
    all_of_them, end = [], time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        action()
        all_of_them.append(time.monotonic() - begin)
    return all_of_them


def cross(sender, receiver):
    """Send a frame through the switch, and wait until it arrives."""
    sender.put(b"\xff" * 6 + bytes(54))
    sender.send()
    end = time.monotonic() + 20 * SCALE
    while not receiver.receive():
        assert time.monotonic() < end


def test_switch_and_neighbours_do_not_wait_for_a_slow_peer(ovs):
    paths = {name: add(ovs, name) for name in ("a", "b", "bad")}
    ovs.add_flow("in_port=a,actions=b")
    sender, receiver = RawPeer(paths["a"]), RawPeer(paths["b"])
    for port in ("a", "b"):
        ovs.wait_link_up(port)
    cross(sender, receiver)
    answers, worst = Answers(ovs), {}
    lasts = LASTS * (40 if FULL else 1)
    for peer in (honest, slow_to_close, slow_to_signal):
        with at_work(peer, paths["bad"]) as child:
            took = times(
                lambda: (cross(sender, receiver), answers.ask()), lasts)
            worst[peer] = max(took)
            assert child.is_alive()
            # A thread made the slow calls, so no burst had to wait for them.
            assert peer != slow_to_signal or "_calls_aside" in ovs.appctl(
                "vhostpci/show", "bad")
            begin = time.monotonic()
            ovs.del_port("bad")
            gone = time.monotonic() - begin
        assert gone < 2 * SCALE
        add(ovs, "bad")
        print(f"{peer.__name__}: {worst[peer]:.3f} s, median "
              f"{statistics.median(took):.4f} s, del-port {gone:.3f} s")
    for peer in (slow_to_close, slow_to_signal):
        assert worst[peer] < LIMIT * SCALE + worst[honest]
    for peer in (sender, receiver):
        peer.close()
