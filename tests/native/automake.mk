# SPDX-License-Identifier: Apache-2.0
# Tests of the driver and of Open vSwitch without a VM: the driver against a
# peer in the same process (cmocka), and against DPDK's own virtio-user (pytest,
# testpmd); the switch as a process of this machine. Tests whose programs are
# not built are skipped with a reason.
native_cppflags = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd -I$(srcdir)/tests/native
native_cflags = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS) -fno-strict-aliasing
native_libs = $(DPDK_LIBS) -lrte_bus_pci -lrte_bus_vdev $(CMOCKA_LIBS)
# For the same tests with sanitizers: an access out of bounds, or arithmetic
# that C leaves undefined, ends the program.
native_sanitize = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
native_asan_cppflags = $(native_cppflags) \
	-include $(srcdir)/tests/native/whole_memcpy.h

# Each of these programs has one source file, and is built twice: plain, and
# with sanitizers as NAME_asan.
native_tests = \
	tests/native/test_bad_setup \
	tests/native/test_bursts \
	tests/native/test_flow \
	tests/native/test_flow_edit \
	tests/native/test_flow_port \
	tests/native/test_flow_table \
	tests/native/test_hostile \
	tests/native/test_large_buffers \
	tests/native/test_long_chains \
	tests/native/test_offload_rx \
	tests/native/test_offload_tx \
	tests/native/test_packed \
	tests/native/test_packed_kill \
	tests/native/test_packed_resume \
	tests/native/test_port \
	tests/native/test_race \
	tests/native/test_revoked \
	tests/native/test_rings \
	tests/native/test_scatter \
	tests/native/test_steer \
	tests/native/test_steer_needs \
	tests/native/test_steer_offload \
	tests/native/test_steer_race \
	tests/native/test_steer_rounds \
	tests/native/test_txmap \
	$(native_socket_tests)
# The programs that use the real socket transport.
native_socket_tests = \
	tests/native/test_call \
	tests/native/test_call_slow \
	tests/native/test_intr \
	tests/native/test_socket \
	tests/native/test_socket_close \
	tests/native/test_socket_host \
	tests/native/test_socket_packed \
	tests/native/test_steer_socket
native_asan_tests = $(native_tests:=_asan)
# Not a test: measures steering without rings. `make tests/native/flow_cost`
native_more = tests/native/flow_cost

EXTRA_DIST += $(native_tests:=.c) $(native_more:=.c)
CLEANFILES += $(native_tests) $(native_asan_tests) $(native_more)
if HAVE_PMD
if HAVE_CMOCKA
check_LIBRARIES += tests/native/libnative.a tests/native/libsocket.a \
	tests/native/libnative_asan.a tests/native/libsocket_asan.a
check_DATA += $(native_tests) $(native_asan_tests)
TESTS += $(native_tests) $(native_asan_tests)
sample_data += tests/native/test_rings tests/native/test_socket
sample_tests += tests/native/test_rings tests/native/test_socket
endif
endif
# The program of stock virtio-user peers in test_interop.py. It needs no driver
# headers.
check_PROGRAMS += tests/native/seqcheck/seqcheck
sample_programs += tests/native/seqcheck/seqcheck
# test_flow_offload.py and test_ovs_queues.py preload these into ovs-vswitchd.
check_PROGRAMS += tests/native/flowstub.so tests/native/nodestub.so
native_pytests = tests/native/test_testpmd.py tests/native/test_ovs_port.py \
	tests/native/test_interop.py tests/native/test_drop_in.py \
	tests/native/test_offload.py tests/native/test_ovs_offload.py \
	tests/native/test_flow_offload.py tests/native/test_steering_ovs.py \
	tests/native/test_flow_testpmd.py tests/native/test_controllers.py \
	tests/native/test_mesh_controller.py tests/native/test_live.py \
	tests/native/test_steering_diff.py tests/native/test_secondary.py \
	tests/native/test_slow_peer.py tests/native/test_ovs_queues.py
TESTS += $(native_pytests)
EXTRA_DIST += $(native_pytests) tests/native/testpmd.py \
	tests/native/native_ovs.py tests/native/raw_peer.py \
	tests/native/osken_switch.py \
	tests/native/diff_frames.py tests/native/diff_offloads.py \
	tests/native/diff_tables.py \
	tests/native/steering_diff.py tests/native/steering_rig.py

# Runs more cases of test_steering_diff.py; another SEED makes other cases.
CASES = 10000
SEED = 1
.PHONY: check-steering-diff
check-steering-diff: all ovs
	top_builddir='$(abs_top_builddir)' PYTHONDONTWRITEBYTECODE=1 \
	  $(PYTHON3) $(top_srcdir)/tests/native/steering_diff.py \
	  --cases $(CASES) --seed $(SEED)

tests_native_libnative_a_SOURCES = tests/native/peer/fakepeer.c \
	tests/native/peer/fakepeer.h tests/native/peer/fakepeer_packet.c \
	tests/native/peer/fakepacked.c \
	tests/native/peer/fakepacked.h tests/native/peer/offload_pkt.c \
	tests/native/peer/offload_pkt.h tests/native/peer/packed_rounds.c \
	tests/native/peer/packed_rounds.h tests/native/whole_memcpy.h \
	tests/native/usage.h \
	tests/native/flowkit.c tests/native/flowkit.h \
	$(guest_pmd_port_sources)
tests_native_libnative_a_CPPFLAGS = $(native_cppflags)
tests_native_libnative_a_CFLAGS = $(native_cflags)
tests_native_libnative_asan_a_SOURCES = $(tests_native_libnative_a_SOURCES)
tests_native_libnative_asan_a_CPPFLAGS = $(native_asan_cppflags)
tests_native_libnative_asan_a_CFLAGS = $(native_cflags) $(native_sanitize)

