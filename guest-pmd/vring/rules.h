/* SPDX-License-Identifier: BSD-3-Clause */

/* What a peer may not do to a ring. */

#ifndef VHOSTPCI_VRING_RULES_H
#define VHOSTPCI_VRING_RULES_H

/*
 * Rules that a peer may break. Each stops the ring and has a sentence
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
	/* Nobody's fault: the device took the ring's memory away. No violation,
	 * and no text. */
	VHOSTPCI_RULE_REVOKED = VHOSTPCI_N_RULES
};
/*
 * What becomes of a packet: 0, it is through; one of these; or the rule that
 * its chain breaks, as a negative number.
 */
enum vhostpci_fate {
	VHOSTPCI_DROP = 1,	/* it does not fit, and never will */
	VHOSTPCI_NO_ROOM,	/* not now: the driver offers too few buffers */
	VHOSTPCI_DROPPED,	/* as the first, and counted already */
};

const char *vhostpci_rule_text(enum vhostpci_rule rule);
const char *vhostpci_rule_name(enum vhostpci_rule rule);

#endif
