/* SPDX-License-Identifier: BSD-3-Clause */

/* See vring/resume.h. */

#include <stdlib.h>

#include "base/log.h"
#include "vring/chain.h"
#include "vring/layout.h"
#include "vring/resume.h"
#include "vring/trace.h"

/*
 * A split ring goes on at its used index. A ring at rest stands there. If the
 * former process was killed after its store to used->idx, but before its store
 * to the state page, it has returned buffers that the page does not show;
 * returning them twice would corrupt the peer. If the former process was killed
 * earlier in a burst, it has returned nothing, and this process repeats the
 * burst. DPDK's virtio-user gives 0 as the base of every ring when a back-end
 * comes back, and means the used index.
 *
 * If the used index makes no sense, the ring goes on at the place in the state
 * page, if the page is about this start of the ring (same epoch); otherwise at
 * the front-end's base.
 */
static void
resume_split(struct vhostpci_ring *ring, const struct vhostpci_vring_desc *vr)
{
	uint64_t progress = *ring->progress;
	uint16_t used = __atomic_load_n(&ring->used->idx, __ATOMIC_RELAXED);
	uint16_t avail = __atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED);

	ring->last = vring_split_place(avail, used, ring->size,
				       progress >> 32 == vr->epoch ? progress :
				       vr->base);
	ring->wrap = false;
}

/* relaxed: only the process that serves the ring writes this. */
static bool
is_traced(const struct vhostpci_ring *ring)
{
	return vring_may_trace(ring->index, ring->size, ring->features) &&
		__atomic_load_n(&ring->device_event->off_wrap,
				__ATOMIC_RELAXED) == VRING_TRACED;
}

static void
set_traced(struct vhostpci_ring *ring, bool on)
{
	/* release: if this process is killed, the next one must see this store
	 * before our commits. */
	__atomic_store_n(&ring->device_event->off_wrap, on ? VRING_TRACED : 0,
			 __ATOMIC_RELEASE);
}

/* Read the @n descriptors from @place on, each once. */
static void
copy_descs(const struct vhostpci_ring *ring, uint16_t place, uint32_t n,
	   struct vring_packed_desc *copy)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		copy[i] = vhostpci_desc_load(ring, vring_place_at(place)).packed;
		place = vring_place_after(place, 1, ring->size);
	}
}

static void
store(struct vhostpci_ring *ring, const struct vring_commit_store *to)
{
	struct vring_packed_desc *desc = (struct vring_packed_desc *)ring->desc;

	if (to->whole)
		packed_put(ring, to->at, packed_used(to->id, 0, to->wrap));
	else
		/* relaxed: a packed_put() follows all of these stores, with
		 * release. */
		__atomic_store_n(&desc[to->at].len, 0, __ATOMIC_RELAXED);
}

/* End the commit of a process that was killed in the middle of it: see
 * vring_commit.h. Publishes the two ends of the commit first, for the case that
 * this process is killed here, too. */
static void
finish_commit(struct vhostpci_ring *ring, uint16_t avail, uint16_t used)
{
	const uint32_t length = vring_commit_length(avail, used, ring->size);
	struct vring_packed_desc *copy = calloc(length, sizeof(*copy));
	struct vring_commit_store *stores = calloc(length, sizeof(*stores));
	int i, n = 0;

	if (length > 0 && copy != NULL && stores != NULL) {
		copy_descs(ring, used, length, copy);
		n = vring_commit_end(copy, ring->size, avail, used,
				     vring_commit_flags(ring->index,
							ring->features),
				     stores, length);
		vhostpci_ring_publish(ring, avail, used);
	} else if (length > 0) {
		VHOSTPCI_LOG(ERR, "no memory to return the buffers of a burst "
			     "that was cut short; the peer may wait for them");
	}
	for (i = 0; i < n; i++)
		store(ring, &stores[i]);
	free(copy);
	free(stores);
}

/*
 * A packed ring stands at the place in the state page, if the page is about
 * this start of the ring (same epoch). Otherwise a traced ring tells its place
 * itself. Otherwise use the base: the device takes it from the state page of
 * the previous start, but a front-end whose back-end was killed gives the place
 * where the ring once began.
 *
 * If the two halves of the place differ, the former process was killed in the
 * middle of a commit.
 */
static enum vhostpci_rule
resume_packed(struct vhostpci_ring *ring, const struct vhostpci_vring_desc *vr)
{
	uint64_t progress = *ring->progress;
	uint32_t base = progress >> 32 == vr->epoch ? progress : vr->base;
	uint16_t avail = base, used = base >> 16;

	if (progress >> 32 != vr->epoch && is_traced(ring))
		vhostpci_packed_find(ring, &avail, &used);

	if (!vring_place_is_valid(avail, ring->size) ||
	    !vring_place_is_valid(used, ring->size))
		return VHOSTPCI_RULE_RING_SIZE;
	finish_commit(ring, avail, used);
	ring->last = vring_place_at(avail);
	ring->wrap = vring_place_wrap(avail);
	return VHOSTPCI_RULE_NONE;
}

/*
 * Declare whether the ring is traced. A ring is traced if its driver has just
 * set it up, or if we have served it ever since. Another process may have used
 * descriptors without marking each of them. So a ring counts as traced if its
 * present flags lead to the place where the ring stands.
 */
void
vhostpci_ring_trace(struct vhostpci_ring *ring)
{
	const uint16_t place = vring_place(ring->last, ring->wrap);
	uint16_t avail, used;

	ring->trace = ring->packed &&
		vring_may_trace(ring->index, ring->size, ring->features);
	if (!ring->packed)
		return;
	if (ring->trace && vhostpci_packed_find(ring, &avail, &used) &&
	    avail == place && used == place)
		set_traced(ring, true);
	else if (is_traced(ring))
		set_traced(ring, false);
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
