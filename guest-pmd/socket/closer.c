/* SPDX-License-Identifier: BSD-3-Clause */

/* See socket/closer.h. */

#define _GNU_SOURCE /* sets of CPUs */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>

#include "base/dpdk_compat.h"
#include "base/log.h"
#include "socket/closer.h"

#define STACK_SIZE	(256 * 1024)
#define WAIT_MS		50	/* for the last to be closed */

/* At BUSY waiting jobs the port stops reading from the peer. One more step then
 * adds at most the fds of one message (253), and what a session holds: four fds
 * for each ring, two tables of 32 regions, the connection, and the listening
 * socket. */
#define BUSY		256
#define ROOM		1024

struct job {
	void *addr;	/* NULL: close */
	size_t len;
	int fd;
};

struct vhostpci_closer {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	/* Below: under the lock. */
	bool running;		/* there is a thread */
	bool over;		/* no job comes any more */
	bool left;		/* the thread is to free this */
	unsigned int first, n;	/* of jobs; the first is being done */
	struct job jobs[ROOM];
};

int
vhostpci_socket_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	int rc;

	rc = pthread_attr_init(&attr);
	if (rc != 0)
		return -rc;
	/* If this fails, the stack has the default size, which works, too. */
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = vhostpci_ctrl_thread_create(thread, "vhostpci", &attr, run, arg);
	pthread_attr_destroy(&attr);
	return rc;
}

struct vhostpci_closer *
vhostpci_closer_new(void)
{
	struct vhostpci_closer *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (c == NULL)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->idle, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

static void
destroy(struct vhostpci_closer *c)
{
	pthread_cond_destroy(&c->idle);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void
do_job(const struct job *job)
{
	if (job->addr != NULL)
		munmap(job->addr, job->len);
	else
		close(job->fd);
}

static void *
run(void *opaque)
{
	struct vhostpci_closer *c = opaque;
	struct job job;
	bool left;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (c->n == 0 && !c->over)
			pthread_cond_wait(&c->work, &c->lock);
		if (c->n == 0)
			break;
		job = c->jobs[c->first];
		pthread_mutex_unlock(&c->lock);
		do_job(&job);
		pthread_mutex_lock(&c->lock);
		c->first = (c->first + 1) % ROOM;
		c->n--;
	}
	c->running = false;
	left = c->left;
	pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
	if (left)
		destroy(c);
	return NULL;
}

/* Under the lock. If no thread can be created, the next job tries again. */
static void
start(struct vhostpci_closer *c)
{
	pthread_t thread;
	int rc;

	if (c->running)
		return;
	/* A thread that runs at once waits for the lock. */
	rc = vhostpci_socket_thread(&thread, run, c);
	if (rc < 0) {
		VHOSTPCI_LOG(WARNING, "no thread to close what peers sent: %s",
			     strerror(-rc));
		return;
	}
	c->running = true;
	pthread_detach(thread);
}

static void
add(struct vhostpci_closer *c, struct job job)
{
	pthread_mutex_lock(&c->lock);
	/* ROOM is large enough (see BUSY). If it were not, better leak the fd
	 * or mapping than wait for a stranger. */
	if (c->n < ROOM)
		c->jobs[(c->first + c->n++) % ROOM] = job;
	start(c);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

void
vhostpci_closer_fd(struct vhostpci_closer *c, int fd)
{
	if (fd >= 0)
		add(c, (struct job) { .fd = fd });
}

void
vhostpci_closer_unmap(struct vhostpci_closer *c, void *addr, size_t len)
{
	add(c, (struct job) { .addr = addr, .len = len, .fd = -1 });
}

bool
vhostpci_closer_busy(struct vhostpci_closer *c)
{
	bool busy;

	pthread_mutex_lock(&c->lock);
	busy = c->n >= BUSY;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

bool
vhostpci_closer_free(struct vhostpci_closer *c)
{
	struct timespec end;
	bool done, running;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += WAIT_MS * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000L;
	end.tv_nsec %= 1000000000L;

	pthread_mutex_lock(&c->lock);
	c->over = true;
	pthread_cond_signal(&c->work);
	while (c->running &&
	       pthread_cond_timedwait(&c->idle, &c->lock, &end) == 0)
		;
	done = c->n == 0;
	running = c->left = c->running;
	pthread_mutex_unlock(&c->lock);
	/* If the thread runs, it does the remaining jobs and frees @c. If no
	 * thread could be created, the remaining fds and mappings leak. */
	if (!running)
		destroy(c);
	return done;
}
