# SPDX-License-Identifier: Apache-2.0
"""The device under test, with its QEMU, its socket and its front-ends."""
import tempfile
from pathlib import Path

import machine as machines
from driver import Driver
from frontend import Frontend

DEVICE = "/machine/peripheral/dev"


class Bench:
    """The device under test, with its QEMU, its socket and its front-ends."""

    def __init__(self, options="", accel="qtest", arguments=(),
                 machine="q35", chardev="server=on,wait=off"):
        # A short path: socket names are limited to 107 bytes.
        self.dir = tempfile.TemporaryDirectory(prefix="vhostpci-")
        self.socket = Path(self.dir.name) / "a.sock"
        self.fronts = []
        self.machine = machines.Machine(self.dir.name, [
            "-chardev", f"socket,id=ca,path={self.socket},{chardev}",
            "-device", "vhost-pci-net-pci,id=dev,chardev=ca,peer=a,"
            f"window-size=64M{options}"] + list(arguments), accel, machine)

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
