# SPDX-License-Identifier: BSD-3-Clause
# The DPDK driver.  Automake knows shared objects only through libtool; a
# "program" linked with -shared gives DPDK's own file names without it.  The
# real file carries the ABI version as EAL's directory scan wants it, with the
# links .so.23 (the soname) and .so that DPDK's own drivers have.
pmd_name = librte_net_vhostpci.so
pmd_file = guest-pmd/$(pmd_name).23.0

guest_pmd_sources =

if HAVE_PMD
pmd_PROGRAMS += guest-pmd/librte_net_vhostpci.so.23.0
noinst_DATA = guest-pmd/librte_net_vhostpci.so.23 guest-pmd/librte_net_vhostpci.so
endif

guest_pmd_librte_net_vhostpci_so_23_0_SOURCES = $(guest_pmd_sources)
guest_pmd_librte_net_vhostpci_so_23_0_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(srcdir)/guest-pmd
guest_pmd_librte_net_vhostpci_so_23_0_CFLAGS = $(AM_CFLAGS) \
	$(DPDK_DRIVER_CFLAGS) -fPIC -fvisibility=hidden -fno-strict-aliasing
# Only the registration constructors and the public calls leave the object;
# symbols resolve against the DPDK libraries named here, or not at all.
guest_pmd_librte_net_vhostpci_so_23_0_LDFLAGS = -shared \
	-Wl,-soname,$(pmd_name).23 -Wl,-z,defs -Wl,-z,now
guest_pmd_librte_net_vhostpci_so_23_0_LDADD = $(DPDK_LIBS) -lrte_bus_pci \
	-lrte_bus_vdev

guest-pmd/librte_net_vhostpci.so.23 guest-pmd/librte_net_vhostpci.so: \
		$(pmd_file)
	$(AM_V_GEN)cd guest-pmd && ln -sf $(pmd_name).23.0 $(@F)

CLEANFILES += guest-pmd/librte_net_vhostpci.so.23 guest-pmd/librte_net_vhostpci.so

if HAVE_PMD
install-exec-hook:
	cd '$(DESTDIR)$(pmddir)' && ln -sf $(pmd_name).23.0 $(pmd_name).23 && \
	  ln -sf $(pmd_name).23 $(pmd_name)
uninstall-hook:
	rm -f '$(DESTDIR)$(pmddir)/$(pmd_name).23' '$(DESTDIR)$(pmddir)/$(pmd_name)'
endif
