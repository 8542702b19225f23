/* SPDX-License-Identifier: Apache-2.0 */

/* The vhost-user core: a buffer that the front-end keeps (INFLIGHT_SHMFD). */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vu_peer.h"

#define F_INFLIGHT	BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD)

static struct vu_wire_inflight
wire(uint64_t size, uint64_t offset)
{
	return (struct vu_wire_inflight) { size, offset, 4, 256, 0 };
}

static int
set(struct peer *p, struct vu_wire_inflight msg, int fd)
{
	return peer_send(p, VU_SET_INFLIGHT_FD, 0, &msg, sizeof(msg), &fd, 1);
}

static int
get(struct peer *p, struct vu_wire_inflight msg)
{
	return peer_send(p, VU_GET_INFLIGHT_FD, 0, &msg, sizeof(msg), NULL, 0);
}

/* A session in which INFLIGHT_SHMFD is negotiated. */
static struct peer *
begin(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();

	config.protocol_features |= F_INFLIGHT;
	peer_configure(p, &config);
	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL | F_INFLIGHT);
	return p;
}

static void
buffer_is_given_and_handed_back(void **state)
{
	struct peer *p = begin(state);
	struct vu_wire_inflight reply;

	accepted(p, get(p, wire(0, 0)));
	assert_int_equal(p->n_reply_fds, 1);
	assert_int_equal(p->n_inflight, 1);
	assert_int_equal(p->reply_hdr[0], VU_GET_INFLIGHT_FD);
	assert_int_equal(p->reply_hdr[2], sizeof(reply));
	memcpy(&reply, p->reply, sizeof(reply));
	assert_int_equal(reply.mmap_size, 4096);
	assert_int_equal(reply.mmap_offset, 0);
	assert_int_equal(reply.num_queues, 4);
	assert_int_equal(reply.queue_size, 256);
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->n_inflight_gone, 1);
	assert_int_equal(vu_core_connect(&p->core), 0);
	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL | F_INFLIGHT);
	accepted(p, set(p, reply, p->reply_fd));
	assert_int_equal(p->n_inflight, 2);
	assert_int_equal(p->inflight_size, 4096);
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->n_inflight_gone, 2);
}

/* The payload of DPDK and QEMU ends with padding; the specification's does
 * not. */
static void
message_may_have_padding_or_none(void **state)
{
	struct peer *p = begin(state);
	struct vu_wire_inflight msg = wire(0, 0);

	accepted(p, peer_send(p, VU_GET_INFLIGHT_FD, 0, &msg, 20, NULL, 0));
	assert_int_equal(p->reply_hdr[2], 20);
	close(p->reply_fd);
	refused(p, peer_send(p, VU_GET_INFLIGHT_FD, 0, &msg, 19, NULL, 0),
		-EMSGSIZE, "payload of 19");
}

static void
buffer_that_was_not_negotiated_is_refused(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL);
	refused(p, get(p, wire(0, 0)), -EPROTO, "feature 12 was not");
}

static void
hostile_buffers_are_refused(void **state)
{
	const uint64_t unit = 0x10000;
	const struct {
		struct vu_wire_inflight msg;
		int err;
		const char *text;
	} bad[] = {
		{ { 4096, 0, 0, 256, 0 }, -EINVAL, "0 rings" },
		{ { 4096, 0, 5, 256, 0 }, -EINVAL, "5 rings" },
		{ { 4096, 0, 4, 0, 0 }, -EINVAL, "0 entries" },
		{ { 4096, 0, 4, 32769, 0 }, -EINVAL, "32769 entries" },
		{ wire(0, 0), -EINVAL, "buffer of 0 bytes" },
		{ wire(MIB + 1, 0), -EINVAL, "buffer of 1048577" },
		{ wire(UINT64_MAX, 0), -EINVAL, "buffer of 184467" },
		{ wire(4096, 4096), -EINVAL, "not aligned" },
		{ wire(MIB, -unit), -EOVERFLOW, "wraps" },
		{ wire(4096, MIB), -EINVAL, "ends at byte 1052672" },
		{ wire(4096, UINT64_C(1) << 63), -EINVAL, "ends at byte 92" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct peer *p = begin(state);

		refused(p, set(p, bad[i].msg, mem_fd(MIB)), bad[i].err,
			bad[i].text);
		assert_int_equal(p->n_inflight, 0);
	}
}

static void
files_that_are_none_are_refused(void **state)
{
	struct peer *p = begin(state);

	refused(p, set(p, wire(4096, 0), event_fd()), -EPERM, "can shrink");
	p = begin(state);
	refused(p, set(p, wire(4096, 0), mem_fd_unsealed(MIB)), -EPERM,
		"can shrink");
	p = begin(state);
	refused(p, peer_send(p, VU_SET_INFLIGHT_FD, 0,
			     &(struct vu_wire_inflight) { 4096, 0, 4, 256, 0 },
			     24, NULL, 0), -EINVAL, "0 fds");
}

static void
buffer_does_not_change_under_a_ring(void **state)
{
	struct peer *p = begin(state);

	set_standard_memory(p);
	run_ring(p, 0);
	refused(p, set(p, wire(4096, 0), mem_fd(MIB)), -EBUSY,
		"while ring 0 is started");
	p = begin(state);
	set_standard_memory(p);
	run_ring(p, 0);
	refused(p, get(p, wire(0, 0)), -EBUSY, "while ring 0 is started");
}

static void
user_may_fail(void **state)
{
	struct peer *p = begin(state);

	p->inflight_new_rc = -ENOMEM;
	refused(p, get(p, wire(0, 0)), -ENOMEM, "cannot be made");
	p = begin(state);
	p->inflight_new_rc = 0;
	p->inflight_rc = -ENODEV;
	refused(p, get(p, wire(0, 0)), -ENODEV, "cannot be mapped");
	p = begin(state);
	refused(p, set(p, wire(4096, 0), mem_fd(MIB)), -ENODEV,
		"cannot be mapped");
	p = begin(state);
	p->inflight_rc = 0;
	p->send_rc = -EPIPE;
	refused(p, get(p, wire(0, 0)), -EPIPE, "cannot be sent");
	p->send_rc = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		peer_test(buffer_is_given_and_handed_back),
		peer_test(message_may_have_padding_or_none),
		peer_test(buffer_that_was_not_negotiated_is_refused),
		peer_test(hostile_buffers_are_refused),
		peer_test(files_that_are_none_are_refused),
		peer_test(buffer_does_not_change_under_a_ring),
		peer_test(user_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
