/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A queue of a port: the rings that its bursts use, and how control stops the
 * bursts.
 *
 * Quiescence. Control changes a queue's lists of rings, the rings' set-up and the
 * peer's memory table only while no burst uses them:
 *
 *	burst					control
 *	  queue->in_burst = 1			  queue->run = 0
 *	  compiler barrier			  membarrier(PRIVATE_EXPEDITED)
 *	  if (queue->run) ... work ...		  wait until queue->in_burst == 0
 *	  queue->in_burst = 0 (release)		  (acquire), change, then
 *						  queue->run = 1 (release)
 *
 * The membarrier makes every running thread of the process execute a full
 * barrier between two of its instructions. If this barrier falls before the
 * burst's load of run, the load sees 0. If it falls after the load, control sees
 * the earlier store to in_burst, and waits. So the burst needs no fence. If the
 * kernel lacks membarrier, `fence` (chosen once, at probe) makes bursts execute
 * the full barrier themselves.
 * The release of in_burst pairs with control's acquire: the burst has finished.
 * The release of run pairs with the burst's acquire: the burst sees the change.
 *
 * Packets sent to a stopped queue are lost. A peer should lose no packets because
 * its memory grows, so control sets `moving` while it replaces the table of the
 * peer's memory, and a tx burst then waits outside for a bounded time.
 */

#ifndef VHOSTPCI_VRING_QUEUE_H
#define VHOSTPCI_VRING_QUEUE_H

#include <rte_atomic.h>

#include "vring/ring.h"

struct vhostpci_inlet;
struct vhostpci_steering;

#define VHOSTPCI_MAX_PAIRS	(VHOSTPCI_MAX_RINGS / 2)
#define VHOSTPCI_MAX_QUEUES	64 /* tx: more queues than rings share them */

struct vhostpci_queue {
	uint32_t in_burst;	/* datapath: w, control: r */
	uint32_t run;		/* control: w, datapath: r */
	/* tx: the queue is stopped only while the peer's memory moves. control:
	 * w, datapath: r, and w 0 when the move takes too long. */
	uint32_t moving;
	bool fence;		/* constant */
	bool old;		/* rx; ethdev: rw: of an earlier configuration */
	/* control: w while in_burst is 0; datapath: r. rx: every running ring
	 * of this queue; tx: the ring that this queue sends to, if any, which
	 * may change during a burst (port/txmap.c). */
	uint16_t n_rings;
	uint16_t next;		/* datapath: rw: the ring to begin with */
	uint16_t id;
	uint16_t port;		/* of the ethdev; constant */
	struct rte_mempool *mp;	/* rx */
	/* rx queue 0: an address to announce (MAC | 1 << 48), or 0. control: w
	 * nonzero, datapath: w 0 after the announcement. */
	uint64_t announce;
	uint64_t announced;	/* datapath: w */
	/* rx: rules, NULL: none. control: w, any time; datapath: r */
	struct vhostpci_steering *steering;
	/* tx: of the port; constant */
	struct vhostpci_inlet *inlet;
	struct vhostpci_ring *rings[];	/* rx: room for one of each pair */
} __rte_cache_aligned;

/* datapath: begin a burst. Returns whether the burst may use the queue; if false,
 * the burst has already ended. */
static __rte_always_inline bool
vhostpci_queue_enter(struct vhostpci_queue *queue)
{
	__atomic_store_n(&queue->in_burst, 1, __ATOMIC_RELAXED);
	if (unlikely(queue->fence))
		rte_smp_mb();
	else
		rte_compiler_barrier();
	/* acquire: pairs with control's release: we see the new set-up. */
	if (likely(__atomic_load_n(&queue->run, __ATOMIC_ACQUIRE)))
		return true;
	__atomic_store_n(&queue->in_burst, 0, __ATOMIC_RELEASE);
	return false;
}

/* datapath: end a burst that began. */
static __rte_always_inline void
vhostpci_queue_leave(struct vhostpci_queue *queue)
{
	/* release: pairs with control's acquire: our accesses are over. */
	__atomic_store_n(&queue->in_burst, 0, __ATOMIC_RELEASE);
}

/* datapath: call this when vhostpci_queue_enter() of a tx queue failed. Waits while
 * the memory of the queue's peer moves, and tries again. */
bool vhostpci_queue_enter_moved(struct vhostpci_queue *queue);

/* control: wait until *@flag, which bursts set while they work, is 0. Returns false
 * if *@flag is still set at @deadline (timer cycles). */
bool vhostpci_wait_zero(const uint32_t *flag, uint64_t deadline);

#endif
