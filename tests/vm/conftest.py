# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the VM tests.  See harness/__init__.py for the layers.

    pytest tests/vm [--full] [--builddir DIR] [--times N] [--busy N]

Tests that share a topology use `shared`, or `module_topology` for one file; a
test that destroys its VMs uses `topology`.  Logs stay in
BUILDDIR/tests/vm/NAME/; when a test fails, its report quotes their ends.
"""
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import config  # noqa: E402
from harness.images import Images  # noqa: E402
from harness.procs import Child  # noqa: E402
from harness.shared import Shared  # noqa: E402
from harness.topology import Topology  # noqa: E402

_open = []  # Topologies that are up: the report of a failure quotes their logs.


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true",
                     help="long loops at full length where CI runs a slice")
    parser.addoption("--builddir", help="build directory (default: build)")
    parser.addoption("--times", type=int, default=1,
                     help="run each test that often")
    parser.addoption("--busy", type=int, default=0,
                     help="beside that many processes that loop")


def pytest_generate_tests(metafunc):
    times = metafunc.config.getoption("times")
    if times > 1:
        metafunc.fixturenames.append("_time")
        metafunc.parametrize("_time", range(1, times + 1))


@pytest.fixture(scope="session", autouse=True)
def _busy(request):
    loops = [Child([sys.executable, "-c", "while True: pass"])
             for _ in range(request.config.getoption("busy"))]
    yield
    for loop in loops:
        loop.end()


def pytest_configure(config):
    from harness import config as paths
    config.addinivalue_line("markers", "full: runs only with --full")
    if config.getoption("builddir"):
        paths.BUILD = Path(config.getoption("builddir")).resolve()


@pytest.fixture(scope="session")
def images():
    return Images(config.BUILD / "tests" / "vm" / "images")


def _log_name(text):
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")


def pytest_collection_modifyitems(config, items):
    """Skip tests that are marked as `full` where CI runs a slice.  Run the tests
    of `shared` first, the others after them, in their order.  So the shared
    VMs, which need CPU time even when idle, do not run beside other tests' VMs.
    """
    items.sort(key=lambda item: "shared" not in item.fixturenames)
    if not config.getoption("full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="runs with --full"))


def _topology(shared, images, name):
    """Yields a Topology, which ends with the fixture that calls this."""
    shared.close()
    net = Topology(_log_name(name), images)
    _open.append(net)
    yield net
    _open.remove(net)
    net.close()


@pytest.fixture
def topology(request, images, _shared):
    """A new Topology for one test."""
    yield from _topology(_shared, images, request.node.name)


@pytest.fixture(scope="module")
def module_topology(request, images, _shared):
    """A Topology that the tests of one file share."""
    yield from _topology(_shared, images, Path(request.node.name).stem)


@pytest.fixture(scope="session")
def _shared(images):
    holder = Shared(images)
    yield holder
    holder.close()


@pytest.fixture
def shared(_shared):
    """The topology of harness/shared.py, healthy at the test's start."""
    net = _shared.healthy()
    _open.append(net)
    yield net
    _open.remove(net)


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("full")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Add each VM's last lines of console and QEMU to a failure's report."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for net in _open:
            for vm in net.vms.values():
                if vm.child and vm.running():
                    report.sections.append((f"{net.name}/{vm.name} state",
                                            vm.state()))
                if vm.child:
                    report.sections.append((
                        f"{net.name}/{vm.name} console", vm.console_tail()))
                    report.sections.append((
                        f"{net.name}/{vm.name} qemu",
                        vm.child.output()[-3000:]))
