/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The bursts, of either layout: always-inline functions with constant flags,
 * of which vhostpci_variants.c makes one instance for each combination.
 *
 * A burst goes over its packets in steps, so that the loads of one step are in
 * flight together: ring entries, descriptors, packet data. Packets in one
 * descriptor in one region, which is what drivers send and offer most of the
 * time, are copied right here; all others take vhostpci_pull_chain() or
 * vhostpci_push_chain().
 */

#ifndef VHOSTPCI_BURST_H
#define VHOSTPCI_BURST_H

#include <linux/virtio_net.h>

#include <rte_memcpy.h>

#include "vhostpci_copy.h"
#include "vhostpci_offload.h"
#include "base/stamp.h"

/* How often a tx burst looks again for buffers before it gives up. */
#define TX_RETRIES	8

/* A driver with stamps looks at descriptors in a loop of its own: the stage
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

/*
 * From the peer.
 */

/* What fresh mbufs begin with, from data_off to ol_flags. Those of a pool of
 * pinned buffers are external for ever. */
struct mbuf_start {
	uint64_t rearm, ol_flags;
};

static __rte_always_inline struct mbuf_start
mbuf_start(const struct vhostpci_ring *ring, struct rte_mempool *mp)
{
	bool pinned = rte_pktmbuf_priv_flags(mp) &
		RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF;

	return (struct mbuf_start) {
		ring->rearm, pinned ? RTE_MBUF_F_EXTERNAL : 0,
	};
}

/* Fill in a fresh mbuf, of which the pool guarantees next and little else. What
 * nobody reads unless a flag says so (tx_offload, dynamic fields) is left. */
static __rte_always_inline void
mbuf_init(struct rte_mbuf *m, const struct mbuf_start *start, uint32_t len)
{
	memcpy((uint8_t *)m + VHOSTPCI_MBUF_REARM, start, sizeof(*start));
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
	m->vlan_tci = 0;
}

/* A packet off the shortest path. Its chain is handed back unless it breaks a
 * rule. */
static __rte_noinline int
pull_slow(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	  const struct vhostpci_slot *slot, struct rte_mbuf *m,
	  const struct mbuf_start *start, unsigned int flags)
{
	mbuf_init(m, start, 0);
	return vhostpci_pull_chain(ring, b, slot, m, flags);
}

static __rte_always_inline int
pull(struct vhostpci_ring *ring, struct vhostpci_burst *b,
     const struct vhostpci_slot *slot, struct rte_mbuf *m,
     const struct mbuf_start *start, uint32_t len, const unsigned int flags)
{
	struct virtio_net_hdr hdr;

	mbuf_init(m, start, len);
	rte_memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM,
		   slot->addr + ring->hdr_len, len);
	vhostpci_give(ring, b, slot->id, 1, 0, flags);
	if (flags & F_OFFLOAD) {
		memcpy(&hdr, slot->addr, sizeof(hdr));
		/* The copy is what is looked at from here on. */
		rte_compiler_barrier();
		return vhostpci_offload_rx(ring, m, &hdr);
	}
	return 0;
}

/* Count what became of a packet, and make the mbuf raw again. */
static inline void
not_received(struct vhostpci_ring *ring, struct rte_mbuf *m, int rc)
{
	if (rc == 0)
		ring->count.runt++;
	else if (rc == VHOSTPCI_DROP)
		ring->count.oversized++;
	if (RTE_MBUF_HAS_EXTBUF(m))
		rte_pktmbuf_detach(m);
}

/* Receive the packets of @n slots into as many raw mbufs; returns how many hold
 * packets now. The others' mbufs come behind. */
