/* SPDX-License-Identifier: BSD-3-Clause */

/* The peer's memory: see vring/mem.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_memcpy.h>

#include "vring/mem.h"

static int
region_cmp(const void *a, const void *b)
{
	const struct vhostpci_region *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

int
vhostpci_mem_set(struct vhostpci_mem *mem,
		 const struct vhostpci_region *regions, uint16_t n)
{
	struct vhostpci_region sorted[VHOSTPCI_MAX_REGIONS];
	struct vhostpci_region *last = NULL;
	uint16_t i;

	mem->n = 0;
	if (n > VHOSTPCI_MAX_REGIONS)
		return -EINVAL;
	memcpy(sorted, regions, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), region_cmp);

	for (i = 0; i < n; i++) {
		struct vhostpci_region *r = &sorted[i];

		if (r->size == 0 || r->addr == NULL ||
		    r->gpa > UINT64_MAX - r->size ||
		    (last != NULL && r->gpa - last->gpa < last->size)) {
			mem->n = 0;
			return -EINVAL;
		}
		if (last != NULL && last->gpa + last->size == r->gpa &&
		    last->addr + last->size == r->addr) {
			last->size += r->size;
			continue;
		}
		last = &mem->regions[mem->n++];
		*last = *r;
	}
	return 0;
}

const struct vhostpci_region *
vhostpci_mem_find(const struct vhostpci_mem *mem, uint64_t gpa)
{
	uint16_t i;

	/* A peer has two or three regions as a rule, so a linear search is
	 * fastest. */
	for (i = 0; i < mem->n; i++) {
		if (gpa - mem->regions[i].gpa < mem->regions[i].size)
			return &mem->regions[i];
	}
	return NULL;
}

uint8_t *
vhostpci_mem_piece(const struct vhostpci_mem *mem, uint64_t gpa, uint64_t len,
		   uint64_t *piece)
{
	const struct vhostpci_region *region;
	uint64_t offset;

	if (len > UINT64_MAX - gpa)
		return NULL;
	region = vhostpci_mem_find(mem, gpa);
	if (region == NULL)
		return NULL;
	offset = gpa - region->gpa;
	*piece = RTE_MIN(len, region->size - offset);
	return region->addr + offset;
}

bool
vhostpci_mem_read(const struct vhostpci_mem *mem, void *dst, uint64_t gpa,
		  uint64_t len)
{
	uint8_t *to = dst;
	uint64_t piece;

	for (; len > 0; gpa += piece, len -= piece) {
		const uint8_t *from = vhostpci_mem_piece(mem, gpa, len, &piece);

		if (from == NULL)
			return false;
		if (to != NULL) {
			rte_memcpy(to, from, piece);
			to += piece;
		}
	}
	return true;
}
