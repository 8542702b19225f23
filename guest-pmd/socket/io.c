/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The socket transport's thread: connects or accepts, one front-end at a time,
 * and feeds the vhost-user core. The thread waits in poll() only, and for no
 * peer longer than it takes to disconnect that peer.
 *
 * There is one exception. If this process may open no more files, recvmsg()
 * closes the fds that it cannot deliver, and the last close() of a stranger's
 * file takes as long as the stranger likes. Whoever stops the thread then
 * leaves the thread behind, and ends the connection itself: see enum place.
 */

#define _GNU_SOURCE /* accept4, pthread_timedjoin_np */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "socket/socket.h"

#define RECONNECT_MS	200	/* between attempts of a client */
#define REPEAT_MS	5	/* between attempts to adopt */
#define CLOSE_MS	1000	/* for the last bursts to end */
#define REST_MS		1	/* from a peer that asks for too much */
#define BUSY_MS		20	/* from a peer whose fds do not close */
#define JOIN_MS		100	/* between looks at a thread that ends */

/* The kernel takes at most this many fds with one message (SCM_MAX_FD). With
 * room for all of them, recvmsg() delivers every fd, and closes none in our
 * thread. */
#define MOST_FDS	253

/* Where the thread is. The thread and ethdev change this by compare and
 * swap. */
enum place {
	HERE,		/* may touch the port */
	AWAY,		/* in recvmsg(). The thread sets HERE and AWAY */
	LEFT,		/* may touch nothing any more. ethdev: from AWAY */
};

/* The wake-up eventfd, the socket, and the kick of each ring. */
#define N_POLLED	(2 + VHOSTPCI_MAX_RINGS)

void
vhostpci_socket_wake(struct vhostpci_socket *s)
{
	uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: the thread is awake */
}

static void
disconnect(struct vhostpci_socket *s, const char *why)
{
	if (why != NULL)
		VHOSTPCI_PEER_LOG(s->dev, ERR,
				  "peer %s: %s; closing the connection",
				  vhostpci_dev_label(s->dev), why);
	else
		VHOSTPCI_PEER_LOG(s->dev, INFO, "peer %s: disconnected",
				  vhostpci_dev_label(s->dev));
	vu_core_disconnect(&s->core);
	/* The peer learns this at once, even if its fds take long to close. */
	shutdown(s->conn_fd, SHUT_RDWR);
	vhostpci_closer_fd(s->closer, s->conn_fd);
	s->conn_fd = -1;
}

static void
connected(struct vhostpci_socket *s, int fd)
{
	int rc;

	s->conn_fd = fd;
	s->complained = false;
	rc = vu_core_connect(&s->core);
	if (rc < 0)
		disconnect(s, vu_core_error(&s->core));
	else
		VHOSTPCI_PEER_LOG(s->dev, INFO, "peer %s: connected",
				  vhostpci_dev_label(s->dev));
}

static void
try_connect(struct vhostpci_socket *s)
{
	int fd = vhostpci_socket_new();

	if (fd < 0)
		return;
	/* A socket of this family connects at once or not at all. */
	if (connect(fd, (struct sockaddr *)&s->addr, sizeof(s->addr)) == 0) {
		connected(s, fd);
		return;
	}
	if (!s->complained)
		VHOSTPCI_PEER_LOG(s->dev, INFO,
				  "%s: cannot connect: %s; trying again",
				  s->addr.sun_path, strerror(errno));
	s->complained = true;
	close(fd);
}

