/* SPDX-License-Identifier: BSD-3-Clause */

/* See flow/forward.h. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_memcpy.h>

#include "flow/forward.h"
#include "vring/kinds.h"
#include "vring/send.h"
#include "vring/writer.h"

/* Write an item into one descriptor, on the shortest path. */
static __rte_always_inline void
put_item(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	 const struct vhostpci_slot *slot, const struct vhostpci_item *item,
	 const unsigned int flags)
{
	uint8_t *to = slot->addr + ring->hdr_len;

	vhostpci_put_header(ring, slot->addr, item->hdr);
	rte_memcpy(to, item->head, item->head_len);
	if (item->tail_len > 0)
		vhostpci_copy_across(to + item->head_len, item->tail,
				     item->tail_len);
	vhostpci_give(ring, b, slot->id, 1, ring->hdr_len + item->head_len +
		      item->tail_len, flags);
}

/* Start loading the lines behind the head of a packet that is copied soon, and
 * the lines to which they go: the copy alone would wait for a few lines at a
 * time. */
static __rte_always_inline void
prefetch_tail(const struct vhostpci_ring *ring,
	      const struct vhostpci_slot *slot,
	      const struct vhostpci_item *item)
{
	const uint8_t *to;
	uint32_t at;

	if (unlikely(slot->addr == NULL))
		return;
	to = slot->addr + ring->hdr_len + item->head_len;
	for (at = 0; at < item->tail_len; at += RTE_CACHE_LINE_SIZE) {
		rte_prefetch0(item->tail + at);
		vhostpci_prefetch_write(to + at);
	}
}

/* Returns 0, an enum vhostpci_fate or a rule. */
static __rte_noinline int
put_item_slow(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	      const struct vhostpci_slot *slot,
	      const struct vhostpci_item *item, bool *aligned,
	      unsigned int flags)
{
	struct vhostpci_writer w = vhostpci_writer(ring, b, flags);
	const uint16_t given = b->given;
	int rc = vhostpci_write_begin(&w, slot, item->hdr);

	if (rc == 0)
		rc = vhostpci_write_bytes(&w, item->head, item->head_len);
	if (rc == 0)
		rc = vhostpci_write_bytes(&w, item->tail, item->tail_len);
	if (rc == 0)
		rc = vhostpci_write_end(&w);
	if (rc == 0)
		*b = w.b;
	if (rc == VHOSTPCI_DROP)
		ring->count.oversized++;
	*aligned = vhostpci_may_send(ring) && b->given == given + 1;
	return rc;
}

/* Send some of @n items; returns the number of finished items. Ends when the
 * next chain is not the one that this looked at ahead (*@aligned), or when a
 * rule is broken (*@rule). One function: for the reason that push_batch() gives
 * (net/tx.h). */
static __rte_always_inline uint16_t
forward_batch(struct vhostpci_ring *ring, struct vhostpci_burst *b,
	      const struct vhostpci_item *items, uint16_t n, bool *aligned,
	      int *rule, const unsigned int flags)
{
	struct vhostpci_slot slots[VHOSTPCI_BATCH];
	uint64_t bytes = 0, sent = 0;
	uint16_t good, i;
	int late = 0;

	good = vhostpci_peek(ring, b, slots, n, &late, flags & F_PACKED,
			     VHOSTPCI_LOOK_TX);
	*aligned = true;
	for (i = 0; i < good && *aligned; i++) {
		const struct vhostpci_item *item = &items[i];
		const uint32_t len = item->head_len + item->tail_len;
		int rc = 0;

		if (i + 1 < good)
			prefetch_tail(ring, &slots[i + 1], &items[i + 1]);
		if (likely(slots[i].addr != NULL &&
			   len + ring->hdr_len <= slots[i].raw.split.len)) {
			put_item(ring, b, &slots[i], item, flags);
		} else {
			/* Take the address of a copy, so that *b can stay in
			 * registers. */
			struct vhostpci_burst copy = *b;

			rc = put_item_slow(ring, &copy, &slots[i], item,
					   aligned, flags);
			*b = copy;
		}
		if (likely(rc == 0)) {
			sent++;
			bytes += len;
			vhostpci_count_kind(ring, len, item->head,
					    item->head_len);
		} else if (rc < 0 || rc == VHOSTPCI_NO_ROOM) {
			*rule = RTE_MIN(rc, 0);
			break;
		}
	}
	ring->count.packets += sent;
	ring->count.bytes += bytes;
	if (unlikely(i == good && good < n && *rule == 0))
		*rule = late;
	return i;
}

