# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch: the same class drives one in a guest or one on the host.

Only `run(command, seconds)` differs.  It returns an object with .code, .stdout,
.stderr and .check().
"""
import json
import re
import shlex

from .agent import AgentError
from .procs import wait_until

# pmd-maxsleep: an idle PMD thread sleeps, because several VMs share few cores.
# per-port-memory: each port has buffers of its own; only so do two ports fit in
# 192 MiB.
OTHER_CONFIG = {"dpdk-init": "true", "per-port-memory": "true",
                "pmd-maxsleep": "100"}


LOGGED = re.compile(r"^[^|\n]*\|\d+\|[^|\n]*\|(WARN|INFO)\|.*\n?", re.M)


class Ovs:
    """Runs ovs-vsctl, ovs-ofctl and ovs-appctl with one ovs-vswitchd."""

    bridge = "br0"

    def __init__(self, run):
        self.run = run

    def vsctl(self, *arguments, seconds=40):
        """Run ovs-vsctl; its exit code must be 0.  Returns its output, also the
        text 'Error detected', with which the exit code is 0, too.  Leaves out
        the lines that ovs-vsctl logs, for example that it waited long for the
        emulator."""
        done = self.run(shlex.join(["ovs-vsctl", f"--timeout={seconds}",
                                    *map(str, arguments)]), seconds + 5)
        done.check()
        return done.stdout + LOGGED.sub("", done.stderr)

    def ofctl(self, *arguments, seconds=20):
        done = self.run(shlex.join(["ovs-ofctl", "-O", "OpenFlow13",
                                    *map(str, arguments)]), seconds)
        return done.check().stdout

    def appctl(self, *arguments, seconds=20):
        done = self.run(shlex.join(["ovs-appctl", *map(str, arguments)]),
                        seconds)
        return done.check().stdout

    def show(self):
        return self.vsctl("show")

    def add_bridge(self):
        self.vsctl("--may-exist", "add-br", self.bridge, "--", "set", "bridge",
                   self.bridge, "datapath_type=netdev")

    def add_port(self, name, kind, seconds=40, **columns):
        """Add a port; a keyword `options` is a dictionary."""
        settings = [f"type={kind}"]
        for key, value in columns.items():
            if isinstance(value, dict):
                settings += [f"{key}:{k}={json.dumps(str(v))}"
                             for k, v in value.items()]
            else:
                settings.append(f"{key}={value}")
        return self.vsctl("add-port", self.bridge, name, "--", "set",
                          "Interface", name, *settings, seconds=seconds)

    def del_port(self, name):
        return self.vsctl("--if-exists", "del-port", self.bridge, name)

    def get(self, name, column):
        """A column of an Interface.  A map becomes a dictionary."""
        text = self.vsctl("--format=json", "--columns=" + column, "list",
                          "Interface", name)
        return _plain(json.loads(text)["data"][0][0])

    def wait_interface(self, name, column, value, seconds=30):
        """Wait until a column has a value (or satisfies a function)."""
        test = value if callable(value) else lambda v: v == value

        def right():
            got = self.get(name, column)
            return (True, got) if test(got) else False
        return wait_until(right, seconds,
                          f"{name}.{column} = {value}", 0.2)[1]

    def wait_link_up(self, *names, seconds=40):
        for name in names:
            self.wait_interface(name, "link_state", "up", seconds)

    def statistics(self, name):
        return self.get(name, "statistics")

    def ofport(self, name):
        return self.get(name, "ofport")

    def add_flow(self, flow):
        self.ofctl("add-flow", self.bridge, flow)

    def normal(self):
        """Replace all flows by one, which makes a learning switch."""
        self.ofctl("del-flows", self.bridge)
        self.add_flow("priority=0,actions=NORMAL")

    def flow_packets(self, match):
        """The sum of the packet counters of all flows that `match` selects."""
        text = self.ofctl("dump-flows", self.bridge, match)
        return sum(int(n) for n in re.findall(r"n_packets=(\d+)", text))

    def steered_packets(self, port, to=""):
        """How many packets the rules inside the driver have moved from `port`.
        With `to`, only rules that move packets to that port count."""
        text = self.appctl("vhostpci/flows", port)
        return sum(int(packets) for packets, actions in re.findall(
            r"packets: (\d+),.*\n +actions: (.*)", text)
                   if not to or f"({to})" in actions)

    def steered_by_ring(self, port):
        """How many packets the driver has moved from the port's first ring
        since the port exists.  Open vSwitch does not show this counter while
        it is 0."""
        text = self.appctl("vhostpci/show", port)
        found = re.search(r"rx_ring0_steered\W+(\d+)", text)
        return int(found[1]) if found else 0


def _plain(value):
    """Convert an OVSDB datum in JSON to Python's own types."""
    if isinstance(value, list) and len(value) == 2:
        if value[0] == "map":
            return {k: _plain(v) for k, v in value[1]}
        if value[0] == "set":
            return [_plain(v) for v in value[1]]
        if value[0] == "uuid":
            return value[1]
    return value


class GuestOvs(Ovs):
    """OVS in a switch VM."""

    log = "/var/log/openvswitch/ovs-vswitchd.log"

    def __init__(self, vm):
        super().__init__(vm.run)
        self.vm = vm

    def start(self, user=None, **other_config):
        """Start database and switch with DPDK; returns when br0 is there."""
        self.start_database(user)
        settings = {**OTHER_CONFIG, "pmd-cpu-mask": "0x2",
                    **{k.replace("_", "-"): v
                       for k, v in other_config.items()}}
        self.vm.sh(["ovs-vsctl", "--no-wait", "--", "init", "--", "set",
                    "Open_vSwitch", ".",
                    *(f'other_config:{k}={json.dumps(str(v))}'
                      for k, v in settings.items() if v is not None)])
        self.start_switch(user)
        self.add_bridge()

    def start_database(self, user=None):
        if user:
            self.vm.sh(f"chown -R {user}:{user} /run/openvswitch "
                       "/etc/openvswitch /var/log/openvswitch")
        self.vm.sh("ovsdb-server --detach --no-chdir --pidfile --log-file "
                   "--remote=punix:/run/openvswitch/db.sock "
                   + (f"--user {user}:{user} " if user else "")
                   + "/etc/openvswitch/conf.db")

    @staticmethod
    def start_switch_command(user=None):
        # ulimit -l: vfio counts the hugepages that it pins as locked memory.
        return ("ulimit -l unlimited; ulimit -c 0; "
                "ovs-vswitchd --detach --no-chdir --pidfile --log-file"
                + (f" --user {user}:{user}" if user else ""))

    def start_switch(self, user=None, seconds=60):
        try:
            self.vm.sh(self.start_switch_command(user), seconds)
        except AgentError as error:
            raise AgentError(f"{error}\n{self.vm.state()}") from error

    def kill_switch(self):
        """End ovs-vswitchd as a crash would; returns when it is gone."""
        self.vm.sh("p=$(cat /run/openvswitch/ovs-vswitchd.pid); kill -9 $p; "
                   "while kill -0 $p 2>/dev/null; do usleep 10000; done")

    def switch_pid(self):
        return int(self.vm.sh("cat /run/openvswitch/ovs-vswitchd.pid"))

    def log_text(self):
        return self.vm.sh(["cat", self.log])

    def log_lines(self, pattern):
        return [line for line in self.log_text().splitlines()
                if re.search(pattern, line)]
