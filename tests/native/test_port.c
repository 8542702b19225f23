/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A port around its rings: notifications both ways, resuming where a ring
 * stood, link, statistics, and changes of the peer's memory under traffic. One
 * file: all of it is one port.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>

#include <rte_arp.h>
#include <rte_bus_vdev.h>
#include <rte_cycles.h>

#include "peer/fakepeer.h"
#include "port/assign.h"
#include "port/port.h"

#define NUM	64
#define HDR	12u
#define GOOD	(FP_LOW + 0x40000)

/* A port starts all its queues, and says so to who wants to start one later. */
static void
deferred_start_is_refused(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct rte_eth_rxconf rx = { .rx_deferred_start = 1 };
	struct rte_eth_txconf tx = { .tx_deferred_start = 1 };

	(void)state;
	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, &rx,
						fp_pool()), -EINVAL);
	assert_int_equal(rte_eth_tx_queue_setup(fp->port, 0, 512, 0, &tx),
			 -EINVAL);
	rx.rx_deferred_start = 0;
	tx.tx_deferred_start = 0;
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, &rx,
						fp_pool()), 0);
	assert_int_equal(rte_eth_tx_queue_setup(fp->port, 0, 512, 0, &tx), 0);
	fp_free(fp);
}

static void
kicks_are_suppressed(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];

	(void)state;
	assert_int_equal(r->used->flags, VRING_USED_F_NO_NOTIFY);
	fp_free(fp);

	fp = fp_new(FP_MODERN | FP_EVENT_IDX, NUM);
	r = &fp->rings[FP_FROM_PEER];
	assert_int_equal(r->used->flags, 0);
	/* avail_event: the next 65535 buffers do not pass it. */
	assert_int_equal(*(uint16_t *)&r->used->ring[NUM], 0xffff);
	fp_free(fp);
}

/* Receive one packet and poll again with nothing to receive, which is when the
 * peer is told; returns how many calls that made. */
static unsigned int
calls_of_one_packet(struct fakepeer *fp)
{
	unsigned int before = fp->calls[FP_FROM_PEER];
	struct rte_mbuf *m;

	fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	return fp->calls[FP_FROM_PEER] - before;
}

static void
peer_is_called_when_it_wants_to_be(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];

	(void)state;
	/* A ring's start calls once, because an earlier process may have died
	 * before its call. */
	assert_int_equal(fp->calls[FP_FROM_PEER], 1);
	assert_int_equal(calls_of_one_packet(fp), 1);
	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(calls_of_one_packet(fp), 0);
	r->avail->flags = 0;
	fp->peer.rings[FP_FROM_PEER].call = false;
	fp_adopt(fp);
	assert_int_equal(calls_of_one_packet(fp), 0);
	fp_free(fp);
}

/* A peer that sends without a pause must not wait for its call for ever. */
static void
busy_peer_is_called_as_well(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	unsigned int before = fp->calls[FP_FROM_PEER], i;
	struct rte_mbuf *m;

	(void)state;
	for (i = 0; fp->calls[FP_FROM_PEER] == before; i++) {
		assert_in_range(i, 0, NUM / 2);
		fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
		assert_int_equal(fp_rx(fp, &m, 1), 1);
		rte_pktmbuf_free(m);
	}
	fp_free(fp);
}

/* A peer that begins to listen is called once: it may have missed a call. */
static void
peer_is_called_when_it_begins_to_listen(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	unsigned int before;

	(void)state;
	fp->peer.rings[FP_FROM_PEER].call = false;
	fp_adopt(fp);
	assert_int_equal(calls_of_one_packet(fp), 0);
	before = fp->calls[FP_FROM_PEER];
	fp->peer.rings[FP_FROM_PEER].call = true;
	fp_adopt(fp);
	assert_int_equal(fp->calls[FP_FROM_PEER], before + 1);
	fp_adopt(fp);
	assert_int_equal(fp->calls[FP_FROM_PEER], before + 1);
	fp_free(fp);
}

/* The port stops before the next poll: then it makes the call. */
static void
peer_is_called_when_the_port_stops(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	unsigned int before = fp->calls[FP_FROM_PEER];
	struct rte_mbuf *m;

	(void)state;
	fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_eth_dev_set_link_down(fp->port), 0);
	assert_int_equal(fp->calls[FP_FROM_PEER], before + 1);
	fp_free(fp);
}

static void
event_index_decides_about_calls(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN | FP_EVENT_IDX, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	uint16_t *used_event = &r->avail->ring[NUM];

	(void)state;
	*used_event = 2;	/* when the third buffer is used */
	assert_int_equal(calls_of_one_packet(fp), 0);
	assert_int_equal(calls_of_one_packet(fp), 0);
	assert_int_equal(calls_of_one_packet(fp), 1);
	assert_int_equal(calls_of_one_packet(fp), 0);
	fp_free(fp);
}

