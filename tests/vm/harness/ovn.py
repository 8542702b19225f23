# SPDX-License-Identifier: Apache-2.0
"""OVN: the central databases and northd on the host, ovn-controller in VMs.
The programs are Debian's; `tools/fetch ovn` unpacks them.  doc/ovn.md has the
commands.
"""
import os
import shlex
import subprocess
from pathlib import Path

from . import config
from .procs import Child, wait_until

SOUTH_PORT = 6642


class Central:
    """Databases and northd.  Their files are below `rundir`.  `within`: words
    in front of their command lines, to run them in a network namespace."""

    def __init__(self, rundir, logdir, within=()):
        self.rundir, self.logdir = Path(rundir), Path(logdir)
        self.within = list(within)
        self.children = []

    def database(self, name, *remotes):
        path = self.rundir / f"ovn{name}.db"
        path.unlink(missing_ok=True)
        subprocess.run([config.program("ovsdb-tool"), "create", path,
                        config.ovn(f"ovn-{name}.ovsschema")], check=True)
        remotes = [f"--remote={r}" for r in (self.remote(name, "p"), *remotes)]
        self._child("ovsdb-server", f"ovsdb-{name}", *remotes, path)
        wait_until((self.rundir / f"ovn{name}.sock").exists, 20,
                   f"the database {name} is up")

    def remote(self, name, passive=""):
        return f"{passive}unix:{self.rundir}/ovn{name}.sock"

    def start(self):
        self.database("nb")
        self.database("sb", f"ptcp:{SOUTH_PORT}:0.0.0.0")
        self._child(config.ovn("ovn-northd"), "northd",
                    f"--ovnnb-db={self.remote('nb')}",
                    f"--ovnsb-db={self.remote('sb')}")
        return self

    def _child(self, program, name, *arguments):
        self.children.append(Child(
            [*self.within, program, f"--pidfile={self.rundir}/{name}.pid",
             f"--unixctl={self.rundir}/{name}.ctl", "--no-chdir", *arguments],
            log=self.logdir / f"{name}.log",
            env={**os.environ, "OVS_RUNDIR": str(self.rundir),
                 "OVN_RUNDIR": str(self.rundir)}))

    def _ctl(self, name, arguments, seconds):
        done = subprocess.run(
            [config.ovn(f"ovn-{name}ctl"), f"--db={self.remote(name)}",
             f"--timeout={seconds}", *map(str, arguments)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}"
        return done.stdout

    def nbctl(self, *arguments, seconds=30):
        return self._ctl("nb", arguments, seconds)

    def sbctl(self, *arguments, seconds=30):
        return self._ctl("sb", arguments, seconds)

    def close(self):
        for child in reversed(self.children):
            child.end()
        self.children = []


def join(vm, central_address):
    """Make a VM of a mesh a chassis."""
    encap = vm.underlay.split("/")[0]
    vm.ovs.vsctl("set", "Open_vSwitch", ".", *(
        f"external_ids:{key}={value}" for key, value in {
            "system-id": vm.name,
            "ovn-remote": f"tcp:{central_address}:{SOUTH_PORT}",
            "ovn-encap-type": "geneve", "ovn-encap-ip": encap,
            "ovn-bridge-datapath-type": "netdev"}.items()))
    vm.sh("mkdir -p /run/ovn /var/log/ovn; "
          "OVN_RUNDIR=/run/ovn OVN_LOGDIR=/var/log/ovn ovn-controller --detach "
          "--no-chdir --pidfile --log-file unix:/run/openvswitch/db.sock", 60)
    wait_until(lambda: "br-int" in vm.ovs.vsctl("list-br").split(), 60,
               f"{vm.name}'s ovn-controller made br-int")


def logical_host(vm, port, mac, address, gateway):
    """Make a network namespace whose only interface is a logical port: an
    internal port of br-int."""
    for command in (
            f"ovs-vsctl add-port br-int {port} -- set Interface {port} "
            f"type=internal mac={shlex.quote(json_string(mac))} "
            f"external_ids:iface-id={port} mtu_request=1400",
            f"ip netns add {port}", f"ip link set dev {port} netns {port}",
            f"ip -n {port} link set dev lo up",
            f"ip -n {port} addr add {address}/24 dev {port}",
            f"ip -n {port} link set dev {port} mtu 1400 up",
            f"ip -n {port} route add default via {gateway}"):
        vm.run(["dash", "-c", command], 60).check()


def json_string(text):
    return f'"{text}"'
