# SPDX-License-Identifier: Apache-2.0
"""vhost-pci-server in a running switch VM: peers join one socket and leave;
devices, Open vSwitch's ports and their OpenFlow numbers follow by themselves.

Peers with a guest are g1, g2 (two NICs) and g3; the others are scripted
(harness/station.py).  Nobody but the server's file says what a guest's name is.
"""
import contextlib
import os
import random
import socket
import time
from pathlib import Path

import pytest

from harness import config, traffic
from harness.procs import wait_until
from harness.station import Station

PORTS = 10
GRACE = 2
CYCLES_FULL, CYCLES_SLICE, WAVE = 200, 10, 5
SILENT = 1000
# Binds each vhost-pci device that appears: what driverctl does elsewhere.
BINDER = """cd /sys/bus/pci
while :; do
    for d in devices/*; do
        a=${d##*/}
        read -r i < $d/device
        [ "$i" = 0x1077 ] && [ ! -e drivers/uio_pci_generic/$a ] && {
            [ ! -e $d/driver ] || echo $a > $d/driver/unbind
            echo uio_pci_generic > $d/driver_override
            echo $a > drivers_probe
        }
    done 2>/dev/null
    usleep 100000
done"""


class Served:
    """The switch VM, and who is there."""

    def __init__(self, net):
        self.net = net
        names = [f"rp{i}" for i in range(PORTS)]
        self.link = net.link("server")
        self.identities = net.rundir / "identities"
        self.identities.write_text("")
        sw = self.sw = net.switch([], hugepages=300, memory_mb=1024)
        for number, name in enumerate(names, 1):
            sw.arguments += ["-device", f"pcie-root-port,id={name},"
                             f"chassis={number},slot={number},"
                             "pref64-reserve=1G"]
        sw.arguments += ["-device", f"vhost-pci-server,id=s,path={self.link},"
                         f"ports={':'.join(names)},grace={GRACE},unsealed=on,"
                         f"identities={self.identities}"]
        self.guests = {}
        self.stations = {}

    def guest(self, name, nics=1):
        """A VM that the file knows by its memory."""
        # Nobody can seal a file, hence unsealed=on.
        memory = Path("/dev/shm") / f"{self.net.rundir.name}-{name}"
        self.net.closers.append(lambda: memory.unlink(missing_ok=True))
        peer = self.net.peer(name, memory_mb=128, link=self.link)
        peer.shared_memory = False
        peer.arguments += ["-object", "memory-backend-file,id=ram,size=128M,"
                           f"mem-path={memory},share=on",
                           "-numa", "node,memdev=ram"]
        if nics == 2:
            nic = "virtio-net-pci,netdev=n2"
            nic += "" if config.is_kvm() else ",vectors=0"
            peer.arguments += [
                "-chardev", f"socket,id=link2,path={self.link},reconnect=1",
                "-netdev", "vhost-user,id=n2,chardev=link2", "-device", nic]
        with self.identities.open("a") as file:
            file.write(f"memory={memory} name={name}\n")
        self.guests[name] = peer
        return peer

    def staying(self):
        """Two guests that stay; they come when a test runs alone."""
        new = [self.guest(name).start() for name in ("g1", "g3")
               if name not in self.guests]
        for guest in new:
            guest.ready()
        self.wait_peers(2, 2)
        return self.guests["g1"], self.guests["g3"]

    def join(self, number, nics=1):
        first = Station(self.link, number, nics)
        self.stations[number] = [first]
        if nics == 2:
            self.stations[number].append(
                Station(self.link, number + 50, beside=first))
        return first

    def may_join(self, number):
        with contextlib.suppress(BlockingIOError):
            return self.join(number)

    def leave(self, number):
        for station in reversed(self.stations.pop(number)):
            station.close()

    def peers(self):
        return self.sw.qmp.command("query-vhost-pci")["peers"]

    def ports(self):
        return set(self.sw.ovs.vsctl("list-ports", "br0").split())

    def ofports(self):
        text = self.sw.ovs.vsctl("--format=csv", "--no-headings",
                                 "--columns=name,ofport,type", "list",
                                 "Interface")
        rows = [line.split(",") for line in text.split()]
        # "[]" until the switch has looked.
        return {r[0]: int(r[1]) if r[1].lstrip("-").isdigit() else 0
                for r in rows if r[2] == "vhostpci"}

    def wait_peers(self, count, nics):
        """So many peers, and a port that works for each of their NICs."""
        wait_until(lambda: len(self.peers()) == count, 60,
                   f"{count} peers are there")
        wait_until(lambda: len(self.ports()) == nics
                   and all(n > 0 for n in self.ofports().values()), 90,
                   f"{nics} ports are there")

    def counts(self):
        """What QEMU and Open vSwitch hold."""
        pid = self.sw.child.pid
        text = self.sw.qmp.hmp("info mtree")
        vswitchd = self.sw.ovs.switch_pid()
        inside = self.sw.sh(f"ls /proc/{vswitchd}/fd | wc -l; "
                            f"ls /proc/{vswitchd}/task | wc -l; "
                            f"wc -l < /proc/{vswitchd}/maps").split()
        entries = {k: len(os.listdir(f"/proc/{pid}/{k}"))
                   for k in ("fd", "task")}
        return {"QEMU fds": entries["fd"], "QEMU threads": entries["task"],
                "regions": text.count("vhost-pci"),
                "OVS fds": int(inside[0]), "OVS threads": int(inside[1]),
                "OVS mappings": int(inside[2])}


