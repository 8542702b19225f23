# SPDX-License-Identifier: Apache-2.0
r"""Ends processes and machines at a random moment under load.

    peer a --- port a \                   / port c2 --- eth1 of c
                       switch VM sw   sw2
    peer b --- port b /   |    |          \ port d2 --- eth1 of d
                       port c  port d
                          |    |
                    eth0 of c  eth0 of d

Events happen to a, b and sw.  No event may disturb the packets between c and d.
While a peer has an event, these packets pass through sw; while sw has one, they
pass through sw2.
"""
import contextlib
import random
import time

from . import config, traffic
from .monitor import monitor
from .procs import wait_until
from .shared import HostOf
from .topology import Topology

RATE = 200      # packets a second, of each stream
GAP_MS = 1000   # a longer gap shows that an event cut the stream
HALT_SECONDS = 5
ANSWER_SECONDS = 1.0
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
DRIVER = "/sys/bus/virtio/drivers/virtio_net"


def second_nic(number, link):
    """QEMU arguments that give a peer eth1, linked to the second switch."""
    nic = f"virtio-net-pci,netdev=n2,mac=52:54:00:00:01:{number:02x}"
    if not config.is_kvm():
        nic += ",vectors=0"
    return ["-chardev", f"socket,id=link2,path={link},reconnect=1",
            "-netdev", "vhost-user,id=n2,chardev=link2", "-device", nic]


