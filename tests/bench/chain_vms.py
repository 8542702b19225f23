#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the CPU time that each VM's QEMU takes for a packet through a chain
of functions: with functions that are switches for their neighbours, and with
one switch VM for all.

    tests/bench/chain_vms.py [--seconds N] [--rounds N] [--rate N] [--longest N]
                             [--out FOLDER]

    mesh:     v1 --- v2 --- v3 --- v4 --- v5
    central:  v1 --- hub --- v2 --- hub --- v3 ... functions send packets back

All VMs run all the time, and one case after the other carries the same packets
(UDP, 200 bytes, numbered) from v1's workload through 2 to 5 functions.  The
program subtracts the CPU time that a process takes without packets: each round
measures both, one after the other, because other work on the machine changes
both.  Polling threads sleep for up to 10 ms, so that they poll as often with
packets as without.  Under emulation the figures show where work is done and how
it grows; doc/performance.md says what they do not show.
"""
import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))

from harness import config  # noqa: E402
from harness.images import Images  # noqa: E402
from harness.mesh import Mesh, topology_tool  # noqa: E402
from harness.traffic import _values  # noqa: E402

LENGTHS = range(2, 6)
MAX_SLEEP = 10000  # microseconds, the most that Open vSwitch accepts
PORT_MIB, BASE_MIB = 192, 320  # a VM's memory: for each device, and the rest


def describe(longest):
    """The description for vhost-pci-topology.  The hub has a device for each
    function.  In the mesh, functions with even numbers have a device for each
    neighbour; the others use their neighbours' devices."""
    numbers = range(1, longest + 1)
    serve = {n: len({n - 1, n + 1} & set(numbers)) for n in numbers
             if n % 2 == 0}
    sizes = {"hub": longest, **{f"v{n}": serve[n] for n in serve},
             **{f"v{n}": 0 for n in numbers if n not in serve}}
    lines = ["vms:"] + [
        f"  {name}: {{memory: {BASE_MIB + PORT_MIB * max(1, ports)}M}}"
        for name, ports in sizes.items()]
    links = [f"v{n}-v{n + 1}" for n in numbers[:-1]] + [
        f"hub-v{n}" for n in numbers]
    return "\n".join([*lines, f"links: [{', '.join(links)}]", ""])


HERTZ = os.sysconf("SC_CLK_TCK")


def cpu_seconds(vm):
    """The CPU time of all threads of the VM's QEMU."""
    fields = Path(f"/proc/{vm.child.pid}/stat").read_text("ascii")
    user, system = fields.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / HERTZ


def usage(mesh):
    return {name: cpu_seconds(vm) for name, vm in mesh.vms.items()}


def difference(now, then, scale=1):
    return {name: (now[name] - then[name]) / scale for name in now}


def put_rules(mesh, kind, length):
    """Add rules that lead packets for the last function's workload along the
    chain."""
    address = mesh[f"v{length}"].address
    for vm in mesh.vms.values():
        vm.ovs.ofctl("--strict", "del-flows", "br0", "cookie=9/-1")

    def rule(at, come, go):
        mesh[at].ovs.add_flow(f"cookie=9,priority=200,in_port={come},ip,"
                              f"nw_dst={address},actions={go}")
    for number in range(1, length + 1):
        at = f"v{number}"
        after = f"v{number + 1}" if number < length else "work"
        if kind == "mesh":
            come = f"v{number - 1}" if number > 1 else "work"
            rule(at, come, f"output:{after}")
            continue
        if number == 1:
            rule(at, "work", "output:hub")
        else:
            rule(at, "hub", "in_port" if number < length else "output:work")
        if number < length:
            rule("hub", at, f"output:{after}")


def stream(mesh, length, seconds, rate):
    """Send for `seconds`; returns the number of packets that arrived."""
    first, last = mesh["v1"], mesh[f"v{length}"]
    receiver = last.start_command(last.workload("seqstream recv 9000"))
    receiver.wait_output("ready", 30)
    sender = first.start_command(first.workload(
        f"seqstream send {last.address} 9000 {rate}"))
    time.sleep(seconds)
    sender.close_stdin()
    sender.wait(60).check()
    return _values(receiver.wait(90).stdout)["received"]


