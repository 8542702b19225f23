/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * From ring to ring: packets that rules send to other ports.
 *
 * The first bytes of each packet are in private memory, where its rule was found
 * and its headers were changed; the rest goes from the one peer's memory to the
 * other's without a stop.
 */

#ifndef VHOSTPCI_FLOW_FORWARD_H
#define VHOSTPCI_FLOW_FORWARD_H

#include <linux/virtio_net.h>

#include "flow/inlet.h"

/* Items of one call. */
#define VHOSTPCI_FORWARD_MAX	64

/* A packet on its way, or a copy of one. */
struct vhostpci_item {
	struct vhostpci_inlet *inlet;	/* where to; forward(): w */
	const uint8_t *head;	/* private */
	const uint8_t *tail;	/* the sending peer's memory, or private */
	/* Ours, whatever the peer wrote; num_buffers is 1. */
	const struct virtio_net_hdr_v1 *hdr;
	uint32_t head_len, tail_len;	/* bytes */
};

/* control, no burst uses @ring, which is one that we send to: choose how, by
 * what the peer acknowledged. */
void vhostpci_forward_select(struct vhostpci_ring *ring, uint64_t features);

/*
 * datapath: send @n items, at most VHOSTPCI_FORWARD_MAX, those for one inlet in
 * their order and all at once, with one lock. What a peer has no room for is
 * dropped and counted there. @unfinished: some may leave checksums or
 * segmentation to the peer; what it does not take by now is dropped and counted
 * there as well. The items are used up. Returns how many found their inlet
 * closed: they are lost.
 */
unsigned int vhostpci_forward(struct vhostpci_item *items, unsigned int n,
			      bool unfinished);

#endif
