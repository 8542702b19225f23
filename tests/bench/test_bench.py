# SPDX-License-Identifier: Apache-2.0
"""Tests the bench itself, with one short round of each kind of case: packets
move, no circulating packet is lost, and results.json has the right format.
The tests check no timings.  Tests that cannot run are skipped with a reason."""
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

if "top_builddir" in os.environ:
    os.environ.setdefault("VHOSTPCI_BUILDDIR", os.environ["top_builddir"])

import bench  # noqa: E402
import chain  # noqa: E402
import chain_report  # noqa: E402
import loop  # noqa: E402
import machine  # noqa: E402
import results  # noqa: E402
import steered  # noqa: E402
from peers import (BURST, RING, Layout, NotNegotiated,  # noqa: E402
                   check_front_end)
from switch import config  # noqa: E402

KEYS = {"case", "unit", "subject", "baseline", "ratio", "spread", "rounds"}


@pytest.fixture(autouse=True)
def prerequisites():
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("needs cores 0 and 1")
    for name in ("floor_copy", "bench_ports", "stamps.so"):
        if not (config.BUILD / "tests" / "bench" / name).exists():
            pytest.skip(f"no tests/bench/{name} (built with libdpdk)")
    try:
        config.plugin()
        config.program("dpdk-testpmd")
    except config.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def open_vswitch():
    try:
        config.ovs("ours")
    except config.Missing as missing:
        pytest.skip(str(missing))


def run_bench(folder, *arguments):
    """Run the bench; returns its exit status and {case: row of
    results.json}."""
    done = subprocess.run(
        [sys.executable, bench.__file__, "--no-huge", "--no-stock", "--quick",
         "--rounds", "1", "--seconds", "0.05", "--patience", "0",
         "--settle", "30",
         "--nice", str(os.getpriority(os.PRIO_PROCESS, 0)),
         "--output", folder, *arguments],
        text=True, capture_output=True, timeout=300, check=False)
    assert (folder / "results.json").exists(), done.stdout + done.stderr
    rows = json.loads((folder / "results.json").read_text())
    for row in rows:
        assert KEYS <= row.keys(), row
    return done, {row["case"]: row for row in rows}


def check_measured(row):
    assert "error" not in row, row
    assert row["rounds"] >= 1 and row["subject"] > 0
    assert row["baseline"] > 0 and row["ratio"] > 0
    low, high = row["spread"]
    assert low <= row["ratio"] <= high


def test_drivers_alone(tmp_path):
    names = ["floor-copy-64", "loop-split-64-pmd", "loop-split-imix-pmd-nomrg",
             "stage-rx-split-64-pmd", "stage-rx-ring-split-64-pmd",
             "stage-rx-copy-split-64-pmd", "oneway-split-1514-pmd",
             "latency-p99-64-pmd", "idle-poll-8-pmd", "memory-port-pmd"]
    done, rows = run_bench(tmp_path, "--only", ",".join(names))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(rows) == sorted(names)
    for row in rows.values():
        check_measured(row)
    assert "loop-split-64-pmd" in done.stdout
    assert rows["stage-rx-ring-split-64-pmd"]["ratio"] + \
        rows["stage-rx-copy-split-64-pmd"]["ratio"] < 1
    assert set(rows["oneway-split-1514-pmd"]["loss"]) == {"vhostpci",
                                                           "vhostuser"}


def test_open_vswitch(tmp_path, open_vswitch):
    names = ["floor-ovs-64", "loop-split-512-ovs", "oneway-split-64-ovs",
             "latency-p50-64-ovs"]
    done, rows = run_bench(tmp_path, "--only", ",".join(names))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(rows) == sorted(names)
    for row in rows.values():
        check_measured(row)


def test_layouts_are_as_asked():
    def log(*paths):
        return "\n".join(f"virtio: using {path} Rx path on port {i}"
                         for i, path in enumerate(paths))
    agreed = [(Layout(False, True), "mergeable buffer"),
              (Layout(False, False), "standard"), (Layout(False, False), "inorder"),
              (Layout(True, True), "packed ring mergeable buffer"),
              (Layout(True, False), "packed ring standard")]
    for layout, path in agreed:
        assert check_front_end(log(path, path), (0, 1), layout) == [path] * 2
    for layout in {layout for layout, _ in agreed}:
        for other, path in agreed:
            if other != layout and path != "inorder":
                with pytest.raises(NotNegotiated):
                    check_front_end(log(path, path), (0, 1), layout)