@pytest.fixture(scope="module")
def net(module_topology):
    served = Served(module_topology)
    served.sw.start().ready()
    sw = served.sw
    sw.start_ovs()
    sw.start_command(BINDER)
    sw.ovs.vsctl("set", "Open_vSwitch", ".", "other_config:vhostpci-auto=br0")
    return served


@contextlib.contextmanager
def uninvolved(a, b):
    with traffic.tcp_stall(b, a) as tcp, \
            traffic.numbered_stream(a, b, 50) as udp:
        yield
    print(udp, tcp)
    assert udp["lost"] == udp["duplicated"] == udp["corrupted"] == 0, udp
    assert tcp["stall"] - tcp["lag"] < 1000, tcp


def test_eight_peers_join_are_pinged_and_leave(net):
    """In random order, two of them with two NICs."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    guests = {"g1": net.guest("g1"), "g2": net.guest("g2", nics=2),
              "g3": net.guest("g3")}
    who = [*guests, 101, 102, 103, 104, 105]
    rng.shuffle(who)
    for name in who:
        if name in guests:
            guests[name].start()
        else:
            net.join(name, nics=2 if name == 101 else 1)
    for guest in guests.values():
        guest.ready()
    guests["g2"].sh("ip addr add 10.0.0.52/24 dev eth1; ip link set eth1 up")
    net.wait_peers(8, 10)
    numbers = net.ofports()
    assert len(set(numbers.values())) == 10, numbers
    assert {"g1", "g2", "g2.1", "g3"} <= set(numbers)
    everybody = [s.address for ss in net.stations.values() for s in ss] + [
        g.address for g in guests.values()]
    for stations in net.stations.values():
        for station in stations:
            station.ping(set(everybody) - {station.address}, 60)
    for guest in guests.values():
        for address in set(everybody) - {guest.address}:
            assert guest.run(f"ping -c 1 -W 10 {address}", 20).code == 0
    assert {p["name"] for p in net.peers()} >= set(guests)
    # The others leave, in another order; g1 and g3 see nothing of it.
    left = {101: 2, 102: 1, 103: 1, 104: 1, 105: 1, "g2": 2}
    order, nics = list(left), 10
    rng.shuffle(order)
    with uninvolved(guests["g1"], guests["g3"]):
        for count, name in enumerate(order, 1):
            if name == "g2":
                guests["g2"].kill()
            else:
                net.leave(name)
            nics -= left[name]
            net.wait_peers(8 - count, nics)
            now = net.ofports()
            assert now.items() <= numbers.items(), (numbers, now)
    assert set(net.ofports()) == {"g1", "g3"}


def test_nothing_is_left_over_after_joining_and_leaving(net, full):
    g1, g3 = net.staying()
    cycles, done, counts = CYCLES_FULL if full else CYCLES_SLICE, 0, []
    with uninvolved(g1, g3):
        while done < cycles + WAVE:  # the first ones fill caches
            for number in range(110, 110 + WAVE):
                net.join(number)
            net.wait_peers(2 + WAVE, 2 + WAVE)
            for number in range(110, 110 + WAVE):
                net.leave(number)
            net.wait_peers(2, 2)
            done += WAVE
            counts.append(net.counts())
            print(f"{done} cycles: {counts[-1]}", flush=True)
    # The first wave filled caches; the switch may still be letting go.
    most = {k: max(c[k] for c in counts[:2]) for k in counts[0]}
    wait_until(lambda: all(v <= most[k] for k, v in net.counts().items()), 60,
               f"no more than {most}", 1)
    print(f"at the end: {net.counts()}")


def test_hostile_clients_touch_nobody(net):
    """A thousand that say nothing, and some that leave while their device is
    being plugged in."""
    g1, g3 = net.staying()
    before = net.counts()
    with uninvolved(g1, g3):
        silent = []
        for _ in range(SILENT):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10 * config.TIME_SCALE)
            with contextlib.suppress(OSError):
                s.connect(str(net.link))
                silent.append(s)
            if len(silent) > 100:
                silent.pop(0).close()
        for s in silent:
            s.close()
        for number in range(120, 125):
            # As long as many wait there is no room for one more.
            wait_until(lambda n=number: net.may_join(n), 60, "it may join")
            net.leave(number)
        begun = time.monotonic()
        net.sw.qmp.command("query-status")
        assert time.monotonic() - begun < 1 * config.TIME_SCALE
        net.wait_peers(2, 2)
    wait_until(lambda: net.counts()["QEMU fds"] <= before["QEMU fds"], 60,
               "QEMU has closed all")
    assert len(net.sw.qemu_lines("never said")) <= 10
    assert set(net.ofports()) == {"g1", "g3"}
