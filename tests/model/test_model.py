# SPDX-License-Identifier: Apache-2.0
"""Searches models of protocols with spin.  A test of the real code sees only a
few orders of events; spin tries all of them.  The right variants must have no
error in any state.  Each broken variant must have an error: that shows that the
search can find one.

A variant is a set of macros.  The top of each model explains its macros.
"""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SECONDS = 300  # a search takes up to six seconds on an idle core
MEGABYTES = 1024
DEPTH = 2000000

RIGHT = [
    ("quiescence", ""),
    ("quiescence", "FENCE"),
    ("packed", "N=3"),
    ("packed", "N=4 SINGLE"),
    ("packed", "IN_ORDER"),
    ("packed", "MRG DEPTH=1"),
    ("packed", "NO_PLACE_AFTER"),
    ("packed", "REVOKE SINGLE"),
    ("packed", "REVOKE TIMES=1"),
    ("packed", "REVOKE IN_ORDER TIMES=1"),
    ("split", "N=4"),
    ("split", "N=2 IN_ORDER"),
]
BROKEN = [
    ("quiescence", "NO_BARRIER"),
    ("packed", "FIRST_TO_LAST"),
    ("split", "RESUME_AT_PAGE"),
    ("quiescence", "FENCE_BURST_ONLY"),
    ("quiescence", "BARRIER_FIRST"),
    ("quiescence", "CHECK_FIRST"),
    ("quiescence", "LOAD_FIRST"),
    ("quiescence", "LEAVE_EARLY"),
    ("quiescence", "RUN_EARLY"),
    ("quiescence", "LET_RUN_CHANGED"),
    ("packed", "NO_PLACE_BEFORE"),
    ("packed", "PLACE_TOO_EARLY"),
    ("packed", "ANY_ORDER"),
    ("packed", "NO_FINISH"),
    ("packed", "RESUME_AT_USED"),
    ("packed", "PLACE_OF_WALK"),
    ("packed", "WALK_BLINDLY"),
    ("packed", "MRG NO_FORGET"),
    ("packed", "STALE_BASE"),
    ("packed", "REVOKE SINGLE NO_LOOK"),
    ("packed", "REVOKE SINGLE LOOK_FIRST"),
    ("packed", "REVOKE SINGLE NO_MEMBARRIER"),
    ("packed", "REVOKE SINGLE NO_BEFORE"),
    ("packed", "REVOKE SINGLE GIVEN_UP_IS_NEXT"),
    ("split", "RESUME_AT_AVAIL"),
    ("split", "PAGE_FIRST"),
    ("split", "IDX_FIRST"),
    ("split", "ANY_ORDER"),
]
# Variants that lack a barrier: only a model with store buffers finds the error.
FOUND_BY_STORE_BUFFERS = ["NO_BARRIER", "FENCE_BURST_ONLY", "BARRIER_FIRST"]

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None, reason="the Debian package spin is not installed")


def run(command, folder):
    return subprocess.run(command, cwd=folder, text=True, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False).stdout


def search(model, variant, folder, optimize="-O2"):
    """Search all states of `model` with the macros of `variant`; returns pan's
    output."""
    source = HERE / f"{model}.pml"
    text = source.read_text() + (HERE / "tso.pml").read_text()
    for macro in variant.split():
        # A macro that the model does not use would change nothing.
        name = re.escape(macro.partition("=")[0])
        assert re.search(rf"^#(if|elif).*\b{name}\b", text, re.M), macro
    said = run(["spin", *[f"-D{macro}" for macro in variant.split()], "-a",
                str(source)], folder)
    assert "Error" not in said and (folder / "pan.c").exists(), said
    said = run(["cc", optimize, "-w", "-DSAFETY", f"-DMEMLIM={MEGABYTES}",
                "-o", "pan", "pan.c"], folder)
    assert (folder / "pan").exists(), said
    return run(["./pan", f"-m{DEPTH}"], folder)


def errors(said):
    found = re.search(r"errors: (\d+)", said)
    assert found, said
    return int(found[1])


def assert_right(said):
    assert errors(said) == 0, said
    for cut in ("Search not completed", "max search depth too small"):
        assert cut not in said, said


@pytest.mark.parametrize("model,variant", RIGHT)
def test_no_state_is_wrong(model, variant, tmp_path):
    said = search(model, variant, tmp_path)
    assert_right(said)
    # Each statement was executed in some state, except the ends of processes
    # that never end.
    unreached = [line for line in said.splitlines()
                 if ", state " in line and '"-end-"' not in line]
    assert unreached == []


@pytest.mark.parametrize("model,variant", BROKEN)
def test_broken_variant_is_found(model, variant, tmp_path):
    said = search(model, variant, tmp_path, "-O0")
    assert errors(said) > 0, said
    assert "assertion violated" in said or "invalid end state" in said, said


@pytest.mark.parametrize("variant", FOUND_BY_STORE_BUFFERS)
def test_barrier_is_missed_because_of_store_buffers(variant, tmp_path):
    assert_right(search("quiescence", f"{variant} SC", tmp_path, "-O0"))
