/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a ring stands, and how to end a commit whose writer was lost in the
 * middle of the commit (doc/device-spec.md, section 9). Driver and device both
 * use this file: the next driver resumes at the ring's place, and the device
 * tells the front-end the place.
 *
 * Nothing here touches a ring. The caller reads the ring once, into memory of
 * its own, and executes the stores that a function returns. All values come
 * from the peer or from a driver, so the functions accept any value.
 */

#ifndef VRING_COMMIT_H
#define VRING_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "vhost_pci.h"

/*
 * A split ring stands at its used index, because the peer's driver relies on this
 * index, no matter who wrote the index last and how that writer ended. Buffers
 * before the index came back and later buffers did not, whatever the state page
 * says. No device writes a used index that is ahead of the avail index, or more
 * than a ring behind it; a ring with such an index stands at @base.
 *
 * @avail and @used are the indices in the peer's memory. The peer can forge both,
 * but the result is at most a ring behind @avail, so the peer loses only its own
 * buffers.
 */
static inline uint16_t
vring_split_place(uint16_t avail, uint16_t used, uint16_t num, uint16_t base)
{
	return (uint16_t)(avail - used) <= num ? used : base;
}

/*
 * A place in a packed ring, in the form of VHOST_USER_GET_VRING_BASE: a
 * descriptor, and the wrap counter there in bit 15.
 */
static inline uint16_t
vring_place(uint16_t at, bool wrap)
{
	return at | (uint16_t)wrap << 15;
}

static inline uint16_t
vring_place_at(uint16_t place)
{
	return place & 0x7fff;
}

static inline bool
vring_place_wrap(uint16_t place)
{
	return place >> 15;
}

static inline bool
vring_place_is_valid(uint16_t place, uint32_t num)
{
	return vring_place_at(place) < num;
}

/* The place @n <= @num descriptors after @place. */
static inline uint16_t
vring_place_after(uint16_t place, uint32_t n, uint32_t num)
{
	uint32_t at = vring_place_at(place) + n;

	return at < num ? vring_place(at, vring_place_wrap(place)) :
		vring_place(at - num, !vring_place_wrap(place));
}

/*
 * A commit goes from @used, the next used index, to @avail, the next available
 * index. Returns the number of descriptors in the commit, at most
 * VHOST_PCI_MAX_COMMIT. 0: the commit is empty, or no commit in a ring of @num
 * entries has these two places.
 */
uint32_t vring_commit_length(uint16_t avail, uint16_t used, uint32_t num);

/* The rules of the ring, which decide how to end a commit. */
#define VRING_COMMIT_IN_ORDER	(1u << 0) /* one used descriptor for all */
#define VRING_COMMIT_FORGET	(1u << 1) /* a packet takes several buffers */
/* The device marks each descriptor of a chain as used, not only the first one:
 * see vring_find.h. Never set together with _IN_ORDER. */
#define VRING_COMMIT_TRACE	(1u << 2)

/* The flags VRING_COMMIT_* of ring @index of a peer that acknowledged
 * @features. */
unsigned int vring_commit_flags(unsigned int index, uint64_t features);

/* One store. It stores length 0: the contents of the buffer are lost, and the
 * peer's driver drops a packet of that length. */
struct vring_commit_store {
	uint16_t at;		/* index of the descriptor */
	uint16_t id;		/* of the buffer */
	bool wrap;		/* both flags of the used descriptor */
	/* true: store length, id and flags. false: the descriptor is already a
	 * used one, so store the length only. */
	bool whole;
};

/*
 * Compute the stores that end the commit from @used to @avail of a packed ring
 * of @num entries. @desc is a copy of the vring_commit_length() descriptors
 * from @used on, in ring order: the first descriptor of the ring follows the
 * last one.
 *
 * Returns the number of @stores; the caller must execute them in this order.
 * Another process may have to end this commit after the caller: that process
 * must see each store no later than the next store. The peer's driver waits for
 * the last store: the driver must see it after all others. @max is the room in
 * @stores, at least the commit's length; otherwise the result is -ENOBUFS.
 *
 * If the stores were broken off at any point, calling this again ends the
 * commit all the same: each buffer comes back once.
 */
int vring_commit_end(const struct vring_packed_desc *desc, uint32_t num,
		     uint16_t avail, uint16_t used, unsigned int flags,
		     struct vring_commit_store *stores, size_t max);

#endif
