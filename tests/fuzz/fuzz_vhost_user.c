/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A libFuzzer target for the vhost-user core: a hostile front-end with real
 * fds, and a user whose callbacks fail or wait when the input says so. After
 * each step the program checks the promises of vhost_user.h, and aborts if one
 * is broken.
 *
 * records.h describes the input. One file: all functions use the same user.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "records.h"
#include "vhost_user_int.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: broken: %s (after: %s)\n", \
				__FILE__, __LINE__, #cond, \
				vu_core_error(&u.core)); \
			abort(); \
		} \
	} while (0)

/* More than the core may ever hold: see vu_core.gone_fds. */
#define MAX_HELD_FDS	(6 * VU_MAX_RINGS + 2 * VU_MAX_FDS + 1)
#define MAX_MAPPINGS	(2 * VU_MAX_REGIONS + VU_MAX_FDS)

/* The user of the core. */
static struct {
	struct vu_core core;
	/* What was mapped, and whether the user may still use it. */
	struct {
		void *addr;
		uint64_t size;
		bool told;
	} mappings[MAX_MAPPINGS];
	unsigned int n_mapped;
	unsigned int replies;		/* to the message being run */
	bool in_core;			/* vu_core_input() or _resume() runs */
	/* Events. */
	bool wait, update_fails, send_fails;
	unsigned int map_fails_in;
	size_t chunk;
} u;

static int first_free_fd;

/* Callbacks */

static int
fuzz_map(void *opaque, struct vu_region *r, int fd)
{
	unsigned int i;

	(void)opaque;
	if (u.map_fails_in > 0 && --u.map_fails_in == 0)
		return -ENOMEM;
	for (i = 0; u.mappings[i].addr != NULL; i++)
		CHECK(i + 1 < MAX_MAPPINGS);
	CHECK(r->size > 0 && r->size % 4096 == 0);
	CHECK(r->fd_offset + r->size <= MEMORY_SIZE);
	r->addr = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE, fd, r->fd_offset);
	CHECK(r->addr != MAP_FAILED);
	/* Within the file: a SIGBUS otherwise. */
	((volatile uint8_t *)r->addr)[0] = 0;
	((volatile uint8_t *)r->addr)[r->size - 1] = 0;
	r->cookie = i;
	u.mappings[i].addr = r->addr;
	u.mappings[i].size = r->size;
	u.n_mapped++;
	return 0;
}

static void
fuzz_unmap(void *opaque, struct vu_region *r)
{
	uint64_t i = r->cookie;

	(void)opaque;
	CHECK(i < MAX_MAPPINGS && u.mappings[i].addr == r->addr);
	CHECK(u.mappings[i].size == r->size);
	CHECK(!u.mappings[i].told);
	CHECK(munmap(r->addr, r->size) == 0);
	u.mappings[i].addr = NULL;
	u.n_mapped--;
}

/* From now on the user uses the core's present state; and also the old one,
 * unless @only. */
static void
adopt(bool only)
{
	unsigned int i;

	for (i = 0; only && i < MAX_MAPPINGS; i++)
		u.mappings[i].told = false;
	for (i = 0; i < u.core.n_regions; i++)
		u.mappings[u.core.regions[i].cookie].told = true;
}

static void check_rings(void);

static int
fuzz_update(void *opaque, uint32_t changed)
{
	(void)opaque;
	CHECK(changed != 0);
	check_rings();
	if (u.update_fails) {
		u.update_fails = false;
		if (!u.core.connected)
			adopt(true);
		return -EIO;
	}
	adopt(!u.wait);
	return u.wait ? VU_WAIT : 0;
}

static uint32_t
fuzz_ring_base(void *opaque, unsigned int i)
{
	(void)opaque;
	CHECK(i < u.core.n_rings && !u.core.rings[i].run);
	return u.core.rings[i].base + 3;
}

static int
fuzz_send(void *opaque, const void *buf, size_t len)
{
	uint32_t hdr[3];

	(void)opaque;
	CHECK(u.in_core && u.replies++ == 0);
	CHECK(len == sizeof(hdr) + 8);
	memcpy(hdr, buf, sizeof(hdr));
	CHECK(hdr[0] == u.core.hdr.request);
	CHECK(hdr[1] == (VU_VERSION | VU_FLAG_REPLY));
	CHECK(hdr[2] == 8);
	if (u.send_fails) {
		u.send_fails = false;
		return -EPIPE;
	}
	return 0;
}

