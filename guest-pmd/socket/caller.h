/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls of a port to its peer: the call eventfds, and the threads that signal them.
 *
 * A signal walks everything that waits for the eventfd, and the peer decides how
 * much that is: 100000 watches of epoll take 40 ms. A burst may hold the lock of a
 * ring that others share, so a burst must not pay that price. It signals an eventfd
 * only if the last signal was recent and cheap. It leaves all other calls to a
 * thread of the port:
 * - the first call of an eventfd;
 * - the first call after a pause, in which the peer may have added watches;
 * - the next call after one that took long;
 * - all calls of a ring whose calls take long again and again, until they have been
 *   cheap for a second.
 * No call is lost: the thread makes one call for several calls left to it.
 */

#ifndef VHOSTPCI_SOCKET_CALLER_H
#define VHOSTPCI_SOCKET_CALLER_H

#include <pthread.h>

#include <sys/queue.h>

#include "base/limit.h"
#include "base/transport.h"
#include "socket/closer.h"
#include "socket/signal.h"

/* A cheap call costs at most BOUND; it makes a burst trust the eventfd for TRUST. */
#define VHOSTPCI_CALL_BOUND_US	20
#define VHOSTPCI_CALL_TRUST_MS	20
#define VHOSTPCI_CALL_CALM_MS	1000	/* for a slow ring to be cheap again */

/* The calls of one ring. Any thread: rw; one value may be older than another. */
struct vhostpci_call {
	uint64_t trusted;	/* TSC of the last cheap call, 0: none */
	uint64_t slow_at;	/* TSC when calls were last found slow */
	uint32_t score;		/* of slow calls, see judge() */
	bool slow;		/* calls take long again and again */
};

/* An eventfd that the thread closes after a last call. */
struct vhostpci_last_call {
	STAILQ_ENTRY(vhostpci_last_call) next;
	int fd;
	bool call;
};

STAILQ_HEAD(vhostpci_last_calls, vhostpci_last_call);

struct vhostpci_caller {
	/* Constant. */
	char label[VHOSTPCI_NAME_LEN];	/* for the log */
	struct vhostpci_closer *closer;	/* the thread must not use it */
	uint64_t bound, trust, calm;	/* TSC cycles */
	int wake_fd;		/* our eventfd: wakes the thread for work */

	struct vhostpci_signal signal;	/* any thread */
	struct vhostpci_limit log_limit;
	/* Rings, by bit, with a call for the thread. datapath: sets; thread,
	 * control: clear, under the lock. */
	uint64_t pending;
	struct vhostpci_call calls[VHOSTPCI_MAX_RINGS];
	bool running;		/* the thread exists. control: w */
	/* Duplicates of the peer's call eventfds, -1: none. control: w, under
	 * the lock; datapath: r, if it may call the ring. dup3() replaces a
	 * duplicate, so the datapath never writes to a closed or a wrong fd. A
	 * duplicate is closed only while its ring does not run. */
	int fds[VHOSTPCI_MAX_RINGS];
	int given[VHOSTPCI_MAX_RINGS];	/* control: original of each duplicate */

	pthread_mutex_t lock;	/* held for moments only */
	pthread_cond_t ended;
	/* Below: under the lock. */
	int busy;		/* fd that the thread signals, -1: none */
	bool over, left;	/* as in socket/closer.c */
	struct vhostpci_last_calls last;
};

/* NULL: no memory, or no file. */
struct vhostpci_caller *vhostpci_caller_new(struct vhostpci_closer *closer,
					    const char *label);
/* control: use the eventfd @fd for calls of ring @i from now on. Returns 0 or
 * -errno. */
int vhostpci_caller_give(struct vhostpci_caller *c, unsigned int i, int fd);
/* control, no burst calls ring @i: drop the ring's eventfd. */
void vhostpci_caller_take(struct vhostpci_caller *c, unsigned int i);
/* Any thread: call the driver of ring @i, if the ring has an eventfd. Never waits.
 * Returns true if the call was left to the thread because the ring's calls take
 * long. */
bool vhostpci_caller_call(struct vhostpci_caller *c, unsigned int i);
/* Nobody calls any more. Waits at most 50 ms for the thread to end; a thread that
 * takes longer frees @c itself, after its current call. */
void vhostpci_caller_free(struct vhostpci_caller *c);

#endif
