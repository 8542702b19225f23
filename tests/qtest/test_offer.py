# SPDX-License-Identifier: Apache-2.0
"""What the peer is offered, as the front-end and the driver see it."""
import pytest
from frontend import GET_FEATURES

CSUM, GUEST_CSUM = 1 << 0, 1 << 1
GUEST_TSO4, GUEST_TSO6, GUEST_ECN, GUEST_UFO = (1 << b for b in (7, 8, 9, 10))
HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO = (1 << b for b in (11, 12, 13, 14))
GUEST_USO4, GUEST_USO6, HOST_USO = (1 << b for b in (54, 55, 56))
ANY_OFFLOAD = (CSUM | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN
               | HOST_TSO4 | HOST_TSO6 | HOST_ECN)
NEVER = GUEST_UFO | HOST_UFO | GUEST_USO4 | GUEST_USO6 | HOST_USO

OFFERS = {
    "": 0,
    ",peer-offloads=on": ANY_OFFLOAD,
    ",peer-csum=on": CSUM,
    ",peer-csum=on,peer-guest-csum=on": CSUM | GUEST_CSUM,
    ",peer-csum=on,peer-host-tso4=on,peer-host-ecn=on":
        CSUM | HOST_TSO4 | HOST_ECN,
    ",peer-guest-csum=on,peer-guest-tso6=on": GUEST_CSUM | GUEST_TSO6,
}


@pytest.mark.parametrize("options", OFFERS)
def test_offloads_are_offered_as_asked_for(make_bench, options):
    bench = make_bench(options)
    offered = bench.front().get(GET_FEATURES)
    assert offered & ANY_OFFLOAD == OFFERS[options]
    assert not offered & NEVER


@pytest.mark.parametrize("bit", [CSUM, HOST_TSO4, GUEST_TSO6, HOST_UFO])
def test_offload_that_was_not_offered_ends_the_connection(make_bench, bit):
    bench = make_bench()
    front = bench.front()
    front.negotiate(front.get(GET_FEATURES) | bit)
    assert front.closed_by_device()
    assert len(bench.log_lines("not offered")) == 1