static int
fuzz_inflight_new(void *opaque, uint64_t *size)
{
	int fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)opaque;
	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	*size = 4096;
	return fd;
}

static int
fuzz_inflight(void *opaque, int fd, uint64_t offset, uint64_t size)
{
	volatile uint8_t *addr;
	unsigned int i;

	(void)opaque;
	CHECK(u.core.has_inflight || fd >= 0);
	if (fd < 0) {
		CHECK(!u.core.connected);
		return 0;
	}
	for (i = 0; i < VU_MAX_RINGS; i++)
		CHECK(!u.core.rings[i].run);
	if (u.map_fails_in > 0 && --u.map_fails_in == 0)
		return -ENOMEM;
	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	CHECK(addr != MAP_FAILED);
	addr[0] = addr[size - 1] = 0;
	munmap((void *)(uintptr_t)addr, size);
	return 0;
}

static int
fuzz_send_fd(void *opaque, const void *buf, size_t len, int fd)
{
	uint32_t hdr[3];

	(void)opaque;
	CHECK(u.in_core && u.replies++ == 0);
	memcpy(hdr, buf, sizeof(hdr));
	CHECK(hdr[0] == VU_GET_INFLIGHT_FD && u.core.has_inflight);
	CHECK(len == sizeof(hdr) + hdr[2] && hdr[2] >= VU_INFLIGHT_SIZE);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	if (u.send_fails) {
		u.send_fails = false;
		return -EPIPE;
	}
	return 0;
}

static const struct vu_ops fuzz_ops = {
	.map = fuzz_map,
	.unmap = fuzz_unmap,
	.update = fuzz_update,
	.ring_base = fuzz_ring_base,
	.send = fuzz_send,
	.inflight_new = fuzz_inflight_new,
	.inflight = fuzz_inflight,
	.send_fd = fuzz_send_fd,
};

/* Promises */

static bool
within_memory(uint64_t gpa, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < u.core.n_regions; i++) {
		const struct vu_region *r = &u.core.regions[i];

		if (gpa >= r->gpa && len <= r->size &&
		    gpa - r->gpa <= r->size - len)
			return true;
	}
	return false;
}

static void
check_rings(void)
{
	bool event = vu_bit(u.core.features, VU_RING_F_EVENT_IDX);
	bool packed = vu_bit(u.core.features, VU_RING_F_PACKED);
	unsigned int i;

	CHECK(u.core.n_rings <= 2u * u.core.config.max_queue_pairs);
	for (i = 0; i < VU_MAX_RINGS; i++) {
		const struct vu_ring *r = &u.core.rings[i];
		uint64_t num = r->num, trailer = event ? 2 : 0;

		if (!r->run)
			continue;
		CHECK(u.core.connected && i < u.core.n_rings);
		CHECK(r->started && r->have_num && r->have_addr);
		CHECK(r->epoch != 0);
		CHECK(num >= 1 && num <= 32768);
		CHECK(r->desc % 16 == 0 && within_memory(r->desc, 16 * num));
		CHECK(vu_core_translate(&u.core, r->desc, 16 * num) != NULL);
		if (packed) {
			CHECK((r->base & 0x7fff) < num);
			CHECK(r->avail % 4 == 0 && within_memory(r->avail, 4));
			CHECK(r->used % 4 == 0 && within_memory(r->used, 4));
			continue;
		}
		CHECK((num & (num - 1)) == 0 && r->base <= UINT16_MAX);
		CHECK(r->avail % 2 == 0);
		CHECK(within_memory(r->avail, 4 + 2 * num + trailer));
		CHECK(r->used % 4 == 0);
		CHECK(within_memory(r->used, 4 + 8 * num + trailer));
	}
}

