/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The transmit side while the peer's queue pairs come and go. Packets that a
 * burst does not send are lost; so a tx queue stops only for changes of its own
 * ring. Two queues never use a ring at the same time.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "peer/fakepeer.h"
#include "port/port.h"
#include "port/txmap.h"

#define NUM		64
#define HDR		12u
#define LEN		60u
#define ROOM		256u
#define BUFFERS		(FP_LOW + 0x40000)
#define N_PAIRS		(FP_RINGS / 2)
#define N_QUEUES	3
#define SECONDS		2

/* Run receive rings of the pairs in @pairs, by bit, and transmit rings of
 * those in @both; the others stop. Rings go on where they stood. */
static int
adopt_pairs(struct fakepeer *fp, unsigned int pairs, unsigned int both)
{
	unsigned int i;

	for (i = 0; i < FP_RINGS; i++) {
		struct vhostpci_vring_desc *d = &fp->peer.rings[i];
		bool run = (i % 2 ? both : pairs) >> i / 2 & 1;

		if (run && !d->run) {
			d->epoch++;
			d->base = fp->rings[i].used->idx;
		}
		d->run = run;
	}
	fp->peer.n_rings = FP_RINGS;
	return vhostpci_peer_adopt(fp->dev, &fp->peer);
}

/* A port with @n tx queues, whose peer offers buffers in all rings and runs
 * the first pair. */
static struct fakepeer *
new_port(uint16_t n)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct rte_eth_conf conf = { 0 };
	unsigned int pair, i;

	for (pair = 0; pair < N_PAIRS; pair++) {
		for (i = 0; i < NUM; i++)
			fp_post(&fp->rings[2 * pair], BUFFERS +
				(pair * NUM + i) * ROOM, ROOM,
				VRING_DESC_F_WRITE);
		/* Held calls are for the receive side. */
		fp->rings[2 * pair].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	}
	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_dev_configure(fp->port, 1, n, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, NULL,
						fp_pool()), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(rte_eth_tx_queue_setup(fp->port, i, 512, 0,
							NULL), 0);
	assert_int_equal(rte_eth_dev_start(fp->port), 0);
	for (i = 2; i < FP_RINGS; i++)
		fp->peer.rings[i].run = false;
	assert_int_equal(adopt_pairs(fp, 1, 1), 0);
	return fp;
}

/* One packet by queue @q; whether it was taken. */
static bool
send_one(struct fakepeer *fp, uint16_t q, uint8_t seed)
{
	struct rte_mbuf *m = fp_packet(LEN, seed);

	if (rte_eth_tx_burst(fp->port, q, &m, 1) == 1)
		return true;
	rte_pktmbuf_free(m);
	return false;
}

static uint16_t
used(const struct fakepeer *fp, unsigned int pair)
{
	return *(volatile uint16_t *)&fp->rings[2 * pair].used->idx;
}

static void *
receive_one(void *arg)
{
	struct rte_mbuf *m;

	if (fp_rx(arg, &m, 1) == 1)
		rte_pktmbuf_free(m);
	/* This one calls the peer, which takes its time. */
	fp_rx(arg, &m, 1);
	return NULL;
}

/* Control waits for the receive queue of the pair that starts: whoever sends
 * does not. */
static void
queues_send_while_another_pair_starts(void **state)
{
	struct fakepeer *fp = new_port(2);
	unsigned int before = fp->calls[FP_FROM_PEER];
	uint64_t end = rte_get_timer_cycles() + 20 * rte_get_timer_hz();
	pthread_t thread;

	(void)state;
	__atomic_store_n(&fp->hold, 1u << FP_FROM_PEER, __ATOMIC_RELEASE);
	fp_post(&fp->rings[FP_FROM_PEER], BUFFERS, HDR + LEN, 0);
	assert_int_equal(pthread_create(&thread, NULL, receive_one, fp), 0);
	while (__atomic_load_n(&fp->calls[FP_FROM_PEER], __ATOMIC_ACQUIRE) ==
	       before) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(100);
	}
	assert_int_equal(adopt_pairs(fp, 3, 3), -ETIMEDOUT);
	assert_true(send_one(fp, 0, 1));
	assert_true(send_one(fp, 1, 2));
	assert_int_equal(used(fp, 0), 2);
	__atomic_store_n(&fp->hold, 0, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fp_adopt(fp);
	assert_true(send_one(fp, 0, 3));
	assert_true(send_one(fp, 1, 4));
	assert_int_equal(used(fp, 0), 3);
	assert_int_equal(used(fp, 1), 1);
	fp_free(fp);
}

/* By pair: which tx queues stop for the change, and where they send then. One
 * function: most of it is the table. */
