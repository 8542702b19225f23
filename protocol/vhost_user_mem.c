/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peer's memory: checks the files before it maps them, and maps and unmaps
 * regions when the memory changes.
 *
 * The core builds a new table beside the old one. Regions that the old table
 * has, too, move over with their mapping; the core maps the others. Only when
 * all regions are mapped does the new table replace the old one. Regions that
 * are no longer used wait in gone[] until the update is complete.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <string.h>

#include "vhost_user_int.h"

/* A region consists of whole pages: hypervisors map nothing else. */
#define VU_PAGE_MASK	UINT64_C(0xfff)

/* Do [a, a + a_len) and [b, b + b_len), which do not overflow, meet? */
static bool
vu_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* Check addresses only: alignment and overflow. */
static int
vu_check_region(struct vu_core *core, unsigned int i,
		const struct vu_wire_region *w)
{
	if (w->size == 0)
		return vu_fail(core, -EINVAL, "region %u is empty", i);
	if ((w->gpa | w->uva | w->size | w->mmap_offset) & VU_PAGE_MASK)
		return vu_fail(core, -EINVAL, "region %u is not aligned to "
			       "4096 bytes", i);
	if (w->gpa + w->size < w->gpa || w->uva + w->size < w->uva ||
	    w->mmap_offset + w->size < w->mmap_offset)
		return vu_fail(core, -EOVERFLOW, "region %u wraps around the "
			       "end of the address space", i);
	return 0;
}

/* Check that @r overlaps none of the @n regions before it. */
static int
vu_check_overlap(struct vu_core *core, const struct vu_region *regions,
		 unsigned int n, const struct vu_region *r)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct vu_region *o = &regions[i];

		if (vu_overlap(r->gpa, r->size, o->gpa, o->size))
			return vu_fail(core, -EINVAL, "regions %u and %u "
				       "overlap in guest-physical addresses",
				       i, n);
		if (vu_overlap(r->uva, r->size, o->uva, o->size))
			return vu_fail(core, -EINVAL, "regions %u and %u "
				       "overlap in user addresses", i, n);
	}
	return 0;
}

/* A sparse file costs its owner nothing, so the peer can make a file of any
 * size. But whoever maps the file spends address space, and, if it locks its
 * memory, every page. */
static int
vu_check_sum(struct vu_core *core, const struct vu_region *regions,
	     unsigned int n, const struct vu_region *r)
{
	uint64_t most = core->config.max_memory, sum = 0;
	unsigned int i;

	if (most == 0)
		return 0;
	/* The sum is at most `most`: this function checked each region when it
	 * came. */
	for (i = 0; i < n; i++)
		sum += regions[i].size;
	if (r->size <= most - sum)
		return 0;
	return vu_fail(core, -E2BIG, "region %u of %llu bytes, after %llu "
		       "bytes before it, exceeds the %llu bytes of memory "
		       "that a peer may have", n, (unsigned long long)r->size,
		       (unsigned long long)sum, (unsigned long long)most);
}

/* Check region @i and describe it in @regions[i]; nothing is mapped yet. */
static int
vu_make_region(struct vu_core *core, struct vu_region *regions, unsigned int i,
	       const struct vu_wire_region *w, int fd)
{
	struct vu_region *r = &regions[i];
	int rc;

	rc = vu_check_region(core, i, w);
	if (rc < 0)
		return rc;
	memset(r, 0, sizeof(*r));
	r->gpa = w->gpa;
	r->size = w->size;
	r->uva = w->uva;
	r->fd_offset = w->mmap_offset;
	rc = vu_check_overlap(core, regions, i, r);
	if (rc < 0)
		return rc;
	rc = vu_check_sum(core, regions, i, r);
	if (rc < 0)
		return rc;
	return vu_check_memory_fd(core, i, fd, r->fd_offset + r->size, r);
}

/* The same bytes at the same place; the user address may differ. */
static bool
vu_same_region(const struct vu_region *a, const struct vu_region *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       a->fd_offset == b->fd_offset && a->size == b->size &&
	       a->gpa == b->gpa;
}