/* Send as many items as there are chains, up to a batch, and hand the chains
 * over. Sets *@more if the batch was full, so that there may be more chains. */
static __rte_always_inline uint16_t
forward_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		const struct vhostpci_item *items, uint16_t n, int *rule,
		bool *more, const unsigned int flags)
{
	uint16_t done = 0, limit = n, got;
	bool aligned;

	vhostpci_pending(ring, b, n, flags & F_PACKED);
	while (done < n && *rule == 0 && vhostpci_may_send(ring) &&
	       b->given < VHOSTPCI_BATCH) {
		got = forward_batch(ring, b, items + done,
				    RTE_MIN(n - done, limit), &aligned, rule,
				    flags);
		if (got == 0)
			break;
		done += got;
		/* A packet over several chains is rarely alone: look ahead at
		 * one chain only. */
		limit = aligned ? n : 1;
	}
	*more = b->given >= VHOSTPCI_BATCH;
	vhostpci_commit(ring, b, flags);
	vhostpci_tell(ring, flags);
	return done;
}

/* As burst_tx() (net/tx.h), except for the fate of the packets. */
static __rte_always_inline void
forward_burst(struct vhostpci_ring *ring, const struct vhostpci_item *items,
	      uint16_t n, const unsigned int flags)
{
	struct vhostpci_used shadow[VHOSTPCI_MAX_GIVEN];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	unsigned int tries = 0;
	uint16_t done = 0, got, want;
	bool more = false;
	int rule = 0;

	ring->walked = 0;
	do {
		want = RTE_MIN(n - done, VHOSTPCI_BATCH);
		got = forward_pending(ring, &b, items + done, want, &rule,
				      &more, flags);
		done += got;
		if (unlikely(rule < 0))
			vhostpci_ring_break(ring, -rule);
		if (ring->broken || !vhostpci_may_send(ring))
			break;
		/* Packets that took several chains each may have filled the
		 * batch: then room is not lacking. */
		if (likely(got == want || more))
			continue;
		if (got == 0 && tries++ == VHOSTPCI_SEND_RETRIES)
			break;
		if (!vhostpci_wait_for_room(ring, &b,
					    vhostpci_left(ring, &b, flags),
					    ring->stalled && done == 0, &tries,
					    flags))
			break;
	} while (done < n);
	ring->end = b.end;
	ring->stalled = done == 0;
	ring->count.retries += tries;
	ring->count.steer_full += n - done;
}

#define FORWARD(name, flags) \
	static void \
	name(struct vhostpci_ring *ring, const struct vhostpci_item *items, \
	     uint16_t n) \
	{ \
		forward_burst(ring, items, n, flags); \
	}

FORWARD(forward_split, 0)
FORWARD(forward_split_mrg, F_MRG_RXBUF)
FORWARD(forward_packed, F_PACKED)
FORWARD(forward_packed_mrg, F_PACKED | F_MRG_RXBUF)

void
vhostpci_forward_select(struct vhostpci_ring *ring, uint64_t features)
{
	bool mrg = features & (1ULL << VIRTIO_NET_F_MRG_RXBUF);

	if (features & (1ULL << VIRTIO_F_RING_PACKED))
		ring->forward = mrg ? forward_packed_mrg : forward_packed;
	else
		ring->forward = mrg ? forward_split_mrg : forward_split;
}

