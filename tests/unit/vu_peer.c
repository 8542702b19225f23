/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "vu_peer.h"

const struct vu_wire_region standard_region = {
	.gpa = MEM_GPA, .size = MEM_SIZE, .uva = MEM_UVA,
};

/* Callbacks */

static int
failing(struct peer *p, int rc)
{
	if (p->error_text != NULL)
		vu_core_set_error(&p->core, "%s", p->error_text);
	return rc;
}

static int
peer_map(void *opaque, struct vu_region *r, int fd)
{
	struct peer *p = opaque;

	if (p->map_rc < 0 || p->n_map + 1 == p->map_fails_at)
		return failing(p, p->map_rc < 0 ? p->map_rc : -ENOMEM);
	p->n_map++;
	r->addr = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       r->fd_offset);
	assert_ptr_not_equal(r->addr, MAP_FAILED);
	r->cookie = ~(uintptr_t)r->addr;
	return 0;
}

static void
peer_unmap(void *opaque, struct vu_region *r)
{
	struct peer *p = opaque;

	p->n_unmap++;
	assert_int_equal(r->cookie, ~(uintptr_t)r->addr);
	assert_int_equal(munmap(r->addr, r->size), 0);
}

/* The state that users are shown must always be usable. */
static void
check_state(struct peer *p)
{
	const struct vu_core *core = &p->core;
	unsigned int i;

	for (i = 0; i < core->n_regions; i++)
		((volatile uint8_t *)core->regions[i].addr)[0]++;
	for (i = 0; i < core->n_gone; i++)
		((volatile uint8_t *)core->gone[i].addr)[0]++;
	for (i = 0; i < core->n_gone_fds; i++)
		assert_true(fcntl(core->gone_fds[i], F_GETFD) >= 0);
	for (i = 0; i < core->n_rings; i++) {
		const struct vu_ring *r = &core->rings[i];

		if (!r->run)
			continue;
		assert_int_not_equal(r->epoch, 0);
		assert_non_null(vu_core_translate(core, r->desc, 16 * r->num));
		assert_non_null(vu_core_translate(core, r->avail, 4));
		assert_non_null(vu_core_translate(core, r->used, 4));
	}
}

static int
peer_update(void *opaque, uint32_t changed)
{
	struct peer *p = opaque;

	p->n_update++;
	p->changed = changed;
	p->all_changed |= changed;
	check_state(p);
	return p->update_rc < 0 ? failing(p, p->update_rc) : p->update_rc;
}

static uint32_t
peer_ring_base(void *opaque, unsigned int i)
{
	struct peer *p = opaque;

	assert_false(p->core.rings[i].run);
	p->n_ring_base++;
	return p->ring_base;
}

static int
peer_reply(void *opaque, const void *buf, size_t len)
{
	struct peer *p = opaque;

	if (p->send_rc < 0)
		return failing(p, p->send_rc);
	assert_in_range(len, sizeof(p->reply_hdr),
			sizeof(p->reply_hdr) + sizeof(p->reply));
	memcpy(p->reply_hdr, buf, sizeof(p->reply_hdr));
	assert_int_equal(len, sizeof(p->reply_hdr) + p->reply_hdr[2]);
	/* QEMU and virtio-user accept nothing else. */
	assert_int_equal(p->reply_hdr[1], VU_VERSION | VU_FLAG_REPLY);
	memcpy(p->reply, (const uint8_t *)buf + sizeof(p->reply_hdr),
	       p->reply_hdr[2]);
	p->n_replies++;
	return 0;
}

static void
peer_close_fd(void *opaque, int fd)
{
	struct peer *p = opaque;

	p->n_closed++;
	assert_int_equal(close(fd), 0);
}

static int
peer_inflight_new(void *opaque, uint64_t *size)
{
	struct peer *p = opaque;

	*size = 4096;
	return p->inflight_new_rc < 0 ? failing(p, p->inflight_new_rc) :
		mem_fd(4096);
}

/* The whole of it can be used. */
static int
peer_inflight(void *opaque, int fd, uint64_t offset, uint64_t size)
{
	struct peer *p = opaque;
	uint8_t *addr;

	if (fd < 0) {
		p->n_inflight_gone++;
		return 0;
	}
	if (p->inflight_rc < 0)
		return failing(p, p->inflight_rc);
	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	assert_ptr_not_equal(addr, MAP_FAILED);
	addr[0]++;
	addr[size - 1]++;
	munmap(addr, size);
	p->n_inflight++;
	p->inflight_offset = offset;
	p->inflight_size = size;
	return 0;
}

static int
peer_reply_fd(void *opaque, const void *buf, size_t len, int fd)
{
	struct peer *p = opaque;
	int rc = peer_reply(opaque, buf, len);

	if (rc < 0)
		return rc;
	p->n_reply_fds++;
	p->reply_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_true(p->reply_fd >= 0);
	return 0;
}

static const struct vu_ops peer_ops = {
	.map = peer_map,
	.unmap = peer_unmap,
	.update = peer_update,
	.ring_base = peer_ring_base,
	.send = peer_reply,
	.close_fd = peer_close_fd,
	.inflight_new = peer_inflight_new,
	.inflight = peer_inflight,
	.send_fd = peer_reply_fd,
};

/* Fixture */

int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

struct vu_config
peer_config(void)
{
	return (struct vu_config) {
		.features = ALL_FEATURES,
		.protocol_features = ALL_PROTOCOL,
		.max_queue_pairs = 2,
		.max_regions = VU_MAX_REGIONS,
		.require_seals = true,
	};
}

