/* SPDX-License-Identifier: Apache-2.0 */

/* Requirements of Open vSwitch on rules while other threads work: changes of
 * ports, counts, and packets that the application itself sends to the
 * destination. One file: all tests use the same ports. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_flow.h>

#include "flowkit.h"
#include "peer/fakepeer.h"

#define NUM	64
#define HDR	12u
#define ROOM	256u
#define UDP	17
#define PAYLOAD	60
#define SECONDS	20	/* for whatever has to happen */

static struct fakepeer *a, *b;

/* Frames of two senders, told by the first byte of the payload; their numbers
 * are behind it, and then a pattern. */
enum sender { STEERED, OWN, N_SENDERS };

static struct fk_frame
numbered(enum sender sender, uint32_t number)
{
	struct fk_frame f;
	uint8_t *payload;

	fk_make(&f, false, -1, UDP, PAYLOAD);
	payload = f.data + f.len - PAYLOAD;
	memset(payload, number * 7 + sender, PAYLOAD);
	payload[0] = sender;
	memcpy(payload + 1, &number, sizeof(number));
	return f;
}

static void
offer(struct fakepeer *fp, unsigned int n)
{
	while (n-- > 0)
		fp_post(&fp->rings[FP_TO_PEER], fp_buffer(fp, ROOM), ROOM,
			VRING_DESC_F_WRITE);
}

static struct fakepeer *
receiver(void)
{
	struct fakepeer *fp = fp_new_number(1, FP_MODERN, NUM);

	fp->rings[FP_TO_PEER].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	offer(fp, NUM);
	return fp;
}

/* a's driver and the thread that polls a, in one. */
static struct poller {
	pthread_t thread;
	bool runs, stop;	/* test: w */
	unsigned int bursts;	/* thread: w; test: r */
	uint32_t limit;		/* test: w: no more packets than that */
	uint32_t sent, up;	/* thread: rw; test: r when it has ended */
} poller;

static bool
a_has_room(void)
{
	const struct fp_ring *r = &a->rings[FP_FROM_PEER];

	return (uint16_t)(r->avail_idx - r->used->idx) < r->num;
}

static void
send_next(void)
{
	struct fk_frame f = numbered(STEERED, poller.sent++);
	uint64_t gpa = fp_buffer(a, HDR + f.len);

	memset(fp_addr(gpa), 0, HDR);
	memcpy((uint8_t *)fp_addr(gpa) + HDR, f.data, f.len);
	fp_post(&a->rings[FP_FROM_PEER], gpa, HDR + f.len, 0);
}

static void
poll_once(void)
{
	struct rte_mbuf *pkts[32];
	uint32_t limit = __atomic_load_n(&poller.limit, __ATOMIC_ACQUIRE);
	unsigned int n, i;

	for (i = 0; i < 8 && poller.sent < limit && a_has_room(); i++)
		send_next();
	n = fp_rx(a, pkts, 32);
	poller.up += n;
	rte_pktmbuf_free_bulk(pkts, n);
	__atomic_fetch_add(&poller.bursts, 1, __ATOMIC_RELEASE);
}

static void *
poll_forever(void *arg)
{
	while (!__atomic_load_n(&poller.stop, __ATOMIC_ACQUIRE))
		poll_once();
	/* What is left in a's ring. */
	poll_once();
	poll_once();
	return arg;
}

static void
start_polling(uint32_t limit)
{
	memset(&poller, 0, sizeof(poller));
	poller.limit = limit;
	assert_int_equal(pthread_create(&poller.thread, NULL, poll_forever,
					NULL), 0);
	poller.runs = true;
}

static void
stop_polling(void)
{
	poller.runs = false;
	__atomic_store_n(&poller.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(poller.thread, NULL), 0);
}

/* Open vSwitch's own packets for b, from a thread of theirs. */
static struct own {
	pthread_t thread;
	bool runs, stop;	/* test: w */
	uint32_t limit;		/* test: w: no more packets than that */
	bool sends;		/* thread: w; test: r */
	uint32_t lost;		/* thread: w; test: r when it has ended */
} own;

static void
stop_own(void)
{
	own.runs = false;
	__atomic_store_n(&own.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(own.thread, NULL), 0);
}

static uint64_t
deadline(void)
{
	return rte_get_timer_cycles() + SECONDS * rte_get_timer_hz();
}

/* Until the thread has begun and ended @n bursts more. */
static void
wait_bursts(unsigned int n)
{
	unsigned int from = __atomic_load_n(&poller.bursts, __ATOMIC_ACQUIRE);
	uint64_t end = deadline();

	while (__atomic_load_n(&poller.bursts, __ATOMIC_ACQUIRE) - from <= n) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(50);
	}
}

