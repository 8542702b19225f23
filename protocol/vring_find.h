/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Find the place of a packed ring in the ring itself. A back-end needs this after a
 * process or a VM was killed, when neither a state page nor the front-end knows the
 * place (QEMU then asks nobody, and gives the place where the ring once began).
 *
 * The driver of the ring makes each descriptor of a chain available (virtio 1.x,
 * 2.8.6: "all flags must be set/cleared correctly in all descriptors in the
 * list"). In a *traced* ring the device marks each descriptor of a chain as used;
 * virtio asks this only of the first one. The driver looks at the first descriptor
 * and skips the others, so the driver sees no difference. The driver may reuse the
 * others only after it has seen the first one. In such a ring the flags tell where
 * driver and device stand, lap by lap. If the driver's next descriptor is a, and
 * the device's next descriptor is d, the flags are
 *
 *	a - num ... d - 1	used
 *	d ... a - 1		available
 *
 * A device writes a commit from its last descriptor to its first one. A device that
 * is killed in the middle leaves available descriptors before d: the commit began
 * at the first of these, and vring_commit.h says how to end it.
 *
 * A device writes VRING_TRACED to the offset of its event suppression structure to
 * say that a ring is traced. The driver reads that offset only if the structure's
 * flags ask for an event at the offset (2.8.14), and a tracing device never asks
 * for that. A driver that sets a ring up anew fills its memory, and so the offset,
 * with zeros.
 */

#ifndef VRING_FIND_H
#define VRING_FIND_H

#include "vring_commit.h"

/* The value in the offset. A ring that is small enough to be traced has no such
 * place. */
#define VRING_TRACED		0x7fff
#define VRING_MAX_TRACED	0x7fff	/* entries */

/* May a device trace ring @index of @num entries if the peer acknowledged
 * @features? Not if one used descriptor stands for several chains. */
static inline bool
vring_may_trace(unsigned int index, uint32_t num, uint64_t features)
{
	return num < VRING_MAX_TRACED &&
		vring_commit_flags(index, features) & VRING_COMMIT_TRACE;
}

/*
 * Find the place of a traced ring of @num entries. @flags are the flags of the
 * ring's descriptors. The caller read each one once, in ring order from the first
 * on. Nobody serves the ring meanwhile, but the ring's driver may still make
 * buffers available. Sets *@avail to the device's place. Sets *@used to the place
 * where an unfinished commit began, or to the device's place if there is none.
 *
 * Returns false if the flags cannot be flags of a ring, or if the driver was in
 * the middle of a chain of half the ring or more, or has made that much available
 * meanwhile: the caller should read the flags again. @ones is room for @num + 1
 * counts. The function looks at each flag only a few times, whatever the flags are.
 */
bool vring_find_place(const uint16_t *flags, uint32_t num, uint16_t *ones,
		      uint16_t *avail, uint16_t *used);

#endif
