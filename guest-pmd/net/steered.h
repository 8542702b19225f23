/* SPDX-License-Identifier: BSD-3-Clause */

/* The burst of net/steer.h, for both layouts: see net/look.h. */

#ifndef VHOSTPCI_NET_STEERED_H
#define VHOSTPCI_NET_STEERED_H

#include "net/rx.h"
#include "net/scatter.h"
#include "net/steer.h"

/* The mbufs of one batch. */
struct steer_mbufs {
	struct mbuf_start start;
	uint32_t room;		/* bytes for a packet */
	uint16_t n, taken;	/* of raw: the burst takes the first ones first */
	uint16_t n_held;
	struct rte_mbuf *raw[VHOSTPCI_BATCH];
	/* Packets whose chains were walked, until they are sent. */
	struct rte_mbuf *held[VHOSTPCI_BATCH];
};

/* receive_known() for a packet longer than an mbuf. The packet's chain has been
 * given back already. */
static __rte_noinline int
receive_long(struct vhostpci_ring *ring, const uint8_t *data,
	     const struct vhostpci_steer_head *head, uint32_t len,
	     struct rte_mbuf *m, unsigned int flags)
{
	const uint32_t front = RTE_MIN(len, (uint32_t)VHOSTPCI_FLOW_HEAD);
	struct virtio_net_hdr hdr;
	struct rte_mbuf *at;
	int rc;

	m->data_len = 0;
	rc = vhostpci_large_or_scatter(ring, m, len, flags);
	if (rc != 0)
		return rc;
	at = vhostpci_scatter_put(m, head->bytes, front);
	vhostpci_scatter_put(at, data + front, len - front);
	vhostpci_scatter_end(m);
	if (!(flags & F_OFFLOAD))
		return 0;
	memcpy(&hdr, &head->hdr, sizeof(hdr));
	return vhostpci_offload_rx(ring, m, &hdr);
}

/* Receive packet @i with the copied head that decided its rule: the peer may have
 * changed its own head since. Returns 0, a fate or a rule. */
static __rte_always_inline int
receive_known(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	      const struct vhostpci_slot *slot,
	      const struct vhostpci_steer_batch *batch, uint16_t i,
	      struct rte_mbuf *m, const struct steer_mbufs *mbufs,
	      const unsigned int flags)
{
	const uint32_t len = batch->lens[i];
	const uint32_t head = RTE_MIN(len, (uint32_t)VHOSTPCI_FLOW_HEAD);
	struct virtio_net_hdr hdr;
	uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

	mbuf_init(m, &mbufs->start, len);
	vhostpci_give(ring, b, slot->id, 1, 0, flags);
	if (unlikely(len > mbufs->room))
		return receive_long(ring, slot->addr + ring->hdr_len,
				    &batch->heads[i], len, m, flags);
	rte_memcpy(to, batch->heads[i].bytes, head);
	if (len > head)
		rte_memcpy(to + head, slot->addr + ring->hdr_len + head,
			   len - head);
	if (!(flags & F_OFFLOAD))
		return 0;
	memcpy(&hdr, &batch->heads[i].hdr, sizeof(hdr));
	return vhostpci_offload_rx(ring, m, &hdr);
}

/* Handle a packet in one descriptor by its verdict. Returns 0, a fate or a rule. */
static __rte_always_inline int
take_known(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	   const struct vhostpci_slot *slot,
	   struct vhostpci_steer_batch *batch, uint16_t i,
	   struct steer_mbufs *mbufs, const unsigned int flags)
{
	if (unlikely(batch->verdicts[i] == VHOSTPCI_UP))
		return receive_known(ring, b, slot, batch, i,
				     mbufs->raw[mbufs->taken], mbufs, flags);
	if (likely(batch->verdicts[i] == VHOSTPCI_GO))
		vhostpci_steer_go(ring, batch, i, slot->addr + ring->hdr_len +
				  VHOSTPCI_FLOW_HEAD);
	vhostpci_give(ring, b, slot->id, 1, 0, flags);
	return 0;
}

