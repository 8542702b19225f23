# SPDX-License-Identifier: Apache-2.0
"""A differential test: steered and unsteered ports must do the same.

Two switches have the same ports and the same random OpenFlow table, and get the
same random frames; hw-offload is on in only one of them. The peers of both must
receive the same frames, and OpenFlow's counters must be equal. A case is a
table with frames. Each frame is sent once, so that the datapath gets flows, and
then several times more, so that the driver's rules move the frame.

    steering_diff.py --cases 10000           run 10000 cases, from --first on
    steering_diff.py --seed 7 --first 42 --cases 1     repeat one case
"""
import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter

import diff_frames
import diff_offloads
import diff_tables
from native_ovs import config, wait_until
from raw_peer import RawPeer, cuts
from steering_rig import DATAPATH, OffloadOvs

NAMES = "abc"
# b has small receive buffers: most frames need several.
PEERS = {"a": {"mergeable": False}, "b": {"buffer": 300, "num": 2048},
         "c": {}}
# With "offloads" in the peers (see diff_offloads.py), the switch forwards
# unfinished packets; each peer sends and receives the kinds that it names.
ROOM = {"room": 1 << 15, "num": 512}
# name: (the peers, the number of PMD threads).
CONFIGS = {
    "split": (PEERS, 1),
    "packed": ({name: {**peer, "packed": True, "indirect": name != "b"}
                for name, peer in PEERS.items()}, 1),
    "mixed": ({**PEERS, "b": {**PEERS["b"], "packed": True},
               "c": {"indirect": True}}, 2),
    "offloads": ({
        "a": {**ROOM, "offloads": diff_offloads.TSO},
        "b": {**ROOM, "buffer": 1000, "num": 2048,
              "offloads": diff_offloads.TSO},
        "c": {**ROOM, "mergeable": False, "offloads": diff_offloads.CSUM}}, 1),
    "unlike": ({
        "a": {**ROOM, "packed": True, "offloads": diff_offloads.TSO4},
        "b": {**ROOM, "packed": True, "indirect": True,
              "offloads": diff_offloads.TSO},
        "c": {**ROOM, "indirect": True, "offloads": {}}}, 2),
}
# The source addresses of all frames from a port, in cases with NORMAL.
MACS = dict(zip(NAMES, diff_frames.MACS))
LESSON = 0x88b7
SENTINEL = 0x88b6
OFCTL = ["-O", "OpenFlow13"]


