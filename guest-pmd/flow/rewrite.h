/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Apply a rule's edits to the private copy of a packet's headers.
 *
 * The result equals what Open vSwitch makes of the same packet, byte for byte
 * (odp-execute.c, packets.c). If the result depends on bytes outside the copy, or
 * if Open vSwitch would write a checksum into bytes that are not a checksum, the
 * driver refuses the packet before any change, and the packet goes the normal
 * path.
 */

#ifndef VHOSTPCI_FLOW_REWRITE_H
#define VHOSTPCI_FLOW_REWRITE_H

#include "flow/rule.h"

/* A packet's headers in private memory. */
struct vhostpci_flow_frame {
	/* There are VHOSTPCI_FLOW_HEADROOM free bytes before head. A pushed tag
	 * moves head towards the front, a popped tag towards the back. The caller
	 * must adjust its own offsets, such as csum_start of a virtio header. */
	uint8_t *head;
	uint16_t len;		/* bytes at head, which edits replace */
	struct vhostpci_flow_meta meta;	/* as parsed; offsets are kept right */
	/* The L4 checksum is a sum of the pseudo header that the receiver
	 * completes (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
	bool partial;
};

/* Can vhostpci_flow_edit() apply the program of @rule? Changes nothing. */
bool vhostpci_flow_can_edit(const struct vhostpci_flow_rule *rule,
			    const struct vhostpci_flow_frame *frame);
/*
 * Edit @frame up to the next output of @rule, after vhostpci_flow_can_edit().
 * *@at is the state of these calls; the caller sets it to 0 before the first call.
 * Returns the destination, rule->n_out times in all, then NULL. Later calls change
 * the same frame: a caller that needs the frame later must copy head first.
 */
void *vhostpci_flow_edit(const struct vhostpci_flow_rule *rule, uint16_t *at,
			 struct vhostpci_flow_frame *frame);

#endif
