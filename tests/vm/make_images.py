# SPDX-License-Identifier: Apache-2.0
"""Makes images of this release of Debian, for tests that run on another one:

    python3 tests/vm/make_images.py NAME...

NAME is "peer", "switch" (needs Open vSwitch) or "testpmd".  The images stay in
BUILDDIR/tests/vm/images/NAME.cpio; harness/other.py uses them.
"""
import sys

from harness import config, testpmd
from harness.images import Images


def main():
    images = Images(config.BUILD / "tests" / "vm" / "images")
    make = {"peer": images.peer, "switch": images.switch,
            "testpmd": lambda: testpmd.image(images)}
    for name in sys.argv[1:]:
        path = make[name]()
        path.rename(path.with_name(name + ".cpio"))


if __name__ == "__main__":
    main()