/* Handle a packet off the shortest path: copy its chain into an mbuf, and decide.
 * Returns 0, a fate or a rule; if the result is not 0, the verdict is UP. */
static __rte_noinline int
take_walked(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	    struct vhostpci_burst *b, const struct vhostpci_slot *slot,
	    struct vhostpci_steer_batch *batch, uint16_t i,
	    struct steer_mbufs *mbufs, unsigned int flags)
{
	struct rte_mbuf *m = mbufs->raw[mbufs->taken];
	struct virtio_net_hdr hdr;
	int rc;

	mbuf_init(m, &mbufs->start, 0);
	batch->verdicts[i] = VHOSTPCI_UP;
	batch->rules[i] = NULL;
	rc = vhostpci_pull_raw(ring, b, slot, m, &hdr, flags);
	if (rc != 0)
		return rc;
	/* Rules move only packets in one mbuf. */
	if (unlikely(m->next != NULL)) {
		batch->lens[i] = m->pkt_len;
		batch->misses[i] = VHOSTPCI_FLOW_MISS_LONG;
	} else {
		batch->verdicts[i] = vhostpci_steer_late(ring, steer, batch, i,
							 m, &hdr);
	}
	if (batch->verdicts[i] == VHOSTPCI_GO) {
		vhostpci_steer_go(ring, batch, i, rte_pktmbuf_mtod_offset(m,
				  uint8_t *, VHOSTPCI_FLOW_HEAD));
		mbufs->held[mbufs->n_held++] = mbufs->raw[mbufs->taken++];
	} else if (batch->verdicts[i] == VHOSTPCI_AWAY) {
		not_received(ring, m, VHOSTPCI_DROPPED);
	} else if (flags & F_OFFLOAD) {
		rc = vhostpci_offload_rx(ring, m, &hdr);
	}
	return rc;
}

/* Set the mark that tells the application the packet's flow. */
static __rte_always_inline void
set_mark(struct rte_mbuf *m, const struct vhostpci_flow_rule *rule)
{
	if (rule == NULL || vhostpci_flow_kind(rule) != VHOSTPCI_FLOW_MARK)
		return;
	m->hash.fdir.hi = vhostpci_flow_mark(rule);
	m->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
}

/* Handle a batch of the most common kind: all packets go unchanged to one
 * destination. */
static __rte_always_inline void
steer_all_go(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	     struct vhostpci_burst *b, const struct vhostpci_slot *slots,
	     uint16_t n, struct vhostpci_steer_batch *batch,
	     const unsigned int flags)
{
	void *dest = vhostpci_flow_dest(batch->rules[0]);
	uint16_t i;

	for (i = 0; i < n; i++) {
		vhostpci_steer_add(ring, batch, i, slots[i].addr +
				   ring->hdr_len + VHOSTPCI_FLOW_HEAD, dest);
		vhostpci_count_kind(ring, batch->lens[i],
				    batch->heads[i].bytes, RTE_ETHER_HDR_LEN);
		vhostpci_give(ring, b, slots[i].id, 1, 0, flags);
	}
	vhostpci_steer_count_all(steer, batch, n);
	ring->count.bytes += batch->bytes;
	ring->count.packets += n;
	ring->count.steered += n;
	steer->queue->consumed += n;
}

/* All packets of the batch go up: does each have an mbuf, and fit into one mbuf? If
 * not, the burst handles each packet alone. */
static __rte_always_inline bool
steer_has_room(const struct steer_mbufs *mbufs,
	       struct vhostpci_steer_batch *batch, uint16_t n)
{
	if (likely(mbufs->n == n && batch->longest <= mbufs->room))
		return true;
	memset(batch->verdicts, VHOSTPCI_UP, n);
	return false;
}