/* Ring 1 is given to a driver that starts with epoch @epoch of the page at
 * @at, the used ring says @used, and @n packets are waiting from 0 on. */
static uint16_t
resumed_at(uint32_t epoch, uint16_t at, uint16_t used, unsigned int n)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[32];
	uint16_t got;

	while (n-- > 0)
		fp_post(r, GOOD, HDR + 60, 0);
	fp->peer.rings[FP_FROM_PEER].run = false;
	fp_adopt(fp);
	fp->progress[FP_FROM_PEER] = (uint64_t)epoch << 32 | at;
	r->used->idx = used;
	fp->peer.rings[FP_FROM_PEER].run = true;
	fp_adopt(fp);
	got = fp_rx(fp, pkts, 32);
	rte_pktmbuf_free_bulk(pkts, got);
	fp_free(fp);
	return got;
}

static void
ring_goes_on_where_it_stood(void **state)
{
	(void)state;
	/* 10 waiting in all, of which the used index says 4 are done. */
	assert_int_equal(resumed_at(1, 4, 4, 10), 6);
	/* Killed between the used index and the page. */
	assert_int_equal(resumed_at(1, 4, 7, 10), 3);
	/* The page is about another start, the base is 0. */
	assert_int_equal(resumed_at(7, 2, 4, 10), 6);
	/* A used index ahead of what was made available means nothing. */
	assert_int_equal(resumed_at(1, 4, 11, 10), 6);
	assert_int_equal(resumed_at(7, 4, 11, 10), 10);
}

static void
progress_is_published(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	unsigned int i;

	(void)state;
	assert_int_equal(fp->progress[FP_FROM_PEER], 1ull << 32);
	for (i = 0; i < 3; i++)
		calls_of_one_packet(fp);
	assert_int_equal(fp->progress[FP_FROM_PEER], 1ull << 32 | 3);
	fp_restart(fp, FP_FROM_PEER);
	assert_int_equal(fp->progress[FP_FROM_PEER], 2ull << 32);
	fp_free(fp);
}

static void
link_follows_the_peer(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct rte_mbuf *m;

	(void)state;
	assert_true(fp_link(fp));
	fp->peer.rings[0].run = fp->peer.rings[1].run = false;
	fp_adopt(fp);
	assert_false(fp_link(fp));
	fp->peer.rings[1].run = true;
	fp_adopt(fp);
	assert_true(fp_link(fp));
	fp->peer.connected = false;
	fp_adopt(fp);
	assert_false(fp_link(fp));
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	fp->peer.connected = true;
	fp_adopt(fp);
	assert_int_equal(rte_eth_dev_set_link_down(fp->port), 0);
	assert_false(fp_link(fp));
	assert_int_equal(rte_eth_dev_set_link_up(fp->port), 0);
	assert_true(fp_link(fp));
	fp_free(fp);
}

static void
peer_is_announced_once(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	static const uint8_t mac[] = { 2, 1, 2, 3, 4, 5 };
	const struct rte_ether_hdr *eth;
	struct rte_mbuf *m;

	(void)state;
	memcpy(fp->peer.rarp_mac.addr_bytes, mac, sizeof(mac));
	fp->peer.rarp_count++;
	fp_adopt(fp);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	assert_memory_equal(&eth->src_addr, mac, sizeof(mac));
	assert_true(rte_is_broadcast_ether_addr(&eth->dst_addr));
	assert_int_equal(eth->ether_type, rte_cpu_to_be_16(0x8035));
	rte_pktmbuf_free(m);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	fp_free(fp);
}

static void
stats_are_reset_by_baseline(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct rte_eth_stats stats;

	(void)state;
	calls_of_one_packet(fp);
	assert_int_equal(rte_eth_stats_get(fp->port, &stats), 0);
	assert_int_equal(stats.ipackets, 1);
	assert_int_equal(stats.ibytes, 60);
	assert_int_equal(rte_eth_stats_reset(fp->port), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 0);
	calls_of_one_packet(fp);
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 1);
	fp_free(fp);
}

/* From the peer, and back to it, to the address @to in all bytes but the
 * first. */
