# SPDX-License-Identifier: Apache-2.0
"""A vhost-pci server under test, and VMs (front-ends) that connect to it."""
import json
import os
import tempfile
from pathlib import Path

import machine as machines
from driver import Driver
from frontend import MIB, Frontend
from machine import wait_until


ROOT_PORT = 0x000c1b36  # device and vendor
CAP_EXPRESS = 0x10


class Events(machines.Lines):
    """A second monitor, which keeps all events."""

    def start(self):
        self.accept()
        self.read()
        self.write('{"execute": "qmp_capabilities"}')
        self.read()
        self.connection.settimeout(0.01)
        self.seen = []
        self.rest = b""

    def poll(self):
        try:
            while data := self.connection.recv(1 << 16):
                self.rest += data
        except TimeoutError:
            pass
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("event", "").startswith("VHOST_PCI_PEER_"):
                self.seen.append((event["event"][15:], event["data"]))
        return self.seen

    def wait(self, kind, seconds=10, **data):
        """Wait for the next event of this kind with these data.  A later call
        does not find the event again."""
        def find():
            for i, (name, told) in enumerate(self.poll()):
                if name == kind and data.items() <= told.items():
                    del self.seen[i]
                    return told
            return None
        return wait_until(find, f"event {kind} {data}", seconds)


class Vm:
    """A VM as a server sees it: memory and connections."""

    def __init__(self, bench, size=16 * MIB):
        self.bench, self.size, self.fronts = bench, size, []

    def front(self):
        """Make one more connection of the VM, with the VM's memory."""
        front = self.bench.connect(size=self.size, low=self.size // 2)
        if self.fronts:
            os.dup2(self.fronts[0].fd, front.fd)
            front.memory.close()
            front.memory = self.fronts[0].memory
        self.fronts.append(front)
        return front

    def join(self, **options):
        front = self.front()
        front.start(**options)
        return front

    def leave(self):
        for front in self.fronts:
            self.bench.drop(front)
        self.fronts = []


class ServerBench:
    """A machine with root ports, and a server that plugs devices there."""

    def __init__(self, options="", accel="qtest", ports=4, reserve="64M",
                 arguments=()):
        self.dir = tempfile.TemporaryDirectory(prefix="vhostpci-")
        self.socket = Path(self.dir.name) / "s.sock"
        self.fronts = []
        self.events = Events(Path(self.dir.name) / "events")
        names = [f"rp{i}" for i in range(ports)]
        roots = [word for i, name in enumerate(names) for word in (
            "-device", f"pcie-root-port,id={name},chassis={i + 1},"
            f"slot={i + 1},pref64-reserve={reserve}")]
        self.machine = machines.Machine(self.dir.name, roots + [
            "-device", f"vhost-pci-server,id=s,path={self.socket},"
            f"ports={':'.join(names)}{options}",
            "-qmp", f"unix:{self.dir.name}/events"] + list(arguments), accel)
        self.events.start()

    def connect(self, **options):
        front = Frontend(self.socket, **options)
        self.fronts.append(front)
        return front

    def vm(self, **options):
        return Vm(self, **options)

    def drop(self, front):
        self.fronts.remove(front)
        front.socket.close()
        for table in (front.kicks, front.calls, front.errs):
            for fd in table.values():
                os.close(fd)
            table.clear()
        os.close(front.fd)

    def query(self):
        return self.machine.monitor("query-vhost-pci")

    def server(self):
        server, = self.query()["servers"]
        return server

    def peers(self):
        return {p["device"]: p for p in self.query()["peers"]}

    def device(self, name):
        """What query-vhost-pci says of the peer with this name."""
        return next(p for p in self.query()["peers"] if p["name"] == name)

    def driver(self, device, **options):
        """Let the root port of @device forward, and start a driver for the
        device."""
        port = int(device.rsplit("rp", 1)[1])
        bus = BehindPort(self.machine, self._slot(port), port + 1)
        driver = Driver(bus, slot=0, bars=bars(port))
        driver.start(**options)
        return driver

    def _slot(self, port):
        """The device number on bus 0 of root port @port, found by the port's
        chassis slot number, @port + 1."""
        m = self.machine
        for slot in range(32):
            if m.config32(slot, 0) != ROOT_PORT:
                continue
            config = m.config(slot)
            at = config[0x34]
            while config[at] != CAP_EXPRESS:
                at = config[at + 1]
            number = int.from_bytes(config[at + 0x14:at + 0x18], "little") >> 19
            if number == port + 1:
                return slot
        raise AssertionError(f"no root port {port}")

    def unplug(self, device):
        """End an unplug request, as a guest would that releases the device.
        There is no guest, but a reset of the machine ends the request, too."""
        self.machine.monitor("system_reset")
        wait_until(lambda: device not in self.peers(), f"{device} is gone")

    def log_lines(self, text):
        return [line for line in self.machine.log().splitlines()
                if text in line]

    def close(self):
        for front in list(self.fronts):
            self.drop(front)
        code = self.machine.close()
        self.events.close()
        log = self.machine.log()
        self.dir.cleanup()
        return code, log


def bars(port):
    """Where devices behind root port @port have their BARs."""
    low = 0xe0000000 + 0x100000 * port
    high = 0x1000000000 + 0x80000000 * port
    return {0: low, 1: low + 0x10000, 2: high, 4: high + 0x40000000}


class BehindPort:
    """The machine for a driver of a device behind a root port: config32() reads
    and writes configuration space of the bus behind the port.  The constructor
    makes the port forward memory accesses."""

    def __init__(self, machine, slot, bus):
        self.machine, self.bus = machine, bus
        base = bars(bus - 1)
        low, high = base[0] >> 16, base[2] >> 16
        machine.config32(slot, 0x18, bus << 8 | bus << 16)
        machine.config32(slot, 0x20, (low & 0xfff0) | (low & 0xfff0) << 16)
        limit = (base[4] >> 16) & 0xfff0
        machine.config32(slot, 0x24, (high & 0xfff0) | limit << 16 | 0x10001)
        machine.config32(slot, 0x28, high >> 16)
        machine.config32(slot, 0x2c, base[4] >> 32)
        machine.config32(slot, 4, 0x6)

    def __getattr__(self, name):
        return getattr(self.machine, name)

    def config32(self, slot, offset, value=None):
        self.machine.out32(0xcf8, 1 << 31 | self.bus << 16 | slot << 11
                           | offset & ~3)
        if value is None:
            return self.machine.in32(0xcfc)
        self.machine.out32(0xcfc, value)
        return value

    def config(self, slot):
        return b"".join(self.config32(slot, o).to_bytes(4, "little")
                        for o in range(0, 256, 4))
