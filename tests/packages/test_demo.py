# SPDX-License-Identifier: Apache-2.0
"""The demonstration runs in a Debian with the packages, and without a build."""
import re
import subprocess

import pytest

from harness import config

TREE = "srv/vhost-pci"


def put_tree(root):
    """Copy the files that are in git, like a user's clone."""
    names = subprocess.run(
        ["git", "-C", config.TOP, "ls-files", "-z"], check=True,
        stdout=subprocess.PIPE).stdout
    target = root.folder / TREE
    target.mkdir(parents=True)
    subprocess.run(["cpio", "--quiet", "-0", "-pdm", target], input=names,
                   cwd=config.TOP, check=True)
    return target


@pytest.mark.timeout(7200)
def test_demo_runs_from_installed_packages(root, packages):
    tree = put_tree(root)
    command = [f"/{TREE}/quickstart", "demo", "--installed"]
    code, said = root.run(command)
    assert code == 1, said
    assert ("packages that are not installed here: qemu-system-vhostpci "
            "librte-net-vpci openvswitch-vhostpci (") in said, said
    root.apt("install", *root.put(packages.values()))
    code, said = root.run(command, 3600)
    print(said)
    assert code == 0 and "FAIL" not in said, said[-3000:]
    assert len(re.findall(r" PASS$", said, re.M)) == 18, said
    # The demonstration has compiled nothing of this project.
    built = {p.name for p in (tree / "build").iterdir()}
    assert not built & {"qemu", "ovs", "guest-pmd", "config.status"}, built
