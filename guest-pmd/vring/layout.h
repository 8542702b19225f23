/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The two layouts of a ring: how chains are found and handed back. What is
 * above knows none of it. All is inline; @packed and @flags are constants
 * in the bursts.
 */

#ifndef VHOSTPCI_VRING_LAYOUT_H
#define VHOSTPCI_VRING_LAYOUT_H

#include <rte_atomic.h>
#include <rte_prefetch.h>

#include "vring/chain.h"

/* Variant flags: one instance of the bursts for each combination in use. */
#define F_PACKED	(1u << 0)
#define F_MRG_RXBUF	(1u << 1)
#define F_IN_ORDER	(1u << 2)	/* rx: one used entry for a batch */
#define F_OFFLOAD	(1u << 3)	/* headers say something */

/* Start loading a line that is going to be written. Without a hint, stores to
 * lines that another core wrote last wait for these one after the other.
 * The instruction is a no-op where it is not known. */
static __rte_always_inline void
vhostpci_prefetch_write(const void *p)
{
#ifdef RTE_ARCH_X86
	asm volatile("prefetchw %0" : : "m" (*(const volatile uint8_t *)p));
#else
	__builtin_prefetch(p, 1, 3);
#endif
}

#define VHOSTPCI_DESCS_A_LINE \
	(RTE_CACHE_LINE_SIZE / sizeof(struct vring_desc))

/* Packets between two commits, and chains that these can take: one each, two
 * batches at most, but the last, which push_reopen() bounds. */
#define VHOSTPCI_BATCH	32
#define VHOSTPCI_MAX_GIVEN	(2 * VHOSTPCI_BATCH + VHOSTPCI_MAX_CHAIN)

/* Packed: a used descriptor to be written at the commit. */
struct vhostpci_used {
	uint64_t value;
	uint16_t at;
};

/* Where a burst stands. Nothing of it is visible to the driver until
 * vhostpci_commit(): a burst may give up anywhere. */
struct vhostpci_burst {
	uint16_t at;		/* the next chain; like ring->last, ->wrap */
	bool wrap;
	bool first_wrap;	/* ... at the last commit */
	uint16_t first;
	uint16_t end;		/* like ring->end */
	uint16_t given;		/* chains handed back since */
	uint64_t held;		/* in order: the one used entry */
	struct vhostpci_used *shadow;	/* packed: VHOSTPCI_MAX_GIVEN of them */
};

/* What was found out about a packet before its data is touched. */
struct vhostpci_slot {
	uint8_t *addr;		/* NULL: not on the shortest path */
	union vhostpci_raw_desc raw;	/* the head, as read once */
	uint16_t id;
};

static __rte_always_inline struct vhostpci_burst
vhostpci_burst_begin(const struct vhostpci_ring *ring,
		     struct vhostpci_used *shadow)
{
	return (struct vhostpci_burst) {
		.at = ring->last, .wrap = ring->wrap,
		.first = ring->last, .first_wrap = ring->wrap,
		.end = ring->end,
		.shadow = shadow,
	};
}

static __rte_always_inline struct vhostpci_desc
vhostpci_slot_desc(const struct vhostpci_slot *slot, bool packed)
{
	return packed ? vhostpci_desc_packed(slot->raw) :
		vhostpci_desc_split(slot->raw);
}

/* What to look for in the packets of a slot. */
enum vhostpci_look {
	VHOSTPCI_LOOK_NOT,
	VHOSTPCI_LOOK_RX,
	VHOSTPCI_LOOK_TX,
};

/* Is the packet of @slot in one descriptor, for the right direction, in one
 * region? Then start loading its data, or what will be written. */
static __rte_always_inline void
vhostpci_look(struct vhostpci_ring *ring, struct vhostpci_slot *slot,
	      enum vhostpci_look look, bool packed)
{
	const struct vhostpci_desc desc = vhostpci_slot_desc(slot, packed);
	uint16_t flags = look == VHOSTPCI_LOOK_TX ? VRING_DESC_F_WRITE : 0;
	uint8_t *addr = NULL;

	if (look == VHOSTPCI_LOOK_NOT)
		return;
	if (likely(desc.flags == flags && desc.len > ring->hdr_len &&
		   desc.len <= VHOSTPCI_MAX_PKT_LEN))
		addr = vhostpci_mem_addr(ring->mem, &ring->cache, desc.addr,
					 desc.len);
	slot->addr = addr;
	if (unlikely(addr == NULL))
		return;
	if (look == VHOSTPCI_LOOK_RX) {
		rte_prefetch0(addr + ring->hdr_len);
	} else {
		rte_prefetch0(addr);
		vhostpci_prefetch_write(addr + ring->hdr_len);
	}
}

/*
 * Split.
 */

/* How many heads the driver has made available. More than the ring holds: the
 * ring is broken, and 0. The index is read only if those known of are fewer than
 * @n: its line comes from the driver's core each time. */
