# SPDX-License-Identifier: Apache-2.0
"""`quickstart demo --mesh [FILE]`: every VM is a switch.  FILE describes the
VMs, in the format of vhost-pci-topology.  Each line ends in PASS or FAIL."""
from pathlib import Path

from harness import config, traffic
from harness.images import Images
from harness.mesh import Mesh
from harness.procs import wait_until

DEFAULT = Path(__file__).with_name("mesh.yaml")


def boot(mesh):
    mesh.control()
    mesh.up()
    return f"{len(mesh.vms)} VMs ({config.accel().split(',')[0]})"


def set_up(mesh):
    mesh.set_up()
    return f"{sum(len(vm.serves) for vm in mesh.vms.values())} vhostpci ports"


def ports_up(mesh):
    for vm in mesh.vms.values():
        vm.wait_ports()


def all_to_all(mesh):
    """All VMs ping at the same time; each one pings all others in turn."""
    def others(one):
        times = []
        for other in mesh.vms.values():
            if other is not one:
                mesh.wait_reached(one.name, other.name)
                times.append(one.ping(other))
        return times
    times = sum(mesh.each(others), [])
    return f"{len(times)} pairs, at most {max(times):.1f} ms"


def rate(one, other):
    """Check that TCP carries more than 200 kbit/s.  Emulated machines carry
    tens of Mbit/s; if only retransmissions arrive, the rate is a few kbit/s.
    On a busy machine TCP may take two seconds to begin: the second try is
    longer."""
    bits = one.iperf3(other)
    if bits <= 2e5:
        bits = one.iperf3(other, 8)
    assert bits > 2e5, f"{bits / 1e3:.0f} kbit/s"
    return f"{bits / 1e6:.1f} Mbit/s"


def chain_of(mesh, name, without=None):
    """Names of the VMs in a chain, in order; `without`: a VM that is gone."""
    return [vm.name for vm in mesh.plan.chains[name] if vm.name != without]


def busy_pair(mesh):
    """The ends of the first chain; of the first link if there is no chain."""
    chain = next(iter(mesh.plan.chains.values()), None)
    if chain:
        return mesh[chain[0].name], mesh[chain[-1].name]
    link = next(iter(mesh.plan.links.values()))
    return mesh[link.server.name], mesh[link.user.name]


def chain_carries(mesh, name, without=None):
    """Check that each VM of a chain counts the packets of a ping through the
    chain, both ways."""
    chain = chain_of(mesh, name, without)
    first, last = mesh[chain[0]], mesh[chain[-1]]
    mesh.wait_reached(first.name, last.name)
    before = mesh.through(chain)

    def counted():
        first.ping(last)
        return all(now >= then + 3
                   for now, then in zip(mesh.through(chain), before))
    wait_until(counted, 30, "each VM's rules count the packets")
    return " -> ".join(chain)


def steering_vms(mesh, name):
    """All (before, VM, after) of a chain where both links of the VM end at its
    vhost-pci devices: there the driver itself may move packets."""
    chain = chain_of(mesh, name)
    return [(one, at, other) for one, at, other
            in zip(chain, chain[1:], chain[2:])
            if {one, other} <= set(mesh[at].serves)]


def chain_is_steered(mesh, name, where):
    """Check that the driver of the VM `at` moves a chain's packets itself."""
    before, at, after = where
    chain = chain_of(mesh, name)
    ovs = mesh[at].ovs
    first, last = mesh[chain[0]], mesh[chain[-1]]
    with traffic.pinging(first, last, first.workload("")):
        start = ovs.steered_packets(before, after)
        wait_until(lambda: ovs.steered_packets(before, after) >= start + 10,
                   30, f"{at}'s driver moves packets from {before} to {after}")
    return f"{at} moves from {before}'s ring into {after}'s"


def survive(mesh, victim, one, other):
    """Kill a VM; check that the traffic between two others goes on."""
    with traffic.pinging(one, other, one.workload("")) as answers:
        start = answers()
        victim.kill()
        wait_until(lambda: answers() >= start + 20, 60,
                   f"{one.name} and {other.name} go on")
    assert not one.reaches(victim), f"{victim.name} answers, killed"
    return f"{one.name} -> {other.name} goes on"


def come_back(mesh, victim):
    """Start the killed VM again; wait for its ports, in this VM and in the
    VMs that have a port for it."""
    victim.start().ready()
    victim.set_up().wait_ports()
    for vm in mesh.vms.values():
        if victim.name in vm.serves:
            vm.wait_ports([victim.name])

    def reached(vm):
        if vm is not victim:
            mesh.wait_reached(vm.name, victim.name)
            mesh.wait_reached(victim.name, vm.name)
    mesh.each(reached)


def live(mesh):
    """Run vhost-pci-topology --live over the management network, while a chain
    carries packets."""
    one, other = busy_pair(mesh)
    with traffic.pinging(one, other, one.workload("")):
        status, text = mesh.live(count=1)
    print(text, end="", flush=True)
    assert status == 0, f"exit status {status}"
    return f"drawn in {mesh.logdir / 'live.svg'}"


def show(demo, mesh):
    demo.say("starting the VMs")
    if not demo.step("the VMs are up", lambda: boot(mesh)):
        return
    if not demo.step("Open vSwitch in each, and what the description says",
                     lambda: set_up(mesh)):
        return
    demo.step("every vhostpci port is up", lambda: ports_up(mesh))
    demo.say("traffic between the workloads, by the controller's rules")
    demo.step("ping, all to all", lambda: all_to_all(mesh))
    link = next(iter(mesh.plan.links.values()))
    one, other = mesh[link.server.name], mesh[link.user.name]
    demo.step(f"iperf3 over one hop, {one.name} -> {other.name}",
              lambda: rate(one, other))
    for name in mesh.plan.chains:
        show_chain(demo, mesh, name)
    victim = list(mesh.vms.values())[-2 if len(mesh.vms) > 3 else -1]
    demo.say(f"killing {victim.name}")
    show_loss(demo, mesh, victim, one, other)
    demo.say("what Open vSwitch says, by vhost-pci-topology --live")
    demo.step("every link of the description is up", lambda: live(mesh))


def show_chain(demo, mesh, name):
    chain = chain_of(mesh, name)
    first, last = mesh[chain[0]], mesh[chain[-1]]
    demo.step(f"chain {name}", lambda: chain_carries(mesh, name))
    for where in steering_vms(mesh, name):
        demo.step(f"chain {name} runs inside the driver",
                  lambda w=where: chain_is_steered(mesh, name, w))
    demo.step(f"iperf3 over {len(chain) - 1} hops, {first.name} -> "
              f"{last.name}", lambda: rate(first, last))


def show_loss(demo, mesh, victim, one, other):
    """Kill a VM, and start it again.  The controller can repair a chain only
    if the victim is in the chain's middle, not at an end."""
    inner = [name for name in mesh.plan.chains
             if victim.name in chain_of(mesh, name)[1:-1]]
    demo.step(f"{victim.name} is killed under others' traffic",
              lambda: survive(mesh, victim, one, other))
    for name in inner:
        demo.step(f"the controller repairs chain {name}",
                  lambda n=name: chain_carries(mesh, n, victim.name))
    demo.step(f"{victim.name} returns, with all its ports",
              lambda: come_back(mesh, victim))
    for name in mesh.plan.chains:
        if victim.name in chain_of(mesh, name):
            demo.step(f"chain {name}", lambda n=name: chain_carries(mesh, n))


def demonstrate(demo_class, path, keep=None):
    """Run all steps.  keep(mesh), if given, is called before the VMs end."""
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
