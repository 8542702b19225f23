# SPDX-License-Identifier: Apache-2.0
"""Measures work that every driver has to do: copying the bytes from one core's
cache into the other's."""
from loop import SIZES
from machine import floor, sets

UNIT = "cycles/packet"


def cases():
    return {f"floor-copy-{size}": size for size in SIZES}


def run(wanted, results, options):
    for name in wanted:
        options.say(name)
        size, ms = cases()[name], int(options.seconds * 400)
        results.add_sets(name, UNIT, sets(
            lambda _, size=size, ms=ms: {
                "subject": floor(size, ms, "far"),
                "baseline": floor(size, ms, "near")}, options))
