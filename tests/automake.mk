# SPDX-License-Identifier: Apache-2.0
# unit/ (cmocka), native/ (DPDK processes, no machine), fuzz/ run in
# `make check`; vm/ runs in `make check-vm`.
EXTRA_DIST +=

if HAVE_PMD
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_pci_ctrlq
TESTS += tests/unit/test_pci_ctrlq
endif
endif
tests_unit_test_pci_ctrlq_SOURCES = tests/unit/test_pci_ctrlq.c \
	guest-pmd/vhostpci_pci_ctrlq.c
tests_unit_test_pci_ctrlq_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/guest-pmd
tests_unit_test_pci_ctrlq_CFLAGS = $(AM_CFLAGS) $(DPDK_DRIVER_CFLAGS)
tests_unit_test_pci_ctrlq_LDADD = $(DPDK_LIBS) $(CMOCKA_LIBS)

include tests/unit/automake.mk

# Skipped, with the reason, until `make ovs` and the driver are built.
TESTS += tests/native/test_ovs_port.py
EXTRA_DIST += tests/native/test_ovs_port.py tests/native/native_ovs.py
