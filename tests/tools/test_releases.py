# SPDX-License-Identifier: Apache-2.0
"""The table of releases (tools/releases.sh), and what tools refuse by it."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TABLE = re.search(r"^RELEASES='(.*?)'$", (TOP / "tools/releases.sh").read_text(),
                  re.M | re.S).group(1).splitlines()
COLUMNS = TABLE[0].split()
RELEASES = [dict(zip(COLUMNS, line.split())) for line in TABLE[1:]]
SERVED = [r for r in RELEASES
          if (TOP / "qemu-patches" / r["qemu"]).is_dir()
          and (TOP / "ovs-patches" / r["openvswitch"]).is_dir()]


def run(tmp_path, *command, **environment):
    env = {**os.environ, "VHOSTPCI_BUILDDIR": str(tmp_path / "build"),
           **environment}
    return subprocess.run(command, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)


def ask(tmp_path, question, **environment):
    """Run a function of lib.sh."""
    return run(tmp_path, "bash", "-euo", "pipefail", "-c",
               f". {TOP}/tools/lib.sh; {question}", "ask", **environment)


def machine(tmp_path, number, name="debian"):
    """The environment, for run(), of a machine with another release."""
    file = tmp_path / "os-release"
    file.write_text(f'ID={name}\nVERSION_ID="{number}"\n'
                    f'PRETTY_NAME="The {name} {number}"\n')
    return {"VHOSTPCI_OS_RELEASE": str(file)}


def tree(tmp_path, what, version):
    """Make a source tree that tells its version."""
    folder = tmp_path / f"{what}-tree"
    (folder / "hw/virtio").mkdir(parents=True)
    if what == "openvswitch":
        (folder / "boot.sh").touch()
        (folder / "configure.ac").write_text(
            f"AC_INIT(openvswitch, {version}, bugs@example.org)\n")
    else:
        (folder / "hw/virtio/virtio-pci.c").touch()
        (folder / "VERSION").write_text(version + "\n")
    return folder


def test_every_release_has_every_version():
    assert SERVED and all(len(line.split()) == len(COLUMNS) for line in TABLE)


@pytest.mark.parametrize("column, folder", [("qemu", "qemu-patches"),
                                            ("openvswitch", "ovs-patches")])
def test_every_series_is_of_a_release(column, folder):
    there = {p.name for p in (TOP / folder).iterdir() if p.name[0].isdigit()}
    assert there and there <= {r[column] for r in RELEASES}


@pytest.mark.parametrize("release", SERVED, ids=lambda r: r["codename"])
def test_release_with_its_series_is_served(tmp_path, release):
    done = ask(tmp_path, "this_release", **machine(tmp_path, release["debian"]))
    assert (done.stdout, done.stderr) == (release["codename"] + "\n", "")


@pytest.mark.parametrize("number, name", [("99", "debian"), ("", "debian"),
                                          (SERVED[0]["debian"], "other")])
@pytest.mark.parametrize("command, status", [
    (["tools/fetch", "qemu"], 1), (["tools/prepare-host", "--check-only"], 2)])
def test_unknown_release_is_refused(tmp_path, number, name, command, status):
    done = run(tmp_path, TOP / command[0], *command[1:],
               **machine(tmp_path, number, name))
    assert done.returncode == status
    words = " or ".join(f"Debian {r['debian']} ({r['codename']})"
                        for r in SERVED)
    assert f"this works on {words} only" in done.stderr
    assert f"only, and this is The {name} {number}\n" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("release", RELEASES[1:], ids=lambda r: r["codename"])
def test_release_without_series_is_refused(tmp_path, release):
    """The tree has only the patches for the first release."""
    top = tmp_path / "top"
    (top / "tools").mkdir(parents=True)
    for name in ("lib.sh", "releases.sh"):
        shutil.copy(TOP / "tools" / name, top / "tools")
    for folder, column in (("qemu-patches", "qemu"),
                           ("ovs-patches", "openvswitch")):
        (top / folder / RELEASES[0][column]).mkdir(parents=True)
    done = run(tmp_path, "bash", "-euo", "pipefail", "-c",
               f". {top}/tools/lib.sh; this_release", "ask",
               **machine(tmp_path, release["debian"]))
    assert done.returncode == 1
    assert (f"Debian {release['debian']} ({release['codename']}) has QEMU "
            f"{release['qemu']} and Open vSwitch {release['openvswitch']}, for "
            "which there are no patches yet; this works on") in done.stderr


@pytest.mark.parametrize("what, folder", [("qemu", "qemu-patches"),
                                          ("openvswitch", "ovs-patches")])
def test_tree_picks_the_series_of_the_version_that_it_says(tmp_path, what,
                                                           folder):
    known = SERVED[0][what]
    source = tree(tmp_path, what, known + ".77")
    done = ask(tmp_path, f"tree_series {what} {source}")
    assert (done.stdout, done.stderr) == (f"{TOP}/{folder}/{known}\n", "")


@pytest.mark.parametrize("what, option, tool, word", [
    ("qemu", "QEMU_SRC", "build-qemu", "QEMU"),
    ("openvswitch", "OVS_SRC", "build-ovs", "Open vSwitch")])
@pytest.mark.parametrize("version, said", [
    ("1.5.3", "is {word} 1.5.3, and the versions known here are {known}"),
    ("", "does not say which version of {word} it is")])
def test_wrong_tree_is_named(tmp_path, what, option, tool, word, version, said):
    source = tree(tmp_path, what, version)
    done = run(tmp_path, TOP / "tools" / tool, **{option: str(source)})
    known = ", ".join(r[what] for r in RELEASES)
    assert done.returncode == 1
    assert f"{source} {said.format(word=word, known=known)}\n" in done.stderr
    assert not (tmp_path / "build" / "qemu-src").exists()


def test_versions_are_written_nowhere_else():
    """No other file that chooses a version contains one.  Pages may mention
    versions."""
    files = [*(TOP / "tools").iterdir(), TOP / "quickstart", TOP / "configure.ac",
             *(TOP / "m4").glob("vhostpci*.m4"), TOP / "Makefile.am",
             *TOP.glob("*/automake.mk"), *TOP.glob("tests/*/automake.mk")]
    numbers = {r[c] for r in RELEASES for c in ("qemu", "openvswitch", "dpdk")}
    wanted = re.compile(r"(?<![\d./-])(?:%s)(?![\d])|\.so\.\d|pmds-\d|rt-\d"
                        % "|".join(map(re.escape, sorted(numbers))))
    found = [f"{p.name}: {line}" for p in files
             if p.is_file() and p.name != "releases.sh"
             for line in p.read_text().splitlines()
             if wanted.search(line) and "-patches/" not in line]
    assert not found, "\n".join(found)
