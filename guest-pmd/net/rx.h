/* SPDX-License-Identifier: BSD-3-Clause */

/* The receiving burst of a ring: from the peer to mbufs. See net/look.h. */

#ifndef VHOSTPCI_NET_RX_H
#define VHOSTPCI_NET_RX_H

#include <linux/virtio_net.h>

#include <rte_memcpy.h>

#include "net/copy.h"
#include "net/look.h"
#include "net/offload.h"
#include "vring/kinds.h"

/* The offset of data_off, refcnt, nb_segs and port, which one store sets. */
#define VHOSTPCI_MBUF_REARM	offsetof(struct rte_mbuf, data_off)

/* The fields of a fresh mbuf from data_off to ol_flags. Mbufs of a pool of pinned
 * buffers always have an external buffer. */
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

/* Fill in a fresh mbuf; the pool guarantees its next pointer and little else. This
 * leaves fields that nobody reads without a flag (tx_offload, dynamic fields). */
static __rte_always_inline void
mbuf_init(struct rte_mbuf *m, const struct mbuf_start *start, uint32_t len)
{
	memcpy((uint8_t *)m + VHOSTPCI_MBUF_REARM, start, sizeof(*start));
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
	m->vlan_tci = 0;
}

/* Receive a packet off the shortest path. Gives the packet's chain back, unless the
 * chain breaks a rule. */
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
		/* From here on the code looks at the copy only. */
		rte_compiler_barrier();
		return vhostpci_offload_rx(ring, m, &hdr);
	}
	return 0;
}

/* Count a packet that was not received, and make its mbuf raw again. */
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

/* Receive the packets of @n slots into @n raw mbufs. Returns how many mbufs now hold
 * packets; these come first in @pkts. One function: the loop and the code after it
 * share registers. */
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
			/* Take the address of a copy, so that *b can stay in
			 * registers. */
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
			vhostpci_count_kind(ring, len, (uint8_t *)m->buf_addr +
					    RTE_PKTMBUF_HEADROOM,
					    RTE_ETHER_HDR_LEN);
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

/* Put unused raw mbufs back to the pool. */
static __rte_always_inline void
put_back(struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	if (n > 0)
		rte_mempool_put_bulk(mp, (void **)pkts, n);
}

/* Get at most @n raw mbufs. If the pool has fewer, get a part of them: a burst that
 * insists on all of them might never get any. */
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

/* The ring is revoked: drop the packets in @pkts. They come again, or their data was
 * not the peer's. */
static __rte_noinline void
not_delivered(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++)
		ring->count.bytes -= pkts[i]->pkt_len;
	ring->count.packets -= n;
	rte_pktmbuf_free_bulk(pkts, n);
}

/* One function: the compiler keeps *b in registers only while no other function has
 * its address, and each stage's stamp needs the stamp before. */
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
	/* This runs once, unless a packed ring has chains. */
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
			/* The next burst looks at the other slots again. */
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
	if (unlikely(!vhostpci_commit(ring, &b, flags))) {
		not_delivered(ring, pkts, done);
		return 0;
	}
	VHOSTPCI_STAMP(ring, ring);
	ring->end = b.end;
	/* vhostpci_tell() has a barrier that would wait for all our stores: leave
	 * the call to a poll with nothing else to do, but not for long. */
	if (unlikely(ring->untold > ring->tell_after))
		vhostpci_tell(ring, flags);
	if (unlikely(rule < 0))
		vhostpci_ring_break(ring, -rule);
	return done;
}

#endif
