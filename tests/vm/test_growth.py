# SPDX-License-Identifier: Apache-2.0
"""A peer's memory grows and shrinks under traffic.

    peer g: 512 MiB, room for more     peer h: the other end, with virtio-mem
    peer s: 512 MiB, whose device has a window of 1 GiB
"""
import contextlib

import pytest

from harness import traffic
from harness.procs import wait_until

MIB = 1 << 20
# Packets per second: a ring of 256 entries then holds all packets of the time
# for which a busy machine stands still.
RATE = 40
ROOM = ["-m", "512M,slots=4,maxmem=4G"]
VIRTIO_MEM = ["-m", "256M,slots=4,maxmem=4G", "-object",
              "memory-backend-memfd,id=vmem,size=512M,share=on", "-device",
              "virtio-mem-pci,id=vm0,memdev=vmem,requested-size=0"]
BLOCKS = "/sys/devices/system/memory"


def online_for_kernel(vm):
    """Online what is there by now; has Linux taken pages of it?  It prefers
    them to those below 4 GiB, for packets as well."""
    pages = vm.sh(f"""
        for b in {BLOCKS}/memory*/state; do
            ! grep -q offline $b || echo online_kernel > $b
        done
        awk '/zone  *Normal/ {{ n = 1 }}
             n && /^ *nr_free_pages/ {{ free = $2; n = 0 }}
             /zone  *Normal/, /managed/ {{ if ($1 == "managed") all = $2 }}
             END {{ print all - free }}' /proc/zoneinfo""")
    return int(pages) > 0


def memory_mib(vm):
    return int(vm.sh("grep MemTotal /proc/meminfo").split()[1]) >> 10


def wait_grown(vm, mib):
    """Online new memory by hand, as an administrator does, until Linux uses
    `mib` MiB.  Linux adds blocks of 128 MiB one by one, each later than the
    device or the DIMM has it."""
    def grown():
        vm.sh(f"for b in {BLOCKS}/memory*/state; do "
              "grep -q offline $b && echo online_movable > $b; done; true", 60)
        return memory_mib(vm) >= mib
    wait_until(grown, 30, "Linux uses the memory")


@pytest.fixture(scope="module")
def net(module_topology):
    net = module_topology
    # Nothing is lost if the driver answers in time; give it time, because an
    # emulated machine on busy cores is slow.
    net.sw = net.switch([("g", ",ack-timeout=2000"), ("h", ",ack-timeout=2000"),
                         ("s", ",ack-timeout=2000,window-size=1G")],
                        hugepages=160, memory_mb=640)
    net.g = net.peer("g", memory_mb=512)
    net.h = net.peer("h", memory_mb=256)
    net.s = net.peer("s", memory_mb=512)
    for vm in (net.g, net.s):
        vm.arguments += ROOM
    for vm in (net.g, net.h, net.s):
        # Debian 13's Linux would online the memory in a zone from which it
        # cannot be unplugged.
        vm.append += " memhp_default_state=offline"
    net.h.arguments += VIRTIO_MEM
    net.up()
    net.sw.start_ovs()
    net.sw.add_ports()
    net.sw.ovs.wait_link_up(*net.sw.ports)
    for vm in (net.g, net.s):
        traffic.wait_reachable(vm, net.h)
    return net


@pytest.fixture
def sound(net):
    yield net
    net.sw.check_rings()


@contextlib.contextmanager
def no_loss(a, b):
    """Send streams both ways while the body runs; they must lose nothing."""
    with traffic.numbered_stream(a, b, RATE) as there, \
            traffic.numbered_stream(b, a, RATE, port=9001) as back:
        yield
    print(f"there {there}, back {back}")
    for counts in (there, back):
        assert counts["lost"] == counts["duplicated"] == 0, counts
        assert counts["corrupted"] == 0 < counts["received"], counts


def peer_memory(sw, port, mib):
    sw.ovs.wait_interface(port, "status", lambda s: int(
        s.get("peer-memory", 0)) == mib << 20)


def plug(vm, name, mib):
    """Plug a DIMM into the VM."""
    vm.qmp.command("object-add", **{
        "qom-type": "memory-backend-memfd", "id": f"mem-{name}",
        "size": mib * MIB, "share": True})
    vm.qmp.command("device_add", driver="pc-dimm", id=name,
                   memdev=f"mem-{name}")


