/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a burst stands in a ring, and what the burst knows of a chain before it
 * touches the data. All functions are inline; flags are constants in the bursts.
 */

#ifndef VHOSTPCI_VRING_CURSOR_H
#define VHOSTPCI_VRING_CURSOR_H

#include <rte_prefetch.h>

#include "vring/chain.h"

/* Variant flags: one instance of the bursts for each combination in use. */
#define F_PACKED	(1u << 0)
#define F_MRG_RXBUF	(1u << 1)
#define F_IN_ORDER	(1u << 2)	/* rx: one used entry for a batch */
#define F_OFFLOAD	(1u << 3)	/* virtio-net headers have a meaning */

/* Start loading a line that the caller will write. Without this hint, stores to
 * lines that another core wrote last wait for the lines one after the other.
 * Processors without the instruction ignore it. */
static __rte_always_inline void
vhostpci_prefetch_write(const void *p)
{
#ifdef RTE_ARCH_X86
	asm volatile("prefetchw %0" : : "m" (*(const volatile uint8_t *)p));
#else
	__builtin_prefetch(p, 1, 3);
#endif
}

#define VHOSTPCI_DESCS_A_LINE \
	(RTE_CACHE_LINE_SIZE / sizeof(struct vring_desc))

/* Packets between two commits, and the most chains that these packets take. At
 * most two batches of packets take one chain each; the last packet may take more
 * chains, which push_reopen() bounds. */
#define VHOSTPCI_BATCH	32
#define VHOSTPCI_MAX_GIVEN	(2 * VHOSTPCI_BATCH + VHOSTPCI_MAX_CHAIN)
/* The most descriptors of a commit: one for each packet whose chain was not
 * walked, the walked descriptors, and two chains of a last packet that begins its
 * last chain just before the limit. */
static_assert(2 * VHOSTPCI_BATCH + VHOSTPCI_TX_WALK + 2 * VHOSTPCI_MAX_CHAIN <=
	      VHOST_PCI_MAX_COMMIT, "the next driver cannot end such a commit");

/* Packed: a used descriptor that the commit will write. */
struct vhostpci_used {
	uint64_t value;
	uint16_t at;
};

/* Where a burst stands. The driver sees nothing of this until vhostpci_commit(),
 * so a burst may give up at any point. */
struct vhostpci_burst {
	uint16_t at;		/* the next chain; like ring->last, ->wrap */
	bool wrap;
	bool first_wrap;	/* first, first_wrap: at, wrap at last commit */
	uint16_t first;
	uint16_t end;		/* like ring->end */
	uint16_t given;		/* chains given since the last commit */
	uint64_t held;		/* in order: the one used entry */
	struct vhostpci_used *shadow;	/* packed: has VHOSTPCI_MAX_GIVEN */
};

/* What a burst knows of a packet before it touches the data. */
struct vhostpci_slot {
	uint8_t *addr;		/* NULL: not on the shortest path */
	union vhostpci_raw_desc raw;	/* the head, read once */
	uint16_t id;
};

static __rte_always_inline struct vhostpci_burst
vhostpci_burst_begin(const struct vhostpci_ring *ring,
		     struct vhostpci_used *shadow)
{
	return (struct vhostpci_burst) {
		.at = ring->last, .wrap = ring->wrap,
		.first = ring->last, .first_wrap = ring->wrap,
		.end = ring->end,
		.shadow = shadow,
	};
}

static __rte_always_inline struct vhostpci_desc
vhostpci_slot_desc(const struct vhostpci_slot *slot, bool packed)
{
	return packed ? vhostpci_desc_packed(slot->raw) :
		vhostpci_desc_split(slot->raw);
}

/* For which direction vhostpci_look() looks at the packet of a slot. */
enum vhostpci_look {
	VHOSTPCI_LOOK_NOT,
	VHOSTPCI_LOOK_RX,
	VHOSTPCI_LOOK_TX,
};

/* Is the packet of @slot in one descriptor, for the right direction, in one
 * region? If yes, start loading the data that the burst will read, or the lines
 * that it will write. */
static __rte_always_inline void
vhostpci_look(struct vhostpci_ring *ring, struct vhostpci_slot *slot,
	      enum vhostpci_look look, bool packed)
{
	const struct vhostpci_desc desc = vhostpci_slot_desc(slot, packed);
	uint16_t flags = look == VHOSTPCI_LOOK_TX ? VRING_DESC_F_WRITE : 0;
	uint8_t *addr = NULL;

	if (look == VHOSTPCI_LOOK_NOT)
		return;
	if (likely(desc.flags == flags && desc.len > ring->hdr_len &&
		   desc.len <= VHOSTPCI_MAX_PKT_LEN))
		addr = vhostpci_mem_addr(ring->mem, &ring->cache, desc.addr,
					 desc.len);
	slot->addr = addr;
	if (unlikely(addr == NULL))
		return;
	if (look == VHOSTPCI_LOOK_RX) {
		rte_prefetch0(addr + ring->hdr_len);
	} else {
		rte_prefetch0(addr);
		vhostpci_prefetch_write(addr + ring->hdr_len);
	}
}

#endif
