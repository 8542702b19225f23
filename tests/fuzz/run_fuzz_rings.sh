#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the ring fuzzer in the current build directory, in each mode: for
# RING_FUZZ_SECONDS (6), or for a quarter of BURSTS bursts. After a failure, the
# output ends with the command that repeats it.
set -eu

fuzzer=tests/fuzz/fuzz_rings
if [ ! -x "$fuzzer" ]; then
	echo "SKIP: the ring fuzzer was not built: configure found no DPDK" \
	    "driver headers or no cmocka"
	exit 77
fi

for mode in --mode=steps --mode=race "--mode=steps --rules" "--mode=race --rules"; do
	if [ -n "${BURSTS:-}" ]; then
		# shellcheck disable=SC2086 # options are words
		"$fuzzer" $mode --bursts=$((BURSTS / 4))
	else
		# shellcheck disable=SC2086
		"$fuzzer" $mode --bursts=1000000000 \
		    --seconds="${RING_FUZZ_SECONDS:-6}"
	fi
done
