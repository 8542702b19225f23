/* SPDX-License-Identifier: BSD-3-Clause */

/* Code that all bursts to a peer share, wherever their packets are. */

#ifndef VHOSTPCI_VRING_SEND_H
#define VHOSTPCI_VRING_SEND_H

#include <string.h>

#include <linux/virtio_net.h>

#include <rte_memcpy.h>
#include <rte_pause.h>

#include "vring/layout.h"

/* How often a tx burst looks again for buffers before it gives up. */
#define VHOSTPCI_SEND_RETRIES	8

/* Store the header, unless the buffer already holds the same header, as a reused
 * buffer does: without a store the line stays in both cores' caches. */
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

/* datapath: copy @len bytes, more than 0, from a peer's memory to a peer's memory.
 * If both belong to one peer, that peer can make source and destination overlap. */
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

/* datapath: may this burst send another packet? It walks a bounded number of
 * descriptors. */
static __rte_always_inline bool
vhostpci_may_send(const struct vhostpci_ring *ring)
{
	return likely(ring->walked < VHOSTPCI_TX_WALK);
}

/* How many known chains the burst has not taken; packed: 1 if any, else 0. */
static __rte_always_inline uint16_t
vhostpci_left(const struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      const unsigned int flags)
{
	return flags & F_PACKED ? packed_pending(ring, b) :
		(uint16_t)(b->end - b->at);
}

/* The ring has too few buffers: wait a little until the peer offers more than the
 * @seen ones. Do not wait for a peer that had no buffers the last time either. */
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
