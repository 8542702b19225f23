/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packed rings with an honest peer (virtio 1.x, 2.8): every packet arrives as
 * it was sent, once, in order, whatever the layout of the buffers and the size
 * of the ring; calls come when they were asked for; and whoever takes over a
 * ring from a process that was killed, wherever in a commit, hands each buffer
 * back once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "fakepacked.h"

#define W	VRING_DESC_F_WRITE
#define HDR	12u
#define MAX_PIECES 6
#define N_CHAINS 5	/* in a commit that is interrupted */
#define ROUNDS	1000

static unsigned int seed;

/* A buffer as it was made available. */
struct posted {
	struct fp_packed_buf bufs[MAX_PIECES];
	unsigned int n;
	uint16_t id, at;
};

static uint32_t
pick(uint32_t from, uint32_t to)
{
	return from + rand_r(&seed) % (to - from + 1);
}

static uint32_t
packet_size(void)
{
	static const uint32_t sizes[] = { 14, 64, 127, 128, 129, 1514, 9014 };

	return rand_r(&seed) % 2 ? pick(14, 1600) :
		sizes[rand_r(&seed) % RTE_DIM(sizes)];
}

/* Byte @at of @b, whose parts may lie across regions. */
static uint8_t *
byte_of(const struct posted *b, uint32_t at)
{
	unsigned int i = 0;

	for (; at >= b->bufs[i].len; i++)
		at -= b->bufs[i].len;
	assert_true(i < b->n);
	return fp_addr(b->bufs[i].gpa + at);
}

static void
cut(struct fakepeer *fp, struct posted *b, uint32_t total, uint16_t flags)
{
	uint32_t at = 0, len;
	unsigned int i;

	for (i = 0; i < b->n; i++) {
		len = i == b->n - 1 ? total - at : pick(0, total - at);
		/* Many headers are cut in odd places. */
		if (i < b->n - 1 && pick(0, 1))
			len = RTE_MIN(pick(0, 15), total - at);
		b->bufs[i] = (struct fp_packed_buf) {
			.gpa = fp_buffer(fp, len), .len = len, .flags = flags,
		};
		at += len;
	}
}

/* Room for a table, which the driver's side writes in one piece. */
static uint64_t
table_room(struct fakepeer *fp)
{
	const uint32_t size = MAX_PIECES * sizeof(struct vring_packed_desc);
	uint64_t gpa;

	do {
		gpa = RTE_ALIGN_CEIL(fp_buffer(fp, size + 16), 16);
	} while (gpa < FP_HIGH && gpa + size > FP_HIGH);
	return gpa;
}

/* Driver: @total bytes cut at random, as a chain or (@table) perhaps by a
 * table; filled with packet @kind if they are to be read. */
static void
post(struct fakepeer *fp, struct fp_packed *p, struct posted *b, uint32_t total,
     uint16_t flags, bool table, uint8_t kind)
{
	uint64_t gpa = table_room(fp);
	uint32_t i;
	int id;

	table = table && pick(0, 1);
	b->n = pick(1, table ? MAX_PIECES : RTE_MIN(MAX_PIECES, p->n_free));
	b->at = p->avail;
	cut(fp, b, total, flags);
	for (i = 0; i < total && !(flags & W); i++)
		*byte_of(b, i) = i < HDR ? 0 : fp_pattern(i - HDR, kind);
	if (table)
		id = fp_packed_post_table(p, gpa, fp_addr(gpa), b->bufs, b->n);
	else
		id = fp_packed_post(p, b->bufs, b->n);
	assert_true(id >= 0);
	b->id = id;
}

/* Driver: the next used buffer is @b; returns its length. */
static uint32_t
take(struct fp_packed *p, const struct posted *b)
{
	uint32_t len;
	uint16_t id;

	assert_true(fp_packed_used(p, &id, &len));
	assert_int_equal(id, b->id);
	return len;
}

