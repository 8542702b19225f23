# SPDX-License-Identifier: Apache-2.0
# Unit tests (cmocka) of code without dependencies: the vhost-user core, the
# device ABI, the end of commits. All run in `make check`.
if HAVE_CMOCKA
unit_tests = \
	tests/unit/test_peers \
	tests/unit/test_vhost_pci_abi \
	tests/unit/test_vhost_user_headers \
	tests/unit/test_vhost_user_inflight \
	tests/unit/test_vhost_user_memory \
	tests/unit/test_vhost_user_memory_changes \
	tests/unit/test_vhost_user_recorded \
	tests/unit/test_vhost_user_ring_fds \
	tests/unit/test_vhost_user_ring_rules \
	tests/unit/test_vhost_user_rings \
	tests/unit/test_vhost_user_session \
	tests/unit/test_vhost_user_waiting \
	tests/unit/test_vring_commit \
	tests/unit/test_vring_find
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
sample_programs += tests/unit/test_vhost_user_recorded
sample_tests += tests/unit/test_vhost_user_recorded

# Each program has one source file, whose name automake derives.
check_LIBRARIES += tests/unit/libunit.a
endif

tests_unit_libunit_a_SOURCES = $(protocol_sources) $(vring_commit_sources) \
	$(peers_sources) \
	tests/unit/vu_peer.c tests/unit/vu_peer.h
# Libraries of programs without their own _LDADD: the unit tests.
LDADD = tests/unit/libunit.a $(CMOCKA_LIBS)

# Tests of the driver with a faulty device: the control virtqueue, and values
# from configuration space and STATE. Tests of a device with several ports.
if HAVE_PMD
if HAVE_CMOCKA
pci_unit_tests = tests/unit/test_pci_ctrlq tests/unit/test_pci_functions \
	tests/unit/test_pci_ports
check_PROGRAMS += $(pci_unit_tests)
TESTS += $(pci_unit_tests)
endif
endif
tests_unit_test_pci_ctrlq_SOURCES = tests/unit/test_pci_ctrlq.c \
	guest-pmd/pci/ctrlq.c
tests_unit_test_pci_ctrlq_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd
tests_unit_test_pci_ctrlq_CFLAGS = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS)
tests_unit_test_pci_ctrlq_LDADD = $(DPDK_LIBS) $(CMOCKA_LIBS)
tests_unit_test_pci_functions_SOURCES = tests/unit/test_pci_functions.c \
	guest-pmd/pci/config.c guest-pmd/pci/convert.c
tests_unit_test_pci_functions_CPPFLAGS = \
	$(tests_unit_test_pci_ctrlq_CPPFLAGS)
tests_unit_test_pci_functions_CFLAGS = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS)
tests_unit_test_pci_functions_LDADD = $(DPDK_LIBS) $(CMOCKA_LIBS)
# This test includes guest-pmd/pci/control.c.
tests_unit_test_pci_ports_CPPFLAGS = $(tests_unit_test_pci_ctrlq_CPPFLAGS)
tests_unit_test_pci_ports_CFLAGS = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS)
tests_unit_test_pci_ports_LDADD = $(DPDK_LIBS) $(CMOCKA_LIBS)
