/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A queue of a port: the rings that its bursts use, and how control stops them.
 *
 * Quiescence. A queue's lists of rings, the rings' set-up and the peer's
 * memory table change only while no burst uses them:
 *
 *	burst					control
 *	  queue->in_burst = 1			  queue->run = 0
 *	  compiler barrier			  membarrier(PRIVATE_EXPEDITED)
 *	  if (queue->run) ... work ...		  wait until queue->in_burst == 0
 *	  queue->in_burst = 0 (release)		  (acquire), change, then
 *						  queue->run = 1 (release)
 *
 * The membarrier makes every running thread of the process execute a full
 * barrier between two of its instructions. Either that falls before the
 * burst's load of run, which then sees 0; or after it, and then the earlier
 * store to in_burst is visible to control, which waits. So the burst pays no
 * fence. Where the kernel lacks membarrier, `fence` (chosen once, at probe)
 * makes bursts execute the full barrier themselves.
 * The release of in_burst pairs with control's acquire: what the burst did is
 * over. The release of run pairs with the burst's acquire: it sees the change.
 *
 * What is sent to a queue that is stopped is lost. A peer that grows has done
 * nothing to lose packets for: while control swaps its table of memory, and says
 * so by `moving`, a tx burst waits outside instead, for a bounded time.
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
	/* tx: stopped for the moment in which the peer's memory moves. control:
	 * w, datapath: r, and w 0 when that takes too long. */
	uint32_t moving;
	bool fence;		/* constant */
	bool old;		/* rx; ethdev: rw: of an earlier configuration */
	/* control: w while in_burst is 0; datapath: r. rx: every running ring
	 * of ours; tx: the one ring we send to, if any, which may become
	 * another one during a burst (port/txmap.c). */
	uint16_t n_rings;
	uint16_t next;		/* datapath: rw: the ring to begin with */
	uint16_t id;
	uint16_t port;		/* of the ethdev; constant */
	struct rte_mempool *mp;	/* rx */
	/* rx queue 0: an address to announce (MAC | 1 << 48), or 0. control: w
	 * nonzero, datapath: w 0 once done. */
	uint64_t announce;
	uint64_t announced;	/* datapath: w */
	/* rx: rules, NULL: none. control: w, any time; datapath: r */
	struct vhostpci_steering *steering;
	/* tx: of the port; constant */
	struct vhostpci_inlet *inlet;
	struct vhostpci_ring *rings[];	/* rx: room for one of each pair */
} __rte_cache_aligned;

/* datapath: begin a burst: may it use the queue? If not, it has ended. */
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

/* datapath: vhostpci_queue_enter() of a tx queue failed: wait, if its peer's memory
 * moves, and try again. */
bool vhostpci_queue_enter_moved(struct vhostpci_queue *queue);

/* control: wait until *@flag, which bursts set while they are at work, is 0. False:
 * it is not by @deadline (timer cycles). */
bool vhostpci_wait_zero(const uint32_t *flag, uint64_t deadline);

#endif
