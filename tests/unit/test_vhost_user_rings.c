/* SPDX-License-Identifier: Apache-2.0 */

/* Vrings: when they run, for any order of their set-up. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vu_peer.h"

/* When a ring runs */

static void
ring_set_up_as_qemu_does_runs(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];

	accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES, ALL_PROTOCOL));
	/* Before features and memory. */
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	accepted(p, send_vring_fd(p, VU_SET_VRING_ERR, 0, event_fd()));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	accepted(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL));
	set_standard_memory(p);
	set_up_ring(p, 0);
	assert_false(r->run);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_true(r->run);
	assert_int_equal(p->changed, VU_CHANGED_RINGS | VU_CHANGED_FDS);
	assert_int_equal(r->desc, MEM_GPA + 64 * KIB);
	assert_int_equal(r->avail, MEM_GPA + 68 * KIB);
	assert_int_equal(r->used, MEM_GPA + 72 * KIB);
	assert_int_equal(r->num, 256);
	assert_int_equal(r->epoch, 1);
}

static void
ring_set_up_as_virtio_user_does_runs(void **state)
{
	struct peer *p = *state;

	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL);
	set_standard_memory(p);
	set_up_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_false(p->core.rings[0].run);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	assert_true(p->core.rings[0].run);
}

enum step { FEATURES, MEMORY, NUM, BASE, ADDR, KICK, ENABLE, N_STEPS };

static void
do_step(struct peer *p, enum step step)
{
	uint64_t uva = ring_uva(0);

	switch (step) {
	case FEATURES:
		accepted(p, send_u64(p, VU_SET_FEATURES,
				     F_VERSION_1 | F_PROTOCOL));
		break;
	case MEMORY:
		set_standard_memory(p);
		break;
	case NUM:
		accepted(p, send_state(p, VU_SET_VRING_NUM, 0, 256));
		break;
	case BASE:
		accepted(p, send_state(p, VU_SET_VRING_BASE, 0, 0));
		break;
	case ADDR:
		accepted(p, send_addr(p, 0, uva, uva + 4 * KIB,
				      uva + 8 * KIB));
		break;
	case KICK:
		accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0,
					  event_fd()));
		break;
	default:
		accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	}
}

/* All 5040 orders; the ring runs with the last step that it needs. */
static void
ring_runs_whatever_the_order_of_its_set_up(void **state)
{
	struct peer *p = *state;
	unsigned int order, i, left[N_STEPS];

	for (order = 0; order < 5040; order++) {
		unsigned int rest = order, done = 0;

		accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES,
				     ALL_PROTOCOL));
		for (i = 0; i < N_STEPS; i++)
			left[i] = i;
		for (i = N_STEPS; i > 0; i--) {
			unsigned int pick = rest % i;
			unsigned int step = left[pick];

			rest /= i;
			left[pick] = left[i - 1];
			do_step(p, step);
			done |= 1u << step;
			done |= 1u << BASE;
			assert_int_equal(p->core.rings[0].run,
					 done == (1u << N_STEPS) - 1);
		}
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
ring_is_enabled_from_the_start_without_protocol_features(void **state)
{
	struct peer *p = *state;

	/* None at all, from a legacy driver. */
	accepted(p, send_u64(p, VU_SET_FEATURES, 0));
	set_standard_memory(p);
	set_up_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_true(p->core.rings[0].run);
}

static void
ring_starts_without_kick_fd(void **state)
{
	struct peer *p = *state;

	prepare(p);
	set_up_ring(p, 0);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, -1));
	assert_true(p->core.rings[0].run);
	assert_int_equal(p->core.rings[0].kick_fd, -1);
}

static void
disabling_pauses_a_ring_within_its_epoch(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 0));
	assert_false(r->run);
	assert_int_equal(p->changed, VU_CHANGED_RINGS);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	assert_true(r->run);
	assert_int_equal(r->epoch, 1);
	refused(p, send_state(p, VU_SET_VRING_ENABLE, 0, 2), -EINVAL,
		"neither 0 nor 1");
}

static void
get_vring_base_stops_and_tells_where_the_ring_stands(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[1];
	struct vu_wire_vring_state reply;

	prepare(p);
	run_ring(p, 1);
	p->ring_base = 4711;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 1, 0));
	assert_int_equal(p->reply_hdr[0], VU_GET_VRING_BASE);
	assert_int_equal(p->reply_hdr[2], sizeof(reply));
	memcpy(&reply, p->reply, sizeof(reply));
	assert_int_equal(reply.index, 1);
	assert_int_equal(reply.num, 4711);
	assert_false(r->run);
	assert_int_equal(r->kick_fd, -1);
	assert_int_equal(p->changed, VU_CHANGED_RINGS | VU_CHANGED_FDS);

	/* It goes on from there. */
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 1, event_fd()));
	assert_true(r->run);
	assert_int_equal(r->base, 4711);
	assert_int_equal(r->epoch, 2);
}

