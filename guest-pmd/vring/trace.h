/* SPDX-License-Identifier: BSD-3-Clause */

/* Traced packed rings, whose flags tell where the ring stands: see vring_find.h. */

#ifndef VHOSTPCI_VRING_TRACE_H
#define VHOSTPCI_VRING_TRACE_H

#include "vring/ring.h"

/* control, no burst uses the ring: find the ring's place by its descriptors' flags.
 * Returns false and sets nothing if the flags tell no place, or if memory for the
 * search is lacking. */
bool vhostpci_packed_find(const struct vhostpci_ring *ring, uint16_t *avail,
			  uint16_t *used);

#endif
