/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peer's memory: guest-physical ranges to addresses of this process.
 *
 * Only this code decides whether the peer may name a range. All arithmetic is
 * safe against overflow. The code checks the whole range both on a hit and on a
 * miss of a ring's cache.
 */

#ifndef VHOSTPCI_VRING_MEM_H
#define VHOSTPCI_VRING_MEM_H

#include <rte_branch_prediction.h>

#include "base/transport.h"

/* control: w while no burst runs; datapath: r. The regions are sorted by gpa;
 * regions that are adjacent in gpa and in addr are merged. */
struct vhostpci_mem {
	/* constant pointer: as in struct vhostpci_transport, never NULL. */
	const volatile uint64_t *grown;
	/* Of the peer's state that was adopted last. control: w at any time. */
	uint64_t generation;
	uint16_t n;
	struct vhostpci_region regions[VHOSTPCI_MAX_REGIONS];
};

/*
 * control: build @mem from @n unsorted regions. Returns 0, or -EINVAL when a
 * region is empty, wraps around or overlaps another: @mem is then empty.
 */
int vhostpci_mem_set(struct vhostpci_mem *mem,
		     const struct vhostpci_region *regions, uint16_t n);

/* Does the peer use memory of a state that was not adopted yet? */
static inline bool
vhostpci_mem_is_late(const struct vhostpci_mem *mem)
{
	return __atomic_load_n(mem->grown, __ATOMIC_RELAXED) >
		__atomic_load_n(&mem->generation, __ATOMIC_RELAXED);
}

/* The region that holds @gpa, or NULL. */
const struct vhostpci_region *
vhostpci_mem_find(const struct vhostpci_mem *mem, uint64_t gpa);

/*
 * Address of @gpa if all of [gpa, gpa + len) lies in @region, else NULL.
 * offset < size comes first, so that size - offset cannot wrap.
 */
static __rte_always_inline uint8_t *
vhostpci_region_addr(const struct vhostpci_region *region, uint64_t gpa,
		     uint64_t len)
{
	uint64_t offset = gpa - region->gpa;

	if (unlikely(offset >= region->size || len > region->size - offset))
		return NULL;
	return region->addr + offset;
}

/*
 * datapath: the address of [gpa, gpa + len) if the range is contiguous in this
 * process. Else NULL: the range is not mapped, or the caller must take it piece
 * by piece with vhostpci_mem_piece(). @cache belongs to the caller and to @mem.
 */
static __rte_always_inline uint8_t *
vhostpci_mem_addr(const struct vhostpci_mem *mem, struct vhostpci_region *cache,
		  uint64_t gpa, uint64_t len)
{
	const struct vhostpci_region *region;
	uint8_t *addr = vhostpci_region_addr(cache, gpa, len);

	if (likely(addr != NULL))
		return addr;
	region = vhostpci_mem_find(mem, gpa);
	if (region == NULL)
		return NULL;
	*cache = *region;
	return vhostpci_region_addr(cache, gpa, len);
}

/*
 * datapath: the address of the longest contiguous piece at the start of
 * [gpa, gpa + len), len > 0, and its length in *@piece; NULL when gpa is not
 * mapped or the range wraps around.
 */
uint8_t *vhostpci_mem_piece(const struct vhostpci_mem *mem, uint64_t gpa,
			    uint64_t len, uint64_t *piece);

/*
 * datapath: copy @len bytes from the peer to @dst. Returns false when part of
 * the range is not mapped; a prefix may have been copied then. @dst NULL: only
 * check.
 */
bool vhostpci_mem_read(const struct vhostpci_mem *mem, void *dst, uint64_t gpa,
		       uint64_t len);

#endif
