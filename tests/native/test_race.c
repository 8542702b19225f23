/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer changes its memory while bursts read it: another thread writes to
 * descriptors, indices and tables all the time, with nearly valid values, so
 * that bursts get far. Bursts must not touch anything outside the peer's memory
 * (guard pages), every burst must end, no mbuf may be lost, and each ring that
 * stops has a counted violation and can be started again.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "peer/fakepeer.h"

#define W	VRING_DESC_F_WRITE
#define NUM	16
#define TABLES	(FP_LOW + 0x40000)
#define SECONDS	2
#define MOVES	1000

struct mutator {
	struct fp_ring rings[2];	/* its own: addresses do not change */
	unsigned int seed;
	bool stop;
	uint64_t writes;
};

static uint64_t
some_address(unsigned int *seed)
{
	static const uint64_t near[] = {
		FP_LOW, FP_LOW + FP_SIZE - 100, FP_HIGH - 1, FP_HIGH, TABLES,
		FP_HIGH + FP_SIZE - 1600, FP_FAR, FP_FAR + FP_SIZE - 64,
		FP_HOLE, 0, UINT64_MAX - 1000,
	};
	unsigned int r = rand_r(seed);

	/* Mostly a good one: a bad one ends the ring. */
	if (r % 64)
		return TABLES + r % 0x10000;
	return near[r / 64 % RTE_DIM(near)] + r % 7;
}

static void
some_desc(volatile struct vring_desc *d, unsigned int dir, unsigned int *seed)
{
	unsigned int r = rand_r(seed);

	switch (r % 8) {
	case 0:
		d->addr = some_address(seed);
		break;
	case 1:
		d->len = r / 8 % 16 ? 12 + r / 128 % 2000 : r;
		break;
	case 2:
		d->next = r / 8 % 32 ? r / 256 % NUM : r / 256;
		break;
	case 3:
		d->len = 16 * (r / 8 % (NUM + 2));
		d->addr = TABLES + r / 256 % 64 * 16;
		d->flags = VRING_DESC_F_INDIRECT;
		break;
	default:
		d->flags = dir | (r / 8 % 3 ? 0 : VRING_DESC_F_NEXT);
		if (r / 32 % 64 == 0)
			d->flags = r;
	}
}

static void
mutate(struct mutator *m)
{
	unsigned int r = rand_r(&m->seed), ring = r / 16 % 2;
	struct fp_ring *target = &m->rings[ring];
	unsigned int dir = ring == FP_TO_PEER ? W : 0;
	volatile struct vring_avail *avail = target->avail;
	volatile struct vring_used *used = target->used;

	switch (r % 16) {
	case 0:
		avail->ring[r / 32 % NUM] = r / 1024 % 64 ?
			r / 65536 % NUM : r / 65536;
		break;
	case 1:
	case 2:
	case 3:
		avail->idx = used->idx + r / 32 % (NUM + 1);
		if (r / 1024 % 256 == 0)
			avail->idx = r / 262144;
		break;
	case 4:
		if (r / 32 % 1024 == 0)
			used->idx = r / 32768;
		break;
	case 5:
	case 6:
		some_desc((struct vring_desc *)fp_addr(TABLES) + r / 32 % 64,
			  dir, &m->seed);
		break;
	default:
		some_desc(&target->desc[r / 32 % NUM], dir, &m->seed);
	}
	m->writes++;
}

static void *
mutate_forever(void *opaque)
{
	struct mutator *m = opaque;

	/* Slow enough for bursts to get somewhere in between. */
	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		mutate(m);
		rte_delay_us_block(rand_r(&m->seed) % 4);
	}
	return NULL;
}

/* Descriptors as an honest driver would have them, to begin with. */
static void
make_honest(struct fakepeer *fp, unsigned int i)
{
	uint16_t flags = i == FP_TO_PEER ? W : 0;
	unsigned int d;

	for (d = 0; d < NUM; d++) {
		fp_desc(fp->rings[i].desc, d, TABLES + d * 2048, 1536, flags,
			0);
		fp_avail(&fp->rings[i], d);
	}
	fp_publish(&fp->rings[i]);
}

/* Bursts both ways; returns how many packets moved. */
static unsigned int
bursts(struct fakepeer *fp)
{
	struct rte_mbuf *pkts[32];
	unsigned int n, sent, moved, i;

	n = fp_rx(fp, pkts, 32);
	for (i = 0; i < n; i++)
		assert_in_range(pkts[i]->pkt_len, 14, 9216);
	moved = n;
	rte_pktmbuf_free_bulk(pkts, n);
	for (n = 0; n < 4; n++)
		pkts[n] = fp_packet(n == 3 ? 9000 : 60 + n * 500, n);
	sent = fp_tx(fp, pkts, n);
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	return moved + sent;
}

