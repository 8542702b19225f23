# SPDX-License-Identifier: Apache-2.0
"""Traffic between two guests.  Each function checks its own result."""
import contextlib
import json
import re

from .procs import wait_until

SMALLEST_PING = 28  # bytes of the IP and ICMP headers


def ping(a, b, count=3, seconds=20):
    """Ping b from a `count` times; all must be answered; returns the mean round
    trip in ms."""
    done = a.run(f"ping -c {count} -i 0.2 -W 5 {b.address}", seconds)
    match = re.search(r"(\d+) packets received", done.stdout)
    if not match or int(match.group(1)) != count:
        raise AssertionError(f"ping {a.name} -> {b.name}: {done}")
    return float(re.search(r"= [\d.]+/([\d.]+)/", done.stdout).group(1))


def reachable(a, b):
    """Ping b from a once; returns whether b answered."""
    return a.run(f"ping -c 1 -W 1 {b.address}", 15).code == 0


def wait_reachable(a, b, seconds=30):
    wait_until(lambda: reachable(a, b), seconds,
               f"{a.name} reaches {b.name}")


@contextlib.contextmanager
def pinging(a, b, inside=""):
    """Ping b from a while the body runs.  Yields a function that returns how
    many answers have come.  `inside`: words in front of the command."""
    command = a.start_command(f"exec {inside}ping -i 0.1 {b.address}")
    try:
        yield lambda: command.stdout.count(" bytes from ")
    finally:
        command.signal(2)
        command.wait(10)


def every_size(a, b, mtu, first=SMALLEST_PING, seconds=120):
    """Ping once with every IP packet size up to the MTU, with don't-fragment
    set, and compare the payloads.  The next larger size must be refused, which
    shows that `mtu` really is the limit."""
    done = a.run(f"dfping {b.address} {first} {mtu}", seconds).check()
    values = _values(done.stdout)
    assert values["sizes"] == mtu - first + 1 == values["answered"], values
    assert values["corrupted"] == 0, values
    too_long = a.run(f"dfping {b.address} {mtu + 1} {mtu + 1}", 20)
    assert too_long.code == 3, f"MTU {mtu} is not the limit: {too_long}"
    return values


def iperf3(client, server, *, udp=False, reverse=False, seconds=3, rate="10M",
           port=5201, patience=10, options=""):
    """Run iperf3.  Returns a dictionary: the received bits per second and
    bytes; for UDP also the numbers of packets and of lost packets."""
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
        # If the client has not reached the server, the server still waits.
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
    """Send a file of `mib` MiB over TCP.  Both ends compute the checksum while
    the bytes pass, so neither end stores the file: a peer of 128 MiB lacks the
    memory.  Returns ((sender's, receiver's checksum), bytes).

    The file repeats one block of random bytes, each time with a new number in
    front.  Random bytes for the whole file, or a stronger checksum, would take
    most of the time under emulation."""
    block = (1 << 20) - 8
    sender.sh(f"dd if=/dev/urandom of=/run/block bs={block} count=1 "
              "2>/dev/null && { mkfifo /run/out 2>/dev/null; true; }")
    # The receiver's nc gets a stdin that stays open: at the end of its stdin nc
    # would close the connection, and the sender's nc would stop half-way.
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
    """Wait until a TCP socket of the guest listens on the port."""
    vm.sh(f"i=0; until grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp; "
          "do i=$((i+1)); [ $i -lt 500 ] || exit 1; usleep 20000; done")


def raw_frames(a, b, count=5000, sizes=(60, 1514), seconds=240):
    """Send numbered, checksummed Ethernet frames from a to b, which sends them
    back.  None may be lost, reordered, duplicated or changed; returns the
    counts of both ways.  Each end runs on one CPU, and so uses one queue pair:
    frames of two queue pairs have no order."""
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
    """As raw_frames(), but the program that drives the other end of the link
    sends the frames back, and a frame is sent when the last one is back."""
    done = vm.run(f"taskset {1 << cpu} rawseq send {vm.interface} "
                  f"02:00:00:00:00:fe {count} 60 1514 1", seconds)
    counts = _values(done.stdout)
    assert counts.get("received") == count, done
    done.check()


def frames_of_every_size(a, b, mtu):
    """raw_frames() with one frame of each size up to the MTU."""
    header, smallest = 14, 60
    return raw_frames(a, b, mtu + header - smallest + 1,
                      (smallest, mtu + header))


@contextlib.contextmanager
def tcp_stall(a, b, port=9100):
    """A TCP stream of small records from a to b while the body runs.
    Afterwards the yielded dictionary has, in milliseconds, `stall`, the longest
    time without a record, and `lag`: for each guest the longest time by which
    the guest itself ran late; the sum of both."""
    counts = {}
    receiver = b.start_command(f"exec tcpstall recv {port}")
    receiver.wait_output("ready", 20)
    sender = a.start_command(f"exec tcpstall send {b.address} {port}")
    try:
        sender.wait_output("connected", 20)
    except AssertionError:
        receiver.signal(9)  # the next test needs the port
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
    """Numbered packets from a to b while the body runs.  Afterwards the yielded
    dictionary has the counts of both ends.  With `gap`, its "receiver", a
    Command, prints a line at once when a packet comes after a gap of at least
    `gap` milliseconds."""
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
