/* SPDX-License-Identifier: Apache-2.0 */

/* Records of the fuzzer's input, and the fds that come with them. */

#define _GNU_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "records.h"
#include "vhost_user_int.h"

/* One fd of each kind, dup()ed for each message. */
static int templates[N_FD_KINDS];

size_t
record_parse(const uint8_t *data, size_t size, struct record *r)
{
	if (size < RECORD_HEADER)
		return 0;
	memcpy(&r->length, data, 4);
	memcpy(&r->word, data + 4, 4);
	r->bytes = data + RECORD_HEADER;
	if (r->length > size - RECORD_HEADER)
		r->length = size - RECORD_HEADER;
	return RECORD_HEADER + r->length;
}

static int
suitable_kind(uint32_t request, unsigned int i)
{
	switch (request) {
	case VU_SET_MEM_TABLE:
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		/* Region after region of one VM is mostly one file. */
		return i % 4 == 3 ? FD_MEMORY_B : FD_MEMORY_A;
	case VU_SET_INFLIGHT_FD:
		return FD_MEMORY_B;
	default:
		return FD_EVENT;
	}
}

int
record_fd(const struct record *r, unsigned int i)
{
	unsigned int kind = i < 6 ? r->word >> (8 + 4 * i) & 0xf : 0;
	uint32_t request = 0;
	int fd;

	if (r->length >= sizeof(request))
		memcpy(&request, r->bytes, sizeof(request));
	if (kind == FD_SUITABLE || kind >= N_FD_KINDS)
		kind = suitable_kind(request, i);
	if (kind == FD_EVENT)
		fd = eventfd(0, EFD_CLOEXEC);
	else
		fd = fcntl(templates[kind], F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		abort();
	return fd;
}

void
make_fd_templates(void)
{
	char path[64];
	int fds[2], fd;

	for (fd = FD_MEMORY_A; fd <= FD_MEMORY_SHORT; fd++) {
		templates[fd] = memfd_create("fuzz", MFD_ALLOW_SEALING);
		if (ftruncate(templates[fd],
			      fd == FD_MEMORY_SHORT ? 4096 : MEMORY_SIZE) < 0)
			abort();
		if (fd != FD_MEMORY_UNSEALED &&
		    fcntl(templates[fd], F_ADD_SEALS, F_SEAL_SHRINK) < 0)
			abort();
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 templates[FD_MEMORY_A]);
	templates[FD_MEMORY_READONLY] = open(path, O_RDONLY);
	templates[FD_MEMORY_FROZEN] = memfd_create("fuzz", MFD_ALLOW_SEALING);
	if (ftruncate(templates[FD_MEMORY_FROZEN], MEMORY_SIZE) < 0 ||
	    fcntl(templates[FD_MEMORY_FROZEN], F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_WRITE) < 0)
		abort();
	templates[FD_PROCFS] = open("/proc/self/comm", O_RDWR);
	templates[FD_EVENT_SHARED] = eventfd(0, 0);
	if (pipe(fds) < 0)
		abort();
	templates[FD_PIPE] = fds[1];
	templates[FD_NULL] = open("/dev/null", O_RDWR);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		abort();
	templates[FD_SOCKET] = fds[1];
}
