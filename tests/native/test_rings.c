/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Split rings with an honest peer: every packet arrives unchanged, once and in
 * order, with any layout of the buffers.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "peer/fakepeer.h"

#define W	VRING_DESC_F_WRITE
#define N	VRING_DESC_F_NEXT
#define IND	VRING_DESC_F_INDIRECT
#define NUM	64
#define HDR	12u
#define GOOD	(FP_LOW + 0x40000)
#define MAX_PIECES 6

static unsigned int seed;

static uint32_t
pick(uint32_t from, uint32_t to)
{
	return from + rand_r(&seed) % (to - from + 1);
}

static uint32_t
packet_size(void)
{
	static const uint32_t sizes[] = {
		14, 60, 64, 127, 128, 129, 1500, 1514, 9014,
	};
	return rand_r(&seed) % 2 ? pick(14, 1600) :
		sizes[rand_r(&seed) % RTE_DIM(sizes)];
}

/*
 * Driver: make a chain of @total bytes cut at random, direct or in a table
 * (@indirect), with @flags on each; filled with packet @kind if it is to be
 * read. Returns false if the ring has no room.
 */
static bool
post_chain(struct fakepeer *fp, struct fp_ring *r, uint32_t total,
	   uint16_t flags, bool indirect, uint8_t kind)
{
	unsigned int n = pick(1, MAX_PIECES), i;
	struct vring_desc table[MAX_PIECES] = { 0 };
	uint16_t head = r->next_desc % NUM;
	uint32_t at = 0;
	uint64_t gpa;

	for (i = 0; i < n; i++) {
		uint32_t len = i == n - 1 ? total - at : pick(0, total - at);

		/* Many headers are cut in odd places. */
		if (i < n - 1 && pick(0, 1))
			len = RTE_MIN(pick(0, 15), total - at);
		gpa = fp_buffer(fp, len);
		if (!(flags & W))
			fp_fill(gpa, at, len, kind);
		fp_desc(table, i, gpa, len, flags | (i < n - 1 ? N : 0), i + 1);
		at += len;
	}
	if (indirect) {
		gpa = RTE_ALIGN_CEIL(fp_buffer(fp, sizeof(table) + 16), 16);
		for (i = 0; i < n * sizeof(table[0]); i++)
			*(uint8_t *)fp_addr(gpa + i) = ((uint8_t *)table)[i];
		fp_desc(r->desc, head, gpa, n * sizeof(table[0]), IND, 0);
		r->next_desc++;
	} else {
		for (i = 0; i < n; i++) {
			table[i].next = r->next_desc + 1;
			table[i].next %= NUM;
			r->desc[r->next_desc++ % NUM] = table[i];
		}
	}
	fp_avail(r, head);
	return true;
}

static void
receive_round(struct fakepeer *fp, unsigned int n, bool indirect)
{
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[32];
	uint32_t len[32];
	unsigned int i, got;

	for (i = 0; i < n; i++) {
		len[i] = packet_size();
		assert_true(post_chain(fp, r, HDR + len[i], 0,
				       indirect && pick(0, 1), i));
	}
	fp_publish(r);
	got = fp_rx(fp, pkts, 32);
	assert_int_equal(got, n);
	for (i = 0; i < n; i++) {
		const struct vring_used_elem *used = fp_used(r);

		assert_non_null(used);
		assert_int_equal(used->len, 0);
		fp_check_mbuf(pkts[i], len[i], i);
		assert_int_equal(pkts[i]->port, fp->port);
	}
	assert_null(fp_used(r));
	rte_pktmbuf_free_bulk(pkts, got);
}

static void
packets_of_every_layout_are_received(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_INDIRECT, NUM);
	unsigned int i;

	(void)state;
	for (i = 0; i < 3000; i++)
		receive_round(fp, pick(1, NUM / MAX_PIECES), true);
	assert_int_equal(fp_xstat(fp, "rx_ring0_violations"), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 0);
	fp_free(fp);
}

/* A packet in one to three segments. */
static struct rte_mbuf *
cut_packet(uint32_t len, uint8_t kind)
{
	struct rte_mbuf *m = fp_packet(len, kind), *tail;
	uint32_t first = pick(1, len);

	if (first == len || pick(0, 1))
		return m;
	tail = fp_packet(len, kind);
	rte_pktmbuf_adj(tail, first);
	rte_pktmbuf_trim(m, len - first);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	return m;
}

static void
send_round(struct fakepeer *fp, unsigned int n, bool indirect, bool mergeable)
{
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *pkts[8];
	uint32_t len[8], room;
	unsigned int i;

	/* Buffers for these packets and no more: mergeable ones of any size
	 * that add up, others each as large as its packet, or larger. */
	for (i = 0; i < n; i++) {
		len[i] = mergeable ? pick(14, 400) : packet_size();
		pkts[i] = cut_packet(len[i], i);
		room = HDR + len[i];
		if (!mergeable) {
			post_chain(fp, r, room + pick(0, 100), W,
				   indirect && pick(0, 1), 0);
			continue;
		}
		while (room > 0) {
			uint32_t part = RTE_MIN(room, pick(100, 300));

			fp_post(r, fp_buffer(fp, part), part, W);
			room -= part;
		}
	}
	fp_publish(r);
	assert_int_equal(fp_tx(fp, pkts, n), n);
	for (i = 0; i < n; i++)
		fp_check_sent(r, len[i], i);
	assert_null(fp_used(r));
}

