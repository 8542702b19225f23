/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Walking one descriptor chain of a split ring, every descriptor read once
 * and checked here (virtio 1.x, 2.7.5). Used off the shortest path: chained
 * and indirect descriptors, ranges that span regions.
 *
 * Functions return 0, or a violated rule as a negative number.
 */

#ifndef VHOSTPCI_CHAIN_H
#define VHOSTPCI_CHAIN_H

#include "vhostpci_ring.h"

/* All of it is ours: the peer cannot change what was checked. */
struct vhostpci_chain {
	struct vhostpci_ring *ring;
	/* Of the indirect table, while in one. */
	uint64_t table;		/* gpa */
	uint16_t table_len;	/* descriptors; 0: not in a table */
	uint16_t flags;		/* of the current descriptor */
	uint16_t next;
	uint16_t want;		/* VRING_DESC_F_WRITE or 0 */
	uint32_t left;		/* descriptors that may still follow */
	/* What the current descriptor still has. */
	uint64_t gpa;
	uint32_t len;
};

/* Read descriptor @i of the ring: two loads, each field once. */
static __rte_always_inline struct vring_desc
vhostpci_desc_read(const struct vhostpci_ring *ring, uint16_t i)
{
	const uint64_t *from = (const uint64_t *)&ring->desc[i];
	union {
		uint64_t raw[2];
		struct vring_desc desc;
	} copy;

	/* relaxed: ordered after the acquire of avail->idx. */
	copy.raw[0] = __atomic_load_n(&from[0], __ATOMIC_RELAXED);
	copy.raw[1] = __atomic_load_n(&from[1], __ATOMIC_RELAXED);
	return copy.desc;
}

/* Most descriptors that one packet may take in @ring. */
static inline uint32_t
vhostpci_chain_max(const struct vhostpci_ring *ring)
{
	return RTE_MIN(ring->size, VHOSTPCI_MAX_CHAIN);
}

/* Make @desc, already read, the chain's current one. */
int vhostpci_chain_take(struct vhostpci_chain *chain,
			const struct vring_desc *desc);
/* Go to the next descriptor: 1, 0 at the end of the chain, or a rule. */
int vhostpci_chain_next(struct vhostpci_chain *chain);

#endif
