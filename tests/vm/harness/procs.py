# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive this process, and waiting with a deadline.

Every child has a parent-death signal, so it ends even if this process is
killed and cannot clean up; `Child.end` ends it by its pid.  Each child has its
own process group: an interrupt from the keyboard reaches only this process,
which then ends the children in order.
"""
import atexit
import ctypes
import functools
import os
import signal
import subprocess
import time
import weakref

from . import config

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_live = weakref.WeakSet()


class Late(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(condition, seconds, what, interval=0.1):
    """Poll until condition() is true and return its value, or raise Late."""
    deadline = time.monotonic() + seconds * config.TIME_SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late(f"not within {seconds} s: {what} (last: {value!r})")
        time.sleep(interval)


def _die_with(parent):
    """Ask the kernel to kill this process when `parent` ends.  The child calls
    this between fork and exec, and Popen returns after that; so at no time
    can the child outlive its parent."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A child process.  Its output goes to the file `log`; with None, to the
    output of this process.  With `pipes`, process.stdin and process.stdout
    are text files, through which the caller talks to the child."""

    def __init__(self, command, log=None, env=None, cwd=None, pipes=False):
        self.command = [str(c) for c in command]
        self.log = log
        out = open(log, "ab") if log else None
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else out, stderr=out,
                text=pipes, env=env, cwd=cwd, start_new_session=True,
                preexec_fn=functools.partial(_die_with, os.getpid()))
        finally:
            if out:
                out.close()
        _live.add(self)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def output(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except (OSError, TypeError):
            return ""

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        """End the child at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self, seconds=5):
        """Ask the child to end; kill it if it does not."""
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        _live.discard(self)
        return self.process.returncode


@atexit.register
def _end_all():
    for child in list(_live):
        if child.running():
            child.kill()
