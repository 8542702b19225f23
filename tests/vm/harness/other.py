# SPDX-License-Identifier: Apache-2.0
"""Another release of Debian: its QEMUs, kernel and images, as parts of test
machines.  They come from a root that tools/release-root made.

QEMU of the root runs here with the loader and the libraries of the root.
"""
from pathlib import Path

from . import config

QEMU = """#!/bin/sh
# The loader's own path is all that QEMU finds itself by: firmware and modules
# are named to it.
export QEMU_MODULE_DIR={lib}/qemu
exec {root}/lib64/ld-linux-x86-64.so.2 --library-path {lib} {program} \\
    -L {root}/usr/share/qemu -L {root}/usr/share/seabios "$@"
"""


def roots():
    """Folders of all other releases that have a root with a build in it."""
    return sorted(p.parent for p in config.BUILD.glob("debian-*/root")
                  if (p / "srv/vhost-pci/build").exists())


class Release:
    """Options for machines that have parts of another release."""

    def __init__(self, place):
        self.place, self.root = Path(place), Path(place) / "root"
        self.name = self.place.name
        self.build = self.root / "srv/vhost-pci/build"

    def _qemu(self, name, program):
        if not program.exists():
            raise config.Missing(f"no {program} in {self.name}'s root")
        script = self.place / name
        script.write_text(QEMU.format(root=self.root, program=program,
                                      lib=self.root
                                      / "usr/lib/x86_64-linux-gnu"))
        script.chmod(0o755)
        return script

    def our_qemu(self):
        return self._qemu("qemu-with-device",
                          self.build / "qemu/qemu-system-x86_64")

    def stock_qemu(self):
        return self._qemu("qemu-stock",
                          self.root / "usr/bin/qemu-system-x86_64")

    def kernel(self):
        found = sorted(self.build.glob("src/kernel/boot/vmlinuz-*"))
        if not found:
            raise config.Missing(f"no kernel in {self.name}'s root")
        return found[-1]

    def image(self, name):
        path = self.build / "tests/vm/images" / (name + ".cpio")
        if not path.exists():
            raise config.Missing(f"no {path} (tests/vm/make_images.py {name}, "
                                 "in the root)")
        return path

    def has(self, *parts):
        """True if the root has all these parts: "device", "switch", "testpmd"
        or "peer"."""
        try:
            for part in parts:
                if part == "device":
                    self.our_qemu()
                else:
                    self.image(part)
        except config.Missing:
            return False
        return True

    def inside(self, image):
        """Options for a VM whose guest is of this release."""
        return {"kernel": self.kernel(), "image": self.image(image)}

    def peer(self):
        """Options for a peer whose guest and QEMU are of this release."""
        return {"qemu": self.stock_qemu(), **self.inside("peer")}
