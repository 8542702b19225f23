# SPDX-License-Identifier: Apache-2.0
"""Hugepages of 2 MiB, borrowed for a time and given back."""
import os
import sys
from pathlib import Path

SIZE_MIB = 2
_POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def _read(name):
    return int((_POOL / name).read_text())


def _mounted():
    return any(line.split()[2] == "hugetlbfs"
               for line in Path("/proc/mounts").read_text().splitlines())


class Hugepages:
    """A context: inside it `usable` tells whether `mib` are to be had; by
    memfd_create(), which needs no `mount`, too."""

    def __init__(self, mib, wanted=True, mount=True):
        self.mib, self.wanted, self.mount = mib, wanted, mount
        self.usable, self.added = False, 0

    def _borrow(self):
        if self.mount and not _mounted():
            return "no hugetlbfs is mounted"
        missing = self.mib // SIZE_MIB - _read("free_hugepages")
        if missing > 0:
            before = _read("nr_hugepages")
            # The kernel gives what it finds, perhaps less.
            (_POOL / "nr_hugepages").write_text(str(before + missing))
            self.added = _read("nr_hugepages") - before
        if _read("free_hugepages") * SIZE_MIB < self.mib:
            return f"fewer than {self.mib} MiB of hugepages are free"
        return None

    def __enter__(self):
        if not self.wanted:
            return self
        try:
            why = self._borrow()
        except OSError as error:
            why = str(error)
        if why:
            print(f"bench: {why}: ordinary memory instead, on both sides",
                  file=sys.stderr)
        self.usable = not why
        return self

    def __exit__(self, *_):
        if self.added:
            # Others may have borrowed since: only our share is taken back.
            (_POOL / "nr_hugepages").write_text(
                str(max(0, _read("nr_hugepages") - self.added)))
            self.added = 0


def stale_files(prefix):
    """What a process that was killed left in the hugetlbfs."""
    for path in Path("/dev/hugepages").glob(f"{prefix}*"):
        try:
            os.unlink(path)
        except OSError:
            pass
