/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Peers that break a rule: the ring stops, the rule is counted, reported and
 * takes the link down; nothing is read or written outside the peer's memory
 * (guard pages; a sanitizer build besides); the peer may start again.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "peer/fakepeer.h"

#define W	VRING_DESC_F_WRITE
#define N	VRING_DESC_F_NEXT
#define IND	VRING_DESC_F_INDIRECT
#define NUM	64
#define GOOD	(FP_LOW + 0x40000)	/* buffers and tables of the tests */
#define TABLE	(FP_LOW + 0x50000)

/* Descriptor 0 is the head that is made available. */
struct attack {
	const char *name;
	unsigned int ring;
	uint64_t features;
	void (*attack)(struct fp_ring *r);
	const char *xstat;
};

static void
head0(struct fp_ring *r)
{
	fp_avail(r, 0);
	fp_publish(r);
}

static void
avail_jump(struct fp_ring *r)
{
	r->avail_idx = NUM + 1;
	fp_publish(r);
}

static void
avail_back(struct fp_ring *r)
{
	r->avail_idx = -1;
	fp_publish(r);
}

static void
head_beyond(struct fp_ring *r)
{
	fp_avail(r, NUM);
	fp_publish(r);
}

static void
head_far_beyond(struct fp_ring *r)
{
	fp_avail(r, 0xffff);
	fp_publish(r);
}

static void
next_beyond(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 4, N, NUM);
	head0(r);
}

static void
next_beyond_w(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 4, N | W, NUM);
	head0(r);
}

static void
loop_r(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 1, N, 1);
	fp_desc(r->desc, 1, GOOD, 1, N, 0);
	head0(r);
}

/* Of descriptors that hold nothing: no length ever ends it. */
static void
empty_loop_w(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 0, N | W, 0);
	head0(r);
}

static void
loop_in_table(struct fp_ring *r)
{
	fp_desc(fp_addr(TABLE), 0, GOOD, 0, N, 0);
	fp_desc(r->desc, 0, TABLE, 16, IND, 0);
	head0(r);
}

static void
table_next(struct fp_ring *r)
{
	fp_desc(r->desc, 0, TABLE, 16, IND | N, 1);
	head0(r);
}

static void
table_odd(struct fp_ring *r)
{
	fp_desc(r->desc, 0, TABLE, 17, IND, 0);
	head0(r);
}

static void
table_empty(struct fp_ring *r)
{
	fp_desc(r->desc, 0, TABLE, 0, IND, 0);
	head0(r);
}

static void
table_too_long(struct fp_ring *r)
{
	fp_desc(r->desc, 0, TABLE, 16 * (NUM + 1), IND, 0);
	head0(r);
}

static void
table_nested(struct fp_ring *r)
{
	fp_desc(fp_addr(TABLE), 0, TABLE, 16, IND, 0);
	fp_desc(r->desc, 0, TABLE, 16, IND, 0);
	head0(r);
}

static void
table_nested_later(struct fp_ring *r)
{
	fp_desc(fp_addr(TABLE), 0, GOOD, 20, N, 1);
	fp_desc(fp_addr(TABLE), 1, TABLE, 16, IND, 0);
	fp_desc(r->desc, 0, TABLE, 32, IND, 0);
	head0(r);
}

static void
table_next_beyond(struct fp_ring *r)
{
	fp_desc(fp_addr(TABLE), 0, GOOD, 20, N, 1);
	fp_desc(r->desc, 0, TABLE, 16, IND, 0);
	head0(r);
}

static void
table_unmapped(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_HOLE, 16, IND, 0);
	head0(r);
}

/* The first descriptor is mapped, the last is not. */
static void
table_ends_unmapped(struct fp_ring *r)
{
	fp_desc(fp_addr(FP_FAR + FP_SIZE - 16), 0, GOOD, 100, 0, 0);
	fp_desc(r->desc, 0, FP_FAR + FP_SIZE - 16, 32, IND, 0);
	head0(r);
}

static void
table_plain(struct fp_ring *r)
{
	fp_desc(fp_addr(TABLE), 0, GOOD, 100, 0, 0);
	fp_desc(r->desc, 0, TABLE, 16, IND, 0);
	head0(r);
}

static void
writable(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 100, W, 0);
	head0(r);
}

static void
read_only(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 2000, 0, 0);
	head0(r);
}

static void
unmapped(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_HOLE, 100, 0, 0);
	head0(r);
}

