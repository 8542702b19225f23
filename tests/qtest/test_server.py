# SPDX-License-Identifier: Apache-2.0
"""The server: VMs come, go and come back, and each VM gets a device."""
import os
import random
import struct
import subprocess
import time

import machine as machines
import pytest
from driver import CONNECTED, LINK_UP, NET
from frontend import (ADD_MEM_REG, GET_FEATURES, HIGH, MIB,
                      PROTOCOL_FEATURES, SET_FEATURES, SET_MEM_TABLE, UVA,
                      memfd)
from machine import wait_until
from test_state import in_thread

WRONG = {
    "": "'path' must name a socket",
    "path=S": "'ports' must name 1 to 64 ports",
    "path=S,ports=": "'ports' must name 1 to 64 ports",
    "path=S,ports=none": "there is no port 'none'",
    "path=S,ports=nic": "'nic' is not a port",
    "path=S,ports=rp0:rp0": "port 'rp0' is named twice",
    "path=S,ports=bare": "port 'bare' has no room for a window: give it "
                         "pref64-reserve=SIZE",
    "path=S,ports=full": "port 'full' is not empty",
    "path=S,ports=rp0,max-peers=65": "'max-peers' must be 1 to 64",
    "path=S,ports=rp0,min-window=1M": "'min-window' must be a power of two",
    "path=S,ports=rp0,min-window=48M": "'min-window' must be a power of two",
    "path=S,ports=rp0,max-functions=9": "'max-functions' must be 1 to 8",
    "path=S,ports=rp0,queues=30": "8 functions of 60 rings each are more than",
    "path=S,ports=rp0,peer-host-tso4=on": "'peer-host-tso4' needs peer-csum",
    "path=S,ports=rp0,identities=/nowhere": "cannot read '/nowhere'",
    "path=/nowhere/s,ports=rp0": "Failed to bind socket",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_option_has_its_own_text(options, tmp_path):
    if not machines.qemu().exists():
        pytest.skip(f"no QEMU with the device at {machines.qemu()}")
    options = options.replace("=S", f"={tmp_path}/s")
    done = subprocess.run(
        [str(machines.qemu()), "-M", "q35", "-accel", "qtest", "-nodefaults",
         "-display", "none", "-L", "/usr/share/seabios",
         "-L", "/usr/share/qemu", "-device", "virtio-rng-pci,id=nic",
         "-device", "pcie-root-port,id=rp0,chassis=1,pref64-reserve=64M",
         "-device", "pcie-root-port,id=bare,chassis=2",
         "-device", "pcie-root-port,id=full,chassis=3,pref64-reserve=64M",
         "-device", "virtio-rng-pci,bus=full",
         "-device", ("vhost-pci-server," + options).rstrip(",")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=60, check=False)
    assert done.returncode == 1
    key = options.replace(f"={tmp_path}/s", "=S")
    assert WRONG[key] in done.stdout.decode()


def states(server):
    return sorted(p["state"] for p in server.peers().values())


def in_order(seed):
    """A random generator.  The printed seed lets one repeat a failed test."""
    print(f"seed {seed}")
    return random.Random(seed)


def test_eight_vms_join_and_leave_in_random_order(make_server):
    server = make_server(",grace=0", ports=8)
    pick = in_order(int.from_bytes(os.urandom(4), "little"))
    vms = [server.vm(size=16 * MIB) for _ in range(8)]
    joins = vms + vms[2:4]  # two of them have two NICs
    pick.shuffle(joins)
    for vm in joins:
        vm.join()
        told = server.events.wait("CONNECTED", function=len(vm.fronts) - 1)
        assert told["new"] == (len(vm.fronts) == 1)
        server.events.wait("READY", peer=told["peer"])
        assert getattr(vm, "device", told["device"]) == told["device"]
        vm.device, vm.name = told["device"], told["peer"]
    assert len({vm.device for vm in vms}) == 8
    for vm in vms:
        peer = server.peers()[vm.device]
        assert peer["memory"] == vm.size and peer["window"] == 2 * vm.size
        assert [f["link-up"] for f in peer["functions"]] == (
            [True] * len(vm.fronts))
    pick.shuffle(vms)
    for n, vm in enumerate(vms):
        vm.leave()
        server.events.wait("LOST", peer=vm.name, last=True)
        wait_until(lambda d=vm.device: server.peers()[d]["state"]
                   == "unplugging", "the request for its unplug")
        # The devices of the other VMs stay.
        assert states(server) == ["live"] * (7 - n) + ["unplugging"]
        server.unplug(vm.device)
    assert server.server()["connections"] == 0
    assert all(port["free"] for port in server.server()["ports"])
    assert server.log_lines("vhost-pci") == []


def test_second_nic_is_a_function_and_memory_is_there_once(make_server):
    server = make_server(",ack-timeout=5000")
    vm = server.vm()
    one = vm.join()
    driver = server.driver("s-rp0")
    state = driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP,
                              "the first function")
    assert [f.type for f in state.functions] == [NET] + [0] * 7
    maps = f"/proc/{server.machine.process.pid}/maps"
    mapped = open(maps).read().count("memfd:peer")
    two = in_thread(vm.join)
    state = driver.wait_state(lambda s: s.functions[1].status
                              == CONNECTED | LINK_UP, "the second function")
    wait_until(two, "its session")
    assert [f.type for f in state.functions] == [NET, NET] + [0] * 6
    assert len(state.regions) == 2
    assert open(maps).read().count("memfd:peer") == mapped
    assert [f[:3] for f in driver.config()["functions"][:2]] == [
        (NET, 0, 8), (NET, 8, 8)]
    # Doorbells use the device's ring numbers: function 1 begins with ring 8.
    driver.doorbell(8 + 1)
    assert two().signalled(two().calls[1]) == 1
    assert one.signalled(one.calls[1], 0) == 0
    # The memory goes with the last function.
    vm.fronts.remove(one)
    server.drop(one)
    state = driver.wait_state(lambda s: not s.functions[0].status,
                              "the first one is gone")
    assert len(state.regions) == 2 and state.status == CONNECTED | LINK_UP
    vm.leave()
    driver.wait_state(lambda s: not s.regions, "no memory")
    wait_until(lambda: server.peers()["s-rp0"]["regions"] == 0, "no memory")


def test_revocation_is_told_to_every_function(make_server):
    server = make_server(",ack-timeout=200")
    vm = server.vm()
    vm.join()
    driver = server.driver("s-rp0")
    driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP, "one")
    two = in_thread(vm.join)
    state = driver.wait_state(lambda s: s.functions[1].status
                              == CONNECTED | LINK_UP, "two")
    wait_until(two, "its session")
    pages = driver.areas[0].address
    assert driver.areas[0].length == 8 * 4096
    base = in_thread(two().stop_ring, 0)
    wait_until(lambda: base() is not None, "the base, without the driver")
    for function in range(8):
        assert server.machine.read64(pages + 4096 * function) > (
            state.generation)
    assert server.peers()["s-rp0"]["revoked"]
    epoch = state.functions[0].rings[0].epoch
    state = driver.wait_state(lambda s: s.functions[0].rings[0].flags & 1
                              and s.functions[0].rings[0].epoch != epoch,
                              "the first function runs again")
    assert not server.peers()["s-rp0"]["revoked"]
    assert not state.functions[1].rings[0].flags & 1


