# SPDX-License-Identifier: Apache-2.0
"""vhost-pci-topology: what it prints follows from what it is given, and what
does not fit is refused with a sentence that names it."""
import json
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from xml.dom import minidom

import pytest

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "vhost-pci-topology"
LOADER = SourceFileLoader("vhost_pci_topology", str(PROGRAM))
tool = module_from_spec(spec_from_loader(LOADER.name, LOADER))
LOADER.exec_module(tool)


def made(**given):
    given.setdefault("vms", dict.fromkeys("abcd"))
    return tool.Topology(given)


def run(*arguments):
    return subprocess.run([sys.executable, PROGRAM, *map(str, arguments)],
                          capture_output=True, text=True, timeout=60,
                          check=False)


def words(net, name):
    return [w for line in net.qemu(net.vms[name]) for w in line]


def test_each_pair_of_a_mesh_has_one_link_whose_device_is_the_earlier_vms():
    net = made(mesh="all")
    assert len(net.links) == 6
    for link in net.links.values():
        assert link.server.number < link.user.number
    assert [len(vm.serves) for vm in net.vms.values()] == [3, 2, 1, 0]
    assert [len(vm.uses) for vm in net.vms.values()] == [0, 1, 2, 3]


@pytest.mark.parametrize("what", ["eth0 address ", "other_config:hwaddr="])
def test_who_returns_has_the_ethernet_address_that_others_know(what):
    """The workload, and the bridge, where tunnels end."""
    found = [re.findall(what + r"(\S+)", "\n".join(net.guest(vm)))
             for net in (made(mesh="all"), made(links=["b-c"]))
             for vm in net.vms.values() if vm.switch]
    assert all(len(addresses) == 1 for addresses in found)
    first, again = found[:4], found[4:]
    assert len({address for address, in first}) == 4
    assert again and all(address in first for address in again)
    assert all(int(address[:2], 16) & 3 == 2 for address, in first)


def test_the_kernel_does_not_answer_for_the_bridge():
    """Of each virtio-net device that Open vSwitch reads from the kernel; what
    it would say ends in the others' caches of tunnel neighbours."""
    for underlay in ({}, {"underlay": "10.1.0.0/24"}):
        net = made(mesh="all", **underlay)
        for vm in net.vms.values():
            wanted = [f"echo 1 > /proc/sys/net/ipv4/conf/{link.server.name}"
                      "/arp_ignore" for link in vm.uses if underlay]
            assert [line for line in net.guest(vm)
                    if "arp_ignore" in line] == wanted


def test_a_nic_for_dpdk_is_bound_by_its_ethernet_address():
    """The settings file is the helper's: a shell reads it."""
    net = made(vms={"a": None, "b": {"nic": "dpdk"}}, mesh="all")
    link, = net.links.values()
    lines = list(net.guest(net.vms["b"]))
    at = lines.index("vhost-pci-bind --all")
    assert f"'NICS=\"$NICS {link.mac}\"' >> /etc/default/" in lines[at - 1]
    assert "type=dpdk" in lines[at + 1]
    assert not any("driverctl" in line or "driver_override" in line
                   for line in lines)


def test_both_ends_of_a_link_name_the_same_socket():
    net = made(mesh="all")
    ends = {}
    for name in net.vms:
        for word in words(net, name):
            found = re.match(r"socket,.*path=([^,]*)(.*)", word)
            if found:
                ends.setdefault(found[1], []).append(
                    "server=on" in found[2])
    assert len(ends) == 6
    for path, kinds in ends.items():
        assert sorted(kinds) == [False, True], path


def test_only_who_lends_memory_shares_it():
    net = made(links=["a-b"])
    assert not any("share=on" in w for w in words(net, "a"))
    assert any("share=on" in w for w in words(net, "b"))


def test_slots_and_addresses_of_one_vm_differ():
    net = made(mesh="all")
    for name in net.vms:
        slots = re.findall(r"addr=(0x\w+)", " ".join(words(net, name)))
        assert len(slots) == len(set(slots)) == 3
    assert len({link.mac for link in net.links.values()}) == 6
    assert len({vm.workload for vm in net.vms.values()}) == 4


