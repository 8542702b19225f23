/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A ring of either layout: what is above knows only this. All is inline;
 * @packed and @flags are constants in the bursts.
 */

#ifndef VHOSTPCI_VRING_LAYOUT_H
#define VHOSTPCI_VRING_LAYOUT_H

#include <rte_atomic.h>

#include "vring/packed.h"
#include "vring/split.h"

/*
 * Is there nothing for a receiving burst to do? A look from outside it, which
 * most polls of most ports end with: relaxed, as nothing follows from it.
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

/* How many chains there are to begin with, for a caller who can do with @n;
 * packed: only whether. */
static __rte_always_inline uint16_t
vhostpci_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		 uint16_t n, bool packed)
{
	return packed ? packed_pending(ring, b) : split_pending(ring, b, n);
}

/* Read up to @n heads from b->at on, and look at their packets as @look says.
 * Fewer come when there are no more, after a chain, or at a violation: *@rule.
 */
static __rte_always_inline uint16_t
vhostpci_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      struct vhostpci_slot *slots, uint16_t n, int *rule, bool packed,
	      enum vhostpci_look look)
{
	return packed ? packed_peek(ring, b, slots, n, look) :
		split_peek(ring, b, slots, n, rule, look);
}

/* Hand back the chain at b->at, once committed: buffer @id, which takes
 * @n_slots of a packed ring and has @len bytes written by us. */
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
 * Say what is going to be handed over, before anything of it may be seen. False:
 * the ring is revoked. Then nothing is handed over, nor is anything received, or
 * it would be received again; see vhostpci_withdraw().
 *
 * The device stores revoked, makes our processor execute a full barrier, and
 * reads what we published. So either it finds that, and ends the commit if the
 * memory is not the peer's any more, or we find revoked. We need no barrier, and
 * the order of the code. acquire: data of the packets was read before; of memory
 * that is not the peer's there is none in a packet that is received.
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

/* Hand over what was announced. The driver is told of it by vhostpci_tell(). */
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

/* Announce and hand over what was given since the last commit. False: the ring
 * is revoked, and what was taken from it is not to be used. */
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

/* Call the driver if it wants to hear of what was handed over since the last
 * time. */
static __rte_always_inline void
vhostpci_tell(struct vhostpci_ring *ring, const unsigned int flags)
{
	bool wants;

	if (ring->untold == 0)
		return;
	if (__atomic_load_n(&ring->call, __ATOMIC_RELAXED)) {
		/* Full barrier between our store of what is used and our load
		 * of what the driver asks for; pairs with the driver's between
		 * its store of that and its last look at what is used. */
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
