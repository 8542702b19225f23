/* SPDX-License-Identifier: Apache-2.0 */

/* The peer's memory: which regions are mapped and unmapped when tables or slots
 * change it, and how addresses are translated. */

#define _GNU_SOURCE

#include <errno.h>
#include <unistd.h>

#include "vu_peer.h"

/* Send a table of one region with @fd. */
static int
send_region(struct peer *p, struct vu_wire_region r, int fd)
{
	return send_mem_table(p, &r, &fd, 1);
}

/* Changes */

static void
unchanged_region_of_a_new_table_stays_mapped(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int old = mem_fd(MEM_SIZE), more = mem_fd(MEM_SIZE);
	int fds[2] = { dup(old), dup(more) };
	void *addr;

	r[1].gpa += 16 * MIB;
	r[1].uva += 16 * MIB;
	accepted(p, send_mem_table(p, r, fds, 2));
	addr = p->core.regions[0].addr;

	/* The other order, the first at another user address, one new. */
	r[0].uva += 64 * MIB;
	r[1] = r[0];
	r[0].gpa = r[0].uva = 0;
	fds[0] = mem_fd(MEM_SIZE);
	fds[1] = dup(old);
	accepted(p, send_mem_table(p, r, fds, 2));
	assert_int_equal(p->n_map, 3);
	assert_int_equal(p->n_unmap, 1);
	assert_ptr_equal(p->core.regions[1].addr, addr);
	assert_int_equal(p->core.regions[1].uva, MEM_UVA + 64 * MIB);
	close(old);
	close(more);
}

static void
another_file_at_the_same_place_is_mapped_anew(void **state)
{
	struct peer *p = *state;

	set_standard_memory(p);
	set_standard_memory(p);
	assert_int_equal(p->n_map, 2);
	assert_int_equal(p->n_unmap, 1);
}

static void
same_file_at_another_place_is_mapped_anew(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	int fd = mem_fd(2 * MIB);
	unsigned int i;

	accepted(p, send_region(p, r, dup(fd)));
	for (i = 0; i < 3; i++) {
		uint64_t *field[] = { &r.gpa, &r.mmap_offset, &r.size };

		*field[i] = i == 2 ? MIB / 2 : *field[i] + MIB;
		accepted(p, send_region(p, r, dup(fd)));
		assert_int_equal(p->n_map, i + 2);
		assert_int_equal(p->n_unmap, i + 1);
	}
	close(fd);
}

static void
failing_map_takes_back_those_before_it(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[3] = { standard_region, standard_region,
				       standard_region };
	int fds[3] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	set_standard_memory(p);
	r[0].gpa = r[0].uva = 0;
	r[2].gpa = r[2].uva = 4 * MIB;
	p->map_fails_at = 4;
	refused(p, send_mem_table(p, r, fds, 3), -ENOMEM,
		"region 2 cannot be mapped: Cannot allocate memory");
	/* Two new ones are gone again, the old one stays to the end. */
	assert_int_equal(p->n_map, 3);
	assert_int_equal(p->n_unmap, 2);
	assert_int_equal(p->core.n_regions, 1);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
failing_map_leaves_what_stays_mapped(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int old = mem_fd(MEM_SIZE);
	int fds[2] = { dup(old), mem_fd(MEM_SIZE) };

	accepted(p, send_region(p, r[0], old));
	r[1].gpa = r[1].uva = 0;
	p->map_rc = -ENOMEM;
	refused(p, send_mem_table(p, r, fds, 2), -ENOMEM, "region 1");
	assert_int_equal(p->n_unmap, 0);
}

static void
failing_map_may_say_why(void **state)
{
	struct peer *p = *state;

	p->map_rc = -ENOSPC;
	p->error_text = "the window has no room for it";
	refused(p, send_region(p, standard_region, mem_fd(MEM_SIZE)), -ENOSPC,
		"SET_MEM_TABLE: the window has no room for it");
}

/* Memory slots */

static void
slots_are_added_and_removed(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	unsigned int i;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	for (i = 0; i < VU_MAX_REGIONS; i++) {
		r.gpa = r.uva = i * 2 * MIB;
		accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &r,
					 mem_fd(MEM_SIZE)));
		assert_int_equal(p->core.n_regions, i + 1);
		assert_int_equal(p->changed, VU_CHANGED_MEM);
	}
	/* The core ignores the mmap offset, and closes the fd of old QEMUs. */
	r.gpa = r.uva = 2 * MIB;
	r.mmap_offset = 77;
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &r, mem_fd(MEM_SIZE)));
	assert_int_equal(p->core.n_regions, VU_MAX_REGIONS - 1);
	assert_int_equal(p->n_unmap, 1);
	assert_int_equal(p->core.regions[0].gpa, 0);
	assert_int_equal(p->core.regions[1].gpa, 4 * MIB);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
