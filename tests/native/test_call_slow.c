/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls take long if the peer has thousands of watches at the eventfd. Then a
 * thread makes the calls: bursts do not slow down, no call is lost, and nothing
 * else waits for a call.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/epoll.h>

#include <rte_cycles.h>

#include "peer/frontend.h"
#include "port/port.h"
#include "usage.h"

/* A watch is of an epoll descriptor and a number of the file: 90000 of them. */
#define SIDE		300
#define LIMIT_MS	250	/* also where others are at work */

struct crowd {
	int epoll[SIDE], number[SIDE];
};

static void
crowd_gather(struct crowd *crowd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	unsigned int i, j;

	for (i = 0; i < SIDE; i++) {
		crowd->number[i] = dup(fd);
		crowd->epoll[i] = epoll_create1(EPOLL_CLOEXEC);
		assert_true(crowd->number[i] >= 0 && crowd->epoll[i] >= 0);
	}
	for (i = 0; i < SIDE; i++)
		for (j = 0; j < SIDE; j++)
			assert_int_equal(epoll_ctl(crowd->epoll[i],
						   EPOLL_CTL_ADD,
						   crowd->number[j], &event),
					 0);
}

static void
crowd_leave(struct crowd *crowd)
{
	unsigned int i;

	for (i = 0; i < SIDE; i++) {
		close(crowd->epoll[i]);
		close(crowd->number[i]);
	}
}

static uint64_t
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* What one signal costs whoever makes it. */
static uint64_t
signal_ns(int fd)
{
	uint64_t begin = cpu_ns(), one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	return cpu_ns() - begin;
}

/* A thread that polls a port and its neighbour, if there is one. */
struct poller {
	const struct frontend *fe, *other;
	pthread_t thread;
	bool stop;
	uint64_t received, bursts;
	uint64_t worst_ns;	/* CPU time of a burst of @fe's */
	uint64_t gap;		/* cycles without a look at @other */
};

