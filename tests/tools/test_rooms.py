# SPDX-License-Identifier: Apache-2.0
"""tools/rooms finds includes that run the wrong way, and names both files."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(os.environ.get("top_srcdir") or Path(__file__).resolve().parents[2])
FOLDERS = ("guest-pmd", "protocol", "qemu-patches/vhost-pci",
           "vhostpci-netdev", "doc")


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    for folder in FOLDERS:
        shutil.copytree(TOP / folder, tmp_path / folder)
    return tmp_path


def rooms(tree, *args):
    done = subprocess.run([TOP / "tools" / "rooms", "--top", tree, *args],
                          capture_output=True, text=True, timeout=60,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def include(tree, path, name):
    """Add an include to the end of a file."""
    with (tree / path).open("a") as file:
        file.write(f'#include "{name}"\n')


def test_the_tree_as_it_is_has_no_wrong_include(tree):
    status, words = rooms(tree)
    assert status == 0, words


@pytest.mark.parametrize("path, name, target", [
    # upwards
    ("guest-pmd/base/limit.c", "vring/mem.h", "guest-pmd/vring/mem.h"),
    ("guest-pmd/vring/ring.c", "net/offload.h", "guest-pmd/net/offload.h"),
    ("guest-pmd/vring/ring.c", "port/port.h", "guest-pmd/port/port.h"),
    ("guest-pmd/net/copy.c", "port/port.h", "guest-pmd/port/port.h"),
    ("guest-pmd/port/link.c", "pci/pci.h", "guest-pmd/pci/pci.h"),
    ("guest-pmd/base/limit.h", "socket/signal.h", "guest-pmd/socket/signal.h"),
    ("protocol/vhost_user.c", "../guest-pmd/base/log.h",
     "guest-pmd/base/log.h"),
    # sideways
    ("guest-pmd/pci/kicks.c", "socket/signal.h", "guest-pmd/socket/signal.h"),
    ("guest-pmd/socket/io.c", "pci/window.h", "guest-pmd/pci/window.h"),
    # past the only room that this room may include
    ("vhostpci-netdev/netdev-vhostpci.c", "../protocol/vhost_pci.h",
     "protocol/vhost_pci.h"),
    # by a name that does not begin with the room
    ("guest-pmd/port/link.c", "../net/rxtx.h", "guest-pmd/net/rxtx.h"),
])
def test_an_include_that_runs_the_wrong_way_is_named(tree, path, name, target):
    include(tree, path, name)
    status, words = rooms(tree)
    assert status == 1
    assert f"{path} includes {target}" in words


def test_an_include_that_runs_down_is_none(tree):
    include(tree, "guest-pmd/pci/kicks.c", "vring/mem.h")
    assert "kicks.c" not in rooms(tree)[1]


def test_files_that_include_each_other_are_named(tree):
    include(tree, "guest-pmd/port/link.h", "port/stats.h")
    include(tree, "guest-pmd/port/stats.h", "port/link.h")
    status, words = rooms(tree)
    assert status == 1
    assert "guest-pmd/port/link -> guest-pmd/port/stats" in words


def test_a_picture_that_is_old_is_told_and_made_anew(tree):
    include(tree, "guest-pmd/pci/kicks.c", "vring/mem.h")
    status, words = rooms(tree)
    assert status == 1 and "the picture of the rooms is old" in words
    assert rooms(tree, "--write") == (0, "")
    assert rooms(tree)[0] == 0


def test_a_room_that_the_page_does_not_explain_is_told(tree):
    (tree / "guest-pmd" / "flow").mkdir(exist_ok=True)
    page = tree / "doc" / "architecture.md"
    page.write_text(page.read_text().replace("| `flow/` |", "| |"))
    assert "no row says what is in flow/" in rooms(tree)[1]


def test_a_file_outside_the_rooms_is_told(tree):
    (tree / "guest-pmd" / "elsewhere").mkdir()
    (tree / "guest-pmd" / "elsewhere" / "new.c").write_text("\n")
    status, words = rooms(tree)
    assert status == 1 and "guest-pmd/elsewhere/new.c: is in no room" in words
