# SPDX-License-Identifier: Apache-2.0
"""One virtual machine: a QEMU process, its console log, its command channel."""
import base64
import hashlib
import re
import signal
import time
from pathlib import Path

from . import config
from .agent import Agent, AgentError
from .procs import Child
from .qmp import Qmp

BOOT_SECONDS = 90
KERNEL_DIED = re.compile("Kernel panic - not syncing: Fatal exception"
                         "|rcu_preempt kthread starved")


class Vm:
    """Options are attributes until start(); start, kill and start again is a
    restart of the same machine.

    rundir: short path for sockets; logdir: where NAME.console.log,
    NAME.qemu.log go (appended to by each start)."""

    def __init__(self, name, rundir, logdir, qemu, image, memory_mb=256,
                 machine="q35", cpus=1, append="", arguments=(),
                 shared_memory=False, share="on", kernel=None):
        self.name = name
        self.rundir, self.logdir = Path(rundir), Path(logdir)
        self.qemu, self.image = qemu, image
        self.kernel = kernel or config.kernel_image()
        self.memory_mb, self.machine, self.cpus = memory_mb, machine, cpus
        self.append, self.arguments = append, list(arguments)
        self.shared_memory, self.share = shared_memory, share
        self.child = self.agent = self.qmp = None
        self.generation = 0
        self.started_at = self.ready_after = None

    @property
    def console_log(self):
        return self.logdir / f"{self.name}.console.log"

    @property
    def qemu_log(self):
        return self.logdir / f"{self.name}.qemu.log"

    def socket_path(self, what):
        """A fresh socket name for each start: the last one's may linger."""
        return self.rundir / f"{self.name}.{what}{self.generation}"

    def channels(self):
        """Arguments for the console, the agent and the monitor."""
        run = self.socket_path
        return [
            "-chardev", f"socket,id=console,path={run('console')},server=on,"
            f"wait=off,logfile={self.console_log},logappend=on",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=agent,path={run('agent')}",
            "-serial", "chardev:agent",
            "-chardev", f"socket,id=qmp,path={run('qmp')}",
            "-mon", "chardev=qmp,mode=control",
        ]

    def command_line(self):
        command = [
            self.qemu, "-name", self.name, "-M", self.machine,
            "-accel", config.accel(), "-cpu", config.cpu(), "-nodefaults",
            "-display", "none", "-no-reboot", "-smp", str(self.cpus),
            "-m", f"{self.memory_mb}M", "-L", "/usr/share/qemu",
            "-L", "/usr/share/seabios",
            "-kernel", self.kernel, "-initrd", self.image,
            # The kernel's timer check counts ticks in a busy loop: on an
            # emulator that is short of CPU time it fails, and panics.
            # Without norandmaps each process has libc elsewhere, and the
            # emulator translates all code of each anew.
            "-append", "console=ttyS0 panic=-1 loglevel=4 no_timer_check "
            "norandmaps " + self.append,
            *self.channels(),
        ]
        if self.shared_memory:
            command += ["-object", f"memory-backend-memfd,id=ram,size="
                        f"{self.memory_mb}M,share={self.share}",
                        "-numa", "node,memdev=ram"]
        return command + self.arguments

    def start(self):
        """Start QEMU; ready() waits for the guest."""
        self.generation += 1
        self.logdir.mkdir(parents=True, exist_ok=True)
        self.agent = Agent(self.name, self.socket_path("agent"))
        self.qmp = Qmp(self.socket_path("qmp"))
        self.started_at = time.monotonic()
        self.child = Child(self.command_line(), log=self.qemu_log)
        return self

    def ready(self, seconds=BOOT_SECONDS):
        """Wait until commands can be run."""
        try:
            return self._wait_ready(seconds)
        except AgentError as error:
            if config.is_kvm() or not KERNEL_DIED.search(str(error)):
                raise
        # QEMU 10's emulator sometimes runs half of an instruction that Linux
        # patches on another CPU (jump labels), 2 s after the start. Tests see
        # it in one of a hundred boots. A fault of ours would come again.
        print(f"{self.name}: the kernel died in the emulator; a second start",
              flush=True)
        self.kill()
        return self.start()._wait_ready(seconds)

    def _wait_ready(self, seconds):
        try:
            self.agent.accept(seconds)
            self.qmp.accept(seconds)
            self.agent.wait_hello(seconds)
        except (OSError, AgentError) as error:
            raise AgentError(
                f"{self.name} did not boot: {error}\n{self.child.output()}\n"
                f"{self.console_tail()}") from error
        self.ready_after = time.monotonic() - self.started_at
        return self

    def start_command(self, command):
        """Run a command in the background; returns a Command."""
        return self.agent.start(command)

    def run(self, command, seconds=30):
        """Run to the end, whatever its exit code; returns the Command."""
        return self.agent.start(command).wait(seconds)

    def sh(self, command, seconds=30):
        """Run to the end; exit code must be 0; returns its output."""
        return self.run(command, seconds).check().stdout

    def put(self, path, data, mode=0o644):
        """Write a file in the guest; the guest's own checksum is compared."""
        if isinstance(data, str):
            data = data.encode()
        command = self.agent.start(
            f"cat > '{path}' && chmod {mode:o} '{path}' && "
            f"sha256sum '{path}'")
        command.write(data)
        command.close_stdin()
        digest = command.wait(60).check().stdout.split()[0]
        if digest != hashlib.sha256(data).hexdigest():
            raise AgentError(f"{self.name}: {path} arrived damaged")

    def get(self, path):
        """Read a file of the guest."""
        return base64.b64decode(self.sh(["base64", path], 60))

    def running(self):
        return self.child is not None and self.child.running()

    def pause(self):
        """Freeze the whole process, as a host that stops scheduling it."""
        self.child.signal(signal.SIGSTOP)

    def resume(self):
        self.child.signal(signal.SIGCONT)

    def kill(self):
        """End QEMU as a crash would."""
        self.child.kill()
        self._close()

    def stop(self):
        if self.child:
            self.child.end()
        self._close()

    def restart(self):
        """Kill and boot again; waits until ready."""
        self.kill()
        return self.start().ready()

    def reboot_now(self):
        """The guest's kernel resets the machine under running programs; QEMU
        lives on.  wait_booted() waits for the guest."""
        self.qmp.command("set-action", reboot="reset")
        self.agent.forget()
        self.agent.start("echo b > /proc/sysrq-trigger")

    def wait_booted(self, seconds=BOOT_SECONDS):
        self.agent.wait_hello(seconds)

    def _close(self):
        for channel in (self.agent, self.qmp):
            if channel:
                channel.close()

    def console_tail(self, lines=30):
        try:
            text = self.console_log.read_text(errors="replace")
        except OSError:
            return "(no console output)"
        return "\n".join(text.splitlines()[-lines:])
