#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Record real vhost-user sessions as seeds for the protocol fuzzer.

    tests/vm/record_sessions.py [OUTDIR]       (default tests/fuzz/corpus-raw)

Each session is complete: connect, negotiate, start the rings, carry traffic,
stop.  The back-end is the distribution's OVS-DPDK on the host.
harness/record.py describes the file format.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import config  # noqa: E402
from harness.images import Images  # noqa: E402
from harness.native import NativeOvs  # noqa: E402
from harness.procs import Child, wait_until  # noqa: E402
from harness.record import Recorder  # noqa: E402
from harness.topology import Topology  # noqa: E402

QEMU_SESSIONS = {
    "qemu72-q35-3g": {"memory_mb": 3072},
    "qemu72-pc-128m": {"memory_mb": 128, "machine": "pc"},
    "qemu72-q35-mq2": {"memory_mb": 256, "queues": 2},
    "qemu72-q35-mtu9000": {"memory_mb": 256, "mtu": 9000},
}
PORTS = [*QEMU_SESSIONS, "dpdk-virtio-user", "dpdk-virtio-user-packed"]


def qemu_session(net, ovs, name, options):
    recorder = Recorder(net.rundir / "proxy", net.rundir / name,
                        net.output / f"{name}.vus")
    peer = net.peer(name, link=net.rundir / "proxy", **options)
    net.up()
    ovs.wait_link_up(name)
    peer.run(f"ping -c 2 -W 1 {peer.address[:-1]}99", 30)
    # As at a reboot, the guest resets its device and starts it again.
    peer.sh("cd /sys/bus/virtio/drivers/virtio_net && "
            "echo virtio0 > unbind && echo virtio0 > bind && "
            f"ip link set {peer.interface} up", 30)
    ovs.wait_link_up(name)
    peer.stop()
    del net.vms[name]
    finish(net, recorder)


def testpmd_session(net, ovs, name, extra):
    recorder = Recorder(net.rundir / "proxy", net.rundir / name,
                        net.output / f"{name}.vus")
    log = net.logdir / f"{name}.log"
    testpmd = Child(
        [config.program("dpdk-testpmd"), "--no-huge", "-m", "128",
         "--file-prefix", net.rundir.name + name, "--no-pci",
         "--lcores", "0@0,1@1", "--vdev",
         f"net_virtio_user0,path={net.rundir}/proxy,queues=2{extra}",
         "--", "--nb-cores=1", "--rxq=2", "--txq=2", "--forward-mode=txonly",
         "--tx-first", "--stats-period=1"], log=log)
    wait_until(lambda: "statistics for port 0" in testpmd.output()
               or not testpmd.running(), 30, "testpmd sends")
    testpmd.end()
    if not recorder.records:
        raise SystemExit(f"testpmd sent nothing:\n{testpmd.output()}")
    finish(net, recorder)


def finish(net, recorder):
    count = recorder.save()
    (net.rundir / "proxy").unlink()
    print(f"{recorder.output}: {count} messages, "
          f"{recorder.output.stat().st_size} bytes", flush=True)


def main():
    output = Path(sys.argv[1] if len(sys.argv) > 1
                  else config.TOP / "tests" / "fuzz" / "corpus-raw")
    output.mkdir(parents=True, exist_ok=True)
    images = Images(config.BUILD / "tests" / "vm" / "images")
    with Topology("record", images) as net:
        net.output = output
        ovs = NativeOvs(net.rundir, net.logdir)
        net.closers.append(ovs.stop)
        ovs.start()
        for port in PORTS:
            ovs.add_port(port, "dpdkvhostuser")
        for name, options in QEMU_SESSIONS.items():
            qemu_session(net, ovs, name, options)
        testpmd_session(net, ovs, "dpdk-virtio-user", "")
        testpmd_session(net, ovs, "dpdk-virtio-user-packed",
                        ",packed_vq=1,in_order=1")


if __name__ == "__main__":
    main()