/* Handle a batch whose packets all go up, each into one mbuf. */
static __rte_always_inline uint16_t
steer_all_up(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	     struct vhostpci_burst *b, const struct vhostpci_slot *slots,
	     uint16_t n, struct vhostpci_steer_batch *batch,
	     struct steer_mbufs *mbufs, struct rte_mbuf **pkts,
	     const unsigned int flags)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs->raw[i];

		/* This cannot fail: no offloads, and the mbuf has room. */
		receive_known(ring, b, &slots[i], batch, i, m, mbufs, flags);
		vhostpci_count_kind(ring, batch->lens[i],
				    batch->heads[i].bytes, RTE_ETHER_HDR_LEN);
		set_mark(m, batch->rules[i]);
		pkts[i] = m;
	}
	mbufs->taken = n;
	vhostpci_steer_count_all(steer, batch, n);
	ring->count.bytes += batch->bytes;
	ring->count.packets += n;
	return n;
}

/* Handle the packets of @n slots, in their order. Returns the number of packets in
 * @pkts. If mbufs are short, the other packets wait for the next burst; if the
 * batch has no room for more items, they wait for the next round. One function: for
 * the same reason as pull_batch(). */
static __rte_always_inline uint16_t
steer_batch(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	    struct vhostpci_burst *b, const struct vhostpci_slot *slots,
	    uint16_t n, struct vhostpci_steer_batch *batch,
	    struct steer_mbufs *mbufs, struct rte_mbuf **pkts, int *rule,
	    const unsigned int flags)
{
	uint64_t bytes = 0, steered = 0;
	struct vhostpci_burst copy;
	uint16_t i, done = 0;
	int rc;

	for (i = 0; i < n; i++) {
		if (unlikely(mbufs->taken == mbufs->n &&
			     (batch->slow ||
			      batch->verdicts[i] == VHOSTPCI_UP))) {
			*rule = 0;
			break;
		}
		if (unlikely(!vhostpci_steer_fits(batch, i, &slots[i]))) {
			*rule = 0;
			batch->cut = true;
			break;
		}
		if (likely(slots[i].addr != NULL)) {
			if (unlikely(batch->slow))
				vhostpci_steer_decide(ring, steer, batch, i);
			rc = take_known(ring, b, &slots[i], batch, i, mbufs,
					flags);
		} else {
			/* Take the address of a copy, so that *b can stay in
			 * registers. */
			copy = *b;
			rc = take_walked(ring, steer, &copy, &slots[i], batch,
					 i, mbufs, flags);
			*b = copy;
			if (unlikely(ring->walked >= VHOSTPCI_RX_WALK))
				n = i + 1;
		}
		if (likely(rc >= 0))
			vhostpci_steer_count(steer, batch, i);
		if (likely(batch->verdicts[i] != VHOSTPCI_UP)) {
			steered++;
			bytes += batch->lens[i];
			vhostpci_count_kind(ring, batch->lens[i],
					    batch->heads[i].bytes,
					    RTE_ETHER_HDR_LEN);
		} else if (rc == 0 && batch->lens[i] >= RTE_ETHER_HDR_LEN) {
			set_mark(mbufs->raw[mbufs->taken], batch->rules[i]);
			pkts[done] = mbufs->raw[mbufs->taken++];
			bytes += batch->lens[i];
			vhostpci_count_kind(ring, batch->lens[i],
					    rte_pktmbuf_mtod(pkts[done],
							     uint8_t *),
					    RTE_ETHER_HDR_LEN);
			done++;
		} else {
			not_received(ring, mbufs->raw[mbufs->taken], rc);
			*rule = RTE_MIN(rc, 0);
			if (rc < 0)
				break;
		}
	}
	ring->count.packets += done + steered;
	ring->count.bytes += bytes;
	ring->count.steered += steered;
	steer->queue->consumed += steered;
	return done;
}

/* Get mbufs for packets that go up, and for packets whose chains are walked. */
static __rte_always_inline void
steer_mbufs_get(struct vhostpci_ring *ring, struct rte_mempool *mp,
		struct steer_mbufs *mbufs, uint16_t n)
{
	mbufs->taken = 0;
	mbufs->n_held = 0;
	mbufs->n = 0;
	if (likely(n == 0))
		return;
	mbufs->start = mbuf_start(ring, mp);
	mbufs->room = rte_pktmbuf_data_room_size(mp) - RTE_PKTMBUF_HEADROOM;
	mbufs->n = get_mbufs(ring, mp, mbufs->raw, n);
}

