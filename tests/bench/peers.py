# SPDX-License-Identifier: Apache-2.0
"""The peers: stock virtio-user front-ends in one testpmd on one core, a pair of
front-ends for each kind of port.  Packets are put in once, and circulate for
ever."""
import re
import sys
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))

from switch import LOGS, PEER_CPU  # noqa: E402
from testpmd import Testpmd  # noqa: E402

RING = 1024
BURST = 32

# The usual mix: {size: number of bursts}.
IMIX = {64: 7, 594: 4, 1514: 1}

# The layout of the rings between peers and switch.
Layout = namedtuple("Layout", "packed mergeable")


class NotNegotiated(Exception):
    """Front-end and back-end did not negotiate the layout of the case."""


def vdevs_for(switch, layout):
    """{kind: arguments of two virtio-user devices}"""
    found = {}
    for kind in switch.kinds:
        found[kind] = []
        for side in (0, 1):
            path, server = switch.socket(kind, side), ""
            if not kind.startswith("vhostpci"):
                server = ",server=1"
                # An earlier peer's socket may still exist.
                path.unlink(missing_ok=True)
            found[kind].append(
                f"net_virtio_user{2 * len(found) - 2 + side},path={path}{server}"
                f",queue_size={RING},packed_vq={int(layout.packed)}"
                f",mrg_rxbuf={int(layout.mergeable)}")
    return found


def check_front_end(log, ports, layout):
    """The receive path of each port, from the front-end's log.  Raises
    NotNegotiated if a path does not belong to the layout: then the bench would
    measure another layout under this one's name."""
    paths = [re.findall(rf"virtio: using (.*?) Rx path on port {port}\b", log)[-1]
             for port in ports]
    for path in paths:
        # The in-order path of split rings serves both kinds of buffers, and its
        # name contains neither.
        if ("packed" in path) != layout.packed or (
                "mergeable" in path) > layout.mergeable or (
                    "standard" in path and layout.mergeable):
            raise NotNegotiated(
                f"packed={int(layout.packed)}, mrg_rxbuf={int(layout.mergeable)} "
                f"were asked for, and the front-end uses: {path}")
    return paths


class Peers(Testpmd):
    logs = LOGS
    interval = 0.005
    lcores = f"0@{PEER_CPU},1@{PEER_CPU}"

    def __init__(self, switch, layout, huge, name):
        self.layout = layout
        vdevs = vdevs_for(switch, layout)
        self.ports = {kind: (2 * i, 2 * i + 1) for i, kind in enumerate(vdevs)}
        super().__init__(
            name, [vdev for pair in vdevs.values() for vdev in pair],
            "--nb-cores=1 --no-flush-rx --total-num-mbufs=32768",
            "--log-level=pmd.net.virtio.init:debug",
            "-m 256 --single-file-segments" if huge
            else "--no-huge --single-file-segments -m 256")
        for ports in self.ports.values():
            for port in ports:
                self.wait_link(True, port)

    def check_layout(self, kind):
        return check_front_end(self.child.output(), self.ports[kind], self.layout)

    def select(self, kind):
        self.command(f"set portlist {','.join(map(str, self.ports[kind]))}")

    def go(self, how="start"):
        self.ask(how, r"packet forwarding packets/burst|packets/burst=")

    def halt(self):
        """Stop forwarding; returns the numbers of forwarded and of dropped
        packets."""
        text = self.ask("stop", r"Accumulated.*Done\.").group(0)
        return (int(re.search(r"RX-packets: (\d+)", text)[1]),
                int(re.search(r"TX-dropped: (\d+)", text)[1]))

    def fill(self, kind, size, bursts):
        """Remove the packets that circulate in the kind's pair of ports, and
        put new ones in."""
        self.select(kind)
        self.command("set flush_rx on")
        self.go()
        self.halt()
        self.command("set flush_rx off")
        parts = IMIX if size == "imix" else {size: bursts}
        self.command("set fwd io")
        for part, count in parts.items():
            self.command(f"set txpkts {part}")
            self.go(f"start tx_first {count}")
            self.halt()


