/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process takes over a packed ring from one that was killed, anywhere in a
 * commit. It must go on at the ring's place, and hand each buffer back once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peer/packed_rounds.h"

#define W VRING_DESC_F_WRITE
#define N_CHAINS 5 /* in a commit that is interrupted */
#define COMMIT_NUM 64

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
		pr_receive_round(fp, p, pr_pick(1, 4), false);
	else
		pr_send_round(fp, p, pr_pick(1, 4), false, false);
}

/* @next makes ring @i stand where the driver does. */
static void
after_each_of_many_rounds(void (*next)(struct fakepeer *fp,
				       const struct fp_packed *p,
				       unsigned int i))
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED, 11);
	unsigned int i, round;
	struct fp_packed p;

	for (i = 0; i < 2; i++) {
		fp_packed_of(&p, fp, i);
		for (round = 0; round < 50; round++) {
			some_round(fp, &p, i);
			next(fp, &p, i);
		}
	}
	fp_free(fp);
}

static void
go_on_by_the_page(struct fakepeer *fp, const struct fp_packed *p,
		  unsigned int i)
{
	assert_int_equal(published(fp, i), fp_packed_base(p));
	take_over(fp, i, published(fp, i));
}

static void
ring_goes_on_where_the_state_page_says(void **state)
{
	(void)state;
	after_each_of_many_rounds(go_on_by_the_page);
}

/* A page about another start of the ring: the front-end's base holds. */
static void
go_on_by_the_base(struct fakepeer *fp, const struct fp_packed *p,
		  unsigned int i)
{
	uint64_t other = fp->peer.rings[i].epoch++;

	fp->peer.rings[i].base = fp_packed_base(p);
	fp->progress[i] = other << 32 | 0x80038003u;
	fp_adopt(fp);
}

