# SPDX-License-Identifier: Apache-2.0
# unit/ (cmocka), model/ (spin), native/ (DPDK processes, no machine), fuzz/ and
# qtest/ (QEMU without a guest) run in `make check`; vm/ runs in `make check-vm`,
# packages/ in `make check-packages`.
EXTRA_DIST += tests/sample.py

# Programs that `make distcheck-sample` builds and runs, besides the first test
# of each pytest file. Together they include every header of the tests, and read
# all their data.
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

# Folders with logs and images of the tests.  A build inside the source tree
# keeps them, because there the same folders contain the tests.
mostlyclean-local:
	test '$(srcdir)' = . || rm -rf tests/native tests/qtest tests/vm bench