static void
queues_stop_for_their_own_ring_only(void **state)
{
	static const struct {
		unsigned int was, is;
		uint64_t stop;
		uint8_t pair[N_QUEUES];	/* where each sends then */
		unsigned int shared;
	} steps[] = {
		{ 0, 1, UINT64_MAX, { 0, 0, 0 }, 1 },
		{ 1, 5, 0, { 0, 2, 0 }, 1 },
		/* To 2 comes the third, before the second has left. */
		{ 5, 7, 2, { 0, 1, 2 }, 0 },
		/* The third comes to the first. */
		{ 7, 3, 5, { 0, 1, 0 }, 1 },
		{ 3, 2, 7, { 1, 1, 1 }, 2 },
		{ 2, 3, 0, { 0, 1, 0 }, 1 },
		{ 3, 0, 7, { 0, 0, 0 }, 0 },
	};
	struct fakepeer *fp = new_port(N_QUEUES);
	unsigned int i, q, pair;

	(void)state;
	assert_int_equal(adopt_pairs(fp, 0, 1), 0);
	for (i = 0; i < RTE_DIM(steps); i++) {
		struct vhostpci_vring_desc rings[FP_RINGS];
		struct vhostpci_peer next = fp->peer;

		memcpy(rings, fp->peer.rings, sizeof(rings));
		next.rings = rings;
		for (pair = 0; pair < N_PAIRS; pair++)
			next.rings[2 * pair].run = steps[i].is >> pair & 1;
		assert_int_equal(vhostpci_txmap_concerned(fp->dev, &next,
				 steps[i].was ^ steps[i].is), steps[i].stop);
		assert_int_equal(adopt_pairs(fp, steps[i].is, 1), 0);
		for (q = 0; q < N_QUEUES; q++) {
			pair = steps[i].pair[q];
			assert_int_equal(fp->dev->txq[q]->run,
					 steps[i].is != 0);
			assert_ptr_equal(fp->dev->txq[q]->rings[0],
					 steps[i].is == 0 ? NULL :
					 &fp->dev->rings[2 * pair]);
		}
		for (pair = 0; pair < N_PAIRS; pair++) {
			if (steps[i].is >> pair & 1)
				assert_int_equal(fp->dev->rings[2 * pair].shared,
						 steps[i].shared >> pair & 1);
		}
	}
	fp_free(fp);
}

struct one {
	struct fakepeer *fp;
	uint16_t queue;
	bool sent;
};

static void *
send_one_thread(void *arg)
{
	struct one *one = arg;

	one->sent = send_one(one->fp, one->queue, 1);
	return NULL;
}

/* A burst of a queue that moved to another ring meanwhile goes on with the ring
 * that it began with: that one does not stop before the burst ends. One function:
 * each step needs the one before. */
