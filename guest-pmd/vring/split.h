/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The split layout (virtio 1.x, 2.7): how to find chains and hand them back.
 */

#ifndef VHOSTPCI_VRING_SPLIT_H
#define VHOSTPCI_VRING_SPLIT_H

#include "vring/cursor.h"

/* How many heads the driver has made available. If these are more than the ring
 * holds, the ring breaks and the result is 0. This reads the avail index only if
 * the burst knows of fewer heads than @n: each read fetches the index's line from
 * the driver's core. */
static __rte_always_inline uint16_t
split_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t n)
{
	uint16_t pending = b->end - b->at;

	if (pending >= n)
		return pending;
	/* acquire: pairs with the driver's release (or write barrier) before
	 * its store to avail->idx; we see entries and descriptors. */
	b->end = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
	pending = b->end - b->at;
	if (likely(pending <= ring->size))
		return pending;
	vhostpci_ring_break(ring, VHOSTPCI_RULE_AVAIL_JUMP);
	b->end = b->at;
	return 0;
}

/*
 * Read heads and start loading their descriptors, then read the descriptors. Stops
 * before a head out of range, and sets *@rule. Heads mostly count up, so we guess
 * them and prefetch their descriptors together with the heads; after a wrong guess
 * we prefetch the right descriptor at once. The mask only keeps the prefetch
 * within the table.
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

/* Drivers reuse buffers in the same order, so the ring often holds the same entry
 * already: without a store the line stays in both cores' caches. */
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

	/* virtio 1.x, 2.7.9: a batch used in order needs only its last entry. */
	if (flags & F_IN_ORDER)
		b->held = elem;
	else
		split_put(ring, b->at, elem);
	b->at++;
}

/* Does the driver want a call for the entries (ring->told, ring->last]? */
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
	/* release: pairs with the driver's acquire of used->idx. The driver sees
	 * entries and packet data before it sees the index. */
	__atomic_store_n(&ring->used->idx, b->at, __ATOMIC_RELEASE);
}

#endif
