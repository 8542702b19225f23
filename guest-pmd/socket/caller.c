/* SPDX-License-Identifier: BSD-3-Clause */

/* See socket/caller.h. */

#define _GNU_SOURCE /* dup3 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <rte_cycles.h>
#include <rte_string_fns.h>

#include "base/log.h"
#include "socket/caller.h"

#define WAIT_MS		50	/* for the thread to end */

/* A call may look slow because the thread was preempted, but that is rare. So a
 * ring counts as slow only after three slow calls with few cheap calls between
 * them. */
#define SLOW_POINTS	16	/* a cheap call takes back one */
#define SLOW_AT		(3 * SLOW_POINTS)

/* Limits for lines in the log: the peer decides when a ring becomes slow. */
#define LINES_PER_SECOND	1
#define LINES_AT_ONCE		10

struct vhostpci_caller *
vhostpci_caller_new(struct vhostpci_closer *closer, const char *label)
{
	struct vhostpci_caller *c = calloc(1, sizeof(*c));
	uint64_t hz = rte_get_tsc_hz();
	pthread_condattr_t attr;

	if (c == NULL)
		return NULL;
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->wake_fd < 0) {
		free(c);
		return NULL;
	}
	strlcpy(c->label, label, sizeof(c->label));
	c->closer = closer;
	c->bound = hz / 1000000 * VHOSTPCI_CALL_BOUND_US;
	c->trust = hz / 1000 * VHOSTPCI_CALL_TRUST_MS;
	c->calm = hz / 1000 * VHOSTPCI_CALL_CALM_MS;
	memset(c->fds, -1, sizeof(c->fds));
	memset(c->given, -1, sizeof(c->given));
	c->busy = -1;
	STAILQ_INIT(&c->last);
	vhostpci_limit_init(&c->log_limit, LINES_PER_SECOND, LINES_AT_ONCE);
	vhostpci_signal_init(&c->signal);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ended, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

/* No thread uses @c any more. */
static void
destroy(struct vhostpci_caller *c)
{
	struct vhostpci_last_call *last;

	while ((last = STAILQ_FIRST(&c->last)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->last, next);
		close(last->fd);
		free(last);
	}
	vhostpci_signal_fini(&c->signal);
	pthread_cond_destroy(&c->ended);
	pthread_mutex_destroy(&c->lock);
	close(c->wake_fd);
	free(c);
}

static void
wake(const struct vhostpci_caller *c)
{
	uint64_t one = 1;

	/* Never waits: wake_fd is our own, and non-blocking. */
	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: the thread is awake */
}

/* Any thread: note that a call of @r has cost @cost. Returns whether the call
 * was cheap. */
static bool
judge(const struct vhostpci_caller *c, struct vhostpci_call *r, uint64_t cost,
      uint64_t now)
{
	/* relaxed: the score is an estimate; at most two threads change it. */
	uint32_t score = __atomic_load_n(&r->score, __ATOMIC_RELAXED);

	if (likely(cost <= c->bound)) {
		if (unlikely(score > 0))
			__atomic_store_n(&r->score, score - 1,
					 __ATOMIC_RELAXED);
		return true;
	}
	score = RTE_MIN(score + SLOW_POINTS, (uint32_t)SLOW_AT);
	__atomic_store_n(&r->score, score, __ATOMIC_RELAXED);
	if (score == SLOW_AT)
		__atomic_store_n(&r->slow_at, now, __ATOMIC_RELAXED);
	return false;
}

/* Let the thread make the call of ring @i. */
static bool
leave(struct vhostpci_caller *c, unsigned int i)
{
	uint64_t bit = 1ULL << i;

	/* release: the ring's entries that the call announces come before the
	 * bit; pairs with the acquire in make_call(). The thread that finds no
	 * bit set wakes the caller's thread. */
	if (__atomic_fetch_or(&c->pending, bit, __ATOMIC_RELEASE) == 0)
		wake(c);
	return __atomic_load_n(&c->calls[i].slow, __ATOMIC_RELAXED);
}

