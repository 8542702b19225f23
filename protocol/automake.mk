# SPDX-License-Identifier: BSD-3-Clause
# The wire contracts: vhost_pci.h (installed) and the vhost-user core; and code
# for rings that device and driver share.  Each user compiles these sources
# into its own target: protocol_sources is the core, vring_commit_sources is
# for rings.
protocol_sources = \
	protocol/vhost_user.c \
	protocol/vhost_user.h \
	protocol/vhost_user_error.c \
	protocol/vhost_user_fd.c \
	protocol/vhost_user_inflight.c \
	protocol/vhost_user_int.h \
	protocol/vhost_user_mem.c \
	protocol/vhost_user_msg.c \
	protocol/vhost_user_ring.c \
	protocol/vhost_user_session.c
vring_commit_sources = \
	protocol/vring_commit.c \
	protocol/vring_commit.h \
	protocol/vring_find.c \
	protocol/vring_find.h
# The table of peers, which the device's server uses.
peers_sources = \
	protocol/peers.c \
	protocol/peers.h \
	protocol/peers_int.h \
	protocol/peers_name.c
EXTRA_DIST += $(protocol_sources) $(vring_commit_sources) $(peers_sources) \
	protocol/vhost_pci.h