static void
one_packet_each_way(struct fakepeer *fp, uint32_t len, uint8_t first, uint8_t to)
{
	uint64_t from = fp_buffer(fp, HDR + len);
	uint8_t *bytes = fp_addr(from);
	struct rte_mbuf *m;

	memset(bytes, 0, HDR);
	memset(bytes + HDR, to, len);
	bytes[HDR] = first;
	fp_post(&fp->rings[FP_FROM_PEER], from, HDR + len, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	fp_post(&fp->rings[FP_TO_PEER], fp_buffer(fp, HDR + len), HDR + len,
		VRING_DESC_F_WRITE);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
}

static void
groups_of_packets_are_counted(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);

	(void)state;
	one_packet_each_way(fp, 64, 0, 0xff);
	one_packet_each_way(fp, 64, 1, 0);
	one_packet_each_way(fp, 64, 0xff, 0xff);
	one_packet_each_way(fp, 64, 0xff, 0xff);
	one_packet_each_way(fp, 64, 0xff, 0xfe);
	assert_int_equal(fp_xstat(fp, "rx_multicast_packets"), 2);
	assert_int_equal(fp_xstat(fp, "tx_multicast_packets"), 2);
	assert_int_equal(fp_xstat(fp, "rx_broadcast_packets"), 2);
	assert_int_equal(fp_xstat(fp, "tx_broadcast_packets"), 2);
	assert_int_equal(rte_eth_stats_reset(fp->port), 0);
	assert_int_equal(fp_xstat(fp, "rx_broadcast_packets"), 0);
	fp_free(fp);
}

static void
sizes_of_packets_are_counted(void **state)
{
	/* Both ends of each class. */
	static const struct {
		uint32_t len;
		const char *name;
		unsigned int n;
	} sizes[] = {
		{ 64, "size_64_packets", 2 },
		{ 65, "size_65_to_127_packets", 1 },
		{ 127, "size_65_to_127_packets", 2 },
		{ 128, "size_128_to_255_packets", 1 },
		{ 1023, "size_512_to_1023_packets", 1 },
		{ 1024, "size_1024_to_1522_packets", 1 },
		{ 1522, "size_1024_to_1522_packets", 2 },
		{ 1523, "size_1523_to_max_packets", 1 },
		{ 1800, "size_1523_to_max_packets", 2 },
	};
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	char name[64];
	unsigned int i;

	(void)state;
	calls_of_one_packet(fp);	/* 60 bytes */
	for (i = 0; i < RTE_DIM(sizes); i++) {
		one_packet_each_way(fp, sizes[i].len, 0, 0);
		snprintf(name, sizeof(name), "rx_%s", sizes[i].name);
		assert_int_equal(fp_xstat(fp, name), sizes[i].n);
		snprintf(name, sizeof(name), "tx_%s", sizes[i].name);
		assert_int_equal(fp_xstat(fp, name), sizes[i].n -
				 (sizes[i].len == 64));
	}
	fp_free(fp);
}

struct poller {
	struct fakepeer *fp;
	bool stop;
	uint64_t bursts, packets;
};

static void *
poll_forever(void *opaque)
{
	struct poller *p = opaque;
	struct rte_mbuf *pkts[32];
	uint16_t n;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		n = fp_rx(p->fp, pkts, 32);
		rte_pktmbuf_free_bulk(pkts, n);
		p->packets += n;
		__atomic_store_n(&p->bursts, p->bursts + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Let the poller do a whole burst after now. */
static void
wait_burst(const struct poller *p)
{
	uint64_t end = rte_get_timer_cycles() + 5 * rte_get_timer_hz();
	uint64_t seen = __atomic_load_n(&p->bursts, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&p->bursts, __ATOMIC_ACQUIRE) < seen + 2) {
		assert_true(rte_get_timer_cycles() < end);
		sched_yield();
	}
}

/* Keep the ring full while another thread polls it. */
static void
refill(struct fp_ring *r)
{
	while (fp_used(r) != NULL)
		;
	while ((uint16_t)(r->avail_idx - r->used_idx) < NUM)
		fp_post(r, GOOD, HDR + 60, 0);
}

/*
 * After vhostpci_peer_adopt() the driver uses nothing of the old state: the
 * test makes removed memory inaccessible at once, while bursts run all the
 * time.
 */
static void
memory_may_go_once_it_is_adopted(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	struct poller p = { .fp = fp };
	pthread_t thread;
	unsigned int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, poll_forever, &p), 0);
	for (i = 0; i < 100; i++) {
		refill(&fp->rings[FP_FROM_PEER]);
		/* At times in the middle of traffic, at times after it. */
		if (i % 2)
			wait_burst(&p);
		fp->peer.connected = false;
		fp_adopt(fp);
		assert_int_equal(mprotect(fp_addr(FP_LOW), FP_SIZE, PROT_NONE),
				 0);
		wait_burst(&p);
		assert_int_equal(mprotect(fp_addr(FP_LOW), FP_SIZE,
					  PROT_READ | PROT_WRITE), 0);
		fp->peer.connected = true;
		fp_adopt(fp);
	}
	__atomic_store_n(&p.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(p.packets > 0);
	fp_free(fp);
}

