/* SPDX-License-Identifier: BSD-3-Clause */

/* The sending burst of a ring: from mbufs to the peer. See net/look.h. */

#ifndef VHOSTPCI_NET_TX_H
#define VHOSTPCI_NET_TX_H

#include <linux/virtio_net.h>

#include <rte_memcpy.h>

#include "net/copy.h"
#include "net/look.h"
#include "net/offload.h"
#include "vring/kinds.h"
#include "vring/send.h"

/* Send one packet on the shortest path. */
static __rte_always_inline void
push(struct vhostpci_ring *ring, struct vhostpci_burst *b,
     const struct vhostpci_slot *slot, const struct rte_mbuf *m,
     const struct virtio_net_hdr_v1 *hdr, const unsigned int flags)
{
	vhostpci_put_header(ring, slot->addr, hdr);
	rte_memcpy(slot->addr + ring->hdr_len, rte_pktmbuf_mtod(m, void *),
		   m->data_len);
	vhostpci_give(ring, b, slot->id, 1, m->data_len + ring->hdr_len, flags);
}

/* Send one packet off the shortest path; if @rc is not 0, the packet was found
 * unfit to send. Returns 0, a fate such as VHOSTPCI_NO_ROOM, or a rule. */
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
	*aligned = vhostpci_may_send(ring) && b->given == given + 1;
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
 * Send some of @n packets; returns how many are finished. Stops after a packet that
 * took no chain or several chains, and clears *@aligned: the slots read ahead then
 * no longer belong to the next packets. Stops, too, when the burst has walked
 * enough descriptors, or sets *@rule. One function: for the same reason as
 * pull_batch().
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
		const uint8_t *head = rte_pktmbuf_mtod(m, uint8_t *);
		const uint32_t len = m->pkt_len;

		if (likely(rc == 0 && slots[i].addr != NULL &&
			   m->nb_segs == 1 &&
			   (uint32_t)m->data_len + ring->hdr_len <=
				   slots[i].raw.split.len)) {
			push(ring, b, &slots[i], m, &hdr, flags);
		} else {
			/* Take the address of a copy, so that *b can stay in
			 * registers. */
			struct vhostpci_burst copy = *b;

			rc = push_slow(ring, &copy, &slots[i], m, rc, &hdr,
				       aligned, flags);
			*b = copy;
		}
		if (likely(rc == 0)) {
			sent++;
			bytes += len;
			vhostpci_count_kind(ring, len, head, m->data_len);
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

/* Send as many packets as the ring has chains for, up to a batch. */
static __rte_always_inline uint16_t
push_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	     struct rte_mbuf **pkts, uint16_t n, int *rule,
	     const unsigned int flags)
{
	uint16_t done = 0, limit = n, got;
	bool aligned;

	while (done < n && *rule == 0 && vhostpci_may_send(ring) &&
	       b->given < VHOSTPCI_BATCH) {
		got = push_batch(ring, b, pkts + done, RTE_MIN(n - done, limit),
				 &aligned, rule, flags);
		if (got == 0)
			break;
		done += got;
		/* Packets over several chains come in rows: look ahead again
		 * only after a packet that took one chain. */
		limit = aligned ? n : 1;
	}
	return done;
}

/* Free the caller's sent packets. Most are of one pool and not shared. */
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

/* One function: for the same reasons as burst_rx(). */
static __rte_always_inline uint16_t
burst_tx(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n,
	 const unsigned int flags)
{
	struct vhostpci_used shadow[VHOSTPCI_MAX_GIVEN];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	unsigned int tries = 0;
	uint16_t done = 0, got, seen;
	int rule = 0;
	bool more;

	VHOSTPCI_STAMP_BEGIN();
	ring->walked = 0;
	do {
		uint16_t want = RTE_MIN(n - done, VHOSTPCI_BATCH);

		vhostpci_pending(ring, &b, want, flags & F_PACKED);

		VHOSTPCI_STAMP(ring, ring);
		got = push_pending(ring, &b, pkts + done, want, &rule, flags);
		VHOSTPCI_STAMP_AGAIN();
		/* Packets that took several chains each may have filled the
		 * batch; the ring may still have room then. */
		more = b.given >= VHOSTPCI_BATCH;
		vhostpci_commit(ring, &b, flags);
		VHOSTPCI_STAMP(ring, ring);
		/* Free packets before the barrier in vhostpci_tell(), which
		 * waits for our stores: this gives the stores time to drain. */
		if (likely(got > 0))
			free_sent(pkts + done, got);
		VHOSTPCI_STAMP(ring, mbuf);
		vhostpci_tell(ring, flags);
		VHOSTPCI_STAMP(ring, ring);
		done += got;
		if (rule < 0)
			vhostpci_ring_break(ring, -rule);
		if (ring->broken || !vhostpci_may_send(ring))
			break;
		if (likely(got == want || more))
			continue;
		seen = vhostpci_left(ring, &b, flags);
		/* A round without success counts as a look, so a peer that offers
		 * buffers and takes them back does not hold us up. */
		if (got == 0 && tries++ == VHOSTPCI_SEND_RETRIES)
			break;
		if (!vhostpci_wait_for_room(ring, &b, seen, ring->stalled && done == 0,
				   &tries, flags))
			break;
	} while (done < n);
	ring->end = b.end;
	ring->stalled = done == 0;
	ring->count.retries += tries;
	if (unlikely(done < n))
		ring->count.full++;
	return done;
}

#endif
