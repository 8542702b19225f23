/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The page in which this process notes the progress of its rings: a private
 * page, or a page of a file that the front-end keeps (INFLIGHT_SHMFD), which
 * outlives this process.
 *
 * Bursts store to the page by a pointer that does not change; mmap() replaces
 * the memory behind the pointer. The front-end may write to a shared page at
 * any time. So the code that starts a ring reads the ring's entry once, and
 * trusts it no more than any other value of a peer.
 */

#define _GNU_SOURCE /* memfd_create */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/virtio_config.h>
#include <sys/mman.h>
#include <sys/statfs.h>

#include "socket/socket.h"
#include "vring_commit.h"

/* "vhostpci": a buffer without this value is new, or another back-end wrote
 * it. */
#define MAGIC	UINT64_C(0x69637074736f6876)

struct page {
	uint64_t magic;
	uint64_t reserved[7];
	/* See struct vhostpci_transport; 0: unknown. */
	uint64_t progress[VHOSTPCI_MAX_RINGS];
};
#define SIZE	4096u
static_assert(sizeof(struct page) <= SIZE, "one page of any size");

uint64_t *
vhostpci_inflight_new(void)
{
	struct page *page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page->progress;
}

static struct page *
page_of(uint64_t *progress)
{
	return (void *)((uint8_t *)progress - offsetof(struct page, progress));
}

void
vhostpci_inflight_free(uint64_t *progress)
{
	if (progress != NULL)
		munmap(page_of(progress), SIZE);
}

int
vhostpci_inflight_file(void *opaque, uint64_t *size)
{
	int fd = memfd_create("vhostpci-inflight",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	RTE_SET_USED(opaque);
	*size = SIZE;
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, SIZE) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
		  F_SEAL_SEAL) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* Map the file @fd in place of @page. Even an mmap() that fails in the end may
 * already have unmapped the page. So first make sure that the mapping succeeds:
 * the file must be on tmpfs, where pages have the usual size, and a trial
 * mapping elsewhere must succeed. */
static int
map_file(struct page *page, int fd, uint64_t offset)
{
	struct statfs fs;
	void *trial;

	if (fstatfs(fd, &fs) != 0)
		return -errno;
	if (fs.f_type != TMPFS_MAGIC)
		return -EINVAL;
	trial = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     offset);
	if (trial == MAP_FAILED)
		return -errno;
	munmap(trial, SIZE);
	return mmap(page, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    fd, offset) == MAP_FAILED ? -errno : 0;
}

int
vhostpci_inflight_adopt(void *opaque, int fd, uint64_t offset, uint64_t size)
{
	struct vhostpci_socket *s = opaque;
	struct page *page = page_of(s->progress);
	int rc;

	s->from_inflight = 0;
	/* Bursts go on meanwhile: each store goes to the old memory or to the
	 * new. */
	if (fd < 0) {
		if (mmap(page, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return -errno;
		return 0;
	}
	if (size < SIZE) {
		vu_core_set_error(&s->core, "a buffer of %llu bytes is not "
				  "one of ours", (unsigned long long)size);
		return -EINVAL;
	}
	rc = map_file(page, fd, offset);
	if (rc < 0)
		return rc;
	if (page->magic == MAGIC) {
		s->from_inflight = UINT64_MAX;
	} else {
		memset(page, 0, sizeof(*page));
		page->magic = MAGIC;
	}
	return 0;
}

uint32_t
vhostpci_inflight_base(const struct vhostpci_socket *s, unsigned int i)
{
	const struct vu_ring *r = &s->core.rings[i];
	uint64_t progress;

	if (!r->run || !(s->from_inflight >> i & 1))
		return r->base;
	progress = __atomic_load_n(&s->progress[i], __ATOMIC_RELAXED);
	/* A split ring needs no note: its used index tells the place. */
	if (progress == 0 ||
	    !(s->core.features & UINT64_C(1) << VIRTIO_F_RING_PACKED) ||
	    !vring_place_is_valid(progress, r->num) ||
	    !vring_place_is_valid(progress >> 16, r->num))
		return r->base;
	return progress;
}

void
vhostpci_inflight_adopted(struct vhostpci_socket *s)
{
	unsigned int i;

	for (i = 0; i < s->core.n_rings; i++) {
		if (s->core.rings[i].run)
			s->from_inflight &= ~(UINT64_C(1) << i);
	}
}

void
vhostpci_inflight_forget(struct vhostpci_socket *s, unsigned int i)
{
	s->from_inflight &= ~(UINT64_C(1) << i);
	__atomic_store_n(&s->progress[i], 0, __ATOMIC_RELAXED);
}
