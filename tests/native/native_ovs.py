# SPDX-License-Identifier: Apache-2.0
"""An Open vSwitch on this machine, and virtio-user peers for its ports.

This needs no root, no hugepages and no kernel devices: DPDK takes ordinary
memory, and the bridge uses OVS's "dummy" datapath.  That is the userspace
datapath, except that its local port needs no tap device.
"""
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# Automake sets top_builddir; the harness reads VHOSTPCI_BUILDDIR.
if "top_builddir" in os.environ:
    os.environ.setdefault("VHOSTPCI_BUILDDIR", os.environ["top_builddir"])
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))

from harness import config  # noqa: E402
from harness.native import HostOvs  # noqa: E402
from harness.procs import Child, wait_until  # noqa: E402
from testpmd import Process, log_dir  # noqa: E402

MEMORY_MIB = 512


class NativeOvs(HostOvs):
    """The OVS.  Its files are in a directory of its own, which close()
    removes."""

    # Settings for DPDK and the switch; derived classes may change them.
    memory = f"--no-huge --legacy-mem -m {MEMORY_MIB}"
    devices = ""  # for DPDK to attach when it is initialized
    other_config = {"per-port-memory": "true", "pmd-maxsleep": "100"}
    all_logs = None  # the parent of its folder of logs; None: log_dir()

    def __init__(self, flavour, pmd=True, name="ovs"):
        # A short path: names of sockets have at most 107 characters.
        self.dir = Path(tempfile.mkdtemp(prefix="vp-"))
        self.logs = (self.all_logs or log_dir()) / name
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.pci = self.dir / "pci"
        self.pci.mkdir()
        self.pmd = config.plugin().resolve() if pmd else None
        self.children = {}
        super().__init__(flavour, self.dir, self.logs)
        bins = {str(path.parent) for path in self.programs.values()}
        self.environment.update({
            "PATH": ":".join([*bins, os.environ.get("PATH", "")]),
            # The test's devices, in place of this machine's.
            "SYSFS_PCI_DEVICES": str(self.pci)})

    def start(self):
        self.start_database(self.dir)
        extra = f"{self.memory} --no-pci --no-telemetry " \
                f"--file-prefix {self.dir.name}"
        if self.pmd:
            extra += f" -d {self.pmd} {self.devices}"
        self.vsctl("--no-wait", "--", "init", "--", "set", "Open_vSwitch", ".",
                   f'other_config:dpdk-extra="{extra}"',
                   "other_config:dpdk-init=true",
                   *(f"other_config:{k}={v}"
                     for k, v in self.other_config.items()))
        self.start_switch()
        self.vsctl("add-br", self.bridge, "--", "set", "bridge", self.bridge,
                   "datapath_type=dummy", "fail-mode=secure")
        return self

    def start_switch(self):
        self._child("ovs-vswitchd", "--enable-dummy",
                    f"unix:{self.dir}/db.sock")
        wait_until(self.control.exists, 30, "ovs-vswitchd is up")

    def kill_switch(self):
        self.children.pop("ovs-vswitchd").kill()
        self.control.unlink()

    @property
    def control(self):
        """The control socket.  Its name is set here, because the default
        contains the program's name, which differs between distributions."""
        return self.dir / "ovs-vswitchd.ctl"

    def appctl(self, *arguments, seconds=20):
        return super().appctl("-t", self.control, *arguments,
                              seconds=seconds)

    def _child(self, name, *arguments):
        self.children[name] = Child(
            [self.programs[name], f"--pidfile={self.dir}/{name}.pid",
             f"--unixctl={self.dir}/{name}.ctl", "--no-chdir", *arguments],
            log=self.logs / f"{name}.log", env=self.environment)

    def switch_runs(self):
        return self.children["ovs-vswitchd"].running()

    def switch_log(self):
        return self.children["ovs-vswitchd"].output()

    def rx_queues(self, port):
        """The port's number of rx queues, shown by Open vSwitch 3.1 or 3.5."""
        shown = re.search(fr"{port} \(vhostpci:.*configured_rx_queues=(\d+)",
                          self.appctl("dpctl/show"))
        return int(shown.group(1) if shown else
                   self.get(port, "status").get("n_rxq", 0))

    def error(self, port):
        """The Interface's error as `ovs-vsctl show` prints it, or ""."""
        lines = self.show().splitlines()
        names = [i for i, line in enumerate(lines)
                 if line.strip() in (f"Interface {port}",
                                     f'Interface "{port}"')]
        assert len(names) == 1, lines
        for line in lines[names[0] + 1:]:
            line = line.strip()
            if line.startswith(("Interface", "Port", "Bridge")):
                break
            if line.startswith("error: "):
                return line[len("error: "):].strip('"').replace('\\"', '"')
        return ""

    def counters(self, port):
        """The port's counters; those in the database would be seconds old."""
        text = self.ofctl("dump-ports", self.bridge, port)
        return {f"{way}_{name}": int(value)
                for way, values in re.findall(r"(rx|tx) +(pkts=.*)", text)
                for name, value in re.findall(r"(pkts|drop|errs)=(\d+)",
                                              values)}

    def monitor(self):
        """ofctl monitor in the background; its output is the Child's."""
        log = self.logs / "monitor.log"
        log.unlink(missing_ok=True)
        # Without 64, the miss-len, the switch would send this client no
        # asynchronous messages.
        child = Child([self.programs["ovs-ofctl"], "-O", "OpenFlow13",
                       "monitor", self.bridge, "64"], log=log,
                      env=self.environment)
        self.children["monitor"] = child
        return child

    def close(self):
        for child in reversed(list(self.children.values())):
            child.end()
        self.children = {}
        shutil.rmtree(self.dir, ignore_errors=True)