bool
vhostpci_caller_call(struct vhostpci_caller *c, unsigned int i)
{
	/* acquire: pairs with the release in vhostpci_caller_give(). */
	int fd = __atomic_load_n(&c->fds[i], __ATOMIC_ACQUIRE);
	struct vhostpci_call *r = &c->calls[i];
	uint64_t trusted, begin, end;

	if (unlikely(fd < 0))
		return false;
	begin = rte_rdtsc();
	trusted = __atomic_load_n(&r->trusted, __ATOMIC_RELAXED);
	/* Signed, because the clock of another core may be a little ahead. */
	if (unlikely((int64_t)(begin - trusted) > (int64_t)c->trust) &&
	    __atomic_load_n(&c->running, __ATOMIC_RELAXED))
		return leave(c, i);
	if (unlikely(vhostpci_signal_send(&c->signal, fd)))
		wake(c);
	end = rte_rdtsc();
	__atomic_store_n(&r->trusted, judge(c, r, end - begin, end) ? end : 0,
			 __ATOMIC_RELAXED);
	return false;
}

static void
say_slow(struct vhostpci_caller *c, unsigned int i, uint64_t cost)
{
	if (vhostpci_limit_take(&c->log_limit, NULL))
		VHOSTPCI_LOG(WARNING, "peer %s: a call of ring %u takes %" PRIu64
			     " us, as its eventfd has many waiters; a thread "
			     "makes the calls", c->label, i,
			     cost * 1000000 / rte_get_tsc_hz());
}

/* thread: judge a call of ring @i that cost @cost. */
static void
called(struct vhostpci_caller *c, unsigned int i, uint64_t cost, uint64_t now)
{
	struct vhostpci_call *r = &c->calls[i];
	bool cheap = judge(c, r, cost, now);

	if (!r->slow && !cheap && r->slow_at == now) {
		__atomic_store_n(&r->slow, true, __ATOMIC_RELAXED);
		say_slow(c, i, cost);
	}
	if (r->slow && now - r->slow_at > c->calm)
		__atomic_store_n(&r->slow, false, __ATOMIC_RELAXED);
	if (cheap && !r->slow)
		__atomic_store_n(&r->trusted, now, __ATOMIC_RELAXED);
}

static void
make_call(struct vhostpci_caller *c, unsigned int i)
{
	const uint64_t bit = 1ULL << i;
	uint64_t begin, end;
	int fd = -1;

	pthread_mutex_lock(&c->lock);
	/* acquire: pairs with the release in leave(). If a burst sets the bit
	 * again from here on, another call follows. */
	if (__atomic_fetch_and(&c->pending, ~bit, __ATOMIC_ACQUIRE) & bit)
		fd = c->busy = c->fds[i];
	pthread_mutex_unlock(&c->lock);
	if (fd < 0)
		return;
	begin = rte_rdtsc();
	vhostpci_signal_send(&c->signal, fd);
	end = rte_rdtsc();
	pthread_mutex_lock(&c->lock);
	c->busy = -1;
	pthread_mutex_unlock(&c->lock);
	called(c, i, end - begin, end);
}

/* thread: call and close the eventfds that vhostpci_caller_take() dropped. */
static void
make_last_calls(struct vhostpci_caller *c)
{
	struct vhostpci_last_call *last;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		last = STAILQ_FIRST(&c->last);
		if (last != NULL)
			STAILQ_REMOVE_HEAD(&c->last, next);
		pthread_mutex_unlock(&c->lock);
		if (last == NULL)
			return;
		if (last->call)
			vhostpci_signal_send(&c->signal, last->fd);
		close(last->fd);
		free(last);
	}
}

static bool
is_over(struct vhostpci_caller *c)
{
	bool over;

	pthread_mutex_lock(&c->lock);
	over = c->over;
	pthread_mutex_unlock(&c->lock);
	return over;
}

/* thread: call each pending ring once. Then look again: a burst that set a bit
 * while others were set has not woken the thread. */
static void
make_calls(struct vhostpci_caller *c)
{
	uint64_t pending;

	do {
		pending = __atomic_load_n(&c->pending, __ATOMIC_RELAXED);
		while (pending != 0 && !is_over(c)) {
			make_call(c, __builtin_ctzll(pending));
			pending &= pending - 1;
		}
		make_last_calls(c);
	} while (__atomic_load_n(&c->pending, __ATOMIC_RELAXED) != 0 &&
		 !is_over(c));
}

