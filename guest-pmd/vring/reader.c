/* SPDX-License-Identifier: BSD-3-Clause */

/* See vring/reader.h. */

#include <rte_memcpy.h>

#include "vring/reader.h"

/* Copy the header, and the data that still fits. */
static void
read_piece(struct vhostpci_reader *reader, const uint8_t *from, uint32_t len,
	   uint32_t hdr_len)
{
	uint32_t hdr = RTE_MIN(hdr_len - reader->got, len);

	memcpy(reader->bytes + reader->got, from, hdr);
	reader->got += hdr;
	from += hdr;
	len -= hdr;
	if (reader->total <= reader->room &&
	    len <= reader->room - reader->total) {
		if (likely(reader->put == NULL))
			rte_memcpy(reader->data + reader->total, from, len);
		else
			reader->put(reader, from, len);
	}
	reader->total += len;
}

/* Read the current descriptor of the chain, even if it lies across regions. */
static int
read_desc(struct vhostpci_reader *reader, const struct vhostpci_chain *chain)
{
	struct vhostpci_ring *ring = chain->ring;
	uint64_t gpa = chain->gpa, piece;
	uint32_t len = chain->len;

	if (len > VHOSTPCI_MAX_PKT_LEN + ring->hdr_len - reader->got -
	    reader->total)
		return -VHOSTPCI_RULE_LONG;
	for (; len > 0; gpa += piece, len -= piece) {
		const uint8_t *from =
			vhostpci_mem_piece(ring->mem, gpa, len, &piece);

		if (from == NULL)
			return -VHOSTPCI_RULE_MEMORY;
		read_piece(reader, from, piece, ring->hdr_len);
	}
	return 0;
}

static int
read_all(struct vhostpci_reader *reader, struct vhostpci_chain *chain, int rc)
{
	while (rc >= 0) {
		rc = read_desc(reader, chain);
		if (rc == 0)
			rc = vhostpci_chain_next(chain);
		if (rc == 0)
			break;
	}
	if (rc == 0 && reader->got < chain->ring->hdr_len)
		rc = -VHOSTPCI_RULE_SHORT;
	return rc;
}

int
vhostpci_read_chain(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
		    const struct vhostpci_slot *slot,
		    struct vhostpci_reader *reader,
		    struct vhostpci_chain *chain)
{
	const struct vhostpci_desc desc = vhostpci_slot_desc(slot,
							     ring->packed);

	*chain = (struct vhostpci_chain) {
		.ring = ring, .left = vhostpci_chain_max(ring), .want = 0,
	};
	return read_all(reader, chain, vhostpci_chain_begin(chain, &desc,
							    slot->id, b->at));
}