tests_native_libsocket_a_SOURCES = tests/native/peer/frontend.c \
	tests/native/peer/frontend.h $(guest_pmd_socket_sources) \
	$(protocol_sources)
tests_native_libsocket_a_CPPFLAGS = $(native_cppflags)
tests_native_libsocket_a_CFLAGS = $(native_cflags)
tests_native_libsocket_asan_a_SOURCES = $(tests_native_libsocket_a_SOURCES)
tests_native_libsocket_asan_a_CPPFLAGS = $(native_asan_cppflags)
tests_native_libsocket_asan_a_CFLAGS = $(native_cflags) $(native_sanitize)

tests_native_seqcheck_seqcheck_SOURCES = tests/native/seqcheck/main.c \
	tests/native/seqcheck/seqcheck.h tests/native/seqcheck/packet.c \
	tests/native/seqcheck/shape.c tests/native/seqcheck/spy.c
tests_native_seqcheck_seqcheck_CFLAGS = $(AM_CFLAGS) $(DPDK_CFLAGS)
tests_native_seqcheck_seqcheck_LDADD = $(DPDK_LIBS)

tests_native_flowstub_so_SOURCES = tests/native/flowstub.c
tests_native_flowstub_so_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd
tests_native_flowstub_so_CFLAGS = $(AM_CFLAGS) -fPIC $(DPDK_CFLAGS)
tests_native_flowstub_so_LDFLAGS = -shared

tests_native_nodestub_so_SOURCES = tests/native/nodestub.c
tests_native_nodestub_so_CFLAGS = $(AM_CFLAGS) -fPIC
tests_native_nodestub_so_LDFLAGS = -shared

# One rule of make for all programs: automake would need four lines for each
# program, and seven for its twin.  The socket transport registers itself as a
# driver when a program starts.  No symbol refers to it, so the linker needs
# --whole-archive.
native_headers = $(filter %.h,$(tests_native_libnative_a_SOURCES) \
	$(tests_native_libsocket_a_SOURCES))
native_compile = $(AM_V_CCLD)$(CC) $(DEFS) $(DEFAULT_INCLUDES)
native_whole = \
	$(if $(filter-out $(native_socket_tests),tests/native/$*),,-Wl,--whole-archive \
	  tests/native/libsocket$(1).a -Wl,--no-whole-archive)
native_link = $< $(LDFLAGS) $(call native_whole,$(1)) \
	tests/native/libnative$(1).a $(native_libs) $(LIBS)

$(native_tests) $(native_more): tests/native/%: tests/native/%.c tests/native/libnative.a \
	  tests/native/libsocket.a $(native_headers)
	$(native_compile) $(native_cppflags) $(CPPFLAGS) $(native_cflags) \
	  $(CFLAGS) -o $@ $(call native_link,)
$(native_asan_tests): tests/native/%_asan: tests/native/%.c \
	  tests/native/libnative_asan.a tests/native/libsocket_asan.a \
	  $(native_headers)
	$(native_compile) $(native_asan_cppflags) $(CPPFLAGS) $(native_cflags) \
	  $(native_sanitize) $(CFLAGS) -o $@ $(call native_link,_asan)

# If Open vSwitch was built, this test sends the same frames through its parser
# and actions. Half of the program is compiled with Open vSwitch's headers, the
# other half with this project's.
native_ovs_lib = ovs/lib/.libs/libopenvswitch.a
native_ovs_cflags = -mssse3 $(DPDK_CFLAGS) -Iovs -Iovs/include -Iovs/lib \
	-Iovs-src/include -Iovs-src/lib -I$(srcdir)/tests/native
native_flow_ovs_sources = tests/native/flow_ovs.c tests/native/flow_ovs.h \
	tests/native/flow_ovs_lib.c
if HAVE_PMD
if HAVE_CMOCKA
check_DATA += tests/native/flow_ovs.stamp
TESTS += tests/native/test_flow_ovs.sh
endif
endif
EXTRA_DIST += $(native_flow_ovs_sources) tests/native/test_flow_ovs.sh
CLEANFILES += tests/native/flow_ovs tests/native/flow_ovs.stamp \
	tests/native/flow_ovs_lib.o
tests/native/flow_ovs.stamp: $(native_flow_ovs_sources) \
	  tests/native/libnative.a $(native_headers) \
	  $(wildcard $(native_ovs_lib))
	$(AM_V_CCLD)rm -f tests/native/flow_ovs; \
	if test -f $(native_ovs_lib); then \
	  $(CC) $(native_ovs_cflags) $(CFLAGS) -Wno-deprecated-declarations \
	    -c -o tests/native/flow_ovs_lib.o \
	    $(srcdir)/tests/native/flow_ovs_lib.c && \
	  $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(native_cppflags) $(CPPFLAGS) \
	    $(native_cflags) $(CFLAGS) -o tests/native/flow_ovs \
	    $(srcdir)/tests/native/flow_ovs.c tests/native/flow_ovs_lib.o \
	    $(LDFLAGS) tests/native/libnative.a $(native_ovs_lib) \
	    `sed -n "s/^dependency_libs='\(.*\)'/\1/p" \
	      ovs/lib/libopenvswitch.la | \
	      sed 's,[^ ]*/lib\([a-z0-9]*\)\.la,ovs/lib/.libs/lib\1.a,g'` \
	    $(native_libs) $(LIBS); \
	fi && touch $@
