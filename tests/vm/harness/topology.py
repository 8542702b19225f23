# SPDX-License-Identifier: Apache-2.0
"""A switch VM, peer VMs, and the vhost-user socket between each pair.

    with Topology("name", images) as net:
        sw = net.switch(["a", "b"])
        a, b = net.peer("a"), net.peer("b")
        net.up()
"""
import shutil
import tempfile
from pathlib import Path

from . import config
from .ovs import GuestOvs
from .vm import Vm

HUGEPAGES = 96  # of 2 MiB: two ports are promised to fit in 192 MiB
PORT_ID = ("0x1af4", "0x1077")


class Peer(Vm):
    """A tenant's VM: stock QEMU, stock kernel, one virtio-net device."""

    interface = "eth0"

    def __init__(self, name, number, link, *, queues=1, mtu=None,
                 netdev="", device="", **options):
        self.link, self.queues, self.mtu = Path(link), queues, mtu
        self.address = f"10.0.0.{number}"
        self.mac = f"52:54:00:00:00:{number:02x}"
        nic = f"virtio-net-pci,netdev=n,mac={self.mac}"
        if not config.is_kvm():
            nic += ",vectors=0"  # emulating, QEMU 7.2 crashes with MSI-X
        if queues > 1:
            nic += ",mq=on"
            netdev = f",queues={queues}" + netdev
            options.setdefault("cpus", queues)
        if mtu:
            nic += f",host_mtu={mtu}"
        # No IPv6: the flows under test would count its own messages, too.
        super().__init__(
            name, append="ipv6.disable=1", shared_memory=True,
            arguments=["-chardev", f"socket,id=link,path={link},reconnect=1",
                       "-netdev", f"vhost-user,id=n,chardev=link{netdev}",
                       "-device", nic + device], **options)

    def ready(self, seconds=90):
        super().ready(seconds)
        self.sh(f"ip addr add {self.address}/24 dev {self.interface} && "
                f"ip link set {self.interface} up")
        return self

    def counters(self):
        """The guest's own interface counters."""
        names = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes",
                 "rx_errors", "rx_dropped")
        base = f"/sys/class/net/{self.interface}/statistics"
        values = self.sh("cd " + base + " && cat " + " ".join(names)).split()
        return dict(zip(names, map(int, values)))


class Port:
    """One vhost-pci device of the switch VM."""

    def __init__(self, name, link, options=""):
        self.name, self.link, self.options = name, Path(link), options
        self.address = None  # PCI address in the guest; bind_ports() finds it


class Switch(Vm):
    """The VM with the devices and OVS.  `driver`: uio_pci_generic or vfio-pci.
    `kind`: the type of OVS's ports, "vhostpci" or "dpdk"."""

    def __init__(self, name, ports, *, driver="uio_pci_generic",
                 kind="vhostpci", hugepages=HUGEPAGES, **options):
        self.ports = {p.name: p for p in ports}
        self.driver, self.kind = driver, kind
        self.iommu = driver == "vfio-pci"
        machine = "q35"
        arguments = []
        append = f"hugepages={hugepages} "
        if self.iommu:
            machine += ",kernel-irqchip=split" if config.is_kvm() else ""
            arguments += ["-device", "intel-iommu,intremap=on"]
            append += "intel_iommu=on"
        for number, port in enumerate(ports):
            arguments += self._port_arguments(number, port)
        options.setdefault("cpus", 2)
        options.setdefault("memory_mb", 448)
        super().__init__(name, machine=machine, append=append,
                         arguments=arguments, **options)
        self.ovs = GuestOvs(self)

    def _port_arguments(self, number, port):
        device = (f"vhost-pci-net-pci,id=dev-{port.name},bus=rp{number},"
                  f"chardev=link-{port.name},peer={port.name}")
        if self.iommu:
            device += ",iommu_platform=on"
        return ["-chardev", f"socket,id=link-{port.name},path={port.link},"
                "server=on,wait=off",
                "-device", f"pcie-root-port,id=rp{number},"
                f"chassis={number + 1},slot={number + 1}",
                "-device", device + port.options]

    def command_line(self):
        for port in self.ports.values():  # a killed QEMU leaves its sockets
            port.link.unlink(missing_ok=True)
        return super().command_line()

    def bind_ports(self):
        """Give each device to the userspace driver.  Root ports are numbered
        in the order of the command line, and so are their buses."""
        found = self.sh(
            "for d in /sys/bus/pci/devices/*; do read -r v < $d/vendor; "
            "read -r i < $d/device; echo ${d##*/} $v $i; done")
        rows = [line.split() for line in found.splitlines()]
        addresses = sorted(r[0] for r in rows if tuple(r[1:]) == PORT_ID)
        if len(addresses) != len(self.ports):
            raise AssertionError(f"{len(self.ports)} devices asked for, the "
                                 f"guest sees {addresses}")
        for port, address in zip(self.ports.values(), addresses):
            port.address = address
            self.bind(address, self.driver)

    def bind(self, address, driver):
        base = f"/sys/bus/pci/devices/{address}"
        self.sh(f"[ ! -e {base}/driver ] || "
                f"echo {address} > {base}/driver/unbind; "
                f"echo {driver} > {base}/driver_override && "
                f"echo {address} > /sys/bus/pci/drivers_probe && "
                f"[ $(basename $(readlink {base}/driver)) = {driver} ]")

    def start_ovs(self, user=None, **other_config):
        """Bind the devices, start OVS, make br0 (no ports yet)."""
        if self.ports:
            self.bind_ports()
        if user and self.iommu:
            self.sh(f"chown {user} /dev/vfio/*")
        self.ovs.start(user, **other_config)

    def add_port(self, name, **columns):
        """Add the OVS port of a device; returns what ovs-vsctl printed."""
        address = self.ports[name].address
        key = ("vhostpci-devargs" if self.kind == "vhostpci"
               else "dpdk-devargs")
        return self.ovs.add_port(name, self.kind, options={key: address},
                                 **columns)

    def add_ports(self, *names):
        """Add the ports named, or all.  Raise if Open vSwitch reports an error
        of a port."""
        for name in names or self.ports:
            said = self.add_port(name)
            if "rror" in said:
                raise AssertionError(f"add-port {name}: {said}")

    def check_rings(self):
        """Check that no port's peer broke a rule, and that no ring stopped
        because of that."""
        for port in self.ports:
            status = self.ovs.get(port, "status")
            if (status["violations"], status["broken-rings"]) != ("0", "0"):
                raise AssertionError(f"{port}: {status}")

    def qemu_lines(self, text):
        """Lines with `text` that this VM's QEMU has logged."""
        return [l for l in self.child.output().splitlines() if text in l]


