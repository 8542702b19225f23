# SPDX-License-Identifier: Apache-2.0
"""A management network, as hosts have one: a bridge, and a tap device for each
VM.  The network lives in a network namespace, so that it does not touch this
machine's own interfaces.  QEMU, and programs that use the network, run in the
namespace; a Unix socket with a path works from inside and outside.
"""
import itertools
import os
import subprocess

from . import config

_numbers = itertools.count()


class Lan:
    """The network 192.0.2.0/24: this machine is .254, VM number N is .N."""

    host = "192.0.2.254"

    def __init__(self):
        self.name = f"vhostpci-{os.getpid()}-{next(_numbers)}"
        self.within = ["ip", "netns", "exec", self.name]
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise config.Missing("/dev/net/tun cannot be opened: a management "
                                 "network needs root and the module tun")
        self._ip("netns", "add", self.name)
        self._inside("link", "add", "name", "lan0", "type", "bridge")
        self._inside("addr", "add", f"{self.host}/24", "dev", "lan0")
        for device in ("lo", "lan0"):
            self._inside("link", "set", "dev", device, "up")

    @staticmethod
    def _ip(*words):
        done = subprocess.run([config.program("ip"), *words], text=True,
                              capture_output=True, check=False)
        if done.returncode:
            raise config.Missing(f"ip {' '.join(words)}: "
                                 f"{done.stderr.strip()}")

    def _inside(self, *words):
        self._ip("-n", self.name, *words)

    def arguments(self, number):
        """Arguments for a VM's QEMU: a NIC with the address mac(number)."""
        tap = f"tap{number}"
        self._inside("tuntap", "add", "dev", tap, "mode", "tap")
        self._inside("link", "set", "dev", tap, "master", "lan0", "up")
        nic = f"virtio-net-pci,netdev=lan,mac={self.mac(number)},addr=0x3"
        if not config.is_kvm():
            nic += ",vectors=0"  # see Peer in topology.py
        return ["-netdev", f"tap,id=lan,ifname={tap},script=no,downscript=no",
                "-device", nic]

    @staticmethod
    def mac(number):
        return f"52:54:00:ff:ff:{number:02x}"

    @staticmethod
    def address(number):
        return f"192.0.2.{number}"

    def commands(self, number):
        """Commands that set up the NIC inside the VM."""
        return [f"ip link set dev \"$(basename $(dirname $(grep -l "
                f"{self.mac(number)} /sys/class/net/*/address)))\" name lan",
                f"ip addr add {self.address(number)}/24 dev lan",
                "ip link set dev lan up"]

    def close(self):
        self._ip("netns", "del", self.name)