static __rte_always_inline void
steer_mbufs_put(struct rte_mempool *mp, struct steer_mbufs *mbufs)
{
	put_back(mp, mbufs->raw + mbufs->taken, mbufs->n - mbufs->taken);
	if (unlikely(mbufs->n_held > 0))
		rte_pktmbuf_free_bulk(mbufs->held, mbufs->n_held);
}

/* The steering form of burst_rx(), whose comments about the ring apply here, too.
 * One function: for the same reasons. */
static __rte_always_inline uint16_t
burst_steer(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	    struct rte_mbuf **pkts, uint16_t n, const unsigned int flags)
{
	struct vhostpci_used shadow[VHOSTPCI_BATCH];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	struct vhostpci_slot slots[VHOSTPCI_BATCH];
	struct vhostpci_steer_batch batch;
	struct steer_mbufs mbufs;
	uint16_t done = 0, good, given, was, had;
	bool revoked = false;
	int rule = 0;

	ring->walked = 0;
	n = RTE_MIN(n, VHOSTPCI_BATCH);
	if (vhostpci_pending(ring, &b, n, flags & F_PACKED) == 0) {
		if (unlikely(ring->untold > 0))
			vhostpci_tell(ring, flags);
		return 0;
	}
	steer->all_up = false;
	batch.n_items = 0;
	batch.n_extra = 0;
	/* This runs once, unless a packed ring has chains or the batch has no
	 * room for all items. */
	do {
		given = b.given;
		had = done;
		was = vhostpci_place(b.at, b.wrap, flags);
		good = vhostpci_peek(ring, &b, slots, n - given, &rule,
				     flags & F_PACKED, VHOSTPCI_LOOK_RX);
		if (good == 0)
			break;
		vhostpci_steer_look(ring, steer, slots, good, &batch);
		steer_mbufs_get(ring, steer->mp, &mbufs, batch.n_mbufs);
		if (likely(batch.uniform == VHOSTPCI_ALL_GO))
			steer_all_go(ring, steer, &b, slots, good, &batch,
				     flags);
		else if (batch.uniform == VHOSTPCI_ALL_UP &&
			 steer_has_room(&mbufs, &batch, good))
			done += steer_all_up(ring, steer, &b, slots, good,
					     &batch, &mbufs, pkts + done,
					     flags);
		else
			done += steer_batch(ring, steer, &b, slots, good,
					    &batch, &mbufs, pkts + done, &rule,
					    flags);
		/* Announce first: a packet that we send, but do not hand over,
		 * would be sent again. */
		revoked = b.given > given && !vhostpci_announce(ring, &b, flags);
		if (likely(!revoked))
			vhostpci_steer_send(ring, &batch);
		steer_mbufs_put(steer->mp, &mbufs);
	} while (likely(!revoked) && (flags & F_PACKED || batch.cut) &&
		 rule == 0 && b.given < n && b.given > given &&
		 ring->walked < VHOSTPCI_RX_WALK);
	if (unlikely(revoked)) {
		/* The device has seen what the earlier rounds announced, and
		 * hands that over. */
		vhostpci_withdraw(ring, was, vhostpci_place(b.first, b.first_wrap,
							    flags));
		not_delivered(ring, pkts + had, done - had);
		return had;
	}
	/* This comes last. If the process is killed before, a split ring loses no
	 * packets: the next driver sends those of this burst again. A packed ring
	 * does not send announced packets again, so it may lose the packets of
	 * the current round. */
	if (b.given > 0)
		vhostpci_hand_over(ring, &b, flags);
	ring->end = b.end;
	if (unlikely(ring->untold > ring->tell_after))
		vhostpci_tell(ring, flags);
	if (unlikely(rule < 0))
		vhostpci_ring_break(ring, -rule);
	return done;
}

#endif
