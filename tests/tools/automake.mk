# SPDX-License-Identifier: Apache-2.0
# Tests of those scripts of tools/ that do more than call others, and of code
# that several tests share.
tools_tests = tests/tools/test_count_results.py \
	tests/tools/test_in_front.py \
	tests/tools/test_release_root.py \
	tests/tools/test_releases.py \
	tests/tools/test_rooms.py \
	tests/tools/test_testpmd_talk.py
TESTS += $(tools_tests)
EXTRA_DIST += $(tools_tests)
