/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Chains in tables, and chains of many descriptors: how many descriptors a
 * packet may have, and that a peer cannot make bursts long with them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "peer/fakepeer.h"

#define W	VRING_DESC_F_WRITE
#define N	VRING_DESC_F_NEXT
#define IND	VRING_DESC_F_INDIRECT
#define HDR	12u
#define GOOD	(FP_LOW + 0x40000)

/* Driver: an indirect table of @n descriptors, of which the last one has @size
 * bytes and the others @rest. Returns its gpa. */
static uint64_t
make_table(struct fakepeer *fp, unsigned int n, uint32_t rest, uint32_t size)
{
	uint64_t gpa = RTE_ALIGN_CEIL(fp_buffer(fp, 16 * n + 16), 16);
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t len = i < n - 1 ? rest : size;
		struct vring_desc d = {
			.addr = fp_buffer(fp, len), .len = len,
			.flags = W | (i < n - 1 ? N : 0), .next = i + 1,
		};
		/* A table may lie across regions, a descriptor of it not. */
		memcpy(fp_addr(gpa + 16ull * i), &d, sizeof(d));
	}
	return gpa;
}

/* The limit is one of each chain (virtio 1.x, 2.7.5.3.1). */
static void
packet_over_several_tables_may_have_more_descriptors_than_the_ring(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG | FP_INDIRECT, 4);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m;
	unsigned int i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 4; i++) {
			fp_desc(r->desc, i, make_table(fp, 3, 100, 100),
				3 * 16, IND, 0);
			fp_avail(r, i);
		}
		fp_publish(r);
		m = fp_packet(12 * 100 - HDR, round);
		assert_int_equal(fp_tx(fp, &m, 1), 1);
		fp_check_sent(r, 12 * 100 - HDR, round);
		assert_null(fp_used(r));
	}
	assert_int_equal(fp_xstat(fp, "tx_ring0_packets"), 3);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	fp_free(fp);
}

/* ... but no packet is worth any number of them. */
static void
packet_over_tables_of_nothing_is_dropped(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG | FP_INDIRECT, 1024);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	uint64_t table = make_table(fp, 150, 0, 8);
	struct rte_mbuf *pkts[32];
	unsigned int i, got, dropped = 0;

	(void)state;
	for (i = 0; i < 32; i++)
		pkts[i] = fp_packet(60, i);
	for (i = 0; i < 1000; i++) {
		fp_desc(r->desc, i, table, 150 * 16, IND, 0);
		fp_avail(r, i);
	}
	fp_publish(r);
	while (dropped < 32) {
		got = fp_tx(fp, pkts + dropped, 32 - dropped);
		assert_in_range(got, 1, 7);
		dropped += got;
	}
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 32);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	assert_int_equal(r->used->idx, 0);
	fp_free(fp);
}

/*
 * Driver: @n chains that have all but their heads in common: nothing in
 * @len - 2 descriptors, and a buffer in the last.
 */
static void
post_long_chains(struct fp_ring *r, unsigned int n, unsigned int len,
		 uint32_t size, uint16_t flags)
{
	const unsigned int last = n + len - 2;
	unsigned int i;

	for (i = 0; i < last; i++)
		fp_desc(r->desc, i, GOOD, 0, flags | N, i < n ? n : i + 1);
	fp_desc(r->desc, last, GOOD, size, flags, 0);
	for (i = 0; i < n; i++)
		fp_avail(r, i);
	fp_publish(r);
}

/* Whoever polls other ports as well may not be kept by one of them. */
static void
receiving_long_chains_does_not_make_bursts_long(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, 1024);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[32];
	unsigned int bursts;

	(void)state;
	fp_fill(GOOD, 0, HDR + 60, 7);
	post_long_chains(r, 32, 256, HDR + 60, 0);
	for (bursts = 0; bursts < 32; bursts++) {
		assert_int_equal(fp_rx(fp, pkts, 32), 1);
		fp_check_mbuf(pkts[0], 60, 7);
		rte_pktmbuf_free(pkts[0]);
		assert_int_equal(r->used->idx, bursts + 1);
	}
	assert_int_equal(fp_rx(fp, pkts, 32), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_violations"), 0);
	fp_free(fp);
}

static void
sending_into_long_chains_does_not_make_bursts_long(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG, 1024);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *pkts[32];
	unsigned int i, got, sent = 0;

	(void)state;
	for (i = 0; i < 32; i++)
		pkts[i] = fp_packet(60, i);
	post_long_chains(r, 32, 256, 2000, W);
	while (sent < 32) {
		got = fp_tx(fp, pkts + sent, 32 - sent);
		assert_in_range(got, 1, 8);
		sent += got;
		assert_int_equal(r->used->idx, sent);
	}
	assert_int_equal(fp_xstat(fp, "tx_ring0_packets"), 32);
	assert_int_equal(fp_xstat(fp, "tx_ring0_violations"), 0);
	fp_free(fp);
}

/* Nor may packets that no chain can hold. */
static void
dropping_at_long_chains_does_not_make_bursts_long(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, 1024);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *pkts[32];
	unsigned int i, got, dropped = 0;

	(void)state;
	for (i = 0; i < 32; i++)
		pkts[i] = fp_packet(60, i);
	post_long_chains(r, 1, 256, HDR + 59, W);
	while (dropped < 32) {
		got = fp_tx(fp, pkts + dropped, 32 - dropped);
		assert_in_range(got, 1, 8);
		dropped += got;
	}
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 32);
	assert_int_equal(r->used->idx, 0);
	fp_free(fp);
}

/* As many as DPDK's vhost takes are taken; one more is refused. */
static void
longest_chain_is_256(void **state)
{
	static const unsigned int lens[] = { 256, 257 };
	struct rte_mbuf *pkts[32];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fakepeer *fp = fp_new(FP_MODERN, 1024);

		post_long_chains(&fp->rings[FP_FROM_PEER], 1, lens[i],
				 HDR + 60, 0);
		assert_int_equal(fp_rx(fp, pkts, 32), 1 - i);
		if (i == 0)
			rte_pktmbuf_free(pkts[0]);
		else
			assert_true(fp_wait_broken(fp, FP_FROM_PEER));
		assert_int_equal(fp_xstat(fp, "violation_chain_length"), i);
		fp_free(fp);
	}
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
	packet_over_several_tables_may_have_more_descriptors_than_the_ring),
		cmocka_unit_test(packet_over_tables_of_nothing_is_dropped),
		cmocka_unit_test(
			receiving_long_chains_does_not_make_bursts_long),
		cmocka_unit_test(
			sending_into_long_chains_does_not_make_bursts_long),
		cmocka_unit_test(
			dropping_at_long_chains_does_not_make_bursts_long),
		cmocka_unit_test(longest_chain_is_256),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
