/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A port as a destination of other ports' rules.
 *
 * Rules hold references to an inlet, so an inlet may outlive its port. It then
 * stays closed, and a new port with the same number has an inlet of its own.
 *
 * A lane is a receive ring of the port's peer. A sender must hold the lane's lock.
 * Two kinds of bursts send: a steering burst of another port; and a burst of the
 * port's own queues, which takes the lock only if other senders may exist
 * (ring->shared). Control closes the inlet before it changes what bursts of other
 * ports use, just as it stops a queue before it changes what the queue's own
 * bursts use ("Quiescence" in vring/queue.h):
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
	uint32_t refs;		/* atomic: of the port and of rules */
	bool open;		/* control: w; datapath: r */
	bool fence;		/* constant: as in struct vhostpci_queue */
	uint16_t n_lanes;	/* constant */
	/* control: w; datapath: r, at any time. The offloads that the peer takes
	 * (VHOSTPCI_OL_NEGOTIATED), and the longest frame, bytes. */
	uint16_t offload;
	uint32_t max_len;
	/* control: w while closed; datapath: r, at any time. The lane of each tx
	 * queue of the port. */
	uint8_t lane_of[VHOSTPCI_MAX_QUEUES];
	/* The tx queue that each thread used last. Each thread: rw its own. */
	uint8_t queue_of[RTE_MAX_LCORE];
	char name[VHOSTPCI_NAME_LEN];	/* constant: port's name, for listings */
	struct vhostpci_lane lanes[];
};

/* control: returns a closed inlet with one reference; NULL: no memory. */
struct vhostpci_inlet *vhostpci_inlet_new(const char *name, uint16_t n_lanes,
					  int socket);
/* Any thread but the datapath: take and drop a reference. The last put() frees the
 * inlet. */
void vhostpci_inlet_get(struct vhostpci_inlet *inlet);
void vhostpci_inlet_put(struct vhostpci_inlet *inlet);
/* Does a rule hold a reference, besides the port? */
static inline bool
vhostpci_inlet_used(const struct vhostpci_inlet *inlet)
{
	/* acquire: pairs with the release in vhostpci_inlet_put(): after the last
	 * rule dropped its reference, no burst of the rule's port uses the inlet. */
	return __atomic_load_n(&inlet->refs, __ATOMIC_ACQUIRE) > 1;
}

/* control: close the inlet. Returns true if bursts of other ports that began before
 * may still use it: the caller must then make all threads execute a full barrier,
 * and call vhostpci_inlet_wait(). */
bool vhostpci_inlet_close(struct vhostpci_inlet *inlet);
/* control: wait until no burst of another port uses a ring of the inlet. Returns
 * false if a burst did not end by @deadline (timer cycles). */
bool vhostpci_inlet_wait(const struct vhostpci_inlet *inlet,
			 uint64_t deadline);
/* control: open the inlet; its lanes are set. */
void vhostpci_inlet_open(struct vhostpci_inlet *inlet);

/* datapath, with the lane's lock: may the caller use the lane's ring? If false, the
 * caller has left the lane already. */
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

/* datapath: the caller has stopped using the lane's ring. */
static __rte_always_inline void
vhostpci_lane_leave(struct vhostpci_lane *lane)
{
	/* release: pairs with the acquire in vhostpci_inlet_wait(). */
	__atomic_store_n(&lane->inside, 0, __ATOMIC_RELEASE);
}

/* datapath: is the inlet open? It may close at any time after this. */
static __rte_always_inline bool
vhostpci_inlet_is_open(const struct vhostpci_inlet *inlet)
{
	return __atomic_load_n(&inlet->open, __ATOMIC_RELAXED);
}

/* datapath: note that this thread sends to the port by tx queue @q. Threads do this
 * even without rules. A steered packet then takes the same ring as other packets of
 * its flow, so it does not overtake them. */
static __rte_always_inline void
vhostpci_inlet_note_queue(struct vhostpci_inlet *inlet, uint16_t q)
{
	unsigned int lcore = rte_lcore_id();

	/* For a thread that EAL does not know, rules assume queue 0. */
	if (lcore < RTE_MAX_LCORE && unlikely(inlet->queue_of[lcore] != q))
		inlet->queue_of[lcore] = q;
}

#endif
