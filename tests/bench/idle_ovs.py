#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what idle ports, vhostpci and vhost-user, cost Open vSwitch: memory,
and the time of a restart. This is not a case of the bench, because memory can
be measured on a busy machine, too.

    tests/bench/idle_ovs.py [--huge MIB] [--ports 10,12,31]

With --huge, the program borrows hugepages of 2 MiB, and gives them back.
"""
import argparse
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))

from hugepages import Hugepages, stale_files  # noqa: E402
from native_ovs import NativeOvs, wait_until  # noqa: E402

RESTARTS = 3
FREE = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")


class Switch(NativeOvs):
    """An Open vSwitch with its default: ports share buffers of one size."""
    other_config = {"pmd-maxsleep": "100"}

    def __init__(self, kind, huge):
        if huge:
            self.memory = ""
        super().__init__("ours", name=f"idle-{kind}")
        self.kind = kind

    def add(self, number):
        name, path = f"p{number}", self.dir / f"p{number}.sock"
        if self.kind == "vhostpci":
            self.add_port(name, "vhostpci", options={
                "vhostpci-devargs": f"net_vpci_{name},path={path}"})
        else:
            self.add_port(name, "dpdkvhostuserclient",
                          options={"vhost-server-path": str(path)})

    def ready(self, count):
        return all(isinstance(self.get(f"p{i}", "ofport"), int)
                   and self.get(f"p{i}", "ofport") > 0 for i in range(count))

    def ordinary(self):
        """The MiB of ordinary memory of ovs-vswitchd."""
        pid = (self.dir / "ovs-vswitchd.pid").read_text().strip()
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024

    def restart(self, count):
        """Restart ovs-vswitchd; returns the seconds until all ports are
        there."""
        self.children.pop("ovs-vswitchd").end()
        self.control.unlink(missing_ok=True)
        # The database still has the port numbers of the old process.
        for number in range(count):
            self.vsctl("--no-wait", "clear", "Interface", f"p{number}",
                       "ofport")
        begin = time.monotonic()
        self.start_switch()
        wait_until(lambda: self.ready(count), 120, "the ports are back")
        return time.monotonic() - begin


def measure(kind, counts, huge):
    rows, free = {}, int(FREE.read_text())
    switch = Switch(kind, huge)

    def memory():
        return switch.ordinary(), 2 * (free - int(FREE.read_text()))
    try:
        switch.start()
        before, done = memory(), 0
        for count in counts:
            while done < count:
                switch.add(done)
                done += 1
            wait_until(lambda n=count: switch.ready(n), 120, "ports are there")
            rows[count] = [now - was for now, was in zip(memory(), before)]
            if count == counts[0]:
                times = [switch.restart(count) for _ in range(RESTARTS)]
                rows["restart"] = statistics.median(times)
    finally:
        prefix = switch.dir.name
        switch.close()
        stale_files(prefix)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--huge", type=int, default=0, metavar="MIB")
    parser.add_argument("--ports", default="10,12,31")
    asked = parser.parse_args()
    counts = [int(n) for n in asked.ports.split(",")]
    with Hugepages(asked.huge, asked.huge > 0) as pages:
        tables = {kind: measure(kind, counts, pages.usable)
                  for kind in ("vhostpci", "dpdkvhostuserclient")}
    for kind, rows in tables.items():
        for count in counts:
            print(f"{kind}: {count} idle ports: {rows[count][0]:.1f} MiB "
                  f"ordinary, {rows[count][1]} MiB of hugepages")
        print(f"{kind}: restart with {counts[0]} idle ports: "
              f"{rows['restart']:.2f} s")


if __name__ == "__main__":
    main()
