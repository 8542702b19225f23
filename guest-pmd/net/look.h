/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The bursts (net/rx.h, net/tx.h) for both layouts are always-inline functions
 * with constant flags. net/variants.c makes one instance for each combination of
 * flags.
 *
 * A burst handles its packets in steps, so that the loads of one step are in
 * flight together: ring entries, descriptors, packet data. Most packets are in one
 * descriptor in one region; the burst itself copies these. For all others it calls
 * vhostpci_pull_chain() or vhostpci_push_chain().
 *
 * This file has the step that looks at descriptors, for builds with stamps.
 */

#ifndef VHOSTPCI_NET_LOOK_H
#define VHOSTPCI_NET_LOOK_H

#include "base/stamp.h"
#include "vring/layout.h"

/* A driver with stamps looks at descriptors in a separate loop: the stage
 * "translate". */
#define LOOK_IN_PEEK(look) (VHOSTPCI_STAMPED ? VHOSTPCI_LOOK_NOT : (look))

static __rte_always_inline void
look_now(struct vhostpci_ring *ring, struct vhostpci_slot *slots, uint16_t n,
	 enum vhostpci_look look, const unsigned int flags)
{
	uint16_t i;

	VHOSTPCI_STAMP_BEGIN();
	for (i = 0; VHOSTPCI_STAMPED && i < n; i++)
		vhostpci_look(ring, &slots[i], look, flags & F_PACKED);
	VHOSTPCI_STAMP(ring, translate);
}

#endif
