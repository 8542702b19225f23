# SPDX-License-Identifier: Apache-2.0
"""`quickstart demo --mesh [FILE]`: every VM a switch, as vhost-pci-topology
describes them; each line ends in PASS or FAIL."""
from pathlib import Path

from harness import config, traffic
from harness.images import Images
from harness.mesh import Mesh
from harness.procs import wait_until

DEFAULT = Path(__file__).with_name("mesh.yaml")


def boot(mesh):
    mesh.up()
    return f"{len(mesh.vms)} VMs ({config.accel().split(',')[0]})"


def set_up(mesh):
    for vm in mesh.vms.values():
        vm.set_up()
    return f"{sum(len(vm.serves) for vm in mesh.vms.values())} vhostpci ports"


def ports_up(mesh):
    for vm in mesh.vms.values():
        vm.wait_ports()


def all_to_all(mesh):
    times = []
    for one, other in mesh.pairs():
        mesh.wait_reached(one.name, other.name)
        times.append(one.ping(other))
    return f"{len(times)} pairs, at most {max(times):.1f} ms"


def rate(one, other):
    """Emulated machines carry tens of Mbit/s; a few kbit/s are retransmissions
    that happen to arrive."""
    bits = one.iperf3(other)
    assert bits > 1e6, f"{bits / 1e3:.0f} kbit/s"
    return f"{bits / 1e6:.1f} Mbit/s"


def chain_carries(mesh, name):
    """A ping through the chain is counted in each of its VMs, both ways."""
    chain = [vm.name for vm in mesh.plan.chains[name]]
    first, last = chain[0], chain[-1]
    ways = ((first, last), (last, first))
    before = [mesh.through(name, *way) for way in ways]
    mesh.wait_reached(first, last)
    mesh[first].ping(mesh[last], count=5)

    def counted():
        return all(now >= then + 5 for way, old in zip(ways, before)
                   for now, then in zip(mesh.through(name, *way), old))
    wait_until(counted, 20, "each VM's rules count the packets")
    return " -> ".join(chain)


def survive(mesh, victim, one, other):
    """Kill a VM under others' traffic, and start it again."""
    with traffic.pinging(one, other, one.workload("")) as answers:
        start = answers()
        victim.kill()
        wait_until(lambda: answers() >= start + 20, 60,
                   f"{one.name} and {other.name} go on")
    assert not one.reaches(victim), f"{victim.name} answers, killed"
    return f"{one.name} -> {other.name} goes on"


def come_back(mesh, victim):
    """The VM returns, and so do its ports, here and in the others."""
    victim.start().ready()
    victim.set_up().wait_ports()
    for vm in mesh.vms.values():
        if victim.name in vm.serves:
            vm.wait_ports([victim.name])
    for vm in mesh.vms.values():
        if vm is not victim:
            mesh.wait_reached(vm.name, victim.name)
            mesh.wait_reached(victim.name, vm.name)


def show(demo, mesh):
    demo.say("starting the VMs")
    if not demo.step("the VMs are up", lambda: boot(mesh)):
        return
    if not demo.step("Open vSwitch in each, and what the description says",
                     lambda: set_up(mesh)):
        return
    demo.step("every vhostpci port is up", lambda: ports_up(mesh))
    demo.say("traffic between the workloads")
    demo.step("ping, all to all", lambda: all_to_all(mesh))
    link = next(iter(mesh.plan.links.values()))
    one, other = mesh[link.server.name], mesh[link.user.name]
    demo.step(f"iperf3 over one hop, {one.name} -> {other.name}",
              lambda: rate(one, other))
    for name, chain in mesh.plan.chains.items():
        demo.step(f"chain {name}", lambda n=name: chain_carries(mesh, n))
        first, last = mesh[chain[0].name], mesh[chain[-1].name]
        demo.step(f"iperf3 over {len(chain) - 1} hops, {first.name} -> "
                  f"{last.name}", lambda f=first, l=last: rate(f, l))
    victim = list(mesh.vms.values())[-2 if len(mesh.vms) > 3 else -1]
    demo.say(f"killing {victim.name}")
    demo.step(f"{victim.name} is killed under others' traffic",
              lambda: survive(mesh, victim, one, other))
    demo.step(f"{victim.name} returns, with all its ports",
              lambda: come_back(mesh, victim))
    for name in mesh.plan.chains:
        demo.step(f"chain {name}", lambda n=name: chain_carries(mesh, n))


def demonstrate(demo_class, path, keep=None):
    """keep(mesh): what to do before all ends, or None."""
    images = Images(config.BUILD / "tests" / "vm" / "images")
    with Mesh("mesh", images, path or DEFAULT) as mesh:
        demo = demo_class(mesh)
        print("\n".join(mesh.plan.dot()), flush=True)
        show(demo, mesh)
        demo.say(f"{demo.passed} passed, {demo.failed} failed; logs in "
                 f"{mesh.logdir}")
        if keep:
            keep(mesh)
    return 1 if demo.failed else 0