class Rounds:
    """The topology, and the events that can happen to it.  Each event returns
    times in seconds; status_* are the times until PORT_STATUS came."""

    def __init__(self, name, images, packed=False):
        net = self.net = Topology(name, images)
        self.random = random.Random(11)
        packed_port = ",peer-packed=on" if packed else ""
        packed_nic = ",packed=on" if packed else ""
        self.sw = net.switch([("a", packed_port), ("b", packed_port),
                              "c", "d"], hugepages=208, memory_mb=800)
        self.sw2 = net.switch(["c2", "d2"], name="sw2")
        self.a, self.b = (net.peer(n, memory_mb=128, device=packed_nic)
                          for n in "ab")
        self.c, self.d = (net.peer(n, memory_mb=128) for n in "cd")
        for peer in (self.c, self.d):
            number = int(peer.address.rsplit(".", 1)[1])
            peer.arguments += second_nic(number, net.link(peer.name + "2"))
        try:
            self._up()
        except BaseException:
            net.close()
            raise

    def _up(self):
        self.net.up()
        for sw in (self.sw, self.sw2):
            sw.start_ovs()
            sw.add_ports()
            sw.ovs.wait_link_up(*sw.ports)
        self.sides = {"peer": (self.c, self.d)}
        for peer in (self.c, self.d):
            address = peer.address.replace("10.0.0.", "10.0.1.")
            peer.sh(f"ip addr add {address}/24 dev eth1 && "
                    "ip link set eth1 up")
        self.sides["switch"] = tuple(
            HostOf(p, p.address.replace("10.0.0.", "10.0.1."))
            for p in (self.c, self.d))
        traffic.wait_reachable(self.a, self.b)
        for pair in self.sides.values():
            traffic.wait_reachable(*pair)

    def close(self):
        self.net.close()

    @contextlib.contextmanager
    def uninvolved(self, side):
        """Traffic between c and d while the body runs, which must suffer no
        loss and no pause.  `side`: the kind of event, a key of self.sides."""
        c, d = self.sides[side]
        with traffic.tcp_stall(d, c) as tcp, \
                traffic.numbered_stream(c, d, rate=100, port=9050) as udp:
            yield
        if not udp["lost"] == udp["duplicated"] == udp["corrupted"] == 0:
            raise AssertionError(f"others' packets: {udp}")
        # The lag is the time for which c or d itself stood still: the network
        # does not answer for that.
        if tcp["stall"] - tcp["lag"] > 1000 or tcp["bytes"] != tcp["sent"]:
            raise AssertionError(f"others' TCP stream: {tcp}")
        print(f"uninvolved: {udp['received']} packets, none lost; TCP stalls "
              f"of at most {tcp['stall']} ms (lag {tcp['lag']} ms)",
              flush=True)

    def at_random(self):
        """Wait, under load, for a random part of a second."""
        deadline = time.monotonic() + self.random.uniform(0.2, 1.0)
        wait_until(lambda: time.monotonic() > deadline, 5, "it is time", 0.01)

    def boots(self):
        return [p.sh(BOOT_ID) for p in (self.a, self.b)]

    # Events of a peer.

    def _first_packet(self):
        """Called when b's guest has booted.  Sets b's interface up; returns the
        seconds from then until b has received the first packet of a, which
        sends all the time."""
        text = self.b.sh(
            "ip addr add " + self.b.address + "/24 dev eth0; "
            "ip link set eth0 up; read t0 x < /proc/uptime; "
            "until [ $(cat /sys/class/net/eth0/statistics/rx_packets) != 0 ]; "
            "do usleep 5000; done; read t1 x < /proc/uptime; echo $t0 $t1", 60)
        begin, end = map(float, text.split())
        return end - begin

    @contextlib.contextmanager
    def _load_on_b(self):
        """Streams both ways.  b's stream ends with b; a sends until the body
        ends."""
        a, b = self.a, self.b
        a.sh(f"arp -s {b.address} {b.mac}")
        b.start_command(f"seqstream send {a.address} 9001 {RATE}")
        sink = a.start_command("exec seqstream recv 9001")
        sender = a.start_command(f"exec seqstream send {b.address} 9000 {RATE}")
        try:
            yield
        finally:
            sender.close_stdin()
            sender.wait(40)
            sink.signal(15)
            sink.wait(40)

    def _peer_round(self, end, begin):
        with monitor(self.sw) as seen, self._load_on_b():
            self.at_random()
            end()
            down = seen.wait("b", up=False)
            begin()
            figures = {"status_down": down, "first_packet":
                       self._first_packet()}
            figures["status_up"] = seen.wait("b", up=True)
        traffic.wait_reachable(self.a, self.b)
        return figures

    def peer_killed(self):
        """kill -9 ends b's QEMU; a new QEMU starts."""
        def begin():
            self.b.start()
            super(type(self.b), self.b).ready()
        return self._peer_round(self.b.kill, begin)

    def peer_rebooted(self):
        """b's guest resets its machine while its programs run."""
        return self._peer_round(self.b.reboot_now, self.b.wait_booted)

    # Events of the switch.

    @contextlib.contextmanager
    def _cut(self):
        """A stream from a to b, and one from b to a.  Yields a function that
        waits until the stream to b has ended a gap, and returns the time."""
        a, b = self.a, self.b
        with traffic.numbered_stream(b, a, RATE, port=9001) as back, \
                traffic.numbered_stream(a, b, RATE, gap=GAP_MS) as there:
            receiver = there["receiver"]
            traffic.wait_reachable(a, b)
            seen = receiver.stdout.count("gap")

            def came_back():
                if not receiver.agent.wait(
                        lambda: receiver.stdout.count("gap") > seen, 30):
                    raise AssertionError(f"no packet came back: {receiver}")
                return time.monotonic()
            yield came_back
        for counts in (there, back):
            if counts["corrupted"]:
                raise AssertionError(f"damaged packets: {counts}")

    def _restarted(self, end):
        """end() ends ovs-vswitchd; then a new ovs-vswitchd starts."""
        ovs, boots = self.sw.ovs, self.boots()
        with self._cut() as came_back:
            self.at_random()
            ended = time.monotonic()
            end()
            begun = time.monotonic()
            ovs.start_switch()
            started = time.monotonic()
            first = came_back()
            ovs.wait_link_up("a", "b")
        traffic.wait_reachable(self.a, self.b)
        self.sw.check_rings()
        if boots != self.boots():
            raise AssertionError("a peer has rebooted")
        return {"first_packet": first - ended, "own_start": started - begun,
                "beyond_start": max(0, first - started)}

    def vswitchd_killed(self):
        return self._restarted(self.sw.ovs.kill_switch)

    def vswitchd_ended(self):
        """ovs-vswitchd exits cleanly, as for an upgrade; a new one starts."""
        return self._restarted(lambda: self.sw.sh(
            "ovs-appctl exit; while pidof ovs-vswitchd; do usleep 10000; "
            "done"))

    def switch_vm_killed(self):
        sw, boots = self.sw, self.boots()
        with self._cut() as came_back:
            self.at_random()
            sw.kill()
            sw.start().ready()
            sw.start_ovs()
            sw.add_ports("a")
            begun = time.monotonic()
            sw.add_ports("b")
            first = came_back()
        sw.add_ports("c", "d")
        sw.ovs.wait_link_up(*sw.ports)
        traffic.wait_reachable(self.a, self.b)
        sw.check_rings()
        if boots != self.boots():
            raise AssertionError("a peer has rebooted")
        return {"first_packet": first - begun}

    def ovsdb_killed(self):
        """kill -9 ends the database server; no packet may be lost by that."""
        sw = self.sw
        with traffic.numbered_stream(self.a, self.b, RATE) as counts:
            self.at_random()
            sw.sh("p=$(cat /run/openvswitch/ovsdb-server.pid); kill -9 $p; "
                  "while kill -0 $p 2>/dev/null; do usleep 10000; done")
            begun = time.monotonic()
            sw.ovs.start_database()
            # ovs-vsctl returns when vswitchd, connected again, has seen this.
            sw.ovs.vsctl("set", "bridge", "br0", "other_config:x="
                         f"{self.random.random()}")
            back = time.monotonic() - begun
        if not counts["lost"] == counts["duplicated"] == 0:
            raise AssertionError(f"{counts}")
        return {"database_back": back}

    def vswitchd_halted(self):
        """SIGSTOP halts ovs-vswitchd for some seconds.  Meanwhile b's driver
        leaves and comes back.  The device must not wait for ovs-vswitchd then:
        each QEMU's monitor still answers."""
        sw, b, slowest = self.sw, self.b, 0
        pid, boots = sw.ovs.switch_pid(), self.boots()
        device = b.sh(f"cd {DRIVER} && echo virtio[0-9]*").strip()
        with self._cut() as came_back:
            self.at_random()
            sw.sh(f"kill -STOP {pid}")
            end = time.monotonic() + HALT_SECONDS
            change = b.start_command(
                f"echo {device} > {DRIVER}/unbind && "
                f"echo {device} > {DRIVER}/bind && "
                f"ip addr add {b.address}/24 dev eth0; ip link set eth0 up")
            while time.monotonic() < end:
                slowest = max(slowest, *map(answer_time,
                                            (sw, self.a, b)))
            change.wait().check()
            sw.sh(f"kill -CONT {pid}")
            begun = time.monotonic()
            first = came_back()
        sw.ovs.wait_link_up("a", "b")
        traffic.wait_reachable(self.a, self.b)
        if boots != self.boots():
            raise AssertionError("a peer has rebooted")
        if slowest > ANSWER_SECONDS:
            raise AssertionError(f"a monitor took {slowest:.2f} s to answer")
        return {"first_packet": first - begun, "slowest_answer": slowest}


def answer_time(vm):
    """How long QEMU's monitor takes to answer."""
    begun = time.monotonic()
    vm.qmp.command("query-status")
    return time.monotonic() - begun


# Event: the side of c and d (a key of Rounds.sides) that it must not disturb.
EVENTS = {"peer_killed": "peer", "peer_rebooted": "peer",
          "ovsdb_killed": "peer", "vswitchd_killed": "switch",
          "vswitchd_ended": "switch", "vswitchd_halted": "switch",
          "switch_vm_killed": "switch"}


def run(net, event, count, found=None):
    """Run `count` rounds of an event.  Returns {figure: list of its values};
    `found`, if given, is this dictionary, filled after each round."""
    found = {} if found is None else found
    with net.uninvolved(EVENTS[event]):
        for number in range(count):
            figures = getattr(net, event)()
            print(f"{event} {number + 1}: " + ", ".join(
                f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
            for key, value in figures.items():
                found.setdefault(key, []).append(value)
    return found
