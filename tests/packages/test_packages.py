# SPDX-License-Identifier: Apache-2.0
"""Checks the files of the packages: contents, dependencies and texts."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import config

TOP = Path(__file__).resolve().parents[2]
NAMES = {"librte-net-vpci", "openvswitch-vhostpci", "qemu-system-vhostpci",
         "vhost-pci-guest", "vhost-pci-tools", "vhost-pci-dev",
         "vhost-pci-doc", "vhost-pci-window-dkms"}


def run(*command, seconds=600):
    return subprocess.run(command, capture_output=True, text=True,
                          timeout=seconds, check=False)


def field(package, name):
    done = run("dpkg-deb", "-f", package, name)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dependencies(package):
    """{name of a dependency: its version, or ""}"""
    found = {}
    for part in field(package, "Depends").split(","):
        name, _, version = part.strip().split(" | ")[0].partition(" ")
        found.setdefault(name, "")
        found[name] += version
    return found


@pytest.fixture(name="unpacked", scope="module")
def unpack(packages, tmp_path_factory):
    """Unpack all packages into one folder, as dpkg would install them."""
    folder = tmp_path_factory.mktemp("root")
    for package in packages.values():
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


def test_all_are_there_with_one_version(packages):
    assert set(packages) == NAMES
    versions = {field(p, "Version") for p in packages.values()}
    configured = re.search(r"AC_INIT\(\[[\w-]+\], \[([\d.]+)\]",
                           (TOP / "configure.ac").read_text()).group(1)
    assert len(versions) == 1
    assert re.fullmatch(re.escape(configured) + r"\+deb\d+", versions.pop())


def test_lintian_finds_no_error(packages):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    done = run("lintian", "--allow-root", "--no-cfg", "--fail-on", "error",
               *packages.values(), seconds=3000)
    assert done.returncode == 0, done.stdout + done.stderr


def test_driver_depends_on_what_dpdk_loads_at_run_time(packages, unpacked):
    plugin, = unpacked.glob("usr/lib/*/dpdk/pmds-*/librte_net_vpci.so")
    # EAL, too, finds the driver by this link; the number is DPDK's ABI.
    abi = re.search(r"\.so\.(\d+)\.\d+$", str(plugin.resolve())).group(1)
    assert {f"librte-bus-pci{abi}", f"librte-bus-vdev{abi}",
            f"librte-mempool-ring{abi}"} <= set(
                dependencies(packages["librte-net-vpci"]))
    assert field(packages["librte-net-vpci"], "Provides").startswith(
        "librte-net-vhostpci ")


def test_switch_takes_the_driver_and_one_release_of_open_vswitch(packages):
    wanted = dependencies(packages["openvswitch-vhostpci"])
    assert wanted["librte-net-vpci"] == "(= " + field(
        packages["openvswitch-vhostpci"], "Version") + ")"
    assert re.fullmatch(r"\(>= (\d+)\.(\d+)\)\(<< \1\.\d+~\)",
                        wanted["openvswitch-switch"])


def test_documents_find_each_other(unpacked):
    """Links to the source's folders lead out of the package; those to another
    page or picture do not."""
    root = unpacked / "usr/share/doc/vhost-pci-doc"
    pages = list(root.rglob("*.md"))
    assert len(pages) > 10, pages
    links = [(page, link) for page in pages for link in re.findall(
        r"\]\(([^)#:]+\.(?:md|svg))[)#]", page.read_text())]
    assert len(links) > 30, links
    lost = [(page.name, link) for page, link in links
            if not (page.parent / link).exists()]
    assert not lost, lost


def test_programs_are_stripped_and_run(unpacked):
    for name, words in {
            "usr/lib/openvswitch-vhostpci/ovs-vswitchd-vhostpci":
                "DPDK", "usr/bin/qemu-system-x86_64-vhostpci": "QEMU"}.items():
        program = unpacked / name
        assert words in run(program, "--version", seconds=120).stdout
        assert ".debug_info" not in run("readelf", "-S", program).stdout


def test_qemu_has_device_sandbox_and_user_network(unpacked):
    qemu = unpacked / "usr/bin/qemu-system-x86_64-vhostpci"
    assert "vhost-pci-net-pci" in run(qemu, "-device", "help").stdout
    # QEMU must accept both options; the wrong device makes it end.
    done = run(qemu, "-M", "none", "-display", "none", "-sandbox", "on",
               "-netdev", "user,id=n", "-device", "no-such-device")
    assert "'no-such-device' is not a valid device" in done.stderr


def test_devices_are_matched_by_id_and_never_by_address(unpacked):
    rules, = unpacked.rglob("udev/rules.d/*.rules")  # of /lib or /usr/lib
    lines = [line for line in rules.read_text().splitlines()
             if line and not line.startswith("#")]
    assert len(lines) == 1
    assert 'ATTR{vendor}=="0x1af4", ATTR{device}=="0x1077"' in lines[0]
    assert "KERNEL" not in lines[0]
    program = re.search(r'RUN\+="(\S+)', lines[0]).group(1)
    assert (unpacked / program.lstrip("/")).is_file()


def test_devices_are_bound_before_open_vswitch_starts(unpacked):
    unit, = unpacked.rglob("systemd/system/vhost-pci-bind.service")
    text = unit.read_text()
    assert re.search(r"^Before=.*\bovs-vswitchd\.service\b", text, re.M)
    assert re.search(r"^After=.*\bsystemd-sysctl\.service\b", text, re.M)
    program = re.search(r"^ExecStart=(\S+)", text, re.M).group(1)
    assert (unpacked / program.lstrip("/")).is_file()


def test_module_sources_are_complete_for_dkms(packages, unpacked, tmp_path):
    folder, = unpacked.glob("usr/src/vhost-pci-window-*")
    settings = dict(re.findall(r'^(\S+)="(.*)"$',
                               (folder / "dkms.conf").read_text(), re.M))
    name, version = settings["PACKAGE_NAME"], settings["PACKAGE_VERSION"]
    package = packages["vhost-pci-window-dkms"]
    assert folder.name == f"{name}-{version}"
    assert version == field(package, "Version")
    assert "dkms" in dependencies(package)
    scripts = tmp_path / "control"
    subprocess.run(["dpkg-deb", "-e", package, scripts], check=True)
    for script in ("postinst", "prerm"):
        assert version in (scripts / script).read_text()
    kernel = config.kernel_headers()
    shutil.copytree(folder, tmp_path / "build")
    # DKMS does the same.
    command = settings["MAKE[0]"].replace("$kernel_source_dir", str(kernel))
    done = run("sh", "-c", f"cd {tmp_path}/build && {command} "
               "CONFIG_DEBUG_INFO_BTF_MODULES=")
    module = settings["BUILT_MODULE_NAME[0]"] + ".ko"
    assert (tmp_path / "build" / module).is_file(), done.stdout + done.stderr
    wanted = run("/sbin/modinfo", "-F", "alias", tmp_path / "build" / module)
    assert "pci:v00001AF4d00001077sv*sd*bc*sc*i*" in wanted.stdout


@pytest.fixture(name="sysfs")
def fake_sysfs(tmp_path):
    """A folder like sysfs with a vhost-pci device and a disk."""
    for address, device in (("0000:01:00.0", "0x1077"),
                            ("0000:02:00.0", "0x1042")):
        folder = tmp_path / "bus/pci/devices" / address
        folder.mkdir(parents=True)
        (folder / "vendor").write_text("0x1af4\n")
        (folder / "device").write_text(device + "\n")
    return tmp_path


def binder(sysfs, *arguments, settings=""):
    config = sysfs / "config"
    config.write_text(settings)
    return subprocess.run(
        [TOP / "guest/vhost-pci-bind", *arguments], text=True, timeout=60,
        env={"PATH": f"{sysfs}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
             "VHOST_PCI_SYSFS": str(sysfs), "VHOST_PCI_CONFIG": str(config),
             "VHOST_PCI_LOCK": str(sysfs / "lock"),
             "VHOST_PCI_BOUND": str(sysfs / "bound"),
             "VHOST_PCI_PATIENCE": "1"},
        capture_output=True, check=False)


def test_binding_refuses_another_device(sysfs):
    done = binder(sysfs, "0000:02:00.0")
    assert done.returncode == 1
    assert "0000:02:00.0 is not a vhost-pci device (1af4:1077)" in done.stderr
    assert not (sysfs / "bus/pci/devices/0000:02:00.0/driver_override"
                ).exists()


def test_binding_sees_only_its_own_devices(sysfs):
    done = binder(sysfs, "--status")
    assert (done.returncode, done.stdout) == (0, "0000:01:00.0 none\n")


NIC, MAC = "0000:00:04.0", "52:54:00:00:00:0a"


@pytest.fixture(name="nic")
def virtio_net(sysfs):
    """Add a virtio-net device, and a bridge with the same Ethernet address.
    The device is bound already, because no kernel binds devices in this
    folder."""
    folder = sysfs / "bus/pci/devices" / NIC
    (folder / "virtio0").mkdir(parents=True)
    (folder / "vendor").write_text("0x1af4\n")
    (folder / "device").write_text("0x1041\n")
    (folder / "driver").symlink_to("../../drivers/uio_pci_generic")
    for name in ("br0", "eth0", "lo"):
        interface = sysfs / "class/net" / name
        interface.mkdir(parents=True)
        (interface / "address").write_text(
            "00:00:00:00:00:00\n" if name == "lo" else MAC + "\n")
    (sysfs / "class/net/eth0/device").symlink_to(folder / "virtio0")
    # The vhost-pci device is bound, too.
    (sysfs / "bus/pci/devices/0000:01:00.0/driver").symlink_to(
        "../../drivers/uio_pci_generic")
    tools = sysfs / "bin"
    tools.mkdir()
    (tools / "modprobe").write_text("#!/bin/sh\n")
    (tools / "modprobe").chmod(0o755)
    return sysfs


def test_a_nic_is_bound_by_its_ethernet_address_also_when_that_is_gone(nic):
    for _ in range(2):
        done = binder(nic, "--all", settings=f"NICS=\"{MAC.upper()}\"\n")
        assert done.returncode == 0, done.stderr
        assert f"{NIC}: bound to uio_pci_generic" in done.stdout
        override = nic / "bus/pci/devices" / NIC / "driver_override"
        assert override.read_text() == "uio_pci_generic\n"
        override.unlink()
        shutil.rmtree(nic / "class/net/eth0", ignore_errors=True)
    assert f"{NIC} uio_pci_generic\n" in binder(nic, "--status").stdout


def test_a_nic_that_is_not_there_is_named_and_nothing_else_is_taken(nic):
    done = binder(nic, "--all", settings="NICS=52:54:00:00:00:99\n")
    assert done.returncode == 1
    assert "no virtio-net device has the Ethernet address 52:54:00:00:00:99" \
        in done.stderr
    assert not (nic / "bus/pci/devices" / NIC / "driver_override").exists()
    done = binder(nic, "--all")
    assert done.returncode == 0 and NIC not in done.stdout


def test_binding_says_what_is_wrong_with_its_settings(sysfs):
    done = binder(sysfs, "--all", settings="DRIVER=igb_uio\n")
    assert done.returncode == 1
    assert "DRIVER=igb_uio is none of auto" in done.stderr
    assert binder(sysfs, "--all", settings="DRIVER=none\n").returncode == 0
    assert not (sysfs / "bus/pci/devices/0000:01:00.0/driver_override"
                ).exists()
