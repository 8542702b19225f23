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
/* ethdev: as vhostpci_pause_queues(), but after -ETIMEDOUT bursts go on as before:
 * nobody may come again, as the transport does for an adoption. Those that an
 * adoption left stopped stay so. */
int vhostpci_try_pause(struct vhostpci_dev *dev, struct vhostpci_queue_set set);
/* ethdev: before the first rule leads to the port: its own bursts take the locks
 * of the rings that they send to. 0, or -ETIMEDOUT: one may not do so yet. */
int vhostpci_share_rings(struct vhostpci_dev *dev);
/* ethdev, lock held: vhostpci_try_pause() for all queues. */
int vhostpci_pause_all(struct vhostpci_dev *dev);
/* ethdev, lock held, after vhostpci_pause_all(): give each queue its rings, and
 * let bursts go on if the device is started. */
void vhostpci_resume_all(struct vhostpci_dev *dev);

#endif
