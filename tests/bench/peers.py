# SPDX-License-Identifier: Apache-2.0
"""The peers: stock virtio-user front-ends in one testpmd, a pair for each kind
of port, all on one core.  Packets put in once circulate for ever."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))

from switch import LOGS, PEER_CPU  # noqa: E402
from testpmd import Testpmd  # noqa: E402

RING = 1024
BURST = 32
F_MRG_RXBUF, F_IN_ORDER, F_RING_PACKED = 15, 35, 34

# {64: 7, ...}: the usual mix, in bursts of one size.
IMIX = {64: 7, 594: 4, 1514: 1}


class NotNegotiated(Exception):
    """The two sides did not agree on what was to be measured."""


class Peers(Testpmd):
    logs = LOGS
    interval = 0.005
    lcores = f"0@{PEER_CPU},1@{PEER_CPU}"

    def __init__(self, switch, packed, mergeable, huge, name):
        self.packed, self.mergeable = packed, mergeable
        self.ports, vdevs = {}, []
        for kind in switch.kinds:
            self.ports[kind] = (len(vdevs), len(vdevs) + 1)
            for side in (0, 1):
                path = switch.socket(kind, side)
                # Who listens: the vhostpci port by default, but not vhost's
                # client; the socket of an earlier peer is in its way.
                server = ",server=1" if kind != "vhostpci" else ""
                if server:
                    path.unlink(missing_ok=True)
                vdevs.append(f"net_virtio_user{len(vdevs)},path={path}{server}"
                             f",queue_size={RING},packed_vq={int(packed)}"
                             f",mrg_rxbuf={int(mergeable)}")
        super().__init__(
            name, vdevs, "--nb-cores=1 --no-flush-rx --total-num-mbufs=32768",
            "--log-level=pmd.net.virtio.init:debug",
            "-m 256 --single-file-segments" if huge
            else "--no-huge --single-file-segments -m 256")
        for ports in self.ports.values():
            for port in ports:
                self.wait_link(True, port)

    def paths(self, kind):
        """What the front-end says of its receive paths, for the record."""
        return [re.findall(rf"virtio: (using .*?) Rx path on port {port}\b",
                           self.child.output())[-1]
                for port in self.ports[kind]]

    def check_layout(self, kind):
        """A layout that was not agreed on must not be measured as another."""
        for path in self.paths(kind):
            if ("packed" in path) != self.packed:
                raise NotNegotiated(f"packed={int(self.packed)} was asked for, "
                                    f"and the front-end is {path}")

    def select(self, kind):
        self.command(f"set portlist {','.join(map(str, self.ports[kind]))}")

    def go(self, how="start"):
        self.ask(how, r"packet forwarding packets/burst|packets/burst=")

    def halt(self):
        """Returns the packets forwarded and those dropped."""
        text = self.ask("stop", r"Accumulated.*Done\.").group(0)
        return (int(re.search(r"RX-packets: (\d+)", text)[1]),
                int(re.search(r"TX-dropped: (\d+)", text)[1]))

    def fill(self, kind, size, bursts):
        """Take out what circulates in the kind's pair, and put in anew."""
        self.select(kind)
        self.command("set flush_rx on")
        self.go()
        self.halt()
        self.command("set flush_rx off")
        parts = {size: bursts} if size != "imix" else {
            s: max(1, bursts * share // sum(IMIX.values()))
            for s, share in IMIX.items()}
        self.command("set fwd io")
        for part, count in parts.items():
            self.command(f"set txpkts {part}")
            self.go(f"start tx_first {count}")
            self.halt()


