/* SPDX-License-Identifier: BSD-3-Clause */

/* What a ring tells: its peer, and whose it is. */

#include "vring/ring.h"

void
vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule)
{
	__atomic_store_n(&ring->broken, rule, __ATOMIC_RELEASE);
	/* Once per start of a ring. */
	ring->report(ring->dev);
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
