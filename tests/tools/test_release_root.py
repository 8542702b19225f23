# SPDX-License-Identifier: Apache-2.0
"""tools/release-root, its use in quickstart, and tools/driver-headers."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from test_releases import RELEASES, TOP, run

HEADERS = TOP / "guest-pmd/driver-headers"
NUMBER = RELEASES[-1]["debian"]


def merge(tmp_path, table, header):
    for name, text in (("table", table), ("header", header)):
        (tmp_path / name).write_text(text)
    return subprocess.run([TOP / "tools/driver-headers", tmp_path / "table",
                           tmp_path / "header"], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)


HEADER = """#include <rte_ethdev.h>
struct one {
\tint x; /* y; */
\tint y;
};
struct two {
\tint y;
};
"""


def test_members_are_added_in_their_structure_behind_their_neighbour(tmp_path):
    done = merge(tmp_path, "# words\nfrom 1.1\ndefine M(a) a\none y p q\n", HEADER)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == HEADER.replace(
        "\tint y;\n", "\tint y;\n\tvoid *p;\n\tvoid *q;\n", 1).replace(
            "ethdev.h>\n", "ethdev.h>\n#define M(a) a\n")


def test_a_neighbour_that_is_not_there_is_an_error(tmp_path):
    done = merge(tmp_path, "from 1.1\ntwo x p\n", HEADER)
    assert done.returncode == 1
    assert "has no member: two x" in done.stderr


def test_tables_of_members_are_of_versions_that_are_served():
    versions = {r["dpdk"] for r in RELEASES}
    tables = list(HEADERS.iterdir())
    assert tables
    for table in tables:
        lines = table.read_text().splitlines()
        base = [l.split()[1] for l in lines if l.startswith("from ")]
        assert table.name in versions and len(base) == 1 and base[0] in versions


def test_unknown_release_has_no_root(tmp_path):
    done = run(tmp_path, TOP / "tools/release-root", "99", "path")
    assert done.returncode == 1
    assert "Debian 99 is unknown here; known are " in done.stderr


def test_check_of_an_unknown_release_is_refused(tmp_path):
    done = run(tmp_path, TOP / "quickstart", "check", "--release", "99")
    assert done.returncode == 1
    assert "99 is none of the releases of Debian that this works on" in done.stderr


@pytest.fixture
def root(tmp_path):
    """A root that contains only busybox."""
    if os.geteuid() != 0:
        pytest.skip("not root: a root cannot be entered")
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    if not busybox:
        pytest.skip("busybox is not installed")
    path = tmp_path / "build" / f"debian-{NUMBER}" / "root"
    for name in ("bin", "dev", "sys", "proc", "run", "etc", "srv/vhost-pci"):
        (path / name).mkdir(parents=True)
    for name in ("busybox", "sh", "env", "sleep", "cat", "echo"):
        shutil.copy(busybox, path / "bin" / name)
    return path


def inside(tmp_path, words):
    return run(tmp_path, TOP / "tools/release-root", NUMBER, "run", "sh", "-c",
               words)


def test_a_root_is_entered_with_its_own_mounts_and_processes(tmp_path, root):
    done = inside(tmp_path, "cat /proc/1/comm; pwd; [ -c /dev/null ] && exit 7")
    assert (done.returncode, done.stdout) == (7, "bash\n/srv/vhost-pci\n"), \
        done.stderr


def test_what_a_root_left_running_ends_with_its_command(tmp_path, root):
    marker = f"31{os.getpid()}"
    done = inside(tmp_path, f"sleep {marker} > /dev/null 2>&1 & echo made")
    assert done.stdout == "made\n", done.stderr
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline")
            if marker.encode() in _read(p)]
    assert not left
    assert str(root) not in Path("/proc/mounts").read_text()


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