static void
nothing_more(struct fp_packed *p)
{
	uint32_t len;
	uint16_t id;

	assert_false(fp_packed_used(p, &id, &len));
}

static void
check_mbuf(const struct rte_mbuf *m, uint32_t len, uint8_t kind)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t i;

	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, len);
	for (i = 0; i < len; i++) {
		if (data[i] != fp_pattern(i, kind))
			fail_msg("byte %u of %u is wrong", i, len);
	}
}

/* As many packets as the ring has room for, up to @most. */
static void
receive_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
	      bool table)
{
	struct rte_mbuf *pkts[32];
	struct posted b[32];
	uint32_t len[32];
	unsigned int i, n;

	for (n = 0; n < most && p->n_free > 0; n++) {
		len[n] = packet_size();
		post(fp, p, &b[n], HDR + len[n], 0, table, n);
	}
	nothing_more(p);
	assert_int_equal(fp_rx(fp, pkts, 32), n);
	for (i = 0; i < n; i++) {
		/* In order, one used descriptor speaks for all of a burst. */
		assert_int_equal(take(p, &b[i]), p->in_order && i < n - 1 ?
				 FP_PACKED_UNTOLD : 0);
		check_mbuf(pkts[i], len[i], i);
	}
	nothing_more(p);
	rte_pktmbuf_free_bulk(pkts, n);
}

static void
receive(uint16_t num, uint64_t features)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, num);
	struct fp_packed p;
	unsigned int i;

	fp_packed_of(&p, fp, FP_FROM_PEER);
	for (i = 0; i < ROUNDS; i++)
		receive_round(fp, &p, pick(1, 32), features & FP_INDIRECT);
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

/* Driver: take one packet, which begins in @b, and compare it. Returns how many
 * buffers it took. */
static unsigned int
check_sent(struct fp_packed *p, const struct posted *b, uint32_t len,
	   uint8_t kind)
{
	uint32_t at = 0, n = 0, expect = 1, used, i;

	do {
		used = take(p, &b[n]);
		for (i = 0; i < used; i++, at++) {
			uint8_t byte = *byte_of(&b[n], i);

			if (at < 10)
				assert_int_equal(byte, 0);
			else if (at == 10)
				expect = byte;
			else if (at == 11)
				expect |= byte << 8;
			else if (byte != fp_pattern(at - HDR, kind))
				fail_msg("byte %u of %u is wrong", at, len);
		}
	} while (++n < expect);
	assert_int_equal(at, HDR + len);
	return n;
}

/* Buffers for these packets and no more: mergeable ones of any size that add
 * up, others each as large as its packet, or larger. */
static void
send_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
	   bool table, bool mergeable)
{
	struct rte_mbuf *pkts[8];
	struct posted b[64];
	uint32_t len[8], room;
	unsigned int i, n, n_bufs = 0, at = 0;

	for (n = 0; n < most && p->n_free >= (mergeable ? 5 : 1); n++) {
		len[n] = mergeable ? pick(14, 400) : packet_size();
		pkts[n] = fp_packet(len[n], n);
		room = HDR + len[n];
		if (!mergeable) {
			post(fp, p, &b[n], room + pick(0, 100), W, table, 0);
			continue;
		}
		while (room > 0) {
			uint32_t part = RTE_MIN(room, pick(100, 300));
			struct posted *buf = &b[n_bufs++];

			buf->n = 1;
			cut(fp, buf, part, W);
			buf->id = fp_packed_post(p, buf->bufs, 1);
			room -= part;
		}
	}
	nothing_more(p);
	assert_int_equal(fp_tx(fp, pkts, n), n);
	for (i = 0; i < n; i++)
		at += check_sent(p, &b[at], len[i], i);
	nothing_more(p);
}

