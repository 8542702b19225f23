# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of the Debian packages in build/packages, which
`quickstart packages` makes.

    pytest tests/packages [--full]

Tests that install packages run only with --full.
"""
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))

from harness import config  # noqa: E402
from harness.debian import Root, Workshop  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true",
                     help="install in a clean Debian, too")


@pytest.fixture(scope="session", name="packages")
def built_packages():
    """{name of a package: its file}"""
    found = {p.name.split("_")[0]: p
             for p in (config.BUILD / "packages").glob("*.deb")
             if "-dbgsym_" not in p.name}
    if not found:
        pytest.skip("no packages in build/packages (quickstart packages)")
    return found


@pytest.fixture(name="root")
def clean_root(request, packages):
    """A folder with a new Debian for one test; services do not start in it."""
    if not request.config.getoption("full"):
        pytest.skip("makes a Debian of its own: --full runs it")
    if os.geteuid():
        pytest.skip("chroot needs root")
    if not shutil.which("debootstrap", path="/usr/sbin"):
        pytest.skip("debootstrap is not installed")
    shop = Workshop(config.BUILD / "tests" / "packages",
                    packages["vhost-pci-guest"].parent, "/run")
    shop.run("root", seconds=3600)
    root = Root(shop.folder / "guest")
    policy = root.folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    root.apt("update")
    yield root
    shutil.rmtree(shop.folder, ignore_errors=True)
