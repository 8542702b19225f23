# SPDX-License-Identifier: Apache-2.0
"""The device comes and goes in a running Linux guest, behind a root port."""
import re

from harness import config
from harness.procs import wait_until
from harness.vm import Vm

GUIDE = config.TOP / "doc" / "user-guide.md"


def reserves():
    """[(window-size, pref64-reserve)] of the guide's table."""
    text = GUIDE.read_text().split("| window-size | pref64-reserve |")[1]
    return re.findall(r"^\| (\d+[MG])\b.* \| (\d+[MG]) \|$",
                      text.split("\n\n")[0], re.M)


def size(text):
    return int(text[:-1]) << {"M": 20, "G": 30}[text[-1]]


def test_device_is_plugged_and_unplugged_while_linux_runs(topology, images):
    ports = reserves()
    assert ("4G", "8G") in ports and len(ports) > 3
    arguments = ["-chardev", f"socket,id=ca,path={topology.link('a')},"
                 "server=on,wait=off"]
    for number, (_, reserve) in enumerate(ports):
        arguments += ["-device", f"pcie-root-port,id=rp{number},"
                      f"chassis={number + 1},slot={number + 1},"
                      f"pref64-reserve={reserve}"]
    sw = Vm("sw", topology.rundir, topology.logdir, config.our_qemu(),
            images.peer(), memory_mb=256, arguments=arguments)
    topology.vms["sw"] = sw
    sw.start().ready()
    # The default's slot a second time: a slot that was used works again.
    for number in [*range(len(ports)), ports.index(("4G", "8G"))]:
        plug_and_unplug(sw, number, ports[number][0])


def plug_and_unplug(sw, number, window_size):
    device = f"/sys/bus/pci/devices/0000:{number + 1:02x}:00.0"
    sw.qmp.command("device_add", **{
        "driver": "vhost-pci-net-pci", "id": "dev", "bus": f"rp{number}",
        "chardev": "ca", "peer": "a", "window-size": size(window_size)})
    wait_until(lambda: sw.run(["test", "-e", f"{device}/driver"]).code
               == 0, 20, "Linux has bound the device")
    window = sw.sh(f"sed -n 3p {device}/resource").split()
    start, end, flags = (int(x, 16) for x in window)
    assert end - start + 1 == size(window_size)
    assert flags & 0x102000, "64 bit, prefetchable"
    sw.qmp.command("device_del", id="dev")
    wait_until(lambda: 'id "dev"' not in sw.qmp.hmp("info qtree"), 20,
               "the device is gone")
    wait_until(lambda: sw.run(["test", "-e", device]).code, 20,
               "Linux has let it go")
