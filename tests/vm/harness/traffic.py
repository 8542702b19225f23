# SPDX-License-Identifier: Apache-2.0
"""Traffic between two guests, each with a verdict that can be wrong."""
import contextlib
import json
import re

from .procs import wait_until

SMALLEST_PING = 28  # IP and ICMP headers


def ping(a, b, count=3, seconds=20):
    """Ping b from a until `count` answers came; returns the mean in ms."""
    done = a.run(f"ping -c {count} -i 0.2 -W 5 {b.address}", seconds)
    match = re.search(r"(\d+) packets received", done.stdout)
    if not match or int(match.group(1)) != count:
        raise AssertionError(f"ping {a.name} -> {b.name}: {done}")
    return float(re.search(r"= [\d.]+/([\d.]+)/", done.stdout).group(1))


def reachable(a, b):
    """One ping, answered or not."""
    return a.run(f"ping -c 1 -W 1 {b.address}", 15).code == 0


def wait_reachable(a, b, seconds=30):
    wait_until(lambda: reachable(a, b), seconds,
               f"{a.name} reaches {b.name}")


@contextlib.contextmanager
def pinging(a, b, inside=""):
    """Ping b from a while the body runs; yields a function that says how many
    answers came by now.  inside: what comes before the command."""
    command = a.start_command(f"exec {inside}ping -i 0.1 {b.address}")
    try:
        yield lambda: command.stdout.count(" bytes from ")
    finally:
        command.signal(2)
        command.wait(10)


def every_size(a, b, mtu, first=SMALLEST_PING, seconds=120):
    """A don't-fragment ping of every IP packet size up to the MTU, payload
    compared; and the next size must be refused, or the MTU was not tested."""
    done = a.run(f"dfping {b.address} {first} {mtu}", seconds).check()
    values = _values(done.stdout)
    assert values["sizes"] == mtu - first + 1 == values["answered"], values
    assert values["corrupted"] == 0, values
    too_long = a.run(f"dfping {b.address} {mtu + 1} {mtu + 1}", 20)
    assert too_long.code == 3, f"MTU {mtu} is not the limit: {too_long}"
    return values


def iperf3(client, server, *, udp=False, reverse=False, seconds=3, rate="10M",
           port=5201, patience=10, options=""):
    """Run iperf3; returns bits per second that arrived (and, for UDP, the
    fraction lost) as a dictionary."""
    listener = server.start_command(f"iperf3 -s -1 -p {port} -B "
                                    f"{server.address} --forceflush")
    listener.wait_output("listening", 20)
    command = (f"iperf3 -J -c {server.address} -p {port} -t {seconds} "
               f"--connect-timeout {patience * 1000} {options}")
    if udp:
        command += f" -u -b {rate} -l 1400"
    if reverse:
        command += " -R"
    try:
        done = client.run(command, seconds + 60).check()
    finally:
        # A client that never got through leaves the server waiting.
        with contextlib.suppress(AssertionError):
            listener.wait(3)
    end = json.loads(done.stdout).get("end", {})
    received = end.get("sum_received") or end.get("sum")
    if not received:
        raise AssertionError(f"iperf3 {client.name} -> {server.name}: {done}")
    result = {"bits_per_second": received["bits_per_second"],
              "bytes": received["bytes"]}
    if udp:
        total = end["sum"]
        result["lost"] = total["lost_packets"]
        result["packets"] = total["packets"]
    assert result["bits_per_second"] > 0, done
    return result


def send_file(sender, receiver, mib, port=7000, seconds=240):
    """Send a file of that many MiB over TCP.  Both ends compute the checksum
    as the bytes pass, so neither needs the memory for a copy (a peer of
    128 MiB has none).  Returns ((sender's, receiver's checksum), bytes).

    The file is a block of random bytes again and again, each numbered: random
    bytes for all of it, or a stronger checksum, would take most of the time
    under emulation."""
    block = (1 << 20) - 8
    sender.sh(f"dd if=/dev/urandom of=/run/block bs={block} count=1 "
              "2>/dev/null && { mkfifo /run/out 2>/dev/null; true; }")
    # The listener's nc keeps its stdin: at the end of that it would close the
    # connection, and the sender's nc would stop half-way.
    listener = receiver.start_command(
        "mkfifo /run/in 2>/dev/null; md5sum < /run/in > /run/in.sum & "
        f"nc -l -p {port} | tee /run/in | wc -c; wait; cat /run/in.sum")
    wait_listening(receiver, port)
    sent = sender.start_command(
        "md5sum < /run/out > /run/out.sum & "
        f"i=0; while [ $i -lt {mib} ]; do i=$((i+1)); printf %8d $i; "
        f"cat /run/block; done | tee /run/out | "
        f"nc {receiver.address} {port}; wait; cat /run/out.sum")
    size, received = listener.wait(seconds).check().stdout.split()[:2]
    digest = sent.wait(60).check().stdout.split()[0]
    return (digest, received), int(size)


