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
#include "vhostpci_dev.h"
#include "vhostpci_offload.h"
#include "vhostpci_stamp.h"

/* How often a tx burst looks again for buffers before it gives up. */
#define TX_RETRIES	8

/*
 * From the peer.
 */

/* Is the packet of @slot in one descriptor, with exactly @flags, in one region?
 */
static __rte_always_inline void
examine(struct vhostpci_ring *ring, struct vhostpci_slot *slot, uint16_t flags)
{
	const struct vhostpci_desc *desc = &slot->desc;

	slot->addr = NULL;
	if (likely(desc->flags == flags && desc->len > ring->hdr_len &&
		   desc->len <= VHOSTPCI_MAX_PKT_LEN))
		slot->addr = vhostpci_mem_addr(ring->mem, &ring->cache,
					       desc->addr, desc->len);
}

/* Fill in a fresh mbuf, of which the pool guarantees next and little else. What
 * nobody reads unless a flag says so (tx_offload, dynamic fields) is left. */
static __rte_always_inline void
mbuf_init(struct rte_mbuf *m, uint64_t rearm, uint32_t len)
{
	memcpy((uint8_t *)m + VHOSTPCI_MBUF_REARM, &rearm, sizeof(rearm));
	/* Of a pool of pinned buffers, all are external for ever. */
	m->ol_flags &= RTE_MBUF_F_EXTERNAL;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
	m->vlan_tci = 0;
}

static __rte_always_inline int
pull(struct vhostpci_ring *ring, struct vhostpci_burst *b,
     const struct vhostpci_slot *slot, struct rte_mbuf *m, uint64_t rearm,
     uint32_t room, const unsigned int flags)
{
	uint32_t len = slot->desc.len - ring->hdr_len;
	struct vhostpci_burst copy;
	struct virtio_net_hdr hdr;
	int rc;

	if (unlikely(slot->addr == NULL || len > room)) {
		/* Only the copy has an address: *b stays in registers. */
		copy = *b;
		mbuf_init(m, rearm, 0);
		rc = vhostpci_pull_chain(ring, &copy, slot, m, flags);
		*b = copy;
		return rc;
	}
	mbuf_init(m, rearm, len);
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
	   struct vhostpci_slot *slots, struct rte_mbuf **pkts, uint16_t n,
	   uint32_t room, int *rule, const unsigned int flags)
{
	const uint64_t rearm = ring->rearm;
	uint64_t bytes = 0;
	uint16_t i, done = 0;
	int rc;

	VHOSTPCI_STAMP_BEGIN();
	for (i = 0; i < n; i++) {
		examine(ring, &slots[i], 0);
		if (likely(slots[i].addr != NULL))
			rte_prefetch0(slots[i].addr + ring->hdr_len);
	}
	VHOSTPCI_STAMP(ring, translate);
	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[done];

		rc = pull(ring, b, &slots[i], m, rearm, room, flags);
		if (likely(rc == 0 && m->pkt_len >= RTE_ETHER_HDR_LEN)) {
			bytes += m->pkt_len;
			done++;
		} else {
			not_received(ring, m, rc);
		}
		if (unlikely(rc < 0)) {
			*rule = rc;
			break;
		}
		if (unlikely(ring->walked >= VHOSTPCI_RX_WALK)) {
			*rule = 0;
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
	uint32_t room;
	int rule = 0;

	VHOSTPCI_STAMP_BEGIN();
	ring->walked = 0;
	n = RTE_MIN(n, VHOSTPCI_BATCH);
	if (vhostpci_pending(ring, &b, n, flags & F_PACKED) == 0) {
		if (unlikely(ring->untold > 0))
			vhostpci_tell(ring, flags);
		return 0;
	}
	room = rte_pktmbuf_data_room_size(mp) - RTE_PKTMBUF_HEADROOM;
	/* Once, unless a packed ring has chains. */
	while (done < n && rule == 0 && ring->walked < VHOSTPCI_RX_WALK &&
	       b.given < n) {
		good = vhostpci_peek(ring, &b, slots, n - b.given, &rule,
				     flags & F_PACKED);
		if (good == 0)
			break;
		VHOSTPCI_STAMP(ring, ring);
		got = get_mbufs(ring, mp, pkts + done, good);
		VHOSTPCI_STAMP(ring, mbuf);
		if (unlikely(got < good)) {
			/* The rest was not looked at yet. */
			good = got;
			rule = 0;
			if (good == 0)
				break;
		}
		got = pull_batch(ring, &b, slots, pkts + done, good, room,
				 &rule, flags);
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

/* Send one packet: 0, VHOSTPCI_DROP, VHOSTPCI_NO_ROOM or a rule. */
static __rte_always_inline int
push(struct vhostpci_ring *ring, struct vhostpci_burst *b,
     const struct vhostpci_slot *slot, struct rte_mbuf **pkt,
     const unsigned int flags)
{
	struct virtio_net_hdr_v1 hdr = { .num_buffers = 1 };
	struct rte_mbuf *m = *pkt;
	uint32_t len = m->pkt_len + ring->hdr_len;
	struct vhostpci_burst copy;
	int rc;

	if (unlikely(m->pkt_len > VHOSTPCI_MAX_PKT_LEN))
		return VHOSTPCI_DROP;
	if (flags & F_OFFLOAD) {
		rc = vhostpci_offload_tx(ring, pkt,
					 (struct virtio_net_hdr *)&hdr);
		if (unlikely(rc != 0))
			return rc;
		m = *pkt;
	}
	if (unlikely(slot->addr == NULL || m->nb_segs != 1 ||
		     len > slot->desc.len)) {
		copy = *b;
		rc = vhostpci_push_chain(ring, &copy, slot, m, &hdr, flags);
		*b = copy;
		return rc;
	}
	put_header(ring, slot->addr, &hdr);
	rte_memcpy(slot->addr + ring->hdr_len, rte_pktmbuf_mtod(m, void *),
		   m->data_len);
	vhostpci_give(ring, b, slot->id, 1, len, flags);
	return 0;
}

static __rte_always_inline bool
may_walk(const struct vhostpci_ring *ring)
{
	return likely(ring->walked < VHOSTPCI_TX_WALK);
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
	const uint16_t given = b->given;
	uint64_t bytes = 0, sent = 0;
	uint16_t good, i;
	int rc = 0, late = 0;

	VHOSTPCI_STAMP_BEGIN();
	good = vhostpci_peek(ring, b, slots, n, &late, flags & F_PACKED);
	VHOSTPCI_STAMP(ring, ring);
	for (i = 0; i < good; i++) {
		examine(ring, &slots[i], VRING_DESC_F_WRITE);
		if (likely(slots[i].addr != NULL)) {
			rte_prefetch0(slots[i].addr);
			vhostpci_prefetch_write(slots[i].addr + ring->hdr_len);
		}
	}
	VHOSTPCI_STAMP(ring, translate);
	*aligned = true;
	for (i = 0; i < good && *aligned && may_walk(ring); i++) {
		rc = push(ring, b, &slots[i], &pkts[i], flags);
		if (unlikely(rc < 0 || rc == VHOSTPCI_NO_ROOM))
			break;
		if (likely(rc == 0)) {
			sent++;
			bytes += pkts[i]->pkt_len;
		} else if (rc == VHOSTPCI_DROP) {
			ring->count.oversized++;
		}
		*aligned = (uint16_t)(b->given - given) == i + 1;
	}
	VHOSTPCI_STAMP(ring, copy);
	ring->count.packets += sent;
	ring->count.bytes += bytes;
	if (unlikely(rc < 0))
		*rule = rc;
	else if (unlikely(i == good && good < n))
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
