# SPDX-License-Identifier: Apache-2.0
"""The host's end of the command channel; see guest/agent.c for the frames."""
import shlex
import socket
import struct
import threading

from . import config

MAGIC = 0x31415056
HEADER = struct.Struct("<IIII")
EXEC, STDIN, EOF, SIGNAL = 1, 2, 3, 4
HELLO, STDOUT, STDERR, EXIT, ACK = 16, 17, 18, 19, 20
CHUNK = 16384


class AgentError(AssertionError):
    """The channel broke, or a command failed or took too long."""


class Command:
    """A command that runs, or ran, in a guest."""

    def __init__(self, agent, number, text):
        self.agent, self.number, self.text = agent, number, text
        self.out, self.err = bytearray(), bytearray()
        self.status = None
        self.acks = 0

    @property
    def stdout(self):
        return self.out.decode(errors="replace")

    @property
    def stderr(self):
        return self.err.decode(errors="replace")

    @property
    def code(self):
        """Exit code, or minus the signal's number."""
        if self.status is None:
            return None
        signal_number = self.status & 0x7f
        return -signal_number if signal_number else self.status >> 8

    def wait(self, seconds=30):
        """Wait until the command ends.  If it does not end in time, kill it
        and raise AgentError."""
        if not self.agent.wait(lambda: self.status is not None, seconds):
            self.signal(9)
            raise AgentError(f"{self.agent.name}: not done within {seconds} s:"
                             f" {self}")
        return self

    def wait_output(self, text, seconds=30):
        """Wait until the command's standard output contains `text`.  Raise
        AgentError if the command ends, or the time is over, without it."""
        if not self.agent.wait(lambda: text in self.stdout
                               or self.status is not None, seconds) \
                or text not in self.stdout:
            raise AgentError(f"{self.agent.name}: no {text!r} from {self}")
        return self

    def check(self):
        if self.code != 0:
            raise AgentError(f"{self.agent.name}: failed: {self}")
        return self

    def signal(self, number):
        self.agent.send(SIGNAL, self.number, struct.pack("<I", number))

    def write(self, data, seconds=30):
        for at in range(0, len(data), CHUNK):
            before = self.acks
            self.agent.send(STDIN, self.number, data[at:at + CHUNK])
            if not self.agent.wait(lambda: self.acks > before, seconds):
                raise AgentError(f"{self.agent.name}: takes no input: {self}")

    def close_stdin(self):
        self.agent.send(EOF, self.number, b"")

    def __str__(self):
        return (f"`{self.text}` (exit {self.code})\n--- stdout\n"
                f"{self.stdout[-3000:]}\n--- stderr\n{self.stderr[-3000:]}")


class Agent:
    """One guest's channel.  The caller creates it before it starts QEMU,
    because QEMU connects to `path`."""

    def __init__(self, name, path):
        self.name = name
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.connection = None
        self.commands = {}
        self.counter = 0
        self.changed = threading.Condition()
        self.hello = self.broken = False
        self.send_lock = threading.Lock()

    def accept(self, seconds):
        self.listener.settimeout(seconds * config.TIME_SCALE)
        self.connection = self.listener.accept()[0]
        threading.Thread(target=self._read, daemon=True).start()

    def wait_hello(self, seconds):
        if not self.wait(lambda: self.hello, seconds):
            raise AgentError(f"{self.name}: the guest did not come up within "
                             f"{seconds} s")

    def forget(self):
        """Forget all commands under way: the guest is about to reboot, so
        their ends are never reported."""
        with self.changed:
            self.hello = False
            self.commands.clear()

    def wait(self, condition, seconds):
        """Wait for condition() under the lock; False when late."""
        with self.changed:
            if self.changed.wait_for(lambda: self.broken or condition(),
                                     seconds * config.TIME_SCALE):
                # Output that arrived before the channel broke counts.
                if self.broken and not condition():
                    raise AgentError(f"{self.name}: the VM is gone")
                return True
            return False

    def start(self, command):
        """Start a shell command (a list is quoted); returns at once."""
        if not isinstance(command, str):
            command = shlex.join(str(c) for c in command)
        with self.changed:
            self.counter += 1
            started = Command(self, self.counter, command)
            self.commands[started.number] = started
        self.send(EXEC, started.number, command.encode())
        return started

    def send(self, kind, number, payload):
        with self.send_lock:
            try:
                self.connection.sendall(
                    HEADER.pack(MAGIC, kind, number, len(payload)) + payload)
            except OSError as error:
                raise AgentError(f"{self.name}: {error}") from error

    def _read(self):
        buffer = bytearray()
        try:
            while True:
                data = self.connection.recv(65536)
                if not data:
                    break
                buffer += data
                self._take_frames(buffer)
        except OSError:
            pass
        with self.changed:
            self.broken = True
            self.changed.notify_all()

    def _take_frames(self, buffer):
        while True:
            # Firmware or an early console may have written before the agent.
            start = buffer.find(struct.pack("<I", MAGIC))
            if start < 0:
                del buffer[:-3]
                return
            del buffer[:start]
            if len(buffer) < HEADER.size:
                return
            _, kind, number, length = HEADER.unpack_from(buffer)
            if len(buffer) < HEADER.size + length:
                return
            payload = bytes(buffer[HEADER.size:HEADER.size + length])
            del buffer[:HEADER.size + length]
            with self.changed:
                self._take_frame(kind, number, payload)
                self.changed.notify_all()

    def _take_frame(self, kind, number, payload):
        if kind == HELLO:
            self.hello = True
            return
        command = self.commands.get(number)
        if not command:
            return
        if kind == STDOUT:
            command.out += payload
        elif kind == STDERR:
            command.err += payload
        elif kind == ACK:
            command.acks += 1
        elif kind == EXIT:
            command.status = struct.unpack("<I", payload)[0]
            del self.commands[number]

    def close(self):
        for s in (self.connection, self.listener):
            if s:
                s.close()