/* How many rings were restarted. */
static unsigned int
restart_broken(struct fakepeer *fp)
{
	unsigned int i, n = 0;

	for (i = 0; i < 2; i++) {
		if (!__atomic_load_n(&fp->broken[i], __ATOMIC_ACQUIRE))
			continue;
		__atomic_store_n(&fp->broken[i], 0, __ATOMIC_RELAXED);
		fp_restart(fp, i);
		make_honest(fp, i);
		n++;
	}
	return n;
}

static void
attack(uint64_t features, unsigned int seed)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_INDIRECT | features, NUM);
	struct mutator m = {
		.rings = { fp->rings[0], fp->rings[1] }, .seed = seed,
	};
	uint64_t end = rte_get_timer_cycles() + SECONDS * rte_get_timer_hz();
	uint64_t n_bursts = 0, moved = 0, restarts = 0;
	pthread_t thread;

	make_honest(fp, FP_TO_PEER);
	make_honest(fp, FP_FROM_PEER);
	assert_int_equal(pthread_create(&thread, NULL, mutate_forever, &m), 0);
	while (rte_get_timer_cycles() < end) {
		moved += bursts(fp);
		restarts += restart_broken(fp);
		n_bursts += 2;
	}
	__atomic_store_n(&m.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	print_message("  %" PRIu64 " bursts, %" PRIu64 " packets, %" PRIu64
		      " restarts, %" PRIu64 " writes\n", n_bursts, moved,
		      restarts, m.writes);
	assert_true(moved > 0);
	assert_true(restarts > 0);
	assert_true(fp_xstat(fp, "rx_ring0_violations") +
		    fp_xstat(fp, "tx_ring0_violations") >= restarts);
	fp_free(fp);
}

static unsigned int first_seed;

static void
peer_writes_while_plain_rings_run(void **state)
{
	(void)state;
	attack(0, first_seed);
}

static void
peer_writes_while_mergeable_rings_run(void **state)
{
	(void)state;
	attack(FP_MRG, first_seed + 1);
}

static void
peer_writes_while_event_index_rings_run(void **state)
{
	(void)state;
	attack(FP_MRG | FP_EVENT_IDX, first_seed + 2);
}

/* A third region comes and goes: rings and buffers are in another one. */
static void *
grow_and_shrink(void *opaque)
{
	struct fakepeer *fp = opaque;
	unsigned int i;

	for (i = 0; i < MOVES; i++) {
		fp->peer.n_regions = FP_REGIONS - 1 + i % 2;
		fp_adopt(fp);
		rte_delay_us_block(100);
	}
	__atomic_store_n(&fp->hold, 1u << 31, __ATOMIC_RELEASE);
	return NULL;
}

/* Times in which bursts sent nothing, while the peer always has room. */
static unsigned int
send_until_moved(struct fakepeer *fp, unsigned int *bursts)
{
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	unsigned int lost = 0;
	bool sent = true;

	while (!__atomic_load_n(&fp->hold, __ATOMIC_ACQUIRE)) {
		struct rte_mbuf *m = fp_packet(60, 1);

		if (fp_tx(fp, &m, 1) == 1) {
			const struct vring_used_elem *used = fp_used(r);

			assert_non_null(used);
			fp_avail(r, used->id);
			fp_publish(r);
			sent = true;
		} else {
			rte_pktmbuf_free(m);
			lost += sent;
			sent = false;
		}
		++*bursts;
	}
	return lost;
}

/* A thread that is preempted while it moves the memory may cost packets, which
 * happens on a busy machine. */
static void
peer_that_grows_and_shrinks_loses_nothing_sent_to_it(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	unsigned int lost, bursts = 0;
	pthread_t thread;

	(void)state;
	make_honest(fp, FP_TO_PEER);
	assert_int_equal(pthread_create(&thread, NULL, grow_and_shrink, fp), 0);
	lost = send_until_moved(fp, &bursts);
	pthread_join(thread, NULL);
	print_message("  %u moves, %u bursts, %u times nothing was sent\n", MOVES,
		      bursts, lost);
	assert_true(bursts > 0);
	assert_true(lost <= MOVES / 20);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_writes_while_plain_rings_run),
		cmocka_unit_test(peer_writes_while_mergeable_rings_run),
		cmocka_unit_test(peer_writes_while_event_index_rings_run),
		cmocka_unit_test(
			peer_that_grows_and_shrinks_loses_nothing_sent_to_it),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	(void)argc;
	first_seed = from != NULL ? strtoul(from, NULL, 0) :
		(unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", first_seed);
	fp_init(argv[0]);
	/* A line per violation is right for a user, not thousands for a test. */
	rte_log_set_level_regexp("pmd.net.vpci", RTE_LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
