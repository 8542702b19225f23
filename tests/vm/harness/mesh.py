# SPDX-License-Identifier: Apache-2.0
"""VMs that are switches and peers of each other.  vhost-pci-topology reads
their description, and prints QEMU's arguments and the commands for the guests;
this module starts QEMU with these arguments, and runs these commands.

    with Mesh("name", images, path) as mesh:
        mesh.up()
        mesh.control()
        mesh.set_up()
        mesh["a"].ping(mesh["b"])
"""
import itertools
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from . import config
from .lan import Lan
from .ovs import GuestOvs, OTHER_CONFIG
from .procs import Child, wait_until
from .topology import Topology
from .vm import Vm

PORT_HUGEPAGES, NIC_HUGEPAGES = 32, 48  # of 2 MiB, as in vhost-pci-topology
TOOL = config.TOP / "topology" / "vhost-pci-topology"
CONTROLLER = config.TOP / "examples" / "controller" / "mesh_controller.py"
CHAIN_RULE = re.compile(
    r'n_packets=(\d+),.*\bin_port="?([\w-]+)"?,.*\bnw_dst=([\d.]+)')
CONTROLLER_PORT, DATABASE_PORT, CONTROL_PORT = 6653, 6640, 6641


def topology_tool():
    """Import the program vhost-pci-topology as a module."""
    sys.dont_write_bytecode = True
    loader = SourceFileLoader("vhost_pci_topology", str(TOOL))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class MeshVm(Vm):
    """One VM of a description.  Its commands run on the side of its switch;
    reaches(), ping() and iperf3() run on the side of its workload."""

    def __init__(self, plan, vm, lan, **options):
        self.plan, self.vm, self.lan = plan, vm, lan
        self.address = vm.workload.split("/")[0]
        self.underlay = vm.underlay
        self.serves = [link.user.name for link in vm.serves]
        pages = (PORT_HUGEPAGES * max(1, len(vm.serves))
                 + NIC_HUGEPAGES * len(vm.uses) * (vm.nic == "dpdk"))
        super().__init__(
            vm.name, memory_mb=vm.memory >> 20, cpus=vm.cpus,
            shared_memory=bool(vm.uses),
            append=f"hugepages={pages} ipv6.disable=1",
            arguments=[*itertools.chain.from_iterable(plan.devices(vm)),
                       *lan.arguments(vm.number)],
            **options)
        self.ovs = GuestOvs(self)

    def command_line(self):
        for link in self.vm.serves:  # a killed QEMU leaves its sockets
            path = Path(self.plan.path(link))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        return self.lan.within + super().command_line()

    def set_up(self):
        """Start Open vSwitch, reachable through the management network; then
        run the commands that vhost-pci-topology prints for this VM."""
        self.sh(" && ".join(self.lan.commands(self.vm.number)))
        self.ovs.start_database()
        self.ovs.appctl("-t", "ovsdb-server", "ovsdb-server/add-remote",
                        f"ptcp:{DATABASE_PORT}")
        settings = {**OTHER_CONFIG, "pmd-cpu-mask": "0x2"}
        self.ovs.vsctl("--no-wait", "--", "init", "--", "set", "Open_vSwitch",
                       ".", *(f"other_config:{k}={v}"
                              for k, v in settings.items()))
        self.ovs.start_switch()
        self.start_command(
            f"exec unixport {CONTROL_PORT} "
            "/run/openvswitch/ovs-vswitchd.$(cat "
            "/run/openvswitch/ovs-vswitchd.pid).ctl")
        for command in self.plan.guest(self.vm):
            # In dash: busybox's shell would run busybox's ip, which does not
            # know network namespaces by name.
            done = self.run(["dash", "-c", command], 60)
            if done.code != 0 or "rror" in done.stderr:
                raise AssertionError(f"{self.name}: {command}: {done}")
        return self

    def workload(self, command):
        """The command line that runs `command` on the workload's side."""
        return f"/usr/bin/ip netns exec work {command}"

    def wait_ports(self, names=None):
        self.ovs.wait_link_up(*(self.serves if names is None else names))

    def chained(self):
        """{(port, IP address): packets} as the rules of chains count them.
        One ovs-ofctl asks for all rules, because its start takes most of the
        time."""
        counts = {}
        for count, port, address in CHAIN_RULE.findall(self.ovs.ofctl(
                "--names", "dump-flows", "br0", "table=0,ip")):
            place = port, address
            counts[place] = counts.get(place, 0) + int(count)
        return counts

    def reaches(self, other):
        """Ping once, from workload to workload; returns whether it was
        answered."""
        return self.run(self.workload(f"ping -c 1 -W 5 {other.address}"),
                        15).code == 0

    def ping(self, other, count=3):
        """Ping `count` times; all must be answered; returns the mean in ms."""
        done = self.run(self.workload(
            f"ping -c {count} -i 0.2 -W 5 {other.address}"), 30)
        match = re.search(r"(\d+) packets received", done.stdout)
        if not match or int(match[1]) != count:
            raise AssertionError(f"ping {self.name} -> {other.name}: {done}")
        return float(re.search(r"= [\d.]+/([\d.]+)/", done.stdout)[1])

    def iperf3(self, other, seconds=2):
        """Send by TCP; returns the received bits per second."""
        listener = other.start_command(other.workload(
            "iperf3 -s -1 --forceflush"))
        listener.wait_output("listening", 20)
        done = self.run(self.workload(
            f"iperf3 -c {other.address} -t {seconds} -f k "
            "--connect-timeout 10000"), seconds + 60).check()
        listener.wait(20)
        return 1000 * float(re.search(
            r"([\d.]+) Kbits/sec +receiver", done.stdout)[1])