static void *
poller_run(void *opaque)
{
	struct poller *p = opaque;
	uint64_t last = rte_get_timer_cycles(), now, begin;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		begin = cpu_ns();
		__atomic_fetch_add(&p->received, fe_receive(p->fe, 0),
				   __ATOMIC_RELEASE);
		p->worst_ns = RTE_MAX(p->worst_ns, cpu_ns() - begin);
		if (p->other != NULL)
			fe_receive(p->other, 0);
		now = rte_get_timer_cycles();
		p->gap = RTE_MAX(p->gap, now - last);
		last = now;
		__atomic_fetch_add(&p->bursts, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void
poller_start(struct poller *p, const struct frontend *fe,
	     const struct frontend *other)
{
	*p = (struct poller) { .fe = fe, .other = other };
	assert_int_equal(pthread_create(&p->thread, NULL, poller_run, p), 0);
}

static void
poller_stop(struct poller *p)
{
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
}

/* Post a packet, have it received; was the peer called for it? */
static bool
round_trip(struct frontend *fe, struct poller *p)
{
	uint64_t seen = __atomic_load_n(&p->received, __ATOMIC_ACQUIRE), count;

	fe_post(fe, 1);
	return fe_wait(__atomic_load_n(&p->received, __ATOMIC_ACQUIRE) > seen,
		       10) &&
		fe_wait(read(fe->call[1], &count, 8) == 8, 10);
}

static uint64_t
aside(const struct frontend *fe)
{
	return fe_xstat(fe, "rx_ring0_calls_aside");
}

static void
slow_calls_hold_no_burst_and_arrive(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct frontend *other = fe_new("", 1, false);
	struct poller p;
	struct crowd crowd;
	uint64_t cost, count;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	fe_start(other, FE_FEATURES, 1);
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	poller_start(&p, fe, other);
	for (i = 0; i < 100; i++)
		assert_true(round_trip(fe, &p));
	assert_int_equal(aside(fe), 0);
	crowd_gather(&crowd, fe->call[1]);
	cost = signal_ns(fe->call[1]);
	assert_int_equal(read(fe->call[1], &count, 8), 8);
	for (i = 0; i < 50; i++)
		assert_true(round_trip(fe, &p));
	poller_stop(&p);
	assert_in_range(p.worst_ns, 0, cost / 4);
	assert_in_range(p.gap * 1000 / rte_get_timer_hz(), 0, LIMIT_MS);
	assert_true(aside(fe) > 0);
	crowd_leave(&crowd);
	fe_free(other);
	fe_free(fe);
}

/* Bursts make them again when they have been cheap for a while. */
static void
calls_that_are_cheap_again_are_made_in_place(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct vhostpci_call *call = &fe->socket->caller->calls[1];
	struct poller p;
	struct crowd crowd;
	uint64_t count, seen;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	poller_start(&p, fe, NULL);
	crowd_gather(&crowd, fe->call[1]);
	for (i = 0; i < 1000 && aside(fe) == 0; i++)
		assert_true(round_trip(fe, &p));
	assert_true(aside(fe) > 0);
	crowd_leave(&crowd);
	for (i = 0; i < 100000 &&
	     __atomic_load_n(&call->slow, __ATOMIC_RELAXED); i++)
		assert_true(round_trip(fe, &p));
	assert_false(__atomic_load_n(&call->slow, __ATOMIC_RELAXED));
	seen = aside(fe);
	for (i = 0; i < 100; i++)
		assert_true(round_trip(fe, &p));
	assert_int_equal(aside(fe), seen);
	poller_stop(&p);
	fe_free(fe);
}

/* The thread is at a call of @fd, or was. A call takes some milliseconds, and this
 * test may not run meanwhile. */
static bool
has_called(const struct frontend *fe, int fd, bool *calling)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	*calling = __atomic_load_n(&fe->socket->caller->busy,
				   __ATOMIC_RELAXED) >= 0;
	return *calling || poll(&p, 1, 0) == 1;
}

/* The thread is at a call when the ring gets another one and its peer goes: that
 * comes, too, to the eventfd that it was meant for. */
static void
peer_goes_while_a_call_is_made(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct crowd crowd;
	uint64_t count, sum;
	unsigned int i, met = 0;
	bool calling;

	(void)state;
	for (i = 0; i < usage_rounds(10); i++) {
		int fd;

		fe_start(fe, FE_FEATURES, 1);
		fd = dup(fe->call[1]);
		assert_true(fe_wait(read(fd, &count, 8) == 8, 5));
		crowd_gather(&crowd, fd);
		fe_post(fe, 1);
		assert_int_equal(fe_receive(fe, 0), 1);
		assert_int_equal(fe_receive(fe, 0), 0);
		assert_true(fe_wait(has_called(fe, fd, &calling), 5));
		met += calling;
		fe_post(fe, 1);
		assert_int_equal(fe_receive(fe, 0), 1);
		assert_int_equal(fe_receive(fe, 0), 0);
		fe_disconnect(fe);
		for (sum = 0; sum < 2; sum += count)
			assert_true(fe_wait(read(fd, &count, 8) == 8, 10));
		crowd_leave(&crowd);
		close(fd);
	}
	assert_true(met > 0);
	fe_free(fe);
}

/* @times: a port that closes while its thread makes a slow call. */
static void
close_ports(unsigned int times)
{
	unsigned int i;

	for (i = 0; i < times; i++) {
		struct frontend *fe = fe_new("", 1, false);
		struct crowd crowd;
		uint64_t begin, count;

		fe_start(fe, FE_FEATURES, 1);
		assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
		crowd_gather(&crowd, fe->call[1]);
		fe_post(fe, 1);
		assert_int_equal(fe_receive(fe, 0), 1);
		assert_int_equal(fe_receive(fe, 0), 0);
		begin = rte_get_timer_cycles();
		assert_int_equal(rte_eth_dev_stop(fe->port), 0);
		assert_int_equal(rte_eth_dev_close(fe->port), 0);
		assert_in_range((rte_get_timer_cycles() - begin) * 1000 /
				rte_get_timer_hz(), 0, LIMIT_MS);
		crowd_leave(&crowd);
		fe_disconnect(fe);
		fe_free_closed(fe);
	}
}

static void
closing_waits_for_no_call_and_leaves_nothing_behind(void **state)
{
	struct usage before;

	(void)state;
	close_ports(1);	/* what the process needs once */
	usage_get(&before);
	close_ports(usage_rounds(10));
	assert_true(fe_wait(usage_is_back(&before), 10));
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_calls_hold_no_burst_and_arrive),
		cmocka_unit_test(calls_that_are_cheap_again_are_made_in_place),
		cmocka_unit_test(peer_goes_while_a_call_is_made),
		cmocka_unit_test(
			closing_waits_for_no_call_and_leaves_nothing_behind),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
