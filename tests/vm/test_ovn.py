# SPDX-License-Identifier: Apache-2.0
"""OVN over vhost-pci links, as doc/ovn.md describes it.

    logical:   ls0 (la, lb) --- lr0 --- ls1 (lc)
    machines:  b --- a --- c, la in a, lb in b, lc in c
    on links:  Geneve between addresses of the VMs' own bridges

The setting up takes minutes under emulation, so these tests run only with
--full.
"""
import re

import pytest

from harness import config
from harness.mesh import Mesh
from harness.ovn import Central, join, logical_host
from harness.procs import wait_until

pytestmark = pytest.mark.full

NET = """
vms:
  a: {memory: 768M}
  b: {memory: 640M}
  c: {memory: 640M}
links: [a-b, a-c]
underlay: 10.1.0.0/24
"""
# logical port: VM, MAC, address, gateway
PORTS = {"la": ("a", "02:00:00:00:00:0a", "10.10.0.11", "10.10.0.1"),
         "lb": ("b", "02:00:00:00:00:0b", "10.10.0.12", "10.10.0.1"),
         "lc": ("c", "02:00:00:00:00:0c", "10.20.0.13", "10.20.0.1")}
LOGICAL = """
ls-add ls0
ls-add ls1
lr-add lr0
lrp-add lr0 lr0-ls0 02:00:00:00:01:00 10.10.0.1/24
lrp-add lr0 lr0-ls1 02:00:00:00:01:01 10.20.0.1/24
lsp-add-router-port ls0 ls0-lr0 lr0-ls0
lsp-add-router-port ls1 ls1-lr0 lr0-ls1
"""


def describe(central):
    for line in LOGICAL.strip().splitlines():
        words = line.split()
        if words[0] == "lsp-add-router-port":
            switch, port, peer = words[1:]
            central.nbctl("lsp-add", switch, port, "--", "lsp-set-type", port,
                          "router", "--", "lsp-set-addresses", port, "router",
                          "--", "lsp-set-options", port, f"router-port={peer}")
        else:
            central.nbctl(*words)
    for name, (_, mac, address, gateway) in PORTS.items():
        switch = "ls0" if gateway.startswith("10.10.") else "ls1"
        central.nbctl("lsp-add", switch, name, "--", "lsp-set-addresses", name,
                      f"{mac} {address}")


class Host:
    """The workload behind a logical port: a network namespace in a VM."""

    def __init__(self, mesh, name):
        self.name = name
        self.vm_name, self.mac, self.address, self.gateway = PORTS[name]
        self.vm = mesh[self.vm_name]

    def up(self):
        logical_host(self.vm, self.name, self.mac, self.address, self.gateway)

    def run(self, command, seconds=30):
        return self.vm.run(f"/usr/bin/ip netns exec {self.name} {command}",
                           seconds)

    def start(self, command):
        return self.vm.start_command(
            f"exec /usr/bin/ip netns exec {self.name} {command}")

    def reaches(self, other):
        """Ping four times; returns True if at least one answer came.  The first
        packet may have to wait for flows and ARP in each VM on the way."""
        return self.run(f"ping -c 4 -W 30 {other.address}", 60).code == 0

    def wait_reached(self, other, seconds=60):
        wait_until(lambda: self.reaches(other), seconds,
                   f"{self.name} reaches {other.name}")


def tcp(client, server, port, patience=10):
    """Run iperf3; returns the received bits per second, or None if there was
    no connection."""
    listener = server.start(f"iperf3 -s -1 -p {port} --forceflush")
    listener.wait_output("listening", 30)
    done = client.run(f"iperf3 -c {server.address} -p {port} -t 3 -f k "
                      f"--connect-timeout {patience * 1000}", 120)
    if done.code != 0:
        listener.signal(9)
    listener.wait(30)
    found = re.search(r"([\d.]+) Kbits/sec +receiver", done.stdout)
    return 1000 * float(found[1]) if found else None


