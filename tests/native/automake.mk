# SPDX-License-Identifier: Apache-2.0
# The driver and Open vSwitch without a VM: the driver against a peer in the
# same process (cmocka) and against DPDK's own virtio-user (pytest, testpmd);
# the switch as a process of this machine. What is not built is skipped, with
# the reason.
native_cppflags = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd -I$(srcdir)/tests/native
native_cflags = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS) -fno-strict-aliasing
native_libs = $(DPDK_LIBS) -lrte_bus_pci -lrte_bus_vdev $(CMOCKA_LIBS)
# The same tests where an access out of bounds, or arithmetic that C leaves
# undefined, ends the program.
native_sanitize = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
native_asan_cppflags = $(native_cppflags) \
	-include $(srcdir)/tests/native/whole_memcpy.h

native_tests = \
	tests/native/test_rings tests/native/test_long_chains \
	tests/native/test_bursts \
	tests/native/test_packed tests/native/test_packed_resume \
	tests/native/test_offload_rx tests/native/test_offload_tx \
	tests/native/test_large_buffers \
	tests/native/test_port tests/native/test_hostile \
	tests/native/test_bad_setup \
	tests/native/test_race tests/native/test_socket \
	tests/native/test_socket_host tests/native/test_call \
	tests/native/test_intr tests/native/test_txmap
native_asan_tests = \
	tests/native/test_rings_asan tests/native/test_long_chains_asan \
	tests/native/test_bursts_asan \
	tests/native/test_packed_asan tests/native/test_packed_resume_asan \
	tests/native/test_offload_rx_asan tests/native/test_offload_tx_asan \
	tests/native/test_large_buffers_asan \
	tests/native/test_port_asan tests/native/test_hostile_asan \
	tests/native/test_bad_setup_asan \
	tests/native/test_race_asan tests/native/test_socket_asan \
	tests/native/test_socket_host_asan tests/native/test_call_asan \
	tests/native/test_intr_asan tests/native/test_txmap_asan

if HAVE_PMD
if HAVE_CMOCKA
check_LIBRARIES += tests/native/libnative.a tests/native/libnative_asan.a
check_PROGRAMS += $(native_tests)
check_DATA += $(native_asan_tests)
TESTS += $(native_tests) $(native_asan_tests)
sample_programs += tests/native/test_rings tests/native/test_socket
sample_tests += tests/native/test_rings tests/native/test_socket
endif
endif
# What stock virtio-user peers run in test_interop.py; needs no driver headers.
check_PROGRAMS += tests/native/seqcheck/seqcheck
sample_programs += tests/native/seqcheck/seqcheck
native_pytests = tests/native/test_testpmd.py tests/native/test_ovs_port.py \
	tests/native/test_interop.py tests/native/test_drop_in.py \
	tests/native/test_offload.py tests/native/test_ovs_offload.py
TESTS += $(native_pytests)
EXTRA_DIST += $(native_pytests) tests/native/testpmd.py \
	tests/native/native_ovs.py

tests_native_libnative_a_SOURCES = tests/native/peer/fakepeer.c \
	tests/native/peer/fakepeer.h tests/native/peer/fakepeer_packet.c \
	tests/native/peer/fakepacked.c \
	tests/native/peer/fakepacked.h tests/native/peer/offload_pkt.c \
	tests/native/peer/offload_pkt.h tests/native/peer/packed_rounds.c \
	tests/native/peer/packed_rounds.h tests/native/whole_memcpy.h \
	$(guest_pmd_port_sources)
tests_native_libnative_a_CPPFLAGS = $(native_cppflags)
tests_native_libnative_a_CFLAGS = $(native_cflags)
tests_native_libnative_asan_a_SOURCES = $(tests_native_libnative_a_SOURCES)
tests_native_libnative_asan_a_CPPFLAGS = $(native_asan_cppflags)
tests_native_libnative_asan_a_CFLAGS = $(native_cflags) $(native_sanitize)

