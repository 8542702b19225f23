/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The packed layout (virtio 1.x, 2.8): how to find chains and hand them back.
 */

#ifndef VHOSTPCI_VRING_PACKED_H
#define VHOSTPCI_VRING_PACKED_H

#include "vring/cursor.h"

/* A descriptor is available when its AVAIL bit equals our wrap counter and its
 * USED bit does not (virtio 1.x, 2.8.1). */
static __rte_always_inline bool
packed_is_avail(uint16_t flags, bool wrap)
{
	const uint16_t both = 1 << VRING_PACKED_DESC_F_AVAIL |
		1 << VRING_PACKED_DESC_F_USED;
	uint16_t want = wrap ? 1 << VRING_PACKED_DESC_F_AVAIL :
		1 << VRING_PACKED_DESC_F_USED;

	return (flags & both) == want;
}

static __rte_always_inline bool
packed_pending(const struct vhostpci_ring *ring, const struct vhostpci_burst *b)
{
	const struct vring_packed_desc *desc =
		(const struct vring_packed_desc *)ring->desc;

	/* relaxed: decides only whether to look; vhostpci_desc_load() acquires. */
	return packed_is_avail(__atomic_load_n(&desc[b->at].flags,
					       __ATOMIC_RELAXED), b->wrap);
}

static __rte_always_inline void
packed_step(const struct vhostpci_ring *ring, uint16_t *at, bool *wrap,
	    uint16_t n)
{
	uint32_t to = *at + n;

	if (to >= ring->size) {
		to -= ring->size;
		*wrap = !*wrap;
	}
	*at = to;
}

/* See vhostpci_peek(). Stops after a descriptor that begins a longer chain: only a
 * walk of that chain finds the next head. */
static __rte_always_inline uint16_t
packed_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	    struct vhostpci_slot *slots, uint16_t n, enum vhostpci_look look)
{
	uint16_t at = b->at, i;
	bool wrap = b->wrap;

	/* We read these descriptors now and write them soon. */
	for (i = 0; i < n && at + i < ring->size; i += VHOSTPCI_DESCS_A_LINE)
		vhostpci_prefetch_write(&ring->desc[at + i]);
	for (i = 0; i < n; i++) {
		union vhostpci_raw_desc raw = vhostpci_desc_load(ring, at);

		if (!packed_is_avail(raw.packed.flags, wrap))
			break;
		slots[i].raw = raw;
		slots[i].id = raw.packed.id;
		vhostpci_look(ring, &slots[i], look, true);
		if (unlikely(raw.packed.flags & VRING_DESC_F_NEXT))
			return i + 1;
		packed_step(ring, &at, &wrap, 1);
	}
	return i;
}

/* The value of one store for all fields of a used descriptor but the address,
 * which a device must not write (virtio 1.x, 2.8.22). */
static __rte_always_inline uint64_t
packed_used(uint16_t id, uint32_t len, bool wrap)
{
	uint16_t flags = wrap ? 1 << VRING_PACKED_DESC_F_AVAIL |
		1 << VRING_PACKED_DESC_F_USED : 0;

	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

static __rte_always_inline void
packed_give(const struct vhostpci_ring *ring, struct vhostpci_burst *b,
	    uint16_t id, uint16_t n_slots, uint32_t len,
	    const unsigned int flags)
{
	struct vhostpci_used *used = &b->shadow[b->given];

	if (flags & F_IN_ORDER) {
		b->held = packed_used(id, len, b->first_wrap);
	} else {
		used->value = packed_used(id, len, b->wrap);
		used->at = b->at;
	}
	packed_step(ring, &b->at, &b->wrap, n_slots);
}

static __rte_always_inline bool
packed_wants_call(const struct vhostpci_ring *ring)
{
	uint32_t both = __atomic_load_n((const uint32_t *)ring->driver_event,
					__ATOMIC_RELAXED);
	uint16_t off_wrap = both, flags = both >> 16, from = ring->told;
	int32_t event = off_wrap & 0x7fff;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !ring->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* Count both places from the lap in which we are now. */
	if (off_wrap >> 15 != ring->wrap)
		event -= ring->size;
	if (ring->told_wrap != ring->wrap)
		from -= ring->size;
	return vring_need_event(event, ring->last, from);
}

static __rte_always_inline void
packed_put(struct vhostpci_ring *ring, uint16_t at, uint64_t value)
{
	/* release: pairs with the driver's acquire of the flags. The driver sees
	 * packet data, the published place and the later used descriptors before
	 * it sees this one. */
	__atomic_store_n((uint64_t *)&ring->desc[at] + 1, value,
			 __ATOMIC_RELEASE);
}

static __rte_always_inline void
packed_announce(const struct vhostpci_ring *ring, const struct vhostpci_burst *b)
{
	vhostpci_ring_publish(ring, vring_place(b->at, b->wrap),
			      vring_place(b->first, b->first_wrap));
}

/* How many descriptors the chains given since the last commit take. */
static __rte_always_inline uint16_t
packed_distance(const struct vhostpci_ring *ring, const struct vhostpci_burst *b)
{
	uint16_t n = b->at - b->first;

	return b->wrap == b->first_wrap ? n : n + ring->size;
}

/* Write all descriptors of the chains in @b as used ones, from last to first. */
void vhostpci_packed_put_all(struct vhostpci_ring *ring,
			     const struct vhostpci_burst *b);

/*
 * Write used descriptors from the last to the first: the driver looks at one
 * after the other, so the driver sees all of them or none. We publish our place
 * before and after. If this process is killed in between, the next process finds
 * in the ring how far the commit came, and ends the commit (see
 * resume_packed()).
 */
static __rte_always_inline void
packed_commit(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      const unsigned int flags)
{
	uint16_t now = vring_place(b->at, b->wrap);
	uint16_t i;

	if (flags & F_IN_ORDER) {
		packed_put(ring, b->first, b->held);
	} else if (unlikely(packed_distance(ring, b) != b->given) &&
		   ring->trace) {
		vhostpci_packed_put_all(ring, b);
	} else {
		for (i = b->given; i-- > 0;)
			packed_put(ring, b->shadow[i].at, b->shadow[i].value);
	}
	vhostpci_ring_publish(ring, now, now);
}

#endif
