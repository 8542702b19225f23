# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a QEMU with one device for each test, and front-ends for it.

The program is $VHOSTPCI_QEMU, or build/qemu/qemu-system-x86_64; without one
the tests are skipped. No guest, no KVM, no root.
"""
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import machine as machines  # noqa: E402
from driver import Driver  # noqa: E402
from frontend import Frontend  # noqa: E402

DEVICE = "/machine/peripheral/dev"


class Bench:
    """The device under test: its QEMU, its socket, what was opened on it."""

    def __init__(self, options="", bus=""):
        # A short path: socket names are limited to 107 bytes.
        self.dir = tempfile.TemporaryDirectory(prefix="vhostpci-")
        self.socket = Path(self.dir.name) / "a.sock"
        self.fronts = []
        self.machine = machines.Machine(self.dir.name, [
            "-chardev", f"socket,id=ca,path={self.socket},server=on,wait=off",
            "-device", "vhost-pci-net-pci,id=dev,chardev=ca,peer=a,"
            f"window-size=64M{options}"])

    def driver(self, **options):
        driver = Driver(self.machine)
        driver.start(**options)
        return driver

    def front(self, **options):
        front = Frontend(self.socket, **options)
        self.fronts.append(front)
        return front

    def drop(self, front):
        self.fronts.remove(front)
        front.close()

    def get(self, name):
        return self.machine.get(DEVICE, "peer-" + name)

    def until(self, name, text, seconds=10):
        return machines.wait_until(lambda: text in self.get(name),
                                   f"{text!r} in peer-{name}", seconds)

    def log_lines(self, text):
        return [line for line in self.machine.log().splitlines()
                if text in line]

    def close(self):
        for front in self.fronts:
            front.close()
        code = self.machine.close()
        log = self.machine.log()
        self.dir.cleanup()
        return code, log


@pytest.fixture
def make_bench():
    benches = []

    def make(options="", **more):
        if not machines.qemu().exists():
            pytest.skip(f"no QEMU with the device at {machines.qemu()}")
        benches.append(Bench(options, **more))
        return benches[-1]

    yield make
    for bench in benches:
        code, log = bench.close()
        assert code == 0, f"QEMU ended with {code}: {log}"
        assert "ERROR" not in log and "assert" not in log.lower(), log


@pytest.fixture
def bench(make_bench):
    # Generous, so that a busy machine does not look like a silent driver.
    return make_bench(",ack-timeout=5000")
