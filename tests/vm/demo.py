#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: `quickstart demo [--keep] [--mesh [FILE]]`.

Three unmodified VMs exchange packets through the Open vSwitch of a fourth VM.
The program prints one line for each step, which ends in PASS or FAIL; the exit
code is 0 if all steps passed.

With --mesh there is no switch VM in the middle: each VM is a switch.  FILE
describes the VMs and their links, in the format of vhost-pci-topology (default:
four VMs, each linked to all others).

With --keep the VMs run until Enter, Ctrl-C, or SIGTERM to this program or to
quickstart.  Meanwhile, in another terminal:
    tests/vm/demo.py run VM COMMAND...     runs a command in a VM
    tests/vm/demo.py console VM            joins its console (Ctrl-] leaves)
"""
import argparse
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import demo_mesh  # noqa: E402
from harness import config, keep, traffic  # noqa: E402
from harness.images import IMAGE_LIMIT, Images  # noqa: E402
from harness.procs import wait_until  # noqa: E402
from harness.shared import memory  # noqa: E402
from harness.topology import HUGEPAGES, Topology  # noqa: E402

STATE = "demo.json"
PEER_MB = 256
PICTURE = """
  peer VM "a"              switch VM "sw"                 peer VM "b"
  stock QEMU, kernel       QEMU with vhost-pci            stock QEMU, kernel
  {a:<15}          Open vSwitch br0               {b}
  virtio-net --[a.sock]-- port a       port b --[b.sock]-- virtio-net
                                port c
                                  |
                               [c.sock]
                                  |
                              virtio-net
                      peer VM "c", {c}
"""


class Demo:
    """Runs steps and counts them."""

    def __init__(self, net):
        self.net, self.failed, self.passed = net, 0, 0
        self.started = time.monotonic()

    def line(self, text, good=True):
        self.passed += good
        self.failed += not good
        print(f"{text:<72} {'PASS' if good else 'FAIL'}", flush=True)

    def step(self, text, function):
        """Run a step; print a line with the text and `function`'s result."""
        try:
            detail = function()
        except (AssertionError, OSError) as error:
            self.line(text, False)
            print("    " + str(error).replace("\n", "\n    "), flush=True)
            return False
        self.line(f"{text}: {detail}" if detail else text)
        return True

    def say(self, text):
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", flush=True)


def boot(net):
    net.sw = net.switch(["a", "b", "c"], memory_mb=640)
    net.a, net.b, net.c = (net.peer(n, memory_mb=PEER_MB) for n in "abc")
    net.up()
    return f"{len(net.vms)} VMs ({config.accel().split(',')[0]})"


def open_vswitch(net):
    net.sw.start_ovs()
    return (f"up {time.monotonic() - net.sw.started_at:.0f} s after the VM's "
            "power-on")


def port_up(net, name):
    if name not in net.sw.ovs.vsctl("list-ports", "br0").split():
        said = net.sw.add_port(name)
        assert "rror" not in said, said
    net.sw.ovs.wait_link_up(name)
    status = net.sw.ovs.get(name, "status")
    assert status["peer"] == name, status
    return (f"peer {status['peer']}, "
            f"{int(status['peer-memory']) >> 20} MiB, window "
            f"{status['window']}")


def footprint(net):
    used = memory(net.sw)
    image = net.sw.image.stat().st_size
    total, free = used["huge_total"] >> 10, used["huge_free"] >> 10
    assert image < IMAGE_LIMIT, f"the image has {image >> 20} MiB"
    assert total == HUGEPAGES * 2, used
    return (f"image {image / 2**20:.1f} MiB, hugepages {total - free} of "
            f"{total} MiB, ovs-vswitchd {used['vswitchd'] >> 10} MiB")


def third_port(net):
    # The promised 192 MiB are for two ports, so c gets pages of its own.
    net.sw.sh(f"echo {HUGEPAGES * 3 // 2} > /proc/sys/vm/nr_hugepages")
    return port_up(net, "c")