static void
transmit(uint16_t num, uint64_t features)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, num);
	struct fp_packed p;
	unsigned int i;

	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < ROUNDS; i++)
		send_round(fp, &p, pick(1, 8), features & FP_INDIRECT,
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
	struct posted b[3];
	struct fp_packed p;
	unsigned int i;

	(void)state;
	fp_packed_of(&p, fp, FP_TO_PEER);
	for (i = 0; i < 2; i++) {
		b[i].n = 1;
		cut(fp, &b[i], 100, W);
		b[i].id = fp_packed_post(&p, b[i].bufs, 1);
	}
	assert_int_equal(fp_tx(fp, &m, 1), 0);
	nothing_more(&p);
	b[2].n = 1;
	cut(fp, &b[2], 100, W);
	b[2].id = fp_packed_post(&p, b[2].bufs, 1);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_int_equal(check_sent(&p, b, 200, 3), 3);
	/* One that all of the ring cannot hold is dropped. */
	for (i = 0; i < 3; i++)
		b[i].id = fp_packed_post(&p, b[i].bufs, 1);
	m = fp_packet(400, 4);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	nothing_more(&p);
	assert_int_equal(fp_xstat(fp, "tx_ring0_oversized"), 1);
	fp_free(fp);
}

/* How many calls sending @n packets makes. */
static unsigned int
calls_for(struct fakepeer *fp, struct fp_packed *p, unsigned int n)
{
	unsigned int before = fp->calls[FP_TO_PEER], i;
	struct posted b = { .n = 1 };
	struct rte_mbuf *pkts[10];

	for (i = 0; i < n; i++) {
		cut(fp, &b, 100, W);
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
		ahead = pick(0, num - 1);
		n = pick(1, num);
		at = p.used + ahead;
		fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_DESC, at % num,
			       p.used_wrap ^ (at >= num));
		assert_int_equal(calls_for(fp, &p, n), ahead < n);
	}
	fp_free(fp);
}

/*
 * Taking over.
 */

static uint32_t
published(const struct fakepeer *fp, unsigned int i)
{
	return fp->progress[i];
}

/* A new process finds @places in the state page, about this start of ring @i,
 * and the front-end's base, which is about an earlier one, beside it. */
static void
take_over(struct fakepeer *fp, unsigned int i, uint32_t places)
{
	struct vhostpci_vring_desc *d = &fp->peer.rings[i];

	d->epoch++;
	d->base = FP_PACKED_BASE;
	fp->progress[i] = (uint64_t)d->epoch << 32 | places;
	fp_adopt(fp);
}

static void
some_round(struct fakepeer *fp, struct fp_packed *p, unsigned int i)
{
	if (i == FP_FROM_PEER)
		receive_round(fp, p, pick(1, 4), false);
	else
		send_round(fp, p, pick(1, 4), false, false);
}

static void
ring_goes_on_where_the_state_page_says(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 11);
	unsigned int i, round;
	struct fp_packed p;

	(void)state;
	for (i = 0; i < 2; i++) {
		fp_packed_of(&p, fp, i);
		for (round = 0; round < 50; round++) {
			some_round(fp, &p, i);
			assert_int_equal(published(fp, i), fp_packed_base(&p));
			take_over(fp, i, published(fp, i));
		}
	}
	fp_free(fp);
}

/* A page about another start of the ring: the front-end's base holds. */
static void
ring_begins_where_the_front_end_says(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 11);
	unsigned int i, round;
	struct fp_packed p;

	(void)state;
	for (i = 0; i < 2; i++) {
		fp_packed_of(&p, fp, i);
		for (round = 0; round < 50; round++) {
			some_round(fp, &p, i);
			fp->peer.rings[i].base = fp_packed_base(&p);
			fp->progress[i] = (uint64_t)fp->peer.rings[i].epoch++
				<< 32 | 0x80038003u;
			fp_adopt(fp);
		}
	}
	fp_free(fp);
}

static void
place_outside_the_ring_stops_it(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 11);

	(void)state;
	take_over(fp, FP_FROM_PEER, 11 << 16);
	assert_true(fp_wait_broken(fp, FP_FROM_PEER));
	take_over(fp, FP_TO_PEER, 0x8000 | 11);
	assert_true(fp_wait_broken(fp, FP_TO_PEER));
	assert_int_equal(fp_xstat(fp, "violation_ring_size"), 2);
	fp_free(fp);
}