void
vhostpci_socket_put(struct vhostpci_socket *s)
{
	/* acq_rel: pairs with itself: the last user sees the other's stores. */
	if (__atomic_sub_fetch(&s->users, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	vhostpci_inflight_free(s->progress);
	free(s);
}

/* thread, after recvmsg(): go on. A thread that was left behind ends here, and
 * first closes the @fds that it has just received. */
static void
come_back(struct vhostpci_socket *s, const int *fds, unsigned int n_fds)
{
	uint32_t place = AWAY;

	/* acquire: pairs with the release in leave_behind(). */
	if (__atomic_compare_exchange_n(&s->place, &place, HERE, false,
					__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
		return;
	vhostpci_socket_put(s);
	while (n_fds > 0)
		close(fds[--n_fds]);
	pthread_exit(NULL);
}

/*
 * Receive what the core wants next, and the fds that come with it. Returns
 * bytes, 0 at the end of the stream, -EAGAIN, or another -errno.
 */
static ssize_t
receive(struct vhostpci_socket *s, uint8_t *buf, size_t len, int *fds,
	unsigned int *n_fds)
{
	union {
		char buf[CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;
	ssize_t n;

	__atomic_store_n(&s->place, AWAY, __ATOMIC_RELAXED);
	n = recvmsg(s->conn_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		n = -errno;
	*n_fds = 0;
	for (c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg); c != NULL;
	     c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
	}
	come_back(s, fds, *n_fds);
	/* This process may open no more files: the kernel closed the rest. */
	if (n >= 0 && msg.msg_flags & MSG_CTRUNC) {
		while (*n_fds > 0)
			vhostpci_closer_fd(s->closer, fds[--*n_fds]);
		return -EMFILE;
	}
	return n;
}

/* Restart the time after which the peer counts as silent. */
static void
not_quiet(struct vhostpci_socket *s)
{
	s->quiet_at = rte_get_timer_cycles() +
		rte_get_timer_hz() / 1000 * VU_QUIET_MS;
}

/* Read one piece of a message. Returns whether there may be more. */
static bool
input(struct vhostpci_socket *s)
{
	uint8_t buf[VU_MAX_PAYLOAD];
	size_t want = RTE_MIN(vu_core_want(&s->core), sizeof(buf));
	int fds[MOST_FDS];
	unsigned int n_fds;
	ssize_t n;

	if (want == 0)
		return false;
	not_quiet(s);
	n = receive(s, buf, want, fds, &n_fds);
	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n <= 0) {
		disconnect(s, n == -EMFILE ? "its fds cannot be received: "
			   "this process has too many open files" :
			   n < 0 ? strerror(-n) : NULL);
		return false;
	}
	if (vu_core_input(&s->core, buf, n, fds, n_fds) < 0) {
		disconnect(s, vu_core_error(&s->core));
		return false;
	}
	return true;
}

/* Run the messages that wait in the socket, up to a bound: other work gets its
 * turn. */
static void
input_some(struct vhostpci_socket *s)
{
	unsigned int i;

	for (i = 0; i < 64 && !s->no_input &&
	     !vhostpci_closer_busy(s->closer) && input(s); i++)
		s->no_input = !vhostpci_limit_take(&s->messages, NULL);
}

/* Report the kicks of rings whose kicks somebody waits for. */
static void
look_for_kicks(struct vhostpci_socket *s, const struct pollfd *fds)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (fds[i].revents == 0)
			continue;
		vhostpci_socket_kicked(s, i);
		vhostpci_socket_count_kicks(s, i, 1);
		s->no_kicks |= !vhostpci_limit_take(&s->kicks, NULL);
	}
}

static void
watch_kicks(struct vhostpci_socket *s, struct pollfd *fds)
{
	/* relaxed: whoever sets a bit wakes this thread. */
	uint64_t watch = __atomic_load_n(&s->watch, __ATOMIC_RELAXED);
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		const struct vu_ring *r = &s->core.rings[i];
		bool on = watch >> i & 1 && r->run && !s->no_kicks &&
			!s->waiting;

		fds[i] = (struct pollfd) {
			.fd = on ? r->kick_fd : -1, .events = POLLIN,
		};
	}
}

/* When the peer has been silent for a while, check the rings that the core
 * holds. */
static void
look_at_held(struct vhostpci_socket *s)
{
	if (s->conn_fd < 0 || s->waiting || s->no_input || s->busy ||
	    !vu_core_holds(&s->core) || rte_get_timer_cycles() < s->quiet_at)
		return;
	if (vu_core_quiet(&s->core) < 0)
		disconnect(s, vu_core_error(&s->core));
	else
		not_quiet(s);
}

static void
repeat_adopt(struct vhostpci_socket *s)
{
	int rc = vhostpci_socket_adopt(s);

	if (rc == VU_WAIT)
		return;
	if (rc == 0)
		rc = vu_core_resume(&s->core);
	if (rc < 0 && s->conn_fd >= 0)
		disconnect(s, vu_core_error(&s->core));
}

static void
break_rings(struct vhostpci_socket *s)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		uint32_t epoch = __atomic_exchange_n(&s->broken[i], 0,
						     __ATOMIC_RELAXED);

		/* The peer may have set the ring up anew before this report
		 * came. */
		if (epoch == 0 || epoch != s->core.rings[i].epoch)
			continue;
		vu_core_break_ring(&s->core, i);
		any = true;
	}
	/* The rings adopt the new state of the core. */
	if (any)
		repeat_adopt(s);
}

