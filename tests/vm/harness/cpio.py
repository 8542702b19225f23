# SPDX-License-Identifier: Apache-2.0
"""An initramfs in the kernel's own "newc" cpio format, made without root.

The archive is not compressed: an emulated kernel takes longer to decompress an
archive than to unpack a plain one, and the size of the file is then the memory
that the files take in the VM.
"""
import lzma
import os
import re
import stat
import subprocess
from pathlib import Path

from . import config


class Archive:
    """Collects entries.  If a name is added twice, the first entry stays."""

    def __init__(self):
        self.entries = {}  # name -> (mode, data, rdev major, rdev minor)
        for d in ("bin", "dev", "etc", "proc", "sys", "run", "tmp", "usr",
                  "usr/bin", "usr/sbin", "usr/lib", "var", "var/log"):
            self.directory(d)
        # Debian's merged /usr: both paths of a library lead to the same file.
        for d in ("lib", "lib64", "sbin"):
            self.symlink(d, "usr/" + d)
        self.directory("usr/lib64")
        self.symlink("var/run", "/run")
        self.device("dev/console", 5, 1)
        self.device("dev/null", 1, 3)

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.directory(parent)

    def directory(self, name, mode=0o755):
        self._parents(name)
        self.entries.setdefault(name, (stat.S_IFDIR | mode, b"", 0, 0))

    def symlink(self, name, target):
        self._parents(name)
        self.entries.setdefault(name, (stat.S_IFLNK | 0o777,
                                       str(target).encode(), 0, 0))

    def device(self, name, major, minor):
        self.entries[name] = (stat.S_IFCHR | 0o666, b"", major, minor)

    def data(self, name, data, mode=0o644):
        if isinstance(data, str):
            data = data.encode()
        self._parents(name)
        self.entries.setdefault(name, (stat.S_IFREG | mode, data, 0, 0))

    def file(self, name, source, mode=None, strip=None):
        """Copy a file; `strip` is a scratch path for a stripped copy."""
        source = Path(source)
        mode = mode or stat.S_IMODE(source.stat().st_mode)
        if strip:
            subprocess.run([config.program("strip"), "-o", strip, source],
                           check=True)
            source = Path(strip)
        self.data(name, source.read_bytes(), mode)

    def program(self, source, name=None, strip=None):
        """Copy a program and every library it needs."""
        source = Path(source)
        self.file("usr/bin/" + (name or source.name), source, 0o755, strip)
        for library in libraries(source):
            self.library(library)

    def library(self, path):
        """Copy a library to the place the loader looks for it.  Symbolic
        links stay links: two real copies of a DPDK driver, reached by two
        names, make EAL abort."""
        path = Path(path)
        # The directory is resolved first: /lib is a link to usr/lib.
        name = str(path.parent.resolve() / path.name).lstrip("/")
        if path.is_symlink():
            target = os.readlink(path)
            self.symlink(name, target)
            self.library(Path(os.path.normpath(path.parent / target)))
        else:
            self.file(name, path, 0o755)

    def plugin(self, directory, stem, target_dir, strip=None):
        """Copy stem.so* of a directory.  Symbolic links among these files
        must point into the same directory.  `strip` as for file()."""
        paths = sorted(Path(directory).glob(stem + ".so*"))
        if not paths:
            raise config.Missing(f"no {stem}.so in {directory}")
        for path in paths:
            name = f"{target_dir}/{path.name}"
            if path.is_symlink():
                self.symlink(name, os.readlink(path))
            else:
                self.file(name, path, 0o755, strip)
                for library in libraries(path):
                    self.library(library)

    def write(self, path):
        """Write the archive; returns its size in bytes."""
        with open(path, "wb") as out:
            for inode, name in enumerate(sorted(self.entries), 1):
                mode, data, major, minor = self.entries[name]
                _entry(out, inode, name, mode, data, major, minor)
            _entry(out, 0, "TRAILER!!!", 0, b"", 0, 0)
            return out.tell()


def _entry(out, inode, name, mode, data, major, minor):
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor,
              len(encoded), 0)
    out.write(b"070701" + b"".join(b"%08x" % f for f in fields) + encoded)
    out.write(b"\0" * (-out.tell() % 4) + data)
    out.write(b"\0" * (-out.tell() % 4))


def libraries(path):
    """Full paths of the shared libraries that ldd resolves for `path`."""
    run = subprocess.run([config.program("ldd"), path], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    missing = re.findall(r"(\S+) => not found", run.stdout)
    if missing:
        raise config.Missing(f"{path} needs {', '.join(missing)}")
    return [Path(p) for p in re.findall(r"(?:=> |^\s*)(/\S+) \(0x",
                                        run.stdout, re.M)]


def module_data(path):
    """A module as busybox's insmod reads it: unpacked.  Debian 13 compresses
    its modules."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def module_order(modules_dir, wanted):
    """Paths of the wanted modules, and of the modules that they depend on, in
    load order.  Skips built-in modules; raises Missing for unknown ones."""
    files = {_plain(p.name): p for p in modules_dir.rglob("*.ko*")}
    builtin = {_plain(line) for line in
               (modules_dir / "modules.builtin").read_text().split()}
    order = []

    def visit(name):
        name = _plain(name)
        if name in builtin or files.get(name) in order:
            return
        if name not in files:
            raise config.Missing(f"the kernel has no module {name}")
        depends = re.search(rb"\0depends=([^\0]*)\0",
                            module_data(files[name])).group(1).decode()
        for other in filter(None, depends.split(",")):
            visit(other)
        order.append(files[name])

    for name in wanted:
        visit(name)
    return order


def _plain(name):
    return os.path.basename(name).split(".ko")[0].replace("-", "_")
