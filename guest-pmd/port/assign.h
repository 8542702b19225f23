/* SPDX-License-Identifier: BSD-3-Clause */

/* Give queues their rings, and stop and start all queues. The caller holds the
 * port's lock. */

#ifndef VHOSTPCI_PORT_ASSIGN_H
#define VHOSTPCI_PORT_ASSIGN_H

#include "port/pause.h"

/* Give the queues of @set their rings, and let bursts continue if the device is
 * started. */
void vhostpci_resume_queues(struct vhostpci_dev *dev,
			    struct vhostpci_queue_set set);

/* ethdev: wait until every burst of an rx queue that has begun has ended; new bursts
 * may begin. Returns 0 or -ETIMEDOUT. */
int vhostpci_rx_bursts_end(struct vhostpci_dev *dev);
/* ethdev: like vhostpci_pause_queues(), but after -ETIMEDOUT bursts continue: the
 * transport repeats an adoption, but nobody may repeat this call. Queues that an
 * adoption left stopped stay stopped. */
int vhostpci_try_pause(struct vhostpci_dev *dev, struct vhostpci_queue_set set);
/* ethdev: call this before the first rule leads to the port: from then on the port's
 * own bursts take the locks of the rings that they send to. Returns 0, or -ETIMEDOUT
 * if a running burst may still lack the lock. */
int vhostpci_share_rings(struct vhostpci_dev *dev);
/* ethdev, lock held: vhostpci_try_pause() for all queues. */
int vhostpci_pause_all(struct vhostpci_dev *dev);
/* ethdev, lock held, after vhostpci_pause_all(): give each queue its rings, and
 * let bursts continue if the device is started. */
void vhostpci_resume_all(struct vhostpci_dev *dev);

#endif
