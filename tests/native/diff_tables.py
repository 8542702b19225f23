# SPDX-License-Identifier: Apache-2.0
"""Random OpenFlow tables for the differential test of steering."""
import re

import diff_frames as f
from diff_frames import is_rare

NAMES = "abc"
LAYERS = {"any": "", "ip": "ip", "tcp": "tcp", "udp": "udp", "icmp": "icmp",
          "sctp": "sctp", "ipv6": "ipv6", "tcp6": "tcp6", "udp6": "udp6",
          "icmp6": "icmp6", "arp": "arp", "mpls": "mpls"}
SIX = ("ipv6", "tcp6", "udp6", "icmp6")
FOUR = ("ip", "tcp", "udp", "icmp", "sctp")
WITH_PORTS = ("tcp", "udp", "sctp", "tcp6", "udp6")


def _mac(rng):
    if is_rare(rng, 0.3):
        return rng.choice(["01:00:00:00:00:00/01:00:00:00:00:00",
                           "02:00:00:00:00:00/ff:ff:ff:ff:ff:00",
                           "00:00:00:00:00:01/00:00:00:00:00:01"])
    return rng.choice(f.MACS)


def _match_vlan(rng):
    """Returns the match, and whether it selects tagged packets."""
    kind = rng.random()
    if kind < 0.4:
        return f"dl_vlan={rng.choice(f.VIDS)}", True
    if kind < 0.6:
        return "vlan_tci=0x1000/0x1000", True
    if kind < 0.8:
        return "vlan_tci=0x0000/0x1fff", False
    return f"dl_vlan={rng.choice(f.VIDS)},dl_vlan_pcp={rng.choice([0, 3, 7])}",\
        True


def _match_ip(rng, layer):
    six = layer in SIX
    words = []
    for name in ("src", "dst"):
        if is_rare(rng, 0.15):
            value = rng.choice(f.IP6S if six else f.IP4S)
            if is_rare(rng, 0.4):
                value += f"/{rng.choice([8, 16, 64, 127])}" if six else \
                    f"/{rng.choice([8, 24, 31, '255.0.255.0'])}"
            words.append(f"{'ipv6' if six else 'nw'}_{name}={value}")
    if is_rare(rng, 0.07):
        words.append(f"nw_ttl={rng.choice(f.TTLS)}")
    if is_rare(rng, 0.07):
        words.append(f"nw_tos={rng.choice(f.TOSES) & 0xfc}")
    if is_rare(rng, 0.08):
        words.append(f"nw_ecn={rng.randrange(4)}")
    if is_rare(rng, 0.07):
        words.append("ip_frag=" + rng.choice(
            ["no", "yes", "first", "later", "not_later"]))
    if is_rare(rng, 0.1) and layer in ("ip", "ipv6"):
        words.append(f"nw_proto={rng.choice([1, 2, 6, 17, 44, 47, 58, 132])}")
    if six and is_rare(rng, 0.08):
        words.append("ipv6_label=0x12345")
    return words


def _match_l4(rng, layer):
    words = []
    for name in ("src", "dst"):
        if layer in WITH_PORTS and is_rare(rng, 0.2):
            value = str(rng.choice(f.PORTS))
            if is_rare(rng, 0.3):
                value = rng.choice(["0/1", "0x400/0xfc00", "0x40/0xffc0"])
            words.append(f"tp_{name}={value}")
    if layer in ("tcp", "tcp6") and is_rare(rng, 0.15):
        words.append("tcp_flags=" + rng.choice(
            ["+ack", "+syn-ack", "-syn", "0x010", "+psh"]))
    if layer in ("icmp", "icmp6") and is_rare(rng, 0.3):
        kind, code = rng.choice(f.ICMP6S if layer == "icmp6" else f.ICMPS)
        words.append(f"icmp_type={kind}")
        if is_rare(rng, 0.5):
            words.append(f"icmp_code={code}")
    return words


def _match(rng):
    """Returns (words, layer, whether the packets are tagged, or None if that is
    unknown)."""
    words, tagged = [], None
    if is_rare(rng, 0.4):
        words.append(f"in_port={rng.choice(NAMES)}")
    for name in ("src", "dst"):
        if is_rare(rng, 0.1):
            words.append(f"dl_{name}={_mac(rng)}")
    if is_rare(rng, 0.15):
        word, tagged = _match_vlan(rng)
        words.append(word)
    layer = rng.choices(list(LAYERS), [35, 20, 10, 10, 4, 2, 10, 5, 5, 3, 3,
                                       2])[0]
    if LAYERS[layer]:
        words.append(LAYERS[layer])
    elif is_rare(rng, 0.1):
        words.append(f"dl_type=0x{rng.choice([0x88b5, 0x0600, 0x05ff]):04x}")
    if layer in SIX + FOUR:
        words += _match_ip(rng, layer)
        # Later fragments have no ports.
        if "ip_frag=later" in words:
            return words, "ipv6" if layer in SIX else "ip", tagged
        words += _match_l4(rng, layer)
    if layer == "arp" and is_rare(rng, 0.5):
        words.append(rng.choice(["arp_op=1", "arp_tpa=10.0.0.2",
                                 f"arp_sha={f.MACS[0]}"]))
    return words, layer, tagged