def unplug(vm, name):
    """Unplug a DIMM.  Linux first has to move its pages away, and may refuse:
    try again until the DIMM is gone."""
    def gone():
        vm.qmp.command("device_del", id=name)
        wait_until(lambda: all(d["data"]["id"] != name for d in
                               vm.qmp.command("query-memory-devices")), 5,
                   "unplugged")
        return True

    def tried():
        try:
            return gone()
        except AssertionError:
            return False
    wait_until(tried, 60, f"{name} is unplugged")
    vm.qmp.command("object-del", id=f"mem-{name}")


def test_peer_grows_and_shrinks_while_it_sends(sound):
    g, h, sw = sound.g, sound.h, sound.sw
    before = memory_mib(g)
    with no_loss(g, h):
        plug(g, "dimm", 1024)
        peer_memory(sw, "g", 1536)
        wait_grown(g, before + 1000)
        unplug(g, "dimm")
        peer_memory(sw, "g", 512)


def test_small_steps_lose_nothing(sound, full):
    g, h, sw = sound.g, sound.h, sound.sw
    with no_loss(g, h):
        for _ in range(20 if full else 3):
            plug(g, "step", 128)
            peer_memory(sw, "g", 640)
            unplug(g, "step")
            peer_memory(sw, "g", 512)


def test_virtio_mem_grows_and_shrinks_while_it_receives(sound):
    """The memory table of the peer contains virtio-mem's memory from the
    beginning, so growing changes no table."""
    g, h = sound.g, sound.h
    before = memory_mib(h)
    with no_loss(g, h):
        for mib in (512, 0):
            h.qmp.command("qom-set", path="/machine/peripheral/vm0",
                          property="requested-size", value=mib * MIB)
            if mib:
                wait_until(lambda: h.qmp.command(
                    "qom-get", path="/machine/peripheral/vm0",
                    property="size") == 512 * MIB, 60, "it is plugged")
                wait_grown(h, before + 500)
            else:
                # Linux keeps the memory that it cannot move: only part of it
                # is unplugged.
                wait_until(lambda: h.qmp.command(
                    "qom-get", path="/machine/peripheral/vm0",
                    property="size") < 512 * MIB, 60, "some is unplugged")


def test_beyond_the_window_is_refused_and_nothing_breaks(sound):
    """The peer's QEMU plugs in more memory than the device's window holds.  The
    device logs that, and disconnects this peer only; after the memory is
    unplugged, the peer's link comes up again."""
    s, h, sw = sound.s, sound.h, sound.sw
    boot = s.sh("cat /proc/sys/kernel/random/boot_id")
    text = "no room for 2048 MiB of memory in the window of 1024 MiB: " \
        "raise the device's window-size"
    with no_loss(sound.g, h):
        plug(s, "large", 2048)
        wait_until(lambda: sw.qemu_lines(text), 20, "QEMU says so")
        sw.ovs.wait_interface("s", "link_state", "down")
        unplug(s, "large")
        sw.ovs.wait_link_up("s")
        traffic.wait_reachable(s, h)
    assert s.sh("cat /proc/sys/kernel/random/boot_id") == boot


def test_nobody_is_blamed_for_memory_that_comes_while_the_switch_halts(sound):
    """The switch VM's driver does not answer, so the peer's next packets lie
    in memory that the driver does not know: they wait for it.  The last test:
    Linux does not let go of this memory."""
    g, h, sw = sound.g, sound.h, sound.sw
    pid = sw.ovs.switch_pid()
    late = "did not acknowledge new memory"
    before = len(sw.qemu_lines(late))
    # A ring holds what comes while the switch halts.
    with traffic.numbered_stream(g, h, RATE // 5) as counts:
        sw.sh(f"kill -STOP {pid}")
        try:
            plug(g, "late", 512)
            wait_until(lambda: len(sw.qemu_lines(late)) > before, 20,
                       "the device waits no longer")
            wait_until(lambda: online_for_kernel(g), 20,
                       "Linux uses the memory")
        finally:
            sw.sh(f"kill -CONT {pid}")
        traffic.wait_reachable(g, h)
    assert counts["lost"] == counts["duplicated"] == 0, counts
    assert counts["corrupted"] == 0 < counts["received"], counts
    status = sw.ovs.get("g", "status")
    assert status["link-reason"] == "the peer's driver runs", status
    assert not sw.qemu_lines("stopped: ")
