/* SPDX-License-Identifier: BSD-3-Clause */

/* Stopping the bursts of some queues: see "Quiescence" in vring/queue.h. The
 * port's lock is held. */

#ifndef VHOSTPCI_PORT_PAUSE_H
#define VHOSTPCI_PORT_PAUSE_H

#include "port/port.h"

/* Lock not needed: whether bursts need a fence. Registers the process for membarrier: at probe.
 */
bool vhostpci_needs_fence(void);

/* Sets of queues, by bit. */
struct vhostpci_queue_set {
	uint64_t rx, tx;
};

/* No burst uses a queue of @set any more, and none of another port a ring of
 * this one: 0; or -ETIMEDOUT, and they stay stopped. */
int vhostpci_pause_queues(struct vhostpci_dev *dev,
			  struct vhostpci_queue_set set);

/* Around a pause in which nothing but the peer's memory moves: what is sent
 * meanwhile waits instead of being lost. */
void vhostpci_move_begin(struct vhostpci_dev *dev);
void vhostpci_move_end(struct vhostpci_dev *dev);

/* No burst uses an rx queue any more, or: false. They stay stopped. */
bool vhostpci_rx_bursts_stop(struct vhostpci_dev *dev);
/* After the caller changed how tx queues send, or to which rings: do the bursts
 * that may have begun before end within @ms? */
bool vhostpci_tx_bursts_end(struct vhostpci_dev *dev, unsigned int ms);

#endif