def test_vm_that_is_back_in_time_finds_its_device(make_server):
    server = make_server(",grace=600")
    vm = server.vm()
    front = vm.join()
    first = server.events.wait("CONNECTED")
    front.socket.close()
    server.events.wait("LOST", last=True)
    assert states(server) == ["lost"]
    again = vm.join()
    told = server.events.wait("CONNECTED")
    assert (told["new"], told["back"]) == (False, True)
    assert [told[k] for k in ("peer", "uuid", "device", "function")] == [
        first[k] for k in ("peer", "uuid", "device", "function")]
    assert states(server) == ["live"] and again


def test_function_is_taken_over_while_the_driver_owes_an_answer(make_server):
    """A function that comes back waits until the driver has released the old
    one."""
    server = make_server(",grace=600,ack-timeout=5000")
    vm = server.vm()
    front = vm.join()
    driver = server.driver("s-rp0")
    driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP, "the peer")
    front.socket.close()
    server.events.wait("LOST")
    again = in_thread(vm.join)
    server.events.wait("CONNECTED", function=0, back=True)
    assert again() is None
    driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP
                      and s.functions[0].rings[0].epoch == 3, "the peer again")
    wait_until(again, "its session")


def test_other_memory_is_another_vm(make_server):
    server = make_server(",grace=600")
    server.vm().join()
    server.vm().join()
    assert sorted(server.peers()) == ["s-rp0", "s-rp1"]
    assert len({p["name"] for p in server.peers().values()}) == 2


