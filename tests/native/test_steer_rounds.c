/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A steered burst with more outputs than the driver sends at once. The driver
 * announces each round before it sends it; so no packet comes twice if the
 * memory is taken away in between, or the process is killed there.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flow/forward.h"
#include "flowkit.h"
#include "net/steer.h"
#include "peer/fakepacked.h"
#include "peer/fakepeer.h"

#define NUM		256
#define SENT		32	/* packets of the burst */
#define OUT		3	/* copies of each */
#define FIRST_ROUND	(VHOSTPCI_FORWARD_MAX / OUT)
#define HDR		12u
#define PAYLOAD		40u
#define UDP		17
#define LEN		(42 + PAYLOAD)

static_assert(SENT * OUT > VHOSTPCI_FORWARD_MAX, "all is sent in one round");

/* a sends, b is the destination. */
static struct fakepeer *a, *b;
static struct fp_packed packed;
static struct rte_flow *flow;
static bool is_packed;

/* What b's call saw: what a's page said, and what a had back. */
static uint64_t page;
static unsigned int returned;
static bool revoke;

/* Has a its first @n buffers back? */
static bool
has_back(unsigned int n)
{
	const struct vring_packed_desc *desc = packed.desc;

	if (!is_packed)
		return (uint16_t)(a->rings[FP_FROM_PEER].used->idx) >= n;
	return (desc[n - 1].flags >> VRING_PACKED_DESC_F_USED & 1) != 0;
}

/* In the middle of a's burst: the first packets have just gone to b. */
static void
on_call(struct fakepeer *fp, unsigned int i)
{
	(void)fp;
	(void)i;
	if (page != 0)
		return;
	page = a->progress[FP_FROM_PEER];
	returned = has_back(1);
	if (revoke)
		a->revoked = a->peer.generation + 1;
}

static void
make_rule(void)
{
	const struct rte_flow_attr transfer = { .transfer = 1 };
	const struct rte_flow_item_eth eth = {
		.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	}, mask = { .type = 0xffff };
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &eth,
		  .mask = &mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_action_port_id id = { .id = b->port };
	const struct rte_flow_action actions[OUT + 1] = {
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error = { 0 };

	flow = rte_flow_create(a->port, &transfer, items, actions, &error);
	assert_non_null(flow);
}

static int
setup_with(uint64_t features)
{
	unsigned int i;

	a = fp_new_number(0, FP_MODERN | features, NUM);
	b = fp_new_number(1, FP_MODERN, NUM);
	is_packed = features & FP_PACKED;
	a->peer.generation = 5;
	for (i = 0; i < 2; i++)
		fp_restart(a, i);
	if (is_packed)
		fp_packed_of(&packed, a, FP_FROM_PEER);
	b->called = on_call;
	page = 0;
	revoke = false;
	make_rule();
	for (i = 0; i < NUM; i++)
		fp_post(&b->rings[FP_TO_PEER], fp_buffer(b, 256), 256,
			VRING_DESC_F_WRITE);
	return 0;
}

static int
setup_split(void **state)
{
	(void)state;
	return setup_with(0);
}

static int
setup_packed(void **state)
{
	(void)state;
	return setup_with(FP_PACKED);
}

static int
teardown(void **state)
{
	struct rte_flow_error error;

	(void)state;
	assert_int_equal(rte_flow_destroy(a->port, flow, &error), 0);
	fp_free(b);
	fp_free(a);
	return 0;
}

/* Driver of a: SENT packets, numbered in their last byte. */
static void
send_all(void)
{
	struct fp_packed_buf buf = { .len = HDR + LEN };
	struct fk_frame f;
	unsigned int i;

	for (i = 0; i < SENT; i++) {
		fk_make(&f, false, -1, UDP, PAYLOAD);
		assert_int_equal(f.len, LEN);
		buf.gpa = fp_buffer(a, HDR + LEN);
		memset(fp_addr(buf.gpa), 0, HDR);
		f.data[LEN - 1] = i;
		memcpy((uint8_t *)fp_addr(buf.gpa) + HDR, f.data, LEN);
		if (is_packed)
			assert_true(fp_packed_post(&packed, &buf, 1) >= 0);
		else
			fp_post(&a->rings[FP_FROM_PEER], buf.gpa, buf.len, 0);
	}
}

static void
burst(void)
{
	struct rte_mbuf *pkts[32];

	assert_int_equal(fp_rx(a, pkts, 32), 0);
}

/* Driver of b: the next packets are those from @first to @end, OUT of each. */
static void
check_received(unsigned int first, unsigned int end)
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	const struct vring_used_elem *e;
	unsigned int i;

	for (i = OUT * first; i < OUT * end; i++) {
		const uint8_t *bytes;

		e = fp_used(r);
		assert_non_null(e);
		assert_int_equal(e->len, HDR + LEN);
		bytes = fp_addr(r->desc[e->id].addr);
		assert_int_equal(bytes[HDR + LEN - 1], i / OUT);
	}
	assert_null(fp_used(r));
}

