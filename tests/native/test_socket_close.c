/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Front-ends send descriptors that are slow to close: TCP sockets with
 * SO_LINGER and unsent data. Only the transport's thread that closes them may
 * wait.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <rte_cycles.h>

#include "peer/frontend.h"
#include "port/port.h"
#include "usage.h"

/* A close() of the peer's takes that long: beyond doubt. */
#define LINGER_S	8
/* What the driver may take, on a machine that does other things too. */
#define LIMIT_MS	250

static unsigned int
ms_since(uint64_t begin)
{
	return (rte_get_timer_cycles() - begin) * 1000 / rte_get_timer_hz();
}

/* A connection of TCP that nobody reads from: what is sent stays unsent. */
struct slow {
	int listener, far;
};

static int
slow_new(struct slow *slow)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct linger linger = { .l_onoff = 1, .l_linger = LINGER_S };
	socklen_t len = sizeof(addr);
	static const char data[65536];
	int small = 2048, fd;

	slow->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(slow->listener >= 0 && fd >= 0);
	assert_int_equal(setsockopt(slow->listener, SOL_SOCKET, SO_RCVBUF,
				    &small, sizeof(small)), 0);
	assert_int_equal(bind(slow->listener, (struct sockaddr *)&addr, len),
			 0);
	assert_int_equal(listen(slow->listener, 1), 0);
	assert_int_equal(getsockname(slow->listener,
				     (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
				    sizeof(linger)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, len), 0);
	slow->far = accept(slow->listener, NULL, NULL);
	assert_true(slow->far >= 0);
	while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	return fd;
}

/* Nothing is unsent any more: who closes it ends at once. */
static void
slow_release(struct slow *slow)
{
	struct linger none = { .l_onoff = 1 };

	/* A reset of the connection. */
	setsockopt(slow->far, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(slow->far);
	close(slow->listener);
}

/* Send @n fds with one message, the last of them @fd, and close that. */
static void
give_away(struct frontend *fe, uint32_t request, int fd, unsigned int n)
{
	uint32_t hdr[3] = { request, VU_VERSION, 8 };
	uint64_t payload = 0;
	struct iovec iov[2] = {
		{ .iov_base = hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = &payload, .iov_len = sizeof(payload) },
	};
	union {
		char buf[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	unsigned int i;

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
	/* The last one is @fd. */
	for (i = 0; i < n; i++)
		((int *)CMSG_DATA(&control.align))[i] =
			i < n - 1 ? fe->mem_fd : fd;
	assert_true(sendmsg(fe->fd, &msg, MSG_NOSIGNAL) > 0);
	close(fd);
}

/* Send @fd to the port, which reads it only after this process has closed it:
 * so the port's close() is the last one. */
static void
give(struct frontend *fe, uint32_t request, int fd, unsigned int n)
{
	struct vhostpci_dev *dev = fe->socket->dev;
	uint64_t ring = 0;

	fe->call[0] = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_lock(&dev->lock);
	/* The port has to adopt this call, and so waits for the lock. */
	fe_send(fe, VU_SET_VRING_CALL, 0, &ring, sizeof(ring), fe->call[0], 1);
	give_away(fe, request, fd, n);
	pthread_mutex_unlock(&dev->lock);
}

static unsigned int
close_port(struct frontend *fe)
{
	uint64_t begin = rte_get_timer_cycles();

	assert_int_equal(rte_eth_dev_stop(fe->port), 0);
	assert_int_equal(rte_eth_dev_close(fe->port), 0);
	return ms_since(begin);
}

/* Close the port while the peer is connected. When @slow closes, the last
 * thread and the last file are gone. */
static void
end(struct frontend *fe, struct slow *slow, unsigned int fds,
    unsigned int threads)
{
	assert_in_range(close_port(fe), 0, LIMIT_MS);
	fe_disconnect(fe);
	fe_free_closed(fe);
	/* A thread still closes @slow, so close_port() was fast although
	 * work was left. */
	assert_true(usage_entries("/proc/self/task") > threads);
	slow_release(slow);
	assert_true(fe_wait(usage_entries("/proc/self/task") == threads &&
			    usage_entries("/proc/self/fd") == fds, 5));
}

struct counts {
	unsigned int fds, threads;
};

static struct counts
counts(void)
{
	return (struct counts) { usage_entries("/proc/self/fd"),
		usage_entries("/proc/self/task") };
}

static void
port_closes_while_a_refused_fd_does_not(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false);
	struct slow slow;

	(void)state;
	fe_connect(fe, FE_FEATURES);
	give(fe, VU_SET_VRING_CALL, slow_new(&slow), 1);
	assert_true(fe_is_closed(fe));
	end(fe, &slow, before.fds, before.threads);
}

/* The thread goes on, as well: the next front-end is served. */
static void
next_peer_is_served_while_an_fd_does_not_close(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false);
	struct slow slow;
	uint64_t begin;

	(void)state;
	fe_connect(fe, FE_FEATURES);
	give(fe, VU_SET_VRING_CALL, slow_new(&slow), 1);
	assert_true(fe_is_closed(fe));
	fe_disconnect(fe);
	begin = rte_get_timer_cycles();
	fe_start(fe, FE_FEATURES, 1);
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	assert_in_range(ms_since(begin), 0, LIMIT_MS);
	end(fe, &slow, before.fds, before.threads);
}

/* A message carries more fds than allowed; the last one is slow to close. */
static void
port_closes_while_an_fd_too_many_does_not(void **state)
{
	static const unsigned int many[] = { VU_MAX_FDS + 1, 17, 253 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct counts before = counts();
		struct frontend *fe = fe_new("", 1, false);
		struct slow slow;

		fe_connect(fe, FE_FEATURES);
		give(fe, VU_SET_VRING_CALL, slow_new(&slow), many[i]);
		assert_true(fe_is_closed(fe));
		end(fe, &slow, before.fds, before.threads);
	}
}

/* The port closes while the slow fd is still queued in the connection. */
static void
port_closes_while_a_queued_fd_does_not(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false);
	struct vhostpci_dev *dev = fe->socket->dev;
	struct slow slow;
	uint64_t nothing = 0;

	(void)state;
	fe_connect(fe, FE_FEATURES);
	/* The session ends with the first; the second is there by then. */
	pthread_mutex_lock(&dev->lock);
	fe->call[0] = eventfd(0, EFD_CLOEXEC);
	fe_send(fe, VU_SET_VRING_CALL, 0, &nothing, sizeof(nothing),
		fe->call[0], 1);
	fe_send(fe, VU_SET_VRING_CALL, 0, &nothing, sizeof(nothing),
		fe->mem_fd, 1);
	give_away(fe, VU_SET_VRING_CALL, slow_new(&slow), 1);
	pthread_mutex_unlock(&dev->lock);
	assert_true(fe_is_closed(fe));
	end(fe, &slow, before.fds, before.threads);
}

