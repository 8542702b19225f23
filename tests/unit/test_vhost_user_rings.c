/* SPDX-License-Identifier: Apache-2.0 */

/* Vrings: when they run, what they may be, in whatever order they are set up.
 */

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
	/* What is said about the paused ring itself is judged. */
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

/* Extent and alignment */

/* Start ring 0 of @num entries with its parts there. */
static int
start_at(struct peer *p, uint32_t num, uint64_t desc, uint64_t avail,
	 uint64_t used)
{
	accepted(p, send_state(p, VU_SET_VRING_NUM, 0, num));
	accepted(p, send_addr(p, 0, desc, avail, used));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	return send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd());
}

static void
split_ring_parts_end_within_memory_to_the_byte(void **state)
{
	static const struct {
		uint64_t features;
		uint64_t desc, avail, used;	/* sizes, 256 entries */
	} layouts[] = {
		{ F_PROTOCOL, 4096, 4 + 512, 4 + 2048 },
		{ F_PROTOCOL | F_EVENT_IDX, 4096, 6 + 512, 6 + 2048 },
		{ F_PROTOCOL | F_PACKED, 4096, 4, 4 },
	};
	struct peer *p = *state;
	const uint64_t end = MEM_UVA + MEM_SIZE, in = MEM_UVA;
	unsigned int i, part;

	for (i = 0; i < 3; i++) {
		const uint64_t size[3] = { layouts[i].desc, layouts[i].avail,
					   layouts[i].used };
		static const uint64_t align[2][3] = { { 16, 2, 4 },
						      { 16, 4, 4 } };

		for (part = 0; part < 3; part++) {
			uint64_t step = align[i == 2][part];
			uint64_t last = (end - size[part]) & ~(step - 1);
			uint64_t at[3] = { in, in, in };

			negotiate(p, layouts[i].features, ALL_PROTOCOL);
			set_standard_memory(p);
			at[part] = last;
			accepted(p, start_at(p, 256, at[0], at[1], at[2]));
			assert_true(p->core.rings[0].run);
			vu_core_disconnect(&p->core);
			vu_core_connect(&p->core);

			negotiate(p, layouts[i].features, ALL_PROTOCOL);
			set_standard_memory(p);
			at[part] = last + step;
			refused(p, start_at(p, 256, at[0], at[1], at[2]),
				-EFAULT, "is not within one region");
			vu_core_disconnect(&p->core);
			vu_core_connect(&p->core);
		}
	}
}

static void
unaligned_ring_parts_are_refused(void **state)
{
	static const struct {
		uint64_t features;
		unsigned int off[3];
		const char *text;
	} wrong[] = {
		{ F_PROTOCOL, { 8, 0, 0 }, "table of ring 0" },
		{ F_PROTOCOL, { 0, 1, 0 }, "available ring" },
		{ F_PROTOCOL, { 0, 0, 2 }, "used ring" },
		{ F_PROTOCOL | F_PACKED, { 8, 0, 0 }, "descriptor ring" },
		{ F_PROTOCOL | F_PACKED, { 0, 2, 0 }, "driver event" },
		{ F_PROTOCOL | F_PACKED, { 0, 0, 2 }, "device event" },
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		negotiate(p, wrong[i].features, ALL_PROTOCOL);
		set_standard_memory(p);
		refused(p, start_at(p, 256, MEM_UVA + wrong[i].off[0],
				    MEM_UVA + 8 * KIB + wrong[i].off[1],
				    MEM_UVA + 16 * KIB + wrong[i].off[2]),
			-EINVAL, wrong[i].text);
		assert_non_null(strstr(vu_core_error(&p->core), "aligned"));
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
ring_at_an_address_that_wraps_is_refused(void **state)
{
	struct peer *p = *state;

	prepare(p);
	refused(p, start_at(p, 256, UINT64_MAX & ~15ull, MEM_UVA, MEM_UVA),
		-EFAULT, "SET_VRING_KICK: the descriptor table of ring 0");
}

static void
ring_across_two_regions_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	r[1].gpa = 256 * MIB;
	r[1].uva += MEM_SIZE;
	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_table(p, r, fds, 2));
	refused(p, start_at(p, 256, MEM_UVA + MEM_SIZE - 16, MEM_UVA,
			    MEM_UVA), -EFAULT, "not within one region");
}