static uint16_t
b_used(void)
{
	return __atomic_load_n(&b->rings[FP_TO_PEER].used->idx,
			       __ATOMIC_ACQUIRE);
}

static int
setup(void **state)
{
	/* Not the first one, some of whose buffers lie across a border. */
	a = fp_new_number(2, FP_MODERN, NUM);
	b = receiver();
	return 0;
}

static int
teardown(void **state)
{
	/* A test that fails leaves them. */
	if (own.runs)
		stop_own();
	if (poller.runs)
		stop_polling();
	fp_free(b);
	fp_free(a);
	return 0;
}

static const struct rte_flow_attr transfer = { .transfer = 1 };
static const struct rte_flow_item any[] = {
	{ .type = RTE_FLOW_ITEM_TYPE_ETH }, { .type = RTE_FLOW_ITEM_TYPE_END }
};

#define COUNT	{ RTE_FLOW_ACTION_TYPE_COUNT, NULL }
#define END	{ RTE_FLOW_ACTION_TYPE_END, NULL }

/* All of a's packets go to b, or are dropped. */
static struct rte_flow *
create(enum rte_flow_action_type type)
{
	const struct rte_flow_action_port_id id = { .id = b->port };
	const struct rte_flow_action actions[] = { COUNT, { type, &id }, END };
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(a->port, &transfer, any,
						actions, &error);

	assert_non_null(flow);
	return flow;
}

static struct rte_flow_query_count
query(struct rte_flow *flow, bool reset)
{
	const struct rte_flow_action count[] = { COUNT, END };
	struct rte_flow_query_count got = { .reset = reset };
	struct rte_flow_error error;

	assert_int_equal(rte_flow_query(a->port, flow, count, &got, &error), 0);
	assert_true(got.hits_set && got.bytes_set);
	return got;
}

static uint64_t
hits(struct rte_flow *flow)
{
	return query(flow, false).hits;
}

static void
destroy(struct rte_flow *flow)
{
	struct rte_flow_error error;

	assert_int_equal(rte_flow_destroy(a->port, flow, &error), 0);
}

/* Revalidators read and reset counts while a PMD thread counts. The next answer
 * lacks exactly the packets that were told before. The rule drops, so all
 * packets are hits. */
static void
counts_that_are_reset_while_bursts_run_add_up(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_DROP);
	uint64_t end = deadline(), total = 0, bytes = 0;
	struct rte_flow_query_count seen, taken;

	start_polling(20000);
	while (total < 20000 && rte_get_timer_cycles() < end) {
		seen = query(flow, false);
		taken = query(flow, true);
		assert_true(taken.hits >= seen.hits);
		assert_true(taken.bytes >= seen.bytes);
		total += taken.hits;
		bytes += taken.bytes;
	}
	stop_polling();
	taken = query(flow, true);
	assert_int_equal(poller.sent, 20000);
	assert_int_equal(total + taken.hits, poller.sent);
	assert_int_equal(bytes + taken.bytes,
			 (uint64_t)poller.sent * numbered(STEERED, 0).len);
	assert_int_equal(hits(flow), 0);
	destroy(flow);
}

/* Another thread reads and resets the same rule's counts: no count of either
 * thread may be below zero. */
static void *
ask_forever(void *arg)
{
	static uint64_t total;

	total = 0;
	while (!__atomic_load_n(&poller.stop, __ATOMIC_ACQUIRE)) {
		struct rte_flow_query_count taken = query(arg, true);

		total += taken.hits;
		if (taken.hits > INT64_MAX)
			return NULL;
	}
	return &total;
}

static void
counts_that_two_threads_reset_add_up(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_DROP);
	uint64_t total = 0, *others, taken;
	pthread_t thread;
	unsigned int i;
	bool ok = true;
	void *result;

	start_polling(UINT32_MAX);
	assert_int_equal(pthread_create(&thread, NULL, ask_forever, flow), 0);
	for (i = 0; i < 3000000 && ok; i++) {
		taken = query(flow, i % 2).hits;
		ok = taken <= INT64_MAX;
		total += i % 2 ? taken : 0;
	}
	stop_polling();
	assert_int_equal(pthread_join(thread, &result), 0);
	others = result;
	assert_true(ok && others != NULL);
	total += query(flow, true).hits;
	assert_int_equal(total + *others, poller.sent);
	destroy(flow);
}

/* Open vSwitch offers a flow to the driver only once, when the flow is added or
 * changed; so the driver must accept a rule to a peer that is down. */
