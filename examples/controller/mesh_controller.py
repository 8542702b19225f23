# SPDX-License-Identifier: Apache-2.0
"""A controller for switches that are linked in any way, loops included.

    osken-manager [--config-file FILE] mesh_controller.py

The controller finds links by probes, learns hosts, and puts rules for shortest
ways into every switch.  When a switch or a link goes, the controller puts new
rules.  The kind of the ports does not matter.  network.py decides; this file
speaks OpenFlow 1.3.

FILE may have a section [mesh] with: chains = FILE.json, which holds
{"NAME": {"between": [ADDRESS, ADDRESS], "through": [DATAPATH ID, ...]}}, and
probe_seconds, 1 by default.

A switch has two tables.  Table 0 admits packets from a known host or from
another switch, and holds the rules of the chains.  Table 1 sends a packet to
its host.  A switch gives this controller each packet that matches no rule, and
each broadcast; the controller delivers it.  The controller leaves rules of
others, which have another cookie, alone.
"""
import json
import secrets
import socket
import struct
import sys
import time
from pathlib import Path

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import (CONFIG_DISPATCHER, DEAD_DISPATCHER,
                                       MAIN_DISPATCHER, set_ev_cls)
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

sys.path.insert(0, str(Path(__file__).resolve().parent))
from network import LOST, QUIET, Network  # noqa: E402

COOKIE = 0x6d657368
IPV4, ARP, PROBE = 0x0800, 0x0806, 0x88b5  # 0x88b5: for local experiments
NEAREST = "01:80:c2:00:00:0e"  # bridges do not forward frames to this address
BODY = struct.Struct("!16sQI")  # token, datapath id, port


def mac_text(raw):
    return raw.hex(":")


def sender_address(frame):
    """The IPv4 address of a frame's sender, or None."""
    kind = frame[12:14]
    raw = (frame[26:30] if kind == IPV4.to_bytes(2, "big") else
           frame[28:32] if kind == ARP.to_bytes(2, "big") else b"")
    return socket.inet_ntoa(raw) if len(raw) == 4 and any(raw) else None


