/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A ring of either layout. The rooms above use only these functions, not those of
 * one layout. All functions are inline; @packed and @flags are constants in the
 * bursts.
 */

#ifndef VHOSTPCI_VRING_LAYOUT_H
#define VHOSTPCI_VRING_LAYOUT_H

#include <rte_atomic.h>

#include "vring/packed.h"
#include "vring/split.h"

/*
 * Has a receiving burst nothing to do? The caller asks this before the burst, and
 * most polls of most ports end here. relaxed: the loads only decide whether a
 * burst looks closer.
 */
static __rte_always_inline bool
vhostpci_is_idle(const struct vhostpci_ring *ring)
{
	const struct vring_packed_desc *desc =
		(const struct vring_packed_desc *)ring->desc;

	if (ring->untold > 0)
		return false;
	if (ring->packed)
		return !packed_is_avail(__atomic_load_n(&desc[ring->last].flags,
							__ATOMIC_RELAXED),
					ring->wrap);
	return ring->end == ring->last &&
		__atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED) ==
		ring->last;
}

/* How many chains are available to a caller that needs at most @n; packed: 1 if
 * any, else 0. */
static __rte_always_inline uint16_t
vhostpci_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		 uint16_t n, bool packed)
{
	return packed ? packed_pending(ring, b) : split_pending(ring, b, n);
}

/* Read up to @n heads from b->at on, and look at their packets as @look says.
 * Returns how many heads were read: fewer than @n if no more are available, after
 * a chain of several descriptors, or before a violation, which sets *@rule. */
static __rte_always_inline uint16_t
vhostpci_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      struct vhostpci_slot *slots, uint16_t n, int *rule, bool packed,
	      enum vhostpci_look look)
{
	return packed ? packed_peek(ring, b, slots, n, look) :
		split_peek(ring, b, slots, n, rule, look);
}

/* Give the chain at b->at back; the driver sees it after the commit. The chain is
 * buffer @id, takes @n_slots descriptors of a packed ring, and we have written
 * @len bytes to it. */
static __rte_always_inline void
vhostpci_give(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t id,
	      uint16_t n_slots, uint32_t len, const unsigned int flags)
{
	if (flags & F_PACKED)
		packed_give(ring, b, id, n_slots, len, flags);
	else
		split_give(ring, b, id, len, flags);
	b->given++;
}

/*
 * Publish what the commit will hand over, before the driver can see any of it.
 * Returns false if the ring is revoked. The caller then hands nothing over, and
 * must not use packets that it received, because the ring would deliver them
 * again; see vhostpci_withdraw().
 *
 * The device stores revoked, makes our processor execute a full barrier, and
 * reads the place that we published. So either the device finds our place, and
 * ends the commit if the memory is no longer the peer's; or we find revoked. We
 * need no barrier of our own, but the compiler must keep the order of the code.
 * acquire: we read the data of the packets before we look at revoked, so a
 * received packet holds no data of memory that is no longer the peer's.
 */
static __rte_always_inline bool
vhostpci_announce(const struct vhostpci_ring *ring,
		  const struct vhostpci_burst *b, const unsigned int flags)
{
	if (flags & F_PACKED)
		packed_announce(ring, b);
	else
		vhostpci_ring_publish(ring, b->at, b->at);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	rte_compiler_barrier();
	return likely(!vhostpci_ring_is_revoked(ring));
}

/* A place for vhostpci_withdraw(). */
static __rte_always_inline uint16_t
vhostpci_place(uint16_t at, bool wrap, const unsigned int flags)
{
	return flags & F_PACKED ? vring_place(at, wrap) : at;
}

/* Hand over the announced chains. vhostpci_tell() tells the driver. */
static __rte_always_inline void
vhostpci_hand_over(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		   const unsigned int flags)
{
	if (flags & F_PACKED)
		packed_commit(ring, b, flags);
	else
		split_commit(ring, b, flags);
	ring->last = b->at;
	ring->wrap = b->wrap;
	ring->untold += flags & F_PACKED ? packed_distance(ring, b) : b->given;
	b->first = b->at;
	b->first_wrap = b->wrap;
	b->given = 0;
}

/* Announce and hand over the chains given since the last commit. Returns false if
 * the ring is revoked: the caller must not use what it took from the ring. */
static __rte_always_inline bool
vhostpci_commit(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		const unsigned int flags)
{
	uint16_t was;

	if (b->given == 0)
		return true;
	if (unlikely(!vhostpci_announce(ring, b, flags))) {
		was = vhostpci_place(b->first, b->first_wrap, flags);
		vhostpci_withdraw(ring, was, was);
		return false;
	}
	vhostpci_hand_over(ring, b, flags);
	return true;
}

/* Call the driver if it wants a call for the chains handed over since the last
 * vhostpci_tell(). */
static __rte_always_inline void
vhostpci_tell(struct vhostpci_ring *ring, const unsigned int flags)
{
	bool wants;

	if (ring->untold == 0)
		return;
	if (__atomic_load_n(&ring->call, __ATOMIC_RELAXED)) {
		/* Full barrier between our store of used buffers and our load
		 * of the driver's wish for a call. Pairs with the driver's
		 * barrier between its store of that wish and its last look at
		 * used buffers. */
		rte_smp_mb();
		wants = flags & F_PACKED ? packed_wants_call(ring) :
			split_wants_call(ring);
		if (wants)
			vhostpci_ring_call(ring);
	}
	ring->told = ring->last;
	ring->told_wrap = ring->wrap;
	ring->untold = 0;
}

#endif
