# SPDX-License-Identifier: Apache-2.0
"""Peers, OVS and the switch VM end and start again, while the others go on."""
import time

from harness import config, traffic
from harness.frontend import FrontEnd
from harness.monitor import monitor
from harness.procs import wait_until
from harness.shared import HostOf

CYCLES_FULL, CYCLES_SLICE = 500, 20
PORT_STATUS_SECONDS = 1.0


def test_port_status_within_a_second_of_a_driver_leaving_and_coming(shared):
    driver = "/sys/bus/virtio/drivers/virtio_net"
    device = shared.b.sh(f"cd {driver} && echo virtio[0-9]*").strip()
    limit = PORT_STATUS_SECONDS
    with monitor(shared.sw) as seen:
        leave = shared.b.start_command(f"echo {device} > {driver}/unbind")
        left = seen.wait("b", up=False)
        leave.wait().check()
        come = shared.b.start_command(
            f"echo {device} > {driver}/bind && ip link set eth0 mtu 1500 && "
            f"ip addr add {shared.b.address}/24 dev eth0; "
            "ip link set eth0 up")
        came = seen.wait("b", up=True)
        come.wait().check()
    print(f"told after {left:.2f} and {came:.2f} s")
    assert left < limit and came < limit
    traffic.wait_reachable(shared.a, shared.b)


def test_port_status_within_a_second_of_a_peer_dying(shared):
    with monitor(shared.sw) as seen:
        shared.b.kill()
        died = seen.wait("b", up=False)
    shared.b.start().ready()
    shared.b.sh("ip link set eth0 mtu 1500")
    traffic.wait_reachable(shared.a, shared.b)
    assert died < PORT_STATUS_SECONDS


def test_peer_killed_and_restarted_leaves_other_port_untouched(shared):
    """Numbered packets from peer a to the switch VM itself watch port a."""
    sw, a, b = shared.sw, shared.a, shared.b
    sw.sh("ip addr add 10.0.0.200/24 dev br0; ip link set br0 up")
    flows = sw.ovs.ofctl("dump-flows", "br0", "--no-stats")
    resets = sw.ovs.get("a", "link_resets")
    try:
        with traffic.numbered_stream(a, HostOf(sw, "10.0.0.200")) as counts:
            b.kill()
            sw.ovs.wait_interface("b", "link_state", "down")
            b.start().ready()
            b.sh("ip link set eth0 mtu 1500")
            sw.ovs.wait_link_up("b")
            traffic.wait_reachable(a, b)
    finally:
        sw.sh("ip addr flush dev br0")
    assert counts["lost"] == counts["corrupted"] == 0, counts
    assert counts["received"] == counts["sent"] > 100, counts
    assert sw.ovs.get("a", "link_resets") == resets
    assert sw.ovs.ofctl("dump-flows", "br0", "--no-stats") == flows


def test_vswitchd_killed_and_restarted_and_peers_go_on(shared):
    sw = shared.sw
    boots = [p.sh("cat /proc/sys/kernel/random/boot_id")
             for p in (shared.a, shared.b)]
    before = sw.ovs.switch_pid()
    sw.ovs.kill_switch()
    assert not traffic.reachable(shared.a, shared.b)
    sw.ovs.start_switch()
    assert sw.ovs.switch_pid() != before
    sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(shared.a, shared.b)
    with traffic.numbered_stream(shared.a, shared.b) as counts:
        traffic.ping(shared.b, shared.a)
    assert counts["lost"] == counts["duplicated"] == 0, counts
    assert boots == [p.sh("cat /proc/sys/kernel/random/boot_id")
                     for p in (shared.a, shared.b)]


def test_links_that_come_up_before_the_first_commit_is_answered(shared):
    """A killed ovs-vswitchd leaves link_state=up.  The next one first writes
    "down".  If it writes "up" before the database has answered, link_state must
    become "up" all the same."""
    sw = shared.sw
    halted = "kill -STOP $(cat /run/openvswitch/ovsdb-server.pid)"
    go_on = halted.replace("STOP", "CONT")
    sw.ovs.kill_switch()
    lines = len(sw.ovs.log_lines(""))
    halter = sw.start_command(
        f"until tail -n +{lines + 1} {sw.ovs.log} | grep -q 'added interface';"
        f" do usleep 1000; done; {halted}")
    try:
        start = sw.start_command(sw.ovs.start_switch_command())
        halter.wait(60).check()
        for name in "ab":
            wait_until(lambda: "link: up" in sw.ovs.appctl(
                "vhostpci/show", name), 40, f"the driver's link of {name}")
        assert start.code is None  # vswitchd still waits for its first answer
    finally:
        sw.sh(go_on)
    start.wait(60).check()
    sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(shared.a, shared.b)