static __rte_always_inline uint16_t
pull_batch(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	   const struct vhostpci_slot *slots, struct rte_mbuf **pkts,
	   uint16_t n, struct rte_mempool *mp, int *rule,
	   const unsigned int flags)
{
	const struct mbuf_start start = mbuf_start(ring, mp);
	const uint32_t room = rte_pktmbuf_data_room_size(mp) -
		RTE_PKTMBUF_HEADROOM;
	const uint32_t hdr_len = ring->hdr_len;
	struct vhostpci_burst copy;
	uint64_t bytes = 0;
	uint16_t i, done = 0;
	int rc;

	VHOSTPCI_STAMP_BEGIN();
	for (i = 0; i < n; i++) {
		uint32_t len = slots[i].raw.split.len - hdr_len;
		struct rte_mbuf *m = pkts[done];

		if (likely(slots[i].addr != NULL && len <= room)) {
			rc = pull(ring, b, &slots[i], m, &start, len, flags);
		} else {
			/* Only the copy has an address: *b is in registers. */
			copy = *b;
			rc = pull_slow(ring, &copy, &slots[i], m, &start,
				       flags);
			*b = copy;
			len = m->pkt_len;
			if (unlikely(ring->walked >= VHOSTPCI_RX_WALK))
				n = i + 1;
		}
		if (likely(rc == 0 && len >= RTE_ETHER_HDR_LEN)) {
			bytes += len;
			done++;
			continue;
		}
		not_received(ring, m, rc);
		if (rc < 0) {
			*rule = rc;
			break;
		}
	}
	VHOSTPCI_STAMP(ring, copy);
	ring->count.packets += done;
	ring->count.bytes += bytes;
	return done;
}

/* Raw mbufs that were not needed. */
static __rte_always_inline void
put_back(struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	if (n > 0)
		rte_mempool_put_bulk(mp, (void **)pkts, n);
}

/* Raw mbufs, at most @n: where the pool has not that many, a part of them is
 * better than none for ever. */
static __rte_always_inline uint16_t
get_mbufs(struct vhostpci_ring *ring, struct rte_mempool *mp,
	  struct rte_mbuf **pkts, uint16_t n)
{
	if (likely(rte_mempool_get_bulk(mp, (void **)pkts, n) == 0))
		return n;
	ring->count.no_mbuf++;
	do
		n /= 2;
	while (n > 0 && rte_mempool_get_bulk(mp, (void **)pkts, n) != 0);
	return n;
}

static __rte_always_inline uint16_t
burst_rx(struct vhostpci_ring *ring, struct rte_mempool *mp,
	 struct rte_mbuf **pkts, uint16_t n, const unsigned int flags)
{
	struct vhostpci_used shadow[VHOSTPCI_BATCH];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	struct vhostpci_slot slots[VHOSTPCI_BATCH];
	uint16_t done = 0, good, got;
	int rule = 0;

	VHOSTPCI_STAMP_BEGIN();
	ring->walked = 0;
	n = RTE_MIN(n, VHOSTPCI_BATCH);
	if (vhostpci_pending(ring, &b, n, flags & F_PACKED) == 0) {
		if (unlikely(ring->untold > 0))
			vhostpci_tell(ring, flags);
		return 0;
	}
	/* Once, unless a packed ring has chains. */
	while (done < n && rule == 0 && ring->walked < VHOSTPCI_RX_WALK &&
	       b.given < n) {
		good = vhostpci_peek(ring, &b, slots, n - b.given, &rule,
				     flags & F_PACKED,
				     LOOK_IN_PEEK(VHOSTPCI_LOOK_RX));
		if (good == 0)
			break;
		VHOSTPCI_STAMP(ring, ring);
		look_now(ring, slots, good, VHOSTPCI_LOOK_RX, flags);
		VHOSTPCI_STAMP_AGAIN();
		got = get_mbufs(ring, mp, pkts + done, good);
		VHOSTPCI_STAMP(ring, mbuf);
		if (unlikely(got < good)) {
			/* The rest was not looked at yet. */
			good = got;
			rule = 0;
			if (good == 0)
				break;
		}
		got = pull_batch(ring, &b, slots, pkts + done, good, mp, &rule,
				 flags);
		VHOSTPCI_STAMP_AGAIN();
		put_back(mp, pkts + done + got, good - got);
		done += got;
		if (!(flags & F_PACKED))
			break;
	}
	vhostpci_commit(ring, &b, flags);
	VHOSTPCI_STAMP(ring, ring);
	ring->end = b.end;
	/* The barrier that this takes would wait for all our stores: leave it
	 * to a poll with nothing else to do, but not for long. */
	if (unlikely(ring->untold > ring->tell_after))
		vhostpci_tell(ring, flags);
	if (unlikely(rule < 0))
		vhostpci_ring_break(ring, -rule);
	return done;
}

/*
 * To the peer.
 */

/* Store the header, unless it is there already, as in a buffer that comes
 * round: the line then stays in both cores' caches. */
