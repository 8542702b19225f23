# SPDX-License-Identifier: Apache-2.0
"""Runs commands and opens consoles in VMs that another process keeps running.

The process that keeps the VMs writes a small state file with the paths of the
sockets.  It serves one Unix socket, through which `run_in` runs commands.  The
consoles are sockets of QEMU, so `console` talks to the guest's shell directly.
"""
import json
import os
import select
import socket
import sys
import termios
import threading
import tty

DETACH = b"\x1d"  # Ctrl-]


def serve(net, state_path):
    """Start to answer run_in(); returns a function that stops answering."""
    path = net.rundir / "control"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    state = {"control": str(path),
             "consoles": {vm.name: str(vm.socket_path("console"))
                          for vm in net.vms.values()}}
    state_path.write_text(json.dumps(state, indent=1) + "\n")

    def loop():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=_answer, args=(net, client),
                             daemon=True).start()

    def end():
        state_path.unlink(missing_ok=True)
        listener.close()
    threading.Thread(target=loop, daemon=True).start()
    return end


def _answer(net, client):
    with client, client.makefile("rw") as channel:
        name, command, seconds = json.loads(channel.readline())
        try:
            done = net.vms[name].run(command, seconds)
            answer = [done.stdout, done.stderr, done.code]
        except (AssertionError, KeyError) as error:
            answer = ["", f"{error}\n", 1]
        channel.write(json.dumps(answer) + "\n")


def _state(state_path):
    try:
        return json.loads(state_path.read_text())
    except OSError:
        raise SystemExit(
            "nothing is running (start it with: quickstart demo --keep)")


def run_in(state_path, name, command, seconds=60):
    """Run a command in a kept VM; returns the command's exit code."""
    state = _state(state_path)
    if name not in state["consoles"]:
        raise SystemExit(f"no VM is named {name}: there are "
                         + ", ".join(state["consoles"]))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(state["control"])
        with s.makefile("rw") as channel:
            channel.write(json.dumps([name, command, seconds]) + "\n")
            channel.flush()
            out, err, code = json.loads(channel.readline())
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


def console(state_path, name):
    """Connect this terminal to a guest's console until Ctrl-] is typed."""
    path = _state(state_path)["consoles"].get(name)
    if not path:
        raise SystemExit(f"no VM is named {name}")
    if not sys.stdin.isatty():
        raise SystemExit("a console needs a terminal")
    print(f"console of {name}; Ctrl-] leaves it", flush=True)
    before = termios.tcgetattr(0)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"\r")
        tty.setraw(0)
        try:
            _join(s)
        finally:
            termios.tcsetattr(0, termios.TCSANOW, before)
            print()
    return 0


def _join(s):
    while True:
        for ready in select.select([0, s], [], [])[0]:
            if ready == 0:
                typed = os.read(0, 1024)
                if not typed or DETACH in typed:
                    return
                s.sendall(typed)
            else:
                shown = s.recv(4096)
                if not shown:
                    return
                os.write(1, shown)
