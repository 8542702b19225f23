/* SPDX-License-Identifier: BSD-3-Clause */

/* How control stops bursts and lets them go on: "Quiescence" in vhostpci_dev.h;
 * and which rings they find then. */

#include <errno.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "vhostpci_dev.h"
#include "vhostpci_pause.h"

/* How long to wait for bursts that use the ring that their queue left. */
#define VHOSTPCI_SETTLE_MS	2

static const struct vhostpci_queue_set all_queues = { UINT64_MAX, UINT64_MAX };

static int
membarrier(int cmd)
{
	return syscall(__NR_membarrier, cmd, 0, 0);
}

bool
vhostpci_needs_fence(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

/* Pairs with the order of stores and loads at the start of a burst. */
static void
full_barrier(void)
{
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool
wait_idle(const struct vhostpci_queue *queue, uint64_t deadline)
{
	unsigned int spins = 0;

	/* acquire: pairs with the release at the end of a burst. */
	while (__atomic_load_n(&queue->in_burst, __ATOMIC_ACQUIRE)) {
		if (rte_get_timer_cycles() > deadline)
			return false;
		/* A burst takes microseconds, unless its thread is preempted:
		 * then leave it the processor. */
		if (++spins < 1000)
			rte_pause();
		else
			rte_delay_us_sleep(20);
	}
	return true;
}

static void
ask_to_stop(struct vhostpci_queue *const *queues, uint64_t set)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (set >> q & 1 && queues[q] != NULL)
			__atomic_store_n(&queues[q]->run, 0, __ATOMIC_RELAXED);
	}
}

static bool
wait_stopped(struct vhostpci_queue *const *queues, uint64_t set,
	     uint64_t deadline)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (set >> q & 1 && queues[q] != NULL &&
		    !wait_idle(queues[q], deadline))
			return false;
	}
	return true;
}

/* After -ETIMEDOUT the queues of @set stay stopped. */
int
vhostpci_pause_queues(struct vhostpci_dev *dev, struct vhostpci_queue_set set)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_QUIESCE_MS / 1000;

	if (set.rx == 0 && set.tx == 0)
		return 0;
	ask_to_stop(dev->rxq, set.rx);
	ask_to_stop(dev->txq, set.tx);
	full_barrier();
	if (wait_stopped(dev->rxq, set.rx, deadline) &&
	    wait_stopped(dev->txq, set.tx, deadline)) {
		dev->tx_moved &= ~set.tx;
		return 0;
	}
	dev->unsettled = true;
	dev->total.timeouts++;
	return -ETIMEDOUT;
}

static void
let_run(const struct vhostpci_dev *dev, struct vhostpci_queue *queue)
{
	uint32_t run = dev->started && !dev->admin_down && !dev->removed &&
		queue->n_rings > 0;

	/* release: pairs with the acquire at the start of a burst. */
	__atomic_store_n(&queue->run, run, __ATOMIC_RELEASE);
}

/* Rx queue q serves the peer's transmit rings of pairs p with p % n_rxq == q. */
static void
assign_rx(struct vhostpci_dev *dev, uint64_t set)
{
	unsigned int pair, q;

	for (q = 0; q < dev->n_rxq; q++) {
		struct vhostpci_queue *queue = dev->rxq[q];

		if (!(set >> q & 1) || queue == NULL)
			continue;
		queue->n_rings = 0;
		queue->next = 0;
		for (pair = q; pair < dev->n_rings / 2u; pair += dev->n_rxq) {
			struct vhostpci_ring *ring = &dev->rings[2 * pair + 1];

			if (vhostpci_ring_usable(ring))
				queue->rings[queue->n_rings++] = ring;
		}
		let_run(dev, queue);
		vhostpci_intr_rearm(dev, q);
	}
}

static void
assign_tx(struct vhostpci_dev *dev, uint64_t set)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_SETTLE_MS / 1000;
	unsigned int q;

	/* Too long a burst: a lock stays, and its queue is remembered. */
	if (vhostpci_txmap_assign(dev)) {
		full_barrier();
		if (wait_stopped(dev->txq, UINT64_MAX, deadline))
			vhostpci_txmap_settle(dev);
	}
	for (q = 0; q < dev->n_txq; q++) {
		if (set >> q & 1 && dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
}

void
vhostpci_resume_queues(struct vhostpci_dev *dev, struct vhostpci_queue_set set)
{
	assign_rx(dev, set.rx);
	assign_tx(dev, set.tx);
}

static void
make_calls(struct vhostpci_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++)
		vhostpci_ring_make_call(&dev->rings[i]);
}

int
vhostpci_pause_all(struct vhostpci_dev *dev)
{
	bool settled = !dev->unsettled;
	int rc = vhostpci_pause_queues(dev, all_queues);
	unsigned int q;

	if (rc == 0)
		make_calls(dev);
	if (rc == 0 || !settled)
		return rc;
	/* Nobody comes again, unlike for an adoption: what the bursts use is
	 * as it was, let them go on. */
	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->rxq[q] != NULL)
			let_run(dev, dev->rxq[q]);
		if (dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
	dev->unsettled = false;
	return rc;
}

void
vhostpci_resume_all(struct vhostpci_dev *dev)
{
	vhostpci_resume_queues(dev, all_queues);
	dev->unsettled = false;
}
