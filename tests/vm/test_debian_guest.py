# SPDX-License-Identifier: Apache-2.0
"""A Debian guest as the switch VM, by the commands of doc/debian-guest.md."""
import re
import shutil
import subprocess

import pytest

from harness import config
from harness.debian import PageVm, Workshop
from harness.procs import wait_until

BOOT = 600  # Debian boots in a minute on an idle machine, emulated
PEERS = {"a": 1, "b": 2}


@pytest.fixture(name="packages")
def built_packages(full):
    if not full:
        pytest.skip("boots Debian twice under emulation: --full runs it")
    folder = config.BUILD / "packages"
    if not list(folder.glob("openvswitch-vhostpci_*.deb")):
        pytest.skip("no packages in build/packages (quickstart packages)")
    if not shutil.which("debootstrap", path="/usr/sbin"):
        pytest.skip("debootstrap is not installed")
    return folder


@pytest.fixture(name="our_qemu")
def packaged_qemu(packages, tmp_path):
    """The program that the package holds, as it would be installed."""
    package, = packages.glob("qemu-system-vhostpci_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "host"], check=True)
    return tmp_path / "host/usr/bin/qemu-system-x86_64-vhostpci"


@pytest.fixture(name="machines")
def three_machines(topology, packages, our_qemu, images):
    """{name: Vm} of the page, started; the switch's image is new."""
    shop = Workshop(topology.logdir / "debian", packages, topology.rundir)
    images.peer()
    shop.image(images.workdir / "agent")
    common = {"folder": shop.folder, "rundir": topology.rundir,
              "logdir": topology.logdir}
    vms = {"switch": PageVm("switch", shop.qemu_arguments("switch"),
                            qemu=our_qemu, **common)}
    for name, number in PEERS.items():
        words = shop.qemu_arguments("peer", NAME=name, NUMBER=str(number))
        vms[name] = PageVm(
            name, words, qemu=config.stock_qemu(), arguments=[
                "-nodefaults", "-display", "none",
                "-kernel", config.kernel_image(), "-initrd", images.peer(),
                "-append", "console=ttyS0 loglevel=4 no_timer_check"],
            **common)
    topology.vms.update(vms)
    for vm in vms.values():
        vm.start()
    for vm in vms.values():
        vm.ready(BOOT)
    yield vms, shop.page
    # Hundreds of megabytes: only the logs are worth keeping.
    for vm in vms.values():
        vm.stop()
    shutil.rmtree(shop.folder)


def bound(switch):
    """The drivers of the switch's vhost-pci devices."""
    lines = switch.sh("vhost-pci-bind --status", 120).splitlines()
    return [line.split()[1] for line in lines]


def active(switch, unit):
    """Is the unit started?  What failed stays so, and is shown at once."""
    state = switch.run(f"systemctl is-active {unit}", 120).stdout.strip()
    assert state != "failed", switch.sh(f"journalctl -u {unit}", 120)
    return state == "active"


def up(switch):
    """Are both links up, as Open vSwitch says?"""
    done = switch.run("ovs-vsctl --timeout=60 get Interface a link_state -- "
                      "get Interface b link_state", 90)
    return done.stdout.split() == ["up", "up"]


def pings(peer, page):
    return peer.run(page["ping"], 60).code == 0


@pytest.mark.timeout(7200)
def test_page_works_and_a_rebooted_switch_has_its_ports_again(machines):
    vms, page = machines
    switch = vms["switch"]
    # Nobody bound anything: the packages did, before Open vSwitch began.
    wait_until(lambda: active(switch, "ovs-vswitchd"), BOOT, "it runs", 1)
    assert active(switch, "vhost-pci-bind")
    assert bound(switch) == ["uio_pci_generic"] * 2
    switch.sh(page["ports"], 300)
    for name in PEERS:
        vms[name].sh(page["peer-" + name], 60)
    wait_until(lambda: up(switch), 120, "links up")
    vms["a"].sh(page["ping"], 120)
    assert "write-back" in switch.sh(page["look"], 120)

    pages = {key: int(value) for key, value in re.findall(
        r"HugePages_(\w+): +(\d+)", switch.sh("cat /proc/meminfo"))}
    print("huge pages of two ports:", pages)
    # Four ports fit, as the page says: what is left is enough for two more.
    assert 2 * pages["Free"] >= pages["Total"], pages
    switch.agent.hello = False
    switch.start_command(page["reboot"])
    switch.agent.wait_hello(BOOT)
    wait_until(lambda: up(switch), BOOT, "links up after the reboot", 1)
    wait_until(lambda: pings(vms["a"], page), 120, "ping after the reboot")
    assert bound(switch) == ["uio_pci_generic"] * 2

    switch.sh(page["pages"], 60)
    assert "HugePages_Total:     180\n" in switch.sh("cat /proc/meminfo")