static void
check_regions(void)
{
	const struct vu_core *core = &u.core;
	unsigned int i, j;

	CHECK(core->n_regions <= core->config.max_regions);
	CHECK(u.n_mapped == core->n_regions + core->n_gone);
	for (i = 0; i < core->n_regions; i++) {
		const struct vu_region *a = &core->regions[i];

		CHECK(a->addr == u.mappings[a->cookie].addr);
		for (j = 0; j < i; j++) {
			const struct vu_region *b = &core->regions[j];

			CHECK(a->gpa + a->size <= b->gpa ||
			      b->gpa + b->size <= a->gpa);
			CHECK(a->uva + a->size <= b->uva ||
			      b->uva + b->size <= a->uva);
		}
	}
}

/* The number of open fds, from the first one that the core could get. */
static unsigned int
open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = first_free_fd; fd < first_free_fd + MAX_HELD_FDS; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	}
	return n;
}

/* The number of fds that the core says it holds; all must be open. */
static unsigned int
held_fds(void)
{
	const struct vu_core *core = &u.core;
	unsigned int i, n = 0;

#define HELD(fd) ((fd) < 0 ? 0 : (fcntl(fd, F_GETFD) < 0 ? abort(), 0 : 1))
	for (i = 0; i < VU_MAX_RINGS; i++)
		n += HELD(core->rings[i].kick_fd) +
		     HELD(core->rings[i].call_fd) +
		     HELD(core->rings[i].err_fd);
	for (i = 0; i < core->n_gone_fds; i++)
		n += HELD(core->gone_fds[i]);
	for (i = 0; i < core->n_fds; i++)
		n += HELD(core->fds[i]);
	return n + HELD(core->backend_req_fd);
#undef HELD
}

static void
check(void)
{
	const struct vu_core *core = &u.core;
	bool held_back = !core->connected || core->waiting || core->failed;

	CHECK((vu_core_want(core) == 0) == held_back);
	CHECK(core->waiting || core->failed || core->n_gone == 0);
	CHECK(core->waiting || core->failed || core->n_gone_fds == 0);
	CHECK((core->features & ~(core->config.features |
	       UINT64_C(1) << VU_F_PROTOCOL_FEATURES)) == 0);
	CHECK((core->protocol_features & ~core->config.protocol_features) ==
	      0);
	CHECK(strlen(core->error) < sizeof(core->error));
	CHECK(strnlen(core->name, sizeof(core->name)) < sizeof(core->name));
	CHECK(core->has_identity || core->name[0] == '\0');
	CHECK(core->inflight_fd < 0);
	CHECK(core->connected || core->waiting || !core->has_inflight);
	check_regions();
	check_rings();
}

/* Steps */

static void
reconnect(void)
{
	if (vu_core_disconnect(&u.core) == VU_WAIT) {
		check();
		adopt(true);
		CHECK(vu_core_resume(&u.core) == 0);
	}
	CHECK(u.n_mapped == 0 && held_fds() == 0);
	CHECK(!u.core.waiting && !u.core.failed);
	/* Also this update may fail. */
	if (vu_core_connect(&u.core) < 0) {
		CHECK(vu_core_disconnect(&u.core) >= 0);
		if (u.core.waiting) {
			adopt(true);
			CHECK(vu_core_resume(&u.core) == 0);
		}
		CHECK(vu_core_connect(&u.core) == 0);
	}
}

static void
resume(void)
{
	int rc;

	adopt(true);
	u.in_core = true;
	rc = vu_core_resume(&u.core);
	u.in_core = false;
	check();
	if (rc < 0)
		reconnect();
}

/* The bytes of a record, as a socket would give them. */
static void
feed(const struct record *r)
{
	int fds[VU_MAX_FDS + 2];
	unsigned int i, n_fds = r->word & 0xff;
	size_t done = 0;
	int rc = 0;

	if (u.core.waiting)
		resume();
	if (u.core.waiting)	/* the connect of a failed resume waits */
		resume();
	n_fds = n_fds > VU_MAX_FDS + 2 ? VU_MAX_FDS + 2 : n_fds;
	for (i = 0; i < n_fds; i++)
		fds[i] = record_fd(r, i);
	while (rc == 0 && done < r->length) {
		size_t n = vu_core_want(&u.core);

		if (n == 0) {
			resume();
			continue;
		}
		if (n > r->length - done)
			n = r->length - done;
		if (n > u.chunk)
			n = u.chunk;
		u.in_core = true;
		u.replies = 0;
		rc = vu_core_input(&u.core, r->bytes + done, n, fds, n_fds);
		u.in_core = false;
		n_fds = 0;
		done += n;
		check();
	}
	if (rc < 0) {
		CHECK(vu_core_error(&u.core)[0] != '\0');
		reconnect();
	}
}

