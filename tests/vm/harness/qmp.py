# SPDX-License-Identifier: Apache-2.0
"""A small QMP client.  QEMU connects to the client's socket, so the client need
not poll until QEMU has made a socket."""
import contextlib
import json
import socket

from . import config


class QmpError(AssertionError):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.connection = self.file = None
        self.events = []

    def accept(self, seconds):
        self.listener.settimeout(seconds * config.TIME_SCALE)
        self.connection = self.listener.accept()[0]
        self.connection.settimeout(seconds * config.TIME_SCALE)
        self.file = self.connection.makefile("rw")
        json.loads(self.file.readline())  # QEMU's greeting
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """Run one QMP command; returns its "return" value."""
        self.file.write(json.dumps({"execute": name,
                                    "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise QmpError(f"{name}: QEMU closed the monitor")
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    @contextlib.contextmanager
    def patience(self, seconds):
        """Answers may take that long while the body runs."""
        before = self.connection.gettimeout()
        self.connection.settimeout(seconds)
        try:
            yield
        finally:
            self.connection.settimeout(before)

    def hmp(self, text, cpu=0):
        """Run a line of the human monitor; returns its text."""
        return self.command("human-monitor-command",
                            **{"command-line": text, "cpu-index": cpu})

    def close(self):
        for s in (self.file, self.connection, self.listener):
            if s:
                s.close()
