# SPDX-License-Identifier: Apache-2.0
"""Every VM is a switch, and one sample controller controls all.  The tests call
some of the steps of `quickstart demo --mesh`.

    b --- a --- c, and b --- c; a chain from b through a to c

c's Open vSwitch reads c's virtio-net devices by DPDK, b's by the kernel.
"""
import pytest

import demo_mesh as steps
from harness import config, traffic
from harness.mesh import Mesh
from harness.procs import wait_until

NET = """
vms:
  a: {memory: 608M}
  b: {memory: 512M}
  c: {memory: 512M, nic: dpdk}
mesh: all
chains: {inspect: [b, a, c]}
"""


@pytest.fixture(scope="module")
def mesh(images, _shared, tmp_path_factory):
    _shared.close()  # or its VMs would take CPU time from those of the mesh
    path = tmp_path_factory.mktemp("mesh") / "net.yaml"
    path.write_text(NET)
    try:
        with Mesh("mesh-slice", images, path) as made:
            made.control()
            made.up()
            steps.set_up(made)
            steps.ports_up(made)
            yield made
    except config.Missing as missing:
        pytest.skip(str(missing))


def test_workloads_reach_each_other_by_the_controllers_rules(mesh):
    steps.all_to_all(mesh)
    for vm in mesh.vms.values():
        # The cookie shows that the controller made all flows: none comes from
        # the description.
        flows = vm.ovs.ofctl("dump-flows", "br0").splitlines()[1:]
        assert flows and all("cookie=0x6d657368" in f for f in flows)


def test_a_vm_reads_its_own_nics_by_dpdk(mesh):
    for port in "ab":
        assert mesh["c"].ovs.get(port, "type") == "dpdk"
        assert mesh["c"].ovs.get(port, "link_state") == "up"
    bound = mesh["c"].sh("vhost-pci-bind --status").split()
    assert bound[1::2] == ["uio_pci_generic"] * 2, bound


def test_a_chain_is_counted_in_each_vm_and_steered_in_the_middle(mesh):
    steps.chain_carries(mesh, "inspect")
    where, = steps.steering_vms(mesh, "inspect")
    assert where == ("b", "a", "c")
    steps.chain_is_steered(mesh, "inspect", where)


def test_every_link_is_shown_as_up(mesh):
    status, text = mesh.live()
    assert status == 0 and text.count(" up ") == 6, text


def test_the_middle_of_a_chain_is_killed_and_returns(mesh):
    a, b, c = (mesh[name] for name in "abc")
    with traffic.pinging(b, c, b.workload("")) as answers:
        wait_until(lambda: answers() > 5, 30, "b and c talk")
        a.kill()
        start = answers()
        wait_until(lambda: answers() >= start + 20, 60, "they go on")
    steps.chain_carries(mesh, "inspect", without="a")
    status, text = mesh.live()
    assert status == 2 and "a is silent" in text, text
    steps.come_back(mesh, a)
    steps.chain_carries(mesh, "inspect")
