/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * File descriptors of the vhost-user core: the checks that come before any use,
 * and the functions that close.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "vhost_user_int.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/*
 * A page fault on a mapping runs code of the file's file system, and FUSE or
 * NFS could stall the fault for ever. So this accepts only the kernel's own
 * memory files. Only these have seals (F_SEAL_SEAL if a file takes no seals).
 * F_GET_SEALS calls no file system, while fstat() and fstatfs() would.
 */
static int
vu_check_seals(struct vu_core *core, unsigned int i, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return vu_fail(core, -EINVAL, "region %u is neither on tmpfs "
			       "nor on hugetlbfs", i);
	if (core->config.require_seals && !(seals & F_SEAL_SHRINK))
		return vu_fail(core, -EPERM, "the file of region %u can "
			       "shrink: it lacks F_SEAL_SHRINK", i);
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return vu_fail(core, -EACCES, "the file of region %u is "
			       "sealed against writing", i);
	return 0;
}

int
vu_check_memory_fd(struct vu_core *core, unsigned int i, int fd, uint64_t end,
		   struct vu_region *r)
{
	struct stat st;
	int flags, rc;

	flags = fcntl(fd, F_GETFL);
	/* This refuses an O_PATH fd, too: its access mode reads as O_RDONLY. */
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return vu_fail(core, -EACCES, "the file of region %u is not "
			       "open for reading and writing", i);
	rc = vu_check_seals(core, i, fd);
	if (rc < 0)
		return rc;
	/* fstat() comes after the check of the seals: a sealed file cannot
	 * shrink any more. */
	if (fstat(fd, &st) < 0)
		return vu_fail(core, -errno, "file of region %u: %s", i,
			       strerror(errno));
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return vu_fail(core, -EINVAL, "region %u ends at byte %llu "
			       "of a file of %lld bytes", i,
			       (unsigned long long)end, (long long)st.st_size);
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	return 0;
}

/*
 * Is @fd an eventfd? The name in /proc/self/fd tells. A name of a file or a
 * memfd always begins with a slash, so none can look like this one. readlink()
 * does not ask the file itself, so the answer comes at once for any kind of
 * file.
 */
static int
vu_is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(name) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (n < 0)
		return -errno;
	return n == sizeof(name) - 1 && memcmp(link, name, n) == 0;
}

/* Read what the kernel tells about the eventfd @fd into @buf, NUL terminated.
 * For another kind of file this may take seconds: the kernel lists each watch
 * of an epoll descriptor. */
static int
vu_read_fdinfo(int fd, char *buf, size_t size)
{
	char path[32];
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	n = read(info, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(info);
	if (n < 0)
		return n;
	buf[n] = '\0';
	return 0;
}

int
vu_check_eventfd(struct vu_core *core, int fd, int *id)
{
	static const char id_key[] = "eventfd-id:";
	char info[512];
	const char *p;
	int rc, flags;

	rc = vu_is_eventfd(fd);
	if (rc < 0)
		return vu_fail(core, rc, "cannot tell whether the fd is an "
			       "eventfd: /proc/self/fd: %s", strerror(-rc));
	if (rc == 0)
		return vu_fail(core, -EINVAL, "the fd is not an eventfd");
	rc = vu_read_fdinfo(fd, info, sizeof(info));
	if (rc < 0)
		return vu_fail(core, rc, "cannot tell one eventfd from "
			       "another: /proc/self/fdinfo: %s", strerror(-rc));

	/* Kernels before 5.2 give no identity. */
	p = strstr(info, id_key);
	*id = p == NULL ? -1 : atoi(p + strlen(id_key));

	/*
	 * O_NONBLOCK belongs to the open file, which the front-end shares. The
	 * front-end may have cleared the flag when it sent the fd (QEMU clears
	 * the flag of each fd that its socket channel receives), and may clear
	 * the flag again. So a user of the fd must not rely on O_NONBLOCK.
	 */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return vu_fail(core, -errno, "flags of the eventfd: %s",
			       strerror(errno));
	return 0;
}

int
vu_take_fd(struct vu_core *core, unsigned int i)
{
	int fd = core->fds[i];

	core->fds[i] = -1;
	return fd;
}

void
vu_close_fd(struct vu_core *core, int fd)
{
	if (fd < 0)
		return;
	if (core->ops->close_fd != NULL)
		core->ops->close_fd(core->opaque, fd);
	else
		close(fd);
}

void
vu_close_message_fds(struct vu_core *core)
{
	unsigned int i;

	for (i = 0; i < core->n_fds; i++) {
		vu_close_fd(core, core->fds[i]);
		core->fds[i] = -1;
	}
	core->n_fds = 0;
}

void
vu_retire_fd(struct vu_core *core, int *slot)
{
	static_assert(sizeof(core->gone_fds) / sizeof(core->gone_fds[0]) >=
		      3 * VU_MAX_RINGS + 1, "a message replaces one fd, and a "
		      "disconnect on top of it retires three a ring");

	if (*slot < 0)
		return;
	core->gone_fds[core->n_gone_fds++] = *slot;
	*slot = -1;
	core->changed |= VU_CHANGED_FDS;
}

void
vu_close_retired_fds(struct vu_core *core)
{
	while (core->n_gone_fds > 0)
		vu_close_fd(core, core->gone_fds[--core->n_gone_fds]);
}
