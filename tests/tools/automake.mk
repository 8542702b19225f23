# SPDX-License-Identifier: Apache-2.0
# The scripts of tools/, where they do more than call others.
TESTS += tests/tools/test_in_front.py \
	tests/tools/test_rooms.py
EXTRA_DIST += tests/tools/test_in_front.py \
	tests/tools/test_rooms.py
