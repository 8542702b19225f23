/* SPDX-License-Identifier: BSD-3-Clause */

/* Setting vrings up, and the rules that a peer may break. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vhostpci_chain.h"
#include "vhostpci_layout.h"

static const struct {
	const char *name, *text;
} rules[VHOSTPCI_N_RULES] = {
	[VHOSTPCI_RULE_NONE] = { "none", "" },
	[VHOSTPCI_RULE_AVAIL_JUMP] = {
		"avail_jump", "avail index ran ahead by more than the ring" },
	[VHOSTPCI_RULE_HEAD_INDEX] = {
		"head_index", "avail entry is no index of the ring" },
	[VHOSTPCI_RULE_NEXT_INDEX] = {
		"next_index", "next is no index of the descriptor table" },
	[VHOSTPCI_RULE_CHAIN_LENGTH] = {
		"chain_length", "descriptor chain too long or a loop" },
	[VHOSTPCI_RULE_INDIRECT_FEATURE] = {
		"indirect_feature", "indirect table was not negotiated" },
	[VHOSTPCI_RULE_INDIRECT_NEXT] = {
		"indirect_next", "descriptor both indirect and chained" },
	[VHOSTPCI_RULE_INDIRECT_SIZE] = {
		"indirect_size", "indirect table empty, odd or too long" },
	[VHOSTPCI_RULE_INDIRECT_NESTED] = {
		"indirect_nested", "indirect table within an indirect table" },
	[VHOSTPCI_RULE_DIRECTION] = {
		"direction", "descriptor for the other direction" },
	[VHOSTPCI_RULE_MEMORY] = {
		"memory", "descriptor outside the peer's memory" },
	[VHOSTPCI_RULE_SHORT] = {
		"short_header", "chain shorter than a virtio-net header" },
	[VHOSTPCI_RULE_LONG] = {
		"long_packet", "packet longer than 65535 bytes" },
	[VHOSTPCI_RULE_CSUM] = {
		"csum_offset", "checksum outside the packet" },
	[VHOSTPCI_RULE_GSO_TYPE] = {
		"gso_type", "segmentation that was not negotiated" },
	[VHOSTPCI_RULE_GSO_HEADER] = {
		"gso_header", "segmentation without a checksum or a size" },
	[VHOSTPCI_RULE_RING_SIZE] = {
		"ring_size", "ring size not allowed, or base beyond it" },
	[VHOSTPCI_RULE_RING_ALIGN] = {
		"ring_align", "ring address misaligned" },
	[VHOSTPCI_RULE_RING_MEMORY] = {
		"ring_memory", "ring outside the peer's memory" },
	[VHOSTPCI_RULE_FEATURES] = {
		"features", "features acknowledged but not offered" },
	[VHOSTPCI_RULE_REGIONS] = {
		"regions", "memory regions empty, wrapping or overlapping" },
};

const char *
vhostpci_rule_text(enum vhostpci_rule rule)
{
	return rules[rule].text;
}

const char *
vhostpci_rule_name(enum vhostpci_rule rule)
{
	return rules[rule].name;
}

void
vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule)
{
	__atomic_store_n(&ring->broken, rule, __ATOMIC_RELEASE);
	/* Once per start of a ring. */
	ring->report(ring->dev);
}

void
vhostpci_ring_call(struct vhostpci_ring *ring)
{
	ring->count.calls++;
	ring->signal(ring->dev, ring->index);
}

void
vhostpci_ring_make_call(struct vhostpci_ring *ring)
{
	if (vhostpci_ring_usable(ring) && ring->call && ring->untold > 0)
		vhostpci_ring_call(ring);
}

/* Bytes of the three parts (virtio 1.x, 2.7 and 2.8), and their alignment. */
struct extent {
	uint64_t desc, avail, used;
	uint8_t avail_align, used_align;
};

static struct extent
extent_of(const struct vhostpci_ring *ring)
{
	const uint64_t num = ring->size;
	/* The event index behind each ring is part of it if negotiated. */
	const uint64_t event = ring->event_idx ? sizeof(uint16_t) : 0;

	if (ring->packed)
		return (struct extent) {
			.desc = num * sizeof(struct vring_packed_desc),
			.avail = sizeof(struct vring_packed_desc_event),
			.used = sizeof(struct vring_packed_desc_event),
			.avail_align = 4, .used_align = 4,
		};
	return (struct extent) {
		.desc = num * sizeof(struct vring_desc),
		.avail = sizeof(struct vring_avail) + num * 2 + event,
		.used = sizeof(struct vring_used) +
			num * sizeof(struct vring_used_elem) + event,
		.avail_align = VRING_AVAIL_ALIGN_SIZE,
		.used_align = VRING_USED_ALIGN_SIZE,
	};
}

