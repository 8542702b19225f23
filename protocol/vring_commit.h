/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a ring stands, and how a commit ends whose writer was lost in it
 * (doc/device-spec.md, section 9). Driver and device both have to know: the
 * driver that comes next resumes there, and the device tells the front-end.
 *
 * Nothing here touches a ring. The caller reads what is asked for, once, into
 * memory of its own, and executes the stores that it is given; all values are
 * the peer's or a driver's, and any of them is handled.
 */

#ifndef VRING_COMMIT_H
#define VRING_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "vhost_pci.h"

/*
 * A split ring stands at its used index: the peer's driver goes by that, whoever
 * wrote it last and however that one ended. Buffers before it came back, buffers
 * behind it did not, whatever the state page says. An index that is ahead of
 * what is available, or more than a ring behind it, is not a device's: then the
 * ring stands at @base.
 *
 * @avail and @used are the indices in the peer's memory. The peer can forge
 * them, but only within what it has made available, and loses nothing but
 * buffers of its own.
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
 * How many descriptors the commit holds that goes from @used, the next used
 * index, to @avail, the next available one: at most VHOST_PCI_MAX_COMMIT. 0:
 * none, or these are no two places of a commit in a ring of @num entries.
 */
uint32_t vring_commit_length(uint16_t avail, uint16_t used, uint32_t num);

/* What is left to be done of a commit, as the rules of the ring have it. */
#define VRING_COMMIT_IN_ORDER	(1u << 0) /* one used descriptor for it all */
#define VRING_COMMIT_FORGET	(1u << 1) /* a packet takes several buffers */
/* Each descriptor of a chain is marked used, as the rules of vring_find.h have
 * it, and not the first one alone. Not with _IN_ORDER. */
#define VRING_COMMIT_TRACE	(1u << 2)

/* ... of ring @index of a peer that acknowledged @features. */
unsigned int vring_commit_flags(unsigned int index, uint64_t features);

/* One store. Its length is 0: what was in the buffer is lost, and the peer's
 * driver drops a packet of that length. */
struct vring_commit_store {
	uint16_t at;		/* the descriptor */
	uint16_t id;		/* of the buffer */
	bool wrap;		/* both flags of the used descriptor */
	/* All of length, id and flags. Otherwise the descriptor is a used one
	 * already, and only its length is to be stored. */
	bool whole;
};

/*
 * Say what ends the commit from @used to @avail of a packed ring of @num
 * entries. @desc is a copy of the vring_commit_length() descriptors from @used
 * on, in ring order: the one at the ring's end is followed by the first.
 *
 * Returns how many of @stores are to be executed, in this order. Each has to be
 * seen no later than the next one by whoever may be next to end this commit,
 * and the last one after all others by the peer's driver: that waits for it.
 * @max, of @stores, has to be the commit's length or more: -ENOBUFS otherwise.
 *
 * To end the commit again, from wherever the stores were broken off, is to end
 * it: each buffer comes back once.
 */
int vring_commit_end(const struct vring_packed_desc *desc, uint32_t num,
		     uint16_t avail, uint16_t used, unsigned int flags,
		     struct vring_commit_store *stores, size_t max);

#endif
