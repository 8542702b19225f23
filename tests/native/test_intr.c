/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Receive interrupts: the peer's kick wakes a thread that sleeps in epoll, and
 * nothing else does. The tests use the socket transport, and a transport whose
 * kicks signal the application's eventfds without the driver.
 */

#define _GNU_SOURCE /* pthread_tryjoin_np */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/wait.h>

#include <rte_cycles.h>
#include <rte_interrupts.h>

#include "peer/frontend.h"

#define LONG_MS		20000
#define SHORT_MS	50

static struct frontend *
sleeper(uint64_t features, const char *args, uint16_t n_rxq, unsigned int pairs)
{
	struct frontend *fe = fe_new(args, n_rxq, true);
	uint16_t q;

	for (q = 0; q < n_rxq; q++)
		assert_int_equal(rte_eth_dev_rx_intr_ctl_q(fe->port, q,
				RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
				(void *)(uintptr_t)(q + 1)), 0);
	fe_start(fe, features, pairs);
	return fe;
}

static void
end(struct frontend *fe, uint16_t n_rxq)
{
	uint16_t q;

	for (q = 0; q < n_rxq; q++)
		assert_int_equal(rte_eth_dev_rx_intr_ctl_q(fe->port, q,
				RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL,
				NULL), 0);
	fe_free(fe);
}

/* Sleep; returns the queue that was woken + 1, 0 if none. */
static unsigned int
sleep_for(int ms)
{
	struct rte_epoll_event event;
	int n = rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, ms);

	assert_true(n >= 0);
	return n == 0 ? 0 : (uintptr_t)event.epdata.data;
}

static void
enable(struct frontend *fe, uint16_t q)
{
	assert_int_equal(rte_eth_dev_rx_intr_enable(fe->port, q), 0);
}

/* All there is, and one look more, which also makes the calls that wait. */
static unsigned int
drain(struct frontend *fe, uint16_t q)
{
	unsigned int n, all = 0;

	do {
		n = fe_receive(fe, q);
		all += n;
	} while (n > 0);
	return all;
}

static void
kick_wakes(uint64_t features)
{
	struct frontend *fe = sleeper(features, "", 1, 1);
	unsigned int i;

	/* Polling: the peer is asked not to kick. */
	fe_post(fe, 1);
	assert_false(fe_kick(fe, 1));
	assert_int_equal(drain(fe, 0), 1);
	for (i = 0; i < 200; i++) {
		enable(fe, 0);
		assert_int_equal(fe_receive(fe, 0), 0);
		if (i == 0)
			assert_int_equal(sleep_for(SHORT_MS), 0);
		fe_post(fe, 1);
		assert_true(fe_kick(fe, 1));
		assert_int_equal(sleep_for(LONG_MS), 1);
		assert_int_equal(rte_eth_dev_rx_intr_disable(fe->port, 0), 0);
		assert_int_equal(drain(fe, 0), 1);
		fe_post(fe, 1);
		assert_false(fe_kick(fe, 1));
		assert_int_equal(drain(fe, 0), 1);
	}
	assert_int_equal(fe_xstat(fe, "rx_ring0_kicks"), 200);
	end(fe, 1);
}

static void
kick_wakes_a_sleeping_thread(void **state)
{
	(void)state;
	kick_wakes(FE_FEATURES);
}

static void
kick_by_event_index_wakes_a_sleeping_thread(void **state)
{
	(void)state;
	kick_wakes(FE_FEATURES | FP_EVENT_IDX);
}

/* A packet comes between the last poll and the enabling of the interrupt, so it
 * has no kick. */
static void
packet_that_came_before_enabling_wakes_at_once(void **state)
{
	struct frontend *fe = sleeper(FE_FEATURES, "", 1, 1);

	(void)state;
	fe_post(fe, 1);
	assert_false(fe_kick(fe, 1));
	enable(fe, 0);
	assert_int_equal(sleep_for(LONG_MS), 1);
	assert_int_equal(drain(fe, 0), 1);
	end(fe, 1);
}

static void
each_queue_has_its_own(void **state)
{
	struct frontend *fe = sleeper(FE_FEATURES, ",queues=4", 2, 4);
	unsigned int ring;

	(void)state;
	for (ring = 1; ring < 8; ring += 2) {
		unsigned int q = ring / 2 % 2;

		enable(fe, 0);
		enable(fe, 1);
		fe_post(fe, ring);
		assert_true(fe_kick(fe, ring));
		assert_int_equal(sleep_for(LONG_MS), q + 1);
		assert_int_equal(fe_receive(fe, 1 - q), 0);
		assert_int_equal(drain(fe, q), 1);
	}
	end(fe, 2);
}

/* The peer restarts while this thread sleeps. The peer's kick fds are new then;
 * the fd of this thread's epoll stays the same. */