static void
wait_for_work(struct vhostpci_socket *s, struct pollfd fds[N_POLLED])
{
	int timeout = s->no_input || s->no_kicks ? REST_MS : -1;
	bool may_read;

	/* A peer whose fds do not close must wait itself. */
	s->busy = vhostpci_closer_busy(s->closer);
	may_read = !s->no_input && !s->busy;
	if (s->busy && timeout < 0)
		timeout = BUSY_MS;
	fds[0] = (struct pollfd) { .fd = s->wake_fd, .events = POLLIN };
	fds[1] = (struct pollfd) { .fd = -1 };
	if (s->conn_fd >= 0) {
		fds[1].fd = s->conn_fd;
		fds[1].events = vu_core_want(&s->core) > 0 && may_read ?
			POLLIN : 0;
		if (timeout < 0 && vu_core_holds(&s->core))
			timeout = VU_QUIET_MS;
	} else if (!s->waiting) {
		fds[1].fd = s->listen_fd;
		fds[1].events = may_read ? POLLIN : 0;
		if (s->client)
			timeout = RECONNECT_MS;
	}
	if (s->conn_fd >= 0 && s->unproven && timeout < 0)
		timeout = VHOSTPCI_LOOK_MS;
	if (s->waiting)
		timeout = REPEAT_MS;
	watch_kicks(s, fds + 2);
	s->no_input = s->no_kicks = false;
	poll(fds, N_POLLED, timeout);
}

static void
work(struct vhostpci_socket *s, const struct pollfd fds[N_POLLED])
{
	uint64_t count;
	int fd;

	/* Kicks first, because messages may replace the fds. */
	look_for_kicks(s, fds + 2);
	if (fds[0].revents != 0 &&
	    read(s->wake_fd, &count, sizeof(count)) > 0)
		break_rings(s);
	if (s->waiting) {
		repeat_adopt(s);
	} else if (s->conn_fd >= 0) {
		if (fds[1].revents & POLLIN)
			input_some(s);
	} else if (s->client) {
		if (!s->busy)
			try_connect(s);
	} else if (fds[1].revents & POLLIN) {
		fd = accept4(s->listen_fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		/* A connection counts as a message. */
		s->no_input = !vhostpci_limit_take(&s->messages, NULL);
		if (fd >= 0)
			connected(s, fd);
	}
	/* The peer is gone, and there is nothing to read, or reading must
	 * wait. */
	if (s->conn_fd >= 0 && fds[1].fd == s->conn_fd &&
	    fds[1].revents & (POLLHUP | POLLERR) &&
	    !(fds[1].revents & POLLIN))
		disconnect(s, NULL);
	look_at_held(s);
	vhostpci_socket_look_shared(s);
}

/* The thread's last work; whoever left the thread behind does it instead. */
static void
finish(struct vhostpci_socket *s)
{
	uint64_t end;

	if (s->conn_fd >= 0)
		disconnect(s, NULL);
	end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * CLOSE_MS;
	while (s->waiting && rte_get_timer_cycles() < end) {
		poll(NULL, 0, REPEAT_MS);
		repeat_adopt(s);
	}
}

static void *
run(void *opaque)
{
	struct vhostpci_socket *s = opaque;
	struct pollfd fds[N_POLLED];

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		wait_for_work(s, fds);
		work(s, fds);
	}
	finish(s);
	return NULL;
}

int
vhostpci_socket_start(struct vhostpci_socket *s)
{
	int rc;

	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wake_fd < 0)
		return -errno;
	rc = s->client ? 0 : vhostpci_socket_listen(s);
	if (rc == 0)
		rc = vhostpci_socket_thread(&s->thread, run, s);
	if (rc == 0)
		return 0;
	vhostpci_socket_unlisten(s);
	close(s->wake_fd);
	return rc;
}

/* Leave the thread behind if it is in recvmsg(), where a stranger can hold it.
 * Returns whether the thread was left behind. */
static bool
leave_behind(struct vhostpci_socket *s)
{
	uint32_t place = AWAY;

	s->users = 2;
	/* release: pairs with the acquire in come_back(). */
	if (__atomic_compare_exchange_n(&s->place, &place, LEFT, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return true;
	s->users = 1;
	return false;
}

/* Wait for the thread to end, unless a stranger holds it. Returns whether the
 * thread ended. */
static bool
join(struct vhostpci_socket *s)
{
	struct timespec end;

	do {
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_nsec += JOIN_MS * 1000000L;
		end.tv_sec += end.tv_nsec / 1000000000L;
		end.tv_nsec %= 1000000000L;
		if (pthread_timedjoin_np(s->thread, NULL, &end) == 0)
			return true;
	} while (!leave_behind(s));
	pthread_detach(s->thread);
	return false;
}

bool
vhostpci_socket_stop(struct vhostpci_socket *s)
{
	bool joined;

	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	vhostpci_socket_wake(s);
	joined = join(s);
	if (!joined)
		finish(s);
	vhostpci_socket_unlisten(s);
	close(s->wake_fd);
	return joined;
}
