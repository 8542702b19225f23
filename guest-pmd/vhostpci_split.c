/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Split rings (virtio 1.x, 2.7), device side.
 *
 * A burst reads the avail index once, then goes over its packets in steps, so
 * that the loads of one step are in flight together: ring entries, descriptors,
 * packet data. Packets in one descriptor in one region, which is what drivers
 * send and offer most of the time, are copied right there; all others take
 * pull_chain() or push_chain(). Used entries are invisible to the driver until
 * the one store to used->idx at the end, so a burst may give up anywhere.
 *
 * The variants are instances of the always-inline functions below with
 * constant flags, chosen by vhostpci_ring_select().
 */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_atomic.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "vhostpci_chain.h"
#include "vhostpci_dev.h"

#define BATCH		32
/* How often a tx burst looks again for buffers before it gives up. */
#define TX_RETRIES	8

/* Variant flags. */
#define F_MRG_RXBUF	(1u << 0)

/* Copying a packet may also end in one of these (besides a rule, negative). */
enum {
	DROP = 1,	/* the packet does not fit, and never will */
	NO_ROOM = 2,	/* not now: the driver has offered too few buffers */
};

/* How many heads the driver has made available. More than the ring holds: the
 * ring is broken, and 0. */
static __rte_always_inline uint16_t
avail_pending(struct vhostpci_ring *ring)
{
	/* acquire: pairs with the driver's release (or write barrier) before
	 * its store to avail->idx; entries and descriptors are there. */
	uint16_t idx = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t pending = idx - ring->last;

	if (likely(pending <= ring->size))
		return pending;
	vhostpci_ring_break(ring, VHOSTPCI_RULE_AVAIL_JUMP);
	return 0;
}

static __rte_always_inline uint16_t
avail_head(const struct vhostpci_ring *ring, uint16_t at)
{
	return __atomic_load_n(&ring->avail->ring[at & (ring->size - 1)],
			       __ATOMIC_RELAXED);
}

/* Hand the buffers of @id back, once committed. */
static __rte_always_inline void
used_put(struct vhostpci_ring *ring, uint32_t id, uint32_t len)
{
	struct vring_used_elem *elem =
		&ring->used->ring[ring->last++ & (ring->size - 1)];

	elem->id = id;
	elem->len = len;
}

static __rte_always_inline uint16_t
batch_size(uint16_t n, uint16_t pending)
{
	n = RTE_MIN(n, pending);
	return RTE_MIN(n, BATCH);
}

/* What was found out about a packet before its data is touched. */
struct slot {
	uint8_t *addr;		/* NULL: not on the shortest path */
	struct vring_desc desc;	/* the head, as read once */
	uint16_t head;
};

/* Read heads and start loading their descriptors. A head out of range is found
 * later; the mask only keeps the prefetch within the table. */
static __rte_always_inline void
read_heads(const struct vhostpci_ring *ring, struct slot *slots, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		slots[i].head = avail_head(ring, ring->last + i);
		rte_prefetch0(&ring->desc[slots[i].head & (ring->size - 1)]);
	}
}

