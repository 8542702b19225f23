# SPDX-License-Identifier: Apache-2.0
"""How far apart the two cores are, now.

A virtual machine's cores may be moved to other places of the host at any
time, and then each line of cache costs several times as much to hand over.
What is measured while they are apart is not comparable with what is measured
while they share a cache: so this is looked at before and after each set of
rounds.
"""
import platform
import subprocess
import time
from pathlib import Path

from switch import config

# Cycles for a line to go there and back; above it the cores share no cache.
NEAR = 450

_crossings = []  # all that were measured


def program(name):
    path = config.BUILD / "tests" / "bench" / name
    if not path.exists():
        raise config.Missing(f"no {path} (make bench builds it)")
    return path


def crossing(milliseconds=4):
    done = subprocess.run([program("floor_copy"), "crossing", str(milliseconds)],
                          check=True, capture_output=True, text=True)
    _crossings.append(float(done.stdout))
    return _crossings[-1]


def hertz():
    """Of the time stamp counter, which all cycles are of."""
    done = subprocess.run([program("floor_copy"), "hertz", "50"], check=True,
                          capture_output=True, text=True)
    return float(done.stdout)


def floor(size, milliseconds, how):
    """Cycles to copy a packet; how: "far" from the other core's lines into
    lines that it will read, "near" in the copying core's own cache."""
    done = subprocess.run(
        [program("floor_copy"), "copy", "0" if size == "imix" else str(size),
         str(milliseconds), how], check=True, capture_output=True, text=True)
    return float(done.stdout)


def describe(options):
    """What the figures were measured on, and how."""
    cpu = [line.partition(":")[2].strip()
           for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else "unknown", "cores": len(cpu),
            "kernel": platform.release(), "hugepages": bool(options.huge),
            "rounds": options.rounds, "lifetimes": options.lifetimes,
            "seconds_per_round": options.seconds, "near": options.near,
            "crossings": sorted(map(round, _crossings))}


class Regime:
    """Sorts sets of rounds by where the cores were meanwhile."""

    def __init__(self, options):
        self.options, self.near = options, options.near
        self.patience = min(options.patience, options.all_patience)
        self.last = crossing()

    def wait(self):
        """Until the cores are near each other, but not for ever."""
        while self.last > self.near and self.patience > 0:
            self.patience -= 0.25
            self.options.all_patience -= 0.25
            time.sleep(0.25)
            self.last = crossing()

    def after(self):
        """Call after each set: "near", "far", or None if it changed."""
        before, self.last = self.last, crossing()
        if max(before, self.last) <= self.near:
            return "near"
        return "far" if min(before, self.last) > self.near else None


def sets(take, options):
    """Repeat take(i), a set of rounds {name: value}, until `rounds` of them
    were taken with the cores near each other, or twice as many in all.

    Returns {"near": {name: [values]}, "far": ...}.  Sets while the cores moved
    are neither; where there are no others, they are better than nothing, and
    are "far".
    """
    found = {"near": {}, "far": {}, None: {}}
    regime, good = Regime(options), 0
    for i in range(2 * options.rounds):
        regime.wait()
        values = take(i)
        where = regime.after()
        for name, value in values.items():
            found[where].setdefault(name, []).append(value)
        good += where == "near"
        if good == options.rounds:
            break
    moved = found.pop(None)
    return found if any(found.values()) else {"near": {}, "far": moved}
