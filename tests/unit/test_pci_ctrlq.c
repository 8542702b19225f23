/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's control virtqueue. The test acts as the device, also as one that
 * returns buffers that it does not have.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_common.h>
#include <rte_eal.h>

#include "pci/ctrlq.h"

#define BUF_LEN 256

struct bed {
	struct vhostpci_ctrlq q;
	volatile uint16_t doorbell; /* what the driver wrote last */
	uint16_t seen;		    /* device: next avail index */
};

static void
use(struct bed *b, uint32_t id, uint32_t len)
{
	uint16_t at = b->q.used->idx;

	b->q.used->ring[at % b->q.num].id = id;
	b->q.used->ring[at % b->q.num].len = len;
	b->q.used->idx = at + 1;
}

/* Device: the next buffer that the driver made available, or -1. */
static int
next_avail(struct bed *b)
{
	if (b->seen == b->q.avail->idx)
		return -1;
	return b->q.avail->ring[b->seen++ % b->q.num];
}

static int
setup(void **state)
{
	static struct bed b;

	memset(&b, 0, sizeof(b));
	b.doorbell = UINT16_MAX;
	*state = &b;
	if (vhostpci_ctrlq_init(&b.q, "test", -1, 1, 4, BUF_LEN, true) != 0)
		return -1;
	b.q.notify = &b.doorbell;
	return 0;
}

static int
teardown(void **state)
{
	struct bed *b = *state;

	vhostpci_ctrlq_free(&b->q);
	return 0;
}

static void
bad_sizes_are_refused(void **state)
{
	struct vhostpci_ctrlq q;

	(void)state;
	assert_int_equal(vhostpci_ctrlq_init(&q, "bad", -1, 0, 0, 64, true),
			 -EINVAL);
	assert_int_equal(vhostpci_ctrlq_init(&q, "bad", -1, 0, 3, 64, true),
			 -EINVAL);
	assert_int_equal(vhostpci_ctrlq_init(&q, "bad", -1, 0, 32, 64, true),
			 -EINVAL);
}

static void
every_buffer_goes_out_once(void **state)
{
	struct bed *b = *state;
	unsigned int i, seen = 0;
	int id;

	for (i = 0; i < 4; i++) {
		id = vhostpci_ctrlq_get(&b->q);
		assert_true(id >= 0);
		vhostpci_ctrlq_post(&b->q, id, BUF_LEN);
	}
	assert_int_equal(vhostpci_ctrlq_get(&b->q), -ENOBUFS);
	while ((id = next_avail(b)) >= 0) {
		assert_int_equal(b->q.desc[id].len, BUF_LEN);
		assert_int_equal(b->q.desc[id].flags, VRING_DESC_F_WRITE);
		assert_int_equal(b->q.desc[id].addr,
				 b->q.bufs_iova + (uint64_t)id * BUF_LEN);
		seen |= 1u << id;
	}
	assert_int_equal(seen, 0xf);
}

static void
indices_wrap(void **state)
{
	struct bed *b = *state;
	uint32_t len, n;
	int id;

	for (n = 0; n < 3 * 65536; n++) {
		id = vhostpci_ctrlq_get(&b->q);
		vhostpci_ctrlq_post(&b->q, id, BUF_LEN);
		assert_int_equal(next_avail(b), id);
		assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EAGAIN);
		use(b, id, n % BUF_LEN);
		assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), id);
		assert_int_equal(len, n % BUF_LEN);
	}
}

static void
out_of_order_use_is_fine(void **state)
{
	struct bed *b = *state;
	uint32_t len;

	vhostpci_ctrlq_post(&b->q, 0, BUF_LEN);
	vhostpci_ctrlq_post(&b->q, 1, BUF_LEN);
	use(b, 1, 1);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), 1);
	assert_int_equal(vhostpci_ctrlq_get(&b->q), 1);
	use(b, 0, 1);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), 0);
}

static void
a_length_beyond_the_buffer_is_cut(void **state)
{
	struct bed *b = *state;
	uint32_t len;

	vhostpci_ctrlq_post(&b->q, 2, BUF_LEN);
	use(b, 2, UINT32_MAX);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), 2);
	assert_int_equal(len, BUF_LEN);
}

static void
a_buffer_the_device_does_not_have_is_an_error(void **state)
{
	struct bed *b = *state;
	uint32_t len;

	vhostpci_ctrlq_post(&b->q, 2, BUF_LEN);
	use(b, 4, 1);		/* no such descriptor */
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EIO);
	use(b, UINT32_MAX, 1);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EIO);
	use(b, 1, 1);		/* ours: never posted */
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EIO);
	use(b, 2, 1);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), 2);
	use(b, 2, 1);		/* used twice */
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EIO);
	assert_int_equal(vhostpci_ctrlq_take(&b->q, &len), -EAGAIN);
}

static void
the_device_may_decline_kicks(void **state)
{
	struct bed *b = *state;

	b->q.used->flags = VRING_USED_F_NO_NOTIFY;
	vhostpci_ctrlq_kick(&b->q);
	assert_int_equal(b->doorbell, UINT16_MAX);
	b->q.used->flags = 0;
	vhostpci_ctrlq_kick(&b->q);
	assert_int_equal(b->doorbell, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const char *eal[] = { "test", "--no-huge", "--no-pci", "--no-shconf",
			      "-m", "16", "--no-telemetry", "--log-level=3",
			      "--lcores=0@0", "--file-prefix=ctrlq" };
	const struct CMUnitTest tests[] = {
		TEST(bad_sizes_are_refused),
		TEST(every_buffer_goes_out_once),
		TEST(indices_wrap),
		TEST(out_of_order_use_is_fine),
		TEST(a_length_beyond_the_buffer_is_cut),
		TEST(a_buffer_the_device_does_not_have_is_an_error),
		TEST(the_device_may_decline_kicks),
	};

	/* EAL changes the order of the array, not the strings. */
	if (rte_eal_init(RTE_DIM(eal), (char **)(uintptr_t)eal) < 0)
		return 1;
	return cmocka_run_group_tests_name("pci_ctrlq", tests, NULL, NULL);
}