static int
vu_map_region(struct vu_core *core, unsigned int i, struct vu_region *r, int fd)
{
	int rc;

	core->error[0] = '\0';
	rc = core->ops->map(core->opaque, r, fd);
	if (rc >= 0)
		return 0;
	if (core->error[0] == '\0')
		vu_fail(core, rc, "region %u cannot be mapped: %s", i,
			strerror(-rc));
	return rc;
}

/* Check that the message has room for its regions, and one fd for each. */
static int
vu_check_table(struct vu_core *core, const struct vu_wire_mem_table *table)
{
	/* Linux's virtio_uml sends a larger table than it needs. DPDK accepts
	 * that, too. */
	if (core->hdr.size < 8 + table->n_regions *
	    (uint64_t)sizeof(table->regions[0]))
		return vu_fail(core, -EINVAL, "%u regions in %u bytes",
			       table->n_regions, core->hdr.size);
	if (table->n_regions > core->config.max_regions)
		return vu_fail(core, -E2BIG, "%u regions, at most %u are "
			       "supported", table->n_regions,
			       core->config.max_regions);
	if (table->n_regions != core->n_fds)
		return vu_fail(core, -EINVAL, "%u regions with %u fds",
			       table->n_regions, core->n_fds);
	return 0;
}

/* The index of the present region that equals @r, or n_regions. */
static unsigned int
vu_find_same(const struct vu_core *core, const struct vu_region *r)
{
	unsigned int j;

	for (j = 0; j < core->n_regions; j++) {
		if (vu_same_region(r, &core->regions[j]))
			break;
	}
	return j;
}

/* Map the regions of @next that the old table lacks. Set kept[j] for each old
 * region j that @next has, too. If a mapping fails, undo all of them. */
static int
vu_map_table(struct vu_core *core, struct vu_region *next, unsigned int n,
	     bool *kept)
{
	bool mapped[VU_MAX_FDS] = { false };
	unsigned int i, j;
	int rc = 0;

	for (i = 0; i < n; i++) {
		j = vu_find_same(core, &next[i]);
		if (j < core->n_regions) {
			next[i].addr = core->regions[j].addr;
			next[i].cookie = core->regions[j].cookie;
			kept[j] = true;
			continue;
		}
		rc = vu_map_region(core, i, &next[i], core->fds[i]);
		if (rc < 0)
			break;
		mapped[i] = true;
	}
	/* Unmap at once: no user knows these mappings. */
	while (rc < 0 && i-- > 0) {
		if (mapped[i])
			core->ops->unmap(core->opaque, &next[i]);
	}
	return rc;
}

int
vu_set_mem_table(struct vu_core *core)
{
	struct vu_region next[VU_MAX_FDS];
	bool kept[VU_MAX_REGIONS] = { false };
	struct vu_wire_mem_table table;
	unsigned int i;
	int rc;

	memcpy(&table, core->payload, core->hdr.size);
	rc = vu_check_table(core, &table);
	for (i = 0; rc == 0 && i < table.n_regions; i++)
		rc = vu_make_region(core, next, i, &table.regions[i],
				    core->fds[i]);
	if (rc == 0)
		rc = vu_map_table(core, next, table.n_regions, kept);
	if (rc < 0)
		return rc;

	for (i = 0; i < core->n_regions; i++) {
		if (!kept[i])
			core->gone[core->n_gone++] = core->regions[i];
	}
	memcpy(core->regions, next, table.n_regions * sizeof(next[0]));
	core->n_regions = table.n_regions;
	core->changed |= VU_CHANGED_MEM;
	core->judged_ring = VU_JUDGE_ALL;
	return 0;
}

/* Does the table have this region of the same file already? QEMU before 8.0
 * sends each region once for each queue pair. Returns 1, 0 or -errno. */
static int
vu_is_repeated(struct vu_core *core, const struct vu_wire_region *region)
{
	struct vu_region r;
	unsigned int i;
	int rc;

	for (i = 0; i < core->n_regions; i++) {
		const struct vu_region *o = &core->regions[i];

		if (o->gpa != region->gpa || o->uva != region->uva ||
		    o->size != region->size ||
		    o->fd_offset != region->mmap_offset)
			continue;
		memset(&r, 0, sizeof(r));
		rc = vu_check_memory_fd(core, i, core->fds[0],
					o->fd_offset + o->size, &r);
		if (rc < 0)
			return rc;
		if (r.dev == o->dev && r.ino == o->ino)
			return 1;
	}
	return 0;
}