static void
configure(unsigned int choice)
{
	const uint64_t protocol = UINT64_C(1) << VU_PROTOCOL_F_MQ |
		UINT64_C(1) << VU_PROTOCOL_F_REPLY_ACK |
		UINT64_C(1) << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS;
	/* As make_seeds.py has it. */
	struct vu_config config = {
		.features = ((UINT64_C(1) << 36) - 1) &
			~(UINT64_C(1) << VU_F_LOG_ALL) &
			~(UINT64_C(1) << VU_F_IOMMU_PLATFORM),
		.protocol_features = choice & 1 ? protocol : protocol |
			UINT64_C(1) << VU_PROTOCOL_F_RARP |
			UINT64_C(1) << VU_PROTOCOL_F_NET_MTU |
			UINT64_C(1) << VU_PROTOCOL_F_BACKEND_REQ |
			UINT64_C(1) << VU_PROTOCOL_F_INFLIGHT_SHMFD |
			UINT64_C(1) << VU_PROTOCOL_F_RESET_DEVICE |
			UINT64_C(1) << VU_PROTOCOL_F_STATUS |
			UINT64_C(1) << VU_PROTOCOL_F_IDENTITY,
		.max_queue_pairs = choice & 2 ? VU_MAX_RINGS / 2 : 2,
		.max_regions = choice & 4 ? VU_MAX_REGIONS : 4,
		.max_memory = choice & 16 ? UINT64_C(8) << 20 : 0,
		.require_seals = choice & 8,
	};
	bool wait = u.wait;

	u.wait = u.update_fails = false;
	vu_core_disconnect(&u.core);
	vu_core_resume(&u.core);
	CHECK(vu_core_init(&u.core, &config, &fuzz_ops, NULL) == 0);
	CHECK(vu_core_connect(&u.core) == 0);
	u.wait = wait;
}

static void
unwanted_input(void)
{
	uint8_t bytes[VU_HDR_SIZE + 1] = { VU_GET_FEATURES };
	size_t len = vu_core_want(&u.core) + 1;
	struct record r = { .length = 0 };
	int fd = record_fd(&r, 0);

	if (len > sizeof(bytes))
		len = sizeof(bytes);
	if (len <= vu_core_want(&u.core)) {
		close(fd);
		return;
	}
	CHECK(vu_core_input(&u.core, bytes, len, &fd, 1) == -EINVAL);
	check();
	reconnect();
}

static void
happen(uint32_t word)
{
	unsigned int arg = word >> 8 & 0xff;

	switch (word & 0xff) {
	case EV_RESUME: resume(); break;
	case EV_RECONNECT: reconnect(); break;
	case EV_WAIT: u.wait = arg & 1; break;
	case EV_UPDATE_FAILS: u.update_fails = true; break;
	case EV_MAP_FAILS: u.map_fails_in = arg; break;
	case EV_SEND_FAILS: u.send_fails = true; break;
	case EV_BREAK_RING: vu_core_break_ring(&u.core, arg); break;
	case EV_CHUNK: u.chunk = arg == 0 ? SIZE_MAX : arg; break;
	case EV_CONFIGURE: configure(arg); break;
	case EV_UNWANTED: unwanted_input(); break;
	}
	check();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_fd_templates();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record r;
	unsigned int before;
	size_t n;

	first_free_fd = dup(0);
	close(first_free_fd);
	before = open_fds();
	memset(&u, 0, sizeof(u));
	u.chunk = SIZE_MAX;
	configure(4);
	while ((n = record_parse(data, size, &r)) > 0) {
		if (r.length == 0)
			happen(r.word);
		else
			feed(&r);
		CHECK(held_fds() <= MAX_HELD_FDS);
		data += n;
		size -= n;
	}
	u.wait = u.update_fails = false;
	adopt(true);
	vu_core_disconnect(&u.core);
	CHECK(vu_core_resume(&u.core) == 0);
	CHECK(u.n_mapped == 0 && open_fds() == before);
	return 0;
}
