/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where this process notes its rings' progress: a page of its own, or, for a
 * front-end that keeps one (INFLIGHT_SHMFD), a page that outlives it.
 *
 * Bursts store to the page by a pointer that does not change; what is behind it is
 * replaced by mmap(). The front-end may write it at any time. Whoever starts a ring
 * reads its entry once, and takes it for one more place that a peer gives.
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

/* "vhostpci": what is in a buffer of another back-end is not for us. */
#define MAGIC	UINT64_C(0x69637074736f6876)

struct page {
	uint64_t magic;
	uint64_t reserved[7];
	/* See struct vhostpci_transport; 0: nothing is known. */
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

/* mmap() of a file in place of the page: it replaces what it takes, even if it
 * fails in the end. So the file is one whose pages are of the usual size, and it is
 * known to let itself be mapped. */
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
	/* Nobody stops for this: stores go to the one or to the other. */
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
	/* A split ring tells by itself. */
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
