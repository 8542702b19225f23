# SPDX-License-Identifier: Apache-2.0
"""Hugepages of 2 MiB, borrowed for a time and given back."""
import contextlib
import fcntl
import os
import sys
from pathlib import Path

SIZE_MIB = 2
_POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def _read(name):
    return int((_POOL / name).read_text())


def free_mib():
    """MiB of hugepages that nobody uses."""
    return _read("free_hugepages") * SIZE_MIB


@contextlib.contextmanager
def _alone():
    """Nobody else who borrows changes the pool meanwhile."""
    with open(_POOL / "nr_hugepages") as pool:
        fcntl.flock(pool, fcntl.LOCK_EX)
        yield


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
        # Pages that are free now can be somebody else's who has borrowed them
        # and not used them yet.  The kernel gives what it finds, perhaps less.
        with _alone():
            before = _read("nr_hugepages")
            (_POOL / "nr_hugepages").write_text(
                str(before + -(-self.mib // SIZE_MIB)))
            self.added = _read("nr_hugepages") - before
        if free_mib() < self.mib:
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
            with _alone():
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
