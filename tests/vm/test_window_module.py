# SPDX-License-Identifier: Apache-2.0
"""The kernel module vhost_pci_window (guest-pmd/kmod): the driver uses the
module if it is loaded.  test_pmd.py tests the driver without the module."""
import errno
import re

import pytest

from harness import kmod, testpmd, traffic
from harness.procs import wait_until
from harness.testpmd import Testpmd

DRIVERS = ("uio_pci_generic",
           pytest.param("vfio-pci", marks=pytest.mark.full))
WINDOW_BAR = 2
WINDOW = 4 << 30
MEMORY = 2 << 20  # where a peer's memory begins
ONES = 2 ** 64 - 1
POLLER = 1  # the CPU of testpmd's thread that polls
HUGE_CACHED = (True, True)


def make(net, driver, ports):
    net.sw = testpmd.switch(net, ports, driver=driver)
    for name in ports:
        setattr(net, name, net.peer(name))
    net.up()
    net.sw.bind_ports()
    kmod.load(net.sw, net.images)
    kmod.tool(net.sw, net.images)
    return net


def path(port):
    return f"/dev/vhost-pci/{port.address}"


class Holder:
    """A process that maps a port's window."""

    def __init__(self, sw, port):
        self.command = sw.start_command(
            f"exec windowmap hold {path(port)} {WINDOW_BAR} {MEMORY}")
        self.command.wait_output("ready\n")

    def read(self, order=b""):
        """Returns the first and the last word of the mapping."""
        lines = self.command.stdout.count("\n")
        self.command.write(order + b"\n")
        wait_until(lambda: self.command.stdout.count("\n") > lines, 10,
                   "the holder of the mapping answers")
        return [int(x, 16) for x in re.findall(
            r"=(\w+)", self.command.stdout.splitlines()[-1])]

    def write(self):
        return self.read(b"w")

    def end(self):
        self.command.close_stdin()
        self.command.wait(20).check()


@pytest.mark.parametrize("driver", DRIVERS)
def test_driver_maps_the_window_cached_and_huge(topology, driver):
    net = make(topology, driver, ["a", "b"])
    pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    traffic.ping(net.a, net.b, 20)
    assert traffic.iperf3(net.a, net.b)["bytes"] > 100_000
    assert traffic.iperf3(net.b, net.a, udp=True)["bytes"] > 100_000
    assert len(re.findall("window of 4096 MiB through vhost_pci_window",
                          pmd.text)) == 2
    for number, port in enumerate(net.sw.ports.values()):
        huge, small = kmod.counters(net.sw, port.address)
        assert huge > 0, (huge, small)
        seen = kmod.entries(net.sw, port.address, POLLER)
        assert HUGE_CACHED in seen, seen
        assert all(cached for _, cached in seen), seen
        assert pmd.xstats(number)["window_type"] == 1
    # The module cannot be removed while a driver uses it.
    busy = net.sw.run(f"rmmod {kmod.NAME}")
    assert busy.code and "emporarily unavailable" in busy.stderr, busy
    pmd.quit()
    net.sw.sh(f"rmmod {kmod.NAME}")
    assert net.sw.run("ls /dev/vhost-pci/*").code
    kmod.check_kernel(net.sw)


