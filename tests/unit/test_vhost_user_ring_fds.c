/* SPDX-License-Identifier: Apache-2.0 */

/* Vrings: their fds for kicks, calls and errors. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "vu_peer.h"

static void
ring_fds_must_be_eventfds(void **state)
{
	static const uint32_t requests[] = {
		VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR,
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		close(fds[0]);
		refused(p, send_vring_fd(p, requests[i], 0, fds[1]), -EINVAL,
			"the fd is not an eventfd");
		vu_core_disconnect(&p->core);
		assert_int_equal(count_fds(), p->fds_before);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

/* open() in place of libc's, to see which of the kernel's files the core
 * reads. */
static unsigned int n_fdinfo;

int
open(const char *path, int flags, ...)
{
	/* Nothing here creates a file, so there is no mode to pass on. */
	if (strstr(path, "fdinfo") != NULL)
		n_fdinfo++;
	return syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

/* The kernel tells each watch of an epoll descriptor there, and whoever asks
 * waits for that. */
static void
of_what_is_no_eventfd_no_details_are_read(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		int fds[] = {
			epoll_create1(EPOLL_CLOEXEC),
			memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC),
			timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
		};
		unsigned int j;

		for (j = 0; j < 3; j++) {
			assert_true(fds[j] >= 0);
			if (i != j)
				close(fds[j]);
		}
		n_fdinfo = 0;
		refused(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, fds[i]),
			-EINVAL, "the fd is not an eventfd");
		assert_int_equal(n_fdinfo, 0);
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	assert_int_equal(n_fdinfo, 1);
}

static void
no_fd_flag_and_fd_exclude_each_other(void **state)
{
	struct peer *p = *state;
	uint64_t nofd = VU_VRING_NOFD;
	int fd = event_fd();

	refused(p, peer_send(p, VU_SET_VRING_CALL, 0, &nofd, 8, &fd, 1),
		-EINVAL, "1 fds, the message announces 0");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_u64(p, VU_SET_VRING_CALL, 0), -EINVAL,
		"0 fds, the message announces 1");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	refused(p, send_u64(p, VU_SET_VRING_CALL, BIT(9) | VU_VRING_NOFD),
		-EINVAL, "reserved bits");
}

/* QEMU's socket channel makes what it sends blocking. */
static void
eventfd_is_made_nonblocking_and_close_on_exec(void **state)
{
	struct peer *p = *state;
	int fd = event_fd();

	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, fd));
	fd = p->core.rings[0].call_fd;
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void
ring_fds_are_replaced_and_taken_away(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[0];

	prepare(p);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, event_fd()));
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(count_fds(), p->fds_before + 1);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 0, -1));
	assert_int_equal(r->call_fd, -1);
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
call_and_error_fds_are_kept_apart(void **state)
{
	struct peer *p = *state;
	struct vu_ring *r = &p->core.rings[1];
	int call;

	prepare(p);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 1, event_fd()));
	call = r->call_fd;
	assert_true(call >= 0 && r->err_fd < 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_ERR, 1, event_fd()));
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(r->call_fd, call);
	assert_true(r->err_fd >= 0 && r->err_fd != call);
	accepted(p, send_vring_fd(p, VU_SET_VRING_ERR, 1, -1));
	assert_int_equal(r->call_fd, call);
	assert_int_equal(r->err_fd, -1);
}

static void
new_kick_of_a_running_ring_is_no_new_start(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_int_equal(p->changed, VU_CHANGED_FDS);
	assert_int_equal(p->core.rings[0].epoch, 1);
}

static void
two_rings_with_one_kick_are_refused(void **state)
{
	struct peer *p = *state;
	int fd = event_fd();

	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, dup(fd)));
	/* The same ring may use it again; another ring may use it after this
	 * ring has stopped. */
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, dup(fd)));
	accepted(p, send_state(p, VU_GET_VRING_BASE, 0, 0));
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 1, dup(fd)));
	if (p->core.rings[1].kick_id < 0) {
		/* This kernel does not show which eventfd it is. */
		close(fd);
		skip();
	}
	refused(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, fd), -EBUSY,
		"ring 0 brings the eventfd of ring 1");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(ring_fds_must_be_eventfds),
		peer_test(of_what_is_no_eventfd_no_details_are_read),
		peer_test(no_fd_flag_and_fd_exclude_each_other),
		peer_test(eventfd_is_made_nonblocking_and_close_on_exec),
		peer_test(ring_fds_are_replaced_and_taken_away),
		peer_test(call_and_error_fds_are_kept_apart),
		peer_test(new_kick_of_a_running_ring_is_no_new_start),
		peer_test(two_rings_with_one_kick_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
