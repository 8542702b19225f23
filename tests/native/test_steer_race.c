/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rules while other threads work: two ports, each polled by its own thread,
 * have rules that lead to the same third port. As a switch does, the two
 * threads also send there the packets that no rule moves. Meanwhile rules and
 * the third port come and go. Each packet arrives at most once, complete,
 * behind the earlier packets of its flow, and nowhere else.
 *
 * Other tests have a burst of the destination that does not end. One file: all
 * tests use one set of threads.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_flow.h>
#include <rte_lcore.h>

#include "flowkit.h"
#include "peer/fakepeer.h"
#include "port/port.h"
#include "rte_pmd_vhostpci.h"

#define NUM	64
#define NUM_B	256
#define HDR	12u
#define ROOM	2048u
#define SECONDS	2
#define N_A	2	/* ports that send */

/* What a packet begins with behind its UDP or TCP header. */
struct stamp {
	uint32_t source, seq, len, magic;
};

static struct fakepeer *b, *c;

struct source {
	pthread_t thread;
	struct fakepeer *fp;
	struct rte_flow *flow;	/* control's */
	struct fk_frame frames[3];
	uint32_t number, seq;
	uint32_t n_posted, n_taken;
	uint16_t tx_queue;
	bool may_send;		/* by queue tx_queue of b */
	/* control: w; thread: r */
	bool stop, hold;
	uint64_t turns;		/* thread: w; control: r */
	uint64_t up, sent;
	/* control: the last packet that arrived, plus 1 */
	uint32_t seen;
	uint64_t arrived;
};
static struct source sources[N_A];

/*
 * Sources: the peer's driver and the port's application in one thread.
 */

static void
post_packet(struct source *s)
{
	const struct fk_frame *f = &s->frames[s->seq % RTE_DIM(s->frames)];
	struct fp_ring *r = &s->fp->rings[FP_FROM_PEER];
	uint64_t gpa = s->fp->next_buffer + r->next_desc % NUM * ROOM;
	uint8_t *to = fp_addr(gpa);
	struct stamp stamp = { s->number, s->seq, f->len, 0x57a3 };
	uint32_t at = f->len - sizeof(stamp);

	memset(to, 0, HDR);
	memcpy(to + HDR, f->data, f->l4 + 20);
	/* TCP: SYN, which goes up, or ACK. */
	if (s->seq % RTE_DIM(s->frames) == 2)
		to[HDR + f->l4 + 13] = s->seq % 30 == 2 ? 0x02 : 0x10;
	memset(to + HDR + f->l4 + 20, s->seq, at - f->l4 - 20);
	memcpy(to + HDR + at, &stamp, sizeof(stamp));
	fp_post(r, gpa, HDR + f->len, 0);
	s->seq++;
}

/* As Open vSwitch does with what comes up: send it, or drop it. */
static void
poll_port(struct source *s)
{
	struct rte_mbuf *pkts[32];
	uint16_t n = fp_rx(s->fp, pkts, 32), done = 0;

	if (s->may_send && n > 0)
		done = rte_eth_tx_burst(b->port, s->tx_queue, pkts, n);
	rte_pktmbuf_free_bulk(pkts + done, n - done);
	s->up += n;
	s->sent += done;
}

static void *
send_forever(void *arg)
{
	struct source *s = arg;
	unsigned int i;

	assert_int_equal(rte_thread_register(), 0);
	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_add(&s->turns, 1, __ATOMIC_RELEASE);
		if (__atomic_load_n(&s->hold, __ATOMIC_ACQUIRE)) {
			sched_yield();
			continue;
		}
		for (i = s->seq % 8; i < 16 && s->n_posted - s->n_taken < NUM;
		     i++, s->n_posted++)
			post_packet(s);
		poll_port(s);
		while (fp_used(&s->fp->rings[FP_FROM_PEER]) != NULL)
			s->n_taken++;
		/* Where cores are few, everybody gets a turn. */
		sched_yield();
	}
	rte_thread_unregister();
	return NULL;
}

/*
 * The destination: its peer's driver and control in one thread.
 */

