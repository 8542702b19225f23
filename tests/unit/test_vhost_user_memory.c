/* SPDX-License-Identifier: Apache-2.0 */

/* The peer's memory: which regions the core accepts. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "vu_peer.h"

/* Send a table of one region with @fd. */
static int
send_region(struct peer *p, struct vu_wire_region r, int fd)
{
	return send_mem_table(p, &r, &fd, 1);
}

static void
region_is_mapped_and_told(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	set_standard_memory(p);
	assert_int_equal(reply_u64(p), 0);
	assert_int_equal(p->n_map, 1);
	assert_int_equal(p->core.n_regions, 1);
	assert_int_equal(p->core.regions[0].gpa, MEM_GPA);
	assert_int_equal(p->core.regions[0].size, MEM_SIZE);
	assert_true(p->changed & VU_CHANGED_MEM);
	/* The mapping is the user's, the fd is not kept. */
	assert_int_equal(count_fds(), p->fds_before);
}

static void
region_at_an_offset_into_its_file_is_mapped_there(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;
	int fd = mem_fd(3 * MIB);
	uint32_t mark = 0x12345678;

	assert_int_equal(pwrite(fd, &mark, sizeof(mark), 2 * MIB + 4), 4);
	r.mmap_offset = 2 * MIB;
	accepted(p, send_region(p, r, fd));
	assert_memory_equal(vu_core_translate(&p->core, MEM_GPA + 4, 4), &mark,
			    4);
}

static void
memory_region_beyond_file_end_is_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_region(p, standard_region, mem_fd(MEM_SIZE - 1)),
		-EINVAL, "SET_MEM_TABLE: region 0 ends at byte 1048576 of a "
		"file of 1048575 bytes");
	assert_int_equal(count_fds(), p->fds_before);
	assert_int_equal(p->n_map, 0);
}

static void
offset_counts_towards_the_file_end(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;

	r.mmap_offset = 4 * KIB;
	refused(p, send_region(p, r, mem_fd(MEM_SIZE)), -EINVAL,
		"ends at byte 1052672");
}

static void
empty_region_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r = standard_region;

	r.size = 0;
	refused(p, send_region(p, r, mem_fd(MEM_SIZE)), -EINVAL,
		"region 0 is empty");
}

static void
unaligned_regions_are_refused(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct vu_wire_region r = standard_region;

		*(uint64_t *[]){ &r.gpa, &r.uva, &r.size, &r.mmap_offset }[i]
			+= 512;
		refused(p, send_region(p, r, mem_fd(2 * MIB)), -EINVAL,
			"not aligned to 4096");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
regions_that_wrap_around_are_refused(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct vu_wire_region r = standard_region;

		*(uint64_t *[]){ &r.gpa, &r.uva, &r.size, &r.mmap_offset }[i] =
			-(uint64_t)(4 * KIB);
		refused(p, send_region(p, r, mem_fd(MEM_SIZE)), -EOVERFLOW,
			"wraps around");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
regions_overlapping_in_guest_addresses_are_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	r[1].gpa = MEM_GPA + MEM_SIZE - 4 * KIB;
	r[1].uva = MEM_UVA + MEM_SIZE;
	refused(p, send_mem_table(p, r, fds, 2), -EINVAL,
		"regions 0 and 1 overlap in guest-physical addresses");
	assert_int_equal(count_fds(), p->fds_before);
}

static void
regions_overlapping_in_user_addresses_are_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	r[0].gpa = 0;
	r[0].uva = MEM_UVA + 4 * KIB;
	refused(p, send_mem_table(p, r, fds, 2), -EINVAL,
		"regions 0 and 1 overlap in user addresses");
}

static void
neighbouring_regions_are_fine(void **state)
{
	struct peer *p = *state;
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	r[1].gpa += MEM_SIZE;
	r[1].uva += MEM_SIZE;
	accepted(p, send_mem_table(p, r, fds, 2));
	assert_int_equal(p->core.n_regions, 2);
}

