# SPDX-License-Identifier: Apache-2.0
"""The topology most tests share: booted once, checked before each test.

    peer a (q35, 1 GiB) --- switch VM: port a, port b --- peer b (pc, 128 MiB)
                            device x: no peer, for front-ends made by tests

A test leaves the topology as it found it.  If a test does not (a VM died, a
link stays down), the VMs are booted anew, so that one failure does not cause
others.
"""
import contextlib

from . import traffic
from .topology import HUGEPAGES, Topology

MTU = 1500
MTU_MAX = 9000


class Shared:
    def __init__(self, images):
        self.images, self.net, self.boots = images, None, 0
        self.broken = None  # the error that the first boot ended in

    def healthy(self):
        """Returns the net with its links up; boots it if necessary."""
        if self.net and not self._usable():
            self.close()
        if self.broken:
            raise AssertionError(f"the shared topology: {self.broken}")
        if not self.net:
            try:
                self._boot()
            except AssertionError as error:
                # The VMs would not come up for the next test either: let
                # each test fail at once, not after the same deadlines.
                self.broken = error
                self.close()
                raise
        return self.net

    def _usable(self):
        net = self.net
        try:
            if not all(vm.running() for vm in net.vms.values()):
                return False
            net.sw.ovs.wait_link_up("a", "b", seconds=10)
            traffic.ping(net.a, net.b, count=1)
            return True
        except AssertionError:
            return False

    def _boot(self):
        self.boots += 1
        name = "shared" if self.boots == 1 else f"shared-{self.boots}"
        net = self.net = Topology(name, self.images)
        net.sw = net.switch(["a", "b", "x"], memory_mb=1152)
        net.a = net.peer("a", memory_mb=1024, mtu=MTU_MAX)
        net.b = net.peer("b", memory_mb=128, machine="pc", mtu=MTU_MAX)
        net.up()
        net.sw.start_ovs()
        net.sw.add_ports("a", "b")
        net.two_port_memory = memory(net.sw)
        # Test files add a third port, but the promised 192 MiB are for two.
        net.sw.sh(f"echo {HUGEPAGES * 3 // 2} > /proc/sys/vm/nr_hugepages")
        for peer in (net.a, net.b):
            peer.sh(f"ip link set {peer.interface} mtu {MTU}")
        net.sw.ovs.wait_link_up("a", "b")
        traffic.wait_reachable(net.a, net.b)

    def close(self):
        if self.net:
            self.net.close()
            self.net = None


@contextlib.contextmanager
def largest_mtu(net, names, pages):
    """While the body runs, the ports `names` and their peers have MTU_MAX, and
    the switch VM has `pages` hugepages: enough for buffers of 9 KiB beside
    the buffers for MTU, which still exist."""
    ovs, peers = net.sw.ovs, [net.vms[name] for name in names]
    hugepages = "/proc/sys/vm/nr_hugepages"
    before = net.sw.sh(f"cat {hugepages}").strip()
    net.sw.sh(f"echo {pages} > {hugepages}; grep -q {pages} {hugepages}")
    try:
        _set_mtu(ovs, peers, MTU_MAX)
        ovs.wait_link_up(*names)
        traffic.wait_reachable(*peers)
        yield peers
    finally:
        _set_mtu(ovs, peers, MTU)
        net.sw.sh(f"echo {before} > {hugepages}")


def _set_mtu(ovs, peers, mtu):
    for peer in peers:  # a port keeps its last MTU until it gets a request
        ovs.vsctl("set", "Interface", peer.name, f"mtu_request={mtu}")
        ovs.wait_interface(peer.name, "mtu", mtu)
    for peer in peers:
        peer.sh(f"ip link set {peer.interface} mtu {mtu}")


class HostOf:
    """A VM under another of its addresses, for the functions of traffic.py."""

    def __init__(self, vm, address):
        self.vm, self.address = vm, address

    def __getattr__(self, name):
        return getattr(self.vm, name)


def memory(vm):
    """Hugepages and ordinary memory of a switch VM, in KiB."""
    names = {"HugePages_Total": "huge_total", "HugePages_Free": "huge_free",
             "MemTotal": "total", "MemAvailable": "available"}
    values = {}
    for line in vm.sh("cat /proc/meminfo").splitlines():
        key, value = line.split(":")
        if key in names:
            number = int(value.split()[0])
            values[names[key]] = (number * 2048 if key.startswith("Huge")
                                  else number)
    values["vswitchd"] = int(vm.sh(
        "grep VmRSS /proc/$(cat /run/openvswitch/ovs-vswitchd.pid)/status"
    ).split()[1])
    return values