static void
offer_all(unsigned int ring)
{
	struct fp_ring *r = &b->rings[ring];
	uint64_t base = FP_LOW + FP_RINGS * 0x8000 + ring / 2 * NUM_B * ROOM;
	unsigned int i;

	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (i = 0; i < NUM_B; i++)
		fp_post(r, base + i * ROOM, ROOM, VRING_DESC_F_WRITE);
}

static void
check_packet(const uint8_t *data, uint32_t len)
{
	const struct fk_frame *f;
	struct source *s;
	struct stamp stamp;
	uint32_t i;

	assert_in_range(len, sizeof(stamp) + 54, ROOM);
	memcpy(&stamp, data + len - sizeof(stamp), sizeof(stamp));
	assert_int_equal(stamp.magic, 0x57a3);
	assert_true(stamp.source < N_A);
	assert_int_equal(stamp.len, len);
	s = &sources[stamp.source];
	/* Once, and in order. */
	if (stamp.seq < s->seen)
		fail_msg("source %u: packet %u comes after %u", stamp.source,
			 stamp.seq, s->seen - 1);
	s->seen = stamp.seq + 1;
	s->arrived++;
	f = &s->frames[stamp.seq % RTE_DIM(s->frames)];
	assert_memory_equal(data, f->data, f->l4 + 13);
	for (i = f->l4 + 20; i < len - sizeof(stamp); i++)
		assert_int_equal(data[i], (uint8_t)stamp.seq);
}

/* Take what is there out of @ring of b, and offer its buffers again. */
static void
take_all(unsigned int ring)
{
	struct fp_ring *r = &b->rings[ring];
	const struct vring_used_elem *e;

	while ((e = fp_used(r)) != NULL) {
		const uint8_t *data = fp_addr(r->desc[e->id].addr);

		assert_int_equal(data[10], 1);
		check_packet(data + HDR, e->len - HDR);
		fp_avail(r, e->id);
		fp_publish(r);
	}
}

static void
take(unsigned int n_pairs)
{
	unsigned int i;

	for (i = 0; i < n_pairs; i++)
		take_all(2 * i);
	assert_int_equal(c->rings[FP_TO_PEER].used->idx, 0);
	for (i = 0; i < N_A; i++)
		assert_int_equal(sources[i].fp->rings[FP_TO_PEER].used->idx,
				 0);
}

/* No thread sends to b by itself until it may go on; rules do. */
static void
hold(bool on)
{
	unsigned int i;

	for (i = 0; i < N_A; i++)
		__atomic_store_n(&sources[i].hold, on, __ATOMIC_RELEASE);
	for (i = 0; i < N_A && on; i++) {
		uint64_t turns = __atomic_load_n(&sources[i].turns,
						 __ATOMIC_ACQUIRE);

		while (__atomic_load_n(&sources[i].turns, __ATOMIC_ACQUIRE) <
		       turns + 2)
			sched_yield();
	}
}

static void
set_up_b(unsigned int n_pairs, uint16_t n_txq)
{
	struct rte_eth_conf conf = { 0 };
	uint16_t i;

	b = fp_new_number(0, FP_MODERN, NUM_B);
	assert_int_equal(rte_eth_dev_stop(b->port), 0);
	assert_int_equal(rte_eth_dev_configure(b->port, 1, n_txq, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(b->port, 0, 512, 0, NULL,
						fp_pool()), 0);
	for (i = 0; i < n_txq; i++)
		assert_int_equal(rte_eth_tx_queue_setup(b->port, i, 512, 0,
							NULL), 0);
	for (i = 0; i < n_pairs; i++)
		offer_all(2 * i);
	assert_int_equal(rte_eth_dev_start(b->port), 0);
	b->peer.n_rings = 2 * n_pairs;
	fp_adopt(b);
}

/* All rings of b begin anew. */
static void
restart_b(unsigned int n_pairs)
{
	unsigned int i;

	for (i = 0; i < n_pairs; i++)
		b->peer.rings[2 * i].run = false;
	fp_adopt(b);
	take(n_pairs);
	for (i = 0; i < n_pairs; i++) {
		fp_restart(b, 2 * i);
		offer_all(2 * i);
	}
}

static const struct rte_flow_attr transfer = { .transfer = 1 };

static struct rte_flow *
create(const struct fakepeer *from, const struct fakepeer *to)
{
	static const struct rte_flow_item_eth ip4_eth = {
		.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	}, type_mask = { .type = 0xffff };
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &ip4_eth,
		  .mask = &type_mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_action_port_id id = { .id = to->port };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_COUNT, NULL },
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error;

	return rte_flow_create(from->port, &transfer, items, actions, &error);
}