def test_memory_that_comes_in_slots_is_counted_when_a_ring_runs(make_server):
    server = make_server()
    front = server.connect(size=16 * MIB)
    front.negotiate()
    for region in front.regions:
        assert front.memory_slot(ADD_MEM_REG, region) == 0
    assert server.peers() == {}
    front.start_ring(0)
    peer = server.peers()["s-rp0"]
    assert (peer["memory"], peer["window"]) == (16 * MIB, 32 * MIB)


def test_no_free_port(make_server):
    server = make_server(ports=1)
    good = server.vm()
    good.join()
    front = server.vm().front()
    with pytest.raises((AssertionError, ConnectionError)):
        front.start()
    told = server.events.wait("REFUSED")
    assert told["reason"] == "no port is free, or the requested port is taken"
    line, = server.log_lines("vhost-pci-server s:")
    assert "connection refused: no port is free" in line
    assert good.fronts[0].get(GET_FEATURES), "the other one goes on"
    assert server.server()["refused"] == 1


def test_window_that_fits_no_port(make_server):
    server = make_server()
    front = server.vm(size=64 * MIB).front()
    with pytest.raises((AssertionError, ConnectionError)):
        front.start()
    assert "has room for twice its memory" in (
        server.events.wait("REFUSED")["reason"])
    assert server.peers() == {}
    server.vm(size=32 * MIB).join()
    assert server.peers()["s-rp0"]["window"] == 64 * MIB


def test_vm_that_grows_beyond_its_window(make_server):
    server = make_server(reserve="64M")
    vm = server.vm(size=32 * MIB)
    front = vm.front()
    front.regions = [(0, 8 * MIB, UVA, 0), (HIGH, 8 * MIB, UVA + HIGH,
                                            8 * MIB)]
    front.start()
    assert server.peers()["s-rp0"]["window"] == 32 * MIB
    # The VM may grow within its window, ...
    low, high = front.regions
    front.regions = [low, (HIGH, 16 * MIB, UVA + HIGH, 8 * MIB)]
    other = server.vm()
    other.join()
    assert front.set_memory([low, (HIGH, 8 * MIB, UVA + HIGH, 8 * MIB),
                             (HIGH + 8 * MIB, 4 * MIB,
                              UVA + HIGH + 8 * MIB, 16 * MIB)]) == 0
    assert server.peers()["s-rp0"]["memory"] == 20 * MIB
    # ... and not beyond.
    with pytest.raises((AssertionError, ConnectionError)):
        front.set_memory([low, high, (HIGH + 8 * MIB, 16 * MIB,
                                      UVA + HIGH + 8 * MIB, 16 * MIB)])
    told = server.events.wait("REFUSED")
    assert "it was made for twice the memory" in told["reason"]
    assert other.fronts[0].get(GET_FEATURES)


def test_guest_that_keeps_the_device_has_no_memory(make_server):
    server = make_server(",grace=0,ack-timeout=5000", ports=2)
    vm = server.vm()
    vm.join()
    driver = server.driver("s-rp0")
    state = driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP, "it")
    address = driver.window(state, HIGH)
    vm.leave()
    driver.wait_state(lambda s: s.status == 0, "the peer is gone")
    wait_until(lambda: states(server) == ["unplugging"], "the request")
    maps = f"/proc/{server.machine.process.pid}/maps"
    wait_until(lambda: "memfd:peer" not in open(maps).read(), "no memory")
    assert server.machine.read(address, 4) == b"\xff" * 4
    # The VM comes back too late: it counts as a new one, on another port.
    vm.size = 16 * MIB
    vm.join()
    assert server.events.wait("CONNECTED", port="rp1")["new"]
    server.unplug("s-rp0")
    assert [p["free"] for p in server.server()["ports"]] == [True, False]


def test_device_that_somebody_else_unplugs(make_server):
    server = make_server(",grace=600")
    vm = server.vm()
    front = vm.join()
    server.machine.monitor("device_del", id="s-rp0")
    server.unplug("s-rp0")
    assert front.closed_by_device()
    server.events.wait("LOST", last=True)
    vm.join()
    assert server.events.wait("CONNECTED", port="rp0", new=True)
    assert states(server) == ["live"]


