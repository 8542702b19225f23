/* SPDX-License-Identifier: BSD-3-Clause */

/* Which instance of the bursts a ring gets. */

#ifndef VHOSTPCI_NET_VARIANTS_H
#define VHOSTPCI_NET_VARIANTS_H

#include "vring/ring.h"

/* control, no burst uses the ring: choose ring->rx or ring->tx, by @features,
 * ring->offload and whether the application wants something done to packets
 * that it sends. At each start, and when one of these changes. */
void vhostpci_ring_select(struct vhostpci_ring *ring, uint64_t features,
			  bool tx_offloads);

#endif
