# SPDX-License-Identifier: Apache-2.0
"""The distribution's own OVS-DPDK on the host, with vhost-user ports.

test_harness.py tries the harness against this OVS.  So, if a test passes here
and fails with vhost-pci, the fault is in vhost-pci.
"""
import os
import subprocess
from pathlib import Path

from . import config
from .ovs import OTHER_CONFIG, Ovs
from .procs import Child, wait_until


class _Done:
    """What Ovs.run returns: subprocess's result, with check() added."""

    def __init__(self, done):
        self.code = done.returncode
        self.stdout, self.stderr = done.stdout, done.stderr

    def check(self):
        if self.code:
            raise AssertionError(f"exit {self.code}: {self.stderr}")
        return self


class HostOvs(Ovs):
    """What every OVS on the host needs.  Its processes run without root."""

    def __init__(self, flavour, rundir, logdir):
        super().__init__(self._run)
        self.programs = config.ovs(flavour)
        self.environment = {
            **os.environ, "OVS_RUNDIR": str(rundir),
            "OVS_LOGDIR": str(logdir), "OVS_DBDIR": str(rundir),
            "OVS_SYSCONFDIR": str(rundir),
            # or two OVS on a host would share DPDK's own runtime files
            "XDG_RUNTIME_DIR": str(rundir), "RUNTIME_DIRECTORY": str(rundir)}

    def _run(self, command, seconds=30):
        return _Done(subprocess.run(
            ["sh", "-c", command], env=self.environment, timeout=seconds,
            text=True, capture_output=True, check=False))

    def start_database(self, rundir):
        database = rundir / "conf.db"
        subprocess.run([self.programs["ovsdb-tool"], "create", database,
                        self.programs["vswitch.ovsschema"]], check=True)
        self._child("ovsdb-server", f"--remote=punix:{rundir}/db.sock",
                    database)
        wait_until((rundir / "db.sock").exists, 20, "ovsdb-server is up")

    def _child(self, name, *arguments):
        raise NotImplementedError


class NativeOvs(HostOvs):
    """The OVS.  It uses no hugepages; its files are below `rundir`."""

    def __init__(self, rundir, logdir):
        super().__init__("stock", rundir, logdir)
        self.rundir, self.logdir = Path(rundir), Path(logdir)
        self.children = []

    def start(self):
        self.start_database(self.rundir)
        extra = f"--no-huge --legacy-mem -m 512 --no-pci --file-prefix " \
                f"{self.rundir.name}"
        self.vsctl("--no-wait", "--", "init", "--", "set", "Open_vSwitch", ".",
                   f'other_config:dpdk-extra="{extra}"',
                   *(f"other_config:{k}={v}" for k, v in OTHER_CONFIG.items()))
        self._child("ovs-vswitchd", f"unix:{self.rundir}/db.sock")
        self.add_bridge()

    def _child(self, name, *arguments):
        self.children.append(Child(
            [self.programs[name], f"--pidfile={self.rundir}/{name}.pid",
             f"--unixctl={self.rundir}/{name}.ctl",
             "--no-chdir", *arguments], log=self.logdir / f"host-{name}.log",
            env=self.environment))

    def stop(self):
        for child in reversed(self.children):
            child.end()
        self.children = []