static void *
receive_one(void *arg)
{
	struct rte_mbuf *m;

	if (fp_rx(arg, &m, 1) == 1)
		rte_pktmbuf_free(m);
	/* This one calls the peer. */
	assert_int_equal(fp_rx(arg, &m, 1), 0);
	return NULL;
}

/* A burst of another thread, preempted for long. */
static pthread_t
hold_burst(struct fakepeer *fp)
{
	unsigned int before = fp->calls[FP_FROM_PEER];
	uint64_t end = rte_get_timer_cycles() + 5 * rte_get_timer_hz();
	pthread_t thread;

	__atomic_store_n(&fp->hold, 1u << FP_FROM_PEER, __ATOMIC_RELEASE);
	fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
	assert_int_equal(pthread_create(&thread, NULL, receive_one, fp), 0);
	while (__atomic_load_n(&fp->calls[FP_FROM_PEER], __ATOMIC_ACQUIRE) ==
	       before) {
		assert_true(rte_get_timer_cycles() < end);
		rte_delay_us_sleep(100);
	}
	return thread;
}

static void
end_burst(struct fakepeer *fp, pthread_t thread)
{
	__atomic_store_n(&fp->hold, 0, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void
change_that_a_burst_prevents_leaves_the_port_running(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	pthread_t thread = hold_burst(fp);

	(void)state;
	assert_int_equal(rte_eth_dev_set_link_down(fp->port), -ETIMEDOUT);
	end_burst(fp, thread);
	assert_true(fp_link(fp));
	calls_of_one_packet(fp);
	fp_free(fp);
}

/* A burst does not end, so an adoption fails. The memory may be about to go, so
 * the port stays stopped until an adoption succeeds. */
static void
adoption_that_a_burst_prevents_stops_the_port(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	pthread_t thread = hold_burst(fp);
	struct rte_mbuf *m;

	(void)state;
	fp->peer.n_regions--;
	assert_int_equal(vhostpci_peer_adopt(fp->dev, &fp->peer), -ETIMEDOUT);
	assert_int_equal(rte_eth_dev_set_link_down(fp->port), -ETIMEDOUT);
	end_burst(fp, thread);
	fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	fp_adopt(fp);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	rte_pktmbuf_free(m);
	fp_free(fp);
}

/* The application closes the port while a thread is in a burst: the port
 * disappears, but the memory that the burst uses stays. */
static void
close_leaves_a_burst_that_does_not_end_what_it_uses(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, NUM);
	pthread_t thread = hold_burst(fp);
	uint16_t port = fp->port;
	struct rte_eth_dev_info info;

	(void)state;
	assert_int_equal(rte_eth_dev_stop(port), -ETIMEDOUT);
	assert_int_equal(rte_eth_dev_close(port), 0);
	assert_int_equal(rte_eth_dev_info_get(port, &info), -ENODEV);
	assert_int_equal(rte_vdev_uninit("net_fakepeer0"), 0);
	end_burst(fp, thread);
	assert_int_equal(fp_mbufs_in_use(), 0);
	/* The name and the number can be used again. */
	fp_free(fp_new(FP_MODERN, NUM));
	free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kicks_are_suppressed),
		cmocka_unit_test(deferred_start_is_refused),
		cmocka_unit_test(peer_is_called_when_it_wants_to_be),
		cmocka_unit_test(busy_peer_is_called_as_well),
		cmocka_unit_test(peer_is_called_when_it_begins_to_listen),
		cmocka_unit_test(peer_is_called_when_the_port_stops),
		cmocka_unit_test(event_index_decides_about_calls),
		cmocka_unit_test(ring_goes_on_where_it_stood),
		cmocka_unit_test(progress_is_published),
		cmocka_unit_test(link_follows_the_peer),
		cmocka_unit_test(peer_is_announced_once),
		cmocka_unit_test(stats_are_reset_by_baseline),
		cmocka_unit_test(groups_of_packets_are_counted),
		cmocka_unit_test(sizes_of_packets_are_counted),
		cmocka_unit_test(memory_may_go_once_it_is_adopted),
		cmocka_unit_test(
			change_that_a_burst_prevents_leaves_the_port_running),
		cmocka_unit_test(
			adoption_that_a_burst_prevents_stops_the_port),
		cmocka_unit_test(
			close_leaves_a_burst_that_does_not_end_what_it_uses),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
