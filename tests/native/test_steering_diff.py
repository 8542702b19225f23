# SPDX-License-Identifier: Apache-2.0
"""Some cases of the differential test of steering (steering_diff.py): steered
and unsteered ports do the same. `make check-steering-diff` runs many more."""
import diff_frames
import pytest
from steering_diff import DATAPATH, Case, Different, Differ, run_case
from steering_rig import started

SEED = 9
CASES = {"split": 30, "packed": 16, "mixed": 16}


@pytest.fixture(scope="module", params=CASES)
def each(request):
    """Of each configuration."""
    if request.param == "split":
        yield request.getfixturevalue("differ")
    else:
        yield from started(lambda: Differ(request.param))


@pytest.fixture(scope="module")
def differ():
    yield from started(Differ)


def fixed_case(table, plain_table):
    """One rule, which differs in the switch that does not steer."""
    case = Case(SEED, 0)
    case.table, case.plain_table = [table], [plain_table]
    return case


def recover(differ):
    """After a case that stopped halfway."""
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
    """As when a revalidator holds the flow's lock just then."""
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
    """Two tags, and a table that adds another: it goes by the flow of a frame
    with one, or by one of its own."""
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
    # What it never does is a difference.
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


def test_random_cases_do_the_same(each):
    cases, before = CASES[each.config], each.counts.copy()
    for number in range(cases):
        run_case(each, SEED, number)
    counts = each.counts - before
    print(each.config, dict(counts))
    assert counts["cases"] == cases
    assert counts["cases of NORMAL that were"] > 0
    assert counts["undecided"] <= 1
    # Else they do the same because none of them is steered.
    assert counts["cases that were steered"] > 0.6 * cases
    assert counts["moved"] > 0.2 * counts["frames"]
