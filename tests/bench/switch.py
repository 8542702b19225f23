# SPDX-License-Identifier: Apache-2.0
"""The switch under test: an Open vSwitch, or testpmd alone.

A switch has ports of several kinds at once.  A kind is a pair of ports, and its
name begins with the driver's name; packets from one port leave by the other.
`clear` begins a measurement, and `read` ends it: the cycles that the datapath's
thread spent in passes that found packets, and the packets of those passes.
"""
import re
import shutil
import signal
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))

from native_ovs import NativeOvs  # noqa: E402
from testpmd import Testpmd, config, driver_eal  # noqa: E402

LOGS = config.BUILD / "bench" / "log"
SWITCH_CPU, PEER_CPU = 1, 0

# Cycles and packets of passes that found packets; packets that the switch
# dropped.
Reading = namedtuple("Reading", "cycles packets drops")


def devargs(kind, number, path):
    """Arguments for a port of testpmd or bench_ports.  A vhost-user port
    connects to its peer's socket, as in Open vSwitch; a vhostpci port listens,
    its default."""
    if kind.startswith("vhostpci"):
        return f"net_vpci{number},path={path}"
    return f"net_vhost{number},iface={path},client=1"


class OvsSwitch(NativeOvs):
    """Debian's Open vSwitch ("stock") or this project's ("ours"), with its
    datapath on one core."""

    all_logs = LOGS
    other_config = {"pmd-cpu-mask": f"0x{1 << SWITCH_CPU:x}",
                    "dpdk-lcore-mask": f"0x{1 << PEER_CPU:x}"}

    def __init__(self, flavour, kinds, huge, name):
        if huge:
            self.memory = "-m 832 --single-file-segments"
        else:
            # Open vSwitch's default, one pool for all ports, takes 700 MiB.
            self.other_config = {**self.other_config, "per-port-memory": "true"}
        super().__init__(flavour, pmd=flavour == "ours", name=name)
        self.kinds, self.number = kinds, 0

    def start(self):
        super().start()
        for kind in self.kinds:
            self.add_pair(kind)
        return self

    def socket(self, kind, side):
        return self.dir / f"{kind}{side}"

    def add_pair(self, kind):
        for side in (0, 1):
            path = self.socket(kind, side)
            if kind.startswith("vhostpci"):
                self.add_port(f"{kind}{side}", "vhostpci", options={
                    "vhostpci-devargs": devargs(kind, self.number, path)})
                self.number += 1
            else:
                self.add_port(f"{kind}{side}", "dpdkvhostuserclient",
                              options={"vhost-server-path": path})
        self.add_rules(kind)

    def add_rules(self, kind):
        for side in (0, 1):
            self.add_flow(f"in_port={kind}{side},"
                          f"actions=output:{kind}{1 - side}")

    def freeze(self):
        self.children["ovs-vswitchd"].signal(signal.SIGSTOP)

    def thaw(self):
        self.children["ovs-vswitchd"].signal(signal.SIGCONT)

    def select(self, kind):
        """Begin with a kind of port.  Open vSwitch always polls all ports, but
        idle ones cost little."""
        self.kind, self.dropped = kind, self._drops(kind)

    def deselect(self):
        pass

    def clear(self):
        self.appctl("dpif-netdev/pmd-stats-clear")

    def busy(self):
        """Cycles and packets, since clear(), of passes that found packets."""
        text = self.appctl("dpif-netdev/pmd-stats-show")
        text = text[text.index(f"core_id {SWITCH_CPU}:"):]
        found = re.search(
            r"avg processing cycles per packet: [\d.]+ \((\d+)/(\d+)\)", text)
        return [int(n) for n in found.groups()] if found else [0, 0]

    def read(self):
        return Reading(*self.busy(), self._drops(self.kind) - self.dropped)

    def _drops(self, kind):
        return sum(self.counters(f"{kind}{side}")["tx_drop"]
                   for side in (0, 1))


class Alone:
    """A switch that needs neither start nor freezing, because no other switch
    is measured with it."""

    def start(self):
        return self

    def socket(self, kind, side):
        return self.sockets / f"{kind}{side}"

    def freeze(self):
        pass

    thaw = freeze


class PmdSwitch(Alone, Testpmd):
    """testpmd with the drivers under test; one lcore forwards packets."""

    logs = LOGS
    interval = 0.005
    lcores = f"0@{PEER_CPU},1@{SWITCH_CPU}"

    def __init__(self, kinds, huge, name):
        self.sockets = Path(tempfile.mkdtemp(prefix="vp-"))
        self.kinds, self.ports, vdevs = kinds, {}, []
        for kind in kinds:
            self.ports[kind] = (len(vdevs), len(vdevs) + 1)
            for side in (0, 1):
                vdevs.append(devargs(kind, side, self.socket(kind, side)))
        super().__init__(
            name, vdevs, "--nb-cores=1 --no-flush-rx --record-core-cycles "
            "--total-num-mbufs=32768",
            driver_eal().replace("--legacy-mem", ""),
            "-m 256 --single-file-segments" if huge else "--no-huge -m 256")

    def select(self, kind):
        self.command(f"set portlist {','.join(map(str, self.ports[kind]))}")
        self.ask("start", r"packet forwarding packets/burst|packets/burst=")

    def deselect(self):
        self.ask("stop", r"Done\.")

    def clear(self):
        self.said("clear fwd stats all", interval=self.interval)

    def read(self):
        text = self.said("show fwd stats all", interval=self.interval)
        # Without packets, the text has no cycles.  "busy" is DPDK 23's word.
        cycles, packets = (re.findall(
            r"(?:total|busy) cycles=(\d+) / total \S+ packets=(\d+)", text)
            or [(0, 0)])[0]
        return Reading(int(cycles), int(packets),
                       int(re.search(r"TX-dropped: (\d+)", text)[1]))

    def close(self):
        super().close()
        shutil.rmtree(self.sockets, ignore_errors=True)