/* Sizes and bases */

static void
ring_sizes_out_of_range_are_refused(void **state)
{
	static const uint32_t wrong[] = { 0, 32769, 65536, UINT32_MAX };
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		refused(p, send_state(p, VU_SET_VRING_NUM, 0, wrong[i]),
			-EINVAL, "allowed are 1 to 32768");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
largest_ring_runs(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	int fd = mem_fd(4 * MIB);

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	r.size = 4 * MIB;
	accepted(p, send_mem_table(p, &r, &fd, 1));
	accepted(p, start_at(p, 32768, MEM_UVA, MEM_UVA + MIB,
			     MEM_UVA + 2 * MIB));
	assert_true(p->core.rings[0].run);
}

static void
split_ring_size_must_be_a_power_of_two(void **state)
{
	struct peer *p = *state;

	prepare(p);
	refused(p, start_at(p, 100, MEM_UVA, MEM_UVA, MEM_UVA), -EINVAL,
		"split ring 0 of 100 entries, no power of two");
}

static void
packed_ring_size_may_be_any(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL | F_PACKED, ALL_PROTOCOL);
	set_standard_memory(p);
	accepted(p, start_at(p, 100, MEM_UVA, MEM_UVA, MEM_UVA));
	assert_true(p->core.rings[0].run);
}

static void
base_of_a_split_ring_is_16_bits(void **state)
{
	struct peer *p = *state;

	prepare(p);
	accepted(p, send_state(p, VU_SET_VRING_BASE, 0, 65535));
	accepted(p, send_state(p, VU_SET_VRING_BASE, 0, 65536));
	refused(p, start_at(p, 256, MEM_UVA, MEM_UVA, MEM_UVA), -EINVAL,
		"beyond 65535");
}

/* virtio-user gives the available half only, QEMU both. */
static void
base_of_a_packed_ring_has_two_equal_halves(void **state)
{
	static const uint32_t base[] = { 0x8000, 0x80008000, 0x00638063 };
	static const uint32_t want[] = { 0x80008000, 0x80008000, 0x80638063 };
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		negotiate(p, F_PROTOCOL | F_PACKED, ALL_PROTOCOL);
		set_standard_memory(p);
		accepted(p, send_state(p, VU_SET_VRING_BASE, 0, base[i]));
		accepted(p, start_at(p, 100, MEM_UVA, MEM_UVA, MEM_UVA));
		assert_int_equal(p->core.rings[0].base, want[i]);
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
	negotiate(p, F_PROTOCOL | F_PACKED, ALL_PROTOCOL);
	set_standard_memory(p);
	accepted(p, send_state(p, VU_SET_VRING_BASE, 0, 0x8000 | 100));
	refused(p, start_at(p, 100, MEM_UVA, MEM_UVA, MEM_UVA), -EINVAL,
		"beyond its 100 entries");
}

/* Rings in use, and rings that do not exist */

static void
started_ring_may_be_told_the_same_again_but_not_be_changed(void **state)
{
	struct peer *p = *state;
	uint64_t uva = ring_uva(0);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		int rc;

		prepare(p);
		run_ring(p, 0);
		set_up_ring(p, 0);
		assert_true(p->core.rings[0].run);
		if (i == 0)
			rc = send_state(p, VU_SET_VRING_NUM, 0, 128);
		else if (i == 1)
			rc = send_state(p, VU_SET_VRING_BASE, 0, 5);
		else
			rc = send_addr(p, 0, uva, uva + 4 * KIB, uva);
		refused(p, rc, -EBUSY, "changed while it is started");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
ring_beyond_the_last_is_refused(void **state)
{
	static const uint32_t requests[] = {
		VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_GET_VRING_BASE,
		VU_SET_VRING_ENABLE,
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		refused(p, send_state(p, requests[i], i ? 4 : UINT32_MAX, 1),
			-EINVAL, ", there are 4");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
	refused(p, send_addr(p, 4, 0, 0, 0), -EINVAL, "ring 4, there are 4");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_vring_fd(p, VU_SET_VRING_KICK, 255, event_fd()),
		-EINVAL, "ring 255, there are 4");
}

static void
dirty_log_flag_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_vring_addr addr = { .flags = 1 };

	refused(p, peer_send(p, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr),
			     NULL, 0), -ENOTSUP, "flags 0x1");
}

