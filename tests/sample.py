# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: run the first test of each file and leave the rest out.

For `make distcheck-sample` behind a `make check` of the same tree, which has
run them all: what is left to show is that they start from the tarball.
"""


def pytest_collection_modifyitems(config, items):
    taken, left = set(), []
    for item in list(items):
        if item.path in taken:
            left.append(item)
            items.remove(item)
        taken.add(item.path)
    config.hook.pytest_deselected(items=left)