class Mesh(Topology):
    """All VMs of a description."""

    def __init__(self, name, images, path, logdir=None, image=None):
        super().__init__(name, images, logdir)
        self.path, self.plan = path, topology_tool().load(path)
        self.plan.sockets = str(self.rundir)
        self.plan.accelerator = "kvm" if config.is_kvm() else "tcg"
        self.lan = Lan()
        self.closers.append(self.lan.close)
        self.plan.controller = f"tcp:{self.lan.host}:{CONTROLLER_PORT}"
        for vm in self.plan.vms.values():
            ours = bool(vm.serves)
            self._add(MeshVm(
                self.plan, vm, self.lan, rundir=self.rundir, logdir=self.logdir,
                qemu=config.our_qemu() if ours else config.stock_qemu(),
                image=image or images.mesh()))

    def __getitem__(self, name):
        return self.vms[name]

    def up(self):
        """Start all and wait until they run."""
        for vm in self.vms.values():
            vm.start()
        for vm in self.vms.values():
            vm.ready()
        return self

    def set_up(self):
        """Set up all VMs at once: most of the time each one only waits for its
        own Open vSwitch."""
        self.each(MeshVm.set_up)

    def each(self, function):
        return self._all(function, self.vms.values())

    @staticmethod
    def _all(function, items):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(function, items))

    def control(self):
        """Start the sample controller, to which all switches connect."""
        chains, settings = (self.rundir / name for name
                            in ("chains.json", "controller.conf"))
        chains.write_text(json.dumps(self.plan.controller_chains()))
        settings.write_text(
            f"[DEFAULT]\nofp_tcp_listen_port = {CONTROLLER_PORT}\n"
            f"[mesh]\nchains = {chains}\n")
        child = Child([*self.lan.within, config.program("osken-manager"),
                       "--config-file", settings, CONTROLLER],
                      log=self.logdir / "controller.log",
                      env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.closers.append(child.end)
        return child

    def live(self, count=1, seconds=3):
        """Run vhost-pci-topology --live; returns exit status and output."""
        words = [sys.executable, TOOL, self.path, "--live", "--count",
                 str(count), "--interval", str(seconds), "--svg",
                 self.logdir / "live.svg"]
        for vm in self.vms.values():
            at = f"{vm.name}=tcp:{self.lan.address(vm.vm.number)}"
            words += ["--ovsdb", f"{at}:{DATABASE_PORT}",
                      "--unixctl", f"{at}:{CONTROL_PORT}"]
        done = subprocess.run([*self.lan.within, *map(str, words)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120 * config.TIME_SCALE, check=False)
        return done.returncode, done.stdout

    def through(self, names):
        """How many packets a chain's rules passed on in each VM of `names`,
        which has the order of the chain; then the same for the way back."""
        tables = dict(zip(names, self._all(
            lambda name: self.vms[name].chained(), names)))
        return [tables[at].get((before, self.vms[way[-1]].address), 0)
                for way in (names, names[::-1])
                for before, at in zip(["work", *way], way)]

    def wait_reached(self, source, target, seconds=40):
        one, other = self.vms[source], self.vms[target]
        wait_until(lambda: one.reaches(other), seconds,
                   f"{source} reaches {target}")
