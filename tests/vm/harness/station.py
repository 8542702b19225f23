# SPDX-License-Identifier: Apache-2.0
"""A peer without a guest, which answers ARP and ping, and pings others.  It can
replace a small VM in tests that count joins, ports and answers."""
import socket
import struct
import sys
import threading
import time

from . import config
from .procs import wait_until

sys.path.insert(0, str(config.TOP / "tests" / "native"))

from raw_peer import RawPeer  # noqa: E402

ARP, IPV4, ICMP = 0x806, 0x800, 1
NUM = 64  # entries of a ring


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Station:
    """One NIC of such a peer.  `beside`: another NIC of the same peer."""

    def __init__(self, path, number, nics=1, beside=None):
        self.address = f"10.0.0.{number}"
        self.ip = socket.inet_aton(self.address)
        self.mac = bytes((2, 0, 0, 0, 1, number))
        self.peer = RawPeer(path, num=NUM, nics=nics,
                            beside=beside and beside.peer)
        self.answers = set()
        self.stop = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.stop = True
        self.thread.join()
        self.peer.close()

    def _run(self):
        while not self.stop:
            with self.lock:
                for frame in self.peer.receive():
                    self._take(frame)
            time.sleep(0.005)

    def _send(self, to, kind, payload):
        frame = to + self.mac + struct.pack("!H", kind) + payload
        self.peer.put(frame.ljust(60, b"\0"))
        self.peer.send()

    def _arp(self, operation, to, ip):
        self._send(to, ARP, struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
                   + self.mac + self.ip + (to if operation == 2 else bytes(6))
                   + ip)

    def _echo(self, to, ip, kind, rest):
        icmp = struct.pack("!BBH", kind, 0, 0) + rest
        icmp += bytes(len(icmp) % 2)
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64,
                           ICMP, 0, self.ip, ip)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        self._send(to, IPV4, head + icmp)

    def _take(self, frame):
        sender, kind = frame[6:12], struct.unpack_from("!H", frame, 12)[0]
        if kind == ARP and frame[38:42] == self.ip:
            if struct.unpack_from("!H", frame, 20)[0] == 1:
                self._arp(2, sender, frame[28:32])
            else:
                # The answer to an ARP request of ping(): send the echo request.
                self._echo(sender, frame[28:32], 8, bytes(32))
        elif kind == IPV4 and frame[30:34] == self.ip and frame[23] == ICMP:
            length = struct.unpack_from("!H", frame, 16)[0]
            if frame[34] == 8:
                self._echo(sender, frame[26:30], 0, frame[38:14 + length])
            elif frame[34] == 0:
                self.answers.add(socket.inet_ntoa(frame[26:30]))

    def ping(self, addresses, seconds=20):
        """Ping the addresses until all have answered."""
        self.answers = set()
        wanted = set(addresses)

        def asked():
            for address in wanted - self.answers:
                with self.lock:
                    self._arp(1, b"\xff" * 6, socket.inet_aton(address))
            time.sleep(0.2)
            return wanted <= self.answers
        wait_until(asked, seconds, f"{self.address} reaches {wanted}")
