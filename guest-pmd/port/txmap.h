/* SPDX-License-Identifier: BSD-3-Clause */

/* Which ring each tx queue sends to. The port's lock is held. */

#ifndef VHOSTPCI_PORT_TXMAP_H
#define VHOSTPCI_PORT_TXMAP_H

#include "port/port.h"

/* The tx queues that may not run while dev->peer becomes @peer, which has
 * another receive ring in each pair of @changed, by bit. */
uint64_t vhostpci_txmap_concerned(const struct vhostpci_dev *dev,
				  const struct vhostpci_peer *peer,
				  uint32_t changed);
/* With those stopped: give all tx queues their rings. Returns whether something
 * is left to vhostpci_txmap_settle(), once no burst is under way that began
 * before. */
bool vhostpci_txmap_assign(struct vhostpci_dev *dev);
/* Rings that tx queues send to now take their locks, in bursts to come. */
void vhostpci_txmap_share(struct vhostpci_dev *dev);
void vhostpci_txmap_settle(struct vhostpci_dev *dev);

#endif
