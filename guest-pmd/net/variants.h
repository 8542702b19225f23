/* SPDX-License-Identifier: BSD-3-Clause */

/* Chooses the instance of the bursts for a ring. */

#ifndef VHOSTPCI_NET_VARIANTS_H
#define VHOSTPCI_NET_VARIANTS_H

#include "vring/ring.h"

/* control, no burst uses the ring: choose ring->rx or ring->tx, by @features, by
 * ring->offload, and by whether the application enables offloads for sending
 * (@tx_offloads). Call this at each start, and when one of these changes. */
void vhostpci_ring_select(struct vhostpci_ring *ring, uint64_t features,
			  bool tx_offloads);

#endif
