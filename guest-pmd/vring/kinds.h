/* SPDX-License-Identifier: BSD-3-Clause */

/* Counts packets by kind: size, multicast, broadcast. */

#ifndef VHOSTPCI_VRING_KINDS_H
#define VHOSTPCI_VRING_KINDS_H

#include <rte_ether.h>

#include "vring/ring.h"

/* The class of each length in bytes up to VHOSTPCI_LAST_SIZE, and one class for all
 * greater lengths. This is a table because the driver needs the class of each
 * packet: packets of one length read one cache line. */
#define VHOSTPCI_LAST_SIZE	1522
extern const uint8_t vhostpci_size_classes[VHOSTPCI_LAST_SIZE + 2];

/* The class, of VHOSTPCI_N_SIZES, of a frame of @len bytes. Classes are powers of
 * two, except for the class that ends at 64 and the last two. */
static __rte_always_inline unsigned int
vhostpci_size_class(uint32_t len)
{
	return vhostpci_size_classes[RTE_MIN(len, VHOSTPCI_LAST_SIZE + 1u)];
}

/* Count a packet to a group: the lowest bit of the first byte of its destination
 * @to is set. */
static __rte_noinline void
vhostpci_count_group(struct vhostpci_counters *count,
		     const struct rte_ether_addr *to)
{
	if (rte_is_broadcast_ether_addr(to))
		count->broadcast++;
	else
		count->multicast++;
}

/* datapath: count a packet of @len bytes. Its first @head_len bytes are at @head; a
 * packet that is shorter than an address has no destination. */
static __rte_always_inline void
vhostpci_count_kind(struct vhostpci_ring *ring, uint32_t len,
		    const uint8_t *head, uint32_t head_len)
{
	ring->count.sizes[vhostpci_size_class(len)]++;
	if (unlikely(head_len >= RTE_ETHER_ADDR_LEN && head[0] & 1))
		vhostpci_count_group(&ring->count,
				     (const struct rte_ether_addr *)head);
}

#endif
