# SPDX-License-Identifier: Apache-2.0
"""Sees the messages PORT_STATUS that a controller sees."""
import contextlib
import time

from .procs import wait_until


class Monitor:
    """`ovs-ofctl monitor` in the switch VM."""

    def __init__(self, sw):
        # 65534, the length of packet-ins, makes Open vSwitch send unasked
        # messages to this client of the management socket, too.
        self.command = sw.start_command(
            "exec ovs-ofctl -O OpenFlow13 monitor br0 65534 2>&1")
        self.seen = 0
        # The monitor does not say when it is ready: change a port until the
        # monitor reports a change.
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
        """Wait for the next PORT_STATUS that says that the port is up (or
        down), after those that earlier calls have found; returns the seconds
        that this took."""
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
