/* SPDX-License-Identifier: BSD-3-Clause */

/* The peer's memory, from the descriptors that its front-end passes. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "socket/socket.h"

/* The unit of mappings of @fd, bytes; 0: error, errno set. */
static uint64_t
map_unit(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return 0;
	return fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize :
		(uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Map without populating. If the application called mlockall(MCL_FUTURE), a
 * plain mmap() of a sparse file would allocate every page of the file, and the
 * peer decides the size. The kernel populates neither memory that is not
 * accessible, nor, when it becomes accessible, memory that is not locked any
 * more.
 */
static uint8_t *
map_unpopulated(int fd, uint64_t offset, uint64_t len)
{
	void *base = mmap(NULL, len, PROT_NONE, MAP_SHARED, fd, offset);
	int error;

	if (base == MAP_FAILED)
		return NULL;
	if (munlock(base, len) == 0 &&
	    mprotect(base, len, PROT_READ | PROT_WRITE) == 0)
		return base;
	error = errno;
	munmap(base, len);
	errno = error;
	return NULL;
}

/* As lib/vhost does: the node of the first page of a ring's descriptors. */
int8_t
vhostpci_socket_node(const struct vu_core *core)
{
	unsigned int i, k;
	int node;

	for (i = 0; i < core->n_rings; i++) {
		const struct vu_ring *ring = &core->rings[i];

		for (k = 0; ring->run && k < core->n_regions; k++) {
			const struct vu_region *r = &core->regions[k];

			if (ring->desc - r->gpa >= r->size)
				continue;
			if (syscall(SYS_get_mempolicy, &node, NULL, 0,
				    (uint8_t *)r->addr + (ring->desc - r->gpa),
				    MPOL_F_NODE | MPOL_F_ADDR) != 0)
				return -1;
			return RTE_MIN(node, INT8_MAX);
		}
	}
	return -1;
}

int
vhostpci_socket_map(void *opaque, struct vu_region *r, int fd)
{
	struct vhostpci_socket *s = opaque;
	uint64_t unit = map_unit(fd), offset, len;
	uint8_t *base;
	int error;

	if (unit == 0)
		goto fail;
	/* The core has checked that neither sum wraps. */
	offset = RTE_ALIGN_FLOOR(r->fd_offset, unit);
	len = RTE_ALIGN_CEIL(r->fd_offset - offset + r->size, unit);
	base = map_unpopulated(fd, offset, len);
	if (base == NULL)
		goto fail;
	/* Keep the peer's data out of core dumps of this process. */
	madvise(base, len, MADV_DONTDUMP);
	r->addr = base + (r->fd_offset - offset);
	/* Both for vhostpci_socket_unmap(): len is a multiple of unit >= 4096. */
	r->cookie = len | (uint64_t)__builtin_ctzll(unit);
	return 0;
fail:
	error = errno;
	vu_core_set_error(&s->core, "cannot map a region: %s", strerror(error));
	return -error;
}

void
vhostpci_socket_unmap(void *opaque, struct vu_region *r)
{
	struct vhostpci_socket *s = opaque;
	uint64_t unit = 1ULL << (r->cookie & 63);
	uint8_t *base = (uint8_t *)((uintptr_t)r->addr & ~(unit - 1));

	/* Nobody uses the region any more; freeing its pages takes long. */
	vhostpci_closer_unmap(s->closer, base, r->cookie & ~63ULL);
}