def bring(vm, hosts, central_address):
    """Make a VM of the mesh a chassis, and start its logical ports."""
    vm.set_up()
    join(vm, central_address)
    for host in hosts.values():
        if host.vm is vm:
            host.up()


@pytest.fixture(scope="module")
def mesh(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("ovn") / "net.yaml"
    path.write_text(NET)
    try:
        with Mesh("ovn", images, path, image=images.mesh(ovn=True)) as made:
            made.plan.controller = None  # use the description's own rules
            made.central = Central(made.rundir, made.logdir, made.lan.within)
            made.closers.append(made.central.close)
            made.central.start()
            describe(made.central)
            made.hosts = {name: Host(made, name) for name in PORTS}
            made.up()
            made.each(lambda vm: bring(vm, made.hosts, made.lan.host))
            yield made
    except config.Missing as missing:
        pytest.skip(str(missing))


def test_logical_ports_in_different_vms_reach_each_other(mesh):
    la, lb, lc = mesh.hosts.values()
    for one, other in ((la, lb), (lb, la), (la, lc), (lc, lb)):
        one.wait_reached(other, 120)  # the first packets: MACs are unknown yet


def test_tcp_over_tunnels_and_the_logical_router(mesh):
    la, lb, lc = mesh.hosts.values()
    for one, other in ((la, lb), (lb, lc)):
        rate = tcp(one, other, 5201)
        assert rate and rate > 1e5, rate
        print(f"{one.name} -> {other.name}: {rate / 1e6:.1f} Mbit/s")


def test_an_acl_drops_one_port_and_no_other(mesh):
    la, lb = mesh.hosts["la"], mesh.hosts["lb"]
    mesh.central.nbctl("--wait=hv", "acl-add", "ls0", "to-lport", 1000,
                       "outport == \"lb\" && ip4 && tcp.dst == 5202", "drop",
                       seconds=90)
    assert tcp(la, lb, 5202) is None
    assert tcp(la, lb, 5201)
    for vm in (la.vm, lb.vm):
        flows = vm.ovs.ofctl("dump-flows", "br-int")
        assert "tp_dst=5202" in flows or vm is la.vm
        # The ACL is stateless, so no packet goes through conntrack.
        assert "ct_state" not in vm.ovs.appctl("dpctl/dump-flows")
    mesh.central.nbctl("--wait=hv", "acl-del", "ls0", seconds=90)
    assert tcp(la, lb, 5202)


def test_a_transit_vm_steers_tunnels_and_their_ends_do_not(mesh):
    """a's driver moves the tunnel packets between b and c from ring to ring: to
    a they are plain UDP.  a's Open vSwitch decapsulates the tunnel packets to a
    itself."""
    la, lb, lc = mesh.hosts.values()
    ovs = mesh["a"].ovs

    def share(one, other, port, peer):
        """The fraction of packets from the port that the driver moved, while
        TCP runs."""
        def counters():
            return (int(ovs.statistics(port)["rx_packets"]),
                    ovs.steered_by_ring(port))
        before = counters()
        assert tcp(one, other, 5201)
        # vswitchd writes its counters to the database every few seconds.
        got = wait_until(lambda: (now := counters())[0] > before[0] + 50
                         and now, 30, f"{port} counts packets")
        moved = [now - then for now, then in zip(got, before)]
        return min(1, moved[1] / moved[0])
    through, ended = share(lb, lc, "b", "c"), share(lb, la, "b", "a")
    print(f"steered at a: b to c {through:.0%}, b to a {ended:.0%}")
    assert through > 0.8 and ended < 0.1


def test_a_vm_leaves_and_returns(mesh):
    la, lb, lc = mesh.hosts.values()
    lc.vm.kill()
    wait_until(lambda: not la.reaches(lc), 10, "lc is gone")
    assert la.reaches(lb)
    assert tcp(la, lb, 5201)
    lc.vm.start().ready()
    bring(lc.vm, mesh.hosts, mesh.lan.host)
    for one, other in ((la, lc), (lb, lc), (lc, la)):
        one.wait_reached(other, 120)