static void
packets_are_sent_to_chains_of_every_layout(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_INDIRECT, NUM);
	unsigned int i;

	(void)state;
	for (i = 0; i < 3000; i++)
		send_round(fp, pick(1, 8), true, false);
	fp_free(fp);
}

static void
packets_are_sent_to_mergeable_buffers(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG, NUM);
	unsigned int i;

	(void)state;
	for (i = 0; i < 3000; i++)
		send_round(fp, pick(1, 8), false, true);
	fp_free(fp);
}

static void
jumbo_takes_many_mergeable_buffers(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG, NUM);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *pkts[2] = { fp_packet(9014, 3), fp_packet(60, 4) };
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		fp_post(r, fp_buffer(fp, 1536), 1536, W);
	assert_int_equal(fp_tx(fp, pkts, 2), 2);
	fp_check_sent(r, 9014, 3);
	fp_check_sent(r, 60, 4);
	assert_int_equal(fp_xstat(fp, "tx_ring0_packets"), 2);
	assert_int_equal(fp_xstat(fp, "tx_ring0_bytes"), 9074);
	fp_free(fp);
}

static void
packet_waits_until_the_peer_offers_enough_buffers(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG, NUM);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m = fp_packet(3000, 3);

	(void)state;
	fp_post(r, fp_buffer(fp, 1536), 1536, W);
	assert_int_equal(fp_tx(fp, &m, 1), 0);
	assert_null(fp_used(r));
	assert_int_equal(fp_xstat(fp, "tx_ring0_full"), 1);
	fp_post(r, fp_buffer(fp, 1536), 1536, W);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	fp_check_sent(r, 3000, 3);
	fp_free(fp);
}

static void
packet_that_never_fits_is_dropped_and_counted(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *pkts[2] = { fp_packet(2000, 1), fp_packet(60, 2) };

	(void)state;
	fp_post(r, GOOD, 1526, W);
	assert_int_equal(fp_tx(fp, pkts, 2), 2);
	fp_check_sent(r, 60, 2);
	assert_null(fp_used(r));
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 1);
	assert_int_equal(fp_xstat(fp, "tx_ring0_packets"), 1);
	fp_free(fp);
}

static void
whole_ring_too_small_drops_the_packet(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_MRG, NUM);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m = fp_packet(9000, 1);
	unsigned int i;

	(void)state;
	for (i = 0; i < NUM; i++)
		fp_post(r, GOOD + i * 64, 64, W);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_null(fp_used(r));
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 1);
	fp_free(fp);
}

static void
odd_packets_are_dropped_and_counted(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[32];

	(void)state;
	fp_post(r, GOOD, HDR + 13, 0);		/* runt */
	fp_post(r, GOOD, HDR + 20000, 0);	/* longer than an mbuf */
	fp_post(r, GOOD, HDR + 14, 0);
	assert_int_equal(fp_rx(fp, pkts, 32), 1);
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(fp_xstat(fp, "rx_ring0_runt"), 1);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 1);
	assert_int_equal(r->used->idx, 3);
	fp_free(fp);
}

static void
legacy_header_has_ten_bytes(void **state)
{
	struct fakepeer *fp = fp_new(0, NUM);
	struct fp_ring *rx = &fp->rings[FP_FROM_PEER];
	struct fp_ring *tx = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m;

	(void)state;
	fp_post(rx, GOOD, 10 + 60, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	assert_int_equal(m->pkt_len, 60);
	fp_post(tx, GOOD, 2000, W);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_int_equal(fp_used(tx)->len, 10 + 60);
	fp_free(fp);
}

static void
indices_wrap(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];

	(void)state;
	fp->peer.rings[FP_FROM_PEER].base = 0xfff0;
	fp->peer.rings[FP_FROM_PEER].epoch++;
	r->avail_idx = 0xfff0;
	r->used_idx = 0xfff0;
	r->used->idx = 0xfff0;
	fp_publish(r);
	fp_adopt(fp);
	for (int i = 0; i < 20; i++)
		receive_round(fp, 10, false);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_every_layout_are_received),
		cmocka_unit_test(packets_are_sent_to_chains_of_every_layout),
		cmocka_unit_test(packets_are_sent_to_mergeable_buffers),
		cmocka_unit_test(jumbo_takes_many_mergeable_buffers),
		cmocka_unit_test(
			packet_waits_until_the_peer_offers_enough_buffers),
		cmocka_unit_test(packet_that_never_fits_is_dropped_and_counted),
		cmocka_unit_test(whole_ring_too_small_drops_the_packet),
		cmocka_unit_test(odd_packets_are_dropped_and_counted),
		cmocka_unit_test(legacy_header_has_ten_bytes),
		cmocka_unit_test(indices_wrap),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	(void)argc;
	seed = from != NULL ? strtoul(from, NULL, 0) : (unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", seed);
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
