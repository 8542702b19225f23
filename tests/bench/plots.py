# SPDX-License-Identifier: Apache-2.0
"""Draws pictures of the results, if matplotlib (python3-matplotlib) is
installed."""
import re
import sys
from collections import defaultdict

import chain_report

# Cases with a size: the sizes of one case make a picture.
_SIZED = re.compile(r"(?P<what>loop|oneway)-(?P<ring>split|packed)-"
                    r"(?P<size>\d+|imix)-(?P<where>ovs|pmd|steered)(?P<rest>-nomrg)?$")
# Parts of a burst, stacked in a bar for each layout and size.
_STAGE = re.compile(r"stage-(?P<stage>[rt]x-[a-z]+)-(?P<of>(split|packed)-\d+)-pmd$")
_WHERE = {"ovs": "Open vSwitch", "pmd": "drivers alone",
          "steered": "rules inside the driver"}
_ORDER = ("64", "128", "256", "512", "1024", "1514", "imix")


def draw(summaries, folder):
    """Write folder/*.png; returns the paths."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("bench: no pictures: python3-matplotlib is not installed",
              file=sys.stderr)
        return []
    made = [_sized(pyplot, key, rows, folder)
            for key, rows in _group(summaries).items()]
    made += _stages(pyplot, summaries, folder)
    made += chain_report.draw(pyplot, summaries, folder)
    made += _ratios(pyplot, summaries, folder)
    return made


def _group(summaries):
    groups = defaultdict(dict)
    for row in summaries:
        match = _SIZED.match(row["case"])
        if match and row["subject"]:
            key = (match["what"], match["ring"], match["where"],
                   match["rest"] or "")
            groups[key][match["size"]] = row
    floors = {row["case"].rpartition("-")[2]: row["subject"]
              for row in summaries if row["case"].startswith("floor-copy-")}
    for rows in groups.values():
        for size, row in rows.items():
            row["floor"] = floors.get(size)
    return groups


def _sized(pyplot, key, rows, folder):
    """Draw bars of both kinds of port with their spread, over the size."""
    what, ring, where, rest = key
    sizes = [s for s in _ORDER if s in rows]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for at, side, label in ((-0.2, "baseline", "vhost-user"),
                            (0.2, "subject", "vhostpci")):
        there = [(i, rows[s]) for i, s in enumerate(sizes) if rows[s][side]]
        values = [row[side] for _, row in there]
        errors = [[max(0, row[side] - row[side + "_spread"][0]) for _, row in there],
                  [max(0, row[side + "_spread"][1] - row[side]) for _, row in there]]
        axes.bar([i + at for i, _ in there], values, 0.38, yerr=errors,
                 capsize=3, label=label)
    if all(rows[s]["floor"] for s in sizes):
        axes.plot(range(len(sizes)), [rows[s]["floor"] for s in sizes], "k_",
                  markersize=30, label="copying alone")
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_xlabel("bytes per packet")
    axes.set_ylabel("cycles per packet; 10th to 90th percentile")
    axes.set_title(f"{what}, {ring} rings, "
                   f"{_WHERE[where]}"
                   f"{', not mergeable' if rest else ''}")
    axes.legend()
    figure.tight_layout()
    path = folder / f"{what}-{ring}-{where}{rest}.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _stages(pyplot, summaries, folder):
    """Draw how the cycles of receive and transmit bursts are divided."""
    found = defaultdict(dict)
    for row in summaries:
        match = _STAGE.match(row["case"])
        if match and row["subject"]:
            found[match["stage"]][match["of"]] = row["subject"]
    if not found:
        return []
    bars = list(dict.fromkeys(of for rows in found.values() for of in rows))
    below = dict.fromkeys(bars, 0)
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for stage, rows in found.items():
        axes.bar(bars, [rows.get(of, 0) for of in bars], 0.6,
                 bottom=list(below.values()), label=stage)
        below = {of: below[of] + rows.get(of, 0) for of in bars}
    axes.set_xlabel("rings, bytes per packet")
    axes.set_ylabel("cycles per packet")
    axes.set_title("stages of the vhostpci port's bursts")
    axes.legend(ncols=2)
    figure.tight_layout()
    path = folder / "stages.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return [path]


def _ratios(pyplot, summaries, folder):
    """Draw all ratios one below another, with their spread."""
    # Ratios that do not compare the two kinds of port have other pictures.
    rows = [r for r in summaries if r["ratio"] and not _STAGE.match(r["case"])
            and not r["case"].startswith(("floor", "chain"))][::-1]
    if not rows:
        return []
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.22 * len(rows)))
    errors = [[max(0, r["ratio"] - r["spread"][0]) for r in rows],
              [max(0, r["spread"][1] - r["ratio"]) for r in rows]]
    axes.errorbar([r["ratio"] for r in rows], range(len(rows)), xerr=errors,
                  fmt="o", capsize=2)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(rows)), [r["case"] for r in rows], fontsize=7)
    axes.set_ylim(-1, len(rows))
    axes.set_xlabel("vhostpci : vhost-user; 10th to 90th percentile")
    figure.tight_layout()
    path = folder / "ratios.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return [path]
