#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures vhostpci ports against vhost-user ports, in one run.

    bench.py [--only GLOB]... [--rounds N] [--lifetimes N] [--quick]

doc/performance.md explains what each figure means, and how it is measured.
"""
import argparse
import fnmatch
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chain  # noqa: E402
import chain_report  # noqa: E402
import floor  # noqa: E402
import idle  # noqa: E402
import loop  # noqa: E402
import machine  # noqa: E402
import plots  # noqa: E402
import stages  # noqa: E402
import steered  # noqa: E402
import trips  # noqa: E402
from hugepages import Hugepages  # noqa: E402
from results import Results  # noqa: E402
from switch import PEER_CPU, SWITCH_CPU, config  # noqa: E402

OUT = config.BUILD / "bench"
# Each module has cases(), a dictionary with the names as keys, and
# run(names, results, options).
FAMILIES = (floor, loop, steered, chain, stages, trips, idle)
# For two switches and their peers; a module that needs more sets HUGE_MIB.
HUGE_MIB = 2200


def arguments(argv):
    parser = argparse.ArgumentParser(
        description="Measures vhostpci ports against vhost-user ports.")
    parser.add_argument("--only", action="append", metavar="GLOB", default=[],
                        help="cases to run; may be repeated; commas separate")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    parser.add_argument("--rounds", type=int,
                        help="of each kind of port, in a lifetime (7)")
    parser.add_argument("--lifetimes", type=int,
                        help="how often all processes are started anew (3)")
    parser.add_argument("--seconds", type=float, default=loop.ROUND_S,
                        help="one round")
    parser.add_argument("--near", type=float, default=machine.NEAR,
                        metavar="CYCLES", help="at most this for a line of cache"
                        " to go to the other core and back: near")
    parser.add_argument("--patience", type=float, default=15,
                        metavar="SECONDS", help="to wait, in each case, for the"
                        " cores to be near each other")
    parser.add_argument("--all-patience", type=float, default=600,
                        metavar="SECONDS", help="to wait so in all")
    parser.add_argument("--settle", type=float, default=60, metavar="SECONDS",
                        help="to wait until all rules run inside the driver")
    parser.add_argument("--quick", action="store_true",
                        help="by default one lifetime of three rounds")
    parser.add_argument("--nice", type=int, default=-20,
                        help="priority of all processes")
    parser.add_argument("--no-huge", dest="huge", action="store_false",
                        help="ordinary memory on both sides")
    parser.add_argument("--no-stock", dest="stock", action="store_false",
                        help="leave out Debian's Open vSwitch")
    parser.add_argument("--no-plots", dest="plots", action="store_false")
    parser.add_argument("--output", type=Path, default=OUT)
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.lifetimes = options.lifetimes or (1 if options.quick else 3)
    options.only = [g for text in options.only for g in text.split(",")]
    return options


def select(options):
    """[(family, names)] of the selected cases."""
    found = [(family, [name for name in family.cases() if not options.only
                       or any(fnmatch.fnmatch(name, glob)
                              for glob in options.only)])
             for family in FAMILIES]
    return [(family, names) for family, names in found if names]


def prefer_us(nice):
    """Raise this process's priority, so that other programs disturb less."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except PermissionError:
        print("bench: not root, so at ordinary priority: expect more spread",
              file=sys.stderr)
    # Children choose their cores; this process stays off the switch's core.
    if {SWITCH_CPU, PEER_CPU} <= os.sched_getaffinity(0):
        os.sched_setaffinity(0, {PEER_CPU})
    else:
        sys.exit("bench: needs two cores, 0 and 1")


def measure(families, options):
    results = Results()
    began = time.monotonic()

    def say(what):
        print(f"[{time.monotonic() - began:5.0f} s] {what}", file=sys.stderr)

    for number in range(options.lifetimes):
        options.say = lambda name, number=number: say(
            f"lifetime {number + 1} of {options.lifetimes}: {name}")
        for family, names in families:
            family.run(names, results, options)
            results.write(options.output / "results.json")
    return results


def main(argv):
    options = arguments(argv)
    families = select(options)
    if not families:
        sys.exit("bench: no such case (--list names them)")
    if options.list:
        print("\n".join(name for _, names in families for name in names))
        return 0
    # An exception, so that the program cleans up and gives hugepages back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    prefer_us(options.nice)
    mib = max(getattr(family, "HUGE_MIB", HUGE_MIB) for family, _ in families)
    with Hugepages(mib, options.huge) as pages:
        options.huge = pages.usable
        results = measure(families, options)
    results.write(options.output / "results.json")
    print(results.table())
    chains = chain_report.table(results.summaries())
    if chains:
        print("\n" + chains)
    (options.output / "machine.json").write_text(
        json.dumps(machine.describe(options), indent=1) + "\n")
    if options.plots:
        plots.draw(results.summaries(), options.output)
    verdicts = results.verdicts()
    if verdicts:
        print("\n" + "\n".join(verdicts))
    return 1 if results.failed() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
