/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A rule's edits, applied to the private copy of a packet's headers.
 *
 * The result is what Open vSwitch makes of the same packet, byte for byte
 * (odp-execute.c, packets.c). Where that depends on what is not in the copy, or
 * where Open vSwitch changes bytes that are no checksum, the packet is refused
 * before anything is changed, and goes the normal path.
 */

#ifndef VHOSTPCI_FLOW_REWRITE_H
#define VHOSTPCI_FLOW_REWRITE_H

#include "flow/rule.h"

/* A packet's headers in private memory. */
struct vhostpci_flow_frame {
	/* With VHOSTPCI_FLOW_HEADROOM bytes in front that may be used: a tag
	 * that is pushed moves head to the front, one that is popped to the
	 * back. The caller moves by as much what it knows as an offset, as
	 * csum_start of a virtio header. */
	uint8_t *head;
	uint16_t len;		/* bytes at head, which are replaced */
	struct vhostpci_flow_meta meta;	/* as parsed; offsets are kept right */
	/* The L4 checksum is a sum of the pseudo header that the receiver
	 * completes (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
	bool partial;
};

/* Whether the program of @rule can be applied; false changes nothing. */
bool vhostpci_flow_can_edit(const struct vhostpci_flow_rule *rule,
			    const struct vhostpci_flow_frame *frame);
/*
 * Edit @frame up to the next output of @rule, after vhostpci_flow_can_edit().
 * *@at begins as 0 and is for these calls. Returns the destination, or NULL
 * after the last one: rule->n_out times not NULL. Later edits change the same
 * frame: a caller that writes it later has to copy head first.
 */
void *vhostpci_flow_edit(const struct vhostpci_flow_rule *rule, uint16_t *at,
			 struct vhostpci_flow_frame *frame);

#endif