static __rte_always_inline void
put_header(const struct vhostpci_ring *ring, uint8_t *to,
	   const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t head, was;
	uint32_t tail, tail_was;

	memcpy(&head, hdr, sizeof(head));
	memcpy(&tail, (const uint8_t *)hdr + sizeof(head), sizeof(tail));
	memcpy(&was, to, sizeof(was));
	if (likely(ring->hdr_len == sizeof(*hdr))) {
		memcpy(&tail_was, to + sizeof(head), sizeof(tail));
		if (likely(was == head && tail_was == tail))
			return;
		memcpy(to, &head, sizeof(head));
		memcpy(to + sizeof(head), &tail, sizeof(tail));
		return;
	}
	memcpy(to, hdr, sizeof(struct virtio_net_hdr));
}

/* Send one packet on the shortest path. */
static __rte_always_inline void
push(struct vhostpci_ring *ring, struct vhostpci_burst *b,
     const struct vhostpci_slot *slot, const struct rte_mbuf *m,
     const struct virtio_net_hdr_v1 *hdr, const unsigned int flags)
{
	put_header(ring, slot->addr, hdr);
	rte_memcpy(slot->addr + ring->hdr_len, rte_pktmbuf_mtod(m, void *),
		   m->data_len);
	vhostpci_give(ring, b, slot->id, 1, m->data_len + ring->hdr_len, flags);
}

static __rte_always_inline bool
may_walk(const struct vhostpci_ring *ring)
{
	return likely(ring->walked < VHOSTPCI_TX_WALK);
}

/* Send one packet off the shortest path, or that was found not to be sent:
 * @rc. 0, VHOSTPCI_DROP and such, VHOSTPCI_NO_ROOM or a rule. */
static __rte_noinline int
push_slow(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	  const struct vhostpci_slot *slot, const struct rte_mbuf *m, int rc,
	  const struct virtio_net_hdr_v1 *hdr, bool *aligned,
	  unsigned int flags)
{
	const uint16_t given = b->given;

	if (rc == 0)
		rc = m->pkt_len > VHOSTPCI_MAX_PKT_LEN ? VHOSTPCI_DROP :
			vhostpci_push_chain(ring, b, slot, m, hdr, flags);
	if (rc == VHOSTPCI_DROP)
		ring->count.oversized++;
	*aligned = may_walk(ring) && b->given == given + 1;
	return rc;
}

static __rte_always_inline int
prepare(struct vhostpci_ring *ring, struct rte_mbuf **pkt,
	struct virtio_net_hdr_v1 *hdr)
{
	if (unlikely((*pkt)->pkt_len > VHOSTPCI_MAX_PKT_LEN))
		return VHOSTPCI_DROP;
	return vhostpci_offload_tx(ring, pkt, (struct virtio_net_hdr *)hdr);
}

/*
 * Send some of @n packets; returns how many are done with. Ends after a packet
 * that took no chain or several, because the slots examined ahead are then not
 * the next ones' any more; *@aligned tells. Ends when enough descriptors were
 * walked, and with *@rule.
 */
static __rte_always_inline uint16_t
push_batch(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	   struct rte_mbuf **pkts, uint16_t n, bool *aligned, int *rule,
	   const unsigned int flags)
{
	struct vhostpci_slot slots[VHOSTPCI_BATCH];
	uint64_t bytes = 0, sent = 0;
	uint16_t good, i;
	int late = 0;

	VHOSTPCI_STAMP_BEGIN();
	good = vhostpci_peek(ring, b, slots, n, &late, flags & F_PACKED,
			     LOOK_IN_PEEK(VHOSTPCI_LOOK_TX));
	VHOSTPCI_STAMP(ring, ring);
	look_now(ring, slots, good, VHOSTPCI_LOOK_TX, flags);
	VHOSTPCI_STAMP_AGAIN();
	*aligned = true;
	for (i = 0; i < good && *aligned; i++) {
		struct virtio_net_hdr_v1 hdr = { .num_buffers = 1 };
		int rc = flags & F_OFFLOAD ? prepare(ring, &pkts[i], &hdr) : 0;
		const struct rte_mbuf *m = pkts[i];

		if (likely(rc == 0 && slots[i].addr != NULL &&
			   m->nb_segs == 1 &&
			   (uint32_t)m->data_len + ring->hdr_len <=
				   slots[i].raw.split.len)) {
			push(ring, b, &slots[i], m, &hdr, flags);
		} else {
			/* Only the copy has an address: *b is in registers. */
			struct vhostpci_burst copy = *b;

			rc = push_slow(ring, &copy, &slots[i], m, rc, &hdr,
				       aligned, flags);
			*b = copy;
		}
		if (likely(rc == 0)) {
			sent++;
			bytes += m->pkt_len;
		} else if (rc < 0 || rc == VHOSTPCI_NO_ROOM) {
			*rule = RTE_MIN(rc, 0);
			break;
		}
	}
	VHOSTPCI_STAMP(ring, copy);
	ring->count.packets += sent;
	ring->count.bytes += bytes;
	if (unlikely(i == good && good < n && *rule == 0))
		*rule = late;
	return i;
}