class Topology:
    """VMs, and whatever else is started for one purpose and ended together."""

    def __init__(self, name, images, logdir=None):
        self.name, self.images = name, images
        # A socket's path has at most 107 bytes, and the path of the build
        # directory may be long.
        self.rundir = Path(tempfile.mkdtemp(prefix="vhostpci-"))
        self.logdir = Path(logdir or config.BUILD / "tests" / "vm" / name)
        shutil.rmtree(self.logdir, ignore_errors=True)
        self.logdir.mkdir(parents=True)
        self.vms = {}
        self.closers = []
        self.peer_count = 0

    def link(self, name):
        return self.rundir / f"{name}.sock"

    def switch(self, ports=("a", "b"), *, name="sw", flavour="ours",
               with_plugin=True, extra_plugins=(), qemu=None, image=None,
               **options):
        """ports: names, or (name, ",property=value...") pairs."""
        made = []
        for port in ports:
            port_name, extra = (port, "") if isinstance(port, str) else port
            made.append(Port(port_name, self.link(port_name), extra))
        return self._add(Switch(
            name, made, rundir=self.rundir, logdir=self.logdir,
            qemu=qemu or config.our_qemu(),
            image=image or self.images.switch(flavour, with_plugin,
                                              extra_plugins), **options))

    def peer(self, name, *, link=None, **options):
        self.peer_count += 1
        options.setdefault("qemu", config.stock_qemu())
        options.setdefault("image", self.images.peer())
        return self._add(Peer(
            name, self.peer_count, link or self.link(name),
            rundir=self.rundir, logdir=self.logdir, **options))

    def named(self, names):
        return [self.vms[name] for name in names]

    def _add(self, vm):
        self.vms[vm.name] = vm
        return vm

    def up(self):
        """Start all VMs that are not running, at once; wait until all are
        ready.  The caller starts Open vSwitch."""
        waiting = [vm.start() for vm in self.vms.values() if not vm.running()]
        # Switches first: the QEMU of a peer waits for its back-end, a switch.
        for vm in sorted(waiting, key=lambda v: not isinstance(v, Switch)):
            vm.ready()
        return self

    def close(self):
        for vm in self.vms.values():
            self._save_ovs_log(vm)
            vm.stop()
        for closer in reversed(self.closers):
            closer()
        shutil.rmtree(self.rundir, ignore_errors=True)

    def _save_ovs_log(self, vm):
        """Copy OVS's log, if the guest still answers, to the console's log."""
        if not isinstance(vm, Switch) or not vm.running():
            return
        try:
            text = vm.run(f"cat {GuestOvs.log}", 10).stdout
        except AssertionError:
            return
        (self.logdir / f"{vm.name}.ovs-vswitchd.log").write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
