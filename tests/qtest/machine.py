# SPDX-License-Identifier: Apache-2.0
"""A QEMU without a guest: qtest acts as the CPU, QMP is the monitor.

With the accelerator "kvm", too, the virtual CPU stays stopped and qtest acts in
its place, but KVM has the memory slots and ioeventfds.

`Machine` accesses memory and ports as a CPU does, and PCI configuration space,
and allocates guest RAM for virtqueues. Every wait has a deadline.
"""
import contextlib
import ctypes
import functools
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VHOSTPCI_BUILDDIR")
             or os.environ.get("top_builddir") or TOP / "build").resolve()
SCALE = float(os.environ.get("VHOSTPCI_TIME_SCALE", "1"))
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def at_work(attack, path):
    """Run an attack in another process, so that it takes no time of the
    process that measures."""
    child = multiprocessing.get_context("fork").Process(
        target=attack, args=(path,), daemon=True)
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def qemu():
    return Path(os.environ.get("VHOSTPCI_QEMU") or
                BUILD / "qemu" / "qemu-system-x86_64")


@functools.lru_cache(maxsize=None)
def has_kvm():
    """True if QEMU can make a machine with KVM here.  No guest has to run in
    it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    done = subprocess.run([str(qemu()), "-M", "none", "-accel", "kvm", "-S",
                           "-nodefaults", "-display", "none", "-monitor",
                           "stdio"], input=b"quit\n", timeout=30 * SCALE,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def wait_until(condition, what, seconds=10):
    """Poll until condition() is true and return its value."""
    deadline = time.monotonic() + seconds * SCALE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


class Lines:
    """A socket to which QEMU connects; reads and writes lines."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(30 * SCALE)
        self.connection = self.file = None

    def accept(self):
        self.connection = self.listener.accept()[0]
        self.connection.settimeout(30 * SCALE)
        self.file = self.connection.makefile("rw")

    def write(self, line):
        self.file.write(line + "\n")
        self.file.flush()

    def read(self):
        line = self.file.readline()
        assert line, "QEMU closed the connection"
        return line.strip()

    def close(self):
        for s in (self.file, self.connection, self.listener):
            if s:
                s.close()


class Machine:
    """A machine with 64 MiB of RAM and the devices in @arguments."""

    RAM = 64 << 20

    def __init__(self, rundir, arguments, accel="qtest", kind="q35"):
        self.rundir = Path(rundir)
        self.log_path = self.rundir / "qemu.log"
        self.qtest = Lines(self.rundir / "qtest")
        self.qmp = Lines(self.rundir / "qmp")
        self.heap = 1 << 20
        command = [str(qemu()), "-M", kind, "-accel", accel, "-S", "-m", "64",
                   "-nodefaults", "-display", "none", "-vga", "none",
                   "-L", "/usr/share/qemu", "-L", "/usr/share/seabios",
                   "-qtest", f"unix:{self.rundir}/qtest",
                   "-qtest-log", "none",
                   "-qmp", f"unix:{self.rundir}/qmp"] + list(arguments)
        parent = os.getpid()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: self._die_with(parent))
        try:
            self.qtest.accept()
            self.qmp.accept()
        except TimeoutError:
            self.close()
            raise AssertionError("QEMU did not start: " + self.log())
        self.qmp.read()
        self.monitor("qmp_capabilities")

    @staticmethod
    def _die_with(parent):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.qtest.close()
        self.qmp.close()
        return self.process.returncode

    def log(self):
        return self.log_path.read_text(errors="replace")

    # Monitor

    def monitor(self, name, **arguments):
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}))
        while True:
            answer = json.loads(self.qmp.read())
            if "return" in answer:
                return answer["return"]
            assert "error" not in answer, f"{name}: {answer['error']['desc']}"

    def hmp(self, line):
        return self.monitor("human-monitor-command",
                            **{"command-line": line})

    def get(self, path, name):
        return self.monitor("qom-get", path=path, property=name)

    # The CPU

    def command(self, line):
        self.qtest.write(line)
        while True:
            answer = self.qtest.read()
            if answer.startswith("OK"):
                return answer[3:]
            # qtest also reports each change of an interrupt line.
            assert answer.startswith("IRQ"), f"{line}: {answer}"

    def out32(self, port, value):
        self.command(f"outl {port:#x} {value:#x}")

    def in32(self, port):
        return int(self.command(f"inl {port:#x}"), 16)

    def read32(self, address):
        return int(self.command(f"readl {address:#x}"), 16)

    def read16(self, address):
        return int(self.command(f"readw {address:#x}"), 16)

    def read8(self, address):
        return int(self.command(f"readb {address:#x}"), 16)

    def write32(self, address, value):
        self.command(f"writel {address:#x} {value:#x}")

    def write16(self, address, value):
        self.command(f"writew {address:#x} {value:#x}")

    def write8(self, address, value):
        self.command(f"writeb {address:#x} {value:#x}")

    def read64(self, address):
        return int(self.command(f"readq {address:#x}"), 16)

    def write64(self, address, value):
        self.command(f"writeq {address:#x} {value:#x}")

    def read(self, address, size):
        return bytes.fromhex(self.command(f"read {address:#x} {size}")[2:])

    def write(self, address, data):
        self.command(f"write {address:#x} {len(data)} 0x{data.hex()}")

    def alloc(self, size):
        """Allocate zeroed guest RAM in whole pages; returns the address."""
        address = self.heap
        self.heap += (size + 4095) & ~4095
        assert self.heap < self.RAM
        self.write(address, bytes(size))
        return address

    # PCI configuration space

    def config32(self, slot, offset, value=None):
        self.out32(0xcf8, 1 << 31 | slot << 11 | offset & ~3)
        if value is None:
            return self.in32(0xcfc)
        self.out32(0xcfc, value)
        return value

    def config(self, slot):
        return b"".join(struct.pack("<I", self.config32(slot, o))
                        for o in range(0, 256, 4))
