# SPDX-License-Identifier: Apache-2.0
"""Some cases of the differential test of steering (steering_diff.py): steered
and unsteered ports do the same. `make check-steering-diff` runs many more."""
import random

import diff_frames
import diff_offloads
import pytest
from steering_diff import (
    CONFIGS,
    DATAPATH,
    Case,
    Different,
    Differ,
    run_case,
)
from steering_rig import started

SEED = 9
CASES = {"split": 30, "packed": 16, "mixed": 16, "offloads": 16, "unlike": 16}


@pytest.fixture(scope="module", params=CASES)
def each(request):
    """A Differ of each configuration."""
    if request.param == "split":
        yield request.getfixturevalue("differ")
    else:
        yield from started(lambda: Differ(request.param))


@pytest.fixture(scope="module")
def differ():
    yield from started(Differ)


def fixed_case(table, plain_table):
    """A case with one rule for each switch."""
    case = Case(SEED, 0)
    case.table, case.plain_table = [table], [plain_table]
    return case


def recover(differ):
    """Bring the switches into a known state after a case that stopped
    halfway."""
    differ.purge()
    differ.ports = differ.port_counters()


def test_frames_that_differ_are_seen(differ):
    for plain in ("drop", "c", "mod_dl_dst:02:00:00:00:00:07,a,b,c",
                  "push_vlan:0x8100,mod_vlan_vid:9,a,b,c"):
        case = fixed_case("flow add actions=a,b,c",
                          f"flow add actions={plain}")
        with pytest.raises(Different, match="round 0, to "):
            differ.run(case)
        recover(differ)


def test_counters_that_differ_are_seen(differ):
    case = fixed_case("flow add actions=a,b,c", "flow add ip,actions=a,b,c")
    case.rounds = [[]]
    with pytest.raises(Different, match="flows:\n.*n_packets=0"):
        differ.run(case)
    recover(differ)
    differ.ports[1]["2", "tx"][0] += 1
    with pytest.raises(Different, match="port counters:\n2 tx: steered"):
        differ.compare_ports()
    recover(differ)


def test_flow_that_a_purge_left_goes_before_the_next_case(differ, monkeypatch):
    """The first purge leaves flows, as it does when a revalidator holds a
    flow's lock."""
    for switch in differ.switches:
        differ.install(fixed_case("flow add actions=a,b,c",
                                  "flow add actions=a,b,c"))
        differ.exchange(Case(SEED, 0).frames(0))
        left, ask = [], switch.appctl_now

        def first_purge_fails(method, *params, ask=ask, left=left):
            if method == "revalidator/purge" and not left:
                left.append(ask("dpctl/dump-flows", DATAPATH))
                return ""
            return ask(method, *params)
        monkeypatch.setattr(switch, "appctl_now", first_purge_fails)
        differ.purge()
        assert "actions:" in left[0]
        assert not any(one.has_flows() for one in differ.switches)
        monkeypatch.undo()
        recover(differ)


def test_frame_that_open_vswitch_is_undecided_about_is_no_difference(differ):
    """A table adds a tag to a frame with two tags.  Open vSwitch uses a flow
    that a frame with one tag has made, or a flow that this frame makes: the
    results differ."""
    case = fixed_case("flow add actions=push_vlan:0x8100,mod_vlan_vid:9,b", "")
    case.plain_table = case.table
    tags = [bytes.fromhex("81000005"), bytes.fromhex("8100000581000006")]
    case.sources, case.rounds = {0: "a", 1: "a"}, [[(0, 0), (1, 0)]]
    case.frame = lambda template, copy: bytes.fromhex(
        "020000000001020000000002") + tags[template] + bytes.fromhex(
        "88b5") + diff_frames.make_tag(case.tag, template, copy) + bytes(46)
    differ.install(case)
    alone, after, _ = list(differ.outcomes(case, 1, 0))
    assert alone != after
    frames = [{**dict(zip("abc", one)), "c": []} for one in (alone, after)]
    with pytest.raises(Different) as found:
        differ.compare_frames(frames, 0)
    assert differ.is_undecided(case, frames, found.value)
    # A result that Open vSwitch never has is a difference.
    frames[0]["b"] = [frames[0]["b"][0] + b"x"]
    assert not differ.is_undecided(case, frames, found.value)
    recover(differ)


def test_frame_of_another_case_is_named(differ):
    stray = Case(SEED, 77).frame(3, 2)
    while diff_frames.read_tag(stray) is None:  # the frame was cut short
        stray += diff_frames.make_tag(77, 3, 2)
    nothing = {name: [] for name in "abc"}
    with pytest.raises(Different, match="to b, frame 3 of case 77:\n"
                       "  plain 2 "):
        differ.compare_frames([nothing, {**nothing, "b": [stray]}], 0)


# Frames without lengths and checksums: unfinished_frames() adds them.
UDP = bytes.fromhex("020000000001020000000002080045000000000000004011"
                    "00000a0000010a00000203e807d000400000")
TCP = bytes.fromhex("020000000001020000000002080045000000000000004006"
                    "00000a0000010a00000203e807d0020000000000000050100400"
                    "00000000")


