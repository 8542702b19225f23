/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * INFLIGHT_SHMFD of the vhost-user core: a buffer that outlives the back-end,
 * because the front-end keeps it and hands it to the next back-end.
 *
 * vhost-user means the buffer for back-ends that return the peer's buffers out
 * of order, and describes what such back-ends note. A user of this core returns
 * buffers in order: only a commit can be in flight, and the place of each ring
 * says everything. So the user alone decides what the buffer holds, and only a
 * user of this core reads it; a front-end does not look inside.
 *
 * The user reads and writes the mapped file at any time. So this code accepts
 * only a file that cannot shrink, no matter who made the file.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "vhost_user_int.h"

/* Alignment of the buffer in its file: mmap() accepts it for any page size. */
#define VU_INFLIGHT_ALIGN	UINT64_C(0x10000)
#define VU_INFLIGHT_MAX		(UINT64_C(1) << 20)

static int
vu_check_inflight(struct vu_core *core, struct vu_wire_inflight *msg)
{
	unsigned int i;

	memset(msg, 0, sizeof(*msg));
	memcpy(msg, core->payload, VU_INFLIGHT_SIZE);
	if (msg->num_queues == 0 ||
	    msg->num_queues > 2u * core->config.max_queue_pairs)
		return vu_fail(core, -EINVAL, "%u rings; allowed: 1 to %u",
			       msg->num_queues,
			       2u * core->config.max_queue_pairs);
	if (msg->queue_size == 0 || msg->queue_size > VU_MAX_RING_SIZE)
		return vu_fail(core, -EINVAL, "rings of %u entries; allowed: "
			       "1 to %u", msg->queue_size,
			       VU_MAX_RING_SIZE);
	for (i = 0; i < core->n_rings; i++) {
		if (core->rings[i].started && core->rings[i].ran)
			return vu_fail(core, -EBUSY, "the buffer changes while "
				       "ring %u is started", i);
	}
	return 0;
}

/* Only memory files have seals: see vu_check_seals(). */
static int
vu_check_inflight_fd(struct vu_core *core, int fd, uint64_t end)
{
	int flags = fcntl(fd, F_GETFL), seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return vu_fail(core, -EACCES, "the file is not open for "
			       "reading and writing");
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || seals & F_SEAL_WRITE)
		return vu_fail(core, -EPERM, "the file can shrink or cannot "
			       "be written: it is another file than the one "
			       "that the front-end was given");
	if (fstat(fd, &st) < 0)
		return vu_fail(core, -errno, "file: %s", strerror(errno));
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return vu_fail(core, -EINVAL, "the buffer ends at byte %llu of "
			       "a file of %lld bytes", (unsigned long long)end,
			       (long long)st.st_size);
	return 0;
}

static int
vu_adopt_inflight(struct vu_core *core, int fd,
		  const struct vu_wire_inflight *msg)
{
	int rc;

	core->error[0] = '\0';
	rc = core->ops->inflight(core->opaque, fd, msg->mmap_offset,
				 msg->mmap_size);
	if (rc < 0 && core->error[0] == '\0')
		vu_fail(core, rc, "the buffer cannot be mapped: %s",
			strerror(-rc));
	if (rc >= 0)
		core->has_inflight = true;
	return rc < 0 ? rc : 0;
}

int
vu_get_inflight_fd(struct vu_core *core)
{
	struct vu_wire_inflight msg;
	int rc = vu_check_inflight(core, &msg), fd;

	if (rc < 0)
		return rc;
	msg.mmap_offset = msg.mmap_size = 0;
	fd = core->ops->inflight_new(core->opaque, &msg.mmap_size);
	if (fd < 0)
		return vu_fail(core, fd, "the buffer cannot be made: %s",
			       strerror(-fd));
	rc = vu_adopt_inflight(core, fd, &msg);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	/* vu_reply() sends the payload as the reply. */
	memcpy(core->payload, &msg, VU_INFLIGHT_SIZE);
	core->inflight_fd = fd;
	return 0;
}

int
vu_set_inflight_fd(struct vu_core *core)
{
	struct vu_wire_inflight msg;
	int rc = vu_check_inflight(core, &msg);

	if (rc < 0)
		return rc;
	if (msg.mmap_size == 0 || msg.mmap_size > VU_INFLIGHT_MAX)
		return vu_fail(core, -EINVAL, "a buffer of %llu bytes; "
			       "allowed: 1 to %llu",
			       (unsigned long long)msg.mmap_size,
			       (unsigned long long)VU_INFLIGHT_MAX);
	if (msg.mmap_offset & (VU_INFLIGHT_ALIGN - 1))
		return vu_fail(core, -EINVAL, "the offset 0x%llx is not aligned "
			       "to %llu bytes",
			       (unsigned long long)msg.mmap_offset,
			       (unsigned long long)VU_INFLIGHT_ALIGN);
	if (msg.mmap_offset + msg.mmap_size < msg.mmap_offset)
		return vu_fail(core, -EOVERFLOW, "the buffer wraps around the "
			       "end of the file");
	rc = vu_check_inflight_fd(core, core->fds[0],
				  msg.mmap_offset + msg.mmap_size);
	return rc < 0 ? rc : vu_adopt_inflight(core, core->fds[0], &msg);
}

int
vu_reply_inflight(struct vu_core *core, const void *buf, size_t len)
{
	int rc = core->ops->send_fd(core->opaque, buf, len, core->inflight_fd);

	/* The user made this file, not the peer, so close() does not block. */
	close(core->inflight_fd);
	core->inflight_fd = -1;
	return rc;
}

void
vu_drop_inflight(struct vu_core *core)
{
	if (core->has_inflight)
		core->ops->inflight(core->opaque, -1, 0, 0);
	core->has_inflight = false;
}
