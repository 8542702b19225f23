/* SPDX-License-Identifier: BSD-3-Clause */

/* See vring/writer.h. */

#include "vring/layout.h"
#include "vring/send.h"
#include "vring/writer.h"

/* All bytes that a new descriptor names must be mapped, not only the bytes that
 * the packet needs. */
static int
write_desc(struct vhostpci_writer *w)
{
	struct vhostpci_chain *chain = &w->chain;
	struct vhostpci_ring *ring = chain->ring;

	w->to = vhostpci_mem_addr(ring->mem, &ring->cache, chain->gpa,
				  chain->len);
	if (likely(w->to != NULL)) {
		w->room = chain->len;
		chain->len = 0;
		return 0;
	}
	/* If mapped at all, the buffer lies across regions: write it piece by
	 * piece. */
	return vhostpci_mem_read(ring->mem, NULL, chain->gpa, chain->len) ?
		0 : -VHOSTPCI_RULE_MEMORY;
}

/* Go to the next piece of a descriptor that lies across regions. */
static void
write_piece(struct vhostpci_writer *w)
{
	struct vhostpci_chain *chain = &w->chain;

	/* Not NULL: write_desc() has checked the range, and tables do not
	 * change in a burst. */
	w->to = vhostpci_mem_piece(chain->ring->mem, chain->gpa, chain->len,
				   &w->room);
	chain->gpa += w->room;
	chain->len -= w->room;
}

/* The current chain is full: give it back. Nobody sees the entries and shadows
 * that are given here until the packet is complete. */
static int
write_close(struct vhostpci_writer *w)
{
	struct vhostpci_chain *chain = &w->chain;
	int rc = w->flags & F_PACKED ? vhostpci_chain_end(chain) : 0;

	if (rc < 0)
		return rc;
	/* No driver can have more descriptors available than the ring has. */
	if (w->flags & F_PACKED &&
	    w->n_slots + chain->n_slots > chain->ring->size)
		return -VHOSTPCI_RULE_CHAIN_LENGTH;
	vhostpci_give(chain->ring, &w->b, chain->id, chain->n_slots,
		      w->written, w->flags);
	w->n_slots += chain->n_slots;
	w->written = 0;
	return 0;
}

static int
write_open(struct vhostpci_writer *w, const struct vhostpci_slot *slot)
{
	const struct vhostpci_desc desc =
		vhostpci_slot_desc(slot, w->flags & F_PACKED);
	struct vhostpci_chain *chain = &w->chain;
	int rc;

	w->n_heads++;
	/* The limit holds for each chain (virtio 1.x, 2.7.5.3.1), not for all
	 * chains of the packet. */
	chain->left = vhostpci_chain_max(chain->ring);
	rc = vhostpci_chain_begin(chain, &desc, slot->id, w->b.at);
	return rc < 0 ? rc : write_desc(w);
}

/* Close the chain, and open the next one. */
static int
write_reopen(struct vhostpci_writer *w)
{
	struct vhostpci_ring *ring = w->chain.ring;
	struct vhostpci_slot slot;
	int rc = write_close(w);

	if (rc < 0)
		return rc;
	/* Even a whole ring of buffers is too small for this packet. */
	if (w->flags & F_PACKED ? w->n_slots >= ring->size :
	    w->n_heads >= ring->size)
		return VHOSTPCI_DROP;
	/* A packet may take no more descriptors than one chain may have. As
	 * each chain has at least one descriptor, this also bounds the chains
	 * by VHOSTPCI_MAX_CHAIN; VHOSTPCI_MAX_GIVEN relies on that. */
	if (ring->walked - w->walked >= VHOSTPCI_MAX_CHAIN)
		return VHOSTPCI_DROP;
	if (vhostpci_peek(ring, &w->b, &slot, 1, &rc,
			  w->flags & F_PACKED, VHOSTPCI_LOOK_NOT) == 0)
		return rc < 0 ? rc : VHOSTPCI_NO_ROOM;
	return write_open(w, &slot);
}

/* Go on to the next piece, descriptor or chain that has room. */
static int
write_more(struct vhostpci_writer *w)
{
	bool mergeable = w->flags & F_MRG_RXBUF;

	while (w->room == 0) {
		int rc;

		if (w->chain.len > 0) {
			write_piece(w);
			continue;
		}
		rc = vhostpci_chain_next(&w->chain);
		if (rc > 0)
			rc = write_desc(w);
		else if (rc == 0)
			rc = mergeable ? write_reopen(w) : VHOSTPCI_DROP;
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
vhostpci_write_bytes(struct vhostpci_writer *w, const void *src, uint32_t len)
{
	const uint8_t *from = src;
	uint32_t piece;

	for (; len > 0; len -= piece, from += piece) {
		int rc = write_more(w);

		if (rc != 0)
			return rc;
		piece = RTE_MIN(len, w->room);
		vhostpci_copy_across(w->to, from, piece);
		w->last_byte = w->to + piece - 1;
		w->to += piece;
		w->room -= piece;
		w->written += piece;
	}
	return 0;
}

/* Write num_buffers byte by byte, because its two bytes may lie in two
 * places. */
static int
write_header(struct vhostpci_writer *w, const struct virtio_net_hdr_v1 *hdr)
{
	const uint32_t common = sizeof(struct virtio_net_hdr);
	uint32_t len = w->chain.ring->hdr_len, i;
	int rc = vhostpci_write_bytes(w, hdr, common);

	for (i = common; rc == 0 && i < len; i++) {
		rc = vhostpci_write_bytes(w, (const uint8_t *)hdr + i, 1);
		w->num_buffers[i - common] = w->last_byte;
	}
	return rc;
}

int
vhostpci_write_begin(struct vhostpci_writer *w, const struct vhostpci_slot *slot,
		     const struct virtio_net_hdr_v1 *hdr)
{
	int rc = write_open(w, slot);

	return rc == 0 ? write_header(w, hdr) : rc;
}

int
vhostpci_write_end(struct vhostpci_writer *w)
{
	int rc = write_close(w);

	if (rc == 0 && w->num_buffers[0] != NULL) {
		*w->num_buffers[0] = w->n_heads & 0xff;
		*w->num_buffers[1] = w->n_heads >> 8;
	}
	return rc;
}