static __rte_always_inline uint16_t
split_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t n)
{
	uint16_t pending = b->end - b->at;

	if (pending >= n)
		return pending;
	/* acquire: pairs with the driver's release (or write barrier) before
	 * its store to avail->idx; entries and descriptors are there. */
	b->end = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
	pending = b->end - b->at;
	if (likely(pending <= ring->size))
		return pending;
	vhostpci_ring_break(ring, VHOSTPCI_RULE_AVAIL_JUMP);
	b->end = b->at;
	return 0;
}

/*
 * Read heads and start loading their descriptors, then read these. Ends before
 * a head out of range, with the rule. Heads mostly count up, so that their
 * descriptors can be asked for together with the heads; those that do not are
 * as soon as they are known. The mask only keeps the prefetch within the table.
 */
static __rte_always_inline uint16_t
split_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	   struct vhostpci_slot *slots, uint16_t n, int *rule,
	   enum vhostpci_look look)
{
	const uint16_t mask = ring->size - 1;
	uint16_t guess = ring->guess, i;

	n = RTE_MIN(n, (uint16_t)(b->end - b->at));
	for (i = 0; i < n; i += VHOSTPCI_DESCS_A_LINE)
		rte_prefetch0(&ring->desc[(guess + i) & mask]);
	for (i = 0; i < n; i++, guess++) {
		slots[i].id = __atomic_load_n(
			&ring->avail->ring[(b->at + i) & mask],
			__ATOMIC_RELAXED);
		if (unlikely(slots[i].id != (guess & mask))) {
			guess = slots[i].id;
			rte_prefetch0(&ring->desc[guess & mask]);
		}
	}
	ring->guess = guess;
	for (i = 0; i < n; i += 8)
		vhostpci_prefetch_write(&ring->used->ring[(b->at + i) & mask]);
	for (i = 0; i < n; i++) {
		if (unlikely(slots[i].id > mask)) {
			*rule = -VHOSTPCI_RULE_HEAD_INDEX;
			break;
		}
		slots[i].raw = vhostpci_desc_load(ring, slots[i].id);
		vhostpci_look(ring, &slots[i], look, false);
	}
	return i;
}

/* Buffers that come round in the same order, as drivers have them, make the
 * same entries: a store left out keeps the line in both cores' caches. */
static __rte_always_inline void
split_put(struct vhostpci_ring *ring, uint16_t at, uint64_t elem)
{
	uint64_t *to = (uint64_t *)&ring->used->ring[at & (ring->size - 1)];

	if (__atomic_load_n(to, __ATOMIC_RELAXED) != elem)
		__atomic_store_n(to, elem, __ATOMIC_RELAXED);
}

static __rte_always_inline void
split_give(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t id,
	   uint32_t len, const unsigned int flags)
{
	uint64_t elem = id | (uint64_t)len << 32;

	/* virtio 1.x, 2.7.9: of a batch used in order, only the last one's. */
	if (flags & F_IN_ORDER)
		b->held = elem;
	else
		split_put(ring, b->at, elem);
	b->at++;
}

