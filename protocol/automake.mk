# SPDX-License-Identifier: BSD-3-Clause
# The wire contracts: vhost_pci.h (installed) and the vhost-user core.  The core
# is compiled into each user's own target; list its files in protocol_sources.
protocol_sources =
EXTRA_DIST += $(protocol_sources)