static void
unmapped_w(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_HOLE, 2000, W, 0);
	head0(r);
}

static void
ends_unmapped(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_FAR + FP_SIZE - 99, 100, 0, 0);
	head0(r);
}

/* What is used of it is mapped; what it claims is not. */
static void
claims_unmapped_w(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_FAR + FP_SIZE - 1000, 1001, W, 0);
	head0(r);
}

static void
wraps(struct fp_ring *r)
{
	fp_desc(r->desc, 0, UINT64_MAX - 50, 100, 0, 0);
	head0(r);
}

static void
wraps_w(struct fp_ring *r)
{
	fp_desc(r->desc, 0, UINT64_MAX - 50, 2000, W, 0);
	head0(r);
}

/* gpa + len wraps to a mapped address. */
static void
wraps_to_mapped(struct fp_ring *r)
{
	fp_desc(r->desc, 0, UINT64_MAX - 0x7fffffff, 0x7fffffff, N, 1);
	head0(r);
}

static void
short_header(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 11, 0, 0);
	head0(r);
}

static void
nothing(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 0, 0, 0);
	head0(r);
}

static void
huge(struct fp_ring *r)
{
	fp_desc(r->desc, 0, FP_LOW, 12 + 65536, 0, 0);
	head0(r);
}

/* Lengths that sum up to a small number in 32 bits. */
static void
huge_sum(struct fp_ring *r)
{
	fp_desc(r->desc, 0, GOOD, 100, N, 1);
	fp_desc(r->desc, 1, FP_LOW, 0xffffffff, N, 2);
	fp_desc(r->desc, 2, GOOD, 100, 0, 0);
	head0(r);
}

#define RX FP_FROM_PEER
#define TX FP_TO_PEER
#define PLAIN FP_MODERN
static const struct attack attacks[] = {
	{ "rx avail index one too far", RX, PLAIN, avail_jump, "avail_jump" },
	{ "tx avail index one too far", TX, FP_MRG, avail_jump, "avail_jump" },
	{ "rx avail index goes back", RX, PLAIN, avail_back, "avail_jump" },
	{ "tx avail index goes back", TX, PLAIN, avail_back, "avail_jump" },
	{ "rx head beyond the ring", RX, PLAIN, head_beyond, "head_index" },
	{ "tx head beyond the ring", TX, FP_MRG, head_beyond, "head_index" },
	{ "rx head 65535", RX, PLAIN, head_far_beyond, "head_index" },
	{ "tx head 65535", TX, PLAIN, head_far_beyond, "head_index" },
	{ "rx next beyond the ring", RX, PLAIN, next_beyond, "next_index" },
	{ "tx next beyond the ring", TX, FP_MRG, next_beyond_w, "next_index" },
	{ "rx loop", RX, PLAIN, loop_r, "chain_length" },
	{ "tx loop of nothing", TX, FP_MRG, empty_loop_w, "chain_length" },
	{ "tx loop of nothing, plain", TX, PLAIN, empty_loop_w,
	  "chain_length" },
	{ "rx loop in a table", RX, FP_INDIRECT, loop_in_table,
	  "chain_length" },
	{ "rx table and next", RX, FP_INDIRECT, table_next, "indirect_next" },
	{ "rx table of 17 bytes", RX, FP_INDIRECT, table_odd,
	  "indirect_size" },
	{ "rx empty table", RX, FP_INDIRECT, table_empty, "indirect_size" },
	{ "tx empty table", TX, FP_INDIRECT, table_empty, "indirect_size" },
	{ "rx table longer than the ring", RX, FP_INDIRECT, table_too_long,
	  "indirect_size" },
	{ "rx table in a table", RX, FP_INDIRECT, table_nested,
	  "indirect_nested" },
	{ "rx table late in a table", RX, FP_INDIRECT, table_nested_later,
	  "indirect_nested" },
	{ "rx next beyond the table", RX, FP_INDIRECT, table_next_beyond,
	  "next_index" },
	{ "rx unmapped table", RX, FP_INDIRECT, table_unmapped, "memory" },
	{ "tx unmapped table", TX, FP_INDIRECT, table_unmapped, "memory" },
	{ "rx table that ends unmapped", RX, FP_INDIRECT, table_ends_unmapped,
	  "memory" },
	{ "rx table without the feature", RX, PLAIN, table_plain,
	  "indirect_feature" },
	{ "rx writable descriptor", RX, PLAIN, writable, "direction" },
	{ "tx read-only descriptor", TX, PLAIN, read_only, "direction" },
	{ "rx unmapped descriptor", RX, PLAIN, unmapped, "memory" },
	{ "tx unmapped descriptor", TX, PLAIN, unmapped_w, "memory" },
	{ "rx descriptor that ends unmapped", RX, PLAIN, ends_unmapped,
	  "memory" },
	{ "tx descriptor that claims unmapped memory", TX, PLAIN,
	  claims_unmapped_w, "memory" },
	{ "rx address wraps", RX, PLAIN, wraps, "memory" },
	{ "tx address wraps", TX, FP_MRG, wraps_w, "memory" },
	{ "rx long address wraps", RX, PLAIN, wraps_to_mapped,
	  "long_packet" },
	{ "rx shorter than a header", RX, PLAIN, short_header,
	  "short_header" },
	{ "rx nothing at all", RX, PLAIN, nothing, "short_header" },
	{ "rx longer than any packet", RX, PLAIN, huge, "long_packet" },
	{ "rx lengths that overflow", RX, PLAIN, huge_sum, "long_packet" },
};