def rate(result):
    text = f"{result['bits_per_second'] / 1e6:.1f} Mbit/s"
    if "packets" in result:
        text += f", {result['lost']} of {result['packets']} lost"
    return text


def ping(a, b):
    return f"{traffic.ping(a, b):.1f} ms"


def tcp_reaches(sender, receiver, port):
    """True if a TCP connection to the port brings a line over."""
    listener = receiver.start_command(f"nc -l -p {port}")
    traffic.wait_listening(receiver, port)
    sent = sender.start_command(
        f"echo word | nc -w 3 {receiver.address} {port}")
    try:
        return listener.wait_output("word", 4) is not None
    except AssertionError:
        return False
    finally:
        for command in (sent, listener):
            command.signal(9)
            command.wait(10)


def drop_rule(net):
    ovs = net.sw.ovs
    ovs.add_flow("priority=100,tcp,tp_dst=7001,actions=drop")
    try:
        assert not tcp_reaches(net.a, net.b, 7001), "port 7001 is not dropped"
        assert tcp_reaches(net.a, net.b, 7002), "port 7002 is dropped too"
        wait_until(lambda: ovs.flow_packets("tcp,tp_dst=7001") > 0, 10,
                   "the rule counts what it drops")
    finally:
        ovs.ofctl("del-flows", "br0", "tcp,tp_dst=7001")
    assert tcp_reaches(net.a, net.b, 7001), "7001 stays dropped afterwards"
    return "7001 dropped, 7002 passes"


def redirect_rule(net):
    ovs, packets = net.sw.ovs, 5
    match = f"ip,in_port=b,nw_dst={net.a.address}"
    ovs.add_flow(f"priority=100,{match},actions=output:c")
    seen = net.c.start_command(
        f"exec tcpdump -l -n -i eth0 -c {packets} icmp and "
        f"dst {net.a.address} 2>&1")
    try:
        seen.wait_output("listening", 20)
        before = net.a.counters()["rx_packets"]
        lost = net.b.run(f"ping -c {packets} -i 0.2 -W 1 {net.a.address}", 30)
        assert " 0 packets received" in lost.stdout, "a still answers"
        assert seen.wait(20).code == 0, "c did not see them"
        got = net.a.counters()["rx_packets"] - before
        assert got < packets, f"a received {got} packets"
    finally:
        seen.signal(15)
        ovs.ofctl("del-flows", "br0", match)
    traffic.wait_reachable(net.b, net.a)
    return f"{packets} of b's packets for a seen in c"


class Ledger:
    """Counts the packets of one direction at three places: the sender's driver,
    the flow, and the receiver's driver."""

    def __init__(self, net, source, target):
        self.ovs, self.source = net.sw.ovs, source
        self.sender, self.receiver = net.vms[source], net.vms[target]
        self.ovs.add_flow(f"priority=50,in_port={source},"
                          f"actions=output:{target}")
        self.before = self.quiet()

    def counts(self):
        return (self.sender.counters()["tx_packets"],
                self.ovs.flow_packets(f"in_port={self.source}"),
                self.receiver.counters()["rx_packets"])

    def quiet(self):
        """Returns the counts when they no longer change: TCP connections of
        earlier steps may still close, and Open vSwitch updates the counters of
        flows only twice a second."""
        last = []

        def same():
            last.append(self.counts())
            return last[-1] if last[-3:] == last[-1:] * 3 else None
        return wait_until(same, 20, "the counters come to rest", 0.4)

    def difference(self):
        return [now - then for now, then in zip(self.quiet(), self.before)]

    def close(self):
        self.ovs.ofctl("--strict", "del-flows", "br0",
                       f"priority=50,in_port={self.source}")


