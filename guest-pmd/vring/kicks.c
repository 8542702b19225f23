/* SPDX-License-Identifier: BSD-3-Clause */

/* Asking the peer to kick when it makes buffers available, or not to. */

#include <rte_atomic.h>

#include "vring/ring.h"

/* With event indices an index just passed is reached again after 65535 buffers,
 * so that the peer kicks that rarely; the next one, with the next. avail_event
 * follows the used ring; flags are 0 then (virtio 1.x, 2.7.7). */
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
	 * and its load of what we wrote: either it sees this and kicks, or we
	 * see its buffers. */
	rte_smp_mb();
}
