/* SPDX-License-Identifier: BSD-3-Clause */

/* See vring/resume.h. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vring/chain.h"
#include "vring/layout.h"
#include "vring/resume.h"

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

enum vhostpci_rule
vhostpci_ring_resume(struct vhostpci_ring *ring,
		     const struct vhostpci_vring_desc *vr)
{
	if (ring->packed)
		return resume_packed(ring, vr);
	resume_split(ring, vr);
	return VHOSTPCI_RULE_NONE;
}