static void
change_rule(struct source *s)
{
	struct rte_flow_error error;

	if (s->flow == NULL) {
		s->flow = create(s->fp, b);
		assert_non_null(s->flow);
		return;
	}
	assert_int_equal(rte_flow_destroy(s->fp->port, s->flow, &error), 0);
	s->flow = NULL;
}

static void
turn_off_and_on(unsigned int n_pairs, bool stop)
{
	int rc;

	if (stop) {
		hold(true);
		assert_int_equal(rte_eth_dev_stop(b->port), 0);
		take(n_pairs);
		assert_int_equal(rte_eth_dev_start(b->port), 0);
		hold(false);
		return;
	}
	/* A burst that is preempted makes it fail, with nothing changed. */
	do
		rc = rte_eth_dev_set_link_down(b->port);
	while (rc == -ETIMEDOUT);
	take(n_pairs);
	do
		rc = rte_eth_dev_set_link_up(b->port);
	while (rc == -ETIMEDOUT);
}

/* Another port with the number of b: rules to that one do not lead to it. */
static void
replace_b(unsigned int n_pairs, uint16_t n_txq)
{
	uint16_t id = b->port;
	unsigned int i;
	uint64_t arrived;

	hold(true);
	fp_free(b);
	set_up_b(n_pairs, n_txq);
	assert_int_equal(b->port, id);
	for (i = 0; i < N_A; i++)
		sources[i].may_send = false;
	hold(false);
	arrived = sources[0].arrived + sources[1].arrived;
	for (i = 0; i < 100; i++) {
		take(n_pairs);
		sched_yield();
	}
	assert_int_equal(sources[0].arrived + sources[1].arrived, arrived);
	hold(true);
	for (i = 0; i < N_A; i++) {
		sources[i].may_send = sources[i].tx_queue < n_txq;
		if (sources[i].flow != NULL)
			change_rule(&sources[i]);
	}
	hold(false);
}

static void
control(unsigned int n_pairs, uint16_t n_txq, unsigned int *seed)
{
	unsigned int r = rand_r(seed), i;

	switch (r % 64) {
	case 0:
		turn_off_and_on(n_pairs, r / 64 % 8 == 0);
		break;
	case 1:
		restart_b(n_pairs);
		break;
	case 2:		/* another table of its memory */
		b->peer.n_regions = r / 64 % 2 ? FP_REGIONS : FP_REGIONS - 1;
		fp_adopt(b);
		break;
	case 3:
		if (r / 64 % 16 == 0)
			replace_b(n_pairs, n_txq);
		break;
	case 4:
		assert_int_equal(rte_pmd_vhostpci_steering_set(
			b->port, r / 64 % 4 != 0), 0);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		change_rule(&sources[r / 64 % N_A]);
		break;
	}
	/* Bursts of several turns wait in the rings. */
	for (i = 0; i < 40; i++) {
		if (rand_r(seed) % 4 == 0)
			take(n_pairs);
		sched_yield();
	}
}

static void
begin_source(struct source *s, unsigned int i, uint16_t n_txq)
{
	*s = (struct source) {
		.fp = fp_new_number(1 + i, FP_MODERN, NUM), .number = i,
		.tx_queue = i, .may_send = i < n_txq,
	};
	fk_make(&s->frames[0], false, -1, 17, 64);
	fk_make(&s->frames[1], false, -1, 17, 1400);
	fk_make(&s->frames[2], false, -1, 6, 200);
	assert_int_equal(pthread_create(&s->thread, NULL, send_forever, s), 0);
}

static bool
all_steered(void)
{
	unsigned int i;

	for (i = 0; i < N_A; i++) {
		if (fp_xstat(sources[i].fp, "rx_ring0_steered") == 0 ||
		    sources[i].arrived == 0)
			return false;
	}
	return true;
}