void
peer_configure(struct peer *p, const struct vu_config *config)
{
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_init(&p->core, config, &peer_ops, p), 0);
	assert_int_equal(vu_core_connect(&p->core), 0);
}

int
peer_setup(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct vu_config config = peer_config();

	if (p == NULL)
		return -1;
	p->fds_before = count_fds();
	if (vu_core_init(&p->core, &config, &peer_ops, p) != 0 ||
	    vu_core_connect(&p->core) != 0)
		return -1;
	*state = p;
	return 0;
}

int
peer_teardown(void **state)
{
	struct peer *p = *state;

	p->update_rc = 0;
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_resume(&p->core), 0);
	assert_int_equal(p->n_map, p->n_unmap);
	assert_int_equal(count_fds(), p->fds_before);
	/* The user closes each fd that the front-end sent; tests that send
	 * messages in parts count more. */
	assert_true(p->n_closed >= p->n_given);
	free(p);
	return 0;
}

/* Messages */

int
peer_send(struct peer *p, uint32_t request, uint32_t flags,
	  const void *payload, uint32_t size, const int *fds,
	  unsigned int n_fds)
{
	uint32_t hdr[3] = { request, VU_VERSION | flags, size };
	int rc;

	p->n_given += n_fds;
	rc = vu_core_input(&p->core, hdr, sizeof(hdr), fds, n_fds);
	if (rc == 0 && size > 0)
		rc = vu_core_input(&p->core, payload, size, NULL, 0);
	return rc;
}

int
send_u64(struct peer *p, uint32_t request, uint64_t value)
{
	return peer_send(p, request, 0, &value, sizeof(value), NULL, 0);
}

int
send_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_wire_vring_state state = { index, num };

	return peer_send(p, request, 0, &state, sizeof(state), NULL, 0);
}

int
send_empty(struct peer *p, uint32_t request)
{
	return peer_send(p, request, 0, NULL, 0, NULL, 0);
}

int
send_vring_fd(struct peer *p, uint32_t request, uint64_t index, int fd)
{
	uint64_t value = index | (fd < 0 ? VU_VRING_NOFD : 0);

	return peer_send(p, request, 0, &value, sizeof(value), &fd, fd >= 0);
}

int
send_addr(struct peer *p, uint32_t index, uint64_t desc, uint64_t avail,
	  uint64_t used)
{
	struct vu_wire_vring_addr addr = {
		.index = index, .desc = desc, .avail = avail, .used = used,
	};

	return peer_send(p, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL,
			 0);
}

int
send_mem_table(struct peer *p, const struct vu_wire_region *regions,
	       const int *fds, unsigned int n)
{
	struct vu_wire_mem_table table = { .n_regions = n };

	assert_in_range(n, 0, VU_MAX_FDS);
	for (unsigned int i = 0; i < n; i++)
		table.regions[i] = regions[i];
	return peer_send(p, VU_SET_MEM_TABLE, NEED_REPLY, &table,
			 8 + n * sizeof(*regions), fds, n);
}

int
send_mem_reg(struct peer *p, uint32_t request,
	     const struct vu_wire_region *region, int fd)
{
	struct vu_wire_mem_reg msg = { .region = *region };

	return peer_send(p, request, NEED_REPLY, &msg, sizeof(msg), &fd,
			 fd >= 0);
}

uint64_t
reply_u64(const struct peer *p)
{
	uint64_t value;

	assert_int_equal(p->reply_hdr[2], sizeof(value));
	memcpy(&value, p->reply, sizeof(value));
	return value;
}

void
refused(struct peer *p, int rc, int err, const char *text)
{
	const char *error = vu_core_error(&p->core);

	if (rc != err)
		fail_msg("returned %d instead of %d, error text: %s", rc, err,
			 error);
	if (strstr(error, text) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", error, text);
	/* Nothing more is taken from this front-end. */
	assert_int_equal(vu_core_want(&p->core), 0);
}

/* Fds */

int
mem_fd_unsealed(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

int
mem_fd(uint64_t size)
{
	int fd = mem_fd_unsealed(size);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

int
event_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Sequences */

void
negotiate(struct peer *p, uint64_t features, uint64_t protocol)
{
	accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES, protocol));
	accepted(p, send_u64(p, VU_SET_FEATURES, features));
}

void
set_standard_memory(struct peer *p)
{
	int fd = mem_fd(MEM_SIZE);

	accepted(p, send_mem_table(p, &standard_region, &fd, 1));
}

void
prepare(struct peer *p)
{
	negotiate(p, F_VERSION_1 | F_EVENT_IDX | F_PROTOCOL, ALL_PROTOCOL);
	set_standard_memory(p);
}

uint64_t
ring_uva(uint32_t index)
{
	return MEM_UVA + 64 * KIB * (index + 1);
}

void
set_up_ring(struct peer *p, uint32_t index)
{
	uint64_t uva = ring_uva(index);

	accepted(p, send_state(p, VU_SET_VRING_NUM, index, 256));
	accepted(p, send_state(p, VU_SET_VRING_BASE, index, 0));
	accepted(p, send_addr(p, index, uva, uva + 4 * KIB, uva + 8 * KIB));
}

void
run_ring(struct peer *p, uint32_t index)
{
	set_up_ring(p, index);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, index, event_fd()));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, index, 1));
	assert_true(p->core.rings[index].run);
}
