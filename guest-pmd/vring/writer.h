/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Copying a packet into chains of several descriptors or regions, and into as
 * many of them as it takes.
 *
 * Nothing has happened until the caller takes w->b for its own: the buffers
 * written to are not handed back before. Functions return 0, an enum
 * vhostpci_fate or a rule as a negative number.
 */

#ifndef VHOSTPCI_VRING_WRITER_H
#define VHOSTPCI_VRING_WRITER_H

#include <linux/virtio_net.h>

#include "vring/cursor.h"

/* Writes one packet into one chain after the other. */
struct vhostpci_writer {
	struct vhostpci_chain chain;
	struct vhostpci_burst b;	/* ours until the packet is complete */
	unsigned int flags;
	uint16_t n_heads;	/* chains begun */
	uint32_t n_slots;	/* packed: of all of them */
	uint32_t walked;	/* ring->walked when this packet began */
	uint32_t written;	/* into the current chain */
	/* Where the next byte goes, and how many may follow it there. The
	 * chain's gpa and len are what comes behind these. */
	uint8_t *to;
	uint64_t room;
	uint8_t *last_byte;	/* where the last byte written went */
	uint8_t *num_buffers[2];	/* of the header: known in the end */
};

/* datapath: begin with the chain of @slot, which is the one at w->b, and the
 * virtio-net header @hdr; ring->hdr_len says how much of it. */
int vhostpci_write_begin(struct vhostpci_writer *w,
			 const struct vhostpci_slot *slot,
			 const struct virtio_net_hdr_v1 *hdr);
/* datapath: go on with @len bytes at @src, which are ours or a peer's. */
int vhostpci_write_bytes(struct vhostpci_writer *w, const void *src,
			 uint32_t len);
/* datapath: the packet is complete: close its last chain, and write into the
 * header how many there are. */
int vhostpci_write_end(struct vhostpci_writer *w);

static __rte_always_inline struct vhostpci_writer
vhostpci_writer(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
		unsigned int flags)
{
	return (struct vhostpci_writer) {
		.chain = { .ring = ring, .want = VRING_DESC_F_WRITE },
		.b = *b,
		.flags = flags,
		.walked = ring->walked,
	};
}

#endif
