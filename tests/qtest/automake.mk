# SPDX-License-Identifier: Apache-2.0
# Tests of the device without a guest. They are skipped until `make qemu`.
qtest_tests = \
	tests/qtest/test_commit.py \
	tests/qtest/test_hostile.py \
	tests/qtest/test_lifecycle.py \
	tests/qtest/test_memory_cost.py \
	tests/qtest/test_neighbour.py \
	tests/qtest/test_offer.py \
	tests/qtest/test_revoke.py \
	tests/qtest/test_server.py \
	tests/qtest/test_slow_close.py \
	tests/qtest/test_slow_commit.py \
	tests/qtest/test_slow_signal.py \
	tests/qtest/test_state.py \
	tests/qtest/test_timeout.py \
	tests/qtest/test_unshared.py
TESTS += $(qtest_tests)
EXTRA_DIST += $(qtest_tests) \
	tests/qtest/bench.py \
	tests/qtest/conftest.py \
	tests/qtest/driver.py \
	tests/qtest/frontend.py \
	tests/qtest/machine.py \
	tests/qtest/server.py
