/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls of the socket transport: each call arrives, and no call blocks a burst,
 * whatever the front-end does with its eventfd.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <rte_cycles.h>

#include "peer/frontend.h"

/* The largest count that leaves no room, and one less. */
#define FULL	(UINT64_MAX - 1)

/* Wait until the receiver has ended a burst that began after this call. */
static bool
wait_burst(struct fe_receiver *r)
{
	uint64_t seen = __atomic_load_n(&r->ended, __ATOMIC_ACQUIRE);

	return fe_wait(__atomic_load_n(&r->ended, __ATOMIC_ACQUIRE) > seen + 1,
		       5);
}

/* Leave room for one in the eventfd's counter, make writes block, and make the
 * port call; @cycles later, take that room, too. If the port has looked at the
 * counter before, and writes now, it blocks until somebody reads. */
static void
set_trap(struct frontend *fe, struct vhostpci_signal *signal,
	 unsigned int cycles)
{
	uint64_t most = FULL - 1, count, end;
	int fd = fe->call[1];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (read(fd, &count, 8) < 0)
		assert_int_equal(errno, EAGAIN);
	if (write(fd, &most, 8) < 0)
		assert_int_equal(errno, EAGAIN);
	fcntl(fd, F_SETFL, 0);
	fe_post(fe, 1);
	end = rte_get_timer_cycles() + cycles;
	while (rte_get_timer_cycles() < end)
		;
	vhostpci_signal_send(signal, fd);
}

static void
full_counter_does_not_hold_a_burst(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct fe_receiver receiver;
	struct vhostpci_signal signal;
	bool held = false;
	uint64_t count;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	vhostpci_signal_init(&signal);
	assert_true(signal.context != 0);
	fe_receiver_start(&receiver, fe);
	for (i = 0; i < 3000 && !held; i++) {
		set_trap(fe, &signal, i % 64 * 100);
		held = !wait_burst(&receiver);
	}
	fcntl(fe->call[1], F_SETFL, O_NONBLOCK);
	if (read(fe->call[1], &count, 8) < 0)
		assert_int_equal(errno, EAGAIN);
	fe_receiver_stop(&receiver);
	vhostpci_signal_fini(&signal);
	assert_false(held);
	assert_true(fe_xstat(fe, "rx_ring0_calls") > 1000);
	fe_free(fe);
}

/* As many calls as the context has room for, and more, by two queues. */
static void
every_call_arrives(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint64_t count, before, sum;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	before = fe_xstat(fe, "rx_ring0_calls");
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	for (i = 0, sum = 0; i < 1000; i++) {
		fe_post(fe, 1);
		assert_int_equal(fe_receive(fe, 0), 1);
		/* A poll that finds nothing has time for the call. */
		assert_int_equal(fe_receive(fe, 0), 0);
		/* A thread makes the first call, and calls after a pause. */
		if (fe_wait(read(fe->call[1], &count, 8) == 8, 5))
			sum += count;
	}
	assert_int_equal(sum, 1000);
	assert_int_equal(fe_xstat(fe, "rx_ring0_calls") - before, 1000);
	assert_false(fe->socket->caller->signal.looked_only);
	fe_free(fe);
}

/* Receive one packet; was eventfd @fd signalled for it? */
static bool
calls(struct frontend *fe, int fd)
{
	uint64_t count;

	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	assert_int_equal(fe_receive(fe, 0), 0);
	/* If a thread makes the call, it is at rest again afterwards. */
	assert_true(fe_wait(!__atomic_load_n(&fe->socket->caller->pending,
					     __ATOMIC_ACQUIRE), 5));
	return fe_wait(read(fd, &count, 8) == 8, 1);
}

/* SET_VRING_CALL of ring 1 with @fd, once taken. */
static void
set_call(struct frontend *fe, int fd)
{
	uint64_t ring = 1;

	fe_send(fe, VU_SET_VRING_CALL, 0, &ring, sizeof(ring), fd, 1);
	fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0);
}

/* More than the thread gives to poll(), which the limit concerns, too. */
#define N_LOW	100

/* The process has no descriptor number left for a new call eventfd. Then
 * neither the new eventfd nor the old one is signalled, and the driver keeps
 * neither when the ring has stopped. */
static void
call_that_cannot_be_kept_leaves_the_ring_without(void **state)
{
	struct rlimit limit, lower;
	int low[N_LOW], fd, slot;
	struct frontend *fe;
	uint64_t count;
	unsigned int i;

	(void)state;
	for (i = 0; i < N_LOW; i++)
		low[i] = dup(0);
	fe = fe_new("", 1, false);
	fe_start(fe, FE_FEATURES, 1);
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	assert_true(calls(fe, fe->call[1]));
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	slot = fe->socket->caller->fds[1];
	assert_true(fd > N_LOW && slot > N_LOW);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lower = limit;
	lower.rlim_cur = slot;
	for (i = 0; i < N_LOW; i++)
		close(low[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
	set_call(fe, fd);
	assert_false(calls(fe, fd));
	assert_true(read(fe->call[1], &count, 8) < 0);
	fe_stop_ring(fe, 1);
	/* The port's thread that closes what peers sent is another one. */
	assert_true(fe_wait(fcntl(slot, F_GETFD) == -1, 5));
	/* The next one is taken. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(fd);
	fe_start_ring(fe, 1);
	assert_true(fe_wait_link(fe, true));
	if (read(fe->call[1], &count, 8) < 0)
		assert_int_equal(errno, EAGAIN);
	assert_true(calls(fe, fe->call[1]));
	fe_free(fe);
}

static void
calls_go_on_without_asynchronous_io(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint64_t count;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	/* Its thread is at no call then. */
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	vhostpci_signal_fini(&fe->socket->caller->signal);
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	assert_int_equal(fe_receive(fe, 0), 0);
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	assert_int_equal(count, 1);
	assert_true(fe->socket->caller->signal.looked_only);
	fe_free(fe);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_counter_does_not_hold_a_burst),
		cmocka_unit_test(every_call_arrives),
		cmocka_unit_test(
			call_that_cannot_be_kept_leaves_the_ring_without),
		cmocka_unit_test(calls_go_on_without_asynchronous_io),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
