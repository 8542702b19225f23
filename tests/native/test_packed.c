/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packed rings with an honest peer (virtio 1.x, 2.8): every packet arrives
 * unchanged, once and in order, with any layout of the buffers and any size of
 * the ring; and calls come when the peer has asked for them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peer/packed_rounds.h"
#include "vring/ring.h"

#define W VRING_DESC_F_WRITE
#define ROUNDS 1000
#define GOOD (FP_LOW + 0x40000)

static void
receive(uint16_t num, uint64_t features)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, num);
	struct fp_packed p;
	unsigned int i;

	fp_packed_of(&p, fp, FP_FROM_PEER);
	for (i = 0; i < ROUNDS; i++)
		pr_receive_round(fp, &p, pr_pick(1, 32),
				 features & FP_INDIRECT);
	assert_int_equal(fp_xstat(fp, "rx_ring0_violations"), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 0);
	fp_free(fp);
}

static void
packets_of_every_layout_are_received(void **state)
{
	(void)state;
	receive(256, FP_INDIRECT);
	receive(37, FP_INDIRECT);
	receive(8, 0);
	receive(1, 0);
}

static void
packets_are_received_in_batches_of_a_ring_in_order(void **state)
{
	(void)state;
	receive(256, FP_IN_ORDER | FP_INDIRECT);
	receive(37, FP_IN_ORDER);
	receive(7, FP_IN_ORDER);
}

static void
transmit(uint16_t num, uint64_t features)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, num);
	struct fp_packed p;
	unsigned int i;

	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < ROUNDS; i++)
		pr_send_round(fp, &p, pr_pick(1, 8), features & FP_INDIRECT,
			      features & FP_MRG);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 0);
	fp_free(fp);
}

static void
packets_are_sent_to_chains_of_every_layout(void **state)
{
	(void)state;
	transmit(256, FP_INDIRECT);
	transmit(37, FP_INDIRECT | FP_IN_ORDER);
	transmit(7, 0);
	transmit(1, 0);
}

static void
packets_are_sent_to_mergeable_buffers(void **state)
{
	(void)state;
	transmit(256, FP_MRG);
	transmit(37, FP_MRG | FP_IN_ORDER);
	transmit(7, FP_MRG);
}

static void
packet_that_does_not_fit_leaves_the_ring_alone(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_MRG, 3);
	struct rte_mbuf *m = fp_packet(200, 3);
	struct pr_buf b[3];
	struct fp_packed p;
	unsigned int i;

	(void)state;
	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < 2; i++) {
		b[i].n = 1;
		pr_cut(fp, &b[i], 100, W);
		b[i].id = fp_packed_post(&p, b[i].bufs, 1);
	}
	assert_int_equal(fp_tx(fp, &m, 1), 0);
	pr_nothing_more(&p);
	b[2].n = 1;
	pr_cut(fp, &b[2], 100, W);
	b[2].id = fp_packed_post(&p, b[2].bufs, 1);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_int_equal(pr_check_sent(&p, b, 200, 3), 3);
	/* One that all of the ring cannot hold is dropped. */
	for (i = 0; i < 3; i++)
		b[i].id = fp_packed_post(&p, b[i].bufs, 1);
	m = fp_packet(400, 4);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	pr_nothing_more(&p);
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 1);
	fp_free(fp);
}

/* The limit is one of each chain (virtio 1.x, 2.8.19). */
static void
packet_over_several_tables_may_have_more_descriptors_than_the_ring(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_MRG |
				     FP_INDIRECT, 4);
	struct rte_mbuf *m = fp_packet(1200 - PR_HDR, 5);
	struct pr_buf b[4];
	struct fp_packed p;
	unsigned int i, k;

	(void)state;
	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < 4; i++) {
		uint64_t gpa = GOOD + 256 * i;

		b[i].n = 3;
		for (k = 0; k < 3; k++)
			b[i].bufs[k] = (struct fp_packed_buf){
				.gpa = fp_buffer(fp, 100), .len = 100,
				.flags = W,
			};
		b[i].id = fp_packed_post_table(&p, gpa, fp_addr(gpa), b[i].bufs,
					       3);
	}
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_int_equal(pr_check_sent(&p, b, 1200 - PR_HDR, 5), 4);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	fp_free(fp);
}

/* Driver: @n buffers of @len bytes. */
static void
post_small(struct fakepeer *fp, struct fp_packed *p, struct pr_buf *b,
	   unsigned int n, uint32_t len)
{
	for (; n > 0; n--, b++) {
		b->n = 1;
		b->bufs[0] = (struct fp_packed_buf){
			.gpa = fp_buffer(fp, len), .len = len, .flags = W,
		};
		b->id = fp_packed_post(p, b->bufs, 1);
	}
}

/* As many chains as packets can take between two commits: the first takes
 * some, most take one, and the last one the most that any may. */