static void *
run(void *opaque)
{
	struct pollfd work = { .events = POLLIN };
	struct vhostpci_caller *c = opaque;
	uint64_t count;
	bool left;

	work.fd = c->wake_fd;
	while (!is_over(c)) {
		poll(&work, 1, -1);
		if (read(c->wake_fd, &count, sizeof(count)) < 0)
			continue;
		make_calls(c);
		vhostpci_signal_report(&c->signal);
	}
	pthread_mutex_lock(&c->lock);
	left = c->left;
	c->running = false;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	if (left)
		destroy(c);
	return NULL;
}

/* control: start the thread. If that fails, bursts make all calls themselves,
 * and the next eventfd tries again. */
static void
start(struct vhostpci_caller *c)
{
	pthread_t thread;
	int rc;

	if (c->running)
		return;
	rc = vhostpci_socket_thread(&thread, run, c);
	if (rc < 0) {
		VHOSTPCI_LOG(WARNING, "peer %s: no thread for slow calls (%s): "
			     "a hostile peer can delay a burst", c->label,
			     strerror(-rc));
		return;
	}
	pthread_detach(thread);
	__atomic_store_n(&c->running, true, __ATOMIC_RELAXED);
}

/* Duplicate @fd, as number @slot unless that is -1. */
static int
duplicate(struct vhostpci_caller *c, int fd, int slot)
{
	int rc, old, error;

	if (slot < 0) {
		rc = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return rc < 0 ? -errno : rc;
	}
	/* Keep the old file open, so that dup3() is not its last close(). */
	old = fcntl(slot, F_DUPFD_CLOEXEC, 0);
	rc = dup3(fd, slot, O_CLOEXEC);
	error = errno;
	vhostpci_closer_fd(c->closer, old);
	return rc < 0 ? -error : rc;
}

int
vhostpci_caller_give(struct vhostpci_caller *c, unsigned int i, int fd)
{
	int rc;

	start(c);
	pthread_mutex_lock(&c->lock);
	rc = duplicate(c, fd, c->fds[i]);
	if (rc >= 0 && c->given[i] != fd) {
		c->given[i] = fd;
		__atomic_store_n(&c->calls[i].trusted, 0, __ATOMIC_RELAXED);
	}
	/* release: pairs with the acquire in vhostpci_caller_call(). */
	if (rc >= 0)
		__atomic_store_n(&c->fds[i], rc, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&c->lock);
	return RTE_MIN(rc, 0);
}

void
vhostpci_caller_take(struct vhostpci_caller *c, unsigned int i)
{
	const uint64_t bit = 1ULL << i;
	struct vhostpci_last_call *last = NULL;
	bool call;
	int fd = c->fds[i];

	c->given[i] = -1;
	if (fd < 0)
		return;
	pthread_mutex_lock(&c->lock);
	call = __atomic_fetch_and(&c->pending, ~bit, __ATOMIC_ACQUIRE) & bit;
	if (call || c->busy == fd)
		last = malloc(sizeof(*last));
	if (last != NULL) {
		*last = (struct vhostpci_last_call) { .fd = fd, .call = call };
		STAILQ_INSERT_TAIL(&c->last, last, next);
	}
	c->fds[i] = -1;
	pthread_mutex_unlock(&c->lock);
	if (last != NULL)
		wake(c);
	else
		vhostpci_closer_fd(c->closer, fd);
}

void
vhostpci_caller_free(struct vhostpci_caller *c)
{
	struct timespec end;
	bool running;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += WAIT_MS * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000L;
	end.tv_nsec %= 1000000000L;

	pthread_mutex_lock(&c->lock);
	c->over = true;
	wake(c);
	while (c->running &&
	       pthread_cond_timedwait(&c->ended, &c->lock, &end) == 0)
		;
	running = c->left = c->running;
	pthread_mutex_unlock(&c->lock);
	if (!running)
		destroy(c);
}