static void
race(unsigned int n_pairs, uint16_t n_txq, unsigned int seed)
{
	uint64_t end = rte_get_timer_cycles() + SECONDS * rte_get_timer_hz();
	unsigned int i;

	set_up_b(n_pairs, n_txq);
	c = fp_new_number(3, FP_MODERN, NUM);
	for (i = 0; i < N_A; i++)
		begin_source(&sources[i], i, n_txq);
	/* Where it is slow, until rules have moved something. */
	while (rte_get_timer_cycles() < end ||
	       (!all_steered() &&
		rte_get_timer_cycles() < end + 60 * rte_get_timer_hz()))
		control(n_pairs, n_txq, &seed);
	for (i = 0; i < N_A; i++) {
		struct source *s = &sources[i];

		__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(s->thread, NULL), 0);
		take(n_pairs);
		print_message("  %u packets, %" PRIu64 " steered, %" PRIu64
			      " up, %" PRIu64 " sent, %" PRIu64 " arrived\n",
			      s->seq, fp_xstat(s->fp, "rx_ring0_steered"),
			      s->up, s->sent, s->arrived);
		assert_true(s->arrived > 0);
		assert_true(fp_xstat(s->fp, "rx_ring0_steered") > 0);
		assert_int_equal(s->n_taken, s->n_posted);
		if (s->flow != NULL)
			change_rule(s);
	}
	for (i = 0; i < N_A; i++)
		fp_free(sources[i].fp);
	fp_free(c);
	fp_free(b);
}

static unsigned int first_seed;

static void
two_threads_steer_into_one_ring(void **state)
{
	race(1, 2, first_seed);
}

static void
one_thread_steers_and_another_sends(void **state)
{
	race(1, 1, first_seed + 1);
}

static void
two_threads_steer_into_two_pairs(void **state)
{
	race(2, 2, first_seed + 2);
}

/*
 * A burst that does not end.
 */

static void *
send_one(void *arg)
{
	struct fakepeer *fp = arg;
	struct rte_mbuf *m = fp_packet(60, 1);

	assert_int_equal(fp_tx(fp, &m, 1), 1);
	return NULL;
}

/* A burst of b's own, preempted for long while it sends. */
static pthread_t
hold_burst(void)
{
	unsigned int before = b->calls[FP_TO_PEER];
	uint64_t end = rte_get_timer_cycles() + 5 * rte_get_timer_hz();
	pthread_t thread;

	b->rings[FP_TO_PEER].avail->flags = 0;
	__atomic_store_n(&b->hold, 1u << FP_TO_PEER, __ATOMIC_RELEASE);
	assert_int_equal(pthread_create(&thread, NULL, send_one, b), 0);
	while (__atomic_load_n(&b->calls[FP_TO_PEER], __ATOMIC_ACQUIRE) ==
	       before) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(100);
	}
	return thread;
}