@pytest.mark.parametrize("memory,window", [
    ("512M", "2G"), ("510M", "1G"), ("511M", "2G"), ("1G", "4G"),
    ("3G", "8G"), ("4G", "16G")])
def test_window_is_twice_what_the_memory_needs(memory, window):
    net = made(vms={"a": None, "b": {"memory": memory}}, links=["a-b"])
    assert f"window-size={window}" in " ".join(words(net, "a"))


def test_every_vm_is_reached_by_a_shortest_way_without_a_loop():
    net = made(links=["a-b", "b-c", "c-d"])
    ways = {name: dict((vm.name, port) for vm, port in net.routes(vm_))
            for name, vm_ in net.vms.items()}
    for source in net.vms:
        for target in net.vms:
            at, hops = source, 0
            while ways[at][target] != "work":
                at, hops = ways[at][target], hops + 1
            assert at == target
            assert hops == abs(ord(source) - ord(target))


def test_ways_do_not_lead_through_a_vm_that_is_no_switch():
    net = made(vms={"a": None, "b": None, "x": {"switch": False}},
               links=["a-x", "b-x"])
    assert [vm.name for vm, _ in net.routes(net.vms["a"])] == ["a", "x"]


def test_a_chain_goes_through_its_vms_both_ways():
    net = made(mesh="all", chains={"up": ["a", "c", "b", "d"]})
    rules = "\n".join(net.guest(net.vms["c"]))
    assert ('in_port=a,ip,nw_dst=10.0.0.4,actions=output:b' in rules)
    assert ('in_port=b,ip,nw_dst=10.0.0.1,actions=output:a' in rules)
    ends = "\n".join(net.guest(net.vms["d"]))
    assert 'in_port=b,ip,nw_dst=10.0.0.4,actions=output:work' in ends


def test_an_underlay_gives_each_bridge_an_address_that_others_reach():
    net = made(links=["a-b", "b-c"], vms=dict.fromkeys("abc"),
               underlay="10.1.0.0/24")
    text = "\n".join(net.guest(net.vms["a"]))
    assert "ip addr add 10.1.0.1/24 dev br0" in text
    assert "ip,nw_dst=10.1.0.1,actions=output:LOCAL" in text
    assert "ip,nw_dst=10.1.0.3,actions=output:b" in text
    assert "10.1." not in "\n".join(made().guest(made().vms["a"]))


def test_a_controller_decides_alone():
    net = made(mesh="all", controller="tcp:192.0.2.1:6653",
               chains={"up": ["a", "c", "b"]})
    text = "\n".join(net.guest(net.vms["a"]))
    assert "set-controller br0 tcp:192.0.2.1:6653" in text
    assert "fail_mode=secure" in text and "add-flow" not in text