def unfinished_frames(tag):
    """Yields (header, frame): packets that a peer with all offloads may send,
    and some for which the driver once looked at other bytes than Open
    vSwitch."""
    put = diff_offloads.put

    def packet(frame, length, edits=(), **change):
        frame = put((frame + bytes(2000))[:length - len(tag)] + tag, 16,
                    (length - 14).to_bytes(2, "big"))
        for at, value in edits:
            frame = put(frame, at, bytes([value]))
        frame = put(frame, 24, diff_offloads.checksum(
            frame[14:34]).to_bytes(2, "big"))
        parts = diff_offloads.Packet(frame)
        frame = put(frame, parts.field,
                    parts.sum_pseudo().to_bytes(2, "big"))
        fields = {"flags": 1, "kind": 0, "hdr_len": 0, "size": 0,
                  "start": parts.l4, "offset": parts.field - parts.l4,
                  "buffers": 0, **change}
        return diff_offloads.HEADER.pack(*fields.values()), frame
    # A packet to be segmented to 536 bytes, as its sequence number says. It is
    # the first one: if the driver passes up a frame, it passes up all frames
    # behind it in the burst, too.
    yield packet(TCP, 1994, kind=diff_offloads.TCPV4, size=536, hdr_len=54)
    yield packet(TCP, 270)
    yield packet(UDP, 98)
    # The checksum changes the destination address that a rule drops.
    yield packet(UDP, 98, start=0, offset=4)
    # A first fragment, and a packet whose IP version is wrong.
    yield packet(UDP, 98, [(20, 0x20)])
    yield packet(UDP, 98, [(14, 0x55)])


@pytest.mark.parametrize("each", ["offloads"], indirect=True)
@pytest.mark.parametrize("table", [
    "flow add actions=b", "flow add ip,actions=mod_nw_dst:10.0.0.9,b,b",
    "flow add tcp,actions=mod_tp_dst:9,push_vlan:0x8100,mod_vlan_vid:5,b,a",
    "flow add priority=40000,dl_dst=02:00:00:00:00:01 actions=drop\n"
    "flow add actions=b"])
def test_unfinished_frames_do_the_same(each, table):
    case = fixed_case(table, table)
    case.table = case.plain_table = table.split("\n")
    number = len(list(unfinished_frames(b"")))
    case.sources = dict.fromkeys(range(number), "a")
    case.rounds = [[(t, copy) for t in range(number)] for copy in range(3)]
    case.packet = lambda template, copy: list(unfinished_frames(
        diff_frames.make_tag(case.tag, template, copy)))[template]
    before = each.counts["large that were moved"]
    each.run(case)
    if "drop" not in table:
        assert each.counts["large that were moved"] > before


def test_what_an_unfinished_frame_means():
    """meaning() completes a frame, and refuses frames that no peer may get."""
    tag = diff_frames.make_tag(1, 2, 3)
    header, frame = list(unfinished_frames(tag))[0]
    every, parts = set(diff_offloads.TSO), diff_offloads.Packet(frame)
    fields = list(diff_offloads.HEADER.unpack(header))
    mean = diff_offloads.meaning(header, frame, every)
    assert mean.startswith(b"partial large \2\0")
    assert diff_offloads.checksum(
        parts.pseudo + (6).to_bytes(4, "big") + (1960).to_bytes(4, "big")
        + mean[-1960:]) == 0
    # The size of segments that Open vSwitch sets.
    fields[3] = 1460
    assert diff_offloads.meaning(diff_offloads.HEADER.pack(*fields), frame,
                                 every) == mean
    for at, value in enumerate([3, 4, 53, 537, 14, 4000]):
        wrong = list(diff_offloads.HEADER.unpack(header))
        wrong[at] = value
        with pytest.raises(AssertionError):
            diff_offloads.meaning(diff_offloads.HEADER.pack(*wrong), frame,
                                  every)
    for name in "guest_csum", "guest_tso4":
        with pytest.raises(AssertionError):
            diff_offloads.meaning(header, frame, every - {name})
    other = diff_offloads.put(frame, parts.field, b"\1\2")
    assert diff_offloads.meaning(header, other, every) != mean
    assert diff_offloads.meaning(diff_offloads.PLAIN, frame, ()) == frame


def test_random_frames_are_unfinished_in_all_ways():
    """All kinds of headers occur, and the same random numbers make the same
    frame."""
    kinds = set()
    for seed in range(3000):
        made = []
        for _ in range(2):
            rng = random.Random(seed)
            made.append(diff_offloads.unfinished(
                rng, diff_frames.frame(rng, diff_frames.make_tag(1, 2, 3)),
                diff_offloads.TSO))
        assert made[0] == made[1]
        flags, kind, *_ = diff_offloads.HEADER.unpack(made[0][0])
        kinds.add((flags, kind))
    assert kinds == {(0, 0), (1, 0), (1, 1), (1, 4), (1, 0x81), (1, 0x84)}


def test_random_cases_do_the_same(each):
    cases, before = CASES[each.config], each.counts.copy()
    for number in range(cases):
        run_case(each, SEED, number)
    counts = each.counts - before
    print(each.config, dict(counts))
    assert counts["cases"] == cases
    # One case in eight uses NORMAL, and it may be too short to be steered.
    assert cases < 200 or counts["cases of NORMAL that were"] > 0
    assert counts["undecided"] <= 1
    # Enough frames must be steered, or the comparison shows nothing. Unfinished
    # frames are steered only to peers that accept them.
    unfinished = "offloads" in CONFIGS[each.config][0]["a"]
    assert counts["cases that were steered"] > (
        0.4 if unfinished else 0.6) * cases
    assert counts["moved"] > (0.05 if unfinished else 0.2) * counts["frames"]
