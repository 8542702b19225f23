/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Received frames over several mbufs, where the application enables
 * RTE_ETH_RX_OFFLOAD_SCATTER. As of a NIC, none is longer than the port's MTU
 * allows: an application whose mbufs hold its MTU is given one mbuf a frame.
 */

#ifndef VHOSTPCI_NET_SCATTER_H
#define VHOSTPCI_NET_SCATTER_H

#include <rte_mbuf.h>

#include "vring/ring.h"

/*
 * datapath: chain fresh mbufs of its pool to the fresh and empty @m until there
 * is room for @len bytes. Returns 0; VHOSTPCI_DROP where frames are not that
 * long (ring->scatter); or VHOSTPCI_DROPPED where the pool is empty. Unless 0,
 * @m is as before.
 */
int vhostpci_scatter_room(struct vhostpci_ring *ring, struct rte_mbuf *m,
			  uint32_t len);
/* Bytes that the mbufs from @m on have room for. */
uint32_t vhostpci_scatter_left(const struct rte_mbuf *m);
/* Append @len bytes to the mbufs from @m on, which have room; returns where to
 * go on. */
struct rte_mbuf *vhostpci_scatter_put(struct rte_mbuf *m, const uint8_t *from,
				      uint32_t len);
/* Make a packet of what was put; mbufs with nothing are freed. */
void vhostpci_scatter_end(struct rte_mbuf *m);
/* Make @m the one and empty mbuf that it was. */
void vhostpci_scatter_undo(struct rte_mbuf *m);

#endif
