/* SPDX-License-Identifier: BSD-3-Clause */

/* Stopping the bursts of some queues: see "Quiescence" in vhostpci_dev.h. The
 * device's lock is held. */

#ifndef VHOSTPCI_PAUSE_H
#define VHOSTPCI_PAUSE_H

#include "vhostpci_dev.h"

/* Sets of queues, by bit. */
struct vhostpci_queue_set {
	uint64_t rx, tx;
};

/* No burst uses a queue of @set any more: 0; or -ETIMEDOUT, and they stay
 * stopped. */
int vhostpci_pause_queues(struct vhostpci_dev *dev,
			  struct vhostpci_queue_set set);
/* Give the queues of @set their rings, and let bursts go on if the device is
 * started. */
void vhostpci_resume_queues(struct vhostpci_dev *dev,
			    struct vhostpci_queue_set set);
#endif
