# SPDX-License-Identifier: Apache-2.0
"""One way, from a generator through the switch into a sink: at full speed, with
losses counted; and one packet at a time, for latency."""
from loop import FAILURES, UNIT, Lost, add_found, grid, patiently, run_grid
from machine import sets
from rigs import Layout, PortPeers, PortSwitch, active, check_layouts

TRIPS = 10000
LATENCY_SIZES = (64, 1514)


def _latency_cases():
    return {f"latency-{which}-{'packed-' if packed else ''}{size}-{where}":
            (where, Layout(packed, True), (which, size))
            for where in ("ovs", "pmd") for packed in (False, True)
            for size in LATENCY_SIZES for which in ("p50", "p99")}


def cases():
    return {**grid("oneway"), **_latency_cases()}


def _one_way(who, size, options):
    """Returns the switch's cycles per packet, and the counts of the peers."""
    def take():
        with active(who):
            who.switch.clear()
            told = who.peers.oneway(who.kind, 0 if size == "imix" else size,
                                    options.seconds)
            reading = who.switch.read()
        reading = reading or who.switch.reading()
        # The cycles of a burst are counted after its packets.
        return (min(told["received"], reading.packets, reading.cycles),
                (told, reading))

    told, reading = patiently(take)
    if not told["received"] or not reading.packets:
        raise Lost("no packet arrives")
    return reading.cycles / reading.packets, told


def _measure_one_way(contenders, size, options):
    told = {}

    def take(i):
        values = {}
        for name in list(contenders)[::-1 if i % 2 else 1]:
            values[name], counts = _one_way(contenders[name], size, options)
            sums = told.setdefault(name, {})
            for key, value in counts.items():
                sums[key] = sums.get(key, 0) + value
        return values
    found = sets(take, options)
    notes = {"loss": {n: round(1 - t["received"] / t["sent"], 6)
                      for n, t in told.items()},
             "mpps": {n: round(t["received"] / t["seconds"] / 1e6, 3)
                      for n, t in told.items()}}
    return found, notes


class _Trips:
    """Latencies.  p50 and p99 come from the same rounds: the rounds of one are
    kept for the other."""

    def __init__(self, options):
        self.options, self.kept = options, {}

    def _take(self, contenders, size, i):
        values = {}
        for name in list(contenders)[::-1 if i % 2 else 1]:
            who = contenders[name]
            with active(who):
                told = who.peers.latency(who.kind, size, TRIPS)
            if told["lost"]:
                raise Lost(f"{name}: {told['lost']:.0f} packets were lost")
            values[name] = told
        return values

    def measure(self, which, size, contenders):
        key = (size, contenders["vhostpci"].peers)
        if key not in self.kept:
            self.kept = {key: sets(
                lambda i: self._take(contenders, size, i), self.options)}
        return {where: {name: [told[which] for told in values]
                        for name, values in found.items()}
                for where, found in self.kept[key].items()}


def run(wanted, results, options):
    trips = _Trips(options)

    def one_case(name, what, contenders):
        latency = name.startswith("latency")
        unit = "cycles" if latency else UNIT
        notes = {}
        try:
            check_layouts(contenders)
            if latency:
                found = trips.measure(*what, contenders)
            else:
                found, notes = _measure_one_way(contenders, what, options)
            add_found(results, name, unit, found, **notes)
        except FAILURES as why:
            results.fail(name, unit, why)

    run_grid(wanted, cases(), results, options, one_case, PortSwitch, PortPeers)
