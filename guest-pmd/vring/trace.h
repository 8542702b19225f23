/* SPDX-License-Identifier: BSD-3-Clause */

/* Packed rings that tell by themselves where they stand: see vring_find.h. */

#ifndef VHOSTPCI_VRING_TRACE_H
#define VHOSTPCI_VRING_TRACE_H

#include "vring/ring.h"

/* control, no burst uses the ring: find its place by its descriptors' flags. False,
 * and nothing is set: they tell none, or there is no memory to look. */
bool vhostpci_packed_find(const struct vhostpci_ring *ring, uint16_t *avail,
			  uint16_t *used);

#endif