/* Driver of a: all of its buffers are back, in their order. */
static void
check_returned(void)
{
	const struct vring_used_elem *e;
	unsigned int i;
	uint32_t len;
	uint16_t id;

	for (i = 0; i < SENT; i++) {
		if (is_packed) {
			assert_true(fp_packed_used(&packed, &id, &len));
			continue;
		}
		e = fp_used(&a->rings[FP_FROM_PEER]);
		assert_non_null(e);
		assert_int_equal(e->id, i);
	}
}

/* What the device does when it is through with a revocation: it returns the
 * buffers before the place (doc/device-spec.md, section 9). */
static void
end_commit(uint16_t place)
{
	struct fp_ring *r = &a->rings[FP_FROM_PEER];
	unsigned int i;

	for (i = 0; is_packed && i < (place & 0x7fffu); i++) {
		packed.desc[i].len = 0;
		packed.desc[i].flags = 1 << VRING_PACKED_DESC_F_AVAIL |
			1 << VRING_PACKED_DESC_F_USED;
	}
	for (i = 0; !is_packed && r->used->idx != place; r->used->idx++)
		r->used->ring[r->used->idx % NUM] = (struct vring_used_elem) {
			.id = r->avail->ring[r->used->idx % NUM],
		};
}

static void
give_back(void)
{
	unsigned int i;

	end_commit(a->progress[FP_FROM_PEER]);
	a->peer.generation = a->revoked;
	for (i = 0; i < 2; i++)
		a->peer.rings[i].run = false;
	fp_adopt(a);
	for (i = 0; i < 2; i++) {
		uint16_t place = a->progress[i];

		a->peer.rings[i].run = true;
		a->peer.rings[i].base = place | (uint32_t)place << 16;
		a->peer.rings[i].epoch++;
	}
	fp_adopt(a);
}

static void
each_round_is_announced_before_it_is_sent(void **state)
{
	(void)state;
	send_all();
	burst();
	assert_int_equal((uint16_t)page & 0x7fff, FIRST_ROUND);
	assert_false(returned);
	check_received(0, SENT);
	check_returned();
	assert_int_equal(fp_xstat(a, "rx_ring0_steered"), SENT);
}

static void
nothing_is_sent_of_memory_that_was_taken_away(void **state)
{
	(void)state;
	send_all();
	a->revoked = a->peer.generation + 1;
	burst();
	check_received(0, 0);
	give_back();
	burst();
	check_received(0, SENT);
	check_returned();
}

static void
what_was_sent_before_memory_is_taken_away_comes_once(void **state)
{
	(void)state;
	send_all();
	revoke = true;
	burst();
	check_received(0, FIRST_ROUND);
	assert_false(has_back(1));
	give_back();
	burst();
	check_received(FIRST_ROUND, SENT);
	check_returned();
}

int
main(int argc, char *argv[])
{
#define BOTH(f) \
	{ "split: " #f, f, setup_split, teardown, NULL }, \
	{ "packed: " #f, f, setup_packed, teardown, NULL }
	const struct CMUnitTest tests[] = {
		BOTH(each_round_is_announced_before_it_is_sent),
		BOTH(nothing_is_sent_of_memory_that_was_taken_away),
		BOTH(what_was_sent_before_memory_is_taken_away_comes_once),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
