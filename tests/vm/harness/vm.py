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
# Prints a line for each thread of the guest's programs (name, state, CPU time,
# system call, innermost functions of the kernel), then timers and interrupts.
THREADS = r"""
for t in /proc/[0-9]*/task/[0-9]*; do
    [ -e $t/exe ] || continue
    echo "$(cat $t/comm) $(cut -d' ' -f3,14,15 $t/stat) $(cat $t/syscall |
        cut -d' ' -f1) $(head -n 3 $t/stack | sed 's/.* //' | tr '\n' ' ')"
done 2> /dev/null
grep -E 'cpu:|expires_next|idle_expires' /proc/timer_list
grep -m1 now /proc/timer_list; grep -E 'LOC|RES|CAL|TLB' /proc/interrupts"""
KERNEL_DIED = re.compile("Kernel panic - not syncing: Fatal exception"
                         "|rcu_preempt kthread starved")


class Vm:
    """A VM.  Until start(), the caller may change the options, which are
    attributes.  After kill(), start() starts the same machine again.

    `rundir`: a folder with a short path, for sockets.  `logdir`: the folder of
    NAME.console.log and NAME.qemu.log, to which each start appends."""

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
        """A new path for each start: the socket of the last start may still
        exist."""
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
            # no_timer_check: the kernel's timer check counts ticks in a busy
            # loop; if the emulator is short of CPU time, the check fails and
            # the kernel panics.
            # norandmaps: libc has the same address in all processes, so the
            # emulator translates its code only once.
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
        # Two seconds after the start, Linux patches instructions (jump labels)
        # while other CPUs run.  QEMU 10's emulator sometimes runs a
        # half-patched one, in one of a hundred boots.  A fault of this project
        # would show in the second boot, too.
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
        """Run a command to its end; returns the Command, with any exit code."""
        return self.agent.start(command).wait(seconds)

    def sh(self, command, seconds=30):
        """Run a command, whose exit code must be 0; returns its output."""
        return self.run(command, seconds).check().stdout

    def put(self, path, data, mode=0o644):
        """Write a file in the guest, and compare the checksum that the guest
        computes."""
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
        """Stop the whole QEMU process, as if the host did not schedule it."""
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
        """Kill QEMU, start it again, and wait until the guest is ready."""
        self.kill()
        return self.start().ready()

    def reboot_now(self):
        """Make the guest's kernel reset the machine while programs run.  QEMU
        goes on.  wait_booted() waits for the guest."""
        self.qmp.command("set-action", reboot="reset")
        self.agent.forget()
        self.agent.start("echo b > /proc/sysrq-trigger")

    def wait_booted(self, seconds=BOOT_SECONDS):
        self.agent.wait_hello(seconds)

    def _close(self):
        for channel in (self.agent, self.qmp):
            if channel:
                channel.close()

    def state(self):
        """What the CPUs and the guest's programs do: for the report of a test
        that waited in vain."""
        lines = []
        try:
            with self.qmp.patience(10):
                lines += re.findall(r"^(?:CPU#\d|RIP=).*",
                                    self.qmp.hmp("info registers -a"), re.M)
                for cpu in range(self.cpus):
                    lines += re.findall(r"^(?:LVTT\t|Timer|IRR).*",
                                        self.qmp.hmp("info lapic", cpu), re.M)
            lines.append(self.run(THREADS, 20).stdout)
        except (OSError, ValueError, AttributeError, AssertionError) as error:
            lines.append(f"(no answer: {error})")
        return "\n".join(lines)

    def console_tail(self, lines=30):
        try:
            text = self.console_log.read_text(errors="replace")
        except OSError:
            return "(no console output)"
        return "\n".join(text.splitlines()[-lines:])