def test_packed_is_never_measured_as_split(tmp_path):
    _, rows = run_bench(tmp_path, "--only", "loop-packed-64-pmd")
    row = rows["loop-packed-64-pmd"]
    if "error" in row:
        assert "packed=1 was asked for" in row["error"]
        assert row["subject"] is None
    else:
        assert all("packed" in path for path in row["front_end"].values())


# One case for each kind of rules, and of peers.
@pytest.mark.parametrize("name", [
    "loop-split-64-steered", "loop-split-64-steered-1000",
    "loop-split-64-marked-1000", "latency-p50-64-steered"])
def test_what_is_not_steered_is_not_measured_as_steered(tmp_path, open_vswitch,
                                                        name):
    _, rows = run_bench(tmp_path, "--only", name)
    check_measured(rows[name])


class Told(steered.RuledSwitch):
    """A switch that only gives prepared answers."""

    def __init__(self, text, which="one"):
        self.text, self.steers, self.dir = text, True, None
        self.wanted = "partial" if which == "marked" else "yes"

    def appctl(self, *_, **__):
        return self.text


def test_packets_that_open_vswitch_looked_up_fail_a_steered_case():
    stats = ("pmd thread numa_id 0 core_id 1:\n  packets received: 100\n"
             "  phwol hits: {}\n  mfex opt hits: 0\nmain thread:\n"
             "  packets received: 0\n  phwol hits: 0\n")
    Told(stats.format(96)).check_below(100)
    for hits, word in ((90, "little"), (0, "nothing")):
        with pytest.raises(steered.NotSteered, match=f"{word} was steered: "
                           f"{hits} of 100 packets"):
            Told(stats.format(hits)).check_below(100)


def test_flows_count_as_what_the_driver_took_of_them():
    flows = ("ufid:1, in_port(1), packets:1, offloaded:yes, dp:dpdk, actions:2\n"
             "ufid:2, in_port(2), packets:1, offloaded:partial, dp:ovs, "
             "actions:1\nufid:3, in_port(3), packets:1, dp:ovs, actions:1\n")
    assert Told(flows).offloaded() == 1
    assert Told(flows, "marked").offloaded() == 1


def test_each_flow_has_a_rule_of_its_own():
    made = list(steered.rules("vhostpci", "flows"))
    assert len(set(made)) == steered.FLOWS
    assert made[300] == ("in_port=vhostpci0,udp,nw_src=198.18.1.44,tp_src=309,"
                         "actions=output:vhostpci1")
    assert len(list(steered.rules("vhostuser", "one"))) == 2


def test_a_chain_of_two_functions(tmp_path, open_vswitch):
    names = [f"chain-2-{what}" for what in chain.ROWS]
    done, rows = run_bench(tmp_path, "--only", ",".join(names))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(rows) == sorted(names)
    for row in rows.values():
        check_measured(row)
    stages = rows["chain-2-stages"]
    assert len(stages["stages"]) == 2 and stages["ratio"] >= 1
    # The baseline of one row is the subject of the other.
    assert rows["chain-2-steered"]["baseline"] == \
        rows["chain-2-central"]["subject"]
    assert rows["chain-2-central"]["lookups"]["simple"] > 0.95
    assert "| functions |" in done.stdout


def test_functions_join_the_stages():
    pairs = [[0, 1], [2, 3], [4, 5]]
    # A function joins the second port of a stage to the first of the next one.
    assert chain.chained(pairs) == [1, 2, 3, 4, 5, 0]
    assert chain.chained(pairs[:1]) == [1, 0]


def test_the_slowest_stage_bounds_the_chain():
    found = {"near": {"stage1": [5, 5, 9], "stage2": [6, 6, 6],
                      "stage3": [1, 1, 99], "central": [50]},
             "far": {"stage1": [8], "stage2": [7]}}
    assert chain.add_slowest(found) == [5, 6, 1]
    assert found["near"]["slowest"] == [6, 6, 6]
    assert found["far"]["slowest"] == [8]
    assert chain.add_slowest({"near": {}, "far": {"stage1": [3]}}) == [3]


def test_lookups_are_shares_of_all_packets():
    text = ("pmd thread numa_id 0 core_id 1:\n  packets received: 200\n"
            "  emc hits: 20\n  smc hits: 0\n  megaflow hits: 80\n"
            "  simple match hits: 100\n"
            "  avg. packets per output batch: 31.50\n"
            "main thread:\n  packets received: 0\n  emc hits: 0\n")
    assert chain.lookups(text) == {"simple": 0.5, "emc": 0.1, "megaflow": 0.4,
                                   "batch": 31.5}
    assert chain.lookups("pmd thread:\n  packets received: 0\n") == {}


