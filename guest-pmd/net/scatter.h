/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Receive frames in several mbufs, if the application enables
 * RTE_ETH_RX_OFFLOAD_SCATTER. As with a NIC, no such frame is longer than the
 * port's MTU allows: an application whose mbufs have room for the MTU gets one
 * mbuf for each frame.
 */

#ifndef VHOSTPCI_NET_SCATTER_H
#define VHOSTPCI_NET_SCATTER_H

#include <rte_mbuf.h>

#include "vring/ring.h"

/*
 * datapath: chain fresh mbufs of the same pool to the fresh and empty @m until the
 * chain has room for @len bytes. Returns 0; VHOSTPCI_DROP if frames must not be
 * that long (ring->scatter); VHOSTPCI_DROPPED if the pool is empty. If the result
 * is not 0, @m is unchanged.
 */
int vhostpci_scatter_room(struct vhostpci_ring *ring, struct rte_mbuf *m,
			  uint32_t len);
/* How many more bytes fit into the mbufs from @m on. */
uint32_t vhostpci_scatter_left(const struct rte_mbuf *m);
/* Append @len bytes to the mbufs from @m on, which have room. Returns the mbuf at
 * which the next call continues. */
struct rte_mbuf *vhostpci_scatter_put(struct rte_mbuf *m, const uint8_t *from,
				      uint32_t len);
/* Make a packet of the appended bytes, and free mbufs that stayed empty. */
void vhostpci_scatter_end(struct rte_mbuf *m);
/* Make @m a single and empty mbuf again. */
void vhostpci_scatter_undo(struct rte_mbuf *m);

#endif
