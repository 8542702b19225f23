# SPDX-License-Identifier: Apache-2.0
# Measurements: `make bench BENCH_ARGS='--only loop-split-64-ovs'`.  Only the
# bench and its test need the programs.
bench_programs = tests/bench/floor_copy tests/bench/bench_ports \
	tests/bench/stamps.so
if !HAVE_PMD
EXTRA_PROGRAMS += $(bench_programs)
endif
CLEANFILES += $(bench_programs)
EXTRA_DIST += tests/bench/bench.py tests/bench/chain.py \
	tests/bench/chain_report.py tests/bench/chain_vms.py tests/bench/floor.py \
	tests/bench/test_bench.py \
	tests/bench/test_plots.py \
	tests/bench/hugepages.py tests/bench/idle.py tests/bench/idle_ovs.py \
	tests/bench/loop.py tests/bench/machine.py \
	tests/bench/peers.py tests/bench/ports.py tests/bench/results.py \
	tests/bench/plots.py tests/bench/rigs.py tests/bench/stages.py tests/bench/steered.py \
	tests/bench/switch.py \
	tests/bench/trips.py

tests_bench_floor_copy_SOURCES = tests/bench/floor_copy.c
tests_bench_floor_copy_CFLAGS = $(AM_CFLAGS) -O2 -pthread
tests_bench_floor_copy_LDFLAGS = -pthread
tests_bench_floor_copy_LDADD =

tests_bench_bench_ports_SOURCES = tests/bench/bench_ports.c
tests_bench_bench_ports_CFLAGS = $(AM_CFLAGS) -O2 $(DPDK_CFLAGS)
tests_bench_bench_ports_LDADD = $(DPDK_LIBS)

# The driver again, compiled to count the cycles of each stage of its bursts.
tests_bench_stamps_so_SOURCES = $(guest_pmd_sources)
tests_bench_stamps_so_CPPFLAGS = $(guest_pmd_librte_net_vpci_so_CPPFLAGS) \
	-DVHOSTPCI_STAMPS
tests_bench_stamps_so_CFLAGS = $(guest_pmd_librte_net_vpci_so_CFLAGS)
tests_bench_stamps_so_LDFLAGS = $(guest_pmd_librte_net_vpci_so_LDFLAGS)
tests_bench_stamps_so_DEPENDENCIES = guest-pmd/version.map
tests_bench_stamps_so_LDADD = $(guest_pmd_librte_net_vpci_so_LDADD)

.PHONY: bench bench-programs
bench-programs: $(bench_programs)
bench: all ovs bench-programs
	$(tools_env) PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) \
	  $(abs_top_srcdir)/tests/bench/bench.py $(BENCH_ARGS)

if HAVE_PMD
check_PROGRAMS += $(bench_programs)
endif
TESTS += tests/bench/test_bench.py tests/bench/test_plots.py
