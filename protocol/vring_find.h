/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a packed ring stands, found in the ring itself: for whoever comes after
 * a process or a VM that was killed, when no page and no front-end knows (QEMU
 * asks nobody then, and gives the place where the ring once began).
 *
 * The driver of the ring makes each descriptor of a chain available (virtio 1.x,
 * 2.8.6: "all flags must be set/cleared correctly in all descriptors in the
 * list"). A *traced* ring has a device that marks each descriptor of a chain used
 * in turn, not the first one alone as virtio asks. The driver looks at the first
 * one only and skips the others, so it sees no difference; they are its own to
 * make anew when it has seen the first one. In such a ring the flags tell all,
 * lap by lap, with the driver's next descriptor at a and the device's at d:
 *
 *	a - num ... d - 1	used
 *	d ... a - 1		available
 *
 * A commit is written from its last descriptor to its first one. Killed in it, a
 * device leaves available descriptors before d: the commit began at the first of
 * these and is to be ended as vring_commit.h has it.
 *
 * A device says that a ring is traced by VRING_TRACED in the offset of its event
 * suppression structure. The driver heeds that offset only where the structure's
 * flags ask for the event at it (2.8.14), which a device that traces never does.
 * Memory of a ring that its driver made anew is zero, the offset included.
 */

#ifndef VRING_FIND_H
#define VRING_FIND_H

#include "vring_commit.h"

/* In the offset: no place of a ring that is small enough to be traced. */
#define VRING_TRACED		0x7fff
#define VRING_MAX_TRACED	0x7fff	/* entries */

/* May ring @index of @num entries be traced, where @features were acknowledged?
 * Not if one used descriptor stands for several chains. */
static inline bool
vring_may_trace(unsigned int index, uint32_t num, uint64_t features)
{
	return num < VRING_MAX_TRACED &&
		vring_commit_flags(index, features) & VRING_COMMIT_TRACE;
}

/*
 * Find the place of a traced ring of @num entries. @flags are those of its
 * descriptors as read, each once and in ring order from the first one on; nobody
 * serves the ring meanwhile, but its driver may go on to make buffers available.
 * Sets *@avail to the device's place, and *@used to where the commit began that
 * is to be ended, the same if there is none.
 *
 * false: these are no flags of a ring, or the driver was in the middle of a
 * chain of half the ring or more, or has made as much available meanwhile: read
 * them again. @ones is room for @num + 1 counts. Whatever the flags are, each is
 * looked at a few times.
 */
bool vring_find_place(const uint16_t *flags, uint32_t num, uint16_t *ones,
		      uint16_t *avail, uint16_t *used);

#endif
