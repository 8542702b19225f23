# SPDX-License-Identifier: Apache-2.0
"""Measures how far apart the two cores are at present.

The host may move a virtual machine's cores at any time.  If the cores no longer
share a cache, a line of cache takes several times as long to go from one core
to the other, and figures cannot be compared with figures from before.
Therefore the bench measures this time before and after each set of rounds.
"""
import platform
import subprocess
import time
from pathlib import Path

from switch import config

# Cycles for a line of cache to go to the other core and back.  If it takes
# more, the cores share no cache.
NEAR = 450

_crossings = []  # all measured times


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
    """The frequency of the time stamp counter, which counts all cycles."""
    done = subprocess.run([program("floor_copy"), "hertz", "50"], check=True,
                          capture_output=True, text=True)
    return float(done.stdout)


def floor(size, milliseconds, how):
    """The cycles to copy a packet.  `how`: "far": from lines that the other
    core has written into lines that it will read; "near": within the copying
    core's cache."""
    done = subprocess.run(
        [program("floor_copy"), "copy", "0" if size == "imix" else str(size),
         str(milliseconds), how], check=True, capture_output=True, text=True)
    return float(done.stdout)


def describe(options):
    """Describes the machine, and the options of the measurement."""
    cpu = [line.partition(":")[2].strip()
           for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else "unknown", "cores": len(cpu),
            "kernel": platform.release(), "hugepages": bool(options.huge),
            "rounds": options.rounds, "lifetimes": options.lifetimes,
            "seconds_per_round": options.seconds, "near": options.near,
            "crossings": sorted(map(round, _crossings))}


class Regime:
    """Sorts sets of rounds by the cores' distance meanwhile."""

    def __init__(self, options):
        self.options, self.near = options, options.near
        self.patience = min(options.patience, options.all_patience)
        self.last = crossing()

    def wait(self):
        """Wait until the cores are near each other, or patience ends."""
        while self.last > self.near and self.patience > 0:
            self.patience -= 0.25
            self.options.all_patience -= 0.25
            time.sleep(0.25)
            self.last = crossing()

    def after(self):
        """Call this after each set.  Returns "near", "far", or None if that
        changed during the set."""
        before, self.last = self.last, crossing()
        if max(before, self.last) <= self.near:
            return "near"
        return "far" if min(before, self.last) > self.near else None


def sets(take, options):
    """Repeat take(i), a set of rounds {name: value}, until `rounds` of them
    were taken with the cores near each other, or twice as many in all.

    Returns {"near": {name: [values]}, "far": ...}.  Sets during which the cores
    moved count as neither; if there are no others, they count as "far".
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
