# SPDX-License-Identifier: Apache-2.0
# The device, and a series of patches for each version of QEMU
# (tools/releases.sh). `make qemu` compiles both in QEMU's tree.
EXTRA_DIST += \
	qemu-patches/10.0/0001-vhost-pci-hooks.patch \
	qemu-patches/10.0/0002-vhost-pci-query.patch \
	qemu-patches/10.0/0003-vhost-user-identity.patch \
	qemu-patches/7.2/0001-vhost-pci-hooks.patch \
	qemu-patches/7.2/0002-vhost-pci-query.patch \
	qemu-patches/7.2/0003-vhost-user-identity.patch \
	qemu-patches/vhost-pci/Kconfig \
	qemu-patches/vhost-pci/meson.build \
	qemu-patches/vhost-pci/vhost-pci-attach.c \
	qemu-patches/vhost-pci/vhost-pci-base-pci.c \
	qemu-patches/vhost-pci/vhost-pci-base-pci.h \
	qemu-patches/vhost-pci/vhost-pci-base.c \
	qemu-patches/vhost-pci/vhost-pci-base.h \
	qemu-patches/vhost-pci/vhost-pci-build.c \
	qemu-patches/vhost-pci/vhost-pci-caller.c \
	qemu-patches/vhost-pci/vhost-pci-caller.h \
	qemu-patches/vhost-pci/vhost-pci-client.c \
	qemu-patches/vhost-pci/vhost-pci-closer.c \
	qemu-patches/vhost-pci/vhost-pci-closer.h \
	qemu-patches/vhost-pci/vhost-pci-compat.h \
	qemu-patches/vhost-pci/vhost-pci-events.c \
	qemu-patches/vhost-pci/vhost-pci-identities.c \
	qemu-patches/vhost-pci/vhost-pci-mapping.c \
	qemu-patches/vhost-pci/vhost-pci-mapping.h \
	qemu-patches/vhost-pci/vhost-pci-net-pci.c \
	qemu-patches/vhost-pci/vhost-pci-net.c \
	qemu-patches/vhost-pci/vhost-pci-net.h \
	qemu-patches/vhost-pci/vhost-pci-notify.c \
	qemu-patches/vhost-pci/vhost-pci-place.c \
	qemu-patches/vhost-pci/vhost-pci-ports.c \
	qemu-patches/vhost-pci/vhost-pci-props.c \
	qemu-patches/vhost-pci/vhost-pci-query-stub.c \
	qemu-patches/vhost-pci/vhost-pci-query.c \
	qemu-patches/vhost-pci/vhost-pci-ration.c \
	qemu-patches/vhost-pci/vhost-pci-ration.h \
	qemu-patches/vhost-pci/vhost-pci-server.c \
	qemu-patches/vhost-pci/vhost-pci-server.h \
	qemu-patches/vhost-pci/vhost-pci-session.h \
	qemu-patches/vhost-pci/vhost-pci-socket.c \
	qemu-patches/vhost-pci/vhost-pci-state.c \
	qemu-patches/vhost-pci/vhost-pci-trace.c \
	qemu-patches/vhost-pci/vhost-pci-unshared.c \
	qemu-patches/vhost-pci/vhost-pci-window.c \
	qemu-patches/vhost-pci/vhost-pci.json
