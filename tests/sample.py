# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: run three tests of each file and leave the rest out.

For `make distcheck` behind a `make check` of the same tree, which has run them
all: what is left to show is that they run from the tarball.
"""
EACH = 3


def pytest_collection_modifyitems(config, items):
    taken, left = {}, []
    for item in list(items):
        taken[item.path] = taken.get(item.path, 0) + 1
        if taken[item.path] > EACH:
            left.append(item)
            items.remove(item)
    config.hook.pytest_deselected(items=left)
