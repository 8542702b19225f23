/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls of a port to its peer: the call eventfds, and who signals them.
 *
 * A signal walks everything that waits for the eventfd, and the peer decides how
 * much that is: 100000 watches of epoll take 40 ms. A burst, which may hold the
 * lock of a ring that others share, does not pay that. It signals an eventfd only
 * while the last signal, a moment ago, was cheap. All other calls are left to a
 * thread of the port's own: the first of an eventfd, the first after a pause (in
 * which the peer may have added watches), the next after one that took long, and
 * all of a ring whose calls take long again and again, until they have been cheap
 * for a second. No call is lost: several that are left become one, made later.
 */

#ifndef VHOSTPCI_SOCKET_CALLER_H
#define VHOSTPCI_SOCKET_CALLER_H

#include <pthread.h>

#include <sys/queue.h>

#include "base/limit.h"
#include "base/transport.h"
#include "socket/closer.h"
#include "socket/signal.h"

/* What a call may cost, and for how long a cheap one speaks for the next. */
#define VHOSTPCI_CALL_BOUND_US	20
#define VHOSTPCI_CALL_TRUST_MS	20
#define VHOSTPCI_CALL_CALM_MS	1000	/* for a slow ring to be cheap again */

/* One ring's. Any thread: rw; one value may be older than another. */
struct vhostpci_call {
	uint64_t trusted;	/* TSC of the last cheap call, 0: none */
	uint64_t slow_at;	/* TSC when calls were last found slow */
	uint32_t score;		/* of slow ones, see judge() */
	bool slow;		/* again and again */
};

/* An eventfd that is to be closed, by the thread, when it was called. */
struct vhostpci_last_call {
	STAILQ_ENTRY(vhostpci_last_call) next;
	int fd;
	bool call;
};

STAILQ_HEAD(vhostpci_last_calls, vhostpci_last_call);

struct vhostpci_caller {
	/* Constant. */
	char label[VHOSTPCI_NAME_LEN];	/* for the log */
	struct vhostpci_closer *closer;	/* not for the thread */
	uint64_t bound, trust, calm;	/* TSC cycles */
	int wake_fd;		/* eventfd, ours: there is work */

	struct vhostpci_signal signal;	/* any thread */
	struct vhostpci_limit log_limit;
	/* Rings, by bit, with a call for the thread. datapath: sets; thread,
	 * control: clear, under the lock. */
	uint64_t pending;
	struct vhostpci_call calls[VHOSTPCI_MAX_RINGS];
	bool running;		/* there is a thread. control: w */
	/* Duplicates of the peer's call eventfds, -1: none. control: w, under
	 * the lock; datapath: r, if the ring may be called. Replaced by dup3(),
	 * so that the datapath never writes to a closed or another fd; closed
	 * while its ring does not run. */
	int fds[VHOSTPCI_MAX_RINGS];
	int given[VHOSTPCI_MAX_RINGS];	/* control: what each was made from */

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
/* control: ring @i is called by the eventfd @fd from now on. 0 or -errno. */
int vhostpci_caller_give(struct vhostpci_caller *c, unsigned int i, int fd);
/* control, no burst calls ring @i: let go of its eventfd. */
void vhostpci_caller_take(struct vhostpci_caller *c, unsigned int i);
/* Any thread: call ring @i's driver, if it has an eventfd. Never waits. Returns
 * whether the call was left to the thread because the ring's calls take long. */
bool vhostpci_caller_call(struct vhostpci_caller *c, unsigned int i);
/* Nobody calls any more: waits for the thread for 50 ms at most, which otherwise
 * frees @c when it has made the call it is at. */
void vhostpci_caller_free(struct vhostpci_caller *c);

#endif
