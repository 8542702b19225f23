# SPDX-License-Identifier: Apache-2.0
"""The sample controller's decisions: no loop, shortest ways, repair."""
import itertools
import random
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import network  # noqa: E402
from network import LOST, QUIET, Network  # noqa: E402

HOST = 1  # each switch has its host behind this port


def mac(switch):
    return f"02:00:00:00:00:{switch:02x}"


def address(switch):
    return f"10.0.0.{switch}"


class World:
    """Switches with one host each; cables join ports."""

    def __init__(self, pairs, chains=()):
        self.net, self.now = Network(chains), 0
        self.cables, ports = {}, {}
        for one, other in pairs:
            ends = []
            for switch in (one, other):
                ports[switch] = ports.get(switch, HOST) + 1
                ends.append((switch, ports[switch]))
            self.cables[ends[0]], self.cables[ends[1]] = ends[1], ends[0]
        self.all = {s: range(1, n + 1) for s, n in ports.items()}
        self.alive = set()

    def start(self, *switches):
        for switch in switches or self.all:
            self.alive.add(switch)
            for port in self.all[switch]:
                self.net.port_up((switch, port), self.now)
        return self

    def stop(self, switch):
        """A switch's control connection ends, and its neighbours' links."""
        self.alive.discard(switch)
        self.net.switch_gone(switch)
        for here, there in self.cables.items():
            if there[0] == switch:
                self.net.port_down(here)
                self.net.port_up(here, self.now)

    def run(self, seconds, lost=()):
        for _ in range(seconds):
            self.now += 1
            self.net.expire(self.now)
            for sender, receiver in self.cables.items():
                if sender not in lost and \
                        {sender[0], receiver[0]} <= self.alive:
                    self.net.heard(sender, receiver, self.now)
        return self

    def speak(self, *switches):
        for switch in switches or self.alive:
            assert self.net.learn(mac(switch), (switch, HOST), self.now,
                                  address(switch))
        return self

    def send(self, source, target):
        """Switches that a packet passes by the rules; None: it is dropped."""
        rules, at, passed = self.net.rules(), (source, HOST), []
        while True:
            assert len(passed) <= 2 * len(self.all), f"a loop: {passed}"
            passed.append(at[0])
            here = rules.get(at[0], {})
            out = here.get(("chain", at[1], address(source), address(target)))
            if out is None and (("source", at[1], mac(source)) in here
                                or ("link", at[1]) in here):
                out = here.get(("host", mac(target)))
            if out is None:
                return None
            if out == HOST:
                return passed if at[0] == target else None
            at = self.cables[at[0], out]
            if at[0] not in self.alive:
                return None


MESH = list(itertools.combinations(range(1, 5), 2))
RING = [(1, 2), (2, 3), (3, 4), (4, 1)]


def ready(pairs, chains=()):
    return World(pairs, chains).start().run(QUIET + 1).speak()


def test_each_pair_of_a_mesh_goes_by_its_own_link():
    world = ready(MESH)
    for one, other in itertools.permutations(range(1, 5), 2):
        assert world.send(one, other) == [one, other]


def test_a_ring_is_used_both_ways_and_has_no_loop():
    world = ready(RING)
    assert world.send(1, 2) == [1, 2] and world.send(1, 4) == [1, 4]
    assert len(world.send(1, 3)) == 3


def test_two_links_between_two_switches_are_no_loop():
    world = ready([(1, 2), (1, 2), (2, 3)])
    assert world.send(1, 3) == [1, 2, 3]


def test_a_switch_that_goes_is_gone_around_and_used_again():
    world = ready(RING)
    middle = world.send(1, 3)[1]
    other = 6 - middle
    world.stop(middle)
    world.run(1)
    assert world.send(1, 3) == [1, other, 3]
    assert world.send(1, middle) is None
    world.stop(other)
    assert world.send(1, 3) is None
    world.start(middle).run(QUIET + 1)
    assert world.send(1, 3) == [1, middle, 3]


def test_a_link_whose_probes_stay_out_is_not_used():
    world = ready(RING)
    broken = {end for end in world.cables
              if {end[0], world.cables[end][0]} == {1, 2}}
    world.run(LOST + QUIET + 1, lost=broken)
    assert world.send(1, 2) == [1, 4, 3, 2]
    assert not any(world.net.is_edge(end, world.now) for end in broken)