def test_packets_of_a_chain_fit_into_one_ring():
    longest = max(chain.LENGTHS)
    assert longest * chain.FILL_BURSTS * BURST < RING
    assert chain.Functions.FLOWS // 2 < RING


def chain_rows():
    """Rows for chains of two and of four functions, measured at 1 GHz."""
    table = results.Results()
    for length, ours, central, alone in ((2, 100, 250, 200), (4, 100, 400, 200)):
        for what, subject, baseline in (
                ("steered", ours, central), ("stages", ours, ours * 0.8),
                ("central", central, alone), ("idle", 220, alone)):
            table.add(f"chain-{length}-{what}", "cycles", [subject], [baseline],
                      hertz=1e9)
    table.add("chain-2-central-1000", "cycles", [500], [200], hertz=1e9,
              lookups={"simple": 0, "emc": 0.25, "megaflow": 0.75,
                       "batch": 30})
    return table.summaries()


def test_rates_of_a_chain_are_at_equal_total_cores():
    points = chain_report.points(chain_rows())
    four = points[""][4]
    assert chain_report.rate(four, four.ours) == 10
    assert chain_report.rate(four, four.central) == 2.5
    # One core serves all four stages.
    assert chain_report.rate(four, four.central, 4) == 0.625
    assert chain_report.kept(four.growth) == 0.8
    assert chain_report.kept(four.central_growth) == 0.5
    assert points["-1000"][2].ours is None


def test_the_table_of_chains_is_markdown():
    lines = chain_report.table(chain_rows()).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1
    assert any(line.startswith("| 4 | 100.0 | 10.00 | 0.80 | 400.0 | 2.50 | 0.50 |")
               for line in tables)
    assert any("0.00, 0.25, 0.75 | 30.0" in line for line in tables)
    assert chain_report.table([]) == ""


def test_every_target_is_a_case():
    names = {name for family in bench.FAMILIES for name in family.cases()}
    assert set(results.TARGETS) <= names
    assert {"loop-split-64-ovs", "loop-packed-64-ovs", "loop-split-64-pmd",
            "oneway-split-1514-ovs", "latency-p50-64-ovs", "idle-poll-8-pmd",
            "stage-tx-copy-packed-1514-pmd", "floor-copy-64"} <= names


def test_far_rounds_count_only_if_there_are_no_near_ones():
    found = {"near": {"subject": [1.0, 2.0], "baseline": [2.0, 2.0]},
             "far": {"subject": [9.0], "baseline": [3.0]}}
    table = results.Results()
    table.add_sets("near", "cycles", found)
    table.add_sets("far", "cycles", {**found, "near": {}})
    near, far = table.summaries()
    assert (near["ratio"], near["rounds"], near["cores"]) == (0.75, 2, "near")
    assert near["far"]["ratio"] == 3.0
    assert (far["ratio"], far["cores"]) == (3.0, "far")


# (name: crossings before and after each set of rounds, the result of sets()).
@pytest.mark.parametrize("crossings, near, far", [
    ([100], [0, 1], []),
    ([900], [], [0, 1, 2, 3]),
    ([100, 900, 900, 100, 100], [3], [1]),
    ([100, 900], [], [0, 1, 2, 3]),  # the cores move during each set
])
def test_sets_are_sorted_by_where_the_cores_are(monkeypatch, crossings, near,
                                                far):
    told = itertools.cycle(crossings)
    monkeypatch.setattr(machine, "crossing", lambda: next(told))
    options = SimpleNamespace(rounds=2, near=450, patience=0, all_patience=0)
    found = machine.sets(lambda i: {"subject": i}, options)
    assert found == {"near": {"subject": near} if near else {},
                     "far": {"subject": far} if far else {}}


def test_a_round_without_packets_is_taken_again(monkeypatch):
    taken = iter([(0, "none"), (0, "none yet"), (5, "some"), (6, "more"),
                  (0, "none")])
    assert loop.patiently(lambda: next(taken)) == "some"
    assert loop.patiently(lambda: next(taken)) == "more"
    monkeypatch.setattr(loop, "PATIENCE_S", 0)
    assert loop.patiently(lambda: next(taken)) == "none"