def test_vswitchd_stopped_and_restarted_and_peers_go_on(shared):
    """As at an upgrade: vswitchd exits cleanly, under traffic."""
    sw = shared.sw
    with traffic.numbered_stream(shared.a, shared.b, rate=50) as counts:
        sw.sh("ovs-appctl exit; while pidof ovs-vswitchd; do usleep 10000; "
              "done")
        sw.ovs.start_switch()
        sw.ovs.wait_link_up("a", "b")
        traffic.wait_reachable(shared.a, shared.b)
    assert counts["duplicated"] == counts["corrupted"] == 0, counts
    assert counts["received"] > 0, counts


def add_and_del(sw, port, cycles):
    """Add and delete a port `cycles` times, by a loop in the guest.  The loop
    looks for an error in the output of ovs-vsctl, whose exit code is 0 even if
    the port has an error.  Emulated and undisturbed, a cycle takes 2.4 s: 0.4
    for each ovs-vsctl, 0.5 to clear the port's 48 MiB of buffers when it is
    added, and 0.6 to clear them when it is deleted."""
    done = sw.run(
        f"i=0; while [ $i -lt {cycles} ]; do i=$((i+1)); "
        f"ovs-vsctl --timeout=60 add-port br0 {port} -- set Interface {port} "
        "type=vhostpci options:vhostpci-devargs="
        f"{sw.ports[port].address} 2>&1 | grep rror && exit 1; "
        f"ovs-vsctl --timeout=60 del-port br0 {port} || exit 3; done; "
        "echo done", 60 + 5 * cycles)
    assert done.stdout == "done\n", done


def test_add_and_del_port_cycles_lose_no_packet_of_another_port(shared, full):
    cycles = CYCLES_FULL if full else CYCLES_SLICE
    sw, done, counts = shared.sw, 0, {}
    started = time.monotonic()
    try:
        with FrontEnd(sw.ports["x"].link) as front:
            front.drive()  # so that each cycle starts and stops rings, too
            with traffic.numbered_stream(shared.a, shared.b, 100) as counts:
                while done < cycles:
                    add_and_del(sw, "x", CYCLES_SLICE)
                    done += CYCLES_SLICE
                    print(f"{done} cycles, "
                          f"{time.monotonic() - started:.0f} s", flush=True)
    finally:  # a long run that is ended early has a result, too
        print(f"{done} cycles, {counts}")
    assert counts["lost"] == counts["duplicated"] == 0, counts
    assert counts["received"] == counts["sent"] > cycles, counts


def test_hugepages_come_back_after_del_port(shared):
    """A cycle leaks no memory: after each cycle, the same number is free."""
    sw = shared.sw

    def cycle():
        sw.add_port("x")
        sw.ovs.del_port("x")
        wait_until(lambda: "x@" not in sw.ovs.appctl(
            "netdev-dpdk/get-mempool-info"), 20, "x's buffers are gone")
        return int(sw.sh("grep HugePages_Free /proc/meminfo").split()[1])
    first = cycle()
    assert [cycle() for _ in range(3)] == [first] * 3


def test_a_frozen_peer_does_not_hold_up_the_others(shared):
    """While a peer's QEMU is stopped, it sends no answers and no kicks."""
    shared.b.pause()
    try:
        started = time.monotonic()
        shared.sw.ovs.vsctl("show")
        assert shared.sw.ovs.get("a", "link_state") == "up"
        shared.sw.qmp.command("query-status")
        assert time.monotonic() - started < 10 * config.TIME_SCALE
    finally:
        shared.b.resume()
    traffic.wait_reachable(shared.a, shared.b)


def test_switch_vm_killed_and_restarted_and_peers_reconnect(shared):
    sw = shared.sw
    boots = [p.sh("cat /proc/sys/kernel/random/boot_id")
             for p in (shared.a, shared.b)]
    sw.kill()
    sw.start().ready()
    sw.start_ovs()
    sw.add_ports("a", "b")
    sw.ovs.wait_link_up("a", "b")
    traffic.wait_reachable(shared.a, shared.b)
    sw.sh("echo 144 > /proc/sys/vm/nr_hugepages")
    assert boots == [p.sh("cat /proc/sys/kernel/random/boot_id")
                     for p in (shared.a, shared.b)]