def wait_listening(vm, port):
    """Until a TCP socket of the guest listens on the port."""
    vm.sh(f"i=0; until grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp; "
          "do i=$((i+1)); [ $i -lt 500 ] || exit 1; usleep 20000; done")


def raw_frames(a, b, count=5000, sizes=(60, 1514), seconds=240):
    """Numbered, checksummed Ethernet frames from a to b, and back.  None may
    be lost, reordered, duplicated or changed; returns the counts of both.
    Each end stays on one CPU, and so with one of its queue pairs: there is no
    order between two."""
    echo = b.start_command(f"exec taskset 1 rawseq echo {b.interface}")
    echo.wait_output("ready", 20)
    try:
        done = a.run(f"taskset 1 rawseq send {a.interface} {b.mac} {count} "
                     f"{sizes[0]} {sizes[1]}", seconds)
    finally:
        echo.signal(15)
        echo.wait(20)
    there, back = _values(echo.stdout), _values(done.stdout)
    for counts in (there, back):
        assert counts.get("received") == counts.get("total") == count, \
            f"{there} {back} {done}"
        for wrong in ("lost", "reordered", "duplicated", "corrupted"):
            assert counts[wrong] == 0, (there, back)
    done.check()
    return there, back


def single_frames(vm, count, cpu=0, seconds=120):
    """As raw_frames(), but to whatever echoes them at the other end of the
    link, and the next is sent when the last is back."""
    done = vm.run(f"taskset {1 << cpu} rawseq send {vm.interface} "
                  f"02:00:00:00:00:fe {count} 60 1514 1", seconds)
    counts = _values(done.stdout)
    assert counts.get("received") == count, done
    done.check()


def frames_of_every_size(a, b, mtu):
    """raw_frames() of each size up to the MTU, once."""
    header, smallest = 14, 60
    return raw_frames(a, b, mtu + header - smallest + 1,
                      (smallest, mtu + header))


@contextlib.contextmanager
def tcp_stall(a, b, port=9100):
    """A TCP stream of small records from a to b while the body runs;
    afterwards the yielded dictionary has `stall`, the longest time without
    one, and `lag`, the longest times by which the two guests themselves ran
    late, together (milliseconds)."""
    counts = {}
    receiver = b.start_command(f"exec tcpstall recv {port}")
    receiver.wait_output("ready", 20)
    sender = a.start_command(f"exec tcpstall send {b.address} {port}")
    try:
        sender.wait_output("connected", 20)
    except AssertionError:
        receiver.signal(9)  # the next test wants its port
        raise
    try:
        yield counts
    finally:
        sender.close_stdin()
        sent = _values(sender.wait(40).check().stdout)
        counts.update(_values(receiver.wait(40).check().stdout))
        counts["sent"] = sent["bytes"]
        counts["lag"] += sent["lag"]


@contextlib.contextmanager
def numbered_stream(a, b, rate=200, port=9000, gap=0):
    """Numbered packets from a to b while the body runs; afterwards the
    yielded dictionary has the counts of both ends.  With `gap`, its
    "receiver" says at once when a packet ends so many milliseconds without."""
    receiver = b.start_command(f"seqstream recv {port} {gap}")
    counts = {"receiver": receiver} if gap else {}
    receiver.wait_output("ready", 20)
    sender = a.start_command(f"seqstream send {b.address} {port} {rate}")
    try:
        yield counts
    finally:
        sender.close_stdin()
        sender.wait(40)
        receiver.wait(60)
        counts.update(_values(sender.check().stdout))
        counts.update(_values(receiver.stdout))


def _values(text):
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text)}
