# SPDX-License-Identifier: Apache-2.0
"""Limits on a peer's memory: the rate of new tables, and the number of
regions, of which QEMU has few for all devices."""
import time

import pytest
from frontend import ADD_MEM_REG, GET_MAX_MEM_SLOTS, UVA


def table(n, base):
    return [(i << 24, 4096, UVA + (i << 24), base + 4096 * i)
            for i in range(n)]


@pytest.mark.parametrize("regions, waits", [(1, False), (8, True)])
def test_a_memory_table_costs_what_its_regions_do(bench, regions, waits):
    front, tables = bench.front(), 100
    front.negotiate()
    begin = time.monotonic()
    for turn in range(tables):
        assert front.set_memory(table(regions, 65536 * (turn % 2))) == 0
    took = time.monotonic() - begin
    # The device takes 512 changes at once, then 100 a second. A table counts as
    # one change, and each of its regions as one.
    owed = (tables * (regions + 1) - 512) / 100
    assert waits == (owed > 0)
    if waits:
        assert took > 0.9 * owed


@pytest.mark.parametrize("options, most", [("", 16), (",max-regions=32", 32),
                                           (",max-regions=2", 2)])
def test_a_peer_takes_no_more_memory_slots_than_it_may(make_bench, options,
                                                       most):
    bench = make_bench(options)
    front = bench.front()
    front.negotiate()
    assert front.get(GET_MAX_MEM_SLOTS) == most
    *few, last = table(most + 1, 0)
    for region in few:
        assert front.memory_slot(ADD_MEM_REG, region) == 0
    with pytest.raises((AssertionError, ConnectionResetError)):
        front.memory_slot(ADD_MEM_REG, last)
    assert f"more than {most} regions" in bench.get("violations")