def counters(net):
    ledgers = [Ledger(net, "a", "b"), Ledger(net, "b", "a")]
    try:
        with traffic.numbered_stream(net.a, net.b, rate=100):
            traffic.ping(net.a, net.b, count=5)
        text = []
        for ledger in ledgers:
            sent, flow, got = ledger.difference()
            assert sent == flow == got > 0, \
                f"{ledger.source} sent {sent}, its flow counts {flow}, " \
                f"{got} were received"
            text.append(f"{ledger.source} {sent}")
    finally:
        for ledger in ledgers:
            ledger.close()
    return "sent = flow = received (" + ", ".join(text) + ")"


def grows(count, what, by=3):
    """Wait until the counter `count` has grown by `by`; returns its value."""
    before = count()
    return wait_until(lambda: (now := count()) >= before + by and now, 20,
                      f"{what} grows by {by} from {before}")


def steer(net, answers):
    ovs = net.sw.ovs
    ovs.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=true")
    for source, target in ("ab", "ba"):
        ovs.add_flow(f"priority=100,in_port={source},actions=output:{target}")
    # Open vSwitch does not offload datapath flows that existed before
    # hw-offload was set.
    ovs.appctl("revalidator/purge")
    rings = [grows(lambda s=s: ovs.steered_by_ring(s),
                   f"rx_ring0_steered of {s}") for s in "ab"]
    grows(lambda: ovs.steered_packets("b", "a"), "b's vhostpci/flows")
    flows = grows(lambda: ovs.steered_packets("a", "b"), "a's vhostpci/flows")
    wait_until(lambda: ovs.flow_packets("in_port=a") >= flows, 10,
               "the OpenFlow rule counts them")
    grows(answers, "the number of answers")
    return f"vhostpci/flows {flows}, rx_ring0_steered {rings[0]}"


def change_steered(net, answers):
    ovs = net.sw.ovs
    seen = net.c.counters()["rx_packets"]
    ovs.ofctl("--strict", "mod-flows", "br0",
              "priority=100,in_port=a,actions=output:c")
    moved = grows(lambda: ovs.steered_packets("a", "c"), "a's way to c")

    def silent():
        before = answers()
        grows(lambda: ovs.steered_packets("a", "c"), "a's way to c")
        return answers() == before
    wait_until(silent, 10, "b answers no more")
    got = net.c.counters()["rx_packets"] - seen
    assert got >= moved, f"c received {got} of {moved}"
    return f"c gets {got}, no answers"


def remove_steered(net, answers):
    ovs = net.sw.ovs
    for source in "ab":
        ovs.ofctl("--strict", "del-flows", "br0",
                  f"priority=100,in_port={source}")
    grows(answers, "the number of answers")
    wait_until(lambda: ovs.steered_packets("a", "c") == 0, 10,
               "the driver has no rule to c")
    return "b answers again"


def steering(demo):
    net = demo.net
    with traffic.pinging(net.a, net.b) as answers:
        demo.step("rules a <-> b run in the driver",
                  lambda: steer(net, answers))
        demo.step("rule a -> b changed to a -> c",
                  lambda: change_steered(net, answers))
        demo.step("rules removed", lambda: remove_steered(net, answers))


def show(demo):
    net = demo.net
    demo.say("starting the VMs")
    if not demo.step("the VMs are up", lambda: boot(net)):
        return
    if not demo.step("Open vSwitch runs in sw", lambda: open_vswitch(net)):
        return
    for name in "ab":
        demo.step(f"port {name} is up", lambda n=name: port_up(net, n))
    demo.step("footprint with two ports", lambda: footprint(net))
    demo.step("port c is up", lambda: third_port(net))
    a, b = net.a, net.b
    demo.say("traffic")
    demo.step("ping a -> b", lambda: ping(a, b))
    demo.step("ping b -> a", lambda: ping(b, a))
    for udp, word in ((False, "TCP"), (True, "UDP")):
        for one, other in ((a, b), (b, a)):
            demo.step(f"iperf3 {word} {one.name} -> {other.name}",
                      lambda o=one, t=other, u=udp: rate(
                          traffic.iperf3(o, t, udp=u, seconds=2, rate="5M")))
    demo.say("OpenFlow")
    demo.step("a rule drops one TCP port and no other", lambda: drop_rule(net))
    demo.step("a rule sends b's traffic for a to c",
              lambda: redirect_rule(net))
    demo.step("flow counters agree with the guests'", lambda: counters(net))
    demo.say("OpenFlow inside the driver, under ping")
    steering(demo)