def test_a_link_that_carries_one_way_only_is_used_one_way():
    world = ready([(1, 2), (2, 3), (3, 1)])
    dead = {end for end in world.cables
            if end[0] == 2 and world.cables[end][0] == 1}
    world.run(LOST + 1, lost=dead).speak()
    assert world.send(1, 2) == [1, 2]
    assert world.send(2, 1) == [2, 3, 1]


def test_nothing_is_learned_at_a_quiet_port_or_a_link():
    world = World(MESH).start()
    assert not world.net.learn(mac(1), (1, HOST), world.now)
    world.run(QUIET + 1)
    assert not world.net.learn(mac(9), (1, 2), world.now)
    assert world.net.edges(world.now) == [(s, HOST) for s in range(1, 5)]


def test_hosts_seen_behind_a_late_switch_are_forgotten():
    world = World([(1, 2)]).start(1).run(QUIET + 1)
    assert world.net.learn(mac(2), (1, 2), world.now)
    world.start(2).run(1)
    assert mac(2) not in world.net.hosts
    world.run(QUIET).speak()
    assert world.send(1, 2) == [1, 2]


def test_a_host_moves():
    world = ready(MESH)
    assert world.net.learn(mac(1), (4, HOST), world.now)
    rules = world.net.rules()
    assert ("source", HOST, mac(1)) not in rules[1]
    assert rules[4]["host", mac(1)] == HOST


def test_a_port_has_a_bounded_number_of_hosts():
    world = ready(MESH)
    learned = [world.net.learn(f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}",
                               (1, HOST), world.now)
               for n in range(network.MAX_HOSTS + 10)]
    assert sum(learned) == network.MAX_HOSTS - 1
    assert world.net.learn(mac(1), (1, HOST), world.now)


def test_a_group_address_is_no_sender():
    world = ready(MESH)
    assert not world.net.learn("01:00:5e:00:00:01", (1, HOST), world.now)


CHAIN = (address(1), address(4), [1, 2, 3, 4])


def test_a_chain_goes_through_its_switches_both_ways():
    world = ready(MESH, [CHAIN])
    assert world.send(1, 4) == [1, 2, 3, 4]
    assert world.send(4, 1) == [4, 3, 2, 1]
    assert world.send(1, 3) == [1, 3]


def test_a_chain_leaves_out_who_is_gone_until_it_returns():
    world = ready(MESH, [CHAIN])
    world.stop(3)
    assert world.send(1, 4) == [1, 2, 4]
    world.start(3).run(QUIET + 1)
    assert world.send(1, 4) == [1, 2, 3, 4]


def test_a_chain_that_no_rules_can_say_is_none():
    """From 1 to 3 by 2, back to 1, and again by 2: the packet enters a
    switch twice by one port."""
    world = ready([(1, 2), (2, 3)], [(address(1), address(3),
                                      [2, 1, 2, 1, 3])])
    assert world.send(1, 3) == [1, 2, 3]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_comes_and_goes_packets_arrive_by_shortest_ways(seed):
    chance = random.Random(seed)
    size = chance.randint(2, 8)
    pairs = [(n, chance.randint(1, n - 1)) for n in range(2, size + 1)]
    pairs += [tuple(chance.sample(range(1, size + 1), 2))
              for _ in range(chance.randint(0, 8))]
    world = ready(pairs)
    for _ in range(10):
        switch = chance.randint(1, size)
        if switch in world.alive:
            world.stop(switch)
        else:
            world.start(switch)
        world.run(QUIET + 1).speak()
        for one, other in itertools.permutations(world.alive, 2):
            passed = world.send(one, other)
            hops = distance(pairs, world.alive, one, other)
            assert passed is None if hops is None \
                else len(passed) == hops + 1, (one, other, passed)


def distance(pairs, alive, one, other):
    reached, hops = {one}, 0
    while other not in reached:
        more = {b for p in pairs for a, b in (p, p[::-1])
                if a in reached and b in alive} - reached
        if not more:
            return None
        reached, hops = reached | more, hops + 1
    return hops