static void
broken_ring_runs_again_only_when_set_up_anew(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];

	prepare(p);
	run_ring(p, 0);
	vu_core_break_ring(&p->core, 0);
	assert_false(r->run);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	assert_false(r->run);
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	run_ring(p, 0);
	assert_int_equal(r->epoch, 3);
	/* Out of range: nothing happens. */
	vu_core_break_ring(&p->core, 60);
}

/* Fds of rings */

static void
ring_fds_must_be_eventfds(void **state)
{
	static const uint32_t requests[] = {
		VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR,
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		close(fds[0]);
		refused(p, send_vring_fd(p, requests[i], 0, fds[1]), -EINVAL,
			"the fd is no eventfd");
		vu_core_disconnect(&p->core);
		assert_int_equal(count_fds(), p->fds_before);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
no_fd_flag_and_fd_exclude_each_other(void **state)
{
	struct peer *p = *state;
	uint64_t nofd = VU_VRING_NOFD;
	int fd = event_fd();

	refused(p, peer_send(p, VU_SET_VRING_CALL, 0, &nofd, 8, &fd, 1),
		-EINVAL, "1 fds, the message announces 0");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_u64(p, VU_SET_VRING_CALL, 0), -EINVAL,
		"0 fds, the message announces 1");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_u64(p, VU_SET_VRING_CALL, BIT(9) | VU_VRING_NOFD),
		-EINVAL, "reserved bits");
}

/* QEMU's socket channel makes what it sends blocking. */
static void
eventfd_is_made_nonblocking_and_close_on_exec(void **state)
{
	struct peer *p = *state;
	int fd = event_fd();

	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, fd));
	fd = p->core.rings[0].call_fd;
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void
ring_fds_are_replaced_and_taken_away(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];

	prepare(p);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(count_fds(), p->fds_before + 1);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, -1));
	assert_int_equal(r->call_fd, -1);
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
new_kick_of_a_running_ring_is_no_new_start(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(p->core.rings[0].epoch, 1);
}

static void
two_rings_with_one_kick_are_refused(void **state)
{
	struct peer *p = *state;
	int fd = event_fd();

	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, dup(fd)));
	/* For the same ring it is fine, and after the other gave it up. */
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, dup(fd)));
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 1, dup(fd)));
	if (p->core.rings[1].kick_id < 0) {
		/* This kernel does not tell one eventfd from another. */
		close(fd);
		skip();
	}
	refused(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, fd), -EBUSY,
		"ring 0 brings the eventfd of ring 1");
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
		peer_test(split_ring_parts_end_within_memory_to_the_byte),
		peer_test(unaligned_ring_parts_are_refused),
		peer_test(ring_at_an_address_that_wraps_is_refused),
		peer_test(ring_across_two_regions_is_refused),
		peer_test(ring_sizes_out_of_range_are_refused),
		peer_test(largest_ring_runs),
		peer_test(split_ring_size_must_be_a_power_of_two),
		peer_test(packed_ring_size_may_be_any),
		peer_test(base_of_a_split_ring_is_16_bits),
		peer_test(base_of_a_packed_ring_has_two_equal_halves),
		peer_test(
		    started_ring_may_be_told_the_same_again_but_not_be_changed),
		peer_test(ring_beyond_the_last_is_refused),
		peer_test(dirty_log_flag_is_refused),
		peer_test(broken_ring_runs_again_only_when_set_up_anew),
		peer_test(ring_fds_must_be_eventfds),
		peer_test(no_fd_flag_and_fd_exclude_each_other),
		peer_test(eventfd_is_made_nonblocking_and_close_on_exec),
		peer_test(ring_fds_are_replaced_and_taken_away),
		peer_test(new_kick_of_a_running_ring_is_no_new_start),
		peer_test(two_rings_with_one_kick_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