static void
interrupt_outlives_the_peer(void **state)
{
	struct frontend *fe = sleeper(FE_FEATURES, "", 1, 1);
	unsigned int i;

	(void)state;
	enable(fe, 0);
	for (i = 0; i < 20; i++) {
		fe_disconnect(fe);
		assert_true(fe_wait_link(fe, false));
		fe_start(fe, i % 2 ? FE_FEATURES : FE_FEATURES | FP_EVENT_IDX,
			 1);
		/* The change itself may wake this thread. */
		while (sleep_for(0) != 0)
			;
		enable(fe, 0);
		fe_post(fe, 1);
		assert_true(fe_kick(fe, 1));
		assert_int_equal(sleep_for(LONG_MS), 1);
		assert_true(fe_wait(drain(fe, 0) == 1, 5));
	}
	end(fe, 1);
}

/* A peer that takes its kicks back, and makes reads of the counter block. */
static void *
take_kicks_back(void *arg)
{
	int fd = *(int *)arg;
	uint64_t count, one = 1;
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz();

	fcntl(fd, F_SETFL, 0);
	while (rte_get_timer_cycles() < end) {
		if (write(fd, &one, 8) != 8 || read(fd, &count, 8) != 8)
			break;
	}
	return NULL;
}

/* The transport's thread and the peer's thread both read the counter. The
 * transport's thread must not block, and must still answer messages. The peer's
 * thread may block. */
static void
hostile_kicks_do_not_hold_the_transport(void **state)
{
	struct frontend *fe = sleeper(FE_FEATURES, "", 1, 1);
	uint64_t one = 1, end_of_fight;
	pthread_t thread;
	int fd = dup(fe->kick[1]);

	(void)state;
	enable(fe, 0);
	assert_int_equal(pthread_create(&thread, NULL, take_kicks_back, &fd),
			 0);
	end_of_fight = rte_get_timer_cycles() + rte_get_timer_hz();
	while (rte_get_timer_cycles() < end_of_fight)
		assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	/* Release the peer's thread if it blocks. */
	while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
		if (write(fd, &one, 8) != 8)
			fail();
		rte_delay_us_sleep(100);
	}
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	close(fd);
	end(fe, 1);
}

/* testpmd with virtio-user in a process of its own, until *@stdin_fd is closed;
 * 0 if there is no testpmd. */
static pid_t
start_virtio_user(const struct frontend *fe, const char *options, int *stdin_fd)
{
	char vdev[128], prefix[64];
	int fds[2];
	pid_t pid;

	if (system("command -v dpdk-testpmd > /dev/null") != 0)
		return 0;
	snprintf(vdev, sizeof(vdev), "--vdev=net_virtio_user0,path=%s%s",
		 fe->path, options);
	snprintf(prefix, sizeof(prefix), "--file-prefix=vp-%d", getpid());
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[0], 0);
		dup2(open("/dev/null", O_WRONLY), 1);
		dup2(1, 2);
		execlp("dpdk-testpmd", "dpdk-testpmd", "--no-huge", "-m", "128",
		       "--no-pci", "--no-telemetry", "--no-shconf", prefix,
		       "--lcores", "0@(0-1),1@(0-1)", vdev,
		       "--single-file-segments", "--", "--tx-first",
		       "--total-num-mbufs=2048", (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	close(fds[0]);
	*stdin_fd = fds[1];
	return pid;
}

/* Until a poll finds nothing. */
static unsigned int
receive_all(const struct frontend *fe, struct rte_mbuf **pkts, unsigned int room)
{
	unsigned int n, all = 0;

	do {
		n = rte_eth_rx_burst(fe->port, 0, pkts + all, room - all);
		all += n;
	} while (n > 0);
	return all;
}

/* It sends, we send that back, it sends it again: each time it has to kick. */
static void
virtio_user_wakes(const char *options)
{
	struct frontend *fe = fe_new("", 1, true);
	struct rte_mbuf *pkts[1024];
	unsigned int i, n, sent;
	int stdin_fd = -1;
	pid_t pid = start_virtio_user(fe, options, &stdin_fd);

	if (pid == 0) {
		fe_free(fe);
		skip();
	}
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(fe->port, 0,
			RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
			(void *)1), 0);
	enable(fe, 0);
	for (i = 0; i < 100; i++) {
		/* Also woken when its rings start. */
		do {
			assert_int_equal(sleep_for(LONG_MS), 1);
			n = receive_all(fe, pkts, RTE_DIM(pkts));
			enable(fe, 0);
		} while (n == 0);
		sent = rte_eth_tx_burst(fe->port, 0, pkts, n);
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
		assert_true(sent > 0);
	}
	assert_true(fe_xstat(fe, "rx_ring0_kicks") > 10);
	close(stdin_fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(fe_wait_link(fe, false));
	while (fe_receive(fe, 0) > 0)
		;
	end(fe, 1);
}

static void
virtio_user_wakes_a_sleeping_thread(void **state)
{
	(void)state;
	virtio_user_wakes("");
}

static void
virtio_user_with_packed_rings_wakes_a_sleeping_thread(void **state)
{
	(void)state;
	virtio_user_wakes(",packed_vq=1");
}

static void
without_the_option_there_are_none(void **state)
{
	struct frontend *fe = fe_new("", 1, false);

	(void)state;
	assert_int_equal(rte_eth_dev_rx_intr_enable(fe->port, 0), -ENOTSUP);
	fe_free(fe);
}

static void
configure(const struct fakepeer *fp, uint16_t n_rxq, bool rx_intr)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = rx_intr };
	uint16_t q;

	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_dev_configure(fp->port, n_rxq, 1, &conf), 0);
	for (q = 0; q < n_rxq; q++)
		assert_int_equal(rte_eth_rx_queue_setup(fp->port, q, 64, 0,
							NULL, fp_pool()), 0);
	assert_int_equal(rte_eth_dev_start(fp->port), 0);
}