def native_ovs(*arguments, **keywords):
    """Make a NativeOvs; skip the test if one of its programs was not built."""
    try:
        return NativeOvs(*arguments, **keywords)
    except config.Missing as missing:
        pytest.skip(str(missing))


class Pci:
    """PCI devices for an OVS, as a folder of files like sysfs's."""

    def __init__(self, ovs):
        self.root = ovs.pci

    def add(self, address, ids=(0x1af4, 0x1077), driver=None, group=None):
        place = self.root / address
        place.mkdir()
        (place / "vendor").write_text(f"0x{ids[0]:04x}\n")
        (place / "device").write_text(f"0x{ids[1]:04x}\n")
        (place / "config").touch()
        if group:
            (place / "iommu_group").symlink_to(f"../groups/{group}")
        if driver:
            self.bind(address, driver)

    def bind(self, address, driver):
        link = self.root / address / "driver"
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../bus/pci/drivers/{driver}")

    def remove(self, address):
        shutil.rmtree(self.root / address)


class Peer(Process):
    """A stock virtio-user front-end in testpmd, for one port's socket."""

    def __init__(self, ovs, socket, name="peer", args="", forward="rxonly",
                 options="", within=()):
        """`within`: words in front of the command, to run it in a container."""
        self.dir = Path(tempfile.mkdtemp(prefix="vp-"))
        command = [
            *within, "stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci",
            "--no-telemetry", "--lcores", "0@0,1@1",
            f"--file-prefix={self.dir.name}",
            f"--vdev=net_virtio_user0,path={socket}{options}", "--", "-i",
            "--total-num-mbufs=4096", f"--forward-mode={forward}",
            *shlex.split(args)]
        self.start_process(name, command, ovs.logs / f"{name}.log")

    def _counter(self, name):
        # The port's statistics; "stop" would show those of one run only.
        return int(re.search(rf"NIC statistics.*?{name}: (\d+)",
                             self.said("show port stats 0"), re.S)[1])

    def transmitted(self):
        """Packets that the front-end has put into its rings."""
        return self._counter("TX-packets")

    def received(self):
        """Packets that the front-end has taken from its rings."""
        return self._counter("RX-packets")

    def kill(self):
        super().kill()
        shutil.rmtree(self.dir, ignore_errors=True)