tests_native_test_rings_SOURCES = tests/native/test_rings.c
tests_native_test_rings_CPPFLAGS = $(native_cppflags)
tests_native_test_rings_CFLAGS = $(native_cflags)
tests_native_test_rings_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_long_chains_SOURCES = tests/native/test_long_chains.c
tests_native_test_long_chains_CPPFLAGS = $(native_cppflags)
tests_native_test_long_chains_CFLAGS = $(native_cflags)
tests_native_test_long_chains_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_bursts_SOURCES = tests/native/test_bursts.c
tests_native_test_bursts_CPPFLAGS = $(native_cppflags)
tests_native_test_bursts_CFLAGS = $(native_cflags)
tests_native_test_bursts_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_packed_SOURCES = tests/native/test_packed.c
tests_native_test_packed_CPPFLAGS = $(native_cppflags)
tests_native_test_packed_CFLAGS = $(native_cflags)
tests_native_test_packed_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_packed_resume_SOURCES = tests/native/test_packed_resume.c
tests_native_test_packed_resume_CPPFLAGS = $(native_cppflags)
tests_native_test_packed_resume_CFLAGS = $(native_cflags)
tests_native_test_packed_resume_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_port_SOURCES = tests/native/test_port.c
tests_native_test_port_CPPFLAGS = $(native_cppflags)
tests_native_test_port_CFLAGS = $(native_cflags)
tests_native_test_port_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_hostile_SOURCES = tests/native/test_hostile.c
tests_native_test_hostile_CPPFLAGS = $(native_cppflags)
tests_native_test_hostile_CFLAGS = $(native_cflags)
tests_native_test_hostile_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_bad_setup_SOURCES = tests/native/test_bad_setup.c
tests_native_test_bad_setup_CPPFLAGS = $(native_cppflags)
tests_native_test_bad_setup_CFLAGS = $(native_cflags)
tests_native_test_bad_setup_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_race_SOURCES = tests/native/test_race.c
tests_native_test_race_CPPFLAGS = $(native_cppflags)
tests_native_test_race_CFLAGS = $(native_cflags)
tests_native_test_race_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_txmap_SOURCES = tests/native/test_txmap.c
tests_native_test_txmap_CPPFLAGS = $(native_cppflags)
tests_native_test_txmap_CFLAGS = $(native_cflags)
tests_native_test_txmap_LDADD = tests/native/libnative.a $(native_libs)

tests_native_seqcheck_seqcheck_SOURCES = tests/native/seqcheck/main.c \
	tests/native/seqcheck/seqcheck.h tests/native/seqcheck/packet.c \
	tests/native/seqcheck/shape.c tests/native/seqcheck/spy.c
tests_native_seqcheck_seqcheck_CFLAGS = $(AM_CFLAGS) $(DPDK_CFLAGS)
tests_native_seqcheck_seqcheck_LDADD = $(DPDK_LIBS)

# Over the real socket transport.
native_socket_sources = tests/native/peer/frontend.c tests/native/peer/frontend.h \
	$(guest_pmd_socket_sources) $(protocol_sources)

tests_native_test_socket_SOURCES = tests/native/test_socket.c \
	$(native_socket_sources)
tests_native_test_socket_CPPFLAGS = $(native_cppflags)
tests_native_test_socket_CFLAGS = $(native_cflags)
tests_native_test_socket_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_socket_host_SOURCES = tests/native/test_socket_host.c \
	$(native_socket_sources)
tests_native_test_socket_host_CPPFLAGS = $(native_cppflags)
tests_native_test_socket_host_CFLAGS = $(native_cflags)
tests_native_test_socket_host_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_call_SOURCES = tests/native/test_call.c \
	$(native_socket_sources)
tests_native_test_call_CPPFLAGS = $(native_cppflags)
tests_native_test_call_CFLAGS = $(native_cflags)
tests_native_test_call_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_intr_SOURCES = tests/native/test_intr.c \
	$(native_socket_sources)