/* The lane that this thread's own packets for the port take. The choice may
 * change at any time: the holder of the lane's lock checks whether the lane is
 * usable. */
static struct vhostpci_lane *
choose_lane(struct vhostpci_inlet *inlet)
{
	unsigned int lcore = rte_lcore_id();
	uint8_t q = likely(lcore < RTE_MAX_LCORE) ? inlet->queue_of[lcore] : 0;

	return &inlet->lanes[__atomic_load_n(&inlet->lane_of[q],
					     __ATOMIC_RELAXED)];
}

/* virtio 1.x, 5.1.6.4.1: a header may leave work to the driver only if the
 * driver has agreed to that work. */
static bool
is_taken(uint64_t features, const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t need = 0;

	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= 1ULL << VIRTIO_NET_F_GUEST_CSUM;
	if (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= 1ULL << VIRTIO_NET_F_GUEST_ECN;
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need |= 1ULL << VIRTIO_NET_F_GUEST_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need |= 1ULL << VIRTIO_NET_F_GUEST_TSO6;
		break;
	}
	return (features & need) == need;
}

/* The caller holds the lock. After the check of the inlet it may have closed,
 * and opened again for another peer or after a new negotiation. Moves the items
 * that may be sent to the front, and returns their number. */
static uint16_t
keep_taken(struct vhostpci_ring *ring, struct vhostpci_item *items, uint16_t n)
{
	uint16_t i, kept = 0;

	for (i = 0; i < n; i++) {
		if (likely(is_taken(ring->features, items[i].hdr)))
			items[kept++] = items[i];
	}
	ring->count.unsupported += n - kept;
	return kept;
}

/* Send @n items to one inlet. Returns whether the inlet was open. */
static bool
send_to(struct vhostpci_inlet *inlet, struct vhostpci_item *items, uint16_t n,
	bool unfinished)
{
	struct vhostpci_lane *lane = choose_lane(inlet);
	bool open;

	rte_spinlock_lock(&lane->lock);
	open = vhostpci_lane_enter(inlet, lane);
	if (likely(open)) {
		/* Look with the lock held, because another burst may just have
		 * broken the ring. */
		if (unlikely(unfinished))
			n = keep_taken(lane->ring, items, n);
		if (unlikely(lane->ring->broken))
			open = false;
		else if (likely(n > 0))
			lane->ring->forward(lane->ring, items, n);
		vhostpci_lane_leave(lane);
	}
	rte_spinlock_unlock(&lane->lock);
	return open;
}

/* Collect the items that go to the inlet of @items[i]; returns their number. */
static uint16_t
collect(struct vhostpci_item *items, unsigned int i, unsigned int n,
	struct vhostpci_item *group)
{
	struct vhostpci_inlet *inlet = items[i].inlet;
	uint16_t k = 0;

	for (; i < n; i++) {
		if (items[i].inlet != inlet)
			continue;
		group[k++] = items[i];
		items[i].inlet = NULL;
	}
	return k;
}

static unsigned int
forward_mixed(struct vhostpci_item *items, unsigned int n, bool unfinished)
{
	struct vhostpci_item group[VHOSTPCI_FORWARD_MAX];
	unsigned int i, lost = 0;

	for (i = 0; i < n; i++) {
		struct vhostpci_inlet *inlet = items[i].inlet;
		uint16_t k;

		if (inlet == NULL)
			continue;
		k = collect(items, i, n, group);
		if (unlikely(!send_to(inlet, group, k, unfinished)))
			lost += k;
	}
	return lost;
}

unsigned int
vhostpci_forward(struct vhostpci_item *items, unsigned int n, bool unfinished)
{
	unsigned int i;

	if (unlikely(n == 0))
		return 0;
	for (i = 1; i < n && items[i].inlet == items[0].inlet; i++)
		;
	if (unlikely(i < n))
		return forward_mixed(items, n, unfinished);
	return send_to(items[0].inlet, items, n, unfinished) ? 0 : n;
}