enum vhostpci_rule
vhostpci_ring_relocate(struct vhostpci_ring *ring,
		       const struct vhostpci_vring_desc *vr)
{
	const struct extent extent = extent_of(ring);
	struct vhostpci_region at = { 0 };

	/* Each part in full, and contiguous in this process: the bursts index
	 * them without looking again. */
	ring->desc = (void *)vhostpci_mem_addr(ring->mem, &at, vr->desc,
					       extent.desc);
	ring->avail = (void *)vhostpci_mem_addr(ring->mem, &at, vr->avail,
						extent.avail);
	ring->used = (void *)vhostpci_mem_addr(ring->mem, &at, vr->used,
					       extent.used);
	memset(&ring->cache, 0, sizeof(ring->cache));
	if (ring->desc == NULL || ring->avail == NULL || ring->used == NULL)
		return VHOSTPCI_RULE_RING_MEMORY;
	if (!rte_is_aligned(ring->desc, VRING_DESC_ALIGN_SIZE) ||
	    !rte_is_aligned(ring->avail, extent.avail_align) ||
	    !rte_is_aligned(ring->used, extent.used_align))
		return VHOSTPCI_RULE_RING_ALIGN;
	return VHOSTPCI_RULE_NONE;
}

/*
 * Where to go on: at the used index. On a split ring at rest that is where we
 * stand, and it is what the driver goes by, whoever served the ring before us
 * and however that ended. Killed after its store to used->idx but before the
 * one to the state page, a process has handed buffers back that the page does
 * not show, and to hand them back twice would corrupt the peer; killed earlier
 * in a burst it has handed back nothing, and the burst is done again. DPDK's
 * virtio-user, when a back-end returns, gives 0 as the base of any ring, and
 * means this.
 *
 * The peer can forge the index, but only within what it has made available,
 * and loses nothing but buffers of its own. Beyond that it means nothing: then
 * the state page holds, if it is about this start of the ring (same epoch),
 * and else the front-end's base.
 */
static void
resume_split(struct vhostpci_ring *ring, const struct vhostpci_vring_desc *vr)
{
	uint64_t progress = *ring->progress;
	uint16_t used = __atomic_load_n(&ring->used->idx, __ATOMIC_RELAXED);
	uint16_t avail = __atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED);

	if ((uint16_t)(avail - used) <= ring->size)
		ring->last = used;
	else
		ring->last = progress >> 32 == vr->epoch ? progress : vr->base;
	ring->wrap = false;
}

/* Has a burst of ours written this used descriptor? */
static bool
is_used(const struct vhostpci_ring *ring, const struct vhostpci_burst *b)
{
	uint16_t flags = vhostpci_desc_load(ring, b->at).packed.flags;

	return !!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) == b->wrap &&
		!!(flags & 1 << VRING_PACKED_DESC_F_USED) == b->wrap;
}

/* The used descriptors from @b's place up to @avail, which the driver does not
 * see yet, say nothing of what is in their buffers any more. */
static void
forget_lengths(struct vhostpci_ring *ring, struct vhostpci_burst b,
	       uint16_t avail)
{
	while (vhostpci_packed_place(b.at, b.wrap) != avail) {
		if (is_used(ring, &b))
			packed_put(ring, b.at, packed_used(
				vhostpci_desc_load(ring, b.at).packed.id, 0,
				b.wrap));
		packed_step(ring, &b.at, &b.wrap, 1);
	}
}

/*
 * End the commit of a process that was killed in it. Used descriptors are
 * written from the last to the first, so those from @avail back to some place
 * are, and the chains before that are as the driver made them. How long the
 * packets in these were is lost: they go back with a length of 0, which
 * drivers drop. Where a packet may take several buffers, the others do as well:
 * the driver would take the rest of one whose beginning is lost for a packet
 * and what is in it for a header. In order, the one descriptor that there is to
 * write names the last chain.
 */
