/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Move packets that rules send to other ports from ring to ring.
 *
 * The first bytes of each packet are in private memory, where the burst found the
 * packet's rule and changed its headers. The rest goes straight from one peer's
 * memory to the other peer's memory.
 */

#ifndef VHOSTPCI_FLOW_FORWARD_H
#define VHOSTPCI_FLOW_FORWARD_H

#include <linux/virtio_net.h>

#include "flow/inlet.h"

/* Items of one call. */
#define VHOSTPCI_FORWARD_MAX	64

/* A packet on its way, or a copy of one. */
struct vhostpci_item {
	struct vhostpci_inlet *inlet;	/* destination; forward(): w */
	const uint8_t *head;	/* private */
	const uint8_t *tail;	/* the sending peer's memory, or private */
	/* Our own header, not the peer's; num_buffers is 1. */
	const struct virtio_net_hdr_v1 *hdr;
	uint32_t head_len, tail_len;	/* bytes */
};

/* control, no burst uses @ring, which we send to: choose ring->forward by the
 * features that the peer acknowledged. */
void vhostpci_forward_select(struct vhostpci_ring *ring, uint64_t features);

/*
 * datapath: send @n items, at most VHOSTPCI_FORWARD_MAX. The items for one inlet
 * keep their order and are sent together, under one lock. Packets without room at
 * their destination are dropped, and the destination counts them. @unfinished:
 * some packets may leave checksums or segmentation to the destination's peer; if
 * that peer no longer takes such a packet, the packet is dropped and counted, too.
 * The call uses the items up. Returns how many packets were lost because their
 * inlet was closed.
 */
unsigned int vhostpci_forward(struct vhostpci_item *items, unsigned int n,
			      bool unfinished);

#endif