/* Kinds of files */

static void
unsealed_file_is_refused_when_seals_are_required(void **state)
{
	struct peer *p = *state;

	refused(p, send_region(p, standard_region, mem_fd_unsealed(MEM_SIZE)),
		-EPERM, "can shrink: it lacks F_SEAL_SHRINK");
}

static void
unsealed_file_is_taken_where_allowed(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();

	config.require_seals = false;
	peer_configure(p, &config);
	accepted(p, send_region(p, standard_region,
				mem_fd_unsealed(MEM_SIZE)));
}

static void
file_sealed_against_writing_is_refused(void **state)
{
	struct peer *p = *state;
	int fd = mem_fd(MEM_SIZE);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refused(p, send_region(p, standard_region, fd), -EACCES,
		"sealed against writing");
}

static void
file_open_for_reading_only_is_refused(void **state)
{
	struct peer *p = *state;
	char path[32];
	int fd = mem_fd(MEM_SIZE), ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	close(fd);
	refused(p, send_region(p, standard_region, ro), -EACCES,
		"not open for reading and writing");
}

static void
path_fd_is_refused(void **state)
{
	struct peer *p = *state;
	char path[32];
	int fd = mem_fd(MEM_SIZE), by_path;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	by_path = open(path, O_PATH | O_CLOEXEC);
	assert_true(by_path >= 0);
	close(fd);
	refused(p, send_region(p, standard_region, by_path), -EACCES,
		"not open for reading and writing");
}

static void
fds_that_are_no_files_are_refused(void **state)
{
	struct peer *p = *state;
	int pipe_fds[2];

	refused(p, send_region(p, standard_region, event_fd()), -EINVAL,
		"neither on tmpfs nor on hugetlbfs");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);

	assert_int_equal(pipe(pipe_fds), 0);
	close(pipe_fds[0]);
	refused(p, send_region(p, standard_region, pipe_fds[1]), -EACCES,
		"not open for reading and writing");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);

	refused(p, send_region(p, standard_region,
			       open("/dev/zero", O_RDWR | O_CLOEXEC)),
		-EINVAL, "neither on tmpfs nor on hugetlbfs");
}

/* A page fault in such a file could take for ever. */
static void
file_on_a_disk_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	int fd = open("/proc/self/comm", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	config.require_seals = false;
	peer_configure(p, &config);
	refused(p, send_region(p, standard_region, fd), -EINVAL,
		"neither on tmpfs nor on hugetlbfs");
}

/* Numbers */

static void
regions_without_fds_are_refused(void **state)
{
	struct peer *p = *state;
	struct vu_wire_mem_table table = { .n_regions = 1 };

	table.regions[0] = standard_region;
	refused(p, peer_send(p, VU_SET_MEM_TABLE, 0, &table, 40, NULL, 0),
		-EINVAL, "1 regions with 0 fds");
}

/* Linux's virtio_uml tells two regions in the room of eight. */
static void
spare_bytes_after_the_regions_are_taken(void **state)
{
	struct peer *p = *state;
	struct vu_wire_mem_table table = { .n_regions = 1 };
	int fd = mem_fd(MEM_SIZE);

	memset(&table.regions[1], 0xff, sizeof(table.regions[1]));
	table.regions[0] = standard_region;
	accepted(p, peer_send(p, VU_SET_MEM_TABLE, 0, &table, sizeof(table),
			      &fd, 1));
	assert_int_equal(p->core.n_regions, 1);
}

static void
regions_must_fit_the_payload(void **state)
{
	static const uint32_t counts[] = { 2, 9, UINT32_MAX, 1u << 27 };
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct vu_wire_mem_table table = { .n_regions = counts[i] };
		int fd = mem_fd(MEM_SIZE);

		table.regions[0] = standard_region;
		refused(p, peer_send(p, VU_SET_MEM_TABLE, 0, &table, 40, &fd,
				     1), -EINVAL, "regions in 40 bytes");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
more_regions_than_configured_are_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE) };

	config.max_regions = 1;
	peer_configure(p, &config);
	r[1].gpa = r[1].uva = 0;
	refused(p, send_mem_table(p, r, fds, 2), -E2BIG,
		"2 regions, at most 1");
}