def test_chains_are_printed_as_the_sample_controller_reads_them(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text("vms: {a: , b: , c: }\nmesh: all\n"
                    "chains: {up: [a, c, b]}\n")
    done = run(file, "--only", "chains")
    assert json.loads(done.stdout) == {"up": {
        "between": ["10.0.0.1", "10.0.0.2"], "through": [1, 3, 2]}}
    net = tool.load(file)
    for name, number in dict(a=1, b=2, c=3).items():
        assert f"datapath-id={number:016x}" in \
            "\n".join(net.guest(net.vms[name]))


MANY = {f"v{i}": {"memory": "16G"} for i in range(40)}
WRONG = [
    (dict(vms={}), "vms: no VM is listed"),
    (dict(vms={"a b": None}), "a name is 1 to 63"),
    (dict(vms={"a": {"memory": "1Q"}}), "memory: '1Q' is not a size"),
    (dict(vms={"a": {"cpu": 1}}), "there is no cpu (there are cpus"),
    (dict(links=["a-e"]), "is not two different VMs"),
    (dict(links=["a-a"]), "is not two different VMs"),
    (dict(links=["a-b", "b-a"]), "these two have a link already"),
    (dict(links=[{"between": "a-b", "window": "3G"}]),
     "3G is not a power of two"),
    (dict(links=[{"between": "a-b", "window": "1G"}]),
     "links: a-b: window: 1G is too small for b's 1G: at least 2G"),
    (dict(links=[{"between": "a-b", "queues": 31}]),
     "queues: 31 is not a number from 1 to 30"),
    (dict(mesh=["a", "x"]), "mesh: there is no VM x"),
    (dict(links=["a-b"], chains={"s": ["a", "b", "c"]}),
     "chains: s: b and c have no link"),
    (dict(mesh="all", chains={"s": ["a", "b", "a"]}),
     "it is not two or more different VMs"),
    (dict(vms={"x": {"switch": False}, "a": None}, links=["x-a"]),
     "x starts first and would need the device"),
    (dict(mesh="all", **{"address-bits": 33}),
     "vms: a: memory and windows end at 16G, but address-bits: 33 ends at 8G"),
    (dict(**{"host-memory": "1G"}), "together they have 4G"),
    (dict(mesh="all", sockets="/run/" + 100 * "x"), "more than 107 bytes"),
    (dict(vms=MANY, mesh="all", **{"address-bits": 52}),
     "v0: 39 links, but pcie.0 has room for 27"),
    (dict(vms={"a": None, "b": {"memory": "112M"}, "c": None},
          mesh="all"), "b: huge pages for 1 ports (64M) are more than half"),
    (dict(vms={"a-very-long-name": None, "b": None},
          links=["a-very-long-name-b"]), "more than 15 characters"),
    (dict(underlay="10.1.0.0/16"), "underlay: 10.1.0.0/16 is not of"),
    (dict(colour="red"), "there is no colour"),
]


@pytest.mark.parametrize("given,sentence", WRONG, ids=[w[1] for w in WRONG])
def test_what_does_not_fit_is_refused(given, sentence):
    with pytest.raises(tool.Wrong) as wrong:
        made(**given)
    assert sentence in str(wrong.value)


def test_all_that_does_not_fit_is_said_at_once(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text("vms: {a: , b: , c: }\nhost-memory: 1G\n"
                    "chains: {s: [a, b], t: [b, c]}\n")
    done = run(file)
    assert done.returncode == 1 and not done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(str(file) in line for line in lines)


@pytest.mark.parametrize("text", ["{", "- a\n", "\xff", "vms: [a]"])
def test_a_file_that_is_none_is_one_error(tmp_path, text):
    file = tmp_path / "net.yaml"
    file.write_bytes(text.encode("latin-1"))
    done = run(file)
    assert done.returncode == 1 and not done.stdout
    assert str(file) in done.stderr and "Traceback" not in done.stderr


def test_the_example_is_printed_for_one_vm_or_all():
    done = run(HERE / "mesh.yaml")
    assert done.returncode == 0, done.stderr
    for name in "abcd":
        assert f"\n# {name}: qemu\n" in done.stdout
    one = run(HERE / "mesh.yaml", "--vm", "b", "--only", "qemu").stdout
    assert one.count("qemu-system-x86_64") == 1 and "-name b" in one


def test_shell_and_xml_that_are_printed_are_well_formed():
    net = tool.load(HERE / "mesh.yaml")
    for vm in net.vms.values():
        script = "\n".join(net.guest(vm))
        done = subprocess.run(["sh", "-n"], input=script, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        xml = minidom.parseString("\n".join(net.xml(vm)))
        args = [e.getAttribute("value")
                for e in xml.getElementsByTagName("qemu:arg")]
        assert args == [w for line in net.devices(vm) for w in line]


def test_the_picture_has_every_vm_and_link(tmp_path):
    net = tool.load(HERE / "mesh.yaml")
    text = "\n".join(net.dot())
    assert text.count("window\"") == 6 and text.count("[color=blue") == 1
    if not shutil.which("dot"):
        pytest.skip("dot is not installed (Debian package graphviz)")
    out = tmp_path / "net.svg"
    done = run(HERE / "mesh.yaml", "--svg", out)
    assert done.returncode == 0, done.stderr
    svg = out.read_text()
    assert svg.count('class="edge"') == 9 and svg.count('class="node"') == 4