static void
finish_commit(struct vhostpci_ring *ring, uint16_t avail)
{
	struct vhostpci_used shadow[VHOSTPCI_MAX_GIVEN];
	struct vhostpci_burst b = vhostpci_burst_begin(ring, shadow);
	bool in_order = ring->features & (1ULL << VIRTIO_F_IN_ORDER) &&
		vhostpci_ring_is_rx(ring);
	unsigned int flags = F_PACKED | (in_order ? F_IN_ORDER : 0);

	while (vhostpci_packed_place(b.at, b.wrap) != avail &&
	       b.given < VHOSTPCI_MAX_GIVEN && !is_used(ring, &b)) {
		struct vhostpci_chain chain = {
			.ring = ring, .left = vhostpci_chain_max(ring),
			.want = vhostpci_ring_is_rx(ring) ? 0 :
				VRING_DESC_F_WRITE,
		};
		struct vhostpci_slot slot;
		struct vhostpci_desc desc;
		int rule = 0;

		if (vhostpci_peek(ring, &b, &slot, 1, &rule, true,
				  VHOSTPCI_LOOK_NOT) == 0)
			break;
		desc = vhostpci_slot_desc(&slot, true);
		if (vhostpci_chain_begin(&chain, &desc, slot.id, b.at) < 0 ||
		    vhostpci_chain_end(&chain) < 0)
			break;
		vhostpci_give(ring, &b, chain.id, chain.n_slots, 0, flags);
	}
	if (b.given == 0)
		return;
	if (!vhostpci_ring_is_rx(ring) &&
	    ring->features & (1ULL << VIRTIO_NET_F_MRG_RXBUF))
		forget_lengths(ring, b, avail);
	/* What this commit publishes has to hold if we are killed in it. */
	b.at = avail & 0x7fff;
	b.wrap = avail >> 15;
	packed_commit(ring, &b, flags);
}

static bool
is_place(const struct vhostpci_ring *ring, uint16_t place)
{
	return (place & 0x7fff) < ring->size;
}

/*
 * Of a packed ring nothing in the peer's memory tells where we stand: the state
 * page does, if it is about this start of the ring (same epoch), and else the
 * base that we are given, which the device has from the page of the start before.
 * Where the two halves of it differ, its writer was killed in a commit.
 */
static enum vhostpci_rule
resume_packed(struct vhostpci_ring *ring, const struct vhostpci_vring_desc *vr)
{
	uint64_t progress = *ring->progress;
	uint32_t base = progress >> 32 == vr->epoch ? progress : vr->base;
	uint16_t avail = base, used = base >> 16;

	if (!is_place(ring, avail) || !is_place(ring, used))
		return VHOSTPCI_RULE_RING_SIZE;
	ring->last = used & 0x7fff;
	ring->wrap = used >> 15;
	if (avail != used)
		finish_commit(ring, avail);
	ring->last = avail & 0x7fff;
	ring->wrap = avail >> 15;
	return VHOSTPCI_RULE_NONE;
}

/* A driver that waits for buffers that it has sent hears of them when there is
 * nothing to receive, or after so many: see burst_rx(). */
#define TELL_AFTER	256

static void
publish_place(const struct vhostpci_ring *ring)
{
	uint16_t place = ring->packed ?
		vhostpci_packed_place(ring->last, ring->wrap) : ring->last;

	vhostpci_ring_publish(ring, place, place);
}

/* virtio 1.x, 5.1.6.1: num_buffers is always there in a modern header. */
static uint8_t
header_len(uint64_t features)
{
	return features & (1ULL << VIRTIO_NET_F_MRG_RXBUF |
			   1ULL << VIRTIO_F_VERSION_1) ?
		sizeof(struct virtio_net_hdr_v1) :
		sizeof(struct virtio_net_hdr);
}

enum vhostpci_rule
vhostpci_ring_start(struct vhostpci_ring *ring,
		    const struct vhostpci_vring_desc *vr, uint64_t features)
{
	enum vhostpci_rule rule = VHOSTPCI_RULE_NONE;

	ring->epoch = vr->epoch;
	ring->size = vr->num;
	ring->call = vr->call;
	ring->broken = VHOSTPCI_RULE_NONE;
	ring->reported = false;
	ring->stalled = false;
	ring->features = features;
	ring->packed = features & (1ULL << VIRTIO_F_RING_PACKED);
	ring->hdr_len = header_len(features);
	if (vr->num == 0 || vr->num > VHOSTPCI_MAX_RING_SIZE ||
	    (!ring->packed && !rte_is_power_of_2(vr->num)))
		return VHOSTPCI_RULE_RING_SIZE;
	ring->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	rule = vhostpci_ring_relocate(ring, vr);
	if (rule != VHOSTPCI_RULE_NONE)
		return rule;

	if (ring->packed)
		rule = resume_packed(ring, vr);
	else
		resume_split(ring, vr);
	if (rule != VHOSTPCI_RULE_NONE)
		return rule;
	publish_place(ring);
	ring->end = ring->last;
	ring->guess = 0;
	ring->told = ring->last;
	ring->told_wrap = ring->wrap;
	ring->untold = 0;
	ring->tell_after = RTE_MIN(ring->size / 4, TELL_AFTER);
	/* We poll; whoever sleeps asks for kicks then. */
	vhostpci_ring_kicks(ring, false);
	/* Whoever served the ring before us may have died between handing
	 * buffers back and saying so. A call too many does no harm. */
	if (ring->call)
		vhostpci_ring_call(ring);
	return VHOSTPCI_RULE_NONE;
}
