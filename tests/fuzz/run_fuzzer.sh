#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the fuzzer for FUZZ_SECONDS (20) in the current build directory. It leaves
# a crash input as tests/fuzz/crash-*; `tests/fuzz/fuzz_vhost_user FILE` runs the
# input again.
set -eu

fuzzer=tests/fuzz/fuzz_vhost_user
if [ ! -x "$fuzzer" ]; then
	echo "SKIP: no fuzzer was built: configure found no clang with" \
	    "libFuzzer (it names the Debian packages)"
	exit 77
fi

"${PYTHON3:-python3}" "$srcdir/tests/fuzz/make_seeds.py" tests/fuzz/seeds \
    "$srcdir"/tests/fuzz/corpus-raw/*.vus
mkdir -p tests/fuzz/corpus
log=tests/fuzz/fuzz_vhost_user.out
# The fuzzer first runs all inputs of the corpus and the seeds, then new ones.
if "$fuzzer" -max_total_time="${FUZZ_SECONDS:-20}" -max_len=8192 -timeout=20 \
    -reduce_inputs=0 -print_final_stats=1 -artifact_prefix=tests/fuzz/ \
    tests/fuzz/corpus tests/fuzz/seeds >"$log" 2>&1; then
	grep -E '^Done|^stat::' "$log"
else
	cat "$log"
	exit 1
fi
