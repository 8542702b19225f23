# SPDX-License-Identifier: Apache-2.0
"""Installs, upgrades, removes and purges the packages in a clean Debian."""
import os
import re
import shutil
import subprocess

import pytest

OURS = "/usr/lib/openvswitch-vhostpci/ovs-vswitchd-vhostpci"
STOCK = "/usr/lib/openvswitch-switch/ovs-vswitchd"
CONFIG = "etc/default/vhost-pci-guest"
# Files that remain after any package: records of dpkg and apt, for example.
KEPT = re.compile(r"^(var/lib/(dpkg|apt)|var/cache|var/log|tmp|root|proc|dev|"
                  r"etc/ld\.so\.cache|etc/(group|gshadow)-?$)")
OLDER = "0.0.1"


def files(root):
    """The paths of all files and folders, except KEPT."""
    found = set()
    for folder, dirs, names in os.walk(root.folder):
        base = os.path.relpath(folder, root.folder)
        found |= {os.path.normpath(os.path.join(base, n))
                  for n in (*dirs, *names)}
    return {f for f in found if not KEPT.match(f)}


def vswitchd(root):
    return root.sh("readlink -f /usr/sbin/ovs-vswitchd").strip()


def older(package, folder):
    """Make the same package with an older version; its dependencies on other
    packages of this project get that version, too."""
    unpacked = folder / package.stem
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    text = control.read_text()
    version = re.search(r"^Version: (.*)$", text, re.M).group(1)
    control.write_text(text.replace(version, OLDER))
    target = folder / f"{package.stem}-older.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", unpacked, target],
                   check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(unpacked)
    return target


def depends(packages):
    """All dependencies of the packages on other packages than these."""
    wanted = []
    for package in packages.values():
        text = subprocess.run(
            ["dpkg-deb", "-f", package, "Depends"], check=True, text=True,
            stdout=subprocess.PIPE).stdout
        wanted += [part.strip() for part in text.split(",") if part.strip()
                   and part.split()[0] not in packages]
    return wanted


def versions(root, packages):
    return set(root.sh("dpkg-query -W -f '${Version}\\n' "
                       + " ".join(packages)).split())


@pytest.mark.timeout(7200)
def test_installing_upgrading_removing_and_purging_leaves_nothing(
        root, packages, tmp_path):
    root.sh("apt-get -q -y --no-install-recommends satisfy '"
            + ", ".join(depends(packages)) + "'")
    before = files(root)
    assert vswitchd(root) == STOCK

    root.apt("install", *root.put([older(p, tmp_path)
                                for p in packages.values()]))
    assert versions(root, packages) == {OLDER}
    assert vswitchd(root) == OURS
    settings = root.folder / CONFIG
    settings.write_text(settings.read_text() + "# mine\n")

    root.apt("install", *root.put(packages.values()))
    assert len(versions(root, packages)) == 1
    assert OLDER not in versions(root, packages)
    assert vswitchd(root) == OURS
    assert settings.read_text().endswith("# mine\n")
    assert "DPDK" in root.sh("/usr/sbin/ovs-vswitchd --version")
    assert "vhost-pci-net-pci" in root.sh(
        "qemu-system-x86_64-vhostpci -device help")
    assert (root.folder / "etc/systemd/system/multi-user.target.wants"
            / "vhost-pci-bind.service").is_symlink()
    # The package does this, too, but it would need /proc.
    assert "/run/vhost-pci" in root.sh(
        "mount -t proc proc /proc; systemd-tmpfiles --create vhost-pci.conf; "
        "umount /proc; stat -c '%n %G %a' /run/vhost-pci")

    root.apt("remove", *packages)
    assert vswitchd(root) == STOCK
    assert settings.exists()
    # dpkg, because apt no longer knows the packages that have no settings.
    root.sh("dpkg --purge " + " ".join(packages))
    left = files(root) - before - {"usr/sbin/policy-rc.d", "run/vhost-pci"}
    assert not left, sorted(left)
    assert not before - files(root)
