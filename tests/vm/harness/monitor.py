# SPDX-License-Identifier: Apache-2.0
"""PORT_STATUS as a controller sees it."""
import contextlib
import time

from .procs import wait_until


class Monitor:
    """`ovs-ofctl monitor` in the switch VM: sees PORT_STATUS as a controller
    does."""

    def __init__(self, sw):
        # With a length for packet-ins: without, a client of the management
        # socket is sent nothing unasked.
        self.command = sw.start_command(
            "exec ovs-ofctl -O OpenFlow13 monitor br0 65534 2>&1")
        self.seen = 0
        # It says nothing by itself: change a port until it tells of it.
        wait_until(lambda: self._tells_of_a_change(sw), 20,
                   "the monitor listens")
        self.seen = len(self.marks())

    def _tells_of_a_change(self, sw):
        for word in ("no-packet-in", "packet-in"):
            sw.ovs.ofctl("mod-port", "br0", "br0", word)
        return any("(br0)" in m for m in self.marks()[1:])

    def marks(self):
        return self.command.stdout.split("PORT_STATUS")

    def wait(self, port, up, seconds=20):
        """Seconds until a PORT_STATUS said that the port is up (or down),
        after those that earlier calls waited for."""
        started = time.monotonic()

        def came():
            for number, mark in enumerate(self.marks()):
                if number >= self.seen and f"({port})" in mark \
                        and "speed:" in mark \
                        and ("LINK_DOWN" not in mark) == up:
                    self.seen = number + 1
                    return True
            return False
        if not self.command.agent.wait(came, seconds):
            raise AssertionError(f"not told that {port} is "
                                 f"{'up' if up else 'down'}: "
                                 f"{self.command.stdout[-2000:]}")
        return time.monotonic() - started


@contextlib.contextmanager
def monitor(sw):
    started = Monitor(sw)
    try:
        yield started
    finally:
        started.command.signal(15)
        started.command.wait(10)
