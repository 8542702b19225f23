/* SPDX-License-Identifier: BSD-3-Clause */

/* Ask the peer to kick, or not to kick, when it makes buffers available. */

#include <rte_atomic.h>

#include "vring/ring.h"

/* With event indices the peer kicks when its index passes the event index. To
 * switch kicks off, name the last index that the peer has passed: the peer
 * passes it again only after 65535 buffers. To switch kicks on, name the next
 * index. avail_event follows the used ring; flags are 0 then (virtio 1.x,
 * 2.7.7). */
static void
split_kicks(struct vhostpci_ring *ring, bool on)
{
	uint16_t flags = on || ring->event_idx ? 0 : VRING_USED_F_NO_NOTIFY;
	uint16_t event = on ? ring->last : ring->last - 1;

	__atomic_store_n(&ring->used->flags, flags, __ATOMIC_RELAXED);
	if (ring->event_idx)
		__atomic_store_n((uint16_t *)&ring->used->ring[ring->size],
				 event, __ATOMIC_RELAXED);
}

static void
packed_kicks(struct vhostpci_ring *ring, bool on)
{
	uint16_t flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE :
		VRING_PACKED_EVENT_FLAG_DISABLE;

	__atomic_store_n(&ring->device_event->flags, flags, __ATOMIC_RELAXED);
}

void
vhostpci_ring_kicks(struct vhostpci_ring *ring, bool on)
{
	if (ring->packed)
		packed_kicks(ring, on);
	else
		split_kicks(ring, on);
	/* Pairs with the driver's full barrier between making buffers available
	 * and loading the value above: either the driver sees the value and
	 * kicks, or we see the driver's buffers. */
	rte_smp_mb();
}
