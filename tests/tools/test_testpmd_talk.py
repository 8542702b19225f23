# SPDX-License-Identifier: Apache-2.0
"""harness/talk.py, with which tests talk to testpmd, must find answers even if
a log line of another thread interrupts the echo of a line, or the prompt."""
import subprocess
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "vm"), str(TESTS / "native")]

import testpmd as native  # noqa: E402
from harness import config, testpmd as guest  # noqa: E402
from harness.procs import Late  # noqa: E402

LOG = "net_vpci: link of port 0: up"

# A program that, like librte_cmdline, writes single characters.  It writes a
# log line, as another thread could, at the worst moments: in the middle of each
# echo and of each prompt.
FAKE = f"""#!{sys.executable}
import os, re, sys, termios

def put(text):
    at = len(text) // 2
    for part in (text[:at], "\\n{LOG}\\n", text[at:]):
        for c in part if part[1:5] != "net_" else [part]:
            os.write(1, c.encode())

def say(text):
    os.write(1, text.encode())

def answer(line):
    info = re.fullmatch("show port info ([0-9]+)", line)
    if info and int(info[1]) > 9:
        say(f"Invalid port {{info[1]}}\\nThe valid ports array is [ 0 ]\\n")
    elif info:
        say("\\n*** Infos for port 0 ***\\nLink status: up\\nMTU: 1500\\n")
    elif line.startswith("show port xstats"):
        say("###### NIC extended statistics for port 0 \\n"
            "rx_good_packets: 12\\ntx_q0_errors: 3\\n")
    elif line == "hang":
        sys.stdin.read()
    elif line == "die":
        sys.exit(3)

if os.isatty(0):
    mode = termios.tcgetattr(0)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(0, termios.TCSANOW, mode)
line = ""
put("testpmd> ")
while c := os.read(0, 1).decode():
    line += c
    if c != "\\n":
        continue
    put(line)
    if line == "quit\\n":
        break
    answer(line.strip())
    line = ""
    put("testpmd> ")
say("\\nBye...\\n")
"""


class Command:
    """Like Command of harness/agent.py, but runs on this machine."""

    def __init__(self, text):
        self.process = subprocess.Popen(
            ["sh", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.out, self.status = bytearray(), None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while data := self.process.stdout.read1():
            self.out += data
        self.status = self.process.wait()

    @property
    def stdout(self):
        return self.out.decode(errors="replace")

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, seconds):
        self.process.wait(seconds * config.TIME_SCALE)


class Here:
    """This machine in place of a switch VM."""
    start_command = staticmethod(Command)

    @staticmethod
    def state():
        return "the state of the machine"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    program = tmp_path / "dpdk-testpmd"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(native.Testpmd, "logs", tmp_path)


@pytest.fixture(params=["guest", "native"])
def pmd(request, fake):
    if request.param == "guest":
        made = guest.Testpmd(Here)
        yield made
        made.command.process.kill()
        made.command.process.wait()
    else:
        made = native.Testpmd("fake", [])
        yield made
        made.close()


def test_answers_are_found_with_log_lines_in_echo_and_prompt(pmd):
    for _ in range(3):
        assert pmd.link_up(0)
        answer = pmd.said("show port info 0")
        # The log line must interrupt the echo, or this test shows nothing.
        assert "show port info 0" not in answer and LOG in answer
        assert "MTU: 1500\n" in answer and "Invalid" not in answer
        assert pmd.xstats(0) == {"rx_good_packets": 12, "tx_q0_errors": 3}


def test_an_answer_is_not_the_one_before(pmd):
    assert "Link status: up" in pmd.said("show port info 0")
    assert "Link status" not in pmd.said("nothing")


def test_who_ends_is_told_with_its_last_words(pmd):
    with pytest.raises(AssertionError, match="(?s)ended.*Link status: up"):
        pmd.said("show port info 0\ndie")
    with pytest.raises(AssertionError, match="ended"):
        pmd.said("show port info 0")


def test_who_hangs_is_late(pmd):
    with pytest.raises(Late, match="(?s)answers 'hang'.*link of port 0") \
            as late:
        pmd.said("hang", 0.3)
    assert str(late.value).endswith(pmd.where())


def test_quit_is_seen(fake):
    guest.Testpmd(Here).quit()