int
vu_add_mem_reg(struct vu_core *core)
{
	struct vu_wire_mem_reg msg;
	struct vu_region next[VU_MAX_REGIONS + 1];
	unsigned int n = core->n_regions;
	int rc;

	memcpy(&msg, core->payload, sizeof(msg));
	rc = vu_check_region(core, n, &msg.region);
	if (rc == 0)
		rc = vu_is_repeated(core, &msg.region);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (n >= core->config.max_regions)
		return vu_fail(core, -E2BIG, "more than %u regions",
			       core->config.max_regions);
	memcpy(next, core->regions, n * sizeof(next[0]));
	rc = vu_make_region(core, next, n, &msg.region, core->fds[0]);
	if (rc == 0)
		rc = vu_map_region(core, n, &next[n], core->fds[0]);
	if (rc < 0)
		return rc;
	core->regions[n] = next[n];
	core->n_regions = n + 1;
	core->changed |= VU_CHANGED_MEM;
	return 0;
}

int
vu_rem_mem_reg(struct vu_core *core)
{
	struct vu_wire_mem_reg msg;
	unsigned int i;

	memcpy(&msg, core->payload, sizeof(msg));
	/* "Identified by its guest address, user address and size. The mmap
	 * offset is ignored." */
	for (i = 0; i < core->n_regions; i++) {
		const struct vu_region *r = &core->regions[i];

		if (r->gpa == msg.region.gpa && r->uva == msg.region.uva &&
		    r->size == msg.region.size)
			break;
	}
	/* The region is gone already: QEMU before 8.0 repeats this message,
	 * too, for each queue pair. */
	if (i == core->n_regions)
		return 0;

	core->gone[core->n_gone++] = core->regions[i];
	core->n_regions--;
	memmove(&core->regions[i], &core->regions[i + 1],
		(core->n_regions - i) * sizeof(core->regions[0]));
	core->changed |= VU_CHANGED_MEM;
	return 0;
}

const struct vu_region *
vu_find_uva(const struct vu_core *core, uint64_t uva, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < core->n_regions; i++) {
		const struct vu_region *r = &core->regions[i];
		/* Wraps to something large when uva lies before r. */
		uint64_t off = uva - r->uva;

		if (off < r->size && len <= r->size - off)
			return r;
	}
	return NULL;
}

void *
vu_core_translate(const struct vu_core *core, uint64_t gpa, uint64_t len)
{
	uint8_t *start = NULL, *next = NULL;
	unsigned int i;

	/* Each turn finds the region of the next byte, so there are at most
	 * n_regions turns. `next` is the address at which that byte must be
	 * mapped. */
	for (i = 0; i < core->n_regions;) {
		const struct vu_region *r = &core->regions[i++];
		uint64_t off = gpa - r->gpa;
		uint8_t *addr;

		if (off >= r->size || r->addr == NULL)
			continue;
		addr = (uint8_t *)r->addr + off;
		if (next != NULL && addr != next)
			return NULL;
		if (start == NULL)
			start = addr;
		if (len <= r->size - off)
			return start;
		len -= r->size - off;
		next = (uint8_t *)r->addr + r->size;
		/* No overflow: vu_check_region() has checked the end of each
		 * region. */
		gpa = r->gpa + r->size;
		i = 0;
	}
	return NULL;
}

void
vu_retire_regions(struct vu_core *core)
{
	if (core->n_regions == 0)
		return;
	memcpy(&core->gone[core->n_gone], core->regions,
	       core->n_regions * sizeof(core->regions[0]));
	core->n_gone += core->n_regions;
	core->n_regions = 0;
	core->changed |= VU_CHANGED_MEM;
}

void
vu_unmap_gone(struct vu_core *core)
{
	while (core->n_gone > 0)
		core->ops->unmap(core->opaque, &core->gone[--core->n_gone]);
}
