# SPDX-License-Identifier: Apache-2.0
"""testpmd's flow commands on a port of the driver."""
import re

import pytest
from testpmd import Testpmd, driver_eal


@pytest.fixture(scope="module")
def switch(tmp_path_factory):
    """A testpmd with two ports that have no peers."""
    path = tmp_path_factory.mktemp("flow")
    process = Testpmd("flow", [f"net_vpci{i},path={path}/{i},peer=p{i}"
                               for i in range(2)], "", driver_eal())
    yield process
    process.close()


UNDERSTOOD = [  # a rule, and how the driver shows it
    ("pattern eth / end actions count / port_id id 1 / end",
     "priority=0 actions=output:net_vpci1"),
    ("pattern eth type is 0x0800 has_vlan is 0 / ipv4 fragment_offset spec 0"
     " fragment_offset mask 0x3fff / end actions count"
     " / port_id original 0 id 1 / end",
     "priority=0,type=0x0800,tag=no,frag=no actions=output:net_vpci1"),
    ("pattern eth / vlan vid is 7 / ipv4 dst spec 10.0.0.0 dst prefix 24 / udp"
     " dst is 53 / end actions of_pop_vlan / represented_port"
     " ethdev_port_id 1 / end",
     "priority=0,type=0x0800,tag=yes,tci=7/0xfff,dst=10.0.0.0/255.255.255.0,"
     "proto=17,dport=53 actions=pop_vlan,output:net_vpci1"),
    ("pattern eth / ipv6 dst is fd00::1 / tcp src is 80 / end actions"
     " set_ttl ttl_value 5 / set_tp_src port 81 / port_id id 1 / end",
     "priority=0,type=0x86dd,tag=no,dst=fd00::1,proto=6,sport=80"
     " actions=ttl=5,sport=81,output:net_vpci1"),
    ("pattern eth / ipv4 / icmp type is 8 / end actions drop / end",
     "priority=0,type=0x0800,tag=no,proto=1,sport=8/0xff actions=drop"),
    ("pattern eth / ipv4 / end actions count / mark id 5 / rss queues 0 end"
     " / end",
     "priority=0,type=0x0800,tag=no actions=mark:5"),
]
REFUSED = [
    ("pattern eth / ipv4 / end actions port_id id 99 / end",
     "a port that is not of this driver"),
    ("pattern eth / ipv4 / udp / vxlan / end actions drop / end",
     "an item of this type is not supported"),
    ("pattern eth / ipv4 / end actions queue index 0 / end",
     "an action of this type is not supported"),
    ("pattern eth / ipv4 / end actions count / end",
     "not one of drop, mark and output"),
]


@pytest.mark.parametrize("rule,shown", UNDERSTOOD)
def test_a_rule_is_made_shown_queried_and_destroyed(switch, rule, shown):
    attr = "ingress" if "mark" in rule else "transfer"
    switch.ask(f"flow validate 0 {attr} {rule}", "Flow rule validated")
    number = switch.ask(f"flow create 0 {attr} {rule}",
                        r"Flow rule #(\d+) created").group(1)
    try:
        # Each of the driver's own lines ends with counters and age.
        switch.ask("flow dump 0 all", re.escape(shown)
                   + r" packets=0 bytes=0 used=[\d.]+s")
        switch.ask(f"flow query 0 {number} count",
                   r"hits_set: 1.*bytes_set: 1.*hits: 0")
    finally:
        switch.ask(f"flow destroy 0 rule {number}",
                   rf"Flow rule #{number} destroyed")
    assert "priority=" not in switch.said("flow dump 0 all")


@pytest.mark.parametrize("rule,why", REFUSED)
def test_a_refusal_says_why(switch, rule, why):
    switch.ask(f"flow create 0 transfer {rule}", why)


def test_flush_and_isolate(switch):
    for _ in range(3):
        switch.ask(f"flow create 0 transfer {UNDERSTOOD[0][0]}",
                   r"Flow rule #\d+ created")
    switch.ask("flow flush 0", "testpmd>")
    assert "#" not in switch.ask("flow list 0", "testpmd> ").group(0)
    switch.ask("flow isolate 0 1", "Ingress traffic on port 0 is (now )?"
               "restricted")
    switch.ask("flow isolate 0 0", "not restricted")
