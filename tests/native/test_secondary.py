# SPDX-License-Identifier: Apache-2.0
"""A secondary process of DPDK, dpdk-proc-info, beside testpmd with traffic.

Both processes share memory, so both need hugepages: the test borrows a few, in
a hugetlbfs of its own.  It needs root, and no VM.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testpmd import Testpmd, config, driver_eal, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from hugepages import Hugepages  # noqa: E402

MIB = 96
SAYS = ("net_vpci0: a secondary process cannot use this port; it goes on in "
        "the primary")


@pytest.fixture
def hugetlbfs(tmp_path):
    """A folder of hugepages; skip the test if the machine has none to give."""
    if not shutil.which("dpdk-proc-info"):
        pytest.skip("no dpdk-proc-info (Debian package dpdk)")
    folder = tmp_path / "huge"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", folder],
        stderr=subprocess.PIPE, text=True)
    if mounted.returncode != 0:
        pytest.skip("a secondary process needs hugetlbfs, which only root "
                    "can mount")
    try:
        with Hugepages(MIB) as pages:
            if not pages.usable:
                pytest.skip("too few hugepages for a secondary process")
            yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def running(hugetlbfs, tmp_path):
    """A primary process, and a peer; the primary sends the peer's packets
    back."""
    eal = driver_eal().replace("--legacy-mem", f"--huge-dir={hugetlbfs}")
    switch = Testpmd("switch", [f"net_vpci0,path={tmp_path}/s"], eal=eal,
                     memory=f"-m {MIB}")
    peer = None
    try:
        switch.start("io retry")
        peer = Testpmd("peer", [f"net_virtio_user0,path={tmp_path}/s"],
                       "--no-flush-rx", "--single-file-segments")
        switch.wait_link(True)
        peer.start("io retry", "start tx_first")
        yield switch, peer
    finally:
        if peer:
            peer.close()
        switch.close()


def proc_info(switch, *eal):
    """Run dpdk-proc-info once, in the environment of the primary's user;
    returns its output."""
    done = subprocess.run(
        ["dpdk-proc-info", "--no-pci", "--no-telemetry",
         f"--file-prefix={switch.dir.name}", *eal, "--", "--stats"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(switch.dir),
             "RUNTIME_DIRECTORY": str(switch.dir)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60 * config.TIME_SCALE)
    # The message shows that it saw the device, in the primary's list.
    assert "failed to initialize net_vpci0 device" in done.stdout, done.stdout
    return done.stdout


def flows(switch, peer):
    """Wait until 1000 more packets have come back to the peer."""
    assert switch.child.running(), switch.text[-2000:]
    enough = peer.received() + 1000
    wait_until(lambda: peer.received() > enough, 20, "packets come back")


def sent(process):
    return int(process.ask("show port stats 0", r"TX-packets: (\d+)").group(1))


def nothing_lost(switch, peer):
    """Check that the switch has received, and sent back, every packet of the
    peer."""
    peer.ask("stop", "Done")
    total = sent(peer)
    wait_until(lambda: switch.xstats()["tx_ring0_packets"] >= total, 20,
               "the last packets are sent back")
    stats = switch.xstats()
    assert stats["rx_ring0_packets"] == stats["tx_ring0_packets"] == total
    assert not any(value for name, value in stats.items() if re.search(
        "violation|oversized|runt|unsupported|no_mbuf|timeout", name))


@pytest.mark.parametrize("plugin", [False, True],
                         ids=["without-our-plugin", "with-our-plugin"])
def test_a_secondary_leaves_the_primary_its_ports(running, plugin):
    """DPDK's own drivers are loaded in both cases; none of them may take the
    device of net_vpci."""
    switch, peer = running
    flows(switch, peer)
    for _ in range(3):
        said = proc_info(switch,
                         *(["-d", config.plugin().resolve()] if plugin else []))
        assert (SAYS in said) == plugin, said
        assert "argument path is missing" not in said
        flows(switch, peer)
    nothing_lost(switch, peer)
