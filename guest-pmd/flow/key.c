/* SPDX-License-Identifier: BSD-3-Clause */

/* What parsing rarely needs: see key.h. */

#include "flow/key.h"

const char *const vhostpci_flow_miss_names[VHOSTPCI_FLOW_N_MISSES] = {
	[VHOSTPCI_FLOW_HIT] = "hit",
	[VHOSTPCI_FLOW_MISS_SHORT] = "short",
	[VHOSTPCI_FLOW_MISS_LLC] = "llc",
	[VHOSTPCI_FLOW_MISS_QINQ] = "qinq",
	[VHOSTPCI_FLOW_MISS_IP] = "bad_ip",
	[VHOSTPCI_FLOW_MISS_EXT] = "bad_ipv6_extension",
	[VHOSTPCI_FLOW_MISS_L4] = "bad_l4",
	[VHOSTPCI_FLOW_MISS_DEEP] = "deep_headers",
	[VHOSTPCI_FLOW_MISS_RULE] = "no_rule",
	[VHOSTPCI_FLOW_MISS_CONTROL] = "tcp_control",
	[VHOSTPCI_FLOW_MISS_EDIT] = "cannot_edit",
	[VHOSTPCI_FLOW_MISS_DEST] = "no_destination",
	[VHOSTPCI_FLOW_MISS_OFFLOAD] = "unfinished",
	[VHOSTPCI_FLOW_MISS_LONG] = "too_long",
};
