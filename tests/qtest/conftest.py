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

@pytest.fixture(params=["qtest", "kvm"])
def accel(request):
    """Every test runs without KVM and, where there is one, with it."""
    if not machines.qemu().exists():
        pytest.skip(f"no QEMU with the device at {machines.qemu()}")
    if request.param == "kvm" and not machines.has_kvm():
        pytest.skip("no usable KVM")
    return request.param


@pytest.fixture
def make_bench(accel):
    benches = []

    def make(options="", **more):
        benches.append(Bench(options, accel, **more))
        return benches[-1]

    yield make
    for bench in benches:
        code, log = bench.close()
        assert code == 0, f"QEMU ended with {code}: {log}"
        assert "assert" not in log.lower(), log


@pytest.fixture
def bench(make_bench):
    # Generous, so that a busy machine does not look like a silent driver.
    return make_bench(",ack-timeout=5000")