class Unixctl:
    """Does what ovs-appctl does, without a new process for each command."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.decoder = json.JSONDecoder()
        self.number = 0

    def __call__(self, method, *params):
        self.number += 1
        self.socket.sendall(json.dumps(
            {"id": self.number, "method": method,
             "params": params}).encode())
        text = ""
        while True:
            more = self.socket.recv(1 << 16)
            assert more, "ovs-vswitchd has closed the connection"
            text += more.decode()
            try:
                answer = self.decoder.raw_decode(text)[0]
            except ValueError:
                continue
            assert answer["error"] is None, answer
            return answer["result"]


class Switch(OffloadOvs):
    """A switch with three vhostpci ports, and a peer at each port."""

    def __init__(self, name, steers, cpus, peers):
        self.steers, self.kinds = steers, dict(peers)
        self.offloads = {name: kind.get("offloads") for name, kind in
                         peers.items()}
        mask = sum(1 << cpu for cpu in cpus)
        self.other_config = {
            **OffloadOvs.other_config, "pmd-cpu-mask": f"{mask:x}",
            "hw-offload": str(steers).lower(), "vlan-limit": "2",
            "userspace-tso-enable": str(
                self.offloads["a"] is not None).lower()}
        super().__init__("ours", name=name)
        self.peers = {}

    def start(self):
        super().start()
        for name in NAMES:
            kind = dict(self.kinds[name])
            names = kind.pop("offloads", ())
            self.peers[name] = RawPeer(
                self.add(name), **kind,
                features=diff_offloads.features(names))
        self.wait_link_up(*NAMES)
        self.vsctl("set", "bridge", self.bridge,
                   "other_config:mac-aging-time=1000000")
        self.appctl_now = Unixctl(self.control)
        return self

    def start_command(self, *arguments, text=None):
        child = subprocess.Popen(
            [self.programs["ovs-ofctl"], *OFCTL, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.environment)
        if text is not None:
            child.stdin.write(text)
        child.stdin.close()
        child.stdin = None
        return child

    def start_table(self, lines):
        return self.start_command("bundle", self.bridge, "-", text="\n".join(
            ["flow delete", "group delete", *lines, ""]))

    def start_flows(self):
        return self.start_command("dump-flows", self.bridge)

    def start_ports(self):
        return self.start_command("dump-ports", self.bridge)

    def rules(self):
        """The number of the driver's rules, and the numbers of frames that the
        rules have moved and dropped."""
        rules, counts = 0, {"moved": 0, "dropped": 0}
        for name in NAMES:
            for match, packets, actions in re.findall(
                    r"(priority=.*)\n +packets: (\d+),.*\n +actions: (.*)",
                    self.appctl_now("vhostpci/flows", name)):
                rules += 1
                if f"type=0x{SENTINEL:04x}" not in match:
                    counts["moved" if "output:" in actions
                           else "dropped"] += int(packets)
        return rules, counts

    def offload_is_idle(self):
        text = self.appctl_now("dpctl/offload-stats-show", DATAPATH)
        return not any(int(n) for n in re.findall(
            r"Enqueued offloads: +(\d+)", text))

    def has_flows(self):
        """True if the datapath has flows."""
        return "actions:" in self.appctl_now("dpctl/dump-flows", DATAPATH)

    def close(self):
        for peer in self.peers.values():
            peer.close()
        super().close()


class Different(AssertionError):
    """The two switches did not do the same."""

    def __init__(self, text, templates=()):
        super().__init__(text)
        self.templates = templates  # of the frames that differ


class Case:
    """A table and its frames.  The same seed and number make the same case."""

    def __init__(self, seed, number, config="split"):
        self.name = f"--seed {seed} --first {number} --config {config}"
        self.tag = number % 0x10000
        rng = random.Random(f"{seed}/{number}")
        self.table = diff_tables.table(rng)
        self.is_normal = number % 8 == 7
        if self.is_normal:
            self.table = diff_tables.with_normal(rng, self.table)
        self.plain_table = self.table
        self.offloads = {name: kind["offloads"] for name, kind in
                         CONFIGS[config][0].items() if "offloads" in kind}
        self.sources = {}
        self.seeds = []
        for _ in range(rng.choice([4, 8, 12, 16])):
            self.sources[len(self.seeds)] = rng.choice(NAMES)
            self.seeds.append(rng.getrandbits(64))
        every = range(len(self.seeds))
        self.rounds = [[(t, 0) for t in every]]
        for first in (1, 3):
            more = [(t, first + i) for t in every for i in range(2)]
            rng.shuffle(more)
            more.sort(key=lambda one: one[1])
            self.rounds.append(more)
        self.cuts = rng.getrandbits(64)

    def frame(self, template, copy):
        data = diff_frames.frame(random.Random(self.seeds[template]),
                                 diff_frames.make_tag(self.tag, template,
                                                      copy))
        if self.is_normal and len(data) >= 12:
            address = diff_frames.mac(MACS[self.sources[template]])
            data = data[:6] + address + data[12:]
        return data

    def packet(self, template, copy):
        """Header and frame of a copy of a template."""
        data = self.frame(template, copy)
        if not self.offloads:
            return diff_offloads.PLAIN, data
        return diff_offloads.unfinished(
            random.Random(self.seeds[template] + 1), data,
            self.offloads[self.sources[template]])

    def frames(self, number):
        """The frames of a round: (source, frame, cuts, header) each."""
        rng = random.Random(self.cuts + number)
        for template, copy in self.rounds[number]:
            header, data = self.packet(template, copy)
            yield (self.sources[template], data, cuts(rng, len(data)), header)

    def one(self, template, copy):
        """As frames(), but for a single frame."""
        header, data = self.packet(template, copy)
        return [(self.sources[template], data, (), header)]

    def describe(self):
        lines = [f"case {self.name}", *self.table]
        for template, source in self.sources.items():
            header, data = self.packet(template, 0)
            words = "" if header == diff_offloads.PLAIN else \
                f" with {diff_offloads.HEADER.unpack(header)}"
            lines.append(f"frame {template} from {source}{words}: "
                         f"{data.hex()}")
        return "\n".join(lines)


def finish(children, what):
    """Wait until all children end; returns their outputs."""
    texts = []
    for child in children:
        text, errors = child.communicate(timeout=30)
        assert child.returncode == 0, f"{what}: {text}{errors}"
        texts.append(text)
    return texts


def sentinel(source):
    return bytes.fromhex(f"0200000000ee0200000000{ord(source):02x}") \
        + SENTINEL.to_bytes(2, "big") + bytes(46)


SENTINELS = {sentinel(name): name for name in NAMES}


def describe_template(template):
    """Name a frame.  If its case is not the present one, then the frame came
    late, or it matched a flow that the other case left."""
    if template == (None,):
        return "frame without a tag"
    return f"frame {template[1]} of case {template[0]}"


def came_of(frames, template, copy):
    """The frames that arrived for one sent frame; a tuple for each port."""
    return tuple(tuple(data for data in frames[name] if (
        diff_frames.read_tag(data) or (None,))[1:] == (template, copy))
                 for name in NAMES)


class Differ:
    """A pair of switches, and counts of what they have done."""

    def __init__(self, config="split"):
        peers, threads = CONFIGS[config]
        cpus = sorted(os.sched_getaffinity(0))
        self.config = config
        self.switches = [
            Switch(f"diff-{config}-steered", True, cpus[:threads], peers),
            Switch(f"diff-{config}-plain", False, cpus[-threads:], peers)]
        self.counts = Counter(dict.fromkeys(
            ["cases", "cases that were steered",
             "cases of NORMAL that were", "frames", "moved",
             "dropped", "large that were moved", "purges that left flows",
             "undecided"], 0))
        self.ports = None

    def start(self):
        for switch in self.switches:
            switch.start()
        self.teach()
        self.ports = self.port_counters()
        return self

    def teach(self):
        """Teach NORMAL the port of each address, in each VLAN, before the first
        case.  The switch does not forget it later."""
        finish([switch.start_table([
            f"flow add dl_type=0x{LESSON:x},actions=NORMAL",
            f"flow add dl_type=0x{SENTINEL:x},actions=a,b,c"])
            for switch in self.switches], "the table")
        head = [(name, diff_frames.mac("ff:ff:ff:ff:ff:ff")
                 + diff_frames.mac(MACS[name])) for name in NAMES]
        end = LESSON.to_bytes(2, "big") + bytes(46)
        for name, addresses in head:
            self.exchange([(name, addresses + tag + end, ()) for tag in [
                b"", *(b"\x81\0" + vid.to_bytes(2, "big")
                       for vid in diff_frames.VIDS if vid)]])
        for switch in self.switches:
            text = switch.appctl_now("fdb/show", switch.bridge)
            for address in MACS.values():
                assert text.count(address) == len(diff_frames.VIDS), text
        self.purge()

    def close(self):
        for switch in self.switches:
            switch.close()

    def wait(self, condition, what):
        wait_until(condition, 20, what, interval=0.0003)

    def collect(self, got, seen):
        """Collect the frames that have arrived: sentinels into `seen`, others
        into `got`."""
        for switch, frames, sentinels in zip(self.switches, got, seen):
            for name, peer in switch.peers.items():
                for header, data in peer.packets():
                    if switch.steers:
                        self.counts["large that were moved"] += \
                            diff_offloads.is_moved_whole(header, data)
                    data = diff_offloads.meaning(
                        header, data, switch.offloads[name] or ())
                    if data in SENTINELS:
                        sentinels[name, SENTINELS[data]] += 1
                    else:
                        frames[name].append(data)

    def exchange(self, sent):
        """Send frames into both switches, and wait until everything has
        arrived: sentinels, sent last, show that.  Returns for each switch the
        frames that arrived, by port."""
        got = [{name: [] for name in NAMES} for _ in self.switches]
        seen = [Counter() for _ in self.switches]
        peers = [peer for switch in self.switches
                 for peer in switch.peers.values()]
        for source, data, where, *header in sent:
            for switch in self.switches:
                switch.peers[source].put(data, where, *header)

        def all_sent():
            self.collect(got, seen)
            return all(peer.sent() for peer in peers)
        for peer in peers:
            peer.send()
        self.wait(all_sent, "the switches have taken all frames")
        for switch in self.switches:
            for name, peer in switch.peers.items():
                peer.put(sentinel(name))
                peer.send()

        def all_arrived():
            self.collect(got, seen)
            return all(len(sentinels) == 6 for sentinels in seen)
        self.wait(all_arrived, "the last frames have arrived")
        return got

    def port_counters(self):
        texts = finish([s.start_ports() for s in self.switches], "dump-ports")
        found = [{(name, way): [int(n) if n != "?" else 0 for n in
                                re.findall(r"=(\d+|\?)", values)]
                  for name, both in re.findall(r"port +(\d+): (.*\n.*)", text)
                  for way, values in re.findall(r"(rx|tx) +(pkts=.*)", both)}
                 for text in texts]
        # Not the bridge's own port: it drops frames that follow a long frame
        # in the same batch.
        assert all(len(ports) == 2 * len(NAMES) for ports in found)
        return found

    def compare_ports(self):
        def moved():
            now = self.port_counters()
            return now, [{key: [b - a for a, b in zip(before[key], after[key])]
                          for key in after}
                         for before, after in zip(self.ports, now)]
        for _ in range(20):
            now, (steered, plain) = moved()
            if steered == plain:
                break
        else:
            raise Different("port counters:\n" + "\n".join(
                f"{name} {way}: steered {steered[name, way]}, "
                f"plain {plain[name, way]}" for name, way in steered
                if steered[name, way] != plain[name, way]))
        self.ports = now

    def compare_flows(self):
        texts = finish([s.start_flows() for s in self.switches], "dump-flows")
        steered, plain = (
            [re.sub(r"duration=\S+ ", "", line) for line in text.splitlines()
             if "n_packets" in line and f"0x{SENTINEL:x}" not in line]
            for text in texts)
        if sorted(steered) != sorted(plain):
            raise Different("flows:\n" + "\n".join(
                [f"steered {line}" for line in sorted(set(steered)
                                                      - set(plain))]
                + [f"plain   {line}" for line in sorted(set(plain)
                                                        - set(steered))]))

    @staticmethod
    def rows(frames):
        """{template: [(copy, frames that arrived for the copy)]}, copies in the
        order of their first frames.  If a rule has several outputs, frames of
        several copies may arrive mixed: Open vSwitch does one action for a
        batch of packets, then the next; the driver does all actions for one
        packet."""
        rows = {}
        for data in frames:
            *template, copy = diff_frames.read_tag(data) or (None, None)
            template = tuple(template)
            rows.setdefault(template, {}).setdefault(copy, []).append(data)
        # Frames that lost their tag have no known order.
        if (None,) in rows:
            rows[None,][None].sort()
        return {template: list(row.items()) for template, row in rows.items()}

    def compare_frames(self, got, number):
        steered, plain = ({name: self.rows(frames)
                           for name, frames in one.items()} for one in got)
        lines, templates = [], set()
        for name in NAMES:
            one, other = steered[name], plain[name]
            for template in sorted({*one, *other}, key=str):
                if one.get(template) == other.get(template):
                    continue
                templates.add(template)
                lines.append(f"round {number}, to {name}, "
                             f"{describe_template(template)}:")
                lines += [f"  {words} {copy} {data.hex()}"
                          for words, rows in (("steered", one),
                                              ("plain", other))
                          for copy, frames in rows.get(template, [])
                          for data in frames]
        if lines:
            raise Different("\n".join(lines), templates)

    def outcomes(self, case, template, copy):
        """All results that the switch without steering can have for a frame: if
        it has no flow, and if another frame first makes a flow."""
        for other in [None, *case.sources]:
            self.purge()
            if other is not None and other != template:
                self.exchange(case.one(other, 0))
            yield came_of(self.exchange(case.one(template, copy))[1],
                          template, copy)

    def is_undecided(self, case, got, different):
        """True if Open vSwitch itself can treat the different frames in both
        ways.  A datapath flow that Open vSwitch made for one frame may match
        another frame, for which the OpenFlow tables have another result: an
        action that adds a VLAN tag does not make the flow match the number of
        tags, and an action that changes an IP header does not make it match
        whether the header is complete.  The result for such a frame depends on
        which flow was made and found first, steered or not.  To prove this, the
        switch without steering must produce both results."""
        for template in different.templates:
            if template == (None,) or template[0] != case.tag:
                return False
            found = False
            for copy in range(max(copy for row in case.rounds
                                  for _, copy in row) + 1):
                both = {came_of(one, template[1], copy) for one in got}
                if len(both) == 2:
                    found = True
                    if not both <= set(self.outcomes(case, template[1],
                                                     copy)):
                        return False
            if not found:  # the copies differ only in their order
                return False
        return True

    def settle(self):
        """Wait until the driver has got all rules."""
        switch = self.switches[0]
        self.wait(switch.offload_is_idle, "flows are offloaded")

    def purge(self):
        """Remove all flows of both datapaths, so that no frame of the next case
        matches a flow of the last table.  One purge is not enough: a purge
        skips a flow that a revalidator holds, and a thread adds a flow after it
        has sent the flow's first packet."""
        for switch in self.switches:
            switch.appctl_now("revalidator/purge")

        def is_purged(switch):
            if not switch.has_flows():
                return True
            self.counts["purges that left flows"] += 1
            switch.appctl_now("revalidator/purge")
            return False
        for switch in self.switches:
            self.wait(lambda: is_purged(switch),  # noqa: B023
                      "the datapath has no flows")
        self.wait(lambda: self.switches[0].rules()[0] == 0,
                  "the driver has no rules")

    def install(self, case):
        more = [f"flow add priority=65535,dl_type=0x{SENTINEL:x} "
                "actions=a,b,c"]
        finish([switch.start_table(table + more) for switch, table in
                zip(self.switches, (case.table, case.plain_table))],
               "the table")

    def run(self, case):
        self.install(case)
        for number in range(len(case.rounds)):
            got = self.exchange(case.frames(number))
            try:
                self.compare_frames(got, number)
            except Different as different:
                if not self.is_undecided(case, got, different):
                    raise
                self.counts.update({"cases": 1, "undecided": 1})
                self.purge()
                self.ports = self.port_counters()
                return
            if number == 0:
                self.settle()
        steered = self.switches[0].rules()[1]
        # The purge adds the counters of the datapath's flows to OpenFlow's.
        self.purge()
        self.compare_flows()
        self.compare_ports()
        self.counts.update(steered)
        self.counts.update({
            "cases": 1, "cases that were steered": steered["moved"] > 0,
            "cases of NORMAL that were": case.is_normal
            and steered["moved"] > 0,
            "frames": sum(map(len, case.rounds))})