def test_device_goes_while_a_connection_waits_for_a_function(make_server):
    server = make_server(",grace=600,ack-timeout=10000")
    vm = server.vm()
    front = vm.join()
    driver = server.driver("s-rp0")
    driver.wait_state(lambda s: s.status == CONNECTED | LINK_UP, "the peer")
    front.socket.close()
    server.events.wait("LOST")
    waiting = vm.front()
    in_thread(lambda: pytest.raises((AssertionError, ConnectionError),
                                    waiting.start))
    server.events.wait("CONNECTED", back=True)
    server.machine.monitor("device_del", id="s-rp0")
    server.unplug("s-rp0")
    server.events.wait("LOST", last=True)
    assert all(port["free"] for port in server.server()["ports"])
    vm.join()
    assert server.events.wait("CONNECTED", port="rp0", new=True)


def rush(server, size=16 * MIB):
    """Send all messages that make a VM known at once, and disconnect before the
    server has plugged the device."""
    front = server.connect(size=size, low=size // 2)
    front.send(SET_FEATURES, struct.pack("<Q", 1 << 32 | PROTOCOL_FEATURES))
    payload = struct.pack("<II", 2, 0) + b"".join(
        struct.pack("<QQQQ", *region) for region in front.regions)
    front.send(SET_MEM_TABLE, payload, [front.fd] * 2)
    server.drop(front)


def test_vm_that_leaves_while_its_device_is_plugged(make_server):
    server = make_server(",grace=0", ports=2)
    good = server.vm()
    good.join()
    for _ in range(10):
        rush(server)
        wait_until(lambda: server.server()["connections"] == 1, "it is gone")
        wait_until(lambda: states(server) in (["live"],
                                              ["live", "unplugging"]), "and")
        if "s-rp1" in server.peers():
            server.unplug("s-rp1")
    assert good.fronts[0].get(GET_FEATURES)
    assert [p["free"] for p in server.server()["ports"]] == [False, True]


def test_many_that_want_a_device_get_it_one_after_the_other(make_server):
    """Each plug rebuilds the memory map of the whole machine, so the server
    limits plugs: 64 at once, then ten a second."""
    server = make_server(",grace=600", ports=1)
    good = server.vm()
    good.join()
    begin = time.monotonic()
    for refused in (45, 90):
        liars = [server.connect(size=4 * MIB, low=2 * MIB) for _ in range(45)]
        for front in liars:
            in_thread(lambda f=front: pytest.raises(
                (AssertionError, ConnectionError), f.start))
        wait_until(lambda n=refused: server.server()["refused"] == n,
                   f"{refused} are refused", 60)
        for front in liars:
            wait_until(front.closed_by_device, "the end of its connection")
            server.drop(front)
    assert time.monotonic() - begin > (90 - 64) * 0.1 - 1
    assert good.fronts[0].get(GET_FEATURES)


def test_refused_while_the_machine_migrates(make_server):
    server = make_server(",grace=0", arguments=["-only-migratable"])
    front = server.vm().front()
    with pytest.raises((AssertionError, ConnectionError)):
        front.start()
    assert "only-migratable" in server.events.wait("REFUSED")["reason"]


def open_fds(server):
    return len(os.listdir(f"/proc/{server.machine.process.pid}/fd"))


def threads(server):
    return len(os.listdir(f"/proc/{server.machine.process.pid}/task"))


def test_thousand_connects_without_a_word(make_server):
    server = make_server()
    good = server.vm()
    good.join()
    few = threads(server) + 4
    waiting = server.connect()
    waiting.get(GET_FEATURES)  # like a front-end whose guest has no driver
    fronts = [server.connect(size=4 * MIB, low=2 * MIB) for _ in range(300)]
    for _ in range(700):
        server.drop(fronts.pop(0))
        fronts.append(server.connect(size=4 * MIB, low=2 * MIB))
    wait_until(lambda: server.server()["refused"] > 100, "room is made")
    assert server.server()["connections"] <= 4 * 8 + 64
    assert good.fronts[0].get(GET_FEATURES)
    assert waiting.get(GET_FEATURES)
    assert len(server.log_lines("sent no message")) == 1
    for front in fronts:
        server.drop(front)
    wait_until(lambda: server.server()["connections"] == 2, "they are gone")
    wait_until(lambda: threads(server) <= few, "their threads end")


def test_nothing_is_left_over_after_many_joins_and_leaves(make_server):
    server = make_server(",grace=0", ports=2)
    for turn in range(20):
        vm = server.vm(size=8 * MIB)
        vm.join()
        vm.join()
        vm.leave()
        wait_until(lambda: states(server) == ["unplugging"], "the request")
        server.unplug("s-rp0")
        wait_until(lambda: server.server()["connections"] == 0, "closed")
        wait_until(lambda: "memfd:peer" not in open(
            f"/proc/{server.machine.process.pid}/maps").read(), "unmapped")
        if turn == 0:
            fds, tasks = open_fds(server), threads(server)
    # Threads close files later; so there may be fewer than after turn 0.
    wait_until(lambda: open_fds(server) <= fds, "files are closed")
    wait_until(lambda: threads(server) <= tasks + 2, "threads end")


def test_functions_that_disagree_on_the_memory(make_server):
    """One front-end changes the memory; the rings of the other pause until that
    front-end has sent the same change."""
    server = make_server(",ack-timeout=5000")
    vm = server.vm()
    one = vm.join()
    driver = server.driver("s-rp0")
    two = in_thread(vm.join)
    state = driver.wait_state(lambda s: s.functions[1].status
                              == CONNECTED | LINK_UP, "two")
    wait_until(two, "its session")
    epoch = state.functions[1].rings[0].epoch
    low, high = one.regions
    split = [low[:1] + (4 * MIB,) + low[2:],
             (4 * MIB, 4 * MIB, UVA + 4 * MIB, 4 * MIB), high]
    done = in_thread(one.set_memory, split)
    state = driver.wait_state(lambda s: len(s.regions) == 3, "three regions")
    wait_until(lambda: done() == 0, "the first front-end")
    assert state.functions[0].rings[0].flags & 1
    assert not state.functions[1].rings[0].flags & 1
    assert len(server.log_lines("memory differs from that")) == 1
    done = in_thread(two().set_memory, split)
    state = driver.wait_state(lambda s: s.functions[1].rings[0].flags & 1,
                              "the second one goes on")
    wait_until(lambda: done() == 0, "the second front-end")
    assert state.functions[1].rings[0].epoch == epoch
    assert len(state.regions) == 3


def test_message_after_message_of_a_stranger(make_server):
    server = make_server()
    good = server.vm()
    good.join()
    for payload in (struct.pack("<III", 99, 1, 0), b"\xff" * 12):
        front = server.connect()
        front.socket.sendall(payload)
        assert front.closed_by_device()
        server.events.wait("REFUSED")
    assert good.fronts[0].get(GET_FEATURES)


def test_names_that_front_ends_say(make_server, tmp_path):
    who = tmp_path / "who"
    who.write_text(f"uid={os.getuid()} name=somebody port=rp3\n")
    server = make_server(f",grace=600,identities={who}")
    web = server.vm()
    web.join(name="web", uuid=b"\x11" * 16)
    told = server.events.wait("CONNECTED", peer="web", port="rp3")
    assert told["uuid"] == "-".join(["1" * n for n in (8, 4, 4, 4, 12)])
    who.write_text("")
    # While the VM is connected, no other one can claim its name or UUID ...
    for claim in ({"name": "web"}, {"name": "", "uuid": b"\x11" * 16}):
        with pytest.raises((AssertionError, ConnectionError)):
            server.vm().join(**claim)
        told = server.events.wait("REFUSED")
        assert told["reason"] in ("another peer has this name",
                                  "another peer has this UUID")
    with pytest.raises((AssertionError, ConnectionError)):
        web.join(name="other")
    assert server.events.wait("REFUSED")["reason"] == (
        "the peer with this memory has another name")
    # ... and while the server waits for it, a wrong UUID is refused.
    web.leave()
    server.events.wait("LOST", last=True)
    with pytest.raises((AssertionError, ConnectionError)):
        server.vm().join(name="web", uuid=b"\x22" * 16)
    server.events.wait("REFUSED", reason="another peer has this name")
    server.vm().join(name="web", uuid=b"\x11" * 16)
    assert server.events.wait("CONNECTED", peer="web")["back"]
    with pytest.raises((AssertionError, ConnectionError)):
        server.vm().join(name="two words")
    server.events.wait("REFUSED", reason="an invalid name")
    assert list(server.peers()) == ["s-rp3"]


def test_names_that_the_administrator_keeps(make_server, tmp_path):
    who = tmp_path / "who"
    who.write_text(f"# comment\nuid={os.getuid()} port=rp2 name=web "
                   "uuid=1b671a64-40d5-491e-99b0-da01ff1f3341\n")
    server = make_server(f",grace=600,identities={who}")
    vm = server.vm()
    vm.join()
    told = server.events.wait("CONNECTED")
    assert told["peer"] == "web" and told["port"] == "rp2"
    assert told["uuid"] == "1b671a64-40d5-491e-99b0-da01ff1f3341"
    # Another VM of the same user does not become a function of this VM, and
    # does not get its name.
    with pytest.raises((AssertionError, ConnectionError)):
        server.vm().join()
    told = server.events.wait("REFUSED", name="web")
    assert told["reason"] == "another peer has this name"
    # With new memory it counts as the VM that was there before.
    vm.leave()
    server.events.wait("LOST", last=True)
    vm.join()
    told = server.events.wait("CONNECTED", peer="web")
    assert told["back"] and told["port"] == "rp2"
    # The server reads the file again; a file with an error changes nothing.
    who.write_text("uid=1 name=none\nuid=x name=web\n")
    other = server.vm()
    with pytest.raises((AssertionError, ConnectionError)):
        other.join()
    line, = server.log_lines("its earlier contents stay in effect")
    assert "line 2: 'uid=x' is neither uid=UID nor memory=FILE" in line
    who.write_text("")
    other.leave()
    other.join()
    assert server.events.wait("CONNECTED")["peer"].startswith("vm-")


def test_names_that_go_by_the_memory(make_server, tmp_path):
    with open("/dev/shm/vhostpci-test-%d" % os.getpid(), "w+b") as memory:
        try:
            memory.truncate(16 * MIB)
            who = tmp_path / "who"
            who.write_text(f"memory={memory.name} name=db\n")
            server = make_server(f",unsealed=on,identities={who}")
            server.vm().join()
            assert server.events.wait("CONNECTED")["peer"] != "db"
            vm = server.vm()
            front = vm.front()
            os.dup2(memory.fileno(), front.fd)
            front.start()
            assert server.events.wait("CONNECTED")["peer"] == "db"
        finally:
            os.unlink(memory.name)


def mix(server, *parts):
    """A front-end whose memory has parts of several files; its ring is in the
    last one."""
    front = server.connect()
    front.negotiate()
    front.regions = [(at, size, UVA + at, 0) for _, at, size in parts]
    payload = struct.pack("<II", len(parts), 0) + b"".join(
        struct.pack("<QQQQ", *region) for region in front.regions)
    assert front.acked(SET_MEM_TABLE, payload, [p[0] for p in parts]) == 0
    front.start_ring(0)
    return front


def test_part_of_anothers_memory(make_server):
    server = make_server(",ack-timeout=5000")
    one, two = server.vm(), server.vm()
    first, second = one.join(), two.join()
    name = server.events.wait("CONNECTED", device="s-rp0")["peer"]
    # A front-end with a VM's memory counts as that VM: it gains nothing, for it
    # has the memory already.
    stranger = memfd(8 * MIB)
    mix(server, (first.fd, 0, 4 * MIB), (stranger, HIGH, 8 * MIB))
    os.close(stranger)
    assert server.events.wait("CONNECTED", function=1)["peer"] == name
    assert len(server.log_lines("memory differs from that")) == 1
    # But a front-end cannot be two VMs.
    with pytest.raises((AssertionError, ConnectionError)):
        mix(server, (first.fd, 0, 4 * MIB), (second.fd, HIGH, 16 * MIB))
    assert server.events.wait("REFUSED")["reason"] == (
        "memory of several peers")
    assert first.get(GET_FEATURES) and second.get(GET_FEATURES)


def test_monitor_shows_the_peers(make_server):
    server = make_server()
    server.vm().join()
    text = server.machine.hmp("info vhost-pci")
    for part in ("server s on", "port rp0: windows of 64 MiB, taken",
                 "device s-rp0 at rp0, live: window 32 MiB, memory 16 MiB",
                 "function 0: link up", "0:running 1:running"):
        assert part in text
