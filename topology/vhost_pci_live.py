# SPDX-License-Identifier: Apache-2.0
"""What the links of a description do now, as each VM's Open vSwitch says.

Both of its languages are JSON-RPC 1.0 over a stream: OVSDB's (RFC 7047), which
knows the ports and their state, and that of ovs-appctl, which has counters of
this moment and what the driver of a vhostpci port steers.  Only Python's own
library is needed.
"""
import json
import re
import socket
import sys
import time
from dataclasses import dataclass, field

SECONDS = 5          # for one answer
LONGEST = 16 << 20   # bytes of one answer
COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped",
            "tx_dropped")
COLUMNS = ("name", "type", "link_state", "error", "statistics")


class Silent(Exception):
    """A VM that does not answer, or not in its language."""


def parse_target(target):
    """unix:PATH or tcp:HOST:PORT, as Open vSwitch writes them."""
    kind, _, rest = target.partition(":")
    host, _, port = rest.rpartition(":")
    if kind == "unix" and rest:
        return socket.AF_UNIX, rest
    if kind == "tcp" and host and port.isdigit() and int(port) < 65536:
        return socket.AF_INET, (host, int(port))
    raise ValueError(f"{target!r} is neither unix:PATH nor tcp:HOST:PORT")


def call(target, method, *params):
    """One request, on a connection of its own; returns its result."""
    family, address = parse_target(target)
    try:
        with socket.socket(family) as stream:
            stream.settimeout(SECONDS)
            stream.connect(address)
            stream.sendall(json.dumps({"method": method, "params": params,
                                       "id": 0}).encode())
            answer = _read(stream)
    except (OSError, ValueError) as error:
        raise Silent(f"{target}: {error}") from error
    if answer.get("error") is not None:
        raise Silent(f"{target}: {method}: {answer['error']}")
    return answer.get("result")


def _read(stream):
    """The answer; a server's own requests (echo) may come before it."""
    decoder, text, raw = json.JSONDecoder(), "", b""
    until = time.monotonic() + SECONDS
    while len(raw) < LONGEST and time.monotonic() < until:
        data = stream.recv(1 << 16)
        if not data:
            raise ValueError("it closed the connection")
        raw += data
        if not data.rstrip().endswith(b"}"):
            continue
        text = raw.decode("utf-8", "replace").lstrip()
        while text:
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest is to come
            text = text[end:].lstrip()
            if isinstance(message, dict) and message.get("id") == 0 \
                    and "result" in message:
                return message
    raise ValueError("no answer, or an answer that is too long")


@dataclass
class Port:
    kind: str = ""
    state: str = "down"
    error: str = ""
    counters: dict = field(default_factory=dict)
    steered: int = None  # packets that came in and went on in the driver


@dataclass
class Sample:
    """What one VM's Open vSwitch said."""
    when: float = 0
    ports: dict = field(default_factory=dict)
    silent: str = ""


def sample(ovsdb, unixctl):
    """unixctl may be None: the database's counters are some seconds old."""
    try:
        ports = {row["name"]: _port(row) for row in _interfaces(ovsdb)}
        if unixctl:
            _refresh(ports, unixctl)
    except (Silent, KeyError, TypeError, ValueError) as error:
        return Sample(silent=str(error) or repr(error))
    return Sample(time.monotonic(), ports)


def _interfaces(ovsdb):
    result = call(ovsdb, "transact", "Open_vSwitch", {
        "op": "select", "table": "Interface", "where": [],
        "columns": list(COLUMNS)})
    if not isinstance(result[0], dict) or "rows" not in result[0]:
        raise Silent(f"{ovsdb}: {result[0]}")
    return result[0]["rows"]


def _port(row):
    def optional(name):
        return row[name] if isinstance(row[name], str) else ""
    return Port(row["type"], optional("link_state") or "down",
                optional("error"), dict(row["statistics"][1]))


def _refresh(ports, unixctl):
    """Counters of this moment in place of the database's."""
    text = call(unixctl, "dpctl/show", "-s")
    for name, block in re.findall(r"^ +port \d+: (\S+)(.*(?:\n    .*)*)", text,
                                  re.M):
        if name in ports:
            for way in ("rx", "tx"):
                found = re.search(rf"{way.upper()} packets:(\d+) errors:\S+ "
                                  r"dropped:(\d+)", block)
                octets = re.search(rf"{way.upper()} bytes:(\d+)", block)
                if found and octets:
                    ports[name].counters.update({
                        f"{way}_packets": int(found[1]),
                        f"{way}_dropped": int(found[2]),
                        f"{way}_bytes": int(octets[1])})
    for name, port in ports.items():
        if port.kind == "vhostpci" and not port.error:
            shown = call(unixctl, "vhostpci/show", name)
            port.steered = sum(map(int, re.findall(
                r"rx_ring\d+_steered\W+(\d+)", shown)))


@dataclass
class Way:
    """One direction of a link, per second; None: not known."""
    source: str
    target: str
    packets: float = None
    bits: float = None
    drops: float = None
    steered: float = None  # share of packets


