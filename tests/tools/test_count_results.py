# SPDX-License-Identifier: Apache-2.0
"""tools/count-results: the counts, and one line for each reason of a skip."""
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def count(*arguments):
    """Run count-results; returns (its three numbers, the other lines)."""
    done = subprocess.run([sys.executable, TOP / "tools" / "count-results",
                           *arguments], check=True, text=True,
                          stdout=subprocess.PIPE)
    first, *rest = done.stdout.splitlines()
    return tuple(map(int, first.split())), rest


class Results:
    """A folder of results as automake leaves them."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, name, status, log):
        (self.folder / f"{name}.trs").write_text(
            f":test-result: {status}\n:global-test-result: {status}\n")
        (self.folder / f"{name}.log").write_text(log)

    def count(self):
        return count("trs", self.folder)


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


def test_a_programs_own_totals_count(results):
    results.add("a", "PASS", "[==========] 4 tests run.\n[  PASSED  ] 4 test(s).\n")
    results.add("b", "PASS", "===== 3 passed, 2 deselected in 0.10s =====\n")
    results.add("c", "PASS", "silence\n")
    assert results.count() == ((8, 0, 0), [])


def test_a_failure_counts_whatever_the_totals_say(results):
    results.add("a", "FAIL", "3 passed in 0.10s\n")
    results.add("b", "ERROR", "")
    results.add("c", "PASS", "2 failed, 1 passed in 0.10s\n")
    assert results.count()[0] == (4, 4, 0)


def test_each_reason_of_a_skip_has_one_line_with_its_count(results):
    for name, number in (("a", 60), ("b", 30), ("c", 10), ("d", 4)):
        results.add(name, "PASS",
                    f"SKIPPED [{number}] tests/q.py:23: no usable KVM\n"
                    f"7 passed, {number} skipped in 9.10s\n")
    results.add("e", "SKIP", "SKIPPED [2] tests/f.py: no QEMU at /x: 1\n"
                "2 skipped in 0.10s\n")
    results.add("fuzz", "SKIP", "looked for it\nno clang\n")
    assert results.count() == ((28, 0, 107), [
        "skipped: no usable KVM (104 tests)",
        "skipped: no QEMU at /x: 1 (2 tests: e)",
        "skipped: no clang (1 test: fuzz)"])


def test_a_skip_without_a_word_is_counted_and_named(results):
    results.add("mute", "SKIP", "")
    assert results.count() == (
        (0, 0, 1), ["skipped: gives no reason (1 test: mute)"])


def test_what_cannot_run_a_second_time_counts_once(results):
    for name in ("a", "b"):
        results.add(name, "PASS", "ONCE [9] no usable KVM\n9 passed in 2.10s\n")
    assert results.count() == (
        (18, 0, 0), ["once, not twice: no usable KVM (18 tests: a, b)"])


def test_junit_reasons_are_summed(tmp_path):
    skips = "".join(f'<testcase name="t{i}"><skipped message="no vfio"/>'
                    "</testcase>" for i in range(5))
    path = tmp_path / "junit.xml"
    path.write_text('<testsuites><testsuite tests="9" failures="1" errors="1" '
                    f'skipped="5">{skips}<testcase name="x"/></testsuite>'
                    "</testsuites>")
    assert count("junit", path) == ((2, 2, 5), ["skipped: no vfio (5 tests)"])


def test_quickstart_shows_the_reasons_and_the_sum(tmp_path):
    """stages.sh shows the lines that this tool prints."""
    script = (f". {TOP}/tools/lib.sh\n. {TOP}/tools/stages.sh\n"
              "begin_stages\nsay() { printf '5 0 3\\nskipped: why (3 tests)\\n"
              "once, not twice: no KVM (2 tests: a)\\n'; }\n"
              "tests native words say true\nsum_results native\n")
    done = subprocess.run(
        ["bash", "-c", script], check=True, text=True, stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "VHOSTPCI_BUILDDIR": str(tmp_path)})
    lines = done.stdout.splitlines()
    assert "    skipped: why (3 tests)" in lines
    assert "    once, not twice: no KVM (2 tests: a)" in lines
    assert lines[-1] == "5 passed, 0 failed, 3 skipped"
