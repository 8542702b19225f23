# SPDX-License-Identifier: Apache-2.0
# Debian packages, which `quickstart packages` makes.
EXTRA_DIST += \
	debian/changelog \
	debian/control \
	debian/copyright \
	debian/librte-net-vpci.install \
	debian/openvswitch-vhostpci.install \
	debian/openvswitch-vhostpci.postinst \
	debian/openvswitch-vhostpci.prerm \
	debian/qemu-system-vhostpci.install \
	debian/qemu-system-vhostpci.postinst \
	debian/rules \
	debian/source/format \
	debian/vhost-pci-dev.install \
	debian/vhost-pci-doc.install \
	debian/vhost-pci-guest.install \
	debian/vhost-pci-guest.postinst \
	debian/vhost-pci-tools.install \
	debian/vhost-pci-window-dkms.dkms
