/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a ring continues after its last back-end has gone. */

#ifndef VHOSTPCI_VRING_RESUME_H
#define VHOSTPCI_VRING_RESUME_H

#include "vring/ring.h"

/*
 * control, during the set-up of @ring, after its memory was found: set ring->last
 * and ring->wrap. If a process was killed in the middle of a packed ring's commit,
 * end this commit. Returns VHOSTPCI_RULE_NONE, or what is wrong with the place.
 */
enum vhostpci_rule vhostpci_ring_resume(struct vhostpci_ring *ring,
					const struct vhostpci_vring_desc *vr);

/* control, after vhostpci_ring_resume(): make a packed ring a traced one, if it may
 * be traced, so that the next back-end finds the ring's place in the ring. */
void vhostpci_ring_trace(struct vhostpci_ring *ring);

#endif