/* The slow fd is queued in a connection that the port has not accepted. */
static void
port_closes_while_an_fd_in_its_backlog_does_not(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false), second;
	struct sockaddr_un addr = fe->socket->addr;
	struct slow slow;

	(void)state;
	fe_connect(fe, FE_FEATURES);
	second = *fe;
	second.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(second.fd, (struct sockaddr *)&addr,
				 sizeof(addr)), 0);
	give_away(&second, VU_SET_VRING_CALL, slow_new(&slow), 1);
	close(second.fd);
	end(fe, &slow, before.fds, before.threads);
}

/* If the process can open no more files, the kernel closes received fds in the
 * receiving thread. The port closes, and leaves this thread behind. */
static void
port_closes_while_its_thread_closes_what_it_cannot_receive(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false);
	struct vhostpci_dev *dev = fe->socket->dev;
	uint64_t nothing = 0;
	struct rlimit limit, none;
	struct slow slow;
	int fd;

	(void)state;
	fe_connect(fe, FE_FEATURES);
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	fd = slow_new(&slow);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	pthread_mutex_lock(&dev->lock);
	fe->call[0] = eventfd(0, EFD_CLOEXEC);
	fe_send(fe, VU_SET_VRING_CALL, 0, &nothing, sizeof(nothing),
		fe->call[0], 1);
	assert_true(fe_wait(*(volatile int *)
			    &fe->socket->core.rings[0].call_fd >= 0, 5));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	give_away(fe, VU_SET_VRING_CALL, fd, 1);
	pthread_mutex_unlock(&dev->lock);
	assert_true(fe_wait(*(volatile uint32_t *)&fe->socket->place == 1, 5));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_in_range(close_port(fe), 0, LIMIT_MS);
	fe_disconnect(fe);
	fe_free_closed(fe);
	assert_true(usage_entries("/proc/self/task") > before.threads);
	slow_release(&slow);
	assert_true(fe_wait(usage_entries("/proc/self/task") ==
			    before.threads &&
			    usage_entries("/proc/self/fd") == before.fds, 5));
}

/* A peer that sends more and more slow fds waits until they close; other ports
 * do not wait. */
static void
peer_with_many_open_fds_is_not_read_from(void **state)
{
	struct counts before = counts();
	struct frontend *fe = fe_new("", 1, false);
	struct frontend *other = fe_new("", 1, false);
	struct slow slow;
	unsigned int i, n;

	(void)state;
	fe_start(other, FE_FEATURES, 1);
	fe_connect(fe, FE_FEATURES);
	give(fe, VU_SET_VRING_CALL, slow_new(&slow), 1);
	assert_true(fe_is_closed(fe));
	n = usage_entries("/proc/self/fd");
	for (i = 0; i < 10; i++) {
		struct timeval soon = { .tv_usec = 200000 };
		char byte;

		fe_disconnect(fe);
		fe->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fe->fd, SOL_SOCKET, SO_RCVTIMEO, &soon,
			   sizeof(soon));
		setsockopt(fe->fd, SOL_SOCKET, SO_SNDTIMEO, &soon,
			   sizeof(soon));
		if (connect(fe->fd, (struct sockaddr *)&fe->socket->addr,
			    sizeof(fe->socket->addr)) < 0)
			break;
		give_away(fe, VU_SET_VRING_CALL, dup(fe->mem_fd), 253);
		if (recv(fe->fd, &byte, 1, 0) < 0)
			break;
	}
	assert_in_range(i, 1, 3);
	assert_true(usage_entries("/proc/self/fd") < n + 1024);
	fe_post(other, 1);
	assert_int_equal(fe_receive(other, 0), 1);
	fe_free(other);
	end(fe, &slow, before.fds, before.threads);
}

