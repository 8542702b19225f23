/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The split layout (virtio 1.x, 2.7): how chains are found and handed back.
 */

#ifndef VHOSTPCI_VRING_SPLIT_H
#define VHOSTPCI_VRING_SPLIT_H

#include "vring/cursor.h"

/* How many heads the driver has made available. More than the ring holds: the
 * ring is broken, and 0. The index is read only if those known of are fewer than
 * @n: its line comes from the driver's core each time. */
static __rte_always_inline uint16_t
split_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t n)
{
	uint16_t pending = b->end - b->at;

	if (pending >= n)
		return pending;
	/* acquire: pairs with the driver's release (or write barrier) before
	 * its store to avail->idx; entries and descriptors are there. */
	b->end = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
	pending = b->end - b->at;
	if (likely(pending <= ring->size))
		return pending;
	vhostpci_ring_break(ring, VHOSTPCI_RULE_AVAIL_JUMP);
	b->end = b->at;
	return 0;
}

/*
 * Read heads and start loading their descriptors, then read these. Ends before
 * a head out of range, with the rule. Heads mostly count up, so that their
 * descriptors can be asked for together with the heads; those that do not are
 * as soon as they are known. The mask only keeps the prefetch within the table.
 */
static __rte_always_inline uint16_t
split_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	   struct vhostpci_slot *slots, uint16_t n, int *rule,
	   enum vhostpci_look look)
{
	const uint16_t mask = ring->size - 1;
	uint16_t guess = ring->guess, i;

	n = RTE_MIN(n, (uint16_t)(b->end - b->at));
	for (i = 0; i < n; i += VHOSTPCI_DESCS_A_LINE)
		rte_prefetch0(&ring->desc[(guess + i) & mask]);
	for (i = 0; i < n; i++, guess++) {
		slots[i].id = __atomic_load_n(
			&ring->avail->ring[(b->at + i) & mask],
			__ATOMIC_RELAXED);
		if (unlikely(slots[i].id != (guess & mask))) {
			guess = slots[i].id;
			rte_prefetch0(&ring->desc[guess & mask]);
		}
	}
	ring->guess = guess;
	for (i = 0; i < n; i += 8)
		vhostpci_prefetch_write(&ring->used->ring[(b->at + i) & mask]);
	for (i = 0; i < n; i++) {
		if (unlikely(slots[i].id > mask)) {
			*rule = -VHOSTPCI_RULE_HEAD_INDEX;
			break;
		}
		slots[i].raw = vhostpci_desc_load(ring, slots[i].id);
		vhostpci_look(ring, &slots[i], look, false);
	}
	return i;
}

/* Buffers that come round in the same order, as drivers have them, make the
 * same entries: a store left out keeps the line in both cores' caches. */
static __rte_always_inline void
split_put(struct vhostpci_ring *ring, uint16_t at, uint64_t elem)
{
	uint64_t *to = (uint64_t *)&ring->used->ring[at & (ring->size - 1)];

	if (__atomic_load_n(to, __ATOMIC_RELAXED) != elem)
		__atomic_store_n(to, elem, __ATOMIC_RELAXED);
}

static __rte_always_inline void
split_give(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t id,
	   uint32_t len, const unsigned int flags)
{
	uint64_t elem = id | (uint64_t)len << 32;

	/* virtio 1.x, 2.7.9: of a batch used in order, only the last one's. */
	if (flags & F_IN_ORDER)
		b->held = elem;
	else
		split_put(ring, b->at, elem);
	b->at++;
}

/* Does the driver want to hear of the entries (ring->told, ring->last]? */
static __rte_always_inline bool
split_wants_call(const struct vhostpci_ring *ring)
{
	if (ring->event_idx)
		/* used_event follows the avail ring */
		return vring_need_event(
			__atomic_load_n(&ring->avail->ring[ring->size],
					__ATOMIC_RELAXED), ring->last,
			ring->told);
	return !(__atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

static __rte_always_inline void
split_commit(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	     const unsigned int flags)
{
	if (flags & F_IN_ORDER)
		split_put(ring, b->first, b->held);
	/* release: pairs with the driver's acquire of used->idx; entries and
	 * packet data come first. */
	__atomic_store_n(&ring->used->idx, b->at, __ATOMIC_RELEASE);
}

#endif