static void
base_of_a_ring_that_never_ran_is_what_was_set(void **state)
{
	struct peer *p = *state;

	prepare(p);
	accepted(p, send_state(p, VU_SET_VRING_BASE, 0, 99));
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	assert_int_equal(reply_u64(p), (uint64_t)99 << 32);
	assert_int_equal(p->n_ring_base, 0);
}

static void
base_is_asked_for_once_and_not_after_a_new_one(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	p->ring_base = 5;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	p->ring_base = 6;
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	assert_int_equal(reply_u64(p), (uint64_t)5 << 32);
	assert_int_equal(p->n_ring_base, 1);

	run_ring(p, 1);
	accepted(p, send_empty(p, VU_RESET_OWNER));
	accepted(p, send_state(p, VU_SET_VRING_BASE, 1, 7));
	accepted(p, send_state(p, VU_GET_VRING_BASE, 1, 0));
	assert_int_equal(reply_u64(p), 1 | (uint64_t)7 << 32);
	assert_int_equal(p->n_ring_base, 1);
}

static void
ring_paused_by_a_lost_region_goes_on_when_it_is_back(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];
	struct vu_wire_region grown = standard_region;
	int fd = mem_fd(2 * MIB);

	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				 dup(fd)));
	run_ring(p, 0);
	/* QEMU replaces a region by taking it away first. */
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	assert_false(r->run);
	assert_int_equal(p->changed, VU_CHANGED_MEM | VU_CHANGED_RINGS);
	grown.size = 2 * MIB;
	grown.gpa = 256 * MIB;
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &grown, fd));
	assert_true(r->run);
	assert_int_equal(r->epoch, 1);
	assert_int_equal(r->desc, 256 * MIB + 64 * KIB);
}

static void
paused_ring_is_no_obstacle_for_the_others(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region low = standard_region;

	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL);
	low.gpa = low.uva = 0;
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &low, mem_fd(MEM_SIZE)));
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				 mem_fd(MEM_SIZE)));
	run_ring(p, 0);
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	accepted(p, send_state(p, VU_SET_VRING_NUM, 1, 256));
	accepted(p, send_addr(p, 1, 0, 4 * KIB, 8 * KIB));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 1, 1));
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 1, event_fd()));
	assert_true(p->core.rings[1].run);
	assert_false(p->core.rings[0].run);
	/* Messages about the paused ring itself are still checked. */
	refused(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1), -EFAULT,
		"the descriptor table of ring 0");
}

/* Each part in a region of its own; one of them moves. */
static void
ring_that_moves_in_part_is_told(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[3];
	int files[3], fds[3];
	unsigned int i, moved;

	negotiate(p, F_VERSION_1 | F_PROTOCOL, ALL_PROTOCOL);
	for (i = 0; i < 3; i++) {
		files[i] = mem_fd(MEM_SIZE);
		fds[i] = dup(files[i]);
		r[i] = standard_region;
		r[i].gpa = r[i].uva = i * 16 * MIB;
	}
	accepted(p, send_mem_table(p, r, fds, 3));
	accepted(p, send_state(p, VU_SET_VRING_NUM, 0, 256));
	accepted(p, send_addr(p, 0, r[0].uva, r[1].uva, r[2].uva));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	for (moved = 0; moved < 3; moved++) {
		r[moved].gpa += 256 * MIB;
		for (i = 0; i < 3; i++)
			fds[i] = dup(files[i]);
		accepted(p, send_mem_table(p, r, fds, 3));
		assert_int_equal(p->changed,
				 VU_CHANGED_MEM | VU_CHANGED_RINGS);
	}
	assert_int_equal(p->core.rings[0].used, 288 * MIB);
	for (i = 0; i < 3; i++)
		close(files[i]);
}

static void
new_table_moves_a_running_ring(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	int fd = mem_fd(MEM_SIZE);

	prepare(p);
	run_ring(p, 0);
	r.gpa = 256 * MIB;
	accepted(p, send_mem_table(p, &r, &fd, 1));
	assert_true(p->core.rings[0].run);
	assert_int_equal(p->core.rings[0].desc, 256 * MIB + 64 * KIB);
	assert_true(p->changed & VU_CHANGED_RINGS);
}

