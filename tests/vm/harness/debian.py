# SPDX-License-Identifier: Apache-2.0
"""Machines with Debian, made by the commands of doc/debian-guest.md.

A block of the page begins with ```sh NAME.  Bash runs the block in a Workshop's
folder, with two stand-ins for programs in front of PATH.  The stand-in for
debootstrap keeps the tree that debootstrap made, for the next run.  The
stand-in for QEMU only writes down its arguments, with which a PageVm starts the
real QEMU.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import config
from .vm import Vm

PAGE = config.TOP / "doc" / "debian-guest.md"
BLOCK = re.compile(r"^```sh ([\w-]+)\n(.*?)^```$", re.M | re.S)
# Systemd starts this as early as it can: a test that can run commands early can
# check the order in which the other units start.
UNIT = """[Unit]
Description=Commands for a test
[Service]
ExecStart=/usr/local/sbin/test-agent /dev/ttyS1
StandardInput=null
[Install]
WantedBy=multi-user.target
"""
DEBOOTSTRAP = """#!/bin/bash
set -e
folder=${@: -1}
key=$(printf '%s\\n' "$@" | sha256sum | cut -c1-16)
kept=$KEPT/debian-$key.tar
if [ ! -e "$kept" ]; then
    rm -rf "$folder"
    /usr/sbin/debootstrap "$@" $MIRROR
    tar -C "$folder" -cf "$kept.tmp" .
    mv "$kept.tmp" "$kept"
else
    mkdir "$folder"
    tar -C "$folder" -xf "$kept"
fi
# Nobody needs this Debian after a crash of the host.
echo force-unsafe-io > "$folder/etc/dpkg/dpkg.cfg.d/unsafe-io"
# Packages come from where this machine's own come from.
[ -z "$SOURCES" ] || cp "$SOURCES" "$folder/etc/apt/sources.list"
cp /etc/resolv.conf "$folder/etc/resolv.conf"
"""
WRITE_ARGUMENTS = """#!/bin/bash
printf '%s\\0' "$@" > "$ARGUMENTS"
"""


def blocks():
    """{name: commands} of the page."""
    return dict(BLOCK.findall(PAGE.read_text()))


def archives():
    """The archives of Debian 12 for debootstrap and apt, as this machine's apt
    lists them: (URI, codename, component), best first."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format",
         "$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)",
         "Created-By: Packages"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [tuple(r[1:]) for r in rows
            if r[0] == "Debian" and r[2].startswith("bookworm")]


class Workshop:
    """A folder in which blocks of the page run."""

    def __init__(self, folder, packages, sockets):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.page = blocks()
        self.arguments = self.folder / "arguments"
        binaries = self.folder / "bin"
        binaries.mkdir()
        self._program(binaries / "debootstrap", DEBOOTSTRAP)
        for name in ("qemu-system-x86_64", "qemu-system-x86_64-vhostpci"):
            self._program(binaries / name, WRITE_ARGUMENTS)
        found = archives()
        if not found:
            raise config.Missing("apt knows no Debian archive of this release")
        sources = self.folder / "sources.list"
        sources.write_text("".join(f"deb {' '.join(row)}\n" for row in found))
        kept = config.BUILD / "dl"
        kept.mkdir(exist_ok=True)
        self.environment = {
            "PATH": f"{binaries}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8", "HOME": "/root", "KEPT": str(kept),
            "SOURCES": str(sources), "ARGUMENTS": str(self.arguments),
            "MIRROR": next(r[0] for r in found if r[1] == "bookworm")}
        self.settings = f"PACKAGES='{packages}'\nSOCKETS='{sockets}'\n"

    @staticmethod
    def _program(path, text):
        path.write_text(text)
        path.chmod(0o755)

    def run(self, name, seconds=1200, **variables):
        """Run a block; returns its output."""
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", self.page["settings"] + self.settings
             + self.page[name]], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **self.environment, **variables},
            timeout=seconds * config.TIME_SCALE, check=False)
        if done.returncode:
            raise AssertionError(f"{name}: exit {done.returncode}\n"
                                 + done.stdout[-3000:])
        return done.stdout

    def qemu_arguments(self, name, **variables):
        """The arguments that the block `name` gives to QEMU, without those for
        console and accelerator."""
        self.arguments.unlink(missing_ok=True)
        self.run(name, **variables)
        words = self.arguments.read_text().split("\0")[:-1]
        left = []
        while words:
            word = words.pop(0)
            if word in ("-accel", "-serial"):
                words.pop(0)
            else:
                left.append(word)
        return left

    def image(self, agent):
        """Make guest.img by the page's blocks, and add the harness's agent."""
        root = self.folder / "guest"
        self.run("root")
        self.run("install")
        shutil.copy(agent, root / "usr/local/sbin/test-agent")
        (root / "etc/systemd/system/test-agent.service").write_text(UNIT)
        # The guest is emulated, and other tests keep this machine busy.
        patience = root / "etc/systemd/system.conf.d"
        patience.mkdir(exist_ok=True)
        (patience / "patience.conf").write_text(
            "[Manager]\nDefaultTimeoutStartSec=30min\n")
        wants = root / "etc/systemd/system/multi-user.target.wants"
        (wants / "test-agent.service").symlink_to("../test-agent.service")
        self.run("image")


class Root:
    """A folder with Debian in it."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def sh(self, command, seconds=1800, check=True):
        """Run a shell command with /proc, without the host's /dev and /sys."""
        code, said = self._enter("mount -t proc proc $0/proc",
                                 ["/bin/sh", "-ec", command], seconds)
        assert not check or code == 0, said[-3000:]
        return said

    def run(self, words, seconds=1800):
        """Run a program with /proc, /dev and the network.  The program is
        process 1 of a name space of its own, so its children end with it.
        Returns exit code and output."""
        return self._enter("for d in dev sys; do mount --rbind /$d $0/$d; "
                           "done; mount -t proc proc $0/proc", words, seconds)

    def _enter(self, mounts, words, seconds):
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--pid",
             "--fork", "--kill-child", "bash", "-euc",
             f'{mounts}; exec chroot $0 "$@"', self.folder, *words], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=seconds * config.TIME_SCALE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                 "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root",
                 "TERM": "dumb"}, check=False)
        return done.returncode, done.stdout

    def apt(self, *arguments):
        return self.sh("apt-get -q -y -o Dpkg::Use-Pty=0 "
                       "--no-install-recommends " + " ".join(arguments))

    def put(self, files):
        """Copy files into the folder's /root; returns their paths there."""
        files = list(files)
        for file in files:
            shutil.copy(file, self.folder / "root")
        return [f"/root/{file.name}" for file in files]


class PageVm(Vm):
    """A machine whose QEMU gets the arguments of the page."""

    def __init__(self, name, words, folder, **options):
        super().__init__(name, image=None, **options)
        self.words, self.folder = words, folder
        if "-append" in words:  # an emulator that is short of time: see Vm
            words[words.index("-append") + 1] += " no_timer_check norandmaps"

    def command_line(self):
        return [
            self.qemu, "-accel", config.accel(),
            *(str(self.folder / w) if w.startswith("guest/") else w.replace(
                "file=guest", f"file={self.folder}/guest")
              for w in self.words),
            *self.channels(), *self.arguments]
