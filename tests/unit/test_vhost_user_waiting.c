/* SPDX-License-Identifier: Apache-2.0 */

/* Updates that wait for the user, and sessions that end and come back. */

#define _GNU_SOURCE

#include <errno.h>
#include <unistd.h>

#include <sys/mman.h>

#include "vu_peer.h"

static void
waiting_update_holds_back_reply_unmapping_and_input(void **state)
{
	struct peer *p = *state;
	unsigned int replies;

	prepare(p);
	run_ring(p, 0);
	replies = p->n_replies;
	p->update_rc = VU_WAIT;
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	assert_int_equal(vu_core_want(&p->core), 0);
	assert_int_equal(p->n_replies, replies);
	assert_int_equal(p->n_unmap, 0);
	assert_int_equal(p->core.n_regions, 0);

	p->update_rc = 0;
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(p->n_unmap, 1);
	assert_int_equal(p->n_replies, replies + 1);
	assert_int_equal(p->reply_hdr[0], VU_REM_MEM_REG);
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
resume_without_a_wait_does_nothing(void **state)
{
	struct peer *p = *state;

	prepare(p);
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
base_is_asked_for_only_after_the_ring_stopped(void **state)
{
	struct peer *p = *state;
	int kick;

	prepare(p);
	run_ring(p, 0);
	kick = p->core.rings[0].kick_fd;
	p->update_rc = VU_WAIT;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	assert_int_equal(p->n_ring_base, 0);
	/* A user that waits may still use the old kick fd. */
	assert_int_equal(p->core.rings[0].kick_fd, -1);
	assert_int_equal(write(kick, &(uint64_t){ 1 }, 8), 8);
	p->ring_base = 77;
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(p->n_ring_base, 1);
	assert_int_equal(reply_u64(p), (uint64_t)77 << 32);
	assert_int_equal(write(kick, &(uint64_t){ 1 }, 8), -1);
}

static void
reply_that_fails_in_resume_ends_the_connection(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	p->update_rc = VU_WAIT;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	p->send_rc = -EPIPE;
	refused(p, vu_core_resume(&p->core), -EPIPE,
		"GET_VRING_BASE: the reply");
}

static void
input_during_a_wait_ends_the_connection_and_leaks_nothing(void **state)
{
	struct peer *p = *state;
	uint8_t bytes[12] = { VU_GET_FEATURES };
	int fd = event_fd();

	prepare(p);
	p->update_rc = VU_WAIT;
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	refused(p, vu_core_input(&p->core, bytes, sizeof(bytes), &fd, 1),
		-EINVAL, "unexpected input");
	assert_int_equal(count_fds(), p->fds_before);
	p->update_rc = 0;
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->n_unmap, 1);
}

static void
disconnect_during_a_wait_completes_both(void **state)
{
	struct peer *p = *state;
	unsigned int replies;
	int fd = mem_fd(MEM_SIZE);

	prepare(p);
	run_ring(p, 0);
	replies = p->n_replies;
	p->update_rc = VU_WAIT;
	accepted(p, send_mem_table(p, &standard_region, &fd, 1));
	assert_int_equal(vu_core_disconnect(&p->core), VU_WAIT);
	assert_true(p->changed & VU_CHANGED_LINK);
	assert_int_equal(p->core.n_regions, 0);
	assert_int_equal(p->n_unmap, 0);
	assert_int_equal(vu_core_connect(&p->core), -EBUSY);
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->n_unmap, 0);

	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(p->n_unmap, 2);
	assert_int_equal(p->n_replies, replies);
	p->update_rc = 0;
	assert_int_equal(vu_core_connect(&p->core), 0);
}

static void
reply_held_back_at_the_disconnect_is_never_sent(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	p->n_replies = 0;
	p->update_rc = VU_WAIT;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	assert_int_equal(vu_core_disconnect(&p->core), VU_WAIT);
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(p->n_replies, 0);
	assert_int_equal(p->n_ring_base, 0);
}

/* The most that one disconnect on top of one update can retire. */
static void
disconnect_during_a_wait_with_everything_in_use(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r = standard_region;
	unsigned int i;
	int fd = mem_fd(VU_MAX_REGIONS * MIB);

	config.max_queue_pairs = VU_MAX_RINGS / 2;
	peer_configure(p, &config);
	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	for (i = 0; i < VU_MAX_REGIONS; i++) {
		r.gpa = r.mmap_offset = i * MIB;
		r.uva = MEM_UVA + i * MIB;
		accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, dup(fd)));
	}
	close(fd);
	for (i = 0; i < VU_MAX_RINGS; i++) {
		accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, i,
					  event_fd()));
		accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, i,
					  event_fd()));
		accepted(p, send_vring_fd(p, VU_SET_VRING_ERR, i,
					  event_fd()));
	}
	p->update_rc = VU_WAIT;
	accepted(p, send_vring_fd(p, VU_SET_VRING_ERR, 0, event_fd()));
	assert_int_equal(vu_core_disconnect(&p->core), VU_WAIT);
	assert_int_equal(count_fds(), p->fds_before + 3 * VU_MAX_RINGS + 1);
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(count_fds(), p->fds_before);
	assert_int_equal(p->n_unmap, VU_MAX_REGIONS);
}

