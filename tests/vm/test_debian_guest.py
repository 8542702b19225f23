# SPDX-License-Identifier: Apache-2.0
"""A Debian guest as the switch VM, made as doc/debian-guest.md says."""
import re
import shutil
import subprocess
import time

import pytest

from harness import config, traffic
from harness.debian import PageVm, Workshop
from harness.procs import wait_until

BOOT = 600  # Debian boots in a minute on an idle machine, emulated
SYSCTL = config.TOP / "guest" / "sysctl.d" / "60-vhost-pci.conf"
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
    """Unpack the package, and return the path of its QEMU."""
    package, = packages.glob("qemu-system-vhostpci_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "host"], check=True)
    return tmp_path / "host/usr/bin/qemu-system-x86_64-vhostpci"


@pytest.fixture(name="machines")
def three_machines(topology, packages, our_qemu, images):
    """Make the switch's image, and start the VMs of the page.  Yields
    ({name: Vm}, the page's blocks)."""
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
    # The image has hundreds of megabytes; only the logs are worth keeping.
    for vm in vms.values():
        vm.stop()
    shutil.rmtree(shop.folder)


def bound(switch):
    """The drivers of the switch's vhost-pci devices."""
    lines = switch.sh("vhost-pci-bind --status", 120).splitlines()
    return [line.split()[1] for line in lines]


def active(switch, unit):
    """True if the unit has started.  If it has failed, raise with its journal:
    systemd will not start it again."""
    state = switch.run(f"systemctl is-active {unit}", 120).stdout.strip()
    assert state != "failed", switch.sh(f"journalctl -u {unit}", 120)
    return state == "active"


def up(switch):
    """True if Open vSwitch says that both links are up."""
    done = switch.run("ovs-vsctl --timeout=60 get Interface a link_state -- "
                      "get Interface b link_state", 90)
    return done.stdout.split() == ["up", "up"]


def written_pages():
    """The numbers of huge pages in the package's file, from its comment and its
    setting: (for each port, number of ports, for the rest, all)."""
    return map(int, re.search(
        r": (\d+) for each\n# vhostpci port .* here (\d+) ports, and (\d+) for"
        r" .*^vm.nr_hugepages = (\d+)$", SYSCTL.read_text(),
        re.M | re.S).groups())


def huge_pages(switch):
    """The switch's huge pages of 2 MiB: (all, in use)."""
    found = dict(re.findall(r"HugePages_(\w+): +(\d+)",
                            switch.sh("cat /proc/meminfo")))
    return int(found["Total"]), int(found["Total"]) - int(found["Free"])


def huge_pages_are_as_written(switch):
    """Check that two ports take as many huge pages as the package's file
    says, within 4."""
    each, ports, rest, total = written_pages()
    now, used = huge_pages(switch)
    print(f"huge pages: {used} of {now} are in use by two ports")
    assert now == total == ports * each + rest
    assert abs(used - 2 * each) <= 4


def reboot_and_come_back(switch, page, answers):
    """Reboot the switch while peer a pings peer b, and wait until pings are
    answered again."""
    start = time.monotonic()
    switch.agent.hello = False
    switch.start_command(page["reboot"])
    switch.agent.wait_hello(BOOT)
    before, begun = answers(), time.monotonic()
    wait_until(lambda: answers() > before, BOOT, "an answer after the reboot",
               0.1)
    now = time.monotonic()
    print(f"rebooted: packets again {now - start:.0f} s after the command, "
          f"{now - begun:.0f} s after the first unit ran")
    wait_until(lambda: up(switch), BOOT, "links up after the reboot", 1)
    wait_until(lambda: answers() > before + 20, 120, "a and b talk again")


@pytest.mark.timeout(7200)
def test_page_works_and_a_rebooted_switch_has_its_ports_again(machines):
    vms, page = machines
    switch = vms["switch"]
    # The packages bound the devices before Open vSwitch started; the test did
    # not.
    wait_until(lambda: active(switch, "ovs-vswitchd"), BOOT, "it runs", 1)
    assert active(switch, "vhost-pci-bind")
    assert bound(switch) == ["uio_pci_generic"] * 2
    switch.sh(page["ports"], 300)
    for name in PEERS:
        vms[name].sh(page["peer-" + name], 60)
    wait_until(lambda: up(switch), 120, "links up")
    vms["a"].sh(page["ping"], 120)
    assert "write-back" in switch.sh(page["look"], 120)

    huge_pages_are_as_written(switch)
    vms["b"].address = page["ping"].split()[-1]
    with traffic.pinging(vms["a"], vms["b"]) as answers:
        wait_until(lambda: answers() > 5, 60, "a and b talk")
        reboot_and_come_back(switch, page, answers)
    assert bound(switch) == ["uio_pci_generic"] * 2

    switch.sh(page["pages"], 60)
    assert "HugePages_Total:     180\n" in switch.sh("cat /proc/meminfo")
