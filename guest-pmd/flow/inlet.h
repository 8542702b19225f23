/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A port as a destination of other ports' rules.
 *
 * Rules hold references to an inlet, so it may outlive its port; then it stays
 * closed, and a port that gets the same number has an inlet of its own.
 *
 * A lane is a receive ring of the port's peer. Whoever sends by it holds its
 * lock: a burst of another port that steers, and a burst of the port's own
 * queues while there may be others (ring->shared). Control closes the inlet
 * before it changes what the former use, as it stops a queue before it changes
 * what the latter do ("Quiescence" in vring/queue.h):
 *
 *	burst of another port			control
 *	  lock the lane				  open = false
 *	  inside = true				  membarrier
 *	  compiler barrier			  wait until no lane has inside
 *	  if (open && ring != NULL) send	  (acquire), change, then
 *	  inside = false (release), unlock	  open = true (release)
 */

#ifndef VHOSTPCI_FLOW_INLET_H
#define VHOSTPCI_FLOW_INLET_H

#include <rte_atomic.h>
#include <rte_lcore.h>
#include <rte_spinlock.h>

#include "vring/queue.h"

struct vhostpci_lane {
	rte_spinlock_t lock;
	uint32_t inside;	/* another port's burst: w, control: r */
	/* control: w while closed; datapath: r with the lock. NULL: the ring
	 * cannot be used. */
	struct vhostpci_ring *ring;
} __rte_cache_aligned;

struct vhostpci_inlet {
	uint32_t refs;		/* atomic: the port's and those of rules */
	bool open;		/* control: w; datapath: r */
	bool fence;		/* constant: as of struct vhostpci_queue */
	uint16_t n_lanes;	/* constant */
	/* control: w; datapath: r, at any time. What the peer takes:
	 * VHOSTPCI_OL_NEGOTIATED; the longest frame, bytes. */
	uint16_t offload;
	uint32_t max_len;
	/* control: w while closed; datapath: r, at any time. The lane of each tx
	 * queue of the port. */
	uint8_t lane_of[VHOSTPCI_MAX_QUEUES];
	/* The tx queue that a thread sent by last. Each by its own thread. */
	uint8_t queue_of[RTE_MAX_LCORE];
	char name[VHOSTPCI_NAME_LEN];	/* constant: the port's, for listings */
	struct vhostpci_lane lanes[];
};

/* control: closed, with one reference; NULL: no memory. */
struct vhostpci_inlet *vhostpci_inlet_new(const char *name, uint16_t n_lanes,
					  int socket);
/* Any thread but the datapath. The last one to let go frees it. */
void vhostpci_inlet_get(struct vhostpci_inlet *inlet);
void vhostpci_inlet_put(struct vhostpci_inlet *inlet);
/* Does a rule refer to it, besides its port? */
static inline bool
vhostpci_inlet_used(const struct vhostpci_inlet *inlet)
{
	/* acquire: pairs with the release of whoever let go: if that was the last
	 * rule, no burst of its port uses the inlet any more. */
	return __atomic_load_n(&inlet->refs, __ATOMIC_ACQUIRE) > 1;
}

/* control: close; bursts of other ports that began before may go on. Returns
 * whether there may be such, and the caller is to let all threads execute a full
 * barrier, then to wait for them. */
bool vhostpci_inlet_close(struct vhostpci_inlet *inlet);
/* control: no burst of another port uses a ring of the inlet any more; false:
 * one did not end by @deadline (timer cycles). */
bool vhostpci_inlet_wait(const struct vhostpci_inlet *inlet,
			 uint64_t deadline);
/* control: the lanes are set. */
void vhostpci_inlet_open(struct vhostpci_inlet *inlet);

/* datapath, with the lane's lock: may its ring be used? If not, it has been
 * left. */
static __rte_always_inline bool
vhostpci_lane_enter(const struct vhostpci_inlet *inlet,
		    struct vhostpci_lane *lane)
{
	__atomic_store_n(&lane->inside, 1, __ATOMIC_RELAXED);
	if (unlikely(inlet->fence))
		rte_smp_mb();
	else
		rte_compiler_barrier();
	/* acquire: pairs with the release in vhostpci_inlet_open(). */
	if (likely(__atomic_load_n(&inlet->open, __ATOMIC_ACQUIRE) &&
		   lane->ring != NULL))
		return true;
	__atomic_store_n(&lane->inside, 0, __ATOMIC_RELEASE);
	return false;
}

/* datapath: the ring is not used any more. */
static __rte_always_inline void
vhostpci_lane_leave(struct vhostpci_lane *lane)
{
	/* release: pairs with the acquire in vhostpci_inlet_wait(). */
	__atomic_store_n(&lane->inside, 0, __ATOMIC_RELEASE);
}

/* datapath: whether it is worth sending there. It may close meanwhile. */
static __rte_always_inline bool
vhostpci_inlet_is_open(const struct vhostpci_inlet *inlet)
{
	return __atomic_load_n(&inlet->open, __ATOMIC_RELAXED);
}

/* datapath: this thread sends to the port by its tx queue @q, also before there
 * are rules: steered packets take the same ring, and do not pass others of their
 * flow. */
static __rte_always_inline void
vhostpci_inlet_note_queue(struct vhostpci_inlet *inlet, uint16_t q)
{
	unsigned int lcore = rte_lcore_id();

	/* Threads that EAL does not know are taken for senders by queue 0. */
	if (lcore < RTE_MAX_LCORE && unlikely(inlet->queue_of[lcore] != q))
		inlet->queue_of[lcore] = q;
}

#endif