def end_on_signals():
    """Let SIGINT, SIGTERM and SIGHUP raise an exception, so that the program
    cleans up.  Only the first signal does this: the terminal sends an interrupt
    from the keyboard, and quickstart sends it again, which must not disturb the
    cleaning up."""
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
               if signal.getsignal(n) is not signal.SIG_IGN]  # as by nohup

    def end(number, _):
        for n in numbers:
            signal.signal(n, signal.SIG_IGN)
        sys.exit(128 + number)
    for n in numbers:
        signal.signal(n, end)


def wait_for_user(net, text):
    """Wait for Enter, or for a signal that ends the program."""
    end = keep.serve(net, config.BUILD / STATE)
    print(text, flush=True)
    try:
        if sys.stdin.isatty():
            input()
        else:
            signal.pause()
    except EOFError:
        pass
    finally:
        end()


def keep_mesh(net):
    me = Path(__file__).resolve()
    one, other = list(net.vms.values())[:2]
    wait_for_user(net, f"""
Everything stays up until you press Enter here. In another terminal:
  {me} console {one.name}                  (also {", ".join(list(net.vms)[1:])})
  {me} run {one.name} ovs-vsctl show
  {me} run {one.name} ovs-appctl vhostpci/flows
  {me} run {one.name} ovs-ofctl dump-flows br0
  {me} run {one.name} {one.workload(f"ping -c 3 {other.address}")}
Logs: {net.logdir}""")


def keep_demo(net):
    me = Path(__file__).resolve()
    wait_for_user(net, f"""
Everything stays up until you press Enter here. In another terminal:
  {me} console a                           (also b, c, sw)
  {me} run sw ovs-vsctl show
  {me} run sw ovs-appctl vhostpci/show
  {me} run sw ovs-appctl vhostpci/flows
  {me} run sw ovs-ofctl dump-flows br0
  {me} run a ping -c 3 {net.b.address}
  {me} run b tcpdump -n -i eth0 -c 10
Logs: {net.logdir}""")


def demonstrate_mesh(arguments):
    end_on_signals()
    return demo_mesh.demonstrate(Demo, arguments.mesh or None,
                                 keep_mesh if arguments.keep else None)


def demonstrate(arguments):
    end_on_signals()
    images = Images(config.BUILD / "tests" / "vm" / "images")
    with Topology("demo", images) as net:
        demo = Demo(net)
        print(PICTURE.format(a="10.0.0.1", b="10.0.0.2", c="10.0.0.3"))
        show(demo)
        demo.say(f"{demo.passed} passed, {demo.failed} failed; logs in "
                 f"{net.logdir}")
        if arguments.keep:
            keep_demo(net)
    return 1 if demo.failed else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true",
                        help="leave everything running; print how to look "
                        "around")
    parser.add_argument("--mesh", nargs="?", const="", metavar="FILE",
                        help="every VM a switch, as FILE says for "
                        "vhost-pci-topology")
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="run a command in a kept VM")
    run.add_argument("vm")
    run.add_argument("words", nargs=argparse.REMAINDER)
    join = commands.add_parser("console", help="join a kept VM's console")
    join.add_argument("vm")
    arguments = parser.parse_args()
    state = config.BUILD / STATE
    try:
        if arguments.command == "run":
            return keep.run_in(state, arguments.vm, " ".join(arguments.words))
        if arguments.command == "console":
            return keep.console(state, arguments.vm)
        return (demonstrate if arguments.mesh is None
                else demonstrate_mesh)(arguments)
    except config.Missing as missing:
        print(f"demo: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
