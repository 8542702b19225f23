/* SPDX-License-Identifier: BSD-3-Clause */

/* Which rings the bursts of a queue find; stopping and starting all of them. The
 * port's lock is held. */

#ifndef VHOSTPCI_PORT_ASSIGN_H
#define VHOSTPCI_PORT_ASSIGN_H

#include "port/pause.h"

/* Give the queues of @set their rings, and let bursts go on if the device is
 * started. */
void vhostpci_resume_queues(struct vhostpci_dev *dev,
			    struct vhostpci_queue_set set);

/* ethdev: every burst of an rx queue that had begun has ended; bursts go on. 0
 * or -ETIMEDOUT. */
int vhostpci_rx_bursts_end(struct vhostpci_dev *dev);
/* ethdev, lock held: no burst uses any queue any more. 0, or -ETIMEDOUT and
 * bursts go on as before. */
int vhostpci_pause_all(struct vhostpci_dev *dev);
/* ethdev, lock held, after vhostpci_pause_all(): give each queue its rings, and
 * let bursts go on if the device is started. */
void vhostpci_resume_all(struct vhostpci_dev *dev);

#endif
