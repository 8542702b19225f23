/* SPDX-License-Identifier: BSD-3-Clause */

/* Packets over several descriptors: see vhostpci_copy.h. */

#include <linux/virtio_net.h>

#include <rte_memcpy.h>

#include "vhostpci_copy.h"
#include "vhostpci_offload.h"

/*
 * From the peer.
 */

/* Takes in what a chain holds, the header first. */
struct pull {
	union {
		struct virtio_net_hdr hdr;
		uint8_t bytes[sizeof(struct virtio_net_hdr_v1)];
	};
	uint32_t got;		/* of the header */
	uint32_t total;		/* of the packet */
	uint32_t room;		/* bytes at data */
	uint8_t *data;
};

/* Copy what still fits. */
static void
pull_piece(struct pull *pull, const uint8_t *from, uint32_t len,
	   uint32_t hdr_len)
{
	uint32_t hdr = RTE_MIN(hdr_len - pull->got, len);

	memcpy(pull->bytes + pull->got, from, hdr);
	pull->got += hdr;
	from += hdr;
	len -= hdr;
	if (pull->total <= pull->room && len <= pull->room - pull->total)
		rte_memcpy(pull->data + pull->total, from, len);
	pull->total += len;
}

/* The chain's current descriptor, across regions. */
static int
pull_desc(struct pull *pull, const struct vhostpci_chain *chain)
{
	struct vhostpci_ring *ring = chain->ring;
	uint64_t gpa = chain->gpa, piece;
	uint32_t len = chain->len;

	if (len > VHOSTPCI_MAX_PKT_LEN + ring->hdr_len - pull->got -
	    pull->total)
		return -VHOSTPCI_RULE_LONG;
	for (; len > 0; gpa += piece, len -= piece) {
		const uint8_t *from =
			vhostpci_mem_piece(ring->mem, gpa, len, &piece);

		if (from == NULL)
			return -VHOSTPCI_RULE_MEMORY;
		pull_piece(pull, from, piece, ring->hdr_len);
	}
	return 0;
}

static int
pull_all(struct pull *pull, struct vhostpci_chain *chain, int rc)
{
	while (rc >= 0) {
		rc = pull_desc(pull, chain);
		if (rc == 0)
			rc = vhostpci_chain_next(chain);
		if (rc == 0)
			break;
	}
	if (rc == 0 && pull->got < chain->ring->hdr_len)
		rc = -VHOSTPCI_RULE_SHORT;
	return rc;
}

static int
pull_into(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	  const struct vhostpci_slot *slot, const struct rte_mbuf *m,
	  struct pull *pull, struct vhostpci_chain *chain)
{
	const struct vhostpci_desc desc = vhostpci_slot_desc(slot,
							     ring->packed);

	*chain = (struct vhostpci_chain) {
		.ring = ring, .left = vhostpci_chain_max(ring), .want = 0,
	};
	*pull = (struct pull) {
		.room = rte_pktmbuf_tailroom(m),
		.data = rte_pktmbuf_mtod(m, uint8_t *),
	};
	return pull_all(pull, chain, vhostpci_chain_begin(chain, &desc,
							  slot->id, b->at));
}

int
vhostpci_pull_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		    const struct vhostpci_slot *slot, struct rte_mbuf *m,
		    unsigned int flags)
{
	struct vhostpci_chain chain;
	struct pull pull;
	int rc = pull_into(ring, b, slot, m, &pull, &chain);

	/* Again from the start: the peer may have changed it meanwhile, but
	 * what comes of it is checked anew and fits, or does not. */
	if (flags & F_OFFLOAD && rc == 0 && pull.total > pull.room &&
	    ring->offload & VHOSTPCI_OL_TAKE_TSO &&
	    vhostpci_offload_room(m, pull.total) == 0)
		rc = pull_into(ring, b, slot, m, &pull, &chain);
	if (rc < 0)
		return rc;
	vhostpci_give(ring, b, chain.id, chain.n_slots, 0, flags);
	if (pull.total > pull.room)
		return VHOSTPCI_DROP;
	m->data_len = pull.total;
	m->pkt_len = pull.total;
	if (flags & F_OFFLOAD)
		return vhostpci_offload_rx(ring, m, &pull.hdr);
	return 0;
}

/*
 * To the peer.
 */

/* Writes one packet into one chain after the other. */
struct push {
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
	uint8_t *last_byte;	/* where the last byte of push_bytes() went */
};

/* The whole of what a new descriptor claims has to be mapped, not only what is
 * used of it. */
static int
push_desc(struct push *push)
{
	struct vhostpci_chain *chain = &push->chain;
	struct vhostpci_ring *ring = chain->ring;

	push->to = vhostpci_mem_addr(ring->mem, &ring->cache, chain->gpa,
				     chain->len);
	if (likely(push->to != NULL)) {
		push->room = chain->len;
		chain->len = 0;
		return 0;
	}
	/* Across regions, if at all: piece by piece. */
	return vhostpci_mem_read(ring->mem, NULL, chain->gpa, chain->len) ?
		0 : -VHOSTPCI_RULE_MEMORY;
}

/* The next piece of a descriptor that lies across regions. */
static void
push_piece(struct push *push)
{
	struct vhostpci_chain *chain = &push->chain;

	/* Not NULL: push_desc() saw it, and tables do not change in a burst. */
	push->to = vhostpci_mem_piece(chain->ring->mem, chain->gpa, chain->len,
				      &push->room);
	chain->gpa += push->room;
	chain->len -= push->room;
}

