/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Peers with forbidden rings, features or regions: the ring does not run, and
 * the driver counts the broken rule and takes the link down.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "peer/fakepeer.h"

#define NUM	64
#define GOOD	(FP_LOW + 0x40000)	/* buffers of the tests */
#define RX	FP_FROM_PEER
#define TX	FP_TO_PEER

struct setup {
	const char *name, *xstat;
	void (*change)(struct fakepeer *fp);
};

static void
desc_unmapped(struct fakepeer *fp)
{
	fp->peer.rings[RX].desc = FP_HOLE;
}

static void
used_ends_unmapped(struct fakepeer *fp)
{
	fp->peer.rings[RX].used = FP_FAR + FP_SIZE - (6 + 8 * NUM) + 4;
}

static void
avail_across_regions(struct fakepeer *fp)
{
	fp->peer.rings[RX].avail = FP_HIGH - 10;
}

static void
misaligned(struct fakepeer *fp)
{
	fp->peer.rings[RX].used += 2;
}

static void
not_a_power_of_two(struct fakepeer *fp)
{
	fp->peer.rings[RX].num = NUM - 1;
}

static void
no_entries(struct fakepeer *fp)
{
	fp->peer.rings[RX].num = 0;
}

static void
too_many_entries(struct fakepeer *fp)
{
	fp->peer.rings[RX].num = 65535;
}

static void
never_offered(struct fakepeer *fp)
{
	fp->peer.features |= 1ULL << VIRTIO_F_RING_RESET;
}

static void
overlapping(struct fakepeer *fp)
{
	fp->peer.regions[1].gpa -= 4096;
}

static void
wrapping(struct fakepeer *fp)
{
	fp->peer.regions[2].gpa = UINT64_MAX - 4096;
}

static const struct setup setups[] = {
	{ "descriptors unmapped", "ring_memory", desc_unmapped },
	{ "used ring ends unmapped", "ring_memory", used_ends_unmapped },
	{ "avail ring across regions", "ring_memory", avail_across_regions },
	{ "used ring misaligned", "ring_align", misaligned },
	{ "63 entries", "ring_size", not_a_power_of_two },
	{ "0 entries", "ring_size", no_entries },
	{ "65535 entries", "ring_size", too_many_entries },
	{ "features that were not offered", "features", never_offered },
	{ "regions overlap", "regions", overlapping },
	{ "region wraps around", "regions", wrapping },
};

static void
bad_setup_leaves_the_ring_stopped(void **state)
{
	char xstat[64];
	size_t i;

	(void)state;
	for (i = 0; i < RTE_DIM(setups); i++) {
		struct fakepeer *fp = fp_new(FP_MODERN, NUM);

		print_message("  %s\n", setups[i].name);
		snprintf(xstat, sizeof(xstat), "violation_%s",
			 setups[i].xstat);
		setups[i].change(fp);
		fp->peer.rings[RX].epoch++;
		fp_adopt(fp);
		assert_false(fp_link(fp));
		assert_true(fp_wait_broken(fp, RX));
		assert_in_range(fp_xstat(fp, xstat), 1, 2);
		fp_post(&fp->rings[RX], GOOD, 112, 0);
		assert_int_equal(fp_burst(fp, RX), 0);
		fp_free(fp);
	}
}

static void
peer_truncating_its_table_breaks_rings_outside_it(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);

	(void)state;
	fp->peer.regions[0] = fp->peer.regions[2];
	fp->peer.n_regions = 2;
	fp_adopt(fp);
	assert_true(fp_wait_broken(fp, RX));
	assert_true(fp_wait_broken(fp, TX));
	assert_int_equal(fp_xstat(fp, "violation_ring_memory"), 2);
	assert_int_equal(fp_burst(fp, RX), 0);
	assert_int_equal(fp_burst(fp, TX), 0);
	fp_free(fp);
}

/* The receive queue's used ring ends where its region does, but for the event
 * index. */
static struct fakepeer *
ring_at_the_end_of_its_region(uint64_t features)
{
	const uint64_t used_len = sizeof(struct vring_used) +
		NUM * sizeof(struct vring_used_elem);
	struct fakepeer *fp = fp_new(features, NUM);
	const struct vhostpci_region *last = &fp->peer.regions[FP_REGIONS - 1];

	fp->peer.rings[RX].used = last->gpa + last->size - used_len;
	fp->peer.rings[RX].epoch++;
	fp_adopt(fp);
	return fp;
}

static void
ring_without_event_index_may_end_with_its_region(void **state)
{
	struct fakepeer *fp = ring_at_the_end_of_its_region(FP_MODERN);

	(void)state;
	assert_true(fp_link(fp));
	fp_free(fp);

	fp = ring_at_the_end_of_its_region(FP_MODERN | FP_EVENT_IDX);
	assert_true(fp_wait_broken(fp, RX));
	assert_false(fp_link(fp));
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_setup_leaves_the_ring_stopped),
		cmocka_unit_test(
			peer_truncating_its_table_breaks_rings_outside_it),
		cmocka_unit_test(
			ring_without_event_index_may_end_with_its_region),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
