# SPDX-License-Identifier: Apache-2.0
"""Each wrong option of a port has its own text in `ovs-vsctl show`."""
import re

import pytest

# The fault: (the options, the pattern of the error).
WRONG = {
    "no_option_at_all":
        ({}, r"needs options:vhostpci-devargs .* or options:peer"),
    "both_options":
        ({"vhostpci-devargs": "{x}", "peer": "x"}, r"exclude each other"),
    "no_pci_address":
        ({"vhostpci-devargs": "nonsense"}, r"neither a PCI address"),
    "no_such_device":
        ({"vhostpci-devargs": "0000:7f:00.0"},
         r"no PCI device 0000:7f:00\.0"),
    "device_of_another_kind":
        ({"vhostpci-devargs": "0000:00:00.0"}, r"0000:00:00\.0.*not a vhost"),
    "no_such_peer":
        ({"peer": "nobody"}, r"no device for peer 'nobody'"),
    "comma_in_the_peer":
        ({"peer": "a,b"}, r"a peer's name has no comma"),
    "unknown_driver_argument":
        ({"vhostpci-devargs": "{x},bogus=1"}, r"bogus"),
    "name_of_another_peer":
        ({"vhostpci-devargs": "{x},peer=somebody"}, r"somebody"),
    "device_in_use_by_another_port":
        ({"vhostpci-devargs": "{a}"}, r"in use|already|exists|used by"),
}


def _error(sw, options):
    """Add port x with the options, and remove it again.  Returns (the output of
    ovs-vsctl, the error in `show`)."""
    addresses = {n: p.address for n, p in sw.ports.items()}
    options = {k: v.format(**addresses) for k, v in options.items()}
    try:
        said = sw.ovs.add_port("x", "vhostpci", options=options)
        shown = re.search(r'error: "?(.*?)"?$', sw.ovs.show(), re.M)
        return said, shown.group(1) if shown else ""
    finally:
        sw.ovs.del_port("x")


@pytest.mark.parametrize("case", WRONG)
def test_wrong_option_is_named_in_show(shared, case):
    options, text = WRONG[case]
    said, shown = _error(shared.sw, options)
    print(shown)
    assert re.search(text, shown, re.I), shown
    assert "Error detected" in said


def test_wrong_kernel_driver_is_named(shared):
    sw = shared.sw
    address = sw.ports["x"].address
    sw.sh(f"echo {address} > /sys/bus/pci/devices/{address}/driver/unbind")
    try:
        _, shown = _error(sw, {"vhostpci-devargs": "{x}"})
    finally:
        sw.bind(address, sw.driver)
    print(shown)
    assert re.search(r"uio_pci_generic|vfio", shown), shown


def test_each_wrong_option_has_its_own_text(shared):
    """No two texts are equal after names and addresses are taken out."""
    texts = {}
    for case, (options, _) in WRONG.items():
        shown = _error(shared.sw, options)[1]
        plain = re.sub(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d|'\w*'", "",
                       shown)
        texts.setdefault(plain, []).append(case)
    assert all(len(cases) == 1 for cases in texts.values()), texts


def test_a_port_can_be_found_by_its_peers_name(shared):
    sw = shared.sw
    try:
        said = sw.ovs.add_port("x", "vhostpci", options={"peer": "x"})
        assert "rror" not in said
        assert sw.ovs.get("x", "status")["peer"] == "x"
    finally:
        sw.ovs.del_port("x")


def test_wrong_option_corrected_brings_the_port_up(shared):
    sw = shared.sw
    address = sw.ports["x"].address
    try:
        sw.ovs.add_port("x", "vhostpci", options={"peer": "nobody"})
        sw.ovs.vsctl("--", "clear", "Interface", "x", "options", "--", "set",
                     "Interface", "x",
                     f'options:vhostpci-devargs="{address}"')
        sw.ovs.wait_interface("x", "error", [])
        sw.ovs.wait_interface("x", "ofport", lambda n: isinstance(n, int)
                              and n > 0)
    finally:
        sw.ovs.del_port("x")
