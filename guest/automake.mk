# SPDX-License-Identifier: Apache-2.0
# Files that a machine needs besides the device: in the switch VM, for huge
# pages and for binding devices before Open vSwitch starts; on the host, for a
# folder of sockets.
dist_sbin_SCRIPTS += guest/vhost-pci-bind
# These folders are below the prefix, so that an install by a user writes only
# there.
udevrulesdir = $(prefix)/lib/udev/rules.d
systemdsystemunitdir = $(prefix)/lib/systemd/system
sysctldir = $(prefix)/lib/sysctl.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
defaultdir = $(sysconfdir)/default
nodist_udevrules_DATA = guest/60-vhost-pci.rules
nodist_systemdsystemunit_DATA = guest/vhost-pci-bind.service
dist_sysctl_DATA = guest/sysctl.d/60-vhost-pci.conf
dist_tmpfiles_DATA = guest/tmpfiles.d/vhost-pci.conf
dist_default_DATA = guest/default/vhost-pci-guest
EXTRA_DIST += guest/60-vhost-pci.rules.in guest/vhost-pci-bind.service.in
CLEANFILES += guest/60-vhost-pci.rules guest/vhost-pci-bind.service

guest/60-vhost-pci.rules guest/vhost-pci-bind.service: %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) guest && \
	  sed 's,[@]sbindir@,$(sbindir),' $(srcdir)/$@.in > $@