def _ip_edit(rng, layer):
    six = layer in SIX
    value = rng.choice(f.IP6S if six else f.IP4S)
    name = rng.choice(["src", "dst"])
    kinds = [f"set_field:{value}->ipv6_{name}" if six
             else f"mod_nw_{name}:{value}", "dec_ttl",
             f"mod_nw_ttl:{rng.choice(f.TTLS[1:])}"]
    if is_rare(rng, 0.1):
        kinds = [f"mod_nw_tos:{rng.choice(f.TOSES) & 0xfc}"]
    if layer in WITH_PORTS and is_rare(rng, 0.4):
        kinds = [f"mod_tp_{name}:{rng.choice(f.PORTS)}"]
    return rng.choice(kinds)


def _vlan_edit(rng, tags):
    """Returns (words, the number of tags after these actions).  `tags` is the
    number before; None: unknown.  OpenFlow refuses to remove a tag that may be
    missing, and to change a removed tag; it knows at most two tags."""
    kind = rng.random()
    if tags and kind < 0.5:
        return ["pop_vlan"], tags - 1
    if (kind < 0.75 or tags == 0) and tags != 2:
        return [f"push_vlan:0x{rng.choice([0x8100, 0x8100, 0x88a8]):x}",
                f"mod_vlan_vid:{rng.choice(f.VIDS)}"], (tags or 0) + 1
    return [rng.choice([f"mod_vlan_vid:{rng.choice(f.VIDS)}",
                        f"mod_vlan_pcp:{rng.randrange(8)}"])], tags or 1


def _edits(rng, layer, tags):
    """Returns (some actions, the number of tags after them)."""
    words = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        kind = rng.random()
        if kind < 0.3:
            words.append(f"mod_dl_{rng.choice(['src', 'dst'])}:"
                         f"{rng.choice(f.MACS[:4])}")
        elif kind < 0.65 and layer in SIX + FOUR:
            words.append(_ip_edit(rng, layer))
        elif kind < 0.95:
            more, tags = _vlan_edit(rng, tags)
            words += more
        elif kind < 0.97:
            words.append("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]")
    return words, tags


def _output(rng, more):
    kind = rng.random()
    if kind < 0.9:
        return rng.choice(NAMES)
    if kind < 0.94:
        return "IN_PORT"
    if kind < 0.95:
        return "LOCAL"
    if kind < 0.96:
        return "FLOOD"
    return rng.choice(more)


def _actions(rng, layer, tagged, more):
    if is_rare(rng, 0.12):
        return "drop"
    words, tags = [], 1 if tagged else None
    for _ in range(rng.choices([1, 2, 3], [75, 18, 7])[0]):
        if is_rare(rng, 0.4):
            edits, tags = _edits(rng, layer, tags)
            words += edits
        words.append(_output(rng, more))
    return ",".join(words)


def table(rng):
    """Lines for `ovs-ofctl bundle`, which the caller puts behind those that
    delete all flows and groups."""
    lines = []
    for number in range(1, 3):
        buckets = ",".join(
            "bucket=actions=" + _actions(rng, "any", None, NAMES)
            for _ in range(rng.choice([1, 2])))
        lines.append(f"group add group_id={number},type=all,{buckets}")
    for number in range(2):
        more = ["group:1", "group:2"]
        if number == 0:
            more += 3 * ["resubmit(,1)"]
        priorities = rng.sample(range(1, 100),
                                rng.choice([1, 2, 3, 5, 8]))
        for priority in priorities:
            words, layer, tagged = _match(rng)
            match = ",".join([f"table={number},priority={priority}", *words])
            lines.append(f"flow add {match} "
                         f"actions={_actions(rng, layer, tagged, more)}")
        if not is_rare(rng, 0.2):
            lines.append(f"flow add table={number},priority=0 "
                         f"actions={_actions(rng, 'any', None, more)}")
    return lines


def with_normal(rng, lines):
    """Replace some ports of the table by NORMAL.  All packets from a port have
    one source address, and keep it, so that no address moves to another port:
    the two switches would notice a move at different times."""
    def change(line):
        match, actions = line.split(" actions=")
        actions = re.sub(r"mod_dl_src:[^,]*,", "", actions)
        actions = re.sub(r"(?<![^,])[abc](?![^,])", lambda port:
                         "NORMAL" if rng.random() < 0.6 else port[0], actions)
        return f"{match} actions={actions}"
    return [change(line) if line.startswith("flow") else line
            for line in lines]