one_slot_too_many_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r = standard_region;

	config.max_regions = 1;
	peer_configure(p, &config);
	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, mem_fd(MEM_SIZE)));
	r.gpa = r.uva = 0;
	refused(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, mem_fd(MEM_SIZE)),
		-E2BIG, "ADD_MEM_REG: more than 1 regions");
}

static void
slot_beyond_the_memory_of_a_peer_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r = standard_region;

	config.max_memory = MEM_SIZE;
	peer_configure(p, &config);
	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, mem_fd(MEM_SIZE)));
	/* Removed slots make room for new ones. */
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &r, -1));
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, mem_fd(MEM_SIZE)));
	r.gpa = r.uva = 0;
	r.size = 4 * KIB;
	refused(p, send_mem_reg(p, VU_ADD_MEM_REG, &r, mem_fd(MEM_SIZE)),
		-E2BIG, "ADD_MEM_REG: region 1 of 4096 bytes, after 1048576 "
		"bytes before it");
}

/* QEMU before 8.0 sends each of them once per queue pair. */
static void
repeated_slot_messages_change_nothing(void **state)
{
	struct peer *p = *state;
	int fd = mem_fd(MEM_SIZE);

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				 dup(fd)));
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				 dup(fd)));
	assert_int_equal(p->core.n_regions, 1);
	assert_int_equal(p->n_map, 1);
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	p->changed = 0;
	accepted(p, send_mem_reg(p, VU_REM_MEM_REG, &standard_region, -1));
	assert_int_equal(p->changed, 0);
	assert_int_equal(reply_u64(p), 0);
	close(fd);
}

static void
slot_over_another_one_is_refused(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				 mem_fd(MEM_SIZE)));
	/* The same addresses, but other memory. */
	refused(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				mem_fd(MEM_SIZE)), -EINVAL, "overlap");
}

static void
slot_needs_exactly_one_fd(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	refused(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region, -1),
		-EINVAL, "ADD_MEM_REG: 0 fds");
}

static void
bad_slot_is_refused_like_a_bad_table(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	refused(p, send_mem_reg(p, VU_ADD_MEM_REG, &standard_region,
				mem_fd(4 * KIB)), -EINVAL, "ends at byte");
}

/* Translation */

static void
translation_covers_whole_ranges_only(void **state)
{
	struct peer *p = *state;
	uint8_t *addr;

	set_standard_memory(p);
	addr = p->core.regions[0].addr;
	assert_ptr_equal(vu_core_translate(&p->core, MEM_GPA, MEM_SIZE), addr);
	assert_ptr_equal(vu_core_translate(&p->core, MEM_GPA + MEM_SIZE - 1,
					   1), addr + MEM_SIZE - 1);
	assert_null(vu_core_translate(&p->core, MEM_GPA, MEM_SIZE + 1));
	assert_null(vu_core_translate(&p->core, MEM_GPA + 1, MEM_SIZE));
	assert_null(vu_core_translate(&p->core, MEM_GPA - 1, 1));
	assert_null(vu_core_translate(&p->core, MEM_GPA + MEM_SIZE, 1));
	assert_null(vu_core_translate(&p->core, MEM_GPA, UINT64_MAX));
	assert_null(vu_core_translate(&p->core, UINT64_MAX, 2));
}

static void
translation_crosses_regions_that_are_mapped_side_by_side(void **state)
{
	struct peer *p = *state;
	uint8_t memory[8];
	struct vu_core *core = &p->core;

	/* A table of the user's making: where it maps is not the core's. */
	core->n_regions = 3;
	core->regions[0] = (struct vu_region) { .gpa = 104, .size = 2,
						.addr = memory + 4 };
	core->regions[1] = (struct vu_region) { .gpa = 100, .size = 4,
						.addr = memory };
	core->regions[2] = (struct vu_region) { .gpa = 106, .size = 2,
						.addr = memory };
	assert_ptr_equal(vu_core_translate(core, 101, 5), memory + 1);
	assert_null(vu_core_translate(core, 101, 6));
	assert_null(vu_core_translate(core, 105, 2));
	core->n_regions = 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(unchanged_region_of_a_new_table_stays_mapped),
		peer_test(another_file_at_the_same_place_is_mapped_anew),
		peer_test(same_file_at_another_place_is_mapped_anew),
		peer_test(failing_map_takes_back_those_before_it),
		peer_test(failing_map_leaves_what_stays_mapped),
		peer_test(failing_map_may_say_why),
		peer_test(slots_are_added_and_removed),
		peer_test(one_slot_too_many_is_refused),
		peer_test(slot_beyond_the_memory_of_a_peer_is_refused),
		peer_test(repeated_slot_messages_change_nothing),
		peer_test(slot_over_another_one_is_refused),
		peer_test(slot_needs_exactly_one_fd),
		peer_test(bad_slot_is_refused_like_a_bad_table),
		peer_test(translation_covers_whole_ranges_only),
		peer_test(
		    translation_crosses_regions_that_are_mapped_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