static void
a_rule_to_a_peer_that_is_down_is_accepted_and_works_later(void **state)
{
	struct rte_flow *flow;

	b->peer.connected = false;
	fp_adopt(b);
	flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	memset(&poller, 0, sizeof(poller));
	poller.limit = 1;
	poll_once();
	assert_int_equal(poller.up, 1);
	b->peer.connected = true;
	fp_restart(b, FP_TO_PEER);
	offer(b, NUM);
	poller.limit = 2;
	poll_once();
	assert_int_equal(poller.up, 1);
	assert_int_equal(b_used(), 1);
	destroy(flow);
}

/* Open vSwitch resets a port whose configuration changes. */
static void
a_rule_steers_and_counts_on_after_its_port_was_reset(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	struct rte_eth_conf conf = { 0 };

	memset(&poller, 0, sizeof(poller));
	poller.limit = 1;
	poll_once();
	assert_int_equal(b_used(), 1);
	assert_int_equal(rte_eth_dev_stop(a->port), 0);
	assert_int_equal(rte_eth_dev_reset(a->port), 0);
	assert_int_equal(rte_eth_dev_configure(a->port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(a->port, 0, 512, 0, NULL,
						fp_pool()), 0);
	assert_int_equal(rte_eth_tx_queue_setup(a->port, 0, 512, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(a->port), 0);
	poller.limit = 2;
	poll_once();
	assert_int_equal(poller.up, 0);
	assert_int_equal(b_used(), 2);
	assert_int_equal(hits(flow), 2);
	destroy(flow);
}

/* b's driver: give back all that it has received, until something came. */
static void
wait_steered(void)
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	uint64_t end = deadline();
	unsigned int n = 0;

	while (n == 0) {
		assert_true(rte_get_timer_cycles() < end);
		for (; fp_used(r) != NULL; n++)
			offer(b, 1);
		rte_delay_us_sleep(50);
	}
}

static void
check_nothing_comes(void)
{
	uint16_t used = b_used();

	wait_bursts(5);
	assert_int_equal(b_used(), used);
}

/* Stop b. On a busy machine another thread's burst may need more time. */
static void
stop_b(void)
{
	uint64_t end = deadline();
	int rc;

	do {
		rc = rte_eth_dev_stop(b->port);
	} while (rc == -ETIMEDOUT && rte_get_timer_cycles() < end);
	assert_int_equal(rc, 0);
}

static void
a_destination_stops_and_goes_while_another_thread_sends_to_it(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	unsigned int round;

	start_polling(UINT32_MAX);
	for (round = 0; round < 30; round++) {
		wait_steered();
		stop_b();
		check_nothing_comes();
		assert_int_equal(rte_eth_dev_start(b->port), 0);
	}
	wait_steered();
	stop_b();
	fp_free(b);
	/* The port number belongs to a new port; the rule is for the old
	 * one. */
	b = receiver();
	check_nothing_comes();
	stop_polling();
	/* What follows such a packet in its burst counts as going up with it. */
	assert_in_range(fp_xstat(a, "not_steered_no_destination"), 30,
			poller.up);
	assert_int_equal(hits(flow), poller.sent - poller.up);
	destroy(flow);
}

/* A burst is in the call to b's peer: a stop of b has to wait for its end. */
static void
a_destination_does_not_stop_before_a_burst_to_it_ends(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	uint64_t end = deadline();
	unsigned int calls = b->calls[FP_TO_PEER];

	b->rings[FP_TO_PEER].avail->flags = 0;
	__atomic_store_n(&b->hold, 1u << FP_TO_PEER, __ATOMIC_RELEASE);
	start_polling(1);
	while (__atomic_load_n(&b->calls[FP_TO_PEER], __ATOMIC_ACQUIRE) ==
	       calls) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(50);
	}
	assert_int_equal(rte_eth_dev_stop(b->port), -ETIMEDOUT);
	__atomic_store_n(&b->hold, 0, __ATOMIC_RELEASE);
	stop_b();
	stop_polling();
	assert_int_equal(poller.up, 0);
	destroy(flow);
}

#define EACH	5000u	/* packets of each sender */
#define WINDOW	24	/* under way: both fit into the ring */

static void *
send_own(void *arg)
{
	uint32_t number = 0, limit;

	while (number < EACH &&
	       !__atomic_load_n(&own.stop, __ATOMIC_ACQUIRE)) {
		struct fk_frame f = numbered(OWN, number);
		struct rte_mbuf *m;

		limit = __atomic_load_n(&own.limit, __ATOMIC_ACQUIRE);
		if (number == limit) {
			sched_yield();
			continue;
		}
		m = rte_pktmbuf_alloc(fp_pool());
		if (m == NULL)
			continue;
		memcpy(rte_pktmbuf_append(m, f.len), f.data, f.len);
		__atomic_store_n(&own.sends, true, __ATOMIC_RELEASE);
		if (fp_tx(b, &m, 1) == 0) {
			rte_pktmbuf_free(m);
			own.lost++;
		}
		number++;
	}
	return arg;
}