/* The current chain is full. Entries of used rings and shadows that are given
 * here are nobody's until the packet is complete. */
static int
push_close(struct push *push)
{
	struct vhostpci_chain *chain = &push->chain;
	int rc = push->flags & F_PACKED ? vhostpci_chain_end(chain) : 0;

	if (rc < 0)
		return rc;
	/* No driver has more descriptors out than there are. */
	if (push->flags & F_PACKED &&
	    push->n_slots + chain->n_slots > chain->ring->size)
		return -VHOSTPCI_RULE_CHAIN_LENGTH;
	vhostpci_give(chain->ring, &push->b, chain->id, chain->n_slots,
		      push->written, push->flags);
	push->n_slots += chain->n_slots;
	push->written = 0;
	return 0;
}

static int
push_open(struct push *push, const struct vhostpci_slot *slot)
{
	const struct vhostpci_desc desc =
		vhostpci_slot_desc(slot, push->flags & F_PACKED);
	struct vhostpci_chain *chain = &push->chain;
	int rc;

	push->n_heads++;
	/* Of each chain (virtio 1.x, 2.7.5.3.1), not of all of them. */
	chain->left = vhostpci_chain_max(chain->ring);
	rc = vhostpci_chain_begin(chain, &desc, slot->id, push->b.at);
	return rc < 0 ? rc : push_desc(push);
}

/* Go on in the next chain. */
static int
push_reopen(struct push *push)
{
	struct vhostpci_ring *ring = push->chain.ring;
	struct vhostpci_slot slot;
	int rc = push_close(push);

	if (rc < 0)
		return rc;
	/* Not even all of the ring holds it. */
	if (push->flags & F_PACKED ? push->n_slots >= ring->size :
	    push->n_heads >= ring->size)
		return VHOSTPCI_DROP;
	/* No more descriptors for one packet than one chain may have. This
	 * also bounds the chains, each of which has at least one, by
	 * VHOSTPCI_MAX_CHAIN: what VHOSTPCI_MAX_GIVEN counts on. */
	if (ring->walked - push->walked >= VHOSTPCI_MAX_CHAIN)
		return VHOSTPCI_DROP;
	if (vhostpci_peek(ring, &push->b, &slot, 1, &rc,
			  push->flags & F_PACKED, VHOSTPCI_LOOK_NOT) == 0)
		return rc < 0 ? rc : VHOSTPCI_NO_ROOM;
	return push_open(push, &slot);
}

/* Get to where there is room. */
static int
push_more(struct push *push)
{
	bool mergeable = push->flags & F_MRG_RXBUF;

	while (push->room == 0) {
		int rc;

		if (push->chain.len > 0) {
			push_piece(push);
			continue;
		}
		rc = vhostpci_chain_next(&push->chain);
		if (rc > 0)
			rc = push_desc(push);
		else if (rc == 0)
			rc = mergeable ? push_reopen(push) : VHOSTPCI_DROP;
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
push_bytes(struct push *push, const void *src, uint32_t len)
{
	const uint8_t *from = src;
	uint32_t piece;

	for (; len > 0; len -= piece, from += piece) {
		int rc = push_more(push);

		if (rc != 0)
			return rc;
		piece = RTE_MIN(len, push->room);
		rte_memcpy(push->to, from, piece);
		push->last_byte = push->to + piece - 1;
		push->to += piece;
		push->room -= piece;
		push->written += piece;
	}
	return 0;
}

/* The header. Where its num_buffers lies, in up to two places, is kept: the
 * number is known only in the end. */
static int
push_header(struct push *push, const struct virtio_net_hdr_v1 *hdr,
	    uint8_t *num_buffers[2])
{
	uint32_t len = push->chain.ring->hdr_len, i;
	int rc = push_bytes(push, hdr, sizeof(struct virtio_net_hdr));

	for (i = sizeof(struct virtio_net_hdr); rc == 0 && i < len; i++) {
		rc = push_bytes(push, (const uint8_t *)hdr + i, 1);
		*num_buffers++ = push->last_byte;
	}
	return rc;
}

static int
push_packet(struct push *push, const struct rte_mbuf *m,
	    const struct virtio_net_hdr_v1 *hdr)
{
	uint8_t *num_buffers[2] = { NULL, NULL };
	int rc = push_header(push, hdr, num_buffers);

	for (; rc == 0 && m != NULL; m = m->next)
		rc = push_bytes(push, rte_pktmbuf_mtod(m, void *), m->data_len);
	if (rc == 0)
		rc = push_close(push);
	if (rc == 0 && num_buffers[0] != NULL) {
		*num_buffers[0] = push->n_heads & 0xff;
		*num_buffers[1] = push->n_heads >> 8;
	}
	return rc;
}

int
vhostpci_push_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		    const struct vhostpci_slot *slot, const struct rte_mbuf *m,
		    const struct virtio_net_hdr_v1 *hdr, unsigned int flags)
{
	struct push push = {
		.chain = { .ring = ring, .want = VRING_DESC_F_WRITE },
		.b = *b,
		.flags = flags,
		.walked = ring->walked,
	};
	int rc = push_open(&push, slot);

	if (rc == 0)
		rc = push_packet(&push, m, hdr);
	if (rc == 0)
		*b = push.b;
	return rc;
}