/* The files are sparse: nobody touches their pages. */
static void
table_of_more_memory_than_configured_is_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(MEM_SIZE), mem_fd(MEM_SIZE + 4 * KIB) };

	config.max_memory = 2 * MEM_SIZE;
	peer_configure(p, &config);
	r[1].gpa = r[1].uva = 0;
	r[1].size = MEM_SIZE + 4 * KIB;
	refused(p, send_mem_table(p, r, fds, 2), -E2BIG,
		"SET_MEM_TABLE: region 1 of 1052672 bytes, after 1048576 bytes "
		"before it, exceeds the 2097152 bytes of memory that a peer "
		"may have");
	assert_int_equal(p->n_map, 0);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
memory_up_to_the_configured_sum_is_taken_again_and_again(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	unsigned int i;

	config.max_memory = MEM_SIZE;
	peer_configure(p, &config);
	/* A table replaces the last one, whose regions do not count. */
	for (i = 0; i < 3; i++)
		accepted(p, send_region(p, standard_region,
					mem_fd(MEM_SIZE)));
}

static void
regions_that_together_wrap_around_are_refused(void **state)
{
	struct peer *p = *state;
	struct vu_config config = peer_config();
	struct vu_wire_region r[2] = { standard_region, standard_region };
	int fds[2] = { mem_fd(INT64_MAX), mem_fd(INT64_MAX) };

	config.max_memory = UINT64_C(1) << 62;
	peer_configure(p, &config);
	r[0].gpa = r[0].uva = 0;
	r[0].size = UINT64_C(1) << 62;
	r[1].gpa = r[1].uva = UINT64_C(1) << 62;
	r[1].size = (UINT64_C(1) << 63) - 4 * KIB - r[1].gpa;
	refused(p, send_mem_table(p, r, fds, 2), -E2BIG, "region 1 of");
	assert_int_equal(p->n_map, 0);
}

static void
empty_table_takes_all_memory_away(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_mem_table(p, NULL, NULL, 0));
	assert_int_equal(p->core.n_regions, 0);
	assert_int_equal(p->n_unmap, 1);
	assert_false(p->core.rings[0].run);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(region_is_mapped_and_told),
		peer_test(region_at_an_offset_into_its_file_is_mapped_there),
		peer_test(memory_region_beyond_file_end_is_refused),
		peer_test(offset_counts_towards_the_file_end),
		peer_test(empty_region_is_refused),
		peer_test(unaligned_regions_are_refused),
		peer_test(regions_that_wrap_around_are_refused),
		peer_test(regions_overlapping_in_guest_addresses_are_refused),
		peer_test(regions_overlapping_in_user_addresses_are_refused),
		peer_test(neighbouring_regions_are_fine),
		peer_test(unsealed_file_is_refused_when_seals_are_required),
		peer_test(unsealed_file_is_taken_where_allowed),
		peer_test(file_sealed_against_writing_is_refused),
		peer_test(file_open_for_reading_only_is_refused),
		peer_test(path_fd_is_refused),
		peer_test(fds_that_are_no_files_are_refused),
		peer_test(file_on_a_disk_is_refused),
		peer_test(regions_without_fds_are_refused),
		peer_test(regions_must_fit_the_payload),
		peer_test(spare_bytes_after_the_regions_are_taken),
		peer_test(more_regions_than_configured_are_refused),
		peer_test(table_of_more_memory_than_configured_is_refused),
		peer_test(
			memory_up_to_the_configured_sum_is_taken_again_and_again),
		peer_test(regions_that_together_wrap_around_are_refused),
		peer_test(empty_table_takes_all_memory_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
