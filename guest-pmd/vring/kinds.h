/* SPDX-License-Identifier: BSD-3-Clause */

/* What kinds of packets a ring carries. */

#ifndef VHOSTPCI_VRING_KINDS_H
#define VHOSTPCI_VRING_KINDS_H

#include <rte_ether.h>

#include "vring/ring.h"

/* Which of VHOSTPCI_N_SIZES a frame of @len bytes belongs to: by powers of two,
 * but for 64 itself and the last two. */
static __rte_always_inline unsigned int
vhostpci_size_class(uint32_t len)
{
	unsigned int power = 31 - __builtin_clz((len - (len == 64)) | 63);

	return len > 1522 ? VHOSTPCI_N_SIZES - 1 : power - 5;
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
