/* SPDX-License-Identifier: BSD-3-Clause */

/* What a ring tells: its peer, and whose it is. */

#include "vring/ring.h"

void
vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule)
{
	/* acquire: what looks like a violation was read before this. Pairs with
	 * the device's order: revoked first, then the memory is another; grown
	 * first, then the peer uses the new memory. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (vhostpci_ring_is_revoked(ring))
		rule = VHOSTPCI_RULE_REVOKED;
	else if (vhostpci_mem_is_late(ring->mem))
		rule = VHOSTPCI_RULE_GROWN;
	__atomic_store_n(&ring->broken, rule, __ATOMIC_RELEASE);
	/* Once per start of a ring. */
	ring->report(ring->dev);
}

void
vhostpci_withdraw(struct vhostpci_ring *ring, uint16_t avail, uint16_t used)
{
	vhostpci_ring_publish(ring, avail, used);
	vhostpci_ring_break(ring, VHOSTPCI_RULE_REVOKED);
}

void
vhostpci_ring_call(struct vhostpci_ring *ring)
{
	ring->count.calls++;
	ring->count.calls_aside += ring->signal(ring->dev, ring->index);
}

void
vhostpci_ring_make_call(struct vhostpci_ring *ring)
{
	if (vhostpci_ring_usable(ring) && ring->call && ring->untold > 0)
		vhostpci_ring_call(ring);
}
