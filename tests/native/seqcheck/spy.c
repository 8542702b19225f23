/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Observes what the virtio driver really does, so that a test of one path
 * cannot pass on another path. The driver has no interface for that. This code
 * reads the features and the addresses of the rings from the driver's
 * vhost-user messages (the sendmsg() here comes before libc's), the burst
 * functions from the log, and the kinds of descriptors from the rings.
 */

#define _GNU_SOURCE /* fopencookie */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <rte_log.h>

#include "seqcheck.h"

#define RING_PACKED	34	/* VIRTIO_F_RING_PACKED */

enum { SET_FEATURES = 2, SET_VRING_NUM = 8, SET_VRING_ADDR = 9 };

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
			uint64_t desc;
		} ring;
	};
} __rte_packed;

static struct {
	const void *desc;
	uint32_t num;
} rings[2 * SC_MAX_QUEUES];

struct sc_spy sc_spy;

static void
note(const struct message *m, size_t len)
{
	/* Version 1, and all of it: other messages of EAL do not look so. */
	if (len < 20 || (m->flags & 3) != 1 || m->size != len - 12)
		return;
	if (m->request == SET_FEATURES)
		sc_spy.features = m->u64;
	if (m->request == SET_VRING_NUM && m->ring.index < RTE_DIM(rings))
		rings[m->ring.index].num = m->ring.num;
	if (m->request == SET_VRING_ADDR && m->ring.index < RTE_DIM(rings) &&
			len >= sizeof(*m))
		rings[m->ring.index].desc = (const void *)(uintptr_t)m->ring.desc;
}

/* Instead of libc's, also for DPDK's libraries. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (msg->msg_iovlen == 1)
		note(msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len);
	return syscall(SYS_sendmsg, fd, msg, flags);
}

/* "virtio: using WORDS Rx path on port 0" */
static void
keep_path(const char *line, const char *end, char *words, size_t size)
{
	static const char start[] = "virtio: using ";
	const char *from = strstr(line, start), *to = strstr(line, end);
	size_t len;

	if (from == NULL || to == NULL)
		return;
	from += sizeof(start) - 1;
	if (to < from)
		return;
	len = RTE_MIN((size_t)(to - from), size - 1);
	memcpy(words, from, len);
	words[len] = '\0';
}

/* EAL flushes its stream after each message. */
static ssize_t
log_line(void *cookie, const char *buf, size_t len)
{
	char line[512];

	RTE_SET_USED(cookie);
	snprintf(line, sizeof(line), "%.*s", (int)len, buf);
	keep_path(line, " Rx path", sc_spy.rx_path, sizeof(sc_spy.rx_path));
	keep_path(line, " Tx path", sc_spy.tx_path, sizeof(sc_spy.tx_path));
	fwrite(buf, 1, len, stderr);
	return len;
}

int
sc_spy_init(void)
{
	cookie_io_functions_t functions = { .write = log_line };
	FILE *stream = fopencookie(NULL, "w", functions);

	return stream == NULL ? -1 : rte_openlog_stream(stream);
}

void
sc_spy_sample(uint16_t queue)
{
	const volatile struct vring_desc *split = rings[2 * queue + 1].desc;
	const volatile struct vring_packed_desc *packed =
		rings[2 * queue + 1].desc;
	bool is_packed = sc_spy.features >> RING_PACKED & 1;
	uint32_t i;

	if (split == NULL)
		return;
	for (i = 0; i < rings[2 * queue + 1].num; i++) {
		uint16_t flags = is_packed ? packed[i].flags : split[i].flags;

		sc_spy.indirect += (flags & VRING_DESC_F_INDIRECT) != 0;
		sc_spy.chained += (flags & VRING_DESC_F_NEXT) != 0;
	}
}