def one_round(mesh, length, options):
    """Returns the number of packets, {VM: CPU seconds for these packets}, and
    {VM: CPU seconds per second without packets}."""
    before, start = usage(mesh), time.monotonic()
    time.sleep(options.seconds)
    idle = difference(usage(mesh), before, time.monotonic() - start)
    before, start = usage(mesh), time.monotonic()
    packets = stream(mesh, length, options.seconds, options.rate)
    spent, wall = difference(usage(mesh), before), time.monotonic() - start
    return packets, {n: spent[n] - idle[n] * wall for n in spent}, idle


def measure(mesh, kind, length, options):
    put_rules(mesh, kind, length)
    mesh.wait_reached("v1", f"v{length}")
    mesh["v1"].ping(mesh[f"v{length}"])
    rounds = [one_round(mesh, length, options) for _ in range(options.rounds)]
    packets = sum(r[0] for r in rounds)
    assert packets, f"{kind}, {length} functions: nothing arrived"
    names = [f"v{n}" for n in range(1, length + 1)]
    if kind == "central":
        names.insert(0, "hub")
    cost = {name: 1e6 * sum(r[1][name] for r in rounds) / packets
            for name in names}
    each = [{name: 1e6 * r[1][name] / r[0] for name in names}
            for r in rounds if r[0]]
    return {"kind": kind, "length": length, "packets": packets,
            "microseconds": cost, "rounds": each,
            "idle": {n: sum(r[2][n] for r in rounds) / len(rounds)
                     for n in names}}


def report(rows):
    """The lines of a table in Markdown: the CPU time of each process for one
    packet, in each case."""
    yield ("| functions | kind | packets | switching, microseconds of CPU a "
           "packet | the busiest | functions in all |")
    yield "|---|---|---|---|---|---|"
    for row in rows:
        cost = row["microseconds"]
        ends = ("v1", f"v{row['length']}")
        inner = {n: c for n, c in cost.items() if n not in ends}
        each = ", ".join(f"{n} {c:.0f}" for n, c in inner.items()) or "-"
        busiest = f"{max(inner.values()):.0f}" if inner else "-"
        yield (f"| {row['length']} | {row['kind']} | {row['packets']} | {each} "
               f"| {busiest} | {sum(cost.values()):.0f} |")


def draw(rows, path):
    """Draw the CPU time of the busiest process, over the length."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for kind in ("mesh", "central"):
        points = [(r["length"], max(c for n, c in r["microseconds"].items()
                                    if n not in ("v1", f"v{r['length']}")))
                  for r in rows if r["kind"] == kind
                  and len(r["microseconds"]) > 2]
        axes.plot(*zip(*points), marker="o", label={
            "mesh": "mesh: the busiest function between the ends",
            "central": "central: the switch VM, or a function"}[kind])
    axes.set_xlabel("functions in the chain")
    axes.set_xticks(LENGTHS)
    axes.set_ylabel("microseconds of CPU a packet")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(f"chain of VMs, {config.accel().split(',')[0]}")
    figure.tight_layout()
    figure.savefig(path)
    return path


def run(options):
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(describe(options.longest))
        file.flush()
        topology_tool().load(file.name)  # finds errors before the VMs are made
        images = Images(config.BUILD / "tests" / "vm" / "images")
        with Mesh("chain-vms", images, file.name) as mesh:
            mesh.plan.controller = None  # put_rules() adds all rules
            mesh.up()
            mesh.set_up()
            mesh.each(lambda vm: vm.ovs.vsctl(
                "set", "Open_vSwitch", ".",
                f"other_config:pmd-maxsleep={MAX_SLEEP}"))
            for vm in mesh.vms.values():
                vm.wait_ports()
            rows = []
            for length in range(2, options.longest + 1):
                for kind in ("mesh", "central"):
                    rows.append(measure(mesh, kind, length, options))
                    print("\n".join(report(rows[-1:])), flush=True)
    (out / "chain-vms.json").write_text(json.dumps(rows, indent=1))
    print("\n".join(report(rows)))
    print(draw(rows, out / "chain-vms.png") or "no picture")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=8,
                        help="of each round, with and without packets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500,
                        help="packets a second")
    parser.add_argument("--longest", type=int, choices=LENGTHS,
                        default=max(LENGTHS), help="functions at most")
    parser.add_argument("--out", default=str(config.BUILD / "bench"))
    run(parser.parse_args())


if __name__ == "__main__":
    main()