/* Send what there are chains for, up to a batch. */
static __rte_always_inline uint16_t
push_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	     struct rte_mbuf **pkts, uint16_t n, int *rule,
	     const unsigned int flags)
{
	uint16_t done = 0, limit = n, got;
	bool aligned;

	while (done < n && *rule == 0 && may_walk(ring) &&
	       b->given < VHOSTPCI_BATCH) {
		got = push_batch(ring, b, pkts + done, RTE_MIN(n - done, limit),
				 &aligned, rule, flags);
		if (got == 0)
			break;
		done += got;
		/* Packets over several chains come in rows: look ahead again
		 * only when one has taken one chain. */
		limit = aligned ? n : 1;
	}
	return done;
}

/* Out of buffers. Wait a little for the peer to offer more than the @seen ones,
 * which were too few; but not for one that had none the last time either. */
static __rte_always_inline bool
wait_for_room(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	      uint16_t seen, bool stalled, unsigned int *tries,
	      const unsigned int flags)
{
	for (;;) {
		if (vhostpci_pending(ring, b, UINT16_MAX, flags & F_PACKED) !=
		    seen)
			return !ring->broken;
		if (stalled || (*tries)++ == TX_RETRIES)
			return false;
		rte_pause();
	}
}

/* The caller's packets that were sent, mostly of one pool and not shared. */
static __rte_always_inline void
free_sent(struct rte_mbuf **pkts, uint16_t n)
{
	struct rte_mempool *mp = pkts[0]->pool;
	uint16_t i;

	for (i = 0; i < n; i++) {
		const struct rte_mbuf *m = pkts[i];

		if (unlikely(m->pool != mp || m->nb_segs != 1 ||
			     !RTE_MBUF_DIRECT(m) ||
			     rte_mbuf_refcnt_read(m) != 1)) {
			rte_pktmbuf_free_bulk(pkts, n);
			return;
		}
	}
	rte_mempool_put_bulk(mp, (void **)pkts, n);
}

static __rte_always_inline uint16_t
burst_tx(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n,
	 const unsigned int flags)
{
	struct vhostpci_used shadow[VHOSTPCI_MAX_GIVEN];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	unsigned int tries = 0;
	uint16_t done = 0, got, seen;
	int rule = 0;

	VHOSTPCI_STAMP_BEGIN();
	ring->walked = 0;
	do {
		uint16_t want = RTE_MIN(n - done, VHOSTPCI_BATCH);

		vhostpci_pending(ring, &b, want, flags & F_PACKED);

		VHOSTPCI_STAMP(ring, ring);
		got = push_pending(ring, &b, pkts + done, want, &rule, flags);
		VHOSTPCI_STAMP_AGAIN();
		vhostpci_commit(ring, &b, flags);
		VHOSTPCI_STAMP(ring, ring);
		/* Before the barrier in vhostpci_tell(), which waits for our
		 * stores: they get this long to drain. */
		if (likely(got > 0))
			free_sent(pkts + done, got);
		VHOSTPCI_STAMP(ring, mbuf);
		vhostpci_tell(ring, flags);
		VHOSTPCI_STAMP(ring, ring);
		done += got;
		if (rule < 0)
			vhostpci_ring_break(ring, -rule);
		if (ring->broken || !may_walk(ring))
			break;
		if (likely(got == want))
			continue;
		seen = flags & F_PACKED ? packed_pending(ring, &b) :
			(uint16_t)(b.end - b.at);
		/* A round in vain counts as a look: a peer that offers and takes
		 * back does not keep us. */
		if (got == 0 && tries++ == TX_RETRIES)
			break;
		if (!wait_for_room(ring, &b, seen, ring->stalled && done == 0,
				   &tries, flags))
			break;
	} while (done < n);
	ring->end = b.end;
	ring->stalled = done == 0;
	if (unlikely(done < n))
		ring->count.full++;
	return done;
}

#endif