static void
ring_does_not_stop_under_a_burst_whose_queue_moved(void **state)
{
	static const struct {
		uint16_t n, queue;	/* tx queues; the one that sends */
		unsigned int pair;	/* on it */
		unsigned int began, moved, stopped; /* pairs running, by bit */
	} cases[] = {
		{ 4, 1, 0, 1, 3, 2 },	/* a ring that stays shared */
		{ 1, 0, 1, 2, 3, 1 },	/* none is ever shared */
		{ 2, 1, 2, 5, 7, 3 },
	};
	unsigned int c, i, q;

	(void)state;
	for (c = 0; c < RTE_DIM(cases); c++) {
		struct fakepeer *fp = new_port(cases[c].n);
		struct one one = { .fp = fp, .queue = cases[c].queue };
		unsigned int ring = 2 * cases[c].pair, calls;
		uint64_t end = rte_get_timer_cycles() + 20 * rte_get_timer_hz();
		pthread_t thread;

		assert_int_equal(adopt_pairs(fp, cases[c].began, 1), 0);
		assert_ptr_equal(fp->dev->txq[one.queue]->rings[0],
				 &fp->dev->rings[ring]);
		fp->rings[ring].avail->flags = 0;
		calls = fp->calls[ring];
		__atomic_store_n(&fp->hold, 1u << ring, __ATOMIC_RELEASE);
		assert_int_equal(pthread_create(&thread, NULL, send_one_thread,
						&one), 0);
		while (__atomic_load_n(&fp->calls[ring], __ATOMIC_ACQUIRE) ==
		       calls) {
			assert_true(rte_get_timer_cycles() < end);
			rte_delay_us_sleep(100);
		}
		/* It goes on sending, to another ring. */
		assert_int_equal(adopt_pairs(fp, cases[c].moved, 1), 0);
		assert_int_equal(fp->dev->txq[one.queue]->run, 1);
		assert_ptr_not_equal(fp->dev->txq[one.queue]->rings[0],
				     &fp->dev->rings[ring]);
		assert_int_equal(adopt_pairs(fp, cases[c].stopped, 1),
				 -ETIMEDOUT);
		assert_true(fp->dev->rings[ring].running);
		__atomic_store_n(&fp->hold, 0, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(one.sent);
		fp_adopt(fp);
		assert_false(fp->dev->rings[ring].running);
		for (i = 0; i < 2; i++) {
			for (q = 0; q < cases[c].n; q++)
				assert_true(send_one(fp, q, 2));
			/* Nothing is left of it: the next stop is at once. */
			assert_int_equal(adopt_pairs(fp, 1 << i, 1), 0);
		}
		fp_free(fp);
	}
}

struct sender {
	struct fakepeer *fp;
	uint16_t queue;
	const bool *stop;
	uint64_t sent;
};

static void *
send_forever(void *arg)
{
	struct sender *s = arg;

	while (!__atomic_load_n(s->stop, __ATOMIC_ACQUIRE)) {
		if (send_one(s->fp, s->queue, s->sent))
			s->sent++;
		else
			sched_yield();
	}
	return NULL;
}

struct taker {
	struct fakepeer *fp;
	const bool *stop;
	uint64_t taken, spoilt;
};

static bool
is_whole(unsigned int pair, const struct vring_used_elem *e)
{
	const uint8_t *data = fp_addr(BUFFERS + (pair * NUM + e->id) * ROOM);
	uint32_t i;

	if (e->id >= NUM || e->len != HDR + LEN)
		return false;
	for (i = 0; i < LEN; i++) {
		if (data[HDR + i] != fp_pattern(i, data[HDR]))
			return false;
	}
	return true;
}

/* Takes packets and offers their buffers again; how many. */
static unsigned int
take(struct taker *t)
{
	const struct vring_used_elem *e;
	unsigned int pair, n = 0;

	for (pair = 0; pair < N_PAIRS; pair++) {
		struct fp_ring *r = &t->fp->rings[2 * pair];

		while ((e = fp_used(r)) != NULL) {
			uint16_t id = e->id % NUM;

			t->spoilt += !is_whole(pair, e);
			n++;
			fp_avail(r, id);
			fp_publish(r);
		}
	}
	t->taken += n;
	return n;
}

static void *
take_forever(void *arg)
{
	struct taker *t = arg;

	while (!__atomic_load_n(t->stop, __ATOMIC_ACQUIRE)) {
		if (take(t) == 0)
			sched_yield();
	}
	return NULL;
}

/* Three threads send, each by a queue of its own, while queues move from ring
 * to ring all the time: each packet taken from them arrives whole. One function:
 * each step needs the one before. */
static void
two_queues_never_use_a_ring_at_once(void **state)
{
	struct fakepeer *fp = new_port(N_QUEUES);
	uint64_t end = rte_get_timer_cycles() + SECONDS * rte_get_timer_hz();
	struct sender senders[N_QUEUES];
	pthread_t threads[N_QUEUES], taker;
	uint64_t sent = 0, changes = 0;
	bool stop = false, end_taker = false;
	struct taker t = { .fp = fp, .stop = &end_taker };
	unsigned int seed = 1, i;

	(void)state;
	assert_int_equal(pthread_create(&taker, NULL, take_forever, &t), 0);
	for (i = 0; i < N_QUEUES; i++) {
		senders[i] = (struct sender){ fp, i, &stop, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, send_forever,
						&senders[i]), 0);
	}
	while (rte_get_timer_cycles() < end) {
		unsigned int pairs = rand_r(&seed) % (1 << N_PAIRS);

		/* -ETIMEDOUT on a busy machine. */
		if (adopt_pairs(fp, pairs, 1) != 0)
			fp_adopt(fp);
		changes++;
		rte_delay_us_sleep(rand_r(&seed) % 200);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < N_QUEUES; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(senders[i].sent > 0);
		sent += senders[i].sent;
	}
	__atomic_store_n(&end_taker, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(taker, NULL), 0);
	take(&t);
	print_message("  %" PRIu64 " changes, %" PRIu64 " packets\n", changes,
		      sent);
	for (i = 0; i < FP_RINGS; i++)
		assert_int_equal(fp->broken[i], 0);
	assert_int_equal(t.spoilt, 0);
	assert_int_equal(t.taken, sent);
	assert_true(changes > 10);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_send_while_another_pair_starts),
		cmocka_unit_test(queues_stop_for_their_own_ring_only),
		cmocka_unit_test(
			ring_does_not_stop_under_a_burst_whose_queue_moved),
		cmocka_unit_test(two_queues_never_use_a_ring_at_once),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
