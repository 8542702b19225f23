/* SPDX-License-Identifier: Apache-2.0 */

/* Rounds of packets over a packed ring: see packed_rounds.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "packed_rounds.h"

#define W VRING_DESC_F_WRITE

static unsigned int seed;

void
pr_init(const char *program)
{
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	seed = from != NULL ? strtoul(from, NULL, 0) : (unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", seed);
	fp_init(program);
}

uint32_t
pr_pick(uint32_t from, uint32_t to)
{
	return from + rand_r(&seed) % (to - from + 1);
}

static uint32_t
packet_size(void)
{
	static const uint32_t sizes[] = {14, 64, 127, 128, 129, 1514, 9014};

	return rand_r(&seed) % 2 ? pr_pick(14, 1600)
				 : sizes[rand_r(&seed) % RTE_DIM(sizes)];
}

/* Byte @at of @b, whose parts may lie across regions. */
static uint8_t *
byte_of(const struct pr_buf *b, uint32_t at)
{
	unsigned int i = 0;

	for (; at >= b->bufs[i].len; i++)
		at -= b->bufs[i].len;
	assert_true(i < b->n);
	return fp_addr(b->bufs[i].gpa + at);
}

void
pr_cut(struct fakepeer *fp, struct pr_buf *b, uint32_t total, uint16_t flags)
{
	uint32_t at = 0, len;
	unsigned int i;

	for (i = 0; i < b->n; i++) {
		len = i == b->n - 1 ? total - at : pr_pick(0, total - at);
		/* Many headers are cut in odd places. */
		if (i < b->n - 1 && pr_pick(0, 1))
			len = RTE_MIN(pr_pick(0, 15), total - at);
		b->bufs[i] = (struct fp_packed_buf){
			.gpa = fp_buffer(fp, len),
			.len = len,
			.flags = flags,
		};
		at += len;
	}
}

/* Room for a table, which the driver's side writes in one piece. */
static uint64_t
table_room(struct fakepeer *fp)
{
	const uint32_t size = PR_MAX_PIECES * sizeof(struct vring_packed_desc);
	uint64_t gpa;

	do {
		gpa = RTE_ALIGN_CEIL(fp_buffer(fp, size + 16), 16);
	} while (gpa < FP_HIGH && gpa + size > FP_HIGH);
	return gpa;
}

/* Driver: @total bytes cut at random, as a chain or (@table) perhaps by a
 * table; filled with packet @kind if they are to be read. */
void
pr_post(struct fakepeer *fp, struct fp_packed *p, struct pr_buf *b,
	uint32_t total, uint16_t flags, bool table, uint8_t kind)
{
	uint64_t gpa = table_room(fp);
	uint32_t i;
	int id;

	table = table && pr_pick(0, 1);
	b->n = pr_pick(1, table ? PR_MAX_PIECES
				: RTE_MIN(PR_MAX_PIECES, p->n_free));
	b->at = p->avail;
	pr_cut(fp, b, total, flags);
	for (i = 0; i < total && !(flags & W); i++)
		*byte_of(b, i) = i < PR_HDR ? 0 : fp_pattern(i - PR_HDR, kind);
	if (table)
		id = fp_packed_post_table(p, gpa, fp_addr(gpa), b->bufs, b->n);
	else
		id = fp_packed_post(p, b->bufs, b->n);
	assert_true(id >= 0);
	b->id = id;
}

/* Driver: the next used buffer is @b; returns its length. */
uint32_t
pr_take(struct fp_packed *p, const struct pr_buf *b)
{
	uint32_t len;
	uint16_t id;

	assert_true(fp_packed_used(p, &id, &len));
	assert_int_equal(id, b->id);
	return len;
}

void
pr_nothing_more(struct fp_packed *p)
{
	uint32_t len;
	uint16_t id;

	assert_false(fp_packed_used(p, &id, &len));
}

/* As many packets as the ring has room for, up to @most. */
void
pr_receive_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
		 bool table)
{
	struct rte_mbuf *pkts[32];
	struct pr_buf b[32];
	uint32_t len[32];
	unsigned int i, n;

	for (n = 0; n < most && p->n_free > 0; n++) {
		len[n] = packet_size();
		pr_post(fp, p, &b[n], PR_HDR + len[n], 0, table, n);
	}
	pr_nothing_more(p);
	assert_int_equal(fp_rx(fp, pkts, 32), n);
	for (i = 0; i < n; i++) {
		/* In order, one used descriptor speaks for all of a burst. */
		assert_int_equal(pr_take(p, &b[i]), p->in_order && i < n - 1
							    ? FP_PACKED_UNTOLD
							    : 0);
		fp_check_mbuf(pkts[i], len[i], i);
	}
	pr_nothing_more(p);
	rte_pktmbuf_free_bulk(pkts, n);
}

/* Driver: take one packet, which begins in @b, and compare it. Returns how many
 * buffers it took. */
unsigned int
pr_check_sent(struct fp_packed *p, const struct pr_buf *b, uint32_t len,
	      uint8_t kind)
{
	uint32_t at = 0, n = 0, expect = 1, used, i;

	do {
		used = pr_take(p, &b[n]);
		for (i = 0; i < used; i++, at++)
			fp_check_byte(at, *byte_of(&b[n], i), &expect, kind);
	} while (++n < expect);
	assert_int_equal(at, PR_HDR + len);
	return n;
}

/* Buffers for these packets and no more: mergeable ones of any size that add
 * up, others each as large as its packet, or larger. */
void
pr_send_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
	      bool table, bool mergeable)
{
	struct rte_mbuf *pkts[8];
	struct pr_buf b[64];
	uint32_t len[8], room;
	unsigned int i, n, n_bufs = 0, at = 0;

	for (n = 0; n < most && p->n_free >= (mergeable ? 5 : 1); n++) {
		len[n] = mergeable ? pr_pick(14, 400) : packet_size();
		pkts[n] = fp_packet(len[n], n);
		room = PR_HDR + len[n];
		if (!mergeable) {
			pr_post(fp, p, &b[n], room + pr_pick(0, 100), W, table,
				0);
			continue;
		}
		while (room > 0) {
			uint32_t part = RTE_MIN(room, pr_pick(100, 300));
			struct pr_buf *buf = &b[n_bufs++];

			buf->n = 1;
			pr_cut(fp, buf, part, W);
			buf->id = fp_packed_post(p, buf->bufs, 1);
			room -= part;
		}
	}
	pr_nothing_more(p);
	assert_int_equal(fp_tx(fp, pkts, n), n);
	for (i = 0; i < n; i++)
		at += pr_check_sent(p, &b[at], len[i], i);
	pr_nothing_more(p);
}
