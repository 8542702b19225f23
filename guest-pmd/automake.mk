# SPDX-License-Identifier: BSD-3-Clause
# The DPDK driver.  Automake supports shared objects only through libtool.
# Therefore the driver is a "program" linked with -shared, which can have the
# file names of DPDK's own drivers.  From a directory EAL loads files whose
# names end in .so or in the whole ABI ("23.0"); the soname ends in the ABI's
# first number.  All these names must be one file, because EAL aborts on a
# second copy of a driver. When installed, the real file's name ends in the
# ABI, and the other names are links, as with DPDK's own drivers.  In the build
# tree the real file's name is one that automake knows, because only configure
# finds out the ABI.
pmd_name = librte_net_vpci.so
pmd_real = $(pmd_name).$(DPDK_ABI)
pmd_soname = $(pmd_name).$(DPDK_ABI_MAJOR)
pmd_links = guest-pmd/$(pmd_real) guest-pmd/$(pmd_soname)

# Steering: rules, their table, and edits of headers.  This code uses neither
# rings nor ports.
guest_pmd_flow_sources = \
	guest-pmd/flow/actions.c \
	guest-pmd/flow/flows.c \
	guest-pmd/flow/format.c \
	guest-pmd/flow/forward.c \
	guest-pmd/flow/forward.h \
	guest-pmd/flow/inlet.c \
	guest-pmd/flow/inlet.h \
	guest-pmd/flow/key.c \
	guest-pmd/flow/key.h \
	guest-pmd/flow/lookup.c \
	guest-pmd/flow/parse.c \
	guest-pmd/flow/parse.h \
	guest-pmd/flow/pattern.c \
	guest-pmd/flow/range.h \
	guest-pmd/flow/rewrite.c \
	guest-pmd/flow/rewrite.h \
	guest-pmd/flow/rule.c \
	guest-pmd/flow/rule.h \
	guest-pmd/flow/set.c \
	guest-pmd/flow/set.h \
	guest-pmd/flow/slab.c \
	guest-pmd/flow/slab.h \
	guest-pmd/flow/store.c \
	guest-pmd/flow/store.h \
	guest-pmd/flow/subtable.c \
	guest-pmd/flow/subtable.h \
	guest-pmd/flow/table.h

# The port and its rings, without a transport.
guest_pmd_port_sources = $(vring_commit_sources) \
	$(guest_pmd_flow_sources) \
	guest-pmd/rte_pmd_vhostpci.h \
	guest-pmd/base/dpdk_compat.h \
	guest-pmd/base/headers.c \
	guest-pmd/base/headers.h \
	guest-pmd/base/limit.c \
	guest-pmd/base/limit.h \
	guest-pmd/base/log.h \
	guest-pmd/base/stamp.h \
	guest-pmd/base/transport.h \
	guest-pmd/net/copy.c \
	guest-pmd/net/copy.h \
	guest-pmd/net/large.c \
	guest-pmd/net/large.h \
	guest-pmd/net/scatter.c \
	guest-pmd/net/scatter.h \
	guest-pmd/net/look.h \
	guest-pmd/net/offload.c \
	guest-pmd/net/offload.h \
	guest-pmd/net/rx.h \
	guest-pmd/net/rxtx.c \
	guest-pmd/net/rxtx.h \
	guest-pmd/net/steer.c \
	guest-pmd/net/steer.h \
	guest-pmd/net/steered.h \
	guest-pmd/net/tx.h \
	guest-pmd/net/variants.c \
	guest-pmd/net/variants.h \
	guest-pmd/port/assign.c \
	guest-pmd/port/assign.h \
	guest-pmd/port/attach.h \
	guest-pmd/port/broken.c \
	guest-pmd/port/broken.h \
	guest-pmd/port/capa.c \
	guest-pmd/port/capa.h \
	guest-pmd/port/ethdev.c \
	guest-pmd/port/ethdev.h \
	guest-pmd/port/flow.c \
	guest-pmd/port/flow.h \
	guest-pmd/port/info.c \
	guest-pmd/port/intr.c \
	guest-pmd/port/intr.h \
	guest-pmd/port/link.c \
	guest-pmd/port/link.h \
	guest-pmd/port/pause.c \
	guest-pmd/port/process.c \
	guest-pmd/port/pause.h \
	guest-pmd/port/peer.c \
	guest-pmd/port/peer.h \
	guest-pmd/port/port.c \
	guest-pmd/port/port.h \
	guest-pmd/port/queue.c \
	guest-pmd/port/queue.h \
	guest-pmd/port/stats.c \
	guest-pmd/port/steering.c \
	guest-pmd/port/stats.h \
	guest-pmd/port/txmap.c \
	guest-pmd/port/txmap.h \
	guest-pmd/vring/chain.c \
	guest-pmd/vring/chain.h \
	guest-pmd/vring/cursor.h \
	guest-pmd/vring/kicks.c \
	guest-pmd/vring/kinds.c \
	guest-pmd/vring/kinds.h \
	guest-pmd/vring/layout.h \
	guest-pmd/vring/mem.c \
	guest-pmd/vring/mem.h \
	guest-pmd/vring/packed.h \
	guest-pmd/vring/queue.h \
	guest-pmd/vring/reader.c \
	guest-pmd/vring/reader.h \
	guest-pmd/vring/resume.c \
	guest-pmd/vring/resume.h \
	guest-pmd/vring/ring.c \
	guest-pmd/vring/ring.h \
	guest-pmd/vring/rules.c \
	guest-pmd/vring/rules.h \
	guest-pmd/vring/send.h \
	guest-pmd/vring/setup.c \
	guest-pmd/vring/split.h \
	guest-pmd/vring/trace.c \
	guest-pmd/vring/trace.h \
	guest-pmd/vring/wait.c \
	guest-pmd/vring/writer.c \
	guest-pmd/vring/writer.h