/* @times: a peer that sends @n fds, the last of which does not close. */
static void
rounds_of(struct frontend *fe, unsigned int times, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < times; i++) {
		struct slow slow;

		fe_connect(fe, FE_FEATURES);
		give(fe, VU_SET_VRING_CALL, slow_new(&slow), n);
		assert_true(fe_is_closed(fe));
		fe_disconnect(fe);
		slow_release(&slow);
	}
}

static void
rounds(unsigned int times, unsigned int n)
{
	struct frontend *fe = fe_new("", 1, false);

	rounds_of(fe, times, n);
	fe_free(fe);
}

static void
rounds_leave_nothing_behind(void **state)
{
	static const unsigned int many[] = { 1, VU_MAX_FDS + 1, 17, 253 };
	struct usage before;
	unsigned int i;

	(void)state;
	rounds(1, 1);	/* what the process needs once */
	usage_get(&before);
	for (i = 0; i < 4; i++) {
		rounds(usage_rounds(25), many[i]);
		assert_true(fe_wait(usage_is_back(&before), 10));
	}
}

/* A thread that polls a neighbour's port, and sees for how long it did not. */
struct neighbour {
	const struct frontend *fe;
	pthread_t thread;
	bool stop;
	uint64_t gap;
};

static void *
neighbour_run(void *opaque)
{
	struct neighbour *n = opaque;
	uint64_t last = rte_get_timer_cycles(), now;

	while (!__atomic_load_n(&n->stop, __ATOMIC_ACQUIRE)) {
		if (fe_receive(n->fe, 0) == 0)
			fe_post((struct frontend *)(uintptr_t)n->fe, 1);
		now = rte_get_timer_cycles();
		n->gap = RTE_MAX(n->gap, now - last);
		last = now;
	}
	return NULL;
}

/* The peer is made and freed while the neighbour rests: it looks for mbufs in use
 * that would be the neighbour's. */
static unsigned int
longest_gap_ms(struct frontend *other, void (*load)(struct frontend *fe))
{
	struct neighbour n = { .fe = other };
	struct frontend *fe = fe_new("", 1, false);

	assert_int_equal(pthread_create(&n.thread, NULL, neighbour_run, &n),
			 0);
	load(fe);
	__atomic_store_n(&n.stop, true, __ATOMIC_RELEASE);
	pthread_join(n.thread, NULL);
	fe_free(fe);
	return n.gap * 1000 / rte_get_timer_hz();
}

static void
honest_rounds(struct frontend *fe)
{
	unsigned int i;

	for (i = 0; i < 25; i++) {
		fe_start(fe, FE_FEATURES, 1);
		fe_post(fe, 1);
		fe_receive(fe, 0);
		fe_disconnect(fe);
	}
}

static void
slow_rounds(struct frontend *fe)
{
	rounds_of(fe, 25, 253);
}

/* The control: what an honest peer that comes and goes does to a neighbour. */
static void
neighbour_does_not_wait_for_what_does_not_close(void **state)
{
	struct frontend *other = fe_new("", 1, false);
	unsigned int honest, slow;

	(void)state;
	fe_start(other, FE_FEATURES, 1);
	honest = longest_gap_ms(other, honest_rounds);
	slow = longest_gap_ms(other, slow_rounds);
	print_message("gaps: %u ms beside an honest peer, %u ms\n", honest,
		      slow);
	assert_in_range(slow, 0, LIMIT_MS + honest);
	fe_free(other);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_closes_while_a_refused_fd_does_not),
		cmocka_unit_test(next_peer_is_served_while_an_fd_does_not_close),
		cmocka_unit_test(port_closes_while_an_fd_too_many_does_not),
		cmocka_unit_test(port_closes_while_a_queued_fd_does_not),
		cmocka_unit_test(
			port_closes_while_an_fd_in_its_backlog_does_not),
		cmocka_unit_test(
		    port_closes_while_its_thread_closes_what_it_cannot_receive),
		cmocka_unit_test(peer_with_many_open_fds_is_not_read_from),
		cmocka_unit_test(rounds_leave_nothing_behind),
		cmocka_unit_test(
			neighbour_does_not_wait_for_what_does_not_close),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
