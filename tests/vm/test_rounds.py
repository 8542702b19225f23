# SPDX-License-Identifier: Apache-2.0
"""A process or VM that ends at a random moment under load comes back, and the
others do not notice: see harness/rounds.py.  The limits hold under emulation on
a busy machine, too; doc/performance.md has the figures of an idle machine."""
import pytest

from harness import rounds

ROUNDS_FULL, ROUNDS_SLICE = 20, 1
PORT_STATUS_SECONDS = 1.0
PACKED_SLICE = ("vswitchd_killed", "switch_vm_killed")


@pytest.fixture(scope="module", params=["split", "packed"])
def net(request, images, _shared):
    _shared.close()
    made = rounds.Rounds(f"rounds-{request.param}", images,
                         request.param == "packed")
    made.kind = request.param
    yield made
    made.close()


@pytest.mark.parametrize("event", rounds.EVENTS)
def test_rounds(net, full, event):
    if net.kind == "packed" and not full and event not in PACKED_SLICE:
        pytest.skip("with packed rings only with --full")
    found = rounds.run(net, event, ROUNDS_FULL if full else ROUNDS_SLICE)
    for name, values in found.items():
        if name.startswith("status_"):
            assert max(values) < PORT_STATUS_SECONDS, found
