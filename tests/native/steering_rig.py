# SPDX-License-Identifier: Apache-2.0
"""An Open vSwitch with hw-offload and socket ports, which all tests of rules
inside the driver use."""
import re
from contextlib import contextmanager

import pytest
from native_ovs import NativeOvs, config, wait_until

DATAPATH = "dummy@ovs-dummy"


class OffloadOvs(NativeOvs):
    other_config = {**NativeOvs.other_config, "hw-offload": "true"}

    def add(self, name):
        """Add a port; returns the path of its socket."""
        path = self.dir / f"{name}.sock"
        self.add_port(name, "vhostpci", options={
            "vhostpci-devargs": f"net_vpci_{name},path={path}"})
        assert self.error(name) == ""
        wait_until(path.exists, 10, f"{path} is there")
        return path

    def datapath_port(self, name):
        return int(re.search(rf"port (\d+): {name} \(",
                             self.appctl("dpctl/show", DATAPATH))[1])

    def put_everywhere(self, source, actions):
        """Add a datapath flow for `source`, one copy for each PMD thread."""
        port = self.datapath_port(source)
        self.appctl("dpctl/add-flow", DATAPATH,
                    f"recirc_id(0),in_port({port}),packet_type(ns=0,id=0),"
                    "eth(),eth_type(0x0800),ipv4(frag=no)", str(actions))

    def packets(self, match):
        """The packets that an OpenFlow flow has counted."""
        text = self.ofctl("dump-flows", self.bridge, match)
        return int(re.search(r"n_packets=(\d+)", text)[1])


def started(make):
    """For a fixture: start the object that make() returns, yield it, and close
    it at the end."""
    try:
        made = make()
    except config.Missing as missing:
        pytest.skip(str(missing))
    try:
        yield made.start()
    finally:
        made.close()


running = contextmanager(started)
