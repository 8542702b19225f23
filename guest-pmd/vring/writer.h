/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Copy a packet into chains of several descriptors or regions, and into as many
 * chains as the packet needs.
 *
 * The writer hands no buffer back. The caller copies w->b to its own burst when
 * the packet is complete; until then the ring is unchanged. Functions return 0, an
 * enum vhostpci_fate, or a rule as a negative number.
 */

#ifndef VHOSTPCI_VRING_WRITER_H
#define VHOSTPCI_VRING_WRITER_H

#include <linux/virtio_net.h>

#include "vring/cursor.h"

/* Writes one packet into successive chains. */
struct vhostpci_writer {
	struct vhostpci_chain chain;
	struct vhostpci_burst b;	/* private until the packet is complete */
	unsigned int flags;
	uint16_t n_heads;	/* chains begun */
	uint32_t n_slots;	/* packed: descriptors of all these chains */
	uint32_t walked;	/* ring->walked when this packet began */
	uint32_t written;	/* into the current chain */
	/* Where the next byte goes, and how many bytes fit there. The chain's
	 * gpa and len describe the memory after that. */
	uint8_t *to;
	uint64_t room;
	uint8_t *last_byte;	/* address of the last written byte */
	uint8_t *num_buffers[2];	/* of the header; set at the end */
};

/* datapath: begin with the chain of @slot, which is at w->b, and write the first
 * ring->hdr_len bytes of the virtio-net header @hdr. */
int vhostpci_write_begin(struct vhostpci_writer *w,
			 const struct vhostpci_slot *slot,
			 const struct virtio_net_hdr_v1 *hdr);
/* datapath: write the next @len bytes, from @src, in our or a peer's memory. */
int vhostpci_write_bytes(struct vhostpci_writer *w, const void *src,
			 uint32_t len);
/* datapath: the packet is complete: close its last chain, and write the number of
 * chains into the header. */
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
