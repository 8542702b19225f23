/* SPDX-License-Identifier: BSD-3-Clause */

/* Stop the bursts of some queues: see "Quiescence" in vring/queue.h. The caller
 * holds the port's lock. */

#ifndef VHOSTPCI_PORT_PAUSE_H
#define VHOSTPCI_PORT_PAUSE_H

#include "port/port.h"

/* For a probe, without the lock: do bursts need a fence? Registers the process for
 * membarrier. */
bool vhostpci_needs_fence(void);

/* Sets of queues, by bit. */
struct vhostpci_queue_set {
	uint64_t rx, tx;
};

/* Stop the queues of @set. Returns 0 when no burst uses them any more, and no burst
 * of another port uses a ring of this port. After -ETIMEDOUT they stay stopped. */
int vhostpci_pause_queues(struct vhostpci_dev *dev,
			  struct vhostpci_queue_set set);

/* Call these around a pause in which only the peer's memory moves: tx bursts then
 * wait, instead of losing their packets. */
void vhostpci_move_begin(struct vhostpci_dev *dev);
void vhostpci_move_end(struct vhostpci_dev *dev);

/* Stop all rx queues. Returns false if a burst did not end; the queues stay stopped
 * in both cases. */
bool vhostpci_rx_bursts_stop(struct vhostpci_dev *dev);
/* The caller has changed the way in which tx queues send, or their rings. Do bursts
 * that may have begun before that end within @ms? */
bool vhostpci_tx_bursts_end(struct vhostpci_dev *dev, unsigned int ms);

#endif
