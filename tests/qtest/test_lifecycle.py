# SPDX-License-Identifier: Apache-2.0
"""Plugging, unplugging, resets, migration, and wrong options."""
import os
import socket
import subprocess

import machine as machines
import pytest
from driver import Driver
from machine import wait_until
from test_state import in_thread, running, start

WRONG = {
    "": "'peer' must name the peer",
    "peer=": "'peer' must name the peer",
    "peer=" + 64 * "x": "'peer' must be shorter than 64 bytes",
    "peer=a\x01": "'peer' must be UTF-8 without control characters",
    "peer=a": "'chardev' must name a socket chardev",
    "peer=a,chardev=nul": "cannot pass file descriptors",
    "peer=a,chardev=sock,window-size=3G": "'window-size' must be a power of",
    "peer=a,chardev=sock,window-size=2M": "'window-size' must be a power of",
    "peer=a,chardev=sock,queues=0": "'queues' must be 1 to 30",
    "peer=a,chardev=sock,queues=31": "'queues' must be 1 to 30",
    "peer=a,chardev=sock,max-regions=0": "'max-regions' must be 1 to 32",
    "peer=a,chardev=sock,max-regions=33": "'max-regions' must be 1 to 32",
    "peer=a,chardev=sock,ack-timeout=0": "'ack-timeout' must be 1 to",
    "peer=a,chardev=sock,peer-host-tso4=on": "'peer-host-tso4' needs peer-csum",
    "peer=a,chardev=sock,peer-guest-tso6=on,peer-csum=on":
        "'peer-guest-tso6' needs peer-guest-csum",
    "peer=a,chardev=sock,peer-csum=on,peer-host-ecn=on":
        "'peer-host-ecn' needs peer-host-tso4 or peer-host-tso6",
    "peer=a,chardev=sock,peer-connected=yes": "not writable",
    "peer=a,chardev=sock,bus=rp,x-disable-pcie=off": "'x-disable-pcie' must",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_option_has_its_own_text(options, tmp_path):
    if not machines.qemu().exists():
        pytest.skip(f"no QEMU with the device at {machines.qemu()}")
    done = subprocess.run(
        [str(machines.qemu()), "-M", "q35", "-accel", "qtest", "-nodefaults",
         "-display", "none", "-L", "/usr/share/seabios",
         "-L", "/usr/share/qemu", "-chardev", "null,id=nul", "-chardev",
         f"socket,id=sock,path={tmp_path}/s,server=on,wait=off",
         "-device", "pcie-root-port,id=rp",
         "-device", ("vhost-pci-net-pci," + options).rstrip(",")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=30, check=False)
    assert done.returncode == 1
    assert WRONG[options] in done.stdout.decode()


def test_two_devices_cannot_have_one_peer(make_bench, tmp_path):
    bench = make_bench(machine="pc")
    m = bench.machine
    m.monitor("chardev-add", id="cb", backend={"type": "socket", "data": {
        "addr": {"type": "unix", "data": {"path": f"{tmp_path}/b"}},
        "server": True, "wait": False}})
    with pytest.raises(AssertionError, match="another device has the peer"):
        m.monitor("device_add", driver="vhost-pci-net-pci", chardev="cb",
                  peer="a")
    m.monitor("device_add", driver="vhost-pci-net-pci", chardev="cb",
              peer="b", **{"window-size": 64 << 20})


def test_properties_show_the_state(bench):
    start(bench)
    tree = bench.machine.hmp("info qtree")
    for text in ('peer-connected = "yes, link up"',
                 'peer-memory = "16384 KiB in 2 regions"',
                 'peer-rings = "0:run,size=256,epoch=1,call 1:run',
                 'peer-driver = "ready"', 'peer-violations = "0"'):
        assert text in tree


def test_virtio_queries_know_the_device(bench):
    name = "/machine/peripheral/dev/virtio-backend"
    status = bench.machine.monitor("x-query-virtio-status", path=name)
    assert status["name"] == "vhost-pci"
    assert status["num-vqs"] == 2


def test_migration_is_blocked_while_a_peer_is_mapped(bench):
    driver, front, _ = start(bench)
    m = bench.machine
    with pytest.raises(AssertionError, match="peer's memory is mapped"):
        m.monitor("migrate", uri="exec:cat >/dev/null")
    bench.drop(front)
    driver.wait_state(lambda s: s.status == 0, "the peer is gone")
    bench.until("memory", "0 regions")
    m.monitor("migrate", uri="exec:cat >/dev/null")
    wait_until(lambda: m.monitor("query-migrate").get("status")
               == "completed", "migration without a peer")


def test_peer_is_refused_during_migration(make_bench):
    bench = make_bench(arguments=["-only-migratable"])
    front = bench.front()
    front.negotiate()
    with pytest.raises((AssertionError, ConnectionError)):
        front.set_memory()
    line, = bench.log_lines("(peer a)")
    assert "only-migratable" in line


def test_machine_reset_keeps_the_connection(bench):
    driver, front, state = start(bench)
    bench.machine.monitor("system_reset")
    bench.until("driver", "none")
    assert bench.get("connected") == "yes, link up"
    again = Driver(bench.machine)
    again.generation = state.generation
    again.start()
    again.wait_state(running(0, 1), "the rings run for the new guest")


def unplug(bench):
    bench.machine.monitor("device_del", id="dev")
    # No guest releases the device, but a reset ends the request, too.
    bench.machine.monitor("system_reset")
    wait_until(lambda: 'id "dev"' not in bench.machine.hmp("info qtree"),
               "the device is gone")


def open_fds(bench):
    return len(os.listdir(f"/proc/{bench.machine.process.pid}/fd"))


def test_unplug_lets_everything_go_and_plug_serves_again(make_bench):
    bench = make_bench(",ack-timeout=5000", machine="pc")
    bench.driver()
    empty = open_fds(bench)
    bench.machine.monitor("system_reset")
    driver, front, _ = start(bench)
    unplug(bench)
    assert front.closed_by_device()
    bench.drop(front)
    maps = f"/proc/{bench.machine.process.pid}/maps"
    wait_until(lambda: "memfd:peer" not in open(maps).read(),
               "the peer's memory is unmapped")
    assert open_fds(bench) <= empty

    # A new device can use the chardev again.
    bench.machine.monitor("device_add", driver="vhost-pci-net-pci", id="dev",
                          chardev="ca", peer="a", **{"window-size": 64 << 20})
    start(bench)
    assert bench.get("connected") == "yes, link up"


def test_unplug_while_the_driver_owes_an_answer(make_bench):
    bench = make_bench(",ack-timeout=5000", machine="pc")
    driver, front, _ = start(bench)
    in_thread(front.socket.sendall,
              b"\x0b\0\0\0\1\0\0\0\x08\0\0\0" + bytes(8))
    driver.wait_state(running(1), "ring 0 stopped", ack=False)
    unplug(bench)
    assert front.closed_by_device()


def test_device_that_connects_to_a_listening_peer(make_bench):
    bench = make_bench(",ack-timeout=5000", chardev="reconnect=1")
    driver = bench.driver()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bench.socket))
        listener.listen(1)
        listener.settimeout(20)
        for _ in range(2):
            front = bench.front(listener=listener)
            in_thread(front.start)
            driver.wait_state(running(0, 1), "the rings run")
            # The peer breaks a rule; the device disconnects, and connects
            # again.
            front.send(0)
            assert front.closed_by_device()
            driver.wait_state(lambda s: s.status == 0, "the peer is gone")
            bench.drop(front)
    assert bench.get("violations").startswith("2,")
