# SPDX-License-Identifier: Apache-2.0
"""libvirt starts the machines of the user guide, with the files of this
project's packages.  The machines are emulated, because a test machine may have
no KVM."""
import re
import subprocess
from pathlib import Path

import pytest

from harness import config

TOP = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```xml (\w+)\n(.*?)^```$", re.M | re.S)
# Mounts that a booted machine has, in namespaces that end with the script.
# libvirt's own namespaces, cgroups and labels are off: they do not work in a
# folder.
SCRIPT = """
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
ln -sf pts/ptmx /dev/ptmx
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
systemd-tmpfiles --create vhost-pci.conf
cat >> /etc/libvirt/qemu.conf <<CONF
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
CONF
cd /var/lib/libvirt/images
truncate -s 1M switch.img a.img
virtlogd -d
libvirtd -d
tries=0
until virsh -q -c qemu:///system version > /root/version 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt TRIES ] || { echo NO-LIBVIRT; cat /root/version; exit 0; }
    sleep 1
done
for name in switch peer; do
    virsh -q -c qemu:///system define --validate /root/$name.xml
done
virsh -q -c qemu:///system start switch
virsh -q -c qemu:///system start a
virsh -c qemu:///system list
virsh -c qemu:///system qemu-monitor-command switch --hmp info chardev
stat -c 'socket %G %a' /run/vhost-pci/a.sock
for name in a switch; do virsh -q -c qemu:///system destroy $name; done
cat /var/log/libvirt/qemu/switch.log /var/log/libvirt/qemu/a.log
"""


def domains():
    """{name: XML} of the guide's domains, changed for emulation and for less
    memory."""
    text = (TOP / "doc" / "user-guide.md").read_text()
    return {name: xml.replace("<domain type='kvm'", "<domain type='qemu'")
            .replace(">1024</memory>", ">256</memory>")
            for name, xml in BLOCK.findall(text)}


@pytest.mark.timeout(7200)
def test_libvirt_starts_the_machines_of_the_guide(root, packages):
    root.apt("install", "libvirt-daemon-system", "libvirt-clients",
             "qemu-system-x86",
             *root.put([packages["qemu-system-vhostpci"]]))
    for name, xml in domains().items():
        (root.folder / "root" / f"{name}.xml").write_text(xml)
    tries = str(int(30 * config.TIME_SCALE))
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork",
         "--kill-child", "chroot", root.folder, "/bin/sh", "-ec",
         SCRIPT.replace("TRIES", tries)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        timeout=300 * config.TIME_SCALE, check=False)
    said = done.stdout + done.stderr
    if "NO-LIBVIRT" in done.stdout:
        pytest.skip(f"libvirtd does not run here: {said[-300:]}")
    assert done.returncode == 0, said[-5000:]
    assert len(re.findall(r"^ \d+ +(?:switch|a) +running$", said, re.M)) == 2
    # The peer's QEMU is connected to the device's socket, and the group kvm may
    # use the socket.
    assert re.search(r"^ca: filename=unix:/run/vhost-pci/a\.sock", said, re.M)
    assert re.search(r"^socket kvm 77\d$", said, re.M)
    assert said.count("-sandbox on") == 2
    assert '"vectors":0' in said