/* A burst over @b on ring @i, whose packets nobody gets to see. */
static void
lost_burst(struct fakepeer *fp, struct fp_packed *p, struct posted *b,
	   unsigned int i, bool mergeable)
{
	struct rte_mbuf *pkts[N_CHAINS];
	unsigned int j, n = N_CHAINS;

	for (j = 0; j < N_CHAINS; j++) {
		post(fp, p, &b[j], HDR + 100, i == FP_FROM_PEER ? 0 : W, false,
		     j);
		pkts[j] = fp_packet(100, j);
	}
	if (i == FP_FROM_PEER) {
		rte_pktmbuf_free_bulk(pkts, n);
		n = fp_rx(fp, pkts, n);
		assert_int_equal(n, N_CHAINS);
		rte_pktmbuf_free_bulk(pkts, n);
		return;
	}
	if (mergeable) {
		/* All in one packet. */
		rte_pktmbuf_free_bulk(pkts, n);
		pkts[0] = fp_packet(N_CHAINS * (HDR + 100) - HDR, 0);
		n = 1;
	}
	assert_int_equal(fp_tx(fp, pkts, n), n);
}

/* Undo the store of the used descriptor of @b, given when the ring stood at
 * @was. */
static void
make_available_again(struct fp_packed *p, const struct posted *b, uint16_t was)
{
	bool wrap = was >> 15;

	if (b->at < (was & 0x7fff))
		wrap = !wrap;
	p->desc[b->at] = (struct vring_packed_desc) {
		.addr = b->bufs[0].gpa, .len = b->bufs[0].len, .id = b->id,
		.flags = b->bufs[0].flags |
			(b->n > 1 ? VRING_DESC_F_NEXT : 0) |
			1 << (wrap ? VRING_PACKED_DESC_F_AVAIL :
			      VRING_PACKED_DESC_F_USED),
	};
}

/*
 * Killed when the last @written of N_CHAINS used descriptors were stored:
 * make the ring what it was then, and take it over. Each buffer comes back
 * once, and with its length only if nothing of what it belongs to is lost.
 */
static void
kill_in_commit(uint64_t features, unsigned int i, unsigned int written)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, 45);
	bool batch = features & FP_IN_ORDER && i == FP_FROM_PEER;
	struct posted b[N_CHAINS];
	uint32_t was, now, len;
	struct fp_packed p;
	unsigned int j;

	fp_packed_of(&p, fp, i);
	for (j = pick(0, 20); j > 0; j--)
		some_round(fp, &p, i);
	was = published(fp, i);
	lost_burst(fp, &p, b, i, features & FP_MRG);
	now = published(fp, i);
	for (j = 0; j < (batch && written == 0 ? 1 : N_CHAINS - written); j++)
		make_available_again(&p, &b[j], was);
	take_over(fp, i, (was & 0xffff) << 16 | (now & 0xffff));
	assert_int_equal(published(fp, i), now);
	for (j = 0; j < N_CHAINS; j++) {
		len = take(&p, &b[j]);
		if (batch && j < N_CHAINS - 1)
			assert_int_equal(len, FP_PACKED_UNTOLD);
		else if (i == FP_FROM_PEER || j < N_CHAINS - written ||
			 (features & FP_MRG && written < N_CHAINS))
			assert_int_equal(len, 0);
		else
			assert_int_equal(len, HDR + 100);
	}
	nothing_more(&p);
	assert_int_equal(now, fp_packed_base(&p));
	some_round(fp, &p, i);
	fp_free(fp);
}

static void
commit_of_a_killed_process_is_ended(void **state)
{
	unsigned int i, written, times;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (written = 0; written <= N_CHAINS; written++) {
			for (times = 0; times < 20; times++)
				kill_in_commit(0, i, written);
		}
	}
}

