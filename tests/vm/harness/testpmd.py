# SPDX-License-Identifier: Apache-2.0
"""A switch VM without OVS: Debian's testpmd drives the ports, so that a test
tests only the driver."""
import os
import re
import subprocess

from . import config
from .images import DPDK_PLUGINS, GUEST, SWITCH_MODULES
from .procs import Late, wait_until
from .talk import Talk
from .topology import Port, Switch


def dpdk_tool(images, name):
    """Compile one of guest/*.c that uses DPDK."""
    out = images.workdir / name
    source = GUEST / (name + ".c")
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        flags = [subprocess.run(["pkg-config", what, "libdpdk"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
                 for what in ("--cflags", "--libs")]
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-Wall", "-s",
                        "-DALLOW_EXPERIMENTAL_API", *flags[0].split(),
                        "-o", out, source, *flags[1].split()], check=True)
    return out


def image(images):
    """The image that switch() boots."""
    def fill(archive):
        archive.program(config.program("dpdk-testpmd"))
        # testpmd flushes its output to a terminal, but not to a pipe: `script`
        # gives it a terminal.
        archive.program(config.program("script"))
        archive.program(dpdk_tool(images, "plugcycle"))
        archive.library(config.libgcc())
        target = str(config.dpdk_plugin_dir()).lstrip("/")
        for stem in DPDK_PLUGINS:
            archive.plugin(config.dpdk_plugin_dir(), stem, target)
        archive.plugin(config.plugin().parent, "librte_net_vpci", target,
                       strip=images.workdir / "plugin.stripped")
        return SWITCH_MODULES
    return images._once("testpmd", fill)


def switch(net, ports=("a", "b"), **options):
    """The switch VM of a topology, for testpmd."""
    made = []
    for port in ports:
        name, extra = (port, "") if isinstance(port, str) else port
        made.append(Port(name, net.link(name), extra))
    options.setdefault("qemu", config.our_qemu())
    options.setdefault("image", image(net.images))
    return net._add(Switch("sw", made, rundir=net.rundir, logdir=net.logdir,
                           **options))


def plugcycle(sw, count, port, args="-", seconds=600):
    """Run guest/plugcycle.c on a port; returns the Command."""
    # EAL loads all drivers of the plugin directory.  testpmd's image has put
    # more drivers there, which find their libraries only by LD_LIBRARY_PATH.
    return sw.run(
        f"ulimit -l unlimited; LD_LIBRARY_PATH={config.dpdk_plugin_dir()} "
        f"plugcycle {count} {sw.ports[port].address} {args} -l 0 "
        "--no-telemetry -a 0000:00:00.0", seconds)


class Sleeper:
    """guest/rxsleep.c on a port that no other program in the switch VM uses."""

    def __init__(self, sw, images, port, queues=1, eal=""):
        sw.put("/usr/bin/rxsleep", dpdk_tool(images, "rxsleep").read_bytes(),
               0o755)
        self.command = sw.start_command(
            f"ulimit -l unlimited; exec rxsleep {queues} -l 0 --no-telemetry "
            f"-a {sw.ports[port].address} {eal}")

    def ready(self):
        self.command.wait_output("ready\n")
        return self

    def report(self):
        """rxsleep's counters, by name."""
        lines = self.command.stdout.count("\n")
        self.command.write(b"?")
        wait_until(lambda: self.command.stdout.count("\n") > lines, 20,
                   "rxsleep answers")
        return {k: int(v) for k, v in re.findall(
            r"(\w+)=(\d+)", self.command.stdout.splitlines()[-1])}

    def end(self):
        self.command.close_stdin()
        self.command.wait(20).check()


class Testpmd(Talk):
    """One run of testpmd in a switch VM, forwarding between two ports."""

    __test__ = False  # pytest takes a class named Test* for tests
    name = "testpmd"

    def __init__(self, sw, options="", eal="", wait=60):
        self.sw = sw
        line = ("ulimit -l unlimited; exec script -q -c 'dpdk-testpmd -l 0,1 "
                f"--no-telemetry {eal} "
                "--log-level=pmd.net.vpci:debug -- -i --forward-mode=io "
                f"--no-flush-rx --total-num-mbufs=8192 {options}' /dev/null")
        self.command = sw.start_command(line)
        try:
            self.said("start", wait)
        except Late as late:
            # An emulated guest has stood still here for minutes, before EAL
            # called the first driver.  A fault of this project would show in
            # the second start, too.
            if config.is_kvm() or "Probe PCI driver" in self.text:
                raise
            print(f"a second start of testpmd: {late}", flush=True)
            self.kill()
            self.command = sw.start_command(line)
            self.said("start", wait)

    @property
    def text(self):
        return self.command.stdout

    def type(self, words):
        self.command.write(words.encode())

    def ended(self):
        return self.command.status is not None

    def where(self):
        return self.sw.state()

    def link_up(self, number):
        return "Link status: up" in self.said(f"show port info {number}")

    def wait_link(self, number, up, seconds=10):
        wait_until(lambda: self.link_up(number) == up, seconds,
                   f"port {number} is {'up' if up else 'down'}")

    def xstats(self, number):
        text = self.said(f"show port xstats {number}")
        return {k: int(v) for k, v in re.findall(r"(\w+): (\d+)", text)}

    def pid(self):
        return int(self.sw.sh("pidof dpdk-testpmd"))

    def kill(self):
        """Kill testpmd as a crash would; returns when it is gone."""
        pid = self.pid()
        self.sw.sh(f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do "
                   "usleep 10000; done")
        self.command.wait(10)

    def quit(self):
        self.type("quit\n")
        self.command.wait(30)
        assert "Bye..." in self.text, self.text[-2000:]
