/* SPDX-License-Identifier: Apache-2.0
 *
 * rxsleep QUEUES -- EAL OPTIONS
 *
 * Sends rawseq's frames back on DPDK's first port, which has QUEUES receive
 * queues. In between the program sleeps without a deadline: only an interrupt
 * of the port, or standard input, wakes it. For a byte of standard input it
 * prints its counters as name=value; at the end of standard input it exits.
 * Without receive interrupts it prints error=ERRNO and exits with 1.
 *
 * The program answers when no frame is left to receive, waits for a moment
 * whose length changes each time, and then enables the interrupt. If one frame
 * at a time is under way, each frame comes while the queue is about to sleep,
 * or asleep.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>

#define ETHERTYPE 0x88b5 /* rawseq's */
#define MAX_QUEUES 8
#define STDIN ((void *)(uintptr_t)(MAX_QUEUES + 1))
#define BURST 256
#define DELAYS 64
#define DELAY_US 50

static struct {
	unsigned int sleeps, wakeups, frames;
	unsigned int queue[MAX_QUEUES]; /* wake-ups of each */
} counts;

static int
start_port(uint16_t n_queues)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = 1 };
	struct rte_mempool *pool;
	uint16_t q;
	int rc;

	pool = rte_pktmbuf_pool_create("pool", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (pool == NULL)
		return -rte_errno;
	rc = rte_eth_dev_configure(0, n_queues, 1, &conf);
	for (q = 0; q < n_queues && rc == 0; q++)
		rc = rte_eth_rx_queue_setup(0, q, 256, 0, NULL, pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(0, 0, 256, 0, NULL);
	return rc == 0 ? rte_eth_dev_start(0) : rc;
}

/* Watch all that wakes the program: data is a queue's number + 1, or STDIN. */
static int
watch(uint16_t n_queues)
{
	static struct rte_epoll_event input = { .epdata = { .event = EPOLLIN, .data = STDIN } };
	uint16_t q;
	int rc;

	for (q = 0; q < n_queues; q++) {
		rc = rte_eth_dev_rx_intr_ctl_q(0, q, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
					       (void *)(uintptr_t)(q + 1));
		if (rc != 0)
			return rc;
	}
	return rte_epoll_ctl(RTE_EPOLL_PER_THREAD, EPOLL_CTL_ADD, STDIN_FILENO, &input);
}

static int
set_interrupts(uint16_t n_queues, int on)
{
	uint16_t q;
	int rc = 0;

	for (q = 0; q < n_queues && rc == 0; q++)
		rc = on ? rte_eth_dev_rx_intr_enable(0, q) : rte_eth_dev_rx_intr_disable(0, q);
	return rc;
}

static void
report(void)
{
	struct rusage self;
	unsigned int q;

	getrusage(RUSAGE_THREAD, &self);
	printf("frames=%u sleeps=%u wakeups=%u", counts.frames, counts.sleeps, counts.wakeups);
	for (q = 0; q < MAX_QUEUES; q++)
		printf(" queue%u=%u", q, counts.queue[q]);
	printf(" cpu_us=%ld\n", (self.ru_utime.tv_sec + self.ru_stime.tv_sec) * 1000000 +
	       self.ru_utime.tv_usec + self.ru_stime.tv_usec);
	fflush(stdout);
}

static int
is_frame(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr from = eth->src_addr;

	if (eth->ether_type != rte_cpu_to_be_16(ETHERTYPE))
		return 0;
	eth->src_addr = eth->dst_addr;
	eth->dst_addr = from;
	return 1;
}

/* Receive until the queues are empty, then answer. */
static void
echo(uint16_t n_queues)
{
	struct rte_mbuf *pkts[BURST];
	unsigned int n = 0, kept = 0, i;
	uint16_t q, got;

	for (q = 0; q < n_queues; q++) {
		do {
			got = rte_eth_rx_burst(0, q, pkts + n, BURST - n);
			n += got;
		} while (got > 0);
	}
	for (i = 0; i < n; i++) {
		if (is_frame(pkts[i]))
			pkts[kept++] = pkts[i];
		else
			rte_pktmbuf_free(pkts[i]);
	}
	counts.frames += kept;
	i = rte_eth_tx_burst(0, 0, pkts, kept);
	rte_pktmbuf_free_bulk(pkts + i, kept - i);
}

/* Returns 0 when standard input has ended. */
static int
sleep_once(void)
{
	struct rte_epoll_event events[MAX_QUEUES + 1];
	int n, i, go_on = 1;
	char c;

	counts.sleeps++;
	n = rte_epoll_wait(RTE_EPOLL_PER_THREAD, events, MAX_QUEUES + 1, -1);
	for (i = 0; i < n; i++) {
		if (events[i].epdata.data == STDIN) {
			go_on = read(STDIN_FILENO, &c, 1) == 1;
			report();
			continue;
		}
		counts.wakeups++;
		counts.queue[(uintptr_t)events[i].epdata.data - 1]++;
	}
	return go_on;
}

int
main(int argc, char **argv)
{
	uint16_t n_queues;
	int rc;

	if (argc < 3 || atoi(argv[1]) < 1 || atoi(argv[1]) > MAX_QUEUES)
		return 2;
	n_queues = atoi(argv[1]);
	if (rte_eal_init(argc - 2, argv + 2) < 0)
		return 3;
	rc = start_port(n_queues);
	if (rc == 0)
		rc = watch(n_queues);
	if (rc == 0)
		rc = set_interrupts(n_queues, 1);
	if (rc != 0) {
		/* Enabling must fail, too: an application may use no epoll. */
		printf("error=%d enable=%d\n", rc, rte_eth_dev_rx_intr_enable(0, 0));
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (sleep_once()) {
		set_interrupts(n_queues, 0);
		echo(n_queues);
		rte_delay_us_block(counts.frames % DELAYS * DELAY_US);
		set_interrupts(n_queues, 1);
	}
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	return 0;
}
