/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a ring goes on after whoever served it before. */

#ifndef VHOSTPCI_VRING_RESUME_H
#define VHOSTPCI_VRING_RESUME_H

#include "vring/ring.h"

/*
 * control, while @ring is set up and its memory found: set ring->last and
 * ring->wrap; of a packed ring, end the commit of a process that was killed in
 * it. VHOSTPCI_RULE_NONE, or what is wrong with the place.
 */
enum vhostpci_rule vhostpci_ring_resume(struct vhostpci_ring *ring,
					const struct vhostpci_vring_desc *vr);

/* control, behind vhostpci_ring_resume(): see to it that whoever comes next
 * finds the place of a packed ring in the ring, if it may be traced. */
void vhostpci_ring_trace(struct vhostpci_ring *ring);

#endif
