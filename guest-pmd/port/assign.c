/* SPDX-License-Identifier: BSD-3-Clause */

/* See port/assign.h. */

#include <errno.h>

#include "flow/inlet.h"
#include "net/offload.h"
#include "port/assign.h"
#include "port/intr.h"
#include "port/pause.h"
#include "port/port.h"
#include "port/txmap.h"

/* Wait this long for bursts that use a ring which their queue has left. */
#define SETTLE_MS	2

static const struct vhostpci_queue_set all_queues = { UINT64_MAX, UINT64_MAX };

static void
let_run(const struct vhostpci_dev *dev, struct vhostpci_queue *queue)
{
	uint32_t run = dev->started && !dev->admin_down && !dev->removed &&
		!dev->unsettled && queue->n_rings > 0;

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
	unsigned int q;

	/* If a burst takes too long, the ring keeps its lock, and dev->tx_moved
	 * keeps the queue. */
	if (vhostpci_txmap_assign(dev) && vhostpci_tx_bursts_end(dev, SETTLE_MS))
		vhostpci_txmap_settle(dev);
	for (q = 0; q < dev->n_txq; q++) {
		if (set >> q & 1 && dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
}

/* Let bursts of other ports send to the peer's rings, if bursts of this port
 * may do so. */
static void
open_inlet(struct vhostpci_dev *dev)
{
	bool run = dev->started && !dev->admin_down && !dev->removed &&
		!dev->unsettled && !dev->no_steering && dev->n_txq > 0;
	bool any = false;
	struct vhostpci_inlet *inlet = dev->inlet;
	uint16_t i;

	for (i = 0; i < inlet->n_lanes; i++) {
		struct vhostpci_ring *ring = &dev->rings[2 * i];
		bool usable = run && vhostpci_ring_usable(ring);

		/* relaxed: opening the inlet orders. */
		__atomic_store_n(&inlet->lanes[i].ring, usable ? ring : NULL,
				 __ATOMIC_RELAXED);
		if (usable)
			__atomic_store_n(&inlet->offload, ring->offload &
					 VHOSTPCI_OL_NEGOTIATED,
					 __ATOMIC_RELAXED);
		any |= usable;
	}
	if (!any)
		return;
	/* Set the lanes of queues that no longer exist, too: a thread may have
	 * sent by such a queue. */
	for (i = 0; i < VHOSTPCI_MAX_QUEUES; i++) {
		const struct vhostpci_queue *queue = dev->txq[i % dev->n_txq];

		if (queue != NULL && queue->rings[0] != NULL)
			__atomic_store_n(&inlet->lane_of[i],
					 queue->rings[0]->index / 2,
					 __ATOMIC_RELAXED);
	}
	vhostpci_inlet_open(inlet);
}

void
vhostpci_resume_queues(struct vhostpci_dev *dev, struct vhostpci_queue_set set)
{
	assign_rx(dev, set.rx);
	assign_tx(dev, set.tx);
	open_inlet(dev);
}

int
vhostpci_rx_bursts_end(struct vhostpci_dev *dev)
{
	bool ended = vhostpci_rx_bursts_stop(dev);
	unsigned int q;

	/* Queues that an unfinished adoption has stopped stay stopped until the
	 * next adoption. */
	for (q = 0; !dev->unsettled && q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->rxq[q] != NULL)
			let_run(dev, dev->rxq[q]);
	}
	return ended ? 0 : -ETIMEDOUT;
}

static void
make_calls(struct vhostpci_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++)
		vhostpci_ring_make_call(&dev->rings[i]);
}

int
vhostpci_try_pause(struct vhostpci_dev *dev, struct vhostpci_queue_set set)
{
	bool settled = !dev->unsettled;
	int rc = vhostpci_pause_queues(dev, set);
	unsigned int q;

	if (rc == 0 || !settled)
		return rc;
	dev->unsettled = false;
	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->rxq[q] != NULL)
			let_run(dev, dev->rxq[q]);
		if (dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
	open_inlet(dev);
	return rc;
}

int
vhostpci_pause_all(struct vhostpci_dev *dev)
{
	int rc = vhostpci_try_pause(dev, all_queues);

	if (rc == 0)
		make_calls(dev);
	return rc;
}

void
vhostpci_resume_all(struct vhostpci_dev *dev)
{
	dev->unsettled = false;
	vhostpci_resume_queues(dev, all_queues);
}

int
vhostpci_share_rings(struct vhostpci_dev *dev)
{
	/* Share the rings without stopping queues: a stopped queue would lose
	 * the packets that its caller sends meanwhile. */
	vhostpci_txmap_share(dev);
	return vhostpci_tx_bursts_end(dev, VHOSTPCI_QUIESCE_MS) ? 0 :
		-ETIMEDOUT;
}
