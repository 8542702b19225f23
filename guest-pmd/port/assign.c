/* SPDX-License-Identifier: BSD-3-Clause */

/* See port/assign.h. */

#include "port/assign.h"
#include "port/intr.h"
#include "port/pause.h"
#include "port/port.h"
#include "port/txmap.h"

static const struct vhostpci_queue_set all_queues = { UINT64_MAX, UINT64_MAX };

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
	unsigned int q;

	/* Too long a burst: a lock stays, and its queue is remembered. */
	if (vhostpci_txmap_assign(dev) && vhostpci_tx_bursts_end(dev))
		vhostpci_txmap_settle(dev);
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
