/* SPDX-License-Identifier: BSD-3-Clause */

/* The rules of a ring that a peer may break. */

#ifndef VHOSTPCI_VRING_RULES_H
#define VHOSTPCI_VRING_RULES_H

#include <stdbool.h>

/*
 * A peer that breaks one of these rules stops the ring. Each rule has a sentence
 * (vhostpci_rule_text(), at most 47 characters) and a counter
 * (vhostpci_rule_name(), an xstats name).
 */
enum vhostpci_rule {
	VHOSTPCI_RULE_NONE = 0,
	/* while packets flow */
	VHOSTPCI_RULE_AVAIL_JUMP,
	VHOSTPCI_RULE_HEAD_INDEX,
	VHOSTPCI_RULE_NEXT_INDEX,
	VHOSTPCI_RULE_CHAIN_LENGTH,
	VHOSTPCI_RULE_INDIRECT_FEATURE,
	VHOSTPCI_RULE_INDIRECT_NEXT,
	VHOSTPCI_RULE_INDIRECT_SIZE,
	VHOSTPCI_RULE_INDIRECT_NESTED,
	VHOSTPCI_RULE_DIRECTION,
	VHOSTPCI_RULE_MEMORY,
	VHOSTPCI_RULE_SHORT,
	VHOSTPCI_RULE_LONG,
	VHOSTPCI_RULE_CSUM,
	VHOSTPCI_RULE_GSO_TYPE,
	VHOSTPCI_RULE_GSO_HEADER,
	/* when a ring is set up */
	VHOSTPCI_RULE_RING_SIZE,
	VHOSTPCI_RULE_RING_ALIGN,
	VHOSTPCI_RULE_RING_MEMORY,
	VHOSTPCI_RULE_FEATURES,
	VHOSTPCI_RULE_REGIONS,
	VHOSTPCI_N_RULES,
	/* These two stop a ring, but are not violations, so they have no
	 * sentence. The device took the ring's memory away. */
	VHOSTPCI_RULE_REVOKED = VHOSTPCI_N_RULES,
	/* The peer uses memory that this driver is going to know soon. */
	VHOSTPCI_RULE_GROWN,
};

static inline bool
vhostpci_rule_is_violation(enum vhostpci_rule rule)
{
	return rule != VHOSTPCI_RULE_NONE && rule < VHOSTPCI_N_RULES;
}

/*
 * What happens to a packet: 0: it was moved; one of these values; or the rule that
 * the packet's chain breaks, as a negative number.
 */
enum vhostpci_fate {
	VHOSTPCI_DROP = 1,	/* the packet will never fit */
	VHOSTPCI_NO_ROOM,	/* the driver now offers too few buffers */
	VHOSTPCI_DROPPED,	/* as VHOSTPCI_DROP, and already counted */
};

const char *vhostpci_rule_text(enum vhostpci_rule rule);
const char *vhostpci_rule_name(enum vhostpci_rule rule);

#endif