static void
most_buffers_at_once(uint64_t features, unsigned int last)
{
	static struct pr_buf b[FP_PACKED_MAX];
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_MRG | features,
				     1200);
	const unsigned int n = 32, first = 15;
	const uint32_t len = 100 + (last - 1) * 8 - PR_HDR;
	struct rte_mbuf *pkts[32];
	struct fp_packed p;
	unsigned int i;

	fp_packed_of(&p, fp, FP_TO_PEER);
	pkts[0] = fp_packet(first * 100 - PR_HDR, 0);
	for (i = 1; i < n - 1; i++)
		pkts[i] = fp_packet(100 - PR_HDR, i);
	pkts[n - 1] = fp_packet(len, n - 1);
	post_small(fp, &p, b, first + n - 1, 100);
	post_small(fp, &p, b + first + n - 1, last - 1, 8);

	assert_int_equal(fp_tx(fp, pkts, n), n);
	assert_int_equal(pr_check_sent(&p, b, first * 100 - PR_HDR, 0), first);
	for (i = 1; i < n - 1; i++)
		assert_int_equal(pr_check_sent(&p, b + first + i - 1,
					       100 - PR_HDR, i), 1);
	if (last <= VHOSTPCI_MAX_CHAIN)
		assert_int_equal(pr_check_sent(&p, b + first + n - 2, len,
					       n - 1), last);
	pr_nothing_more(&p);
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"),
			 last > VHOSTPCI_MAX_CHAIN);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	fp_free(fp);
}

static void
packet_over_very_many_buffers_is_sent_or_dropped(void **state)
{
	(void)state;
	most_buffers_at_once(0, VHOSTPCI_MAX_CHAIN);
	most_buffers_at_once(0, VHOSTPCI_MAX_CHAIN + 1);
	most_buffers_at_once(FP_IN_ORDER, VHOSTPCI_MAX_CHAIN);
	most_buffers_at_once(FP_IN_ORDER, VHOSTPCI_MAX_CHAIN + 1);
}

/* Two chains that overlap: only the head of the second says that it is
 * available. */
static void
packet_over_more_descriptors_than_there_are_breaks_the_ring(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_MRG, 4);
	struct fp_packed_buf bufs[3];
	struct rte_mbuf *m = fp_packet(400, 1);
	struct fp_packed p;
	unsigned int i;

	(void)state;
	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < 3; i++)
		bufs[i] = (struct fp_packed_buf){
			.gpa = GOOD, .len = 100, .flags = W,
		};
	assert_true(fp_packed_post(&p, bufs, 3) >= 0);
	assert_true(fp_packed_post(&p, bufs, 1) >= 0);
	p.desc[3].flags |= VRING_DESC_F_NEXT;
	assert_int_equal(fp_tx(fp, &m, 1), 0);
	assert_true(fp_wait_broken(fp, FP_TO_PEER));
	assert_string_equal(fp->rule, "descriptor chain too long or a loop");
	rte_pktmbuf_free(m);
	fp_free(fp);
}

/* How many calls sending @n packets makes. */
static unsigned int
calls_for(struct fakepeer *fp, struct fp_packed *p, unsigned int n)
{
	unsigned int before = fp->calls[FP_TO_PEER], i;
	struct pr_buf b = {.n = 1};
	struct rte_mbuf *pkts[10];

	for (i = 0; i < n; i++) {
		pr_cut(fp, &b, 100, W);
		fp_packed_post(p, b.bufs, 1);
		pkts[i] = fp_packet(60, i);
	}
	assert_int_equal(fp_tx(fp, pkts, n), n);
	for (i = 0; i < n; i++) {
		uint32_t len;
		uint16_t id;

		assert_true(fp_packed_used(p, &id, &len));
	}
	return fp->calls[FP_TO_PEER] - before;
}

static void
calls_come_as_the_driver_asks_for_them(void **state)
{
	const uint16_t num = 10;
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_EVENT_IDX, num);
	struct fp_packed p;
	unsigned int round, n;
	uint16_t ahead, at;

	(void)state;
	fp_packed_of(&p, fp, FP_TO_PEER);
	assert_int_equal(calls_for(fp, &p, 3), 1);
	fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_DISABLE, 0, false);
	assert_int_equal(calls_for(fp, &p, 3), 0);
	fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_ENABLE, 0, false);
	assert_int_equal(calls_for(fp, &p, 3), 1);
	/* When a place is reached, from each place, on both sides of the wrap
	 * counter. */
	for (round = 0; round < 40 * num; round++) {
		ahead = pr_pick(0, num - 1);
		n = pr_pick(1, num);
		at = p.used + ahead;
		fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_DESC, at % num,
			       p.used_wrap ^ (at >= num));
		assert_int_equal(calls_for(fp, &p, n), ahead < n);
	}
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_every_layout_are_received),
		cmocka_unit_test(
			packets_are_received_in_batches_of_a_ring_in_order),
		cmocka_unit_test(packets_are_sent_to_chains_of_every_layout),
		cmocka_unit_test(packets_are_sent_to_mergeable_buffers),
		cmocka_unit_test(
			packet_that_does_not_fit_leaves_the_ring_alone),
		cmocka_unit_test(
	packet_over_several_tables_may_have_more_descriptors_than_the_ring),
		cmocka_unit_test(
			packet_over_very_many_buffers_is_sent_or_dropped),
		cmocka_unit_test(
	packet_over_more_descriptors_than_there_are_breaks_the_ring),
		cmocka_unit_test(calls_come_as_the_driver_asks_for_them),
	};

	(void)argc;
	pr_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