static void
commit_of_a_killed_process_is_ended_in_order(void **state)
{
	unsigned int times;

	(void)state;
	for (times = 0; times < 20; times++) {
		kill_in_commit(FP_IN_ORDER, FP_FROM_PEER, 0);
		kill_in_commit(FP_IN_ORDER, FP_FROM_PEER, N_CHAINS);
		kill_in_commit(FP_IN_ORDER, FP_TO_PEER, pick(0, N_CHAINS));
	}
}

static void
half_a_packet_is_not_handed_over(void **state)
{
	unsigned int written, times;

	(void)state;
	for (written = 0; written <= N_CHAINS; written++) {
		for (times = 0; times < 20; times++)
			kill_in_commit(FP_MRG, FP_TO_PEER, written);
	}
}

/* Before the commit had begun: nothing is lost. */
static void
burst_of_a_killed_process_is_done_again(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 45);
	struct posted b[N_CHAINS];
	struct rte_mbuf *pkts[32];
	unsigned int times, j;
	struct fp_packed p;
	uint32_t was;

	(void)state;
	fp_packed_of(&p, fp, FP_FROM_PEER);
	for (times = 0; times < 50; times++) {
		was = published(fp, FP_FROM_PEER);
		lost_burst(fp, &p, b, FP_FROM_PEER, false);
		for (j = 0; j < N_CHAINS; j++)
			make_available_again(&p, &b[j], was);
		take_over(fp, FP_FROM_PEER, was);
		nothing_more(&p);
		assert_int_equal(fp_rx(fp, pkts, 32), N_CHAINS);
		for (j = 0; j < N_CHAINS; j++) {
			assert_int_equal(take(&p, &b[j]), 0);
			check_mbuf(pkts[j], 100, j);
		}
		rte_pktmbuf_free_bulk(pkts, N_CHAINS);
	}
	fp_free(fp);
}

/* A peer has all the time it likes between two processes. */
static void
commit_over_a_ring_of_nonsense_comes_to_an_end(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 45);
	struct vring_packed_desc *desc;
	unsigned int times, i, j;
	struct rte_mbuf *m;
	struct fp_packed p;

	(void)state;
	for (times = 0; times < 500; times++) {
		i = pick(0, 1);
		desc = (struct vring_packed_desc *)fp->rings[i].desc;
		for (j = 0; j < 45; j++)
			desc[j] = (struct vring_packed_desc) {
				.addr = pick(0, 1) ? FP_HOLE : FP_LOW,
				.len = pick(0, 200), .id = pick(0, 65535),
				.flags = pick(0, 1) ? VRING_DESC_F_NEXT |
					1 << VRING_PACKED_DESC_F_AVAIL :
					pick(0, 65535),
			};
		take_over(fp, i, pick(0, 44) << 16 | pick(0, 1) << 31 |
			  pick(0, 44) | pick(0, 1) << 15);
		fp_restart(fp, i);
		fp_packed_of(&p, fp, i);
		some_round(fp, &p, i);
	}
	assert_int_equal(fp_rx(fp, &m, 1), 0);
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
		cmocka_unit_test(calls_come_as_the_driver_asks_for_them),
		cmocka_unit_test(ring_goes_on_where_the_state_page_says),
		cmocka_unit_test(ring_begins_where_the_front_end_says),
		cmocka_unit_test(place_outside_the_ring_stops_it),
		cmocka_unit_test(commit_of_a_killed_process_is_ended),
		cmocka_unit_test(commit_of_a_killed_process_is_ended_in_order),
		cmocka_unit_test(half_a_packet_is_not_handed_over),
		cmocka_unit_test(burst_of_a_killed_process_is_done_again),
		cmocka_unit_test(
			commit_over_a_ring_of_nonsense_comes_to_an_end),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	(void)argc;
	seed = from != NULL ? strtoul(from, NULL, 0) : (unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", seed);
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
