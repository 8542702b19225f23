# SPDX-License-Identifier: Apache-2.0
"""The device comes and goes in a running Linux guest, behind a root port."""
from harness import config
from harness.procs import wait_until
from harness.vm import Vm


def test_device_is_plugged_and_unplugged_while_linux_runs(topology, images):
    sw = Vm("sw", topology.rundir, topology.logdir, config.our_qemu(),
            images.peer(), memory_mb=256, arguments=[
                "-chardev", f"socket,id=ca,path={topology.link('a')},"
                "server=on,wait=off", "-device",
                "pcie-root-port,id=rp0,chassis=1,slot=1,pref64-reserve=8G"])
    topology.vms["sw"] = sw
    sw.start().ready()
    device = "/sys/bus/pci/devices/0000:01:00.0"
    for _ in range(2):
        sw.qmp.command("device_add", driver="vhost-pci-net-pci", id="dev",
                       bus="rp0", chardev="ca", peer="a")
        wait_until(lambda: sw.run(["test", "-e", f"{device}/driver"]).code
                   == 0, 20, "Linux has bound the device")
        window = sw.sh(f"sed -n 3p {device}/resource").split()
        start, end, flags = (int(x, 16) for x in window)
        assert end - start + 1 == 4 << 30
        assert flags & 0x102000, "64 bit, prefetchable"
        sw.qmp.command("device_del", id="dev")
        wait_until(lambda: 'id "dev"' not in sw.qmp.hmp("info qtree"), 20,
                   "the device is gone")
        wait_until(lambda: sw.run(["test", "-e", device]).code, 20,
                   "Linux has let it go")
