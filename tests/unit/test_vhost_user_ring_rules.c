/* SPDX-License-Identifier: Apache-2.0 */

/* Vrings: rules for their addresses and sizes. */

#define _GNU_SOURCE

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vu_peer.h"

/* Extent and alignment */

/* Start ring 0 with @num entries, and with its parts at these addresses. */
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
			-EINVAL, "allowed: 1 to 32768");
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
		"split ring 0 of 100 entries, not a power of two");
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
		/* The front-end may repeat the same base in the same form. */
		accepted(p, send_state(p, VU_SET_VRING_BASE, 0, base[i]));
		assert_int_equal(p->core.rings[0].base, want[i]);
		refused(p, send_state(p, VU_SET_VRING_BASE, 0, base[i] ^ 1),
			-EBUSY, "changed while it is started");
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
			-EINVAL, ", only 4 rings");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
	refused(p, send_addr(p, 4, 0, 0, 0), -EINVAL, "no ring 4, only 4 rings");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_vring_fd(p, VU_SET_VRING_KICK, 255, event_fd()),
		-EINVAL, "no ring 255, only 4 rings");
}

/* The control queue comes after the last pair; without VIRTIO_NET_F_MQ, after
 * the first pair. */
static void
control_queue_is_refused(void **state)
{
	struct vu_config config = peer_config();
	struct peer *p = *state;

	config.features |= BIT(VU_NET_F_CTRL_VQ) | BIT(VU_NET_F_MQ);
	peer_configure(p, &config);
	negotiate(p, F_VERSION_1 | F_PROTOCOL | BIT(VU_NET_F_CTRL_VQ),
		  ALL_PROTOCOL);
	accepted(p, send_state(p, VU_SET_VRING_NUM, 1, 256));
	/* Front-ends disable pairs that they do not use. */
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 2, 0));
	refused(p, send_state(p, VU_SET_VRING_NUM, 2, 256), -ENOTSUP,
		"ring 2 is the control queue");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	negotiate(p, F_VERSION_1 | F_PROTOCOL | BIT(VU_NET_F_CTRL_VQ) |
		  BIT(VU_NET_F_MQ), ALL_PROTOCOL);
	accepted(p, send_state(p, VU_SET_VRING_NUM, 2, 256));
	refused(p, send_state(p, VU_SET_VRING_NUM, 4, 256), -ENOTSUP,
		"ring 4 is the control queue");
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

int
main(void)
{
	static const struct CMUnitTest tests[] = {
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
		peer_test(control_queue_is_refused),
		peer_test(dirty_log_flag_is_refused),
		peer_test(broken_ring_runs_again_only_when_set_up_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