static void
end_burst(pthread_t thread)
{
	__atomic_store_n(&b->hold, 0, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	b->rings[FP_TO_PEER].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static int
setup(void **state)
{
	sources[0].fp = fp_new_number(1, FP_MODERN, NUM);
	sources[0].seq = 0;
	fk_make(&sources[0].frames[0], false, -1, 17, 64);
	sources[0].frames[1] = sources[0].frames[0];
	sources[0].frames[2] = sources[0].frames[0];
	set_up_b(1, 1);
	return 0;
}

static int
teardown(void **state)
{
	fp_free(sources[0].fp);
	fp_free(b);
	return 0;
}

/* One packet of a's; returns whether it arrived, and did not come up. */
static bool
steers(void)
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	const uint16_t before = r->used->idx;
	struct rte_mbuf *m;

	post_packet(&sources[0]);
	if (fp_rx(sources[0].fp, &m, 1) == 1) {
		rte_pktmbuf_free(m);
		assert_int_equal(r->used->idx, before);
		return false;
	}
	return (uint16_t)(r->used->idx - before) == 1;
}

static void
a_rule_that_a_burst_prevents_leaves_its_destination_running(void **state)
{
	pthread_t thread = hold_burst();
	struct rte_flow_error error;
	struct rte_flow *flow;

	assert_null(create(sources[0].fp, b));
	end_burst(thread);
	send_one(b);
	flow = create(sources[0].fp, b);
	assert_non_null(flow);
	assert_true(steers());
	assert_int_equal(rte_flow_destroy(sources[0].fp->port, flow, &error),
			 0);
}

/* The peer may have been told that its rings are not used any more. */
static void
what_an_adoption_left_stopped_no_rule_starts(void **state)
{
	struct rte_flow *flow = create(sources[0].fp, b), *other;
	pthread_t thread = hold_burst();
	struct rte_flow_error error;
	struct rte_mbuf *m;

	assert_non_null(flow);
	b->peer.n_regions--;
	assert_int_equal(vhostpci_peer_adopt(b->dev, &b->peer), -ETIMEDOUT);
	end_burst(thread);
	assert_int_equal(rte_pmd_vhostpci_steering_set(b->port, true), 0);
	assert_false(steers());
	assert_int_equal(rte_flow_destroy(sources[0].fp->port, flow, &error),
			 0);
	other = create(sources[0].fp, b);
	assert_non_null(other);
	assert_false(steers());
	m = fp_packet(60, 1);
	assert_int_equal(fp_tx(b, &m, 1), 0);
	fp_adopt(b);
	assert_true(steers());
	assert_int_equal(fp_tx(b, &m, 1), 1);
	assert_int_equal(rte_flow_destroy(sources[0].fp->port, other, &error),
			 0);
}

struct tx_thread {
	bool stop;
	uint64_t tries, refused;
};

static void *
send_on(void *arg)
{
	struct tx_thread *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		struct rte_mbuf *m = fp_packet(60, 1);
		uint16_t n;

		assert_non_null(m);
		n = fp_tx(b, &m, 1);
		rte_pktmbuf_free_bulk(&m, 1 - n);
		t->refused += 1 - n;
		__atomic_fetch_add(&t->tries, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Create a rule and destroy it; returns whether bursts of the other thread ran
 * meanwhile. */
static bool
refer_once(const struct tx_thread *t)
{
	uint64_t before = __atomic_load_n(&t->tries, __ATOMIC_ACQUIRE);
	struct rte_flow *flow = create(sources[0].fp, b);
	bool beside = __atomic_load_n(&t->tries, __ATOMIC_ACQUIRE) > before + 1;
	struct rte_flow_error error;

	/* Refused: the other thread got no processor in the middle of a burst. */
	if (flow == NULL)
		return false;
	assert_int_equal(rte_flow_destroy(sources[0].fp->port, flow, &error),
			 0);
	assert_int_equal(vhostpci_flow_settle(sources[0].fp->dev->flows), 0);
	return beside;
}

/* With each the port's own bursts begin to take the locks of its rings. */
static void
the_first_rule_to_a_port_costs_it_no_packet(void **state)
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	uint64_t end = rte_get_timer_cycles() + 20 * rte_get_timer_hz(), lost;
	const struct vring_used_elem *e;
	/* Outlives a test that fails, as the thread does. */
	static struct tx_thread t;
	unsigned int i, beside = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, send_on, &t), 0);
	while (beside < 500 && rte_get_timer_cycles() < end) {
		beside += refer_once(&t);
		for (i = 0; i < NUM_B && (e = fp_used(r)) != NULL; i++) {
			fp_avail(r, e->id);
			fp_publish(r);
		}
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* The others had no room. */
	lost = t.refused - fp_xstat(b, "tx_ring0_full");
	print_message("  %u rules beside bursts, %" PRIu64 " packets lost\n",
		      beside, lost);
	assert_int_equal(lost, 0);
	if (beside < 500)
		skip();
}

#define ONE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		ONE_TEST(a_rule_that_a_burst_prevents_leaves_its_destination_running),
		ONE_TEST(what_an_adoption_left_stopped_no_rule_starts),
		ONE_TEST(the_first_rule_to_a_port_costs_it_no_packet),
		cmocka_unit_test(two_threads_steer_into_one_ring),
		cmocka_unit_test(one_thread_steers_and_another_sends),
		cmocka_unit_test(two_threads_steer_into_two_pairs),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	first_seed = from != NULL ? strtoul(from, NULL, 0) :
		(unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", first_seed);
	fp_init("test_steer_race");
	rte_log_set_level_regexp("pmd.net.vpci", RTE_LOG_EMERG);
	/* By hand: those whose names match. */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
