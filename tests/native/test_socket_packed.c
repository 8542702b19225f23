/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packed rings over a real socket go on at their places after the connection is
 * lost, although the front-end knows only the place of the beginning. The
 * driver finds the place in the ring, or in a buffer that the front-end keeps
 * (INFLIGHT_SHMFD).
 */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "peer/fakepacked.h"
#include "peer/frontend.h"
#include "vring_find.h"

#define FEATURES	(FP_MODERN | FP_PACKED | 1ULL << VU_F_PROTOCOL_FEATURES)
#define BEGIN		0x8000u
#define EVENT		0x2000u	/* device event suppression, from the ring on */

static struct vring_packed_desc_event *
event_of(struct frontend *fe, unsigned int i)
{
	return (void *)(fe->mem + i * 0x4000ull + EVENT);
}

/* Tell of ring @i as it is, and let it run from @base on. */
static void
run(struct frontend *fe, unsigned int i, uint32_t base)
{
	uint64_t at = FE_UVA + i * 0x4000ull;
	struct vu_wire_vring_addr addr = {
		.index = i, .desc = at, .avail = at + 0x1000,
		.used = at + EVENT,
	};
	struct vu_wire_vring_state num = { i, FE_NUM }, from = { i, base };

	fe_send(fe, VU_SET_VRING_NUM, 0, &num, sizeof(num), -1, 0);
	fe_send(fe, VU_SET_VRING_BASE, 0, &from, sizeof(from), -1, 0);
	fe_send(fe, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), -1, 0);
	fe_run_ring(fe, i);
}

/* A port, and a ring from which it will receive. */
static struct frontend *
prepare(struct fp_packed *p, bool in_order)
{
	struct frontend *fe = fe_new("", 1, false);
	uint8_t *ring = fe->mem + 0x4000;

	fp_packed_start(p, ring, ring + 0x1000, ring + EVENT, FE_NUM, in_order);
	return fe;
}

static struct frontend *
start(struct fp_packed *p)
{
	struct frontend *fe = prepare(p, false);

	fe_connect(fe, FEATURES);
	run(fe, 1, BEGIN);
	assert_true(fe_wait_link(fe, true));
	return fe;
}

