# SPDX-License-Identifier: Apache-2.0
# Unit tests (cmocka) of what has no dependency: the vhost-user core, the device
# ABI, the end of commits. All run in `make check`.
if HAVE_CMOCKA
unit_tests = \
	tests/unit/test_vhost_pci_abi \
	tests/unit/test_vhost_user_headers \
	tests/unit/test_vhost_user_memory \
	tests/unit/test_vhost_user_memory_changes \
	tests/unit/test_vhost_user_recorded \
	tests/unit/test_vhost_user_ring_rules \
	tests/unit/test_vhost_user_rings \
	tests/unit/test_vhost_user_session \
	tests/unit/test_vhost_user_waiting \
	tests/unit/test_vring_commit
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
sample_programs += tests/unit/test_vhost_user_recorded
sample_tests += tests/unit/test_vhost_user_recorded

vu_peer_sources = $(protocol_sources) tests/unit/vu_peer.c tests/unit/vu_peer.h
tests_unit_test_vhost_pci_abi_SOURCES = tests/unit/test_vhost_pci_abi.c
tests_unit_test_vhost_user_headers_SOURCES = \
	tests/unit/test_vhost_user_headers.c $(vu_peer_sources)
tests_unit_test_vhost_user_memory_SOURCES = \
	tests/unit/test_vhost_user_memory.c $(vu_peer_sources)
tests_unit_test_vhost_user_memory_changes_SOURCES = \
	tests/unit/test_vhost_user_memory_changes.c $(vu_peer_sources)
tests_unit_test_vhost_user_recorded_SOURCES = \
	tests/unit/test_vhost_user_recorded.c $(vu_peer_sources)
tests_unit_test_vhost_user_ring_rules_SOURCES = \
	tests/unit/test_vhost_user_ring_rules.c $(vu_peer_sources)
tests_unit_test_vhost_user_rings_SOURCES = \
	tests/unit/test_vhost_user_rings.c $(vu_peer_sources)
tests_unit_test_vhost_user_session_SOURCES = \
	tests/unit/test_vhost_user_session.c $(vu_peer_sources)
tests_unit_test_vhost_user_waiting_SOURCES = \
	tests/unit/test_vhost_user_waiting.c $(vu_peer_sources)
tests_unit_test_vring_commit_SOURCES = tests/unit/test_vring_commit.c \
	$(vring_commit_sources)

tests_unit_test_vhost_pci_abi_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_headers_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_memory_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_memory_changes_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_recorded_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_ring_rules_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_rings_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_session_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vhost_user_waiting_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_vring_commit_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)

tests_unit_test_vhost_pci_abi_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_headers_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_memory_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_memory_changes_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_recorded_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_ring_rules_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_rings_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_session_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vhost_user_waiting_LDADD = $(CMOCKA_LIBS)
tests_unit_test_vring_commit_LDADD = $(CMOCKA_LIBS)
endif

# The control virtqueue of the driver against a hostile device.
if HAVE_PMD
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_pci_ctrlq
TESTS += tests/unit/test_pci_ctrlq
endif
endif
tests_unit_test_pci_ctrlq_SOURCES = tests/unit/test_pci_ctrlq.c \
	guest-pmd/pci/ctrlq.c
tests_unit_test_pci_ctrlq_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd
tests_unit_test_pci_ctrlq_CFLAGS = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS)
tests_unit_test_pci_ctrlq_LDADD = $(DPDK_LIBS) $(CMOCKA_LIBS)