/* Does the driver want to hear of the entries (ring->told, ring->last]? */
static __rte_always_inline bool
split_wants_call(const struct vhostpci_ring *ring)
{
	if (ring->event_idx)
		/* used_event follows the avail ring */
		return vring_need_event(
			__atomic_load_n(&ring->avail->ring[ring->size],
					__ATOMIC_RELAXED), ring->last,
			ring->told);
	return !(__atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

static __rte_always_inline void
split_commit(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	     const unsigned int flags)
{
	if (flags & F_IN_ORDER)
		split_put(ring, b->first, b->held);
	/* release: pairs with the driver's acquire of used->idx; entries and
	 * packet data come first. */
	__atomic_store_n(&ring->used->idx, b->at, __ATOMIC_RELEASE);
	vhostpci_ring_publish(ring, b->at, b->at);
}

/*
 * Packed.
 */

/* A descriptor is available when its AVAIL bit is our wrap counter and its USED
 * bit is not (virtio 1.x, 2.8.1). */
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

	/* relaxed: only whether to look; vhostpci_desc_load() acquires. */
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

/* Ends behind a descriptor that begins a chain: where the next one is, is known
 * when that has been walked. */
static __rte_always_inline uint16_t
packed_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	    struct vhostpci_slot *slots, uint16_t n, enum vhostpci_look look)
{
	uint16_t at = b->at, i;
	bool wrap = b->wrap;

	/* They are read now and written soon. */
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

/* Everything that a used descriptor says, in one store; its address field is
 * not ours to write (virtio 1.x, 2.8.22). */
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
	/* As distances on the side of the wrap counter where we are now. */
	if (off_wrap >> 15 != ring->wrap)
		event -= ring->size;
	if (ring->told_wrap != ring->wrap)
		from -= ring->size;
	return vring_need_event(event, ring->last, from);
}

static __rte_always_inline void
packed_put(struct vhostpci_ring *ring, uint16_t at, uint64_t value)
{
	/* release: pairs with the driver's acquire of the flags; packet data,
	 * the place and the used descriptors behind this one come first. */
	__atomic_store_n((uint64_t *)&ring->desc[at] + 1, value,
			 __ATOMIC_RELEASE);
}

/*
 * Used descriptors are written from the last to the first: the driver looks at
 * one after the other, so it sees all or none. The place is published before
 * and after: whoever resumes after we were killed in between finds out from
 * the ring how far this came, and ends it (see resume_packed()).
 */
static __rte_always_inline void
packed_commit(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      const unsigned int flags)
{
	uint16_t was = vhostpci_packed_place(b->first, b->first_wrap);
	uint16_t now = vhostpci_packed_place(b->at, b->wrap);
	uint16_t i;

	vhostpci_ring_publish(ring, now, was);
	if (flags & F_IN_ORDER) {
		packed_put(ring, b->first, b->held);
	} else {
		for (i = b->given; i-- > 0;)
			packed_put(ring, b->shadow[i].at, b->shadow[i].value);
	}
	vhostpci_ring_publish(ring, now, now);
}

/*
 * Either.
 */

/*
 * Is there nothing for a receiving burst to do? A look from outside it, which
 * most polls of most ports end with: relaxed, as nothing follows from it.
 */
static __rte_always_inline bool
vhostpci_is_idle(const struct vhostpci_ring *ring)
{
	const struct vring_packed_desc *desc =
		(const struct vring_packed_desc *)ring->desc;

	if (ring->untold > 0)
		return false;
	if (ring->packed)
		return !packed_is_avail(__atomic_load_n(&desc[ring->last].flags,
							__ATOMIC_RELAXED),
					ring->wrap);
	return ring->end == ring->last &&
		__atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED) ==
		ring->last;
}

/* How many chains there are to begin with, for a caller who can do with @n;
 * packed: only whether. */
static __rte_always_inline uint16_t
vhostpci_pending(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		 uint16_t n, bool packed)
{
	return packed ? packed_pending(ring, b) : split_pending(ring, b, n);
}

/* Read up to @n heads from b->at on, and look at their packets as @look says.
 * Fewer come when there are no more, after a chain, or at a violation: *@rule.
 */
static __rte_always_inline uint16_t
vhostpci_peek(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	      struct vhostpci_slot *slots, uint16_t n, int *rule, bool packed,
	      enum vhostpci_look look)
{
	return packed ? packed_peek(ring, b, slots, n, look) :
		split_peek(ring, b, slots, n, rule, look);
}

/* Hand back the chain at b->at, once committed: buffer @id, which takes
 * @n_slots of a packed ring and has @len bytes written by us. */
static __rte_always_inline void
vhostpci_give(struct vhostpci_ring *ring, struct vhostpci_burst *b, uint16_t id,
	      uint16_t n_slots, uint32_t len, const unsigned int flags)
{
	if (flags & F_PACKED)
		packed_give(ring, b, id, n_slots, len, flags);
	else
		split_give(ring, b, id, len, flags);
	b->given++;
}

/* Packed: how many descriptors that was given since the last commit takes. */
static __rte_always_inline uint16_t
packed_distance(const struct vhostpci_ring *ring, const struct vhostpci_burst *b)
{
	uint16_t n = b->at - b->first;

	return b->wrap == b->first_wrap ? n : n + ring->size;
}

/* Hand over what was given since the last commit. The driver is told of it by
 * vhostpci_tell(). */
static __rte_always_inline void
vhostpci_commit(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		const unsigned int flags)
{
	if (b->given == 0)
		return;
	if (flags & F_PACKED)
		packed_commit(ring, b, flags);
	else
		split_commit(ring, b, flags);
	ring->last = b->at;
	ring->wrap = b->wrap;
	ring->untold += flags & F_PACKED ? packed_distance(ring, b) : b->given;
	b->first = b->at;
	b->first_wrap = b->wrap;
	b->given = 0;
}

/* Call the driver if it wants to hear of what was handed over since the last
 * time. */
static __rte_always_inline void
vhostpci_tell(struct vhostpci_ring *ring, const unsigned int flags)
{
	bool wants;

	if (ring->untold == 0)
		return;
	if (__atomic_load_n(&ring->call, __ATOMIC_RELAXED)) {
		/* Full barrier between our store of what is used and our load
		 * of what the driver asks for; pairs with the driver's between
		 * its store of that and its last look at what is used. */
		rte_smp_mb();
		wants = flags & F_PACKED ? packed_wants_call(ring) :
			split_wants_call(ring);
		if (wants)
			vhostpci_ring_call(ring);
	}
	ring->told = ring->last;
	ring->told_wrap = ring->wrap;
	ring->untold = 0;
}

#endif
