/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Walk one descriptor chain. This code reads every descriptor once and checks it
 * (virtio 1.x, 2.7.5 and 2.8.6). Bursts need it only off the shortest path: for
 * chained and indirect descriptors, and for ranges that span regions.
 *
 * Functions return 0, or a violated rule as a negative number.
 */

#ifndef VHOSTPCI_VRING_CHAIN_H
#define VHOSTPCI_VRING_CHAIN_H

#include "vring/ring.h"

/* The fields of a descriptor that the rings use, for both layouts. */
struct vhostpci_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;		/* packed: without the AVAIL and USED bits */
	union {
		uint16_t next;	/* split */
		uint16_t id;	/* packed */
	};
};

#define VHOSTPCI_DESC_FLAGS \
	(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

/* This struct is in our own memory: the peer cannot change it after the checks. */
struct vhostpci_chain {
	struct vhostpci_ring *ring;
	/* Of the indirect table, while the walk is in a table. */
	uint64_t table;		/* gpa */
	uint16_t table_len;	/* descriptors; 0: not in a table */
	uint16_t table_at;	/* packed: the current one */
	/* Of the current descriptor. */
	uint16_t flags;
	uint16_t next;		/* split */
	uint16_t want;		/* VRING_DESC_F_WRITE or 0 */
	uint16_t id;		/* of the buffer; packed: known at the end */
	uint16_t at;		/* packed: the descriptor of the ring */
	uint16_t n_slots;	/* packed: ring descriptors of the chain */
	uint32_t left;		/* descriptors that may still follow */
	/* The unread rest of the current descriptor's buffer. */
	uint64_t gpa;
	uint32_t len;
};

union vhostpci_raw_desc {
	uint64_t raw[2];
	struct vring_desc split;
	struct vring_packed_desc packed;
};

static __rte_always_inline struct vhostpci_desc
vhostpci_desc_split(union vhostpci_raw_desc from)
{
	return (struct vhostpci_desc) {
		.addr = from.split.addr, .len = from.split.len,
		.flags = from.split.flags, .next = from.split.next,
	};
}

static __rte_always_inline struct vhostpci_desc
vhostpci_desc_packed(union vhostpci_raw_desc from)
{
	return (struct vhostpci_desc) {
		.addr = from.packed.addr, .len = from.packed.len,
		.flags = from.packed.flags & VHOSTPCI_DESC_FLAGS,
		.id = from.packed.id,
	};
}

/* Read descriptor @i of the ring: two loads, each field once. */
static __rte_always_inline union vhostpci_raw_desc
vhostpci_desc_load(const struct vhostpci_ring *ring, uint16_t i)
{
	const uint64_t *from = (const uint64_t *)&ring->desc[i];
	union vhostpci_raw_desc copy;

	/* Packed: the flags are in raw[1]. acquire: pairs with the driver's
	 * release of the flags of a chain's first descriptor, so we see all that
	 * the driver wrote before. Split: the acquire of avail->idx has ordered
	 * this load already; a second acquire costs nothing on x86. */
	copy.raw[1] = __atomic_load_n(&from[1], __ATOMIC_ACQUIRE);
	copy.raw[0] = __atomic_load_n(&from[0], __ATOMIC_RELAXED);
	return copy;
}

/* Most descriptors that a chain of @ring may have. */
static inline uint32_t
vhostpci_chain_max(const struct vhostpci_ring *ring)
{
	return RTE_MIN(ring->size, VHOSTPCI_MAX_CHAIN);
}

/* Begin a chain with @desc, which the caller has already read: descriptor @id of a
 * split ring's descriptor table, or descriptor @at of a packed ring. */
int vhostpci_chain_begin(struct vhostpci_chain *chain,
			 const struct vhostpci_desc *desc, uint16_t id,
			 uint16_t at);
/* Go to the next descriptor. Returns 1; 0 at the end of the chain; or a rule. */
int vhostpci_chain_next(struct vhostpci_chain *chain);
/* Packed: walk to the end of the chain. Returns 0 or a rule. */
int vhostpci_chain_end(struct vhostpci_chain *chain);

#endif
