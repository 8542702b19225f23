/* SPDX-License-Identifier: BSD-3-Clause */

/* What a ring reports: calls to its peer, violations to its port. */

#include "vring/ring.h"

void
vhostpci_ring_stop(struct vhostpci_ring *ring, enum vhostpci_rule rule)
{
	/* acquire: the data that looks like a violation was read before this
	 * fence. Pairs with the order of the device, which stores revoked
	 * before it changes the memory. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (vhostpci_ring_is_revoked(ring))
		rule = VHOSTPCI_RULE_REVOKED;
	__atomic_store_n(&ring->broken, rule, __ATOMIC_RELEASE);
	/* At most once for each start of the ring, and for each state. */
	ring->report(ring->dev);
}

void
vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule)
{
	/* acquire: as above. The device stores grown before the peer uses new
	 * memory. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (vhostpci_mem_is_late(ring->mem))
		rule = VHOSTPCI_RULE_GROWN;
	vhostpci_ring_stop(ring, rule);
}

void
vhostpci_withdraw(struct vhostpci_ring *ring, uint16_t avail, uint16_t used)
{
	vhostpci_ring_publish(ring, avail, used);
	vhostpci_ring_stop(ring, VHOSTPCI_RULE_REVOKED);
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
