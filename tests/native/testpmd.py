# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd as a process that a test talks to, and files of packets.

This needs no root, no hugepages and no kernel devices.  Both sides of a link
are testpmd: one with the driver under test on its socket transport, the other
with DPDK's own virtio-user front-end.
"""
import os
import re
import shlex
import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

# Automake sets top_builddir; the harness reads VHOSTPCI_BUILDDIR.
if "top_builddir" in os.environ:
    os.environ.setdefault("VHOSTPCI_BUILDDIR", os.environ["top_builddir"])
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))

from harness import config  # noqa: E402
from harness.procs import Child, wait_until  # noqa: E402
from harness.talk import Talk  # noqa: E402


def log_dir():
    """A folder of logs for each test file: make runs several files at a time,
    and their processes have the same names."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    name = Path(test.split("::", maxsplit=1)[0]).stem or "tests"
    return config.BUILD / "tests" / "native" / f"{name}.logs"


def _lcores():
    """Three threads that may run on all CPUs of this process."""
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return ",".join(f"{i}@({cpus})" for i in range(3))


class Process(Talk):
    """A testpmd process in interactive mode, with a directory of its own."""
    __test__ = False

    def start_process(self, name, command, log):
        self.name = name
        fifo = self.dir / "stdin"
        os.mkfifo(fifo)
        # Open the FIFO for reading, too: then writing works before testpmd
        # reads.
        self.stdin = open(os.open(fifo, os.O_RDWR), "w")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        # The child, too, opens the FIFO both ways: opening does not wait, and
        # stdin never ends.
        keep = f"exec <>{shlex.quote(str(fifo))}; exec {shlex.join(command)}"
        self.child = Child(["sh", "-c", keep], log=log, env={
            **os.environ, "XDG_RUNTIME_DIR": str(self.dir),
            "RUNTIME_DIRECTORY": str(self.dir)})
        try:
            self.said("", 30)
        except AssertionError:
            self.close()
            raise

    @property
    def text(self):
        return self.child.output()

    def type(self, words):
        self.stdin.write(words)
        self.stdin.flush()

    def ended(self):
        return not self.child.running()

    def command(self, text):
        self.type(text + "\n")

    def kill(self):
        self.child.kill()
        self.stdin.close()

    def close(self):
        self.child.end()
        self.stdin.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Testpmd(Process):
    """One testpmd on this machine."""
    logs = None  # the folder of its log; None: log_dir()
    interval = 0.1  # seconds between two looks at its output
    lcores = None  # the CPUs of its threads; None: all

    def __init__(self, name, vdevs, args="", eal="", memory="--no-huge -m 256"):
        self.dir = Path(tempfile.mkdtemp(prefix="vp-"))
        command = [
            "stdbuf", "-oL", "dpdk-testpmd", *memory.split(), "--no-pci",
            "--no-telemetry", "--lcores", self.lcores or _lcores(),
            f"--file-prefix={self.dir.name}", *shlex.split(eal),
            *[f"--vdev={vdev}" for vdev in vdevs],
            "--", "-i", "--total-num-mbufs=8192", *shlex.split(args)]
        self.start_process(name, command,
                           (self.logs or log_dir()) / f"{name}.log")

    def ask(self, text, pattern, seconds=10):
        """Send a command, and wait for `pattern` in the output.  The pattern
        must not match the echo or the prompt: see talk.py."""
        mark = len(self.child.output())
        self.command(text)
        return wait_until(
            lambda: re.search(pattern, self.child.output()[mark:], re.S),
            seconds, f"{self.name} answers {text!r} with {pattern!r}",
            self.interval)

    def start(self, mode="io", how="start", seconds=5):
        # For the mode "io retry": retry as long as a busy machine may take.
        self.command(f"set burst tx delay 50 retry {seconds * 20000}")
        self.ask(f"set fwd {mode}", "Set .* packet forwarding mode")
        self.ask(how, "packet forwarding packets/burst|packets/burst=")

    def xstats(self, port=0):
        text = self.said(f"show port xstats {port}")
        return {name: int(value) for name, value
                in re.findall(r"^(\w+): (\d+)$", text, re.M)}

    def received(self, port=0):
        return int(self.ask(f"show port stats {port}",
                            r"RX-packets: (\d+)").group(1))

    def link_up(self, port=0):
        return self.ask(f"show port info {port}",
                        r"Link status: (up|down)").group(1) == "up"

    def wait_link(self, up, port=0, seconds=15):
        wait_until(lambda: self.link_up(port) == up, seconds,
                   f"the link of {self.name} is {'up' if up else 'down'}")


def driver_eal():
    """EAL arguments that load the driver under test; skip the test without
    the driver."""
    if not shutil.which("dpdk-testpmd"):
        pytest.skip("no dpdk-testpmd (Debian package dpdk)")
    try:
        return f"--legacy-mem -d {config.plugin().resolve()}"
    except config.Missing as missing:
        pytest.skip(str(missing))


def packet(number, size):
    """An Ethernet frame with a number, and a checksum over the whole frame."""
    payload = bytes((number * 31 + at * 7 + (at >> 8)) & 0xff
                    for at in range(size - 22))
    body = (bytes.fromhex("020000000002020000000001") + b"\x88\xb5"
            + struct.pack("!I", number) + payload)
    return body + struct.pack("!I", zlib.crc32(body))


def write_pcap(path, packets):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for data in packets:
            f.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)


def read_pcap(path):
    """The complete packets of a file, which testpmd may still be writing."""
    data = path.read_bytes()
    packets, at = [], 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        if at + 16 + length > len(data):
            break
        packets.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return packets
