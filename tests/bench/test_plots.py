# SPDX-License-Identifier: Apache-2.0
"""Tests the bench's pictures, with made-up results."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chain_vms  # noqa: E402
import plots  # noqa: E402
from results import Results  # noqa: E402

pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")
import matplotlib  # noqa: E402
matplotlib.use("Agg")
from matplotlib import colors, image, pyplot  # noqa: E402

SIZES = ("64", "512", "1514", "imix")
STAGES = ("rx-ring", "rx-copy", "tx-copy")
RATIOS, PARTS = "ratios.png", "stages.png"


def rounds(subject, baseline):
    return {"near": {"subject": [subject, subject * 1.1, subject * 0.9],
                     "baseline": [baseline, baseline * 1.2, baseline]},
            "far": {}}


@pytest.fixture
def summaries():
    table = Results()
    for i, size in enumerate(SIZES):
        table.add(f"floor-copy-{size}", "cycles", [10.0 + i])
        for name in (f"loop-split-{size}-ovs", f"loop-packed-{size}-pmd",
                     f"loop-split-{size}-pmd-nomrg",
                     f"oneway-split-{size}-ovs"):
            table.add_sets(name, "cycles", rounds(60.0 + i, 90.0 + i))
        table.add_sets(f"loop-split-{size}-ovs-stock", "cycles",
                       rounds(60.0 + i, 110.0 + i))
    for of, cycles in (("split-64", 9.0), ("packed-1514", 90.0)):
        for stage in STAGES:
            table.add_sets(f"stage-{stage}-{of}-pmd", "cycles",
                           rounds(cycles, 4 * cycles))
    # Neither of these cases has a size, and the last one has no figures.
    table.add("latency-p50-64-ovs", "us", [3.0, 3.5], [4.0, 4.2])
    table.fail("loop-packed-64-ovs", "cycles", "made up")
    return table.summaries()


@pytest.fixture
def drawn(monkeypatch):
    """{file: what it shows} of every figure that plots.py writes."""
    seen = {}
    save = pyplot.Figure.savefig

    def spy(figure, path, **options):
        axes = figure.axes[0]
        seen[path.name] = {
            "title": axes.get_title(),
            "x": [t.get_text() for t in axes.get_xticklabels()],
            "y": [t.get_text() for t in axes.get_yticklabels()],
            "bars": len(axes.patches)}
        save(figure, path, **options)
    monkeypatch.setattr(pyplot.Figure, "savefig", spy)
    return seen


def shares(path, *wanted):
    """{colour: its share of the picture}."""
    pixels = image.imread(path)[..., :3]
    height, width, _ = pixels.shape
    assert width > 500 and height > 150, (path, pixels.shape)
    return [float((abs(pixels - colors.to_rgb(colour)).max(axis=2) < 0.02)
                  .mean()) for colour in wanted]


def test_each_kind_of_case_makes_its_picture(tmp_path, summaries, drawn):
    made = plots.draw(summaries, tmp_path)
    names = {"loop-split-ovs.png", "loop-packed-pmd.png",
             "loop-split-pmd-nomrg.png", "oneway-split-ovs.png", RATIOS, PARTS}
    assert {path.name for path in made} == names == set(drawn)
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names - {RATIOS, PARTS}:
        # Bars of both kinds of port, and background around them.
        baseline, subject, white = shares(tmp_path / name, "C0", "C1", "white")
        assert baseline > subject > 0.05 and 0.2 < white < 0.9, name
        assert drawn[name]["x"] == list(SIZES)
        assert drawn[name]["bars"] == 2 * len(SIZES)
    assert drawn["loop-split-pmd-nomrg.png"]["title"] == \
        "loop, split rings, drivers alone, not mergeable"
    assert drawn[PARTS]["x"] == ["split-64", "packed-1514"]
    assert drawn[PARTS]["bars"] == len(STAGES) * 2
    assert min(shares(tmp_path / PARTS, "C0", "C1", "C2")) > 0.02
    marks, white = shares(tmp_path / RATIOS, "C0", "white")
    assert marks > 0.0005 and 0.5 < white < 0.999


def test_ratios_show_every_case_and_stock_is_nowhere_else(tmp_path, summaries,
                                                          drawn):
    plots.draw(summaries, tmp_path)
    measured = [row["case"] for row in summaries if row["ratio"]
                and not row["case"].startswith("stage")]
    # The order is that of the table.  The floor is left out, because it has no
    # port; so is a stage, whose ratio is its share of a burst.
    assert drawn[RATIOS]["y"][::-1] == measured
    assert "loop-split-64-ovs-stock" in measured
    assert "latency-p50-64-ovs" in measured
    assert not [name for name in drawn if "stock" in name]
    # The picture has only the bars of the switch's own cases: 60 and 90, and
    # not 110.
    assert drawn["loop-split-ovs.png"]["bars"] == 2 * len(SIZES)


def test_nothing_measured_makes_no_picture(tmp_path):
    table = Results()
    table.fail("loop-split-64-ovs", "cycles", "made up")
    assert plots.draw(table.summaries(), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_chains_have_a_picture_for_each_kind_of_rules(tmp_path, monkeypatch):
    seen = {}
    save = pyplot.Figure.savefig

    def spy(figure, path, **options):
        seen[path.name] = [
            {line.get_label().split(",")[0]: list(line.get_ydata())
             for line in axes.lines} for axes in figure.axes]
        save(figure, path, **options)
    monkeypatch.setattr(pyplot.Figure, "savefig", spy)
    table = Results()
    for length, central in ((1, 200.0), (2, 250.0), (4, 400.0)):
        table.add(f"chain-{length}-steered", "cycles", [100.0], [central],
                  hertz=1e9)
        table.add(f"chain-{length}-central-1000", "cycles", [300.0], [200.0],
                  hertz=1e9)
    made = plots.draw(table.summaries(), tmp_path)
    assert {path.name for path in made} == {"chain.png", "chain-1000.png"}
    equal, one = seen["chain.png"]
    assert equal["ours: the slowest stage"] == [10, 10, 10]
    assert equal["central: each core has a ring of every port"] == [5, 4, 2.5]
    # A chain on one core is compared with two functions.
    assert one["central"] == [2.5, 1, 0.3125]
    # The claim of the talk is drawn as an area.
    assert shares(tmp_path / "chain.png", "C0", "C1")[1] > 0.0005


def chain_of_vms():
    """v2 of a chain of three takes 20 us; the hub 15 for each function."""
    for length in (2, 3):
        ends = {"v1": 90.0, f"v{length}": 80.0}
        inner = {"v2": 20.0} if length == 3 else {}
        yield {"kind": "mesh", "length": length, "packets": 1000,
               "microseconds": {**ends, **inner}, "idle": {}}
        yield {"kind": "central", "length": length, "packets": 1000,
               "microseconds": {"hub": 15.0 * length, **ends, **inner},
               "idle": {}}


@pytest.mark.parametrize("longest", chain_vms.LENGTHS)
def test_the_vms_of_a_chain_fit_into_a_description(tmp_path, longest):
    pytest.importorskip("yaml", reason="python3-yaml is not installed")
    file = tmp_path / "net.yaml"
    file.write_text(chain_vms.describe(longest))
    net = chain_vms.topology_tool().load(file)
    assert len(net.vms["hub"].serves) == longest
    for number in range(2, longest, 2):
        assert len(net.vms[f"v{number}"].serves) == 2


def test_a_chain_of_vms_is_told_by_who_switches(tmp_path):
    rows = list(chain_of_vms())
    lines = list(chain_vms.report(rows))
    assert lines[2:] == [
        "| 2 | mesh | 1000 | - | - | 170 |",
        "| 2 | central | 1000 | hub 30 | 30 | 200 |",
        "| 3 | mesh | 1000 | v2 20 | 20 | 190 |",
        "| 3 | central | 1000 | hub 45, v2 20 | 45 | 235 |"]
    assert image.imread(chain_vms.draw(rows, tmp_path / "chain.png")).size