@pytest.mark.parametrize("driver", DRIVERS)
def test_mapped_device_is_unplugged_and_peer_returns(topology, driver):
    net = make(topology, driver, ["a", "b", "c"])
    pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    port = net.sw.ports["c"]
    holder = Holder(net.sw, port)
    assert holder.read() != [ONES, ONES]
    net.sw.qmp.command("device_del", id="dev-c")
    wait_until(lambda: net.sw.run(["test", "-e", path(port)]).code, 30,
               "the file is gone")
    wait_until(lambda: 'id "dev-c"' not in net.sw.qmp.hmp("info qtree"), 30,
               "the device is gone")
    # Reads find ONES, as from a bus without the device, and no process dies.
    # But a bus would lose what the holder writes: here the module has put a
    # page of its own into the mapping.
    assert holder.read() == [ONES, ONES]
    assert holder.write() == [1, 1]
    wait_until(lambda: "Now total ports is 2" in pmd.text, 20,
               "the application was told")
    wait_until(lambda: pmd.text.count("forwarding cores=1") == 2, 10,
               "testpmd forwards again")
    traffic.ping(net.a, net.b, 20)
    net.a.kill()
    pmd.wait_link(0, False)
    net.a.start().ready()
    pmd.wait_link(0, True)
    traffic.wait_reachable(net.a, net.b)
    traffic.ping(net.b, net.a, 20)
    # The next device in the slot gets a new file; the old mapping stays.
    net.sw.qmp.command("device_add", **{
        "driver": "vhost-pci-net-pci", "id": "dev-c", "bus": "rp2",
        "chardev": "link-c", "peer": "c",
        **({"iommu_platform": True} if net.sw.iommu else {})})
    wait_until(lambda: not net.sw.run(["test", "-e", path(port)]).code, 30,
               "the new device's file is there")
    another = Holder(net.sw, port)
    another.end()
    assert holder.read() == [1, 1]
    holder.end()
    pmd.quit()
    net.sw.sh(f"rmmod {kmod.NAME}")
    kmod.check_kernel(net.sw)


def test_file_maps_its_windows_and_nothing_else(topology):
    net = make(topology, "uio_pci_generic", ["a", "b"])
    port = net.sw.ports["a"]
    assert net.sw.sh(f"stat -c '%F %a %u' {path(port)}") \
        == "character special file 600 0\n"
    said = net.sw.sh(f"windowmap refuse {path(port)} {WINDOW_BAR} {WINDOW}")
    results = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", said)}
    allowed = {"all", "last"}
    assert {k for k, v in results.items() if v == 0} == allowed, results
    assert results["exec"] == errno.EPERM
    assert results["exec_later"] == errno.EACCES
    assert {"private", "beyond", "across", "next_bar", "grow", "bar0", "bar4",
            "bar7"} <= set(results)
    # The kernel cannot pin pages of the window, for it has no struct page for
    # them.
    pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    said = net.sw.sh(f"windowmap pin {path(port)} {WINDOW_BAR} {MEMORY}")
    assert said.split() == [f"huge={errno.EFAULT}", f"small={errno.EFAULT}",
                            "copy=0"]
    pmd.quit()
    # The file maps nothing while the device does not decode its memory.
    net.sw.sh(f"cd /sys/bus/pci/devices/{port.address}; printf '\\000\\000' | "
              "dd of=config bs=1 seek=4 conv=notrunc")
    off = net.sw.run(f"windowmap pin {path(port)} {WINDOW_BAR} {MEMORY}")
    kmod.check_kernel(net.sw)
    assert off.code == 1, off


def test_an_mtrr_against_it_changes_nothing(topology):
    """OVMF sets an MTRR that makes the window uncachable.  With such an MTRR
    the module still maps the window cached."""
    net = make(topology, "uio_pci_generic", ["a", "b"])
    for port in net.sw.ports.values():
        first, last = kmod.window(net.sw, port.address)
        net.sw.sh(f"echo 'base={first:#x} size={last + 1 - first:#x} "
                  "type=uncachable' > /proc/mtrr")
    pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    for port in net.sw.ports.values():
        assert HUGE_CACHED in kmod.entries(net.sw, port.address, POLLER)
    pmd.quit()
    kmod.check_kernel(net.sw)


def test_driver_does_without_a_file_that_fails(topology):
    net = make(topology, "uio_pci_generic", ["a", "b"])
    for port in net.sw.ports.values():
        # Replace the file by a device node that has no driver.
        net.sw.sh(f"rm {path(port)} && mknod {path(port)} c 10 77")
    pmd = Testpmd(net.sw)
    traffic.wait_reachable(net.a, net.b)
    assert len(re.findall(r"cannot map the window through /dev/vhost-pci/\S+ "
                          r"\(No such device\)", pmd.text)) == 2
    assert len(re.findall("window of 4096 MiB through /dev/mem",
                          pmd.text)) == 2
