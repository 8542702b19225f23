/* SPDX-License-Identifier: BSD-3-Clause */

/* What kinds of packets a ring carries. */

#ifndef VHOSTPCI_VRING_KINDS_H
#define VHOSTPCI_VRING_KINDS_H

#include <rte_ether.h>

#include "vring/ring.h"

/* Class of each length in bytes up to VHOSTPCI_LAST_SIZE, and one for all above. A
 * table, because each packet asks: packets of one length read one cache line. */
#define VHOSTPCI_LAST_SIZE	1522
extern const uint8_t vhostpci_size_classes[VHOSTPCI_LAST_SIZE + 2];

/* Which of VHOSTPCI_N_SIZES a frame of @len bytes belongs to: by powers of two,
 * but for 64 itself and the last two. */
static __rte_always_inline unsigned int
vhostpci_size_class(uint32_t len)
{
	return vhostpci_size_classes[RTE_MIN(len, VHOSTPCI_LAST_SIZE + 1u)];
}

/* @to: a packet's destination, of which the lowest bit of the first byte is
 * set. */
static __rte_noinline void
vhostpci_count_group(struct vhostpci_counters *count,
		     const struct rte_ether_addr *to)
{
	if (rte_is_broadcast_ether_addr(to))
		count->broadcast++;
	else
		count->multicast++;
}

/* datapath: count a packet of @len bytes, of which the first @head_len are at
 * @head. One that is shorter than an address is no frame. */
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
