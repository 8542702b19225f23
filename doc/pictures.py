#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the README: doc/topology.svg, and doc/costs.svg of the
table in the summary of doc/performance.md.  --check only compares: exit status
1 if a picture is not what this program draws."""
import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

DOC = Path(__file__).resolve().parent
INK, PEER, SWITCH, OURS, THEIRS = (
    "#222222", "#e8eef7", "#e9f5ea", "#2b7a3d", "#9aa5b1")


class Picture:
    """An SVG of fixed size, in pixels; y grows downwards."""

    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="14">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="end" markerWidth="14" markerHeight="12" refX="13" '
            'refY="6" orient="auto" markerUnits="userSpaceOnUse">'
            f'<path d="M0,0 L14,6 L0,12 z" fill="{OURS}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="white"/>']

    def box(self, x, y, width, height, fill, stroke=INK):
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
            f'fill="{fill}" stroke="{stroke}"/>')

    def bar(self, x, y, width, height, fill):
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" '
                          f'height="{height}" fill="{fill}"/>')

    def text(self, x, y, text, anchor="middle", bold=False, ink=INK):
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" '
                          f'fill="{ink}"{weight}>{escape(text)}</text>')

    def line(self, points, ours=False):
        style = (f'stroke="{OURS}" stroke-width="3" marker-end="url(#end)"'
                 if ours else f'stroke="{THEIRS}" stroke-dasharray="5 4"')
        self.parts.append('<polyline points="'
                          + " ".join(f"{x},{y}" for x, y in points)
                          + f'" fill="none" {style}/>')

    def svg(self):
        return ("<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
                + "\n".join(self.parts) + "\n</svg>\n")


def topology():
    """Three machines: a packet goes from a's memory into b's."""
    p = Picture(820, 300, "A switch VM and two peers on one host")
    for x, name in ((20, "a"), (590, "b")):
        p.box(x, 20, 210, 190, PEER)
        p.text(x + 105, 44, f'peer VM "{name}"', bold=True)
        p.text(x + 105, 64, "unmodified guest")
        p.box(x + 25, 80, 160, 50, "white")
        p.text(x + 105, 110, "virtio-net driver")
        p.box(x + 25, 142, 160, 60, "white")
        p.text(x + 105, 161, "rings and buffers")
        p.text(x + 105, 178, f"in {name}'s memory")
        p.text(x + 105, 238, "stock QEMU")
    p.box(280, 20, 260, 190, SWITCH)
    p.text(410, 44, "switch VM", bold=True)
    p.text(410, 64, "also just a VM")
    p.box(300, 80, 220, 50, "white")
    p.text(410, 101, "Open vSwitch, br0")
    p.text(410, 119, "OpenFlow rules")
    for x, name in ((300, "a"), (420, "b")):
        p.box(x, 142, 100, 60, "white")
        p.text(x + 50, 161, f"port {name}")
        p.text(x + 50, 178, "vhostpci")
    p.text(410, 238, "QEMU with vhost-pci-net")
    p.line([(205, 191), (613, 191)], ours=True)
    p.line([(125, 250), (125, 268), (695, 268), (695, 250)])
    p.line([(410, 246), (410, 268)])
    p.text(410, 288, "control: a vhost-user socket for each peer.  "
           "Packets: one copy, by the switch VM alone")
    return p.svg()


def summary():
    """[(what, split, packed)] of the summary's table."""
    page = (DOC / "performance.md").read_text().split("\n## ")
    part = next(s for s in page if s.startswith("Summary\n"))
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|$", part, re.M)
    return [(what, float(split), float(packed)) for what, split, packed in rows]


def costs():
    """Bars: a packet's cost against the vhost-user port's, which is 1."""
    rows, left, unit = summary(), 310, 380
    p = Picture(780, 60 + 64 * len(rows) + 40,
                "What a packet of 64 bytes costs")
    p.text(20, 28, "Cycles for a packet of 64 bytes (DPDK's vhost-user port in "
           "the same run: 1)", "start", True)
    for i, (what, *figures) in enumerate(rows):
        y = 50 + 64 * i
        p.text(left - 12, y + 28, what, "end")
        for k, (ring, value) in enumerate(zip(("split", "packed"), figures)):
            p.bar(left, y + 24 * k, unit * value, 20, OURS)
            p.text(left + 8, y + 15 + 24 * k, f"{value:.2f}  {ring} rings",
                   "start", ink="white")
    bottom = 50 + 64 * len(rows)
    p.line([(left + unit, 40), (left + unit, bottom)])
    p.text(left + unit, bottom + 20, "vhost-user")
    return p.svg()


def main():
    stale = []
    for name, draw in (("topology.svg", topology), ("costs.svg", costs)):
        path, picture = DOC / name, draw()
        if not path.is_file() or path.read_text() != picture:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                path.write_text(picture)
    if stale and "--check" in sys.argv[1:]:
        print("not as doc/pictures.py draws it: " + ", ".join(stale),
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
