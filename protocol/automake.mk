# SPDX-License-Identifier: BSD-3-Clause
# The wire contracts: vhost_pci.h (installed) and the vhost-user core.  The core
# is compiled into each user's own target; list its files in protocol_sources.
protocol_sources = \
	protocol/vhost_user.c \
	protocol/vhost_user.h \
	protocol/vhost_user_error.c \
	protocol/vhost_user_fd.c \
	protocol/vhost_user_int.h \
	protocol/vhost_user_mem.c \
	protocol/vhost_user_msg.c \
	protocol/vhost_user_ring.c \
	protocol/vhost_user_session.c
EXTRA_DIST += $(protocol_sources) protocol/vhost_pci.h
