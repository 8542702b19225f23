# SPDX-License-Identifier: Apache-2.0
"""Tests the harness itself, with stock programs only.  When a test of vhost-pci
fails, these tests show that the harness is not the cause."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import config, traffic
from harness.agent import AgentError
from harness.images import IMAGE_LIMIT
from harness.native import NativeOvs
from harness.procs import wait_until


@pytest.fixture(scope="module")
def stock(module_topology):
    """Two peers on the host's own OVS-DPDK."""
    net = module_topology
    ovs = NativeOvs(net.rundir, net.logdir)
    net.closers.append(ovs.stop)
    ovs.start()
    for name in ("a", "b"):
        ovs.add_port(name, "dpdkvhostuser")
    net.ovs = ovs
    net.a = net.peer("a", link=net.rundir / "a")
    net.b = net.peer("b", link=net.rundir / "b", machine="pc", memory_mb=128)
    net.up()
    ovs.wait_link_up("a", "b")
    return net


def test_commands_return_output_exit_code_and_signal(stock):
    done = stock.a.run("echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.code) == ("out\n", "err\n", 3)
    assert stock.a.run("kill -9 $$").code == -9
    with pytest.raises(AgentError, match="exit 7"):
        stock.a.sh("exit 7")


def test_a_late_command_is_killed_and_the_channel_goes_on(stock):
    with pytest.raises(AgentError, match="not done within 0.5 s"):
        stock.a.run("sleep 987", 0.5)
    assert "sleep 987" not in stock.a.sh("ps | grep -v grep")


def test_files_go_in_and_come_out_unchanged(stock):
    data = os.urandom(50_000)
    stock.a.put("/tmp/file", data, 0o755)
    assert stock.a.get("/tmp/file") == data


def test_commands_run_side_by_side(stock):
    slow = stock.a.start_command("read x; echo got $x")
    assert stock.a.sh("echo first") == "first\n"
    slow.write(b"it\n")
    assert slow.wait(10).stdout == "got it\n"


def test_stock_peers_ping_over_stock_ovs(stock):
    traffic.ping(stock.a, stock.b)
    traffic.ping(stock.b, stock.a)


def test_stock_peers_iperf3_over_stock_ovs(stock):
    assert traffic.iperf3(stock.a, stock.b, seconds=2)["bytes"] > 100_000
    udp = traffic.iperf3(stock.a, stock.b, udp=True, seconds=2, reverse=True)
    assert udp["packets"] > 100


def test_stock_peers_pass_every_size_and_no_more(stock):
    traffic.every_size(stock.a, stock.b, 1500)


def test_stock_peers_send_a_file(stock):
    digest, size = traffic.send_file(stock.a, stock.b, 8)
    assert digest[0] == digest[1] and size == 8 << 20


def test_numbered_stream_counts_what_a_down_port_loses(stock):
    with traffic.numbered_stream(stock.a, stock.b) as quiet:
        stock.a.sh("usleep 500000")
    assert quiet["lost"] == 0 and quiet["received"] == quiet["sent"] > 20
    with traffic.numbered_stream(stock.a, stock.b) as holed:
        stock.a.sh("usleep 300000")
        stock.ovs.add_flow("priority=9,in_port=a,udp,actions=drop")
        stock.a.sh("usleep 300000")
        stock.ovs.ofctl("--strict", "del-flows", "br0",
                        "priority=9,in_port=a,udp")
        stock.a.sh("usleep 300000")
    assert 0 < holed["lost"] < holed["sent"]


def test_killed_peer_comes_back_with_a_working_link(stock):
    stock.b.restart()
    traffic.wait_reachable(stock.a, stock.b)


def test_vms_end_with_the_process_that_started_them(tmp_path):
    """They end even if that process is killed and cannot clean up."""
    program = tmp_path / "starter.py"
    program.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from harness.procs import Child\n"
        "print(Child(['sleep', '1000']).pid, flush=True)\n"
        "time.sleep(1000)\n")
    starter = subprocess.Popen([sys.executable, program], text=True,
                               stdout=subprocess.PIPE)
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()

    def ended():
        try:  # a zombie has ended: only its new parent has not reaped it yet
            return " Z " in Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
    wait_until(ended, 10, f"process {pid} ended")


def test_stock_ovs_in_a_guest_is_up_within_seconds(topology):
    """The switch VM has no vhost-pci device; Debian's OVS gets a null port."""
    sw = topology.switch([], flavour="stock", with_plugin=False,
                         extra_plugins=["librte_net_null"],
                         qemu=config.stock_qemu())
    assert sw.image.stat().st_size < IMAGE_LIMIT
    topology.up()
    sw.start_ovs()
    sw.ovs.add_port("n", "dpdk", options={"dpdk-devargs": "net_null0"})
    up_after = time.monotonic() - sw.started_at
    print(f"booted after {sw.ready_after:.1f} s, OVS after {up_after:.1f} s")
    shown = sw.ovs.show()
    assert "error" not in shown and "Port n" in shown
    assert sw.ovs.get("n", "ofport") == 1
    free = sw.sh("grep HugePages_Free /proc/meminfo")
    print(free)
