/* SPDX-License-Identifier: BSD-3-Clause */

/* Control stops bursts: "Quiescence" in vring/queue.h. */

#include <errno.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>

#include <rte_cycles.h>

#include "flow/inlet.h"
#include "port/pause.h"
#include "port/port.h"

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

void
vhostpci_move_begin(struct vhostpci_dev *dev)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->txq[q] != NULL)
			__atomic_store_n(&dev->txq[q]->moving, 1,
					 __ATOMIC_RELAXED);
	}
	/* Pairs with the acquire of run in a burst: a burst that finds run 0
	 * from now on sees moving, too. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void
vhostpci_move_end(struct vhostpci_dev *dev)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		/* release: the caller has set run before this. */
		if (dev->txq[q] != NULL)
			__atomic_store_n(&dev->txq[q]->moving, 0,
					 __ATOMIC_RELEASE);
	}
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
		    !vhostpci_wait_zero(&queues[q]->in_burst, deadline))
			return false;
	}
	return true;
}

static int
timed_out(struct vhostpci_dev *dev)
{
	dev->unsettled = true;
	dev->total.timeouts++;
	return -ETIMEDOUT;
}

/* After -ETIMEDOUT the queues of @set stay stopped, and the inlet closed. */
int
vhostpci_pause_queues(struct vhostpci_dev *dev, struct vhostpci_queue_set set)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_QUIESCE_MS / 1000;
	/* Close the inlet even if @set is empty: bursts of other ports may use
	 * any ring. */
	bool others = vhostpci_inlet_close(dev->inlet);

	if (set.rx == 0 && set.tx == 0 && !others)
		return 0;
	ask_to_stop(dev->rxq, set.rx);
	ask_to_stop(dev->txq, set.tx);
	full_barrier();
	if (vhostpci_inlet_wait(dev->inlet, deadline) &&
	    wait_stopped(dev->rxq, set.rx, deadline) &&
	    wait_stopped(dev->txq, set.tx, deadline)) {
		dev->tx_moved &= ~set.tx;
		return 0;
	}
	return timed_out(dev);
}

bool
vhostpci_rx_bursts_stop(struct vhostpci_dev *dev)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_QUIESCE_MS / 1000;

	ask_to_stop(dev->rxq, UINT64_MAX);
	full_barrier();
	return wait_stopped(dev->rxq, UINT64_MAX, deadline);
}

bool
vhostpci_tx_bursts_end(struct vhostpci_dev *dev, unsigned int ms)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * ms / 1000;

	full_barrier();
	return wait_stopped(dev->txq, UINT64_MAX, deadline);
}