tests_native_test_intr_CPPFLAGS = $(native_cppflags)
tests_native_test_intr_CFLAGS = $(native_cflags)
tests_native_test_intr_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_offload_rx_SOURCES = tests/native/test_offload_rx.c
tests_native_test_offload_rx_CPPFLAGS = $(native_cppflags)
tests_native_test_offload_rx_CFLAGS = $(native_cflags)
tests_native_test_offload_rx_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_offload_tx_SOURCES = tests/native/test_offload_tx.c
tests_native_test_offload_tx_CPPFLAGS = $(native_cppflags)
tests_native_test_offload_tx_CFLAGS = $(native_cflags)
tests_native_test_offload_tx_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_large_buffers_SOURCES = tests/native/test_large_buffers.c
tests_native_test_large_buffers_CPPFLAGS = $(native_cppflags)
tests_native_test_large_buffers_CFLAGS = $(native_cflags)
tests_native_test_large_buffers_LDADD = tests/native/libnative.a $(native_libs)

# A rule of make's for all sanitized programs, not seven lines for each.
native_more_test_socket = $(native_socket_sources)
native_more_test_socket_host = $(native_socket_sources)
native_more_test_call = $(native_socket_sources)
native_more_test_intr = $(native_socket_sources)
native_asan_sources = $(tests_native_libnative_a_SOURCES) \
	$(native_socket_sources)
CLEANFILES += $(native_asan_tests)
$(native_asan_tests): tests/native/%_asan: tests/native/%.c \
	  tests/native/libnative_asan.a $(native_asan_sources)
	$(AM_V_CCLD)$(CC) $(DEFS) $(DEFAULT_INCLUDES) $(native_asan_cppflags) \
	  $(CPPFLAGS) $(native_cflags) $(native_sanitize) $(CFLAGS) -o $@ $< \
	  $(patsubst %,$(srcdir)/%,$(filter %.c,$(native_more_$(*F)))) \
	  $(LDFLAGS) tests/native/libnative_asan.a $(native_libs) $(LIBS)

# Steering: tests of guest-pmd/flow/, which need no port.
native_flow_kit = tests/native/flowkit.c tests/native/flowkit.h
native_flow_tests = tests/native/test_flow tests/native/test_flow_table
native_flow_asan_tests = tests/native/test_flow_asan \
	tests/native/test_flow_table_asan
if HAVE_PMD
if HAVE_CMOCKA
check_PROGRAMS += $(native_flow_tests)
check_DATA += $(native_flow_asan_tests)
TESTS += $(native_flow_tests) $(native_flow_asan_tests)
endif
endif

tests_native_test_flow_SOURCES = tests/native/test_flow.c $(native_flow_kit)
tests_native_test_flow_CPPFLAGS = $(native_cppflags)
tests_native_test_flow_CFLAGS = $(native_cflags)
tests_native_test_flow_LDADD = tests/native/libnative.a $(native_libs)

tests_native_test_flow_table_SOURCES = tests/native/test_flow_table.c \
	$(native_flow_kit)
tests_native_test_flow_table_CPPFLAGS = $(native_cppflags)
tests_native_test_flow_table_CFLAGS = $(native_cflags)
tests_native_test_flow_table_LDADD = tests/native/libnative.a $(native_libs)

CLEANFILES += $(native_flow_asan_tests)
$(native_flow_asan_tests): tests/native/%_asan: tests/native/%.c \
	  tests/native/libnative_asan.a $(native_flow_kit)
	$(AM_V_CCLD)$(CC) $(DEFS) $(DEFAULT_INCLUDES) $(native_asan_cppflags) \
	  $(CPPFLAGS) $(native_cflags) $(native_sanitize) $(CFLAGS) -o $@ $< \
	  $(srcdir)/tests/native/flowkit.c $(LDFLAGS) \
	  tests/native/libnative_asan.a $(native_libs) $(LIBS)