static void
new_table_without_a_running_ring_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	int fd = mem_fd(MEM_SIZE);

	prepare(p);
	run_ring(p, 0);
	run_ring(p, 1);
	r.uva += 16 * MIB;
	refused(p, send_mem_table(p, &r, &fd, 1), -EFAULT,
		"SET_MEM_TABLE: the descriptor table of ring 0");
	assert_false(p->core.rings[0].run);
	assert_false(p->core.rings[1].run);
}

/* Two pairs are offered; the front-end may have one, and a control queue. */
static void
negotiate_control(struct peer *p, uint64_t features)
{
	struct vu_config config = peer_config();

	config.features |= BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ);
	peer_configure(p, &config);
	negotiate(p, F_VERSION_1 | F_PROTOCOL | features, ALL_PROTOCOL);
	set_standard_memory(p);
	run_ring(p, 0);
	run_ring(p, 1);
}

static int
kick_ring_2(struct peer *p)
{
	uint64_t one = 1;

	assert_int_equal(write(p->core.rings[2].kick_fd, &one, 8), 8);
	return vu_core_quiet(&p->core);
}

/* Set ring 2 up, of which no message shows yet that it belongs to a pair. */
static void
hold_ring_2(struct peer *p)
{
	set_up_ring(p, 2);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 2, event_fd()));
	assert_false(vu_core_holds(&p->core));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 2, 1));
	assert_false(p->core.rings[2].run);
	assert_true(vu_core_holds(&p->core));
	accepted(p, vu_core_quiet(&p->core));
}

static void
control_queue_of_fewer_pairs_is_refused_when_kicked(void **state)
{
	struct peer *p = *state;

	negotiate_control(p, BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ));
	hold_ring_2(p);
	refused(p, kick_ring_2(p), -ENOTSUP, "ring 2 is the control queue");
	assert_int_equal(vu_core_disconnect(&p->core), 0);
	assert_false(vu_core_holds(&p->core));
}

static void
receive_queue_runs_when_its_transmit_queue_is_named(void **state)
{
	struct peer *p = *state;

	negotiate_control(p, BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ));
	hold_ring_2(p);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 3, 0));
	assert_true(p->core.rings[2].run);
	assert_false(vu_core_holds(&p->core));
	accepted(p, kick_ring_2(p));
}

/* The transmit queue's message, which shows that ring 2 belongs to a pair, came
 * with the kick, but only a part of it is read yet. */
static void
kick_in_the_middle_of_a_message_says_nothing(void **state)
{
	struct peer *p = *state;
	uint32_t hdr[3] = { VU_SET_VRING_ENABLE, VU_VERSION, 8 };

	negotiate_control(p, BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ));
	hold_ring_2(p);
	accepted(p, vu_core_input(&p->core, hdr, 5, NULL, 0));
	accepted(p, kick_ring_2(p));
	assert_true(vu_core_holds(&p->core));
}

static void
stopped_ring_is_not_held(void **state)
{
	struct peer *p = *state;

	negotiate_control(p, BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ));
	hold_ring_2(p);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 2, 0));
	assert_false(vu_core_holds(&p->core));
	accepted(p, kick_ring_2(p));
}

/* Without VIRTIO_NET_F_CTRL_VQ no ring can be the control queue. */
static void
lone_ring_runs_without_a_control_queue(void **state)
{
	struct peer *p = *state;

	negotiate_control(p, BIT(VU_NET_F_MQ));
	run_ring(p, 2);
	assert_false(vu_core_holds(&p->core));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(ring_set_up_as_qemu_does_runs),
		peer_test(ring_set_up_as_virtio_user_does_runs),
		peer_test(ring_runs_whatever_the_order_of_its_set_up),
		peer_test(
		    ring_is_enabled_from_the_start_without_protocol_features),
		peer_test(ring_starts_without_kick_fd),
		peer_test(disabling_pauses_a_ring_within_its_epoch),
		peer_test(get_vring_base_stops_and_tells_where_the_ring_stands),
		peer_test(base_of_a_ring_that_never_ran_is_what_was_set),
		peer_test(base_is_asked_for_once_and_not_after_a_new_one),
		peer_test(ring_paused_by_a_lost_region_goes_on_when_it_is_back),
		peer_test(paused_ring_is_no_obstacle_for_the_others),
		peer_test(ring_that_moves_in_part_is_told),
		peer_test(new_table_moves_a_running_ring),
		peer_test(new_table_without_a_running_ring_is_refused),
		peer_test(control_queue_of_fewer_pairs_is_refused_when_kicked),
		peer_test(receive_queue_runs_when_its_transmit_queue_is_named),
		peer_test(kick_in_the_middle_of_a_message_says_nothing),
		peer_test(stopped_ring_is_not_held),
		peer_test(lone_ring_runs_without_a_control_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
