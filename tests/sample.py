# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that runs only the first test of each file.

`make distcheck-sample` uses it.  `make check` of the same tree has run all
tests already; distcheck only has to show that they start from the tarball.
"""


def pytest_collection_modifyitems(config, items):
    taken, left = set(), []
    for item in list(items):
        if item.path in taken:
            left.append(item)
            items.remove(item)
        taken.add(item.path)
    config.hook.pytest_deselected(items=left)
