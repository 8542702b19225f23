#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the ring fuzzer in the current build directory: a slice of
# RING_FUZZ_SECONDS (8) in each mode, or BURSTS bursts in all, half of them in
# each mode. Whatever it finds, its output ends with how to repeat it.
set -eu

fuzzer=tests/fuzz/fuzz_rings
if [ ! -x "$fuzzer" ]; then
	echo "SKIP: the ring fuzzer was not built: configure found no DPDK" \
	    "driver headers or no cmocka"
	exit 77
fi

for mode in steps race; do
	if [ -n "${BURSTS:-}" ]; then
		"$fuzzer" --mode=$mode --bursts=$((BURSTS / 2))
	else
		"$fuzzer" --mode=$mode --bursts=1000000000 \
		    --seconds="${RING_FUZZ_SECONDS:-8}"
	fi
done