/* Ask for a buffer: *@fd is its file. */
static struct vu_wire_inflight
get_buffer(struct frontend *fe, int *fd)
{
	struct {
		uint32_t hdr[3];
		struct vu_wire_inflight buffer;
	} __attribute__((packed)) reply;
	struct vu_wire_inflight buffer = { 0, 0, 2, FE_NUM, 0 };
	struct iovec iov = { &reply, sizeof(reply) };
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct pollfd p = { .fd = fe->fd, .events = POLLIN };

	fe_send(fe, VU_GET_INFLIGHT_FD, 0, &buffer, sizeof(buffer), -1, 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(recvmsg(fe->fd, &msg, MSG_CMSG_CLOEXEC),
			 sizeof(reply));
	assert_int_equal(reply.hdr[0], VU_GET_INFLIGHT_FD);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
	return reply.buffer;
}

static void
hand_back(struct frontend *fe, const struct vu_wire_inflight *buffer, int fd)
{
	fe_send(fe, VU_SET_INFLIGHT_FD, 0, buffer, sizeof(*buffer), fd, 1);
}

/* @n packets of two descriptors each; received and given back. */
static void
some_packets(struct frontend *fe, struct fp_packed *p, unsigned int n)
{
	const uint64_t gpa = FE_GPA + FE_BUFFERS;
	const struct fp_packed_buf bufs[2] = {
		{ .gpa = gpa, .len = FE_HDR },
		{ .gpa = gpa + 0x1000, .len = 60 },
	};
	uint32_t len;
	uint16_t id;
	int posted;

	while (n-- > 0) {
		posted = fp_packed_post(p, bufs, 2);
		assert_true(posted >= 0);
		assert_true(fe_wait(fe_receive(fe, 0) == 1, 10));
		assert_true(fp_packed_used(p, &id, &len));
		assert_int_equal(id, posted);
	}
}

static void
packed_ring_goes_on_after_the_connection_is_lost(void **state)
{
	struct fp_packed p;
	struct frontend *fe = start(&p);
	unsigned int times;

	(void)state;
	for (times = 0; times < 5; times++) {
		some_packets(fe, &p, 21);
		fe_disconnect(fe);
		assert_true(fe_wait_link(fe, false));
		assert_int_equal(event_of(fe, 1)->off_wrap, VRING_TRACED);
		fe_connect(fe, FEATURES);
		run(fe, 1, BEGIN);
		assert_true(fe_wait_link(fe, true));
	}
	some_packets(fe, &p, 1);
	assert_int_equal(fe_stop_ring(fe, 1), fp_packed_base(&p));
	fe_free(fe);
}

static void
ring_whose_place_is_told_is_traced_no_longer(void **state)
{
	struct fp_packed p;
	struct frontend *fe = start(&p);
	uint32_t base;

	(void)state;
	some_packets(fe, &p, 40);
	assert_int_equal(event_of(fe, 1)->off_wrap, VRING_TRACED);
	base = fe_stop_ring(fe, 1);
	assert_int_equal(base, fp_packed_base(&p));
	assert_int_equal(event_of(fe, 1)->off_wrap, 0);
	run(fe, 1, base);
	some_packets(fe, &p, 3);
	assert_int_equal(event_of(fe, 1)->off_wrap, VRING_TRACED);
	fe_free(fe);
}

/* In order, where the ring tells nothing. */
static void
packed_ring_in_order_goes_on_by_the_buffer(void **state)
{
	const uint64_t features = FEATURES | FP_IN_ORDER;
	struct vu_wire_inflight buffer;
	struct fp_packed p;
	struct frontend *fe = prepare(&p, true);
	unsigned int times;
	int fd;

	(void)state;
	fe_connect(fe, features);
	buffer = get_buffer(fe, &fd);
	for (times = 0; times < 5; times++) {
		if (times > 0)
			fe_connect(fe, features);
		hand_back(fe, &buffer, fd);
		run(fe, 1, BEGIN);
		assert_true(fe_wait_link(fe, true));
		some_packets(fe, &p, 21);
		fe_disconnect(fe);
		assert_true(fe_wait_link(fe, false));
		assert_int_equal(event_of(fe, 1)->off_wrap, 0);
	}
	close(fd);
	fe_free(fe);
}

/* Where the front-end was told the place, it is its word that counts. */
static void
ring_whose_place_is_told_is_forgotten_by_the_buffer(void **state)
{
	const uint64_t features = FEATURES | FP_IN_ORDER;
	struct vu_wire_inflight buffer;
	struct fp_packed p;
	struct frontend *fe = prepare(&p, true);
	uint8_t *ring = fe->mem + 0x4000;
	int fd;

	(void)state;
	fe_connect(fe, features);
	buffer = get_buffer(fe, &fd);
	run(fe, 1, BEGIN);
	assert_true(fe_wait_link(fe, true));
	some_packets(fe, &p, 21);
	assert_int_equal(fe_stop_ring(fe, 1), fp_packed_base(&p));
	/* The driver makes it anew. */
	memset(ring, 0, 0x4000);
	fp_packed_start(&p, ring, ring + 0x1000, ring + EVENT, FE_NUM, true);
	hand_back(fe, &buffer, fd);
	run(fe, 1, BEGIN);
	some_packets(fe, &p, 21);
	close(fd);
	fe_free(fe);
}

static void
buffer_full_of_nonsense_is_harmless(void **state)
{
	const uint64_t features = FEATURES | FP_IN_ORDER;
	struct vu_wire_inflight buffer;
	struct fp_packed p;
	struct frontend *fe = prepare(&p, true);
	uint64_t *page;
	int fd;

	(void)state;
	fe_connect(fe, features);
	buffer = get_buffer(fe, &fd);
	page = mmap(NULL, buffer.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, buffer.mmap_offset);
	assert_true(page != MAP_FAILED);
	/* Behind the mark that says whose it is. */
	memset(page + 1, 0xff, buffer.mmap_size - sizeof(*page));
	hand_back(fe, &buffer, fd);
	run(fe, 1, BEGIN);
	assert_true(fe_wait_link(fe, true));
	some_packets(fe, &p, 21);
	fe_disconnect(fe);
	/* Another back-end's. */
	memset(page, 0xff, buffer.mmap_size);
	fe_connect(fe, features);
	hand_back(fe, &buffer, fd);
	run(fe, 1, p.avail | p.avail_wrap << 15);
	assert_true(fe_wait_link(fe, true));
	some_packets(fe, &p, 21);
	munmap(page, buffer.mmap_size);
	close(fd);
	fe_free(fe);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			packed_ring_goes_on_after_the_connection_is_lost),
		cmocka_unit_test(ring_whose_place_is_told_is_traced_no_longer),
		cmocka_unit_test(packed_ring_in_order_goes_on_by_the_buffer),
		cmocka_unit_test(
			ring_whose_place_is_told_is_forgotten_by_the_buffer),
		cmocka_unit_test(buffer_full_of_nonsense_is_harmless),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
