#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how long packets are away when a process or a VM ends, for the table
of doc/performance.md.

    tests/vm/recovery.py [--rounds N] [--packed] [EVENT...]

Boots the machines of harness/rounds.py, lets each event happen N times, and
prints median and maximum of the times, in milliseconds.  Open vSwitch counts as
started when `ovs-vswitchd --detach` returns; the program measures this time in
the same machine, without any port, and prints it, too.  Do nothing else on this
machine meanwhile: emulated machines share its cores.
"""
import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import config, rounds  # noqa: E402
from harness.images import Images  # noqa: E402

# Event: (its text in the table, the figure that the table shows).
LINES = {
    "vswitchd_ended": ("planned restart of ovs-vswitchd, from its having "
                       "started", "beyond_start"),
    "vswitchd_killed": ("ovs-vswitchd killed, from the new one's having "
                        "started", "beyond_start"),
    "switch_vm_killed": ("switch VM killed, from its port's being added",
                         "first_packet"),
    "peer_killed": ("peer's QEMU killed, from its interface's being up",
                    "first_packet"),
    "peer_rebooted": ("peer's guest rebooted, likewise", "first_packet"),
    "vswitchd_halted": ("ovs-vswitchd stopped for 5 s, from its going on",
                        "first_packet"),
}
STATUS = {"status_down": "PORT_STATUS down, from the end of the peer",
          "status_up": "PORT_STATUS up, after the first packet"}


def own_start(sw, count):
    """The seconds of `count` starts of Open vSwitch with DPDK and no port."""
    ovs, took = sw.ovs, []
    ports = ovs.vsctl("list-ports", "br0").split()
    for port in ports:
        ovs.del_port(port)
    for _ in range(count):
        sw.sh("ovs-appctl exit; while pidof ovs-vswitchd; do usleep 10000; "
              "done", 60)
        begun = time.monotonic()
        ovs.start_switch()
        took.append(time.monotonic() - begun)
    for port in ports:
        sw.add_port(port)
    ovs.wait_link_up(*ports)
    return took


def line(text, values):
    ms = sorted(1000 * v for v in values)
    print(f"| {text} | {statistics.median(ms):.0f} | {ms[-1]:.0f} | "
          f"{len(ms)} |", flush=True)


def table(packed, start, found):
    """Print the table.  An event that failed may lack figures."""
    print(f"\n{config.accel().split(',', maxsplit=1)[0]}, "
          f"{'packed' if packed else 'split'} rings\n\n"
          "| event | median ms | worst ms | rounds |\n|---|---|---|---|")
    line("Open vSwitch's own start, without ports", start)
    for event, figures in found.items():
        text, key = LINES[event]
        names = {key: text} | {k: f"{v} ({event})" for k, v in STATUS.items()}
        for name, text in names.items():
            if name in figures:
                line(text, figures[name])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("events", nargs="*", metavar="EVENT",
                        help="of " + ", ".join(LINES))
    args = parser.parse_args()
    images = Images(config.BUILD / "tests" / "vm" / "images")
    net = rounds.Rounds("recovery", images, args.packed)
    found = {}
    try:
        start = own_start(net.sw, min(args.rounds, 5))
        try:
            for event in args.events or LINES:
                found[event] = {}
                rounds.run(net, event, args.rounds, found[event])
        finally:
            table(args.packed, start, found)
    finally:
        net.close()


if __name__ == "__main__":
    main()
