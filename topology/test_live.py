# SPDX-License-Identifier: Apache-2.0
"""--live: what is shown follows from what servers answer, however they do.
tests/native/test_live.py asks real ones."""
import json
import socket
import sys
import threading
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import vhost_pci_live as live  # noqa: E402
from test_topology import made, run  # noqa: E402


class Server:
    """Answers each connection with what `answer` makes of the request, piece
    by piece; None closes it."""

    def __init__(self, path, answer):
        self.answer, self.target = answer, f"unix:{path}"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                stream = self.socket.accept()[0]
            except OSError:
                return
            with stream:
                request = json.loads(stream.recv(1 << 16))
                try:
                    for piece in self.answer(request):
                        stream.sendall(piece)
                except OSError:
                    pass  # the client had enough


@pytest.fixture
def serve(tmp_path):
    servers = []

    def make(answer):
        servers.append(Server(tmp_path / f"{len(servers)}.sock", answer))
        return servers[-1].target
    yield make
    for server in servers:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()


def reply(result, error=None):
    return json.dumps({"id": 0, "result": result, "error": error}).encode()


ECHO = b'{"method":"echo","params":[],"id":"echo"}'


@pytest.mark.parametrize("pieces", [
    [reply("yes")], [ECHO, reply("yes")], [ECHO + b"\n" + reply("yes")],
    [bytes([b]) for b in reply("yes")],
    [reply({"a": "}", "b": "ye"})[:12], reply({"a": "}", "b": "ye"})[12:]]])
def test_an_answer_is_read_however_it_comes(serve, pieces):
    assert live.call(serve(lambda _: pieces), "x") in (
        "yes", {"a": "}", "b": "ye"})


@pytest.mark.parametrize("pieces,said", [
    ([], "closed the connection"), ([b"{"], "closed the connection"),
    ([reply(None, "no such thing")], "no such thing"),
    ([b"[]}"], "closed the connection")])
def test_no_answer_is_said(serve, pieces, said):
    target = serve(lambda _: pieces)
    with pytest.raises(live.Silent, match=said) as wrong:
        live.call(target, "x")
    assert target in str(wrong.value)


def test_a_server_that_never_ends_is_left(serve, monkeypatch):
    monkeypatch.setattr(live, "LONGEST", 1 << 20)

    def endless(_):
        while True:
            yield b" " * 65536
    target = serve(endless)
    with pytest.raises(live.Silent, match="too long"):
        live.call(target, "x")


@pytest.mark.parametrize("target", ["", "a", "unix:", "tcp:1", "tcp:h:x",
                                    "tcp:h:70000", "ssl:h:1"])
def test_a_target_of_no_known_form_is_refused(target):
    with pytest.raises(ValueError, match="neither unix:PATH nor tcp"):
        live.parse_target(target)


def port(steered=None, state="up", **counters):
    return live.Port("vhostpci", state, "", counters, steered)


def seen(then, now, seconds=2):
    """Two looks at VM a of a link a-b."""
    found = live.Live(made(vms=dict.fromkeys("ab"), links=["a-b"]),
                      {"a": (None, None)})
    found.before = {"a": live.Sample(10, {"b": then})}
    found.now = {"a": live.Sample(10 + seconds, {"b": now})}
    return found


def test_rates_are_differences_by_time():
    link, = seen(
        port(100, rx_packets=1000, rx_bytes=10000, tx_packets=7, tx_dropped=1),
        port(175, rx_packets=1100, rx_bytes=30000, tx_packets=9, tx_dropped=5)
    ).links()
    there, back = link.ways
    assert (there.source, there.target) == ("b", "a")
    assert (there.packets, there.bits, there.drops) == (50, 80000, 0)
    assert there.steered == 0.75
    assert (back.packets, back.drops, back.steered) == (1, 2, None)


@pytest.mark.parametrize("then,now", [
    (port(rx_packets=10), port(rx_packets=1)),  # it started again
    (port(), port(state="down"))])
def test_no_rate_is_shown_where_there_is_none(then, now):
    link, = seen(then, now).links()
    assert link.ways[0].packets in (None, 0)
    assert link.ways[0].steered is None


@pytest.mark.parametrize("sample,said", [
    (live.Sample(silent="unix:x: refused"), "a is silent"),
    (live.Sample(1, {}), "a has no port b"),
    (live.Sample(1, {"b": live.Port(error="no such device")}),
     "a: no such device"),
    (live.Sample(1, {"b": port(state="down")}), "down at a")])
def test_what_is_wrong_with_a_link_is_said_in_text_and_picture(sample, said):
    found = seen(port(), port())
    assert found.all_up()
    found.now["a"] = sample
    text = "\n".join(found.text())
    assert said in text and "DOWN" in text and not found.all_up()
    assert "\n".join(found.dot()).count('color=red, style=dashed') == 2


def test_targets_come_from_the_file_or_the_command_line(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text("vms: {a: {ovsdb: 'tcp:nowhere'}, b: }\nlinks: [a-b]\n")
    done = run(file, "--live", "--count", 1)
    assert done.returncode == 1 and "'tcp:nowhere' is neither" in done.stderr
    done = run(file, "--live", "--count", 1, "--interval", "0.1",
               "--ovsdb", f"a=unix:{tmp_path}/none.sock")
    assert done.returncode == 2 and "a is silent" in done.stdout, done.stderr
    done = run(file, "--live", "--ovsdb", "c=unix:/x")
    assert done.returncode == 1 and "there is no VM c" in done.stderr
