/* SPDX-License-Identifier: BSD-3-Clause */

/* Set vrings up: find their parts in memory, and choose values for the
 * bursts. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vring/resume.h"
#include "vring/ring.h"

/* Sizes of the three parts in bytes (virtio 1.x, 2.7 and 2.8), and their
 * alignment. */
struct extent {
	uint64_t desc, avail, used;
	uint8_t avail_align, used_align;
};

static struct extent
extent_of(const struct vhostpci_ring *ring)
{
	const uint64_t num = ring->size;
	/* If negotiated, an event index follows each ring and belongs to it. */
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

	/* Each part must be mapped in full, and contiguous in this process: the
	 * bursts index it without further checks. */
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

/* A driver may wait for the return of buffers that it sent. A burst calls the
 * driver when there is nothing to receive, or after this many buffers: see
 * burst_rx(). */
#define TELL_AFTER	256

static void
publish_place(const struct vhostpci_ring *ring)
{
	uint16_t place = ring->packed ?
		vring_place(ring->last, ring->wrap) : ring->last;

	vhostpci_ring_publish(ring, place, place);
}

/* virtio 1.x, 5.1.6.1: a modern header always has num_buffers. */
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
	rule = vhostpci_ring_resume(ring, vr);
	if (rule != VHOSTPCI_RULE_NONE)
		return rule;
	vhostpci_ring_trace(ring);
	publish_place(ring);
	ring->end = ring->last;
	ring->guess = 0;
	ring->told = ring->last;
	ring->told_wrap = ring->wrap;
	ring->untold = 0;
	ring->tell_after = RTE_MIN(ring->size / 4, TELL_AFTER);
	/* A burst polls. A thread that sleeps asks for kicks itself. */
	vhostpci_ring_kicks(ring, false);
	/* The former process may have died after it returned buffers, but
	 * before it called. A needless call does no harm. */
	if (ring->call)
		vhostpci_ring_call(ring);
	return VHOSTPCI_RULE_NONE;
}
