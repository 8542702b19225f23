# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a QEMU with one device for each test, and front-ends for it.

The program is $VHOSTPCI_QEMU, or build/qemu/qemu-system-x86_64; without it the
tests are skipped. The tests need no guest, no KVM and no root.
"""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import machine as machines  # noqa: E402
from bench import Bench  # noqa: E402
from server import ServerBench  # noqa: E402


_once = []  # tests that run only once, because there is no KVM


def pytest_generate_tests(metafunc):
    """Run each test without KVM, and a second time with KVM if it works."""
    if "accel" in metafunc.fixturenames:
        kvm = machines.qemu().exists() and machines.has_kvm()
        metafunc.parametrize("accel", ["qtest", "kvm"] if kvm else ["qtest"],
                             indirect=True)


def pytest_collection_finish(session):
    params = [item.callspec.params.get("accel") for item in session.items
              if hasattr(item, "callspec")]
    if machines.qemu().exists() and "kvm" not in params:
        _once.extend(param for param in params if param)


def pytest_terminal_summary(terminalreporter):
    """Print a line for tools/count-results, with the number of tests that do
    not run a second time."""
    if _once:
        terminalreporter.write_line(f"ONCE [{len(_once)}] no usable KVM")


@pytest.fixture
def accel(request):
    if not machines.qemu().exists():
        pytest.skip(f"no QEMU with the device at {machines.qemu()}")
    return request.param


def benches_of(kind, accel):
    benches = []

    def make(options="", **more):
        benches.append(kind(options, accel, **more))
        return benches[-1]

    yield make
    for bench in benches:
        code, log = bench.close()
        assert code == 0, f"QEMU ended with {code}: {log}"
        assert "assert" not in log.lower(), log


@pytest.fixture
def make_bench(accel):
    yield from benches_of(Bench, accel)


@pytest.fixture
def make_server(accel):
    yield from benches_of(ServerBench, accel)


@pytest.fixture
def bench(make_bench):
    # A long timeout: on a busy machine a driver may answer late.
    return make_bench(",ack-timeout=5000")