@dataclass
class Link:
    one: str    # has the vhostpci port
    other: str
    state: str  # "up", or what is wrong
    ways: tuple


class Live:
    """net: a Topology.  targets: {name: (ovsdb, unixctl)}."""

    def __init__(self, net, targets):
        self.net, self.targets = net, targets
        self.before = {}
        self.now = {}

    def look(self):
        self.before, self.now = self.now, {
            name: sample(*targets) for name, targets in self.targets.items()}
        return self

    def links(self):
        for link in self.net.links.values():
            one, other = link.server.name, link.user.name
            wrong = [text for text in (self._wrong(one, other),
                                       self._wrong(other, one)) if text]
            # The device's end counts both ways, and alone what it steers.
            near = self._rates(one, other)
            far = self._rates(other, one)
            there = near.get("rx") or far.get("tx") or {}
            back = near.get("tx") or far.get("rx") or {}
            yield Link(one, other, "; ".join(wrong) or "up", (
                Way(other, one, **there), Way(one, other, **back)))

    def _wrong(self, at, port):
        """What is wrong with a port at one end, or nothing."""
        if at not in self.targets:
            return ""  # nobody to ask, as in a VM that is no switch
        now = self.now[at]
        if now.silent:
            return f"{at} is silent"
        if port not in now.ports:
            return f"{at} has no port {port}"
        found = now.ports[port]
        if found.error:
            return f"{at}: {found.error}"
        return "" if found.state == "up" else f"{found.state} at {at}"

    def _rates(self, at, port):
        """{"rx": {...}, "tx": {...}} of a port, or {}."""
        then, now = self.before.get(at), self.now.get(at)
        if not (then and now and port in then.ports and port in now.ports):
            return {}
        seconds = now.when - then.when
        old, new = then.ports[port], now.ports[port]
        grown = {name: new.counters.get(name, 0) - old.counters.get(name, 0)
                 for name in COUNTERS}
        if seconds <= 0 or min(grown.values()) < 0:
            return {}  # Open vSwitch started again
        rates = {way: {"packets": grown[f"{way}_packets"] / seconds,
                       "bits": 8 * grown[f"{way}_bytes"] / seconds,
                       "drops": grown[f"{way}_dropped"] / seconds}
                 for way in ("rx", "tx")}
        if new.steered is not None and old.steered is not None:
            moved, came = new.steered - old.steered, grown["rx_packets"]
            if moved >= 0 and came > 0:
                rates["rx"]["steered"] = min(1, moved / came)
        return rates

    # What is shown.

    def text(self):
        yield (f"{'link':<24}{'state':<8}{'packets/s':>12}{'Mbit/s':>10}"
               f"{'drops/s':>10}{'steered':>10}")
        for link in self.links():
            state = "up" if link.state == "up" else "DOWN"
            for way in link.ways:
                yield (f"{way.source + ' -> ' + way.target:<24}{state:<8}"
                       f"{number(way.packets):>12}"
                       f"{number(way.bits, 1e6, 2):>10}"
                       f"{number(way.drops):>10}{share(way.steered):>10}")
            if link.state != "up":
                yield f"    {link.state}"
        for name, now in self.now.items():
            if now.silent:
                yield f"{name}: {now.silent}"

    def all_up(self):
        return all(link.state == "up" for link in self.links())

    def dot(self):
        """For each direction an arrow, as wide as its rate has digits."""
        yield "digraph live {"
        yield "  node [shape=box, style=rounded, fontname=sans];"
        yield "  edge [fontname=sans, fontsize=10];"
        for name, vm in self.net.vms.items():
            silent = name in self.now and self.now[name].silent
            yield (f'  "{name}" [label="{name}\\n{vm.workload}"'
                   f'{", color=red, fontcolor=red" if silent else ""}];')
        for link in self.links():
            for way in link.ways:
                if link.state != "up":
                    look = 'color=red, style=dashed, label="down"'
                else:
                    digits = len(str(int(way.packets or 0)))
                    look = (f'penwidth={digits}, label="'
                            f'{number(way.packets)}/s, '
                            f'{number(way.bits, 1e6, 2)} Mbit/s')
                    if way.drops:
                        look += f'\\n{number(way.drops)} drops/s'
                    if way.steered is not None:
                        look += f'\\n{share(way.steered)} steered'
                    look += '"' + (", fontcolor=red" if way.drops else "")
                yield f'  "{way.source}" -> "{way.target}" [{look}];'
        yield "}"


def number(value, unit=1, digits=0):
    return "-" if value is None else f"{value / unit:.{digits}f}"


def share(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def run(net, targets, interval, count, draw=None):
    """Reports, `count` of them or until interrupted; returns the exit status.
    draw: called with the lines of each picture."""
    live, done = Live(net, targets).look(), 0
    clear = "\033[H\033[2J" if sys.stdout.isatty() and count != 1 else ""
    try:
        while count is None or done < count:
            time.sleep(interval)
            live.look()
            print(clear + "\n".join(live.text()), flush=True)
            if draw:
                draw(live.dot())
            done += 1
    except KeyboardInterrupt:
        pass
    return 0 if live.all_up() else 2