def run_case(differ, seed, number):
    case = Case(seed, number, differ.config)
    try:
        differ.run(case)
    except AssertionError as error:
        raise Different(f"{case.describe()}\n{error}") from error


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--config", choices=CONFIGS,
                        help="else each of them in turn")
    parser.add_argument("--keep-going", action="store_true",
                        help="start anew after a case that failed")
    return parser.parse_args(arguments)


def main(arguments):
    args = parse(arguments)
    failed, number, end = [], args.first, args.first + args.cases
    counts = Counter()
    begun = time.monotonic()
    while number < end:
        # Each configuration gets a row of cases: starting two switches takes
        # longer than a case.
        share = (number - args.first) * len(CONFIGS) // args.cases
        until = end if args.config else args.first - (
            -(share + 1) * args.cases // len(CONFIGS))
        differ = Differ(args.config or list(CONFIGS)[share])
        try:
            differ.start()
            while number < until:
                number += 1
                run_case(differ, args.seed, number - 1)
                if number % 100 == 0:
                    print(f"{time.monotonic() - begun:.0f} s: "
                          f"{dict(counts + differ.counts)}", flush=True)
        except Different as error:
            print(error, flush=True)
            failed.append(number - 1)
        finally:
            differ.close()
        counts.update(differ.counts)
        if failed and not args.keep_going:
            break
    print(f"seed {args.seed}: {dict(counts)}, failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except config.Missing as missing:
        sys.exit(f"skipped: {missing}")
