# SPDX-License-Identifier: Apache-2.0
"""Collects results over rounds and lifetimes of processes, summarizes them,
compares them with the targets, and writes them as a table and as JSON."""
import json
from dataclasses import dataclass, field
from statistics import median

# case: the highest acceptable ratio of the vhostpci to the vhost-user port.
TARGETS = {
    "loop-split-64-ovs": 0.60,
    "loop-split-512-ovs": 0.65,
    "loop-split-1514-ovs": 0.80,
    "loop-packed-64-ovs": 0.55,
    "loop-split-64-pmd": 0.45,
    "idle-poll-1-pmd": 0.50,
    "idle-poll-8-pmd": 0.50,
    "idle-poll-64-pmd": 0.50,
    "latency-p50-64-ovs": 0.80,
    # Rules inside the driver.  "marked" is compared with a vhostpci port
    # without offload.
    "loop-split-64-steered": 0.30,
    "loop-split-512-steered": 0.33,
    "loop-split-1514-steered": 0.36,
    "loop-packed-64-steered": 0.45,
    "loop-split-64-steered-1000": 0.38,
    "loop-split-64-marked-1000": 0.85,
    "latency-p50-64-steered": 0.70,
    # The slowest of eight stages must keep 0.95 of the first one's rate.
    "chain-8-stages": 1 / 0.95,
    "chain-8-stages-1000": 1 / 0.95,
}


def percentile(values, share):
    """The percentile by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values):
    """The 10th and the 90th percentile."""
    return [round(percentile(values, 0.1), 4), round(percentile(values, 0.9), 4)]


@dataclass
class Rounds:
    """Rounds of one case.  Each round of the subject makes a ratio with the
    round of the baseline next to it in time."""
    subject: list = field(default_factory=list)
    baseline: list = field(default_factory=list)
    lifetimes: list = field(default_factory=list)

    def add(self, subject, baseline):
        self.subject += subject
        self.baseline += baseline
        ratios = [s / b for s, b in zip(subject, baseline) if b]
        if ratios:
            self.lifetimes.append(round(median(ratios), 4))

    def summary(self):
        ratios = [s / b for s, b in zip(self.subject, self.baseline) if b]
        found = {"subject": None, "baseline": None, "ratio": None,
                 "spread": None, "rounds": len(self.subject)}
        for side in ("subject", "baseline"):
            values = getattr(self, side)
            if values:
                found[side] = round(median(values), 3)
                found[side + "_spread"] = spread(values)
        if ratios:
            found |= {"ratio": round(median(ratios), 4),
                      "spread": spread(ratios), "lifetimes": self.lifetimes}
        return found


@dataclass
class Case:
    """A case, with rounds while the cores were near each other, and other
    rounds, "far".  Far rounds count only if there are no near ones."""
    name: str
    unit: str
    near: Rounds = field(default_factory=Rounds)
    far: Rounds = field(default_factory=Rounds)
    notes: dict = field(default_factory=dict)
    error: str = ""

    def summary(self):
        found = {"case": self.name, "unit": self.unit, **self.notes}
        if self.error:
            found["error"] = self.error
        if self.near.subject or not self.far.subject:
            found |= {**self.near.summary(), "cores": "near"}
        else:
            found |= {**self.far.summary(), "cores": "far"}
        if self.far.subject and found["cores"] == "near":
            found["far"] = self.far.summary()
        return found


class Results:
    """Cases by name, in the order of their first rounds."""

    def __init__(self):
        self.cases = {}

    def _case(self, name, unit):
        return self.cases.setdefault(name, Case(name, unit))

    def add_sets(self, name, unit, found, subject="subject",
                 baseline="baseline", **notes):
        """Add the rounds of one lifetime, as machine.sets() returns them."""
        case = self._case(name, unit)
        for where in ("near", "far"):
            getattr(case, where).add(found[where].get(subject, []),
                                     found[where].get(baseline, []))
        case.notes |= notes

    def add(self, name, unit, subject, baseline=(), **notes):
        """Add rounds that do not depend on the cores' distance."""
        case = self._case(name, unit)
        case.near.add(list(subject), list(baseline))
        case.notes |= notes

    def fail(self, name, unit, why):
        self._case(name, unit).error = " ".join(str(why).split())[:300]

    def failed(self):
        return [c.name for c in self.cases.values() if c.error]

    def summaries(self):
        return [case.summary() for case in self.cases.values()]

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.summaries(), indent=1) + "\n")

    def table(self):
        head = ("case", "unit", "subject", "baseline", "ratio",
                "10%..90% of it", "rounds", "cores", "")
        rows = [head] + [self._row(s) for s in self.summaries()]
        wide = [max(len(r[i]) for r in rows) for i in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(w) if i in (0, 1, 7, 8) else cell.rjust(w)
                      for i, (cell, w) in enumerate(zip(row, wide))).rstrip()
            for row in rows)

    @staticmethod
    def _row(s):
        def number(value, digits=1):
            return "-" if value is None else f"{value:.{digits}f}"
        low, high = s["spread"] or (None, None)
        return (s["case"], s["unit"], number(s["subject"]),
                number(s["baseline"]), number(s["ratio"], 3),
                f"{number(low, 3)} {number(high, 3)}", str(s["rounds"]),
                s["cores"],
                "FAILED: " + s["error"] if "error" in s else "")

    def verdicts(self):
        """One line for each target whose case was run."""
        lines = []
        for name, most in TARGETS.items():
            if name not in self.cases:
                continue
            s = self.cases[name].summary()
            if s["ratio"] is None or "error" in s:
                words = f"not measured: {s.get('error', 'no baseline')}"
            else:
                words = (f"{s['ratio']:.3f}: " + (
                    "met" if s["ratio"] <= most else "MISSED") + (
                        " (cores far apart)" if s["cores"] == "far" else ""))
            lines.append(f"{name:26} target <= {most:.2f}   {words}")
        return lines