/* Does the driver want to hear of the entries (was, ring->last]? */
static __rte_always_inline bool
wants_call(const struct vhostpci_ring *ring, uint16_t was)
{
	/* Full barrier between our store to used->idx and our load of what the
	 * driver asks for; pairs with the driver's between its store of that
	 * and its last look at used->idx. */
	rte_smp_mb();
	if (ring->event_idx)
		/* used_event follows the avail ring */
		return vring_need_event(
			__atomic_load_n(&ring->avail->ring[ring->size],
					__ATOMIC_RELAXED), ring->last, was);
	return !(__atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

/* Hand the used entries since @was over: the end of a burst. */
static __rte_always_inline void
commit(struct vhostpci_ring *ring, uint16_t was)
{
	if (ring->last == was)
		return;
	/* release: pairs with the driver's acquire of used->idx; entries and
	 * packet data come first. */
	__atomic_store_n(&ring->used->idx, ring->last, __ATOMIC_RELEASE);
	vhostpci_ring_publish(ring);
	if (__atomic_load_n(&ring->call, __ATOMIC_RELAXED) &&
	    wants_call(ring, was))
		vhostpci_ring_call(ring);
}

/*
 * From the peer.
 */

/* Copy the chain that begins with @head, already read, to @m. */
static int
pull_chain(struct vhostpci_ring *ring, const struct vring_desc *head,
	   struct rte_mbuf *m)
{
	struct vhostpci_chain chain = {
		.ring = ring, .left = vhostpci_chain_max(ring), .want = 0,
	};
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	const uint32_t room = rte_pktmbuf_tailroom(m);
	uint32_t skip = ring->hdr_len, total = 0;
	int rc = vhostpci_chain_take(&chain, head);

	for (; rc >= 0; rc = vhostpci_chain_next(&chain)) {
		uint32_t hdr = RTE_MIN(skip, chain.len);
		uint32_t len = chain.len - hdr;
		bool fits = len <= room && total <= room - len;

		if (len > VHOSTPCI_MAX_PKT_LEN - total)
			return -VHOSTPCI_RULE_LONG;
		/* The header's bytes are checked with the rest, not read:
		 * no offload is negotiated, so it says nothing. */
		if (!vhostpci_mem_read(ring->mem, NULL, chain.gpa, chain.len) ||
		    !vhostpci_mem_read(ring->mem, fits ? data + total : NULL,
				       chain.gpa + hdr, len))
			return -VHOSTPCI_RULE_MEMORY;
		skip -= hdr;
		total += len;
		if (!(chain.flags & VRING_DESC_F_NEXT))
			break;
	}
	if (rc < 0)
		return rc;
	if (skip > 0)
		return -VHOSTPCI_RULE_SHORT;
	m->data_len = total;
	m->pkt_len = total;
	return total > room ? DROP : 0;
}

/* Is the packet of @slot in one descriptor, with exactly @flags, in one region?
 */
static __rte_always_inline void
examine(struct vhostpci_ring *ring, struct slot *slot, uint16_t flags)
{
	const struct vring_desc *desc = &slot->desc;

	slot->addr = NULL;
	if (likely(desc->flags == flags && desc->len > ring->hdr_len &&
		   desc->len <= VHOSTPCI_MAX_PKT_LEN))
		slot->addr = vhostpci_mem_addr(ring->mem, &ring->cache,
					       desc->addr, desc->len);
	if (likely(slot->addr != NULL)) {
		rte_prefetch0(slot->addr);
		rte_prefetch0(slot->addr + RTE_CACHE_LINE_SIZE);
	}
}

static __rte_always_inline int
pull(struct vhostpci_ring *ring, const struct slot *slot, struct rte_mbuf *m)
{
	uint32_t len = slot->desc.len - ring->hdr_len;

	if (unlikely(slot->addr == NULL))
		return pull_chain(ring, &slot->desc, m);
	if (unlikely(len > rte_pktmbuf_tailroom(m)))
		return DROP;
	rte_memcpy(rte_pktmbuf_mtod(m, void *), slot->addr + ring->hdr_len,
		   len);
	m->data_len = len;
	m->pkt_len = len;
	return 0;
}

/* Look at the next @n heads. Returns at how many of them packets can be tried;
 * the one after these breaks a rule. */
static __rte_always_inline uint16_t
examine_batch(struct vhostpci_ring *ring, struct slot *slots, uint16_t n,
	      uint16_t flags)
{
	uint16_t i;

	read_heads(ring, slots, n);
	for (i = 0; i < n; i++) {
		if (unlikely(slots[i].head >= ring->size))
			break;
		slots[i].desc = vhostpci_desc_read(ring, slots[i].head);
		examine(ring, &slots[i], flags);
	}
	return i;
}

/* Receive packets of @n heads into @pkts, which has @n fresh mbufs. Returns
 * how many hold packets now. */
static __rte_always_inline uint16_t
pull_batch(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t good, i, done = 0;
	struct slot slots[BATCH];
	uint64_t bytes = 0;
	int rc;

	good = examine_batch(ring, slots, n, 0);
	rc = good < n ? -VHOSTPCI_RULE_HEAD_INDEX : 0;
	for (i = 0; i < good; i++) {
		struct rte_mbuf *m = pkts[done];
		int got = pull(ring, &slots[i], m);

		if (unlikely(got < 0)) {
			rc = got;
			break;
		}
		used_put(ring, slots[i].head, 0);
		if (unlikely(got == DROP)) {
			ring->count.oversized++;
		} else if (unlikely(m->pkt_len < RTE_ETHER_HDR_LEN)) {
			ring->count.runt++;
		} else {
			m->port = ring->port;
			bytes += m->pkt_len;
			done++;
		}
		if (unlikely(ring->walked >= VHOSTPCI_RX_WALK)) {
			rc = 0;
			break;
		}
	}
	ring->count.packets += done;
	ring->count.bytes += bytes;
	if (unlikely(rc < 0))
		vhostpci_ring_break(ring, -rc);
	return done;
}

static uint16_t
split_rx(struct vhostpci_ring *ring, struct rte_mempool *mp,
	 struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t pending = avail_pending(ring), was = ring->last, done;

	ring->walked = 0;
	if (pending == 0)
		return 0;
	n = batch_size(n, pending);
	if (unlikely(rte_pktmbuf_alloc_bulk(mp, pkts, n) != 0)) {
		ring->count.no_mbuf++;
		return 0;
	}
	done = pull_batch(ring, pkts, n);
	if (unlikely(done < n))
		rte_pktmbuf_free_bulk(pkts + done, n - done);
	commit(ring, was);
	return done;
}

/*
 * To the peer.
 */

/* Writes one packet into one chain after the other. */
struct push {
	struct vhostpci_chain chain;
	uint16_t head;
	uint16_t n_heads;	/* chains begun */
	uint16_t max_heads;	/* ... of at most */
	uint32_t written;	/* into the current chain */
	uint8_t *last_byte;	/* where the last byte of push_bytes() went */
};

/* Begin the chain of @slot, a head already read. */
static int
push_open(struct push *push, const struct slot *slot)
{
	push->head = slot->head;
	push->n_heads++;
	push->written = 0;
	push->chain.table_len = 0;
	return vhostpci_chain_take(&push->chain, &slot->desc);
}

/* The current chain is full. */
static void
push_close(const struct push *push)
{
	used_put(push->chain.ring, push->head, push->written);
}

/* Go on in the next chain. */
static int
push_reopen(struct push *push)
{
	struct vhostpci_ring *ring = push->chain.ring;
	struct slot slot;

	push_close(push);
	if (push->n_heads == push->max_heads)
		return NO_ROOM;
	slot.head = avail_head(ring, ring->last);
	if (slot.head >= ring->size)
		return -VHOSTPCI_RULE_HEAD_INDEX;
	slot.desc = vhostpci_desc_read(ring, slot.head);
	return push_open(push, &slot);
}

/* Get to a descriptor with room in it. */
static int
push_more(struct push *push, bool mergeable)
{
	while (push->chain.len == 0) {
		int rc = vhostpci_chain_next(&push->chain);

		if (rc == 0 && !mergeable)
			return DROP;
		if (rc == 0)
			rc = push_reopen(push);
		if (rc < 0 || rc == NO_ROOM)
			return rc;
	}
	return 0;
}

static int
push_bytes(struct push *push, const void *src, uint32_t len, bool mergeable)
{
	const uint8_t *from = src;
	uint64_t piece;

	for (; len > 0; len -= piece, from += piece) {
		struct vhostpci_chain *chain = &push->chain;
		int rc = push_more(push, mergeable);
		uint8_t *to;

		if (rc != 0)
			return rc;
		/* The whole of what the descriptor claims has to be mapped,
		 * not only what is used of it. */
		if (!vhostpci_mem_read(chain->ring->mem, NULL, chain->gpa,
				       chain->len))
			return -VHOSTPCI_RULE_MEMORY;
		to = vhostpci_mem_piece(chain->ring->mem, chain->gpa,
					RTE_MIN(len, chain->len), &piece);
		rte_memcpy(to, from, piece);
		push->last_byte = to + piece - 1;
		chain->gpa += piece;
		chain->len -= piece;
		push->written += piece;
	}
	return 0;
}

/* The virtio-net header: zeros, as no offload is negotiated. Where its
 * num_buffers lies, in up to two places, is kept: the number is known only in
 * the end. */
static int
push_header(struct push *push, uint8_t *num_buffers[2], bool mergeable)
{
	static const uint8_t zeros[sizeof(struct virtio_net_hdr)];
	uint32_t rest = push->chain.ring->hdr_len - sizeof(zeros);
	int rc = push_bytes(push, zeros, sizeof(zeros), mergeable);
	uint32_t i;

	for (i = 0; rc == 0 && i < rest; i++) {
		rc = push_bytes(push, zeros, 1, mergeable);
		num_buffers[i] = push->last_byte;
	}
	return rc;
}

static int
push_packet(struct push *push, const struct slot *slot,
	    const struct rte_mbuf *m, bool mergeable)
{
	uint8_t *num_buffers[2] = { NULL, NULL };
	int rc = push_open(push, slot);

	if (rc == 0)
		rc = push_header(push, num_buffers, mergeable);
	for (; rc == 0 && m != NULL; m = m->next)
		rc = push_bytes(push, rte_pktmbuf_mtod(m, void *), m->data_len,
				mergeable);
	if (rc != 0)
		return rc;
	push_close(push);
	if (num_buffers[0] != NULL) {
		*num_buffers[0] = push->n_heads & 0xff;
		*num_buffers[1] = push->n_heads >> 8;
	}
	return 0;
}

/*
 * Copy @m to the chain of @slot, which is the next one, and as many more as it
 * takes of the @pending ones. Unless 0 is returned, nothing has happened: the
 * buffers written to are not handed over.
 */
static int
push_chain(struct vhostpci_ring *ring, const struct slot *slot,
	   const struct rte_mbuf *m, uint16_t pending, bool mergeable)
{
	struct push push = {
		.chain = {
			.ring = ring,
			.left = vhostpci_chain_max(ring),
			.want = VRING_DESC_F_WRITE,
		},
		.max_heads = pending,
	};
	uint16_t was = ring->last;
	int rc = push_packet(&push, slot, m, mergeable);

	if (rc != 0)
		ring->last = was;
	/* Not even all of the ring holds it. */
	if (rc == NO_ROOM && pending == ring->size)
		return DROP;
	return rc;
}

static __rte_always_inline void
put_header(const struct vhostpci_ring *ring, uint8_t *to)
{
	static const struct virtio_net_hdr_v1 hdr = { .num_buffers = 1 };

	if (likely(ring->hdr_len == sizeof(hdr)))
		memcpy(to, &hdr, sizeof(hdr));
	else
		memset(to, 0, sizeof(struct virtio_net_hdr));
}

/* Send one packet: 0, DROP, NO_ROOM or a rule. */
static __rte_always_inline int
push(struct vhostpci_ring *ring, const struct slot *slot,
     const struct rte_mbuf *m, uint16_t pending, const unsigned int flags)
{
	uint32_t len = m->pkt_len + ring->hdr_len;

	if (unlikely(m->pkt_len > VHOSTPCI_MAX_PKT_LEN))
		return DROP;
	if (unlikely(slot->addr == NULL || m->nb_segs != 1 ||
		     len > slot->desc.len))
		return push_chain(ring, slot, m, pending, flags & F_MRG_RXBUF);
	put_header(ring, slot->addr);
	rte_memcpy(slot->addr + ring->hdr_len, rte_pktmbuf_mtod(m, void *),
		   m->data_len);
	used_put(ring, slot->head, len);
	return 0;
}

static __rte_always_inline bool
may_walk(const struct vhostpci_ring *ring)
{
	return likely(ring->walked < VHOSTPCI_TX_WALK);
}

/*
 * Send some of @n packets to the @pending chains, the first @limit of them at
 * most; returns how many packets are done with. Ends after a packet that took
 * no chain or several, because the slots examined ahead are then not the next
 * ones' any more; *@aligned tells. Ends when enough descriptors were walked.
 */
static __rte_always_inline uint16_t
push_batch(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n,
	   uint16_t pending, bool *aligned, const unsigned int flags)
{
	const uint16_t first = ring->last;
	struct slot slots[BATCH];
	uint16_t good, i;
	int rc = 0;

	n = batch_size(n, pending);
	good = examine_batch(ring, slots, n, VRING_DESC_F_WRITE);
	*aligned = true;
	for (i = 0; i < good && *aligned && may_walk(ring); i++) {
		rc = push(ring, &slots[i], pkts[i], pending - i, flags);
		if (unlikely(rc < 0 || rc == NO_ROOM))
			break;
		if (unlikely(rc == DROP)) {
			ring->count.oversized++;
		} else {
			ring->count.packets++;
			ring->count.bytes += pkts[i]->pkt_len;
		}
		*aligned = (uint16_t)(ring->last - first) == i + 1;
	}
	if (unlikely(rc < 0))
		vhostpci_ring_break(ring, -rc);
	else if (unlikely(i == good && good < n))
		vhostpci_ring_break(ring, VHOSTPCI_RULE_HEAD_INDEX);
	return i;
}

/* Send what the @pending chains have room for. */
static __rte_always_inline uint16_t
push_pending(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n,
	     uint16_t pending, const unsigned int flags)
{
	const uint16_t end = ring->last + pending;
	uint16_t done = 0, limit = BATCH, got;
	bool aligned;

	while (done < n && ring->last != end && !ring->broken &&
	       may_walk(ring)) {
		got = push_batch(ring, pkts + done, RTE_MIN(n - done, limit),
				 end - ring->last, &aligned, flags);
		if (got == 0)
			break;
		done += got;
		/* Packets over several chains come in rows: look ahead again
		 * only when one has taken one chain. */
		limit = aligned ? BATCH : 1;
	}
	return done;
}

static __rte_always_inline uint16_t
split_tx(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n,
	 const unsigned int flags)
{
	uint16_t pending = avail_pending(ring), done = 0, was, seen;
	unsigned int tries = 0;

	ring->walked = 0;
	for (;;) {
		was = ring->last;
		done += push_pending(ring, pkts + done, n - done, pending,
				     flags);
		commit(ring, was);
		if (likely(done == n) || ring->broken || !may_walk(ring))
			break;
		/* Out of buffers. Wait a little for the peer, but not for one
		 * that had none the last time either. */
		seen = pending - (uint16_t)(ring->last - was);
		do {
			if (tries++ == TX_RETRIES ||
			    (ring->stalled && done == 0))
				goto out;
			rte_pause();
			pending = avail_pending(ring);
		} while (pending == seen && !ring->broken);
	}
out:
	ring->stalled = done == 0;
	if (unlikely(done < n))
		ring->count.full++;
	rte_pktmbuf_free_bulk(pkts, done);
	return done;
}

static uint16_t
split_tx_mergeable(struct vhostpci_ring *ring, struct rte_mbuf **pkts,
		   uint16_t n)
{
	return split_tx(ring, pkts, n, F_MRG_RXBUF);
}

static uint16_t
split_tx_plain(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n)
{
	return split_tx(ring, pkts, n, 0);
}

void
vhostpci_ring_select(struct vhostpci_ring *ring, uint64_t features)
{
	bool mergeable = features & (1ULL << VIRTIO_NET_F_MRG_RXBUF);
	bool modern = features & (1ULL << VIRTIO_F_VERSION_1);

	/* virtio 1.x, 5.1.6.1: num_buffers is always there in a modern header
	 */
	ring->hdr_len = mergeable || modern ?
		sizeof(struct virtio_net_hdr_v1) :
		sizeof(struct virtio_net_hdr);
	if (vhostpci_ring_is_rx(ring))
		ring->rx = split_rx;
	else
		ring->tx = mergeable ? split_tx_mergeable : split_tx_plain;
}