static void
ring_begins_where_the_front_end_says(void **state)
{
	(void)state;
	after_each_of_many_rounds(go_on_by_the_base);
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
lost_burst(struct fakepeer *fp, struct fp_packed *p, struct pr_buf *b,
	   unsigned int i, bool mergeable)
{
	struct rte_mbuf *pkts[N_CHAINS];
	unsigned int j, n = N_CHAINS;

	for (j = 0; j < N_CHAINS; j++) {
		pr_post(fp, p, &b[j], PR_HDR + 100, i == FP_FROM_PEER ? 0 : W,
			false, j);
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
		pkts[0] = fp_packet(N_CHAINS * (PR_HDR + 100) - PR_HDR, 0);
		n = 1;
	}
	assert_int_equal(fp_tx(fp, pkts, n), n);
}

/* Undo the stores of the used descriptors of @b, given when the ring stood at
 * @was. */
static void
make_available_again(struct fp_packed *p, const struct pr_buf *b, uint16_t was)
{
	unsigned int i;

	for (i = 0; i < b->n; i++) {
		uint16_t at = (b->at + i) % p->num;
		bool wrap = was >> 15;

		if (at < (was & 0x7fff))
			wrap = !wrap;
		p->desc[at] = (struct vring_packed_desc){
			.addr = b->bufs[i].gpa,
			.len = b->bufs[i].len,
			.id = b->id,
			.flags = b->bufs[i].flags |
				 (i + 1 < b->n ? VRING_DESC_F_NEXT : 0) |
				 1 << (wrap ? VRING_PACKED_DESC_F_AVAIL
					    : VRING_PACKED_DESC_F_USED),
		};
	}
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
	struct pr_buf b[N_CHAINS];
	uint32_t was, now, len;
	struct fp_packed p;
	unsigned int j;

	fp_packed_of(&p, fp, i);
	for (j = pr_pick(0, 20); j > 0; j--)
		some_round(fp, &p, i);
	was = published(fp, i);
	lost_burst(fp, &p, b, i, features & FP_MRG);
	now = published(fp, i);
	for (j = 0; j < (batch && written == 0 ? 1 : N_CHAINS - written); j++)
		make_available_again(&p, &b[j], was);
	take_over(fp, i, (was & 0xffff) << 16 | (now & 0xffff));
	assert_int_equal(published(fp, i), now);
	for (j = 0; j < N_CHAINS; j++) {
		len = pr_take(&p, &b[j]);
		if (batch && j < N_CHAINS - 1)
			assert_int_equal(len, FP_PACKED_UNTOLD);
		else if (i == FP_FROM_PEER || j < N_CHAINS - written ||
			 (features & FP_MRG && written < N_CHAINS))
			assert_int_equal(len, 0);
		else
			assert_int_equal(len, PR_HDR + 100);
	}
	pr_nothing_more(&p);
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
		kill_in_commit(FP_IN_ORDER, FP_TO_PEER, pr_pick(0, N_CHAINS));
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
	struct pr_buf b[N_CHAINS];
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
		pr_nothing_more(&p);
		assert_int_equal(fp_rx(fp, pkts, 32), N_CHAINS);
		for (j = 0; j < N_CHAINS; j++) {
			assert_int_equal(pr_take(&p, &b[j]), 0);
			fp_check_mbuf(pkts[j], 100, j);
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
		i = pr_pick(0, 1);
		desc = (struct vring_packed_desc *)fp->rings[i].desc;
		for (j = 0; j < 45; j++)
			desc[j] = (struct vring_packed_desc){
				.addr = pr_pick(0, 1) ? FP_HOLE : FP_LOW,
				.len = pr_pick(0, 200),
				.id = pr_pick(0, 65535),
				.flags =
					pr_pick(0, 1)
						? VRING_DESC_F_NEXT |
							  1 << VRING_PACKED_DESC_F_AVAIL
						: pr_pick(0, 65535),
			};
		take_over(fp, i,
			  pr_pick(0, 44) << 16 | pr_pick(0, 1) << 31 |
				  pr_pick(0, 44) | pr_pick(0, 1) << 15);
		fp_restart(fp, i);
		fp_packed_of(&p, fp, i);
		some_round(fp, &p, i);
	}
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	fp_free(fp);
}

/*
 * A driver published that it was about to return 4 packets of a packed ring, and
 * was killed when it had written the last two. @epoch is the page's; where that
 * is another start's, the device gives what it found there as the base.
 */
static void
resume_in_commit(uint32_t epoch, uint64_t features)
{
	const struct fp_packed_buf buf = { .gpa = FP_LOW + 0x40000, .len = PR_HDR + 60 };
	const uint32_t halves = 0x80000000u | 0x8000u | 4;
	const uint16_t used = 1 << VRING_PACKED_DESC_F_AVAIL |
		1 << VRING_PACKED_DESC_F_USED;
	struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | features, COMMIT_NUM);
	struct vhostpci_vring_desc *vr = &fp->peer.rings[FP_FROM_PEER];
	struct fp_packed p;
	struct rte_mbuf *m;
	unsigned int i, n = 0;
	uint32_t len;
	uint16_t id;

	fp_packed_of(&p, fp, FP_FROM_PEER);
	for (i = 0; i < 4; i++)
		assert_true(fp_packed_post(&p, &buf, 1) >= 0);
	vr->run = false;
	fp_adopt(fp);
	fp->progress[FP_FROM_PEER] = (uint64_t)epoch << 32 | halves;
	if (epoch != vr->epoch)
		vr->base = halves;
	/* In order there is but one to be written, and it is not. */
	for (i = 2; i < 4 && !p.in_order; i++)
		p.desc[i].flags |= used;
	vr->run = true;
	fp_adopt(fp);

	while (fp_packed_used(&p, &id, &len)) {
		assert_int_equal(id, p.in_order ? n : COMMIT_NUM - 1 - n);
		assert_true(len == 0 || len == FP_PACKED_UNTOLD || n >= 2);
		n++;
	}
	assert_int_equal(n, 4);
	assert_int_equal((uint32_t)fp->progress[FP_FROM_PEER],
			 0x80048004u);
	/* And on it goes behind them. */
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_true(fp_packed_post(&p, &buf, 1) >= 0);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	rte_pktmbuf_free(m);
	fp_free(fp);
}

static void
interrupted_commit_is_ended(void **state)
{
	(void)state;
	resume_in_commit(1, 0);
	resume_in_commit(7, 0);
	resume_in_commit(1, FP_IN_ORDER);
	resume_in_commit(7, FP_IN_ORDER);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_goes_on_where_the_state_page_says),
		cmocka_unit_test(ring_begins_where_the_front_end_says),
		cmocka_unit_test(place_outside_the_ring_stops_it),
		cmocka_unit_test(commit_of_a_killed_process_is_ended),
		cmocka_unit_test(commit_of_a_killed_process_is_ended_in_order),
		cmocka_unit_test(half_a_packet_is_not_handed_over),
		cmocka_unit_test(burst_of_a_killed_process_is_done_again),
		cmocka_unit_test(
			commit_over_a_ring_of_nonsense_comes_to_an_end),
		cmocka_unit_test(interrupted_commit_is_ended),
	};

	(void)argc;
	pr_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
