# SPDX-License-Identifier: Apache-2.0
# unit/ (cmocka), model/ (spin), native/ (DPDK processes, no machine), fuzz/ and
# qtest/ (QEMU without a guest) run in `make check`; vm/ runs in `make check-vm`,
# packages/ in `make check-packages`.
EXTRA_DIST += tests/sample.py

# What `make distcheck-sample` builds and runs, beside the first test of each
# pytest file: programs that together include every header of the tests and
# read their data.
sample_programs =
sample_data =
sample_tests = tests/fuzz/run_fuzzer.sh tests/fuzz/run_fuzz_rings.sh

include tests/unit/automake.mk
include tests/model/automake.mk
include tests/tools/automake.mk
include tests/fuzz/automake.mk
include tests/bench/automake.mk
include tests/native/automake.mk
include tests/qtest/automake.mk
include tests/vm/automake.mk
include tests/packages/automake.mk

# Logs and images of the tests, which are folders.  A build inside the source
# tree keeps them: the same folders hold the tests there.
mostlyclean-local:
	test '$(srcdir)' = . || rm -rf tests/native tests/qtest tests/vm bench
