/* SPDX-License-Identifier: BSD-3-Clause */

/* The ring that each tx queue sends to. The caller holds the port's lock. */

#ifndef VHOSTPCI_PORT_TXMAP_H
#define VHOSTPCI_PORT_TXMAP_H

#include "port/port.h"

/* The tx queues that must not run while dev->peer becomes @peer. @changed: pairs, by
 * bit, whose receive ring changes. */
uint64_t vhostpci_txmap_concerned(const struct vhostpci_dev *dev,
				  const struct vhostpci_peer *peer,
				  uint32_t changed);
/* Give all tx queues their rings; the concerned queues are stopped. Returns true if
 * the caller must call vhostpci_txmap_settle() once all bursts have ended that began
 * before this call. */
bool vhostpci_txmap_assign(struct vhostpci_dev *dev);
/* From the next burst on, tx queues take the locks of their rings. */
void vhostpci_txmap_share(struct vhostpci_dev *dev);
void vhostpci_txmap_settle(struct vhostpci_dev *dev);

#endif
