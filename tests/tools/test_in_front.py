# SPDX-License-Identifier: Apache-2.0
"""in_front of tools/stages.sh, with which quickstart runs the demonstration: a
signal to quickstart alone ends the command at once, with its children; and the
command can read from the terminal."""
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SECONDS = 60  # a deadline for things that come at once, except under load

# A program in place of the demonstration, with the same handling of signals.
# It has a child to end, and its end takes a moment, in which a second signal
# must not disturb it.
DEMO = """
import os, subprocess, sys, time
sys.path.insert(0, {vm!r})
import demo
from harness.procs import Child
demo.end_on_signals()
child = Child(["sleep", "1000"])
try:
    print("ready", child.pid, flush=True)
    {wait}
finally:
    time.sleep(0.5)
    child.end()
    print("cleaned", flush=True)
"""


def command(tmp_path, wait):
    """A shell command that runs DEMO as quickstart runs the demonstration."""
    demo = DEMO.format(vm=str(TOP / "tests" / "vm"), wait=wait)
    script = tmp_path / "quickstart"
    script.write_text(
        f"set -euo pipefail\n. {TOP}/tools/lib.sh\n. {TOP}/tools/stages.sh\n"
        "begin_stages\n"
        f"in_front {sys.executable} -u -c {shlex.quote(demo)}\n"
        "echo after $?\n")
    return ["bash", str(script)]


def mind_signals():
    """Stop ignoring signals.  The program that started this test may ignore
    some (nohup, a shell's background job); a shell would inherit that, and
    could not trap them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(tmp_path, wait, **options):
    env = {**os.environ, "VHOSTPCI_BUILDDIR": str(tmp_path / "build"),
           "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(command(tmp_path, wait), env=env,
                            start_new_session=True, preexec_fn=mind_signals,
                            **options)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGHUP])
def test_a_signal_to_quickstart_alone_ends_and_cleans_all(tmp_path, number):
    # Without a terminal, the demonstration waits for a signal.
    shell = start(tmp_path, "__import__('signal').pause()", text=True,
                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        ready, pid = shell.stdout.readline().split()
        assert ready == "ready"
        os.kill(shell.pid, number)
        rest, _ = shell.communicate(timeout=SECONDS)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert rest.splitlines()[-1] == "cleaned", rest
    assert shell.returncode == 128 + number
    assert gone(int(pid))


def test_what_is_in_front_ends_by_itself_with_its_exit_code(tmp_path):
    shell = start(tmp_path, "sys.exit(7)", text=True,
                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out, _ = shell.communicate(timeout=SECONDS)
    assert "cleaned" in out and "after" not in out, out
    assert shell.returncode == 7


class Terminal:
    """A shell in the foreground of a new terminal."""

    def __init__(self, tmp_path, wait):
        pid, self.fd = pty.fork()
        if pid == 0:
            mind_signals()
            os.environ["VHOSTPCI_BUILDDIR"] = str(tmp_path / "build")
            line = command(tmp_path, wait)
            os.execvp(line[0], line)
        self.pid, self.text = pid, ""

    def read(self):
        assert select.select([self.fd], [], [], SECONDS)[0], self.text
        data = os.read(self.fd, 4096).decode()
        self.text += data
        return data

    def until(self, word):
        while word not in self.text:
            self.read()

    def type(self, data):
        os.write(self.fd, data)

    def exit_code(self):
        try:
            while self.read():
                pass
        except OSError:  # the end of a terminal's output
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_what_is_in_front_reads_from_the_terminal(tmp_path):
    terminal = Terminal(tmp_path, "print('got', input(), flush=True)")
    terminal.until("ready")
    terminal.type(b"a line\n")
    assert terminal.exit_code() == 0
    assert "got a line" in terminal.text and "cleaned" in terminal.text


def test_an_interrupt_from_the_keyboard_cleans_all(tmp_path):
    """The terminal sends the interrupt to quickstart and to the command in
    front; then quickstart signals the command a second time."""
    terminal = Terminal(tmp_path, "input()")
    terminal.until("ready")
    terminal.type(b"\x03")
    assert terminal.exit_code() == 130
    assert "cleaned" in terminal.text, terminal.text
