/* SPDX-License-Identifier: BSD-3-Clause */

/* Setting vrings up, and the rules that a peer may break. */

#include <unistd.h>

#include <linux/virtio_config.h>

#include <rte_interrupts.h>

#include "vhostpci_dev.h"

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
	[VHOSTPCI_RULE_RING_SIZE] = {
		"ring_size", "ring size is no power of two up to 32768" },
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
	uint64_t one = 1;
	int fd = rte_intr_fd_get(ring->dev->broken_intr);

	__atomic_store_n(&ring->broken, rule, __ATOMIC_RELEASE);
	/* Once per start of a ring. Cannot block: our own eventfd, made
	 * non-blocking; a full counter wakes the reader as well. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void
vhostpci_ring_call(struct vhostpci_ring *ring)
{
	ring->count.calls++;
	ring->dev->transport.ops->call(ring->dev, ring->index);
}

enum vhostpci_rule
vhostpci_ring_relocate(struct vhostpci_ring *ring,
		       const struct vhostpci_vring_desc *vr)
{
	const uint64_t num = ring->size;
	const uint64_t event = ring->event_idx ? sizeof(uint16_t) : 0;
	struct vhostpci_region at = { 0 };

	/* Each part in full, and contiguous in this process: the bursts index
	 * them without looking again. The event index behind each ring is part
	 * of it if negotiated (virtio 1.x, 2.7). */
	ring->desc = (void *)vhostpci_mem_addr(ring->mem, &at, vr->desc,
					       num * sizeof(struct vring_desc));
	ring->avail = (void *)vhostpci_mem_addr(ring->mem, &at, vr->avail,
			sizeof(struct vring_avail) + num * 2 + event);
	ring->used = (void *)vhostpci_mem_addr(ring->mem, &at, vr->used,
			sizeof(struct vring_used) +
			num * sizeof(struct vring_used_elem) + event);
	memset(&ring->cache, 0, sizeof(ring->cache));
	if (ring->desc == NULL || ring->avail == NULL || ring->used == NULL)
		return VHOSTPCI_RULE_RING_MEMORY;
	if (!rte_is_aligned(ring->desc, VRING_DESC_ALIGN_SIZE) ||
	    !rte_is_aligned(ring->avail, VRING_AVAIL_ALIGN_SIZE) ||
	    !rte_is_aligned(ring->used, VRING_USED_ALIGN_SIZE))
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
static uint16_t
resume_at(const struct vhostpci_ring *ring,
	  const struct vhostpci_vring_desc *vr)
{
	uint64_t progress = *ring->progress;
	uint16_t used = __atomic_load_n(&ring->used->idx, __ATOMIC_RELAXED);
	uint16_t avail = __atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED);

	if ((uint16_t)(avail - used) <= ring->size)
		return used;
	return progress >> 32 == vr->epoch ? progress : vr->base;
}

/* We poll: ask the peer not to kick. */
static void
suppress_kicks(struct vhostpci_ring *ring)
{
	uint16_t flags = ring->event_idx ? 0 : VRING_USED_F_NO_NOTIFY;

	__atomic_store_n(&ring->used->flags, flags, __ATOMIC_RELAXED);
	/* An index just passed: reached again after 65535 buffers, so the peer
	 * kicks that rarely. avail_event follows the used ring. */
	if (ring->event_idx)
		__atomic_store_n((uint16_t *)&ring->used->ring[ring->size],
				 (uint16_t)(ring->last - 1), __ATOMIC_RELAXED);
}

enum vhostpci_rule
vhostpci_ring_start(struct vhostpci_ring *ring,
		    const struct vhostpci_vring_desc *vr, uint64_t features)
{
	enum vhostpci_rule rule;

	ring->epoch = vr->epoch;
	ring->size = vr->num;
	ring->call = vr->call;
	ring->broken = VHOSTPCI_RULE_NONE;
	ring->reported = false;
	ring->stalled = false;
	if (vr->num == 0 || vr->num > VHOSTPCI_MAX_RING_SIZE ||
	    !rte_is_power_of_2(vr->num))
		return VHOSTPCI_RULE_RING_SIZE;
	ring->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	rule = vhostpci_ring_relocate(ring, vr);
	if (rule != VHOSTPCI_RULE_NONE)
		return rule;

	ring->indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	ring->last = resume_at(ring, vr);
	vhostpci_ring_select(ring, features);
	vhostpci_ring_publish(ring);
	suppress_kicks(ring);
	/* Whoever served the ring before us may have died between handing
	 * buffers back and saying so. A call too many does no harm. */
	if (ring->call)
		vhostpci_ring_call(ring);
	return VHOSTPCI_RULE_NONE;
}
