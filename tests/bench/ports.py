# SPDX-License-Identifier: Apache-2.0
"""Runs bench_ports.c, a process that polls ports of any driver on one core, and
obeys commands."""
import os
import re
import shutil
import tempfile
from pathlib import Path

from machine import program
from switch import LOGS
from testpmd import Child


class Ports:
    """The process.  Each command returns the numbers of the answer, by name."""

    def __init__(self, name, core, huge, plugins=(), mib=160):
        self.dir = Path(tempfile.mkdtemp(prefix="vp-"))
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{name}.log"
        log.unlink(missing_ok=True)
        memory = ["-m", str(mib)] + ([] if huge else ["--no-huge"])
        loads = [word for plugin in plugins for word in ("-d", plugin)]
        self.name, self.count = name, 0
        self.child = Child(
            [program("bench_ports"), "--lcores", f"0@{core}", "--no-pci",
             "--no-telemetry", "--log-level=pmd.net.virtio.init:debug",
             "--single-file-segments",
             f"--file-prefix={self.dir.name}", *memory, *loads], log=log,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.dir),
                 "RUNTIME_DIRECTORY": str(self.dir)}, pipes=True)
        self.answer("ready")

    def answer(self, asked):
        """The next answer.  Skips lines that EAL and drivers print."""
        for line in self.child.process.stdout:
            if line.startswith("error:"):
                raise RuntimeError(f"{self.name}: {asked}: {line.strip()}")
            if re.match(r"(ready|up|port|heap|xstats|cycles|rx|p50|sent)\b(?!:)", line):
                return {name: float(value) for name, value in
                        re.findall(r"([a-z]\w*) (\d[\d.]*)", line)}
        raise RuntimeError(f"{self.name} ended: {self.child.output()[-500:]}")

    def send(self, *words):
        self.child.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.process.stdin.flush()

    def do(self, *words):
        self.send(*words)
        return self.answer(words)

    def add(self, devargs, queues=1):
        """Add a port; returns its number."""
        return int(self.do("add", queues, devargs)["port"])

    def close(self):
        self.child.process.stdin.close()
        self.child.end()
        self.child.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)
