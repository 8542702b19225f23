# SPDX-License-Identifier: Apache-2.0
"""Reports the results of chain.py as packets per core-second, with equal
numbers of cores: a table in Markdown, and a picture."""
import re
from collections import defaultdict, namedtuple

_NAME = re.compile(r"chain-(?P<length>\d+)-(?P<what>[a-z]+)(?P<flows>-\d+)?$")
_RULES = {"": "One rule each way, in each stage",
          "-1000": "1,000 flows, a rule for each in each stage"}

# The claim of the talk of 2016 (doc/performance.md): with so many functions, a
# central switch loses this share of its throughput with 2 functions.
CLAIM_LENGTHS, CLAIM_LOST, CLAIM_FROM = (4, 5), (0.40, 0.55), 2

# Cycles per packet and stage.  ours: the slowest small switch; central: one
# thread with all stages; alone: a vhost-user switch with two ports.  Ratios of
# rounds that follow each other: growth: the slowest small switch to the first
# one; central_growth, idle_growth: the central switch to "alone".
Point = namedtuple("Point", "ours central alone growth central_growth "
                   "idle_growth hertz lookups cores")


def _rows(summaries):
    """{flows: {length: {what: summary}}}"""
    found = defaultdict(lambda: defaultdict(dict))
    for row in summaries:
        match = _NAME.match(row["case"])
        if match and row["subject"]:
            found[match["flows"] or ""][int(match["length"])][
                match["what"]] = row
    return found


def points(summaries):
    """{flows: {length: Point}}; a field without a measurement is None."""
    found = defaultdict(dict)
    for flows, lengths in _rows(summaries).items():
        for length, rows in sorted(lengths.items()):
            def of(what, key, rows=rows):
                return rows.get(what, {}).get(key)
            one = next(iter(rows.values()))
            found[flows][length] = Point(
                of("steered", "subject"),
                of("steered", "baseline") or of("central", "subject"),
                of("central", "baseline"),
                1 if length == 1 else of("stages", "ratio"),
                of("central", "ratio"), of("idle", "ratio"), one["hertz"],
                of("central", "lookups") or {}, one["cores"])
    return found


def rate(point, cycles, cores=1):
    """Million packets per second and core, if a packet costs `cycles` cycles on
    each of `cores` cores."""
    return point.hertz / cycles / cores / 1e6 if cycles else None


def kept(growth):
    """The share of a rate that is left when cycles grow by a factor."""
    return 1 / growth if growth else None


def _cell(value, digits=2):
    return "" if value is None else f"{value:.{digits}f}"


_HEAD = ("functions", "ours: cycles", "Mpps a core", "of its first stage",
         "central: cycles", "Mpps a core", "of two ports alone", "with 2 ports "
         "in use", "two ports alone: cycles", "simple match, EMC, dpcls",
         "packets a batch",
         "chain, N cores: ours", "central", "chain, one core: central", "cores")


def _line(length, point):
    looked = [point.lookups.get(name) for name in ("simple", "emc", "megaflow")]
    return (str(length), _cell(point.ours, 1),
            _cell(rate(point, point.ours)), _cell(kept(point.growth)),
            _cell(point.central, 1), _cell(rate(point, point.central)),
            _cell(kept(point.central_growth)), _cell(kept(point.idle_growth)),
            _cell(point.alone, 1),
            ", ".join(map(_cell, looked)), _cell(point.lookups.get("batch"), 1),
            _cell(rate(point, point.ours)), _cell(rate(point, point.central)),
            _cell(rate(point, point.central, length)), point.cores)


def table(summaries):
    """The table for doc/performance.md; "" if no chain was measured."""
    parts = []
    for flows, lengths in points(summaries).items():
        lines = [_HEAD, ("---",) * len(_HEAD)]
        lines += [_line(*item) for item in lengths.items()]
        parts.append(f"{_RULES.get(flows, flows)}:\n\n" + "\n".join(
            f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def draw(pyplot, summaries, folder):
    """Write a picture for each kind of rules; returns the paths."""
    made = []
    for flows, lengths in points(summaries).items():
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
        _equal_cores(left, lengths)
        _one_core(right, lengths)
        figure.suptitle(f"chain of functions, 64 bytes, "
                        f"{_RULES.get(flows, flows)}")
        figure.tight_layout()
        made.append(folder / f"chain{flows}.png")
        figure.savefig(made[-1], dpi=110)
        pyplot.close(figure)
    return made


def _plot(axes, lengths, value, *style, **more):
    """Plot value(length, point) where it is not None."""
    there = [(length, found) for length, point in lengths.items()
             if (found := value(length, point)) is not None]
    if there:
        axes.plot(*zip(*there), *style, **more)


def _equal_cores(axes, lengths):
    for label, style, name in (
            ("ours: the slowest stage, a core for each", "o-", "ours"),
            ("central: each core has a ring of every port", "s-", "central"),
            ("central, best case: each core two ports of its own", "^:",
             "alone")):
        _plot(axes, lengths, lambda _, point, name=name: rate(
            point, getattr(point, name)), style, label=label)
    axes.set_xlabel("functions, and cores for switching")
    axes.set_ylabel("million packets per core-second")
    axes.set_title("equal total cores")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _one_core(axes, lengths):
    """Plot rates relative to those of a chain of two functions, as in the
    claim."""
    first = lengths.get(CLAIM_FROM)
    _plot(axes, lengths, lambda _, point: kept(point.growth), "o-",
          label="ours, a core for each stage")
    if first and first.central:
        _plot(axes, lengths, lambda length, point: point.central and (
            CLAIM_FROM * first.central / length / point.central), "s-",
            label="central, one core for all stages")
    low, high = (1 - lost for lost in CLAIM_LOST[::-1])
    axes.fill_between(CLAIM_LENGTHS, low, high, alpha=0.3, color="C3",
                      label="central, as the talk of 2016 has it "
                      "(cores unknown)")
    axes.set_xlabel("functions")
    axes.set_ylabel("rate of the chain; ours: of its first stage,\ncentral: of "
                    f"{CLAIM_FROM} functions")
    axes.set_title("a switch whose cores do not grow")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
