# SPDX-License-Identifier: Apache-2.0
# The OVS class.  `make ovs` compiles it inside OVS's tree.
EXTRA_DIST += \
	vhostpci-netdev/netdev-vhostpci.c \
	vhostpci-netdev/netdev-vhostpci.h \
	vhostpci-netdev/netdev-vhostpci-auto.c \
	vhostpci-netdev/netdev-vhostpci-auto.h \
	vhostpci-netdev/netdev-vhostpci-find.c \
	vhostpci-netdev/netdev-vhostpci-find.h \
	vhostpci-netdev/netdev-vhostpci-log.c \
	vhostpci-netdev/netdev-vhostpci-log.h \
	vhostpci-netdev/netdev-vhostpci-peers.c \
	vhostpci-netdev/netdev-vhostpci-peers.h \
	vhostpci-netdev/netdev-vhostpci-pmd.c \
	vhostpci-netdev/netdev-vhostpci-pmd.h \
	vhostpci-netdev/netdev-vhostpci-queues.c \
	vhostpci-netdev/netdev-vhostpci-queues.h \
	vhostpci-netdev/netdev-vhostpci-retry.c \
	vhostpci-netdev/netdev-vhostpci-retry.h \
	vhostpci-netdev/netdev-vhostpci-show.c \
	vhostpci-netdev/netdev-vhostpci-show.h \
	vhostpci-netdev/netdev-vhostpci-sysfs.c \
	vhostpci-netdev/netdev-vhostpci-sysfs.h \
	vhostpci-netdev/netdev-vhostpci-unixctl.man \
	vhostpci-netdev/vhost-pci.rst
