# SPDX-License-Identifier: Apache-2.0
"""The initramfs of each kind of VM: its programs, libraries and modules."""
import os
import subprocess
from pathlib import Path

from . import config
from .cpio import Archive, module_data, module_order

GUEST = Path(__file__).resolve().parents[1] / "guest"
PEER_MODULES = ["virtio_pci", "virtio_net", "virtio_mem"]
SWITCH_MODULES = ["virtio_pci", "virtio_net", "tun", "uio", "uio_pci_generic",
                  "vfio", "vfio_iommu_type1", "vfio-pci"]
DPDK_PLUGINS = ["librte_mempool_ring", "librte_bus_pci", "librte_bus_vdev"]
# modprobe for the guest: init has already loaded every module of the image.
HAVE_MODULE = """#!/bin/sh
exec grep -q "^$(echo "$2" | tr - _) " /proc/modules
"""
IMAGE_LIMIT = 40 << 20  # the promise for the switch VM


class Images:
    """Makes images once per run, in `workdir`."""

    def __init__(self, workdir):
        self.workdir = Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.made = {}

    def peer(self):
        return self._once("peer", self._peer)

    def switch(self, flavour="ours", with_plugin=True, extra_plugins=()):
        """flavour: "ours" or "stock", as config.ovs; extra_plugins: more
        DPDK drivers, by file stem."""
        key = "-".join(["switch", flavour, "pmd" if with_plugin else "bare",
                        *extra_plugins])
        return self._once(key, lambda a: self._switch(
            a, flavour, with_plugin, extra_plugins))

    def mesh(self, ovn=False):
        """The image of a switch VM, with the programs of a workload, too.  The
        workload lives in a network namespace; so the image has iproute2's ip,
        and dash, a shell that runs this ip."""
        def fill(archive):
            for name in ("iperf3", "tcpdump", "ethtool", "ip", "dash",
                         "flock"):
                archive.program(config.program(name), name=name)
            archive.file("usr/bin/unixport", self._guest_tool("unixport"),
                         0o755)
            # vhost-pci-bind gives the VM's own virtio-net devices to DPDK.  It
            # runs in dash, because busybox's shell would run busybox's
            # modprobe.
            script = (config.TOP / "guest" / "vhost-pci-bind").read_text()
            archive.data("usr/sbin/vhost-pci-bind", script.replace(
                "#!/bin/sh", "#!/usr/bin/dash", 1), 0o755)
            archive.directory("etc/default")
            archive.data("usr/sbin/modprobe", HAVE_MODULE, 0o755)
            if ovn:
                archive.program(config.ovn("ovn-controller"),
                                "ovn-controller")
            return [*self._switch(archive, "ours", True,
                                  ("librte_net_virtio",)), "veth"]
        return self._once("mesh-ovn" if ovn else "mesh", fill)

    def _once(self, key, fill):
        if key not in self.made:
            archive = Archive()
            self._base(archive)
            modules = fill(archive)
            self._modules(archive, modules)
            path = self.workdir / (key + ".cpio")
            archive.write(path)
            self.made[key] = path
        return self.made[key]

    def _guest_tool(self, name):
        """Compile one of guest/*.c: static, so it runs in any image."""
        out = self.workdir / name
        source = GUEST / (name + ".c")
        if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
            subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2",
                            "-Wall", "-Wextra", "-Werror", "-static", "-s",
                            "-o", out, source], check=True)
        return out

    def _base(self, archive):
        archive.file("bin/busybox", config.program("busybox"), 0o755)
        archive.symlink("bin/sh", "busybox")
        archive.file("init", GUEST / "init", 0o755)
        archive.file("bin/agent", self._guest_tool("agent"), 0o755)
        for name in ("seqstream", "tcpstall"):
            archive.file("usr/bin/" + name, self._guest_tool(name), 0o755)
        archive.data("etc/hostname", "vm\n")
        archive.data("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                     "openvswitch:x:100:100::/run/openvswitch:/bin/sh\n"
                     # tcpdump gives up root for this user
                     "tcpdump:x:101:101::/tmp:/bin/sh\n")
        archive.data("etc/group", "root:x:0:\nopenvswitch:x:100:\n"
                     "tcpdump:x:101:\n")

    @staticmethod
    def _modules(archive, wanted):
        root = config.kernel_modules()
        order = module_order(root, wanted)
        names = [path.name.removesuffix(".xz") for path in order]
        for name, path in zip(names, order):
            archive.data("modules/" + name, module_data(path))
        archive.data("etc/modules", "".join(n + "\n" for n in names))

    def _peer(self, archive):
        for name in ("iperf3", "tcpdump", "ethtool"):
            archive.program(config.program(name), name=name)
        # iperf3 of Debian 13 loads this by name when one of its threads ends.
        archive.library(config.libgcc())
        for name in ("dfping", "rawseq"):
            archive.file("usr/bin/" + name, self._guest_tool(name), 0o755)
        return PEER_MODULES

    def _switch(self, archive, flavour, with_plugin, extra_plugins):
        programs = config.ovs(flavour)
        for name in ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovs-ofctl",
                     "ovs-appctl"):
            archive.program(programs[name], name,
                            strip=self.workdir / (name + ".stripped"))
        database = self.workdir / f"conf-{flavour}.db"
        database.unlink(missing_ok=True)
        subprocess.run([programs["ovsdb-tool"], "create", database,
                        programs["vswitch.ovsschema"]], check=True)
        archive.file("etc/openvswitch/conf.db", database, 0o644)
        target = str(config.dpdk_plugin_dir()).lstrip("/")
        for stem in [*DPDK_PLUGINS, *extra_plugins]:
            archive.plugin(config.dpdk_plugin_dir(), stem, target)
        # EAL calls pthread_cancel at its end, which loads this by name.
        archive.library(config.libgcc())
        if with_plugin:
            archive.plugin(config.plugin().parent, "librte_net_vpci",
                           target, strip=self.workdir / "plugin.stripped")
        return SWITCH_MODULES
