/* SPDX-License-Identifier: BSD-3-Clause */

/* What bursts to a peer have in common, wherever their packets are. */

#ifndef VHOSTPCI_VRING_SEND_H
#define VHOSTPCI_VRING_SEND_H

#include <string.h>

#include <linux/virtio_net.h>

#include <rte_memcpy.h>
#include <rte_pause.h>

#include "vring/layout.h"

/* How often a tx burst looks again for buffers before it gives up. */
#define VHOSTPCI_SEND_RETRIES	8

/* Store the header, unless it is there already, as in a buffer that comes
 * round: the line then stays in both cores' caches. */
static __rte_always_inline void
vhostpci_put_header(const struct vhostpci_ring *ring, uint8_t *to,
		    const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t head, was;
	uint32_t tail, tail_was;

	memcpy(&head, hdr, sizeof(head));
	memcpy(&tail, (const uint8_t *)hdr + sizeof(head), sizeof(tail));
	memcpy(&was, to, sizeof(was));
	if (likely(ring->hdr_len == sizeof(*hdr))) {
		memcpy(&tail_was, to + sizeof(head), sizeof(tail));
		if (likely(was == head && tail_was == tail))
			return;
		memcpy(to, &head, sizeof(head));
		memcpy(to + sizeof(head), &tail, sizeof(tail));
		return;
	}
	memcpy(to, hdr, sizeof(struct virtio_net_hdr));
}

/* datapath: copy @len bytes, more than 0, from a peer's memory to a peer's. Both
 * may be the same one's, which then may have both overlap. */
static __rte_always_inline void
vhostpci_copy_across(uint8_t *to, const uint8_t *from, size_t len)
{
	/* Is the distance, either way, below len? */
	if (unlikely((uintptr_t)to - (uintptr_t)from + (len - 1) <
		     2 * len - 1))
		memmove(to, from, len);
	else
		rte_memcpy(to, from, len);
}

/* datapath: a burst walks so many descriptors, and no more. */
static __rte_always_inline bool
vhostpci_may_send(const struct vhostpci_ring *ring)
{
	return likely(ring->walked < VHOSTPCI_TX_WALK);
}

/* Chains known of that a burst did not take; packed: whether there are. */
static __rte_always_inline uint16_t
vhostpci_left(const struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      const unsigned int flags)
{
	return flags & F_PACKED ? packed_pending(ring, b) :
		(uint16_t)(b->end - b->at);
}

/* Out of buffers. Wait a little for the peer to offer more than the @seen ones,
 * which were too few; but not for one that had none the last time either. */
static __rte_always_inline bool
vhostpci_wait_for_room(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		       uint16_t seen, bool stalled, unsigned int *tries,
		       const unsigned int flags)
{
	for (;;) {
		if (vhostpci_pending(ring, b, UINT16_MAX, flags & F_PACKED) !=
		    seen)
			return !ring->broken;
		if (stalled || (*tries)++ == VHOSTPCI_SEND_RETRIES)
			return false;
		rte_pause();
	}
}

#endif