static void
honest(struct fakepeer *fp, unsigned int i)
{
	fp_post(&fp->rings[i], GOOD, i == RX ? 112 : 2000, i == RX ? 0 : W);
	assert_int_equal(fp_burst(fp, i), 1);
}

static void
run_attack(const struct attack *a)
{
	struct fakepeer *fp = fp_new(FP_MODERN | a->features, NUM);
	struct fp_ring *r = &fp->rings[a->ring];
	char xstat[64];

	print_message("  %s\n", a->name);
	snprintf(xstat, sizeof(xstat), "violation_%s", a->xstat);
	assert_true(fp_link(fp));
	a->attack(r);
	assert_int_equal(fp_burst(fp, a->ring), 0);
	assert_true(fp_wait_broken(fp, a->ring));
	assert_false(fp_link(fp));
	assert_int_equal(fp_xstat(fp, xstat), 1);
	assert_int_equal(r->used->idx, 0);

	/* It stays so, whatever comes, and the other ring goes on. */
	assert_int_equal(fp_burst(fp, a->ring), 0);
	assert_int_equal(fp_xstat(fp, xstat), 1);
	assert_int_equal(fp->broken[a->ring], 1);
	honest(fp, a->ring ^ 1);

	/* Nor does the transport's own stop of the ring end it. */
	fp->peer.rings[a->ring].run = false;
	fp_adopt(fp);
	assert_false(fp_link(fp));

	fp_restart(fp, a->ring);
	assert_true(fp_link(fp));
	honest(fp, a->ring);
	fp_free(fp);
}

static void
each_broken_rule_stops_the_ring(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < RTE_DIM(attacks); i++)
		run_attack(&attacks[i]);
}

static void
packets_before_the_violation_are_delivered(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[RX];

	(void)state;
	fp_post(r, GOOD, 112, 0);
	fp_post(r, GOOD, 112, 0);
	fp_post(r, FP_HOLE, 112, 0);
	fp_post(r, GOOD, 112, 0);
	assert_int_equal(fp_burst(fp, RX), 2);
	assert_true(fp_wait_broken(fp, RX));
	assert_int_equal(r->used->idx, 2);
	fp_free(fp);
}

/* Its length must not count as room in the mbuf that the next one gets. */
static void
dropped_packet_leaves_the_next_ones_room_as_it_is(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[RX];
	struct rte_mbuf *pkts[32];

	(void)state;
	/* In two descriptors, longer than an mbuf; then one that is also. */
	fp_desc(r->desc, 0, GOOD, 12, N, 1);
	fp_desc(r->desc, 1, GOOD, 10000, 0, 0);
	fp_desc(r->desc, 2, GOOD, 12 + 15000, 0, 0);
	fp_desc(r->desc, 3, GOOD, 12 + 60, 0, 0);
	fp_avail(r, 0);
	fp_avail(r, 2);
	fp_avail(r, 3);
	fp_publish(r);
	assert_int_equal(fp_rx(fp, pkts, 32), 1);
	assert_int_equal(pkts[0]->pkt_len, 60);
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 2);
	assert_int_equal(fp_xstat(fp, "rx_ring0_violations"), 0);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_broken_rule_stops_the_ring),
		cmocka_unit_test(packets_before_the_violation_are_delivered),
		cmocka_unit_test(
			dropped_packet_leaves_the_next_ones_room_as_it_is),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