/* What a device does with a kick of ring @i, if the ring asks for one. */
static bool
kick_past_driver(struct fakepeer *fp, unsigned int i)
{
	uint64_t one = 1;

	fp_post(&fp->rings[i], fp_buffer(fp, 72), 72, 0);
	if (__atomic_load_n(&fp->rings[i].used->flags, __ATOMIC_SEQ_CST) &
	    VRING_USED_F_NO_NOTIFY)
		return false;
	assert_int_equal(write(fp->kick_fds[i], &one, sizeof(one)), 8);
	return true;
}

static void
check_past_driver(struct fakepeer *fp, uint16_t n_rxq)
{
	struct rte_mbuf *pkts[4];
	unsigned int ring;

	assert_int_equal(fp->n_kick_fds, FP_RINGS);
	assert_int_equal(fp->kick_fds[0], -1);
	for (ring = 1; ring < FP_RINGS; ring += 2) {
		uint16_t q = ring / 2 % n_rxq;

		assert_int_equal(rte_eth_dev_rx_intr_enable(fp->port, q), 0);
		while (sleep_for(0) != 0)
			;
		assert_true(kick_past_driver(fp, ring));
		assert_int_equal(sleep_for(LONG_MS), q + 1);
		assert_int_equal(rte_eth_dev_rx_intr_disable(fp->port, q), 0);
		assert_int_equal(rte_eth_rx_burst(fp->port, q, pkts, 4), 1);
		rte_pktmbuf_free(pkts[0]);
		/* Missed while the queue was looked at, told when enabled. */
		assert_false(kick_past_driver(fp, ring));
		assert_int_equal(rte_eth_dev_rx_intr_enable(fp->port, q), 0);
		assert_int_equal(sleep_for(LONG_MS), q + 1);
		assert_int_equal(rte_eth_rx_burst(fp->port, q, pkts, 4), 1);
		rte_pktmbuf_free(pkts[0]);
	}
}

/* A transport whose kicks signal our eventfds themselves, as the device's
 * vectors do: the numbers of queues differ, the fds of a queue stay. */
static void
kicks_past_the_driver_wake_their_queue(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, 64);
	uint16_t q;

	(void)state;
	fp->peer.n_rings = FP_RINGS;
	fp_adopt(fp);
	configure(fp, 2, true);
	for (q = 0; q < 2; q++)
		assert_int_equal(rte_eth_dev_rx_intr_ctl_q(fp->port, q,
				RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
				(void *)(uintptr_t)(q + 1)), 0);
	check_past_driver(fp, 2);
	configure(fp, 1, true);
	check_past_driver(fp, 1);
	configure(fp, 2, true);
	check_past_driver(fp, 2);
	configure(fp, 1, false);
	assert_int_equal(fp->n_kick_fds, 0);
	assert_int_equal(rte_eth_dev_rx_intr_enable(fp->port, 0), -ENOTSUP);
	fp_free(fp);
}

static void
without_vectors_a_port_polls_on(void **state)
{
	struct fakepeer *fp = fp_new(FP_MODERN, 64);
	struct rte_mbuf *pkt;

	(void)state;
	fp->no_kick_fds = true;
	configure(fp, 1, true);
	assert_int_equal(rte_eth_dev_rx_intr_enable(fp->port, 0), -ENOTSUP);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(fp->port, 0,
			RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL),
			-ENOTSUP);
	assert_false(kick_past_driver(fp, 1));
	assert_int_equal(fp_rx(fp, &pkt, 1), 1);
	rte_pktmbuf_free(pkt);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kick_wakes_a_sleeping_thread),
		cmocka_unit_test(kick_by_event_index_wakes_a_sleeping_thread),
		cmocka_unit_test(
			packet_that_came_before_enabling_wakes_at_once),
		cmocka_unit_test(each_queue_has_its_own),
		cmocka_unit_test(interrupt_outlives_the_peer),
		cmocka_unit_test(hostile_kicks_do_not_hold_the_transport),
		cmocka_unit_test(virtio_user_wakes_a_sleeping_thread),
		cmocka_unit_test(
			virtio_user_with_packed_rings_wakes_a_sleeping_thread),
		cmocka_unit_test(without_the_option_there_are_none),
		cmocka_unit_test(kicks_past_the_driver_wake_their_queue),
		cmocka_unit_test(without_vectors_a_port_polls_on),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
