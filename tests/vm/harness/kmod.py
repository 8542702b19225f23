# SPDX-License-Identifier: Apache-2.0
"""Compiles the module vhost_pci_window for the kernel of the test machines,
loads it in a guest, and looks at its work from outside the guest."""
import re
import shutil
import subprocess

from . import config

SOURCE = config.TOP / "guest-pmd" / "kmod"
NAME = "vhost_pci_window"
# Words in a kernel's log when something is wrong with the kernel.
WRONG = re.compile(r"BUG:|WARNING:|Oops|general protection|Call Trace|"
                   r"refcount_t|bad page|Bad rss")


def build(images):
    """Compile the module, once per run; returns the file's path."""
    folder = images.workdir / "kmod"
    module = folder / (NAME + ".ko")
    if "kmod" not in images.made:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SOURCE, folder)
        run = subprocess.run(
            ["make", "-C", folder, f"KDIR={config.kernel_headers()}", "W=1",
             "KCFLAGS=-Werror",
             # No type information: to make it, one would need pahole.
             "CONFIG_DEBUG_INFO_BTF_MODULES="], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        assert run.returncode == 0, run.stdout
        # The module enters a guest through a slow serial line.
        subprocess.run([config.program("strip"), "--strip-debug", module],
                       check=True)
        images.made["kmod"] = module
    return module


def load(sw, images):
    sw.put(f"/{NAME}.ko", build(images).read_bytes())
    sw.sh(f"insmod /{NAME}.ko")


def tool(sw, images):
    sw.put("/usr/bin/windowmap",
           images._guest_tool("windowmap").read_bytes(), 0o755)


def counters(sw, address):
    """(huge, small): how many page-table entries of either size the module has
    made for a device's window."""
    base = f"/sys/class/misc/vhost-pci-{address}"
    text = sw.sh(f"cat {base}/huge_pages {base}/small_pages")
    return tuple(int(x) for x in text.split())


def entries(sw, address, cpu):
    """{(huge, cached)} of a window's page-table entries.  The emulator reads
    the page table of the process that runs on the guest's CPU `cpu`."""
    first, last = window(sw, address)
    found = set()
    # Virtual: physical XGPDACTUW; P: huge, C and T: the memory type.
    for physical, flags in re.findall(r"^\w+: (\w+) ([-A-Z]{9})\r?$",
                                      sw.qmp.hmp("info tlb", cpu), re.M):
        if first <= int(physical, 16) <= last and flags[7] == "U":
            found.add((flags[2] == "P", flags[5:7] == "--"))
    return found


def window(sw, address):
    """The first and the last physical address of BAR 2."""
    text = sw.sh(f"sed -n 3p /sys/bus/pci/devices/{address}/resource")
    return tuple(int(x, 16) for x in text.split()[:2])


def check_kernel(sw):
    """Check that the guest's kernel has logged no complaint."""
    said = sw.sh("dmesg")
    wrong = [l for l in said.splitlines() if WRONG.search(l)]
    assert not wrong, "\n".join(wrong) + said[-4000:]