guest_pmd_socket_sources = \
	guest-pmd/socket/caller.c \
	guest-pmd/socket/caller.h \
	guest-pmd/socket/closer.c \
	guest-pmd/socket/closer.h \
	guest-pmd/socket/inflight.c \
	guest-pmd/socket/io.c \
	guest-pmd/socket/listen.c \
	guest-pmd/socket/map.c \
	guest-pmd/socket/signal.c \
	guest-pmd/socket/signal.h \
	guest-pmd/socket/socket.c \
	guest-pmd/socket/socket.h \
	guest-pmd/socket/unshared.c \
	guest-pmd/socket/transport.c \
	guest-pmd/socket/vdev.c

guest_pmd_sources = $(guest_pmd_port_sources) $(guest_pmd_socket_sources) \
	$(protocol_sources) \
	guest-pmd/pci/areas.c \
	guest-pmd/pci/config.c \
	guest-pmd/pci/control.c \
	guest-pmd/pci/convert.c \
	guest-pmd/pci/ctrlq.c \
	guest-pmd/pci/ctrlq.h \
	guest-pmd/pci/kicks.c \
	guest-pmd/pci/messages.c \
	guest-pmd/pci/pci.c \
	guest-pmd/pci/pci.h \
	guest-pmd/pci/virtio.c \
	guest-pmd/pci/window.c \
	guest-pmd/pci/window.h

if HAVE_PMD
pmd_PROGRAMS += guest-pmd/librte_net_vpci.so
noinst_DATA = $(pmd_links)
endif

guest_pmd_librte_net_vpci_so_SOURCES = $(guest_pmd_sources)
guest_pmd_librte_net_vpci_so_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(srcdir)/guest-pmd
guest_pmd_librte_net_vpci_so_CFLAGS = $(AM_CFLAGS) \
	$(DPDK_DRIVER_CFLAGS) -fPIC -fno-strict-aliasing
# The object exports only the registration constructors and the public
# functions; its symbols must resolve in the DPDK libraries named here.
guest_pmd_librte_net_vpci_so_LDFLAGS = -shared \
	-Wl,-soname,$(pmd_soname) -Wl,-z,defs -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/guest-pmd/version.map
guest_pmd_librte_net_vpci_so_DEPENDENCIES = guest-pmd/version.map
EXTRA_DIST += guest-pmd/version.map guest-pmd/driver-headers/24.11
# For DKMS, or "make -C guest-pmd/kmod"; this build does not compile it.
EXTRA_DIST += guest-pmd/kmod/Kbuild guest-pmd/kmod/Makefile \
	guest-pmd/kmod/compat.h guest-pmd/kmod/device.c \
	guest-pmd/kmod/dkms.conf guest-pmd/kmod/map.c guest-pmd/kmod/window.h
guest_pmd_librte_net_vpci_so_LDADD = $(DPDK_LIBS) -lrte_bus_pci \
	-lrte_bus_vdev

$(pmd_links): guest-pmd/$(pmd_name)
	$(AM_V_GEN)cd guest-pmd && ln -sf $(pmd_name) $(@F)

CLEANFILES += $(pmd_links)

if HAVE_PMD
install-data-hook:
	cd '$(DESTDIR)$(pmddir)' && mv -f $(pmd_name) $(pmd_real) && \
	  ln -sf $(pmd_real) $(pmd_soname) && ln -sf $(pmd_soname) $(pmd_name)
uninstall-hook:
	rm -f '$(DESTDIR)$(pmddir)/$(pmd_real)' '$(DESTDIR)$(pmddir)/$(pmd_soname)'
endif
