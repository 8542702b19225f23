# SPDX-License-Identifier: Apache-2.0
"""Where the programs under test are, and which accelerator works here.

Each path has a default: a place below the build directory, or the place where
Debian's package has the program.  Environment variables, which the messages
name, replace defaults.  So the same tests run on a build tree, on an
installation, and on stock packages.
"""
import functools
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("VHOSTPCI_BUILDDIR", TOP / "build")).resolve()

# All deadlines are multiplied by this factor, because emulated machines on busy
# cores are slow at times. Tests wait for events, so a generous deadline costs
# time only when an event never comes.
TIME_SCALE = float(os.environ.get("VHOSTPCI_TIME_SCALE", "3"))


class Missing(Exception):
    """Something the harness needs is not there; the text says what to do."""


def _env_path(variable, default):
    return Path(os.environ.get(variable) or default)


def program(name):
    """Find a program of the system, even if the user's PATH has no sbin."""
    path = shutil.which(name, path=os.environ.get("PATH", "")
                        + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} is not installed (quickstart installs it)")
    return Path(path).resolve()


def kernel_dir():
    """An unpacked Debian kernel package: boot/vmlinuz-V, lib/modules/V."""
    path = _env_path("VHOSTPCI_KERNEL", BUILD / "src" / "kernel")
    if not list(path.glob("boot/vmlinuz-*")):
        raise Missing(f"no kernel in {path} (set VHOSTPCI_KERNEL, "
                      "or run quickstart, which fetches it)")
    return path


def kernel_image():
    return sorted(kernel_dir().glob("boot/vmlinuz-*"))[-1]


def kernel_modules():
    version = kernel_image().name[len("vmlinuz-"):]
    # Debian 12's package has them in /lib, which is a link to usr/lib.
    for lib in ("lib", "usr/lib"):
        path = kernel_dir() / lib / "modules" / version
        if path.exists():
            return path
    raise Missing(f"{kernel_dir()} has no modules of {version}")


def kernel_headers():
    """The headers with which modules for that kernel are compiled."""
    version = kernel_image().name[len("vmlinuz-"):]
    path = _env_path("VHOSTPCI_HEADERS", BUILD / "src" / "headers") \
        / "usr" / "src" / ("linux-headers-" + version)
    if not path.exists():
        raise Missing(f"no {path} (tools/fetch headers, or set "
                      "VHOSTPCI_HEADERS)")
    return path


def stock_qemu():
    """The distribution's QEMU, which runs every front-end."""
    return _env_path("VHOSTPCI_STOCK_QEMU", "/usr/bin/qemu-system-x86_64")


def our_qemu():
    """The QEMU with the vhost-pci device, which runs the switch VM."""
    path = _env_path("VHOSTPCI_QEMU", BUILD / "qemu" / "qemu-system-x86_64")
    if not path.exists():
        raise Missing(f"no QEMU with the device at {path} (set VHOSTPCI_QEMU)")
    return path


def plugin():
    """The PMD.  Its symbolic links are in the same folder."""
    path = _env_path("VHOSTPCI_PMD",
                     BUILD / "guest-pmd" / "librte_net_vpci.so")
    if not path.exists():
        raise Missing(f"no PMD at {path} (set VHOSTPCI_PMD)")
    return path


def dpdk_plugin_dir():
    dirs = sorted(Path("/usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*"))
    if not dirs:
        raise Missing("DPDK's plugin directory is not there (package dpdk)")
    return dirs[-1]


def libgcc():
    run = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, text=True,
                         check=False, env={"PATH": "/usr/sbin:/sbin:/usr/bin"})
    for line in run.stdout.splitlines():
        if "libgcc_s.so.1" in line and "x86-64" in line:
            return Path(line.split("=> ")[1].strip())
    raise Missing("libgcc_s.so.1 is not installed (package libgcc-s1)")


def ovn(name):
    """A program or schema of OVN, unpacked from Debian's packages."""
    root = _env_path("VHOSTPCI_OVN", BUILD / "src" / "ovn")
    for folder in ("usr/bin", "usr/share/ovn"):
        if (root / folder / name).exists():
            return root / folder / name
    raise Missing(f"no {name} below {root} (tools/fetch ovn, or set "
                  "VHOSTPCI_OVN)")


OVS_PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovs-ofctl",
                "ovs-appctl", "ovsdb-tool", "vswitch.ovsschema")


@functools.lru_cache(maxsize=None)
def ovs(flavour):
    """{name: path} of OVS: "ours" from the build, "stock" from Debian."""
    if flavour == "stock":
        found = {n: program(n) for n in OVS_PROGRAMS[1:-1]}
        found["ovs-vswitchd"] = Path(
            "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
        found["vswitch.ovsschema"] = Path(
            "/usr/share/openvswitch/vswitch.ovsschema")
        if not found["ovs-vswitchd"].exists():
            raise Missing("package openvswitch-switch-dpdk is not installed")
        return found
    root = _env_path("VHOSTPCI_OVS", BUILD / "ovs")
    places = ("vswitchd", "ovsdb", "utilities", "bin", "sbin",
              "share/openvswitch", "usr/bin", "usr/sbin")
    found = {}
    for name in OVS_PROGRAMS:
        hits = [root / p / name for p in places if (root / p / name).exists()]
        if hits:
            found[name] = hits[0]
        elif name == "vswitch.ovsschema":
            found[name] = _env_path("VHOSTPCI_OVS_SCHEMA", BUILD / "src"
                                    / "openvswitch/vswitchd" / name)
        else:
            raise Missing(f"no {name} below {root} (set VHOSTPCI_OVS)")
    found["ovs-vswitchd"] = _env_path("VHOSTPCI_VSWITCHD",
                                      found["ovs-vswitchd"])
    return found


def _boots(accel):
    """True if the stock kernel, run with `accel`, prints its first line."""
    command = [str(stock_qemu()), "-M", "q35", "-accel", accel, "-cpu", "max",
               "-nodefaults", "-display", "none", "-m", "256", "-no-reboot",
               "-serial", "stdio", "-kernel", str(kernel_image()),
               "-append", "console=ttyS0 panic=-1 earlyprintk=ttyS0"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=20,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        return b"Linux version" in done.stdout
    except subprocess.TimeoutExpired as late:
        return b"Linux version" in (late.stdout or b"")


@functools.lru_cache(maxsize=None)
def accel():
    """Returns "kvm" only if a kernel really boots with KVM.  Only a try tells:
    on some nested machines /dev/kvm opens, but runs no guest."""
    wanted = os.environ.get("VHOSTPCI_ACCEL")
    if wanted:
        return wanted
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and _boots("kvm"):
        return "kvm"
    return "tcg,thread=multi"


def cpu():
    """The CPU model.  The emulated "max" would be a CPU of AMD with addresses
    of 40 bits.  QEMU reserves the end of AMD's addresses for HyperTransport,
    and Debian 13's SeaBIOS puts the windows of root ports there; then Linux
    has no room for a device that is plugged in."""
    return "max" if is_kvm() else "max,vendor=GenuineIntel"


def is_kvm():
    return accel().startswith("kvm")
