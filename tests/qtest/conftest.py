# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a QEMU with one device for each test, and front-ends for it.

The program is $VHOSTPCI_QEMU, or build/qemu/qemu-system-x86_64; without one
the tests are skipped. No guest, no KVM, no root.
"""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import machine as machines  # noqa: E402
from bench import Bench  # noqa: E402

@pytest.fixture
def make_bench():
    benches = []

    def make(options="", **more):
        if not machines.qemu().exists():
            pytest.skip(f"no QEMU with the device at {machines.qemu()}")
        benches.append(Bench(options, **more))
        return benches[-1]

    yield make
    for bench in benches:
        code, log = bench.close()
        assert code == 0, f"QEMU ended with {code}: {log}"
        assert "ERROR" not in log and "assert" not in log.lower(), log


@pytest.fixture
def bench(make_bench):
    # Generous, so that a busy machine does not look like a silent driver.
    return make_bench(",ack-timeout=5000")