static void
start_own(uint32_t limit)
{
	memset(&own, 0, sizeof(own));
	own.limit = limit;
	assert_int_equal(pthread_create(&own.thread, NULL, send_own, NULL),
			 0);
	own.runs = true;
}

/* b's driver: the next packet, if there is one, is whole and the next one of
 * its sender, of which there were @n. */
static void
receive_in_turn(uint32_t n[N_SENDERS])
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	const struct vring_used_elem *e = fp_used(r);
	const uint8_t *frame;
	enum sender sender;
	struct fk_frame f;

	if (e == NULL) {
		sched_yield();
		return;
	}
	frame = (uint8_t *)fp_addr(r->desc[e->id].addr) + HDR;
	f = numbered(STEERED, 0);
	assert_int_equal(e->len, HDR + f.len);
	sender = frame[f.len - PAYLOAD];
	assert_in_range(sender, STEERED, OWN);
	f = numbered(sender, n[sender]++);
	assert_memory_equal(frame, f.data, f.len);
	offer(b, 1);
}

static void
steered_packets_and_others_share_a_ring(void **state)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	uint32_t n[N_SENDERS] = { 0 };
	uint64_t end = deadline();

	start_polling(WINDOW);
	start_own(WINDOW);
	while (n[STEERED] < EACH || n[OWN] < EACH) {
		if (rte_get_timer_cycles() > end)
			fail_msg("%u steered, %u others", n[STEERED], n[OWN]);
		__atomic_store_n(&poller.limit,
				 RTE_MIN(n[STEERED] + WINDOW, EACH),
				 __ATOMIC_RELEASE);
		__atomic_store_n(&own.limit, n[OWN] + WINDOW,
				 __ATOMIC_RELEASE);
		receive_in_turn(n);
	}
	stop_own();
	stop_polling();
	assert_int_equal(own.lost, 0);
	assert_int_equal(fp_xstat(b, "tx_ring0_steer_full"), 0);
	assert_int_equal(poller.up, 0);
	assert_int_equal(hits(flow), EACH);
	destroy(flow);
}

static bool
sends(enum sender sender)
{
	return sender == OWN ?
		__atomic_load_n(&own.sends, __ATOMIC_ACQUIRE) :
		__atomic_load_n(&a->rings[FP_FROM_PEER].avail->idx,
				__ATOMIC_ACQUIRE) > 0;
}

static void
start(enum sender sender)
{
	uint64_t end = deadline();

	if (sender == OWN)
		start_own(1);
	else
		start_polling(1);
	while (!sends(sender)) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(50);
	}
}

static void
wait_used(uint16_t n)
{
	uint64_t end = deadline();

	while (b_used() != n) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(50);
	}
}

/* The first sender's burst is in the call to b's peer. Nothing shows that the
 * other sender waits; so check for some time that its packets do not arrive. */
static void
check_other_waits(enum sender first, enum sender second)
{
	struct rte_flow *flow = create(RTE_FLOW_ACTION_TYPE_PORT_ID);
	uint64_t end;

	b->rings[FP_TO_PEER].avail->flags = 0;
	__atomic_store_n(&b->hold, 1u << FP_TO_PEER, __ATOMIC_RELEASE);
	start(first);
	wait_used(1);
	start(second);
	end = rte_get_timer_cycles() + rte_get_timer_hz() / 10;
	while (rte_get_timer_cycles() < end) {
		assert_int_equal(b_used(), 1);
		rte_delay_us_sleep(1000);
	}
	__atomic_store_n(&b->hold, 0, __ATOMIC_RELEASE);
	wait_used(2);
	stop_own();
	stop_polling();
	destroy(flow);
}

static void
own_packets_wait_for_a_burst_that_steers_into_their_ring(void **state)
{
	check_other_waits(STEERED, OWN);
}

static void
steered_packets_wait_for_a_burst_of_the_destinations_own(void **state)
{
	check_other_waits(OWN, STEERED);
}

int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(counts_that_are_reset_while_bursts_run_add_up),
		TEST(counts_that_two_threads_reset_add_up),
		TEST(a_rule_to_a_peer_that_is_down_is_accepted_and_works_later),
		TEST(a_rule_steers_and_counts_on_after_its_port_was_reset),
		TEST(a_destination_stops_and_goes_while_another_thread_sends_to_it),
		TEST(a_destination_does_not_stop_before_a_burst_to_it_ends),
		TEST(own_packets_wait_for_a_burst_that_steers_into_their_ring),
		TEST(steered_packets_wait_for_a_burst_of_the_destinations_own),
		TEST(steered_packets_and_others_share_a_ring),
	};

	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