static void
waiting_connect_is_not_read_from(void **state)
{
	struct peer *p = *state;

	vu_core_disconnect(&p->core);
	p->update_rc = VU_WAIT;
	assert_int_equal(vu_core_connect(&p->core), 0);
	assert_int_equal(p->changed, VU_CHANGED_LINK);
	assert_int_equal(vu_core_want(&p->core), 0);
	p->update_rc = 0;
	accepted(p, vu_core_resume(&p->core));
	assert_int_equal(p->n_replies, 0);
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
connect_is_refused_while_connected(void **state)
{
	struct peer *p = *state;

	assert_int_equal(vu_core_connect(&p->core), -EBUSY);
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
disconnect_takes_everything_away(void **state)
{
	struct peer *p = *state;
	uint64_t mtu = 1500;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	accepted(p, peer_send(p, VU_NET_SET_MTU, 0, &mtu, 8, NULL, 0));
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->changed, VU_CHANGED_LINK | VU_CHANGED_RINGS |
			 VU_CHANGED_FEATURES | VU_CHANGED_MEM |
			 VU_CHANGED_FDS);
	assert_false(p->core.connected);
	assert_int_equal(p->core.n_regions, 0);
	assert_int_equal(p->core.n_rings, 0);
	assert_int_equal(p->core.features, 0);
	assert_int_equal(p->core.mtu, 0);
	assert_int_equal(p->n_unmap, 1);
	assert_int_equal(count_fds(), p->fds_before);
	p->changed = 0;
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->changed, 0);
}

static void
disconnect_in_the_middle_of_a_message_closes_its_fds(void **state)
{
	struct peer *p = *state;
	uint32_t hdr[3] = { VU_SET_VRING_CALL, VU_VERSION, 8 };
	int fd = event_fd();

	accepted(p, vu_core_input(&p->core, hdr, sizeof(hdr), &fd, 1));
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(count_fds(), p->fds_before);
	assert_int_equal(vu_core_connect(&p->core), 0);
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
disconnect_keeps_the_text_of_what_ended_the_session(void **state)
{
	struct peer *p = *state;

	refused(p, send_empty(p, 77), -ENOTSUP, "request 77");
	/* The error stays, whatever the user's update returns at the
	 * disconnect. */
	p->update_rc = -EIO;
	p->error_text = "something else";
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_string_equal(vu_core_error(&p->core),
			    "request 77: unknown request");
}

static void
session_after_a_violation_starts_clean(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		prepare(p);
		run_ring(p, 0);
		/* Epochs count on, so that a user can tell a new ring. */
		assert_int_equal(p->core.rings[0].epoch, i);
		assert_int_equal(p->core.rings[0].base, 0);
		p->ring_base = 1000;
		accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
		accepted(p, send_u64(p, VU_SET_STATUS, 15));
		assert_int_equal(send_empty(p, 77), -ENOTSUP);
		/* After the violation only a disconnect is allowed. */
		assert_int_equal(send_empty(p, VU_SET_OWNER), -EINVAL);
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
		assert_int_equal(p->core.protocol_features, 0);
		accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES,
				     ALL_PROTOCOL));
		accepted(p, send_empty(p, VU_GET_STATUS));
		assert_int_equal(reply_u64(p), 0);
	}
}

static void
failing_update_is_rolled_up_by_the_disconnect(void **state)
{
	struct peer *p = *state;
	int fd = mem_fd(MEM_SIZE);

	prepare(p);
	run_ring(p, 0);
	p->update_rc = -EIO;
	refused(p, send_mem_table(p, &standard_region, &fd, 1), -EIO,
		"cannot be adopted");
	/* The user may still use the old region. */
	assert_int_equal(p->n_unmap, 0);
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_int_equal(p->n_unmap, 2);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(waiting_update_holds_back_reply_unmapping_and_input),
		peer_test(resume_without_a_wait_does_nothing),
		peer_test(base_is_asked_for_only_after_the_ring_stopped),
		peer_test(reply_that_fails_in_resume_ends_the_connection),
		peer_test(
		    input_during_a_wait_ends_the_connection_and_leaks_nothing),
		peer_test(disconnect_during_a_wait_completes_both),
		peer_test(reply_held_back_at_the_disconnect_is_never_sent),
		peer_test(disconnect_during_a_wait_with_everything_in_use),
		peer_test(waiting_connect_is_not_read_from),
		peer_test(connect_is_refused_while_connected),
		peer_test(disconnect_takes_everything_away),
		peer_test(disconnect_in_the_middle_of_a_message_closes_its_fds),
		peer_test(disconnect_keeps_the_text_of_what_ended_the_session),
		peer_test(session_after_a_violation_starts_clean),
		peer_test(failing_update_is_rolled_up_by_the_disconnect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