class MeshController(app_manager.OSKenApp):
    OFP_VERSIONS = [ofp.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.CONF.register_opts([cfg.StrOpt("chains"),
                                 cfg.FloatOpt("probe_seconds", default=1.0)],
                                group="mesh")
        chains, self.period = (), self.CONF.mesh.probe_seconds
        if self.CONF.mesh.chains:
            given = json.loads(Path(self.CONF.mesh.chains).read_text("utf-8"))
            chains = [(*c["between"], c["through"]) for c in given.values()]
        self.net = Network(chains, QUIET * self.period, LOST * self.period)
        self.switches = {}  # datapath id: datapath
        self.told = {}      # datapath id: the rules that the switch has
        self.token = secrets.token_bytes(16)  # marks the probes of this run
        self.thread = hub.spawn(self.keep_probing)

    # From the switches.

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, event):
        """A new connection; an older one of the same switch may be dying."""
        datapath = event.msg.datapath
        self.logger.info("switch %x is here", datapath.id)
        self.forget(datapath.id)
        self.switches[datapath.id], self.told[datapath.id] = datapath, {}
        datapath.send_msg(parser.OFPFlowMod(
            datapath, command=ofp.OFPFC_DELETE, table_id=ofp.OFPTT_ALL,
            cookie=COOKIE, cookie_mask=2 ** 64 - 1, out_port=ofp.OFPP_ANY,
            out_group=ofp.OFPG_ANY))
        here = parser.OFPActionOutput(ofp.OFPP_CONTROLLER,
                                      ofp.OFPCML_NO_BUFFER)
        self.put(datapath, 0, 1000, parser.OFPMatch(eth_type=PROBE), [here])
        for table in (0, 1):
            self.put(datapath, table, 0, parser.OFPMatch(), [here])
        datapath.send_msg(parser.OFPPortDescStatsRequest(datapath))

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def on_dead(self, event):
        if self.switches.get(event.datapath.id) is event.datapath:
            self.logger.info("switch %x is gone", event.datapath.id)
            self.forget(event.datapath.id)
            self.tell()

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply,
                [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_ports(self, event):
        for port in event.msg.body:
            self.set_port(event.msg.datapath, port)
        self.tell()

    @set_ev_cls(ofp_event.EventOFPPortStatus,
                [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_port_status(self, event):
        gone = event.msg.reason == ofp.OFPPR_DELETE
        self.set_port(event.msg.datapath, event.msg.desc, gone)
        self.tell()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event):
        frame, now = event.msg.data, time.monotonic()
        place = event.msg.datapath.id, event.msg.match["in_port"]
        if len(frame) < 14:
            return
        if frame[12:14] == PROBE.to_bytes(2, "big"):
            self.on_probe(place, frame[14:14 + BODY.size], now)
            return
        source, target = mac_text(frame[6:12]), mac_text(frame[:6])
        known = self.net.hosts.get(source)
        if self.net.learn(source, place, now, sender_address(frame)):
            if known != place:
                self.logger.info("host %s is at %x:%d", source, *place)
            self.tell()
            self.deliver(frame, place, target, now)

    def on_probe(self, place, body, now):
        if len(body) == BODY.size and body[:16] == self.token:
            sender = BODY.unpack(body)[1:]
            if self.net.heard(sender, place, now):
                self.logger.info("link %x:%d -> %x:%d", *sender, *place)
                self.tell()

    # To the switches.

    def set_port(self, datapath, port, gone=False):
        if port.port_no > ofp.OFPP_MAX:
            return  # a port of the switch itself, such as LOCAL
        place, now = (datapath.id, port.port_no), time.monotonic()
        if gone or port.state & ofp.OFPPS_LINK_DOWN or \
                port.config & ofp.OFPPC_PORT_DOWN:
            if place in self.net.ports:
                self.logger.info("port %x:%d is down", *place)
            self.net.port_down(place)
        else:
            self.net.port_up(place, now)
            self.probe(place)

    def forget(self, switch):
        self.switches.pop(switch, None)
        self.told.pop(switch, None)
        self.net.switch_gone(switch)

    def keep_probing(self):
        while True:
            for sender in self.net.expire(time.monotonic()):
                self.logger.info("link %x:%d -> is lost", *sender)
            self.tell()
            for place in list(self.net.ports):
                self.probe(place)
            hub.sleep(self.period)

    def probe(self, place):
        frame = bytes.fromhex(NEAREST.replace(":", "") + "02" + 10 * "0") + \
            PROBE.to_bytes(2, "big") + BODY.pack(self.token, *place)
        self.send(place[0], [place[1]], frame.ljust(60, b"\0"))

    def send(self, switch, ports, frame):
        if switch in self.switches:
            datapath = self.switches[switch]
            datapath.send_msg(parser.OFPPacketOut(
                datapath, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER,
                [parser.OFPActionOutput(port) for port in ports], frame))

    def deliver(self, frame, place, target, now):
        """Send a frame to its host, or to every host but the sender."""
        places = ([self.net.hosts[target]] if target in self.net.hosts else
                  self.net.edges(now))
        ports = {}
        for switch, port in places:
            if (switch, port) != place:
                ports.setdefault(switch, []).append(port)
        for switch, numbers in ports.items():
            self.send(switch, numbers, frame)

    def tell(self):
        """Give the switches the rules that the network now needs."""
        for switch, rules in self.net.rules().items():
            if switch not in self.switches:
                continue
            datapath, told = self.switches[switch], self.told[switch]
            for match in told.keys() - rules.keys():
                table, priority, fields = self.place_of(match)
                datapath.send_msg(parser.OFPFlowMod(
                    datapath, command=ofp.OFPFC_DELETE_STRICT, table_id=table,
                    priority=priority, match=fields, out_port=ofp.OFPP_ANY,
                    out_group=ofp.OFPG_ANY))
            for match, port in rules.items():
                if match not in told or told[match] != port:
                    # A chain may send a packet back out of the port that it
                    # came by; OpenFlow needs IN_PORT for that.
                    turns = match[0] == "chain" and match[1] == port
                    actions = port and [parser.OFPActionOutput(
                        ofp.OFPP_IN_PORT if turns else port)]
                    self.put(datapath, *self.place_of(match), actions)
            self.told[switch] = rules

    @staticmethod
    def place_of(match):
        """Table, priority and OpenFlow's match of a rule of network.py."""
        kind, *fields = match
        if kind == "host":
            return 1, 10, parser.OFPMatch(eth_dst=fields[0])
        if kind == "link":
            return 0, 10, parser.OFPMatch(in_port=fields[0])
        if kind == "source":
            return 0, 10, parser.OFPMatch(in_port=fields[0],
                                          eth_src=fields[1])
        return 0, 20, parser.OFPMatch(
            in_port=fields[0], eth_type=IPV4, ipv4_src=fields[1],
            ipv4_dst=fields[2])

    @staticmethod
    def put(datapath, table, priority, match, actions):
        """Add a rule; actions None: the packet goes on to table 1."""
        then = (parser.OFPInstructionGotoTable(1) if actions is None else
                parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
        datapath.send_msg(parser.OFPFlowMod(
            datapath, cookie=COOKIE, table_id=table, priority=priority,
            match=match, instructions=[then]))
