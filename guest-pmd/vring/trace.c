/* SPDX-License-Identifier: BSD-3-Clause */

/* Keep a packed ring traced, and find the place of a traced ring: see
 * vring_find.h. */

#include <stdlib.h>
#include <string.h>

#include "vring/packed.h"
#include "vring/trace.h"

/* The driver may make buffers available while we read the ring, but only until
 * the ring is full, because nobody serves it. */
#define READ_TIMES	16

/* Not inline: only bursts with chains of several descriptors call this. */
void
vhostpci_packed_put_all(struct vhostpci_ring *ring,
			const struct vhostpci_burst *b)
{
	const uint64_t marks = packed_used(0, 0, true);
	uint16_t place = vring_place(b->at, b->wrap), i;

	for (i = b->given; i-- > 0;) {
		const uint16_t head = b->shadow[i].at;
		/* Remove the marks; each descriptor below gets the marks of its
		 * own lap. */
		const uint64_t value = b->shadow[i].value & ~marks;

		do {
			uint16_t at = vring_place_at(place);

			place = at > 0 ? place - 1 :
				vring_place(ring->size - 1,
					    !vring_place_wrap(place));
			at = vring_place_at(place);
			packed_put(ring, at, value |
				   (vring_place_wrap(place) ? marks : 0));
		} while (vring_place_at(place) != head);
	}
}

static void
read_flags(const struct vhostpci_ring *ring, uint16_t *flags)
{
	const struct vring_packed_desc *desc =
		(const struct vring_packed_desc *)ring->desc;
	uint32_t i;

	/* relaxed: whoever uses a descriptor later reads it again. */
	for (i = 0; i < ring->size; i++)
		flags[i] = __atomic_load_n(&desc[i].flags, __ATOMIC_RELAXED);
}

bool
vhostpci_packed_find(const struct vhostpci_ring *ring, uint16_t *avail,
		     uint16_t *used)
{
	const size_t size = ring->size * sizeof(uint16_t);
	uint16_t *flags = malloc(size), *before = malloc(size);
	uint16_t *ones = malloc(size + sizeof(*ones));
	bool found = false;
	unsigned int i;

	if (flags != NULL && before != NULL && ones != NULL) {
		read_flags(ring, flags);
		for (i = 0; i < READ_TIMES; i++) {
			memcpy(before, flags, size);
			read_flags(ring, flags);
			if (memcmp(before, flags, size) == 0)
				break;
		}
		found = vring_find_place(flags, ring->size, ones, avail, used);
	}
	free(flags);
	free(before);
	free(ones);
	return found;
}
