/* SPDX-License-Identifier: BSD-3-Clause */

/* The port's link. */

#ifndef VHOSTPCI_PORT_LINK_H
#define VHOSTPCI_PORT_LINK_H

#include "port/port.h"

void vhostpci_link_init(struct vhostpci_dev *dev);
/* Lock not held; nothing updates the link any more, or closed is set. */
void vhostpci_link_fini(struct vhostpci_dev *dev);
/* Lock held: set the ethdev's link from what is known; returns whether it
 * changed, and then the caller raises LSC with vhostpci_raise() after it
 * unlocked. A link that comes up too often does so later, by itself. */
bool vhostpci_update_link(struct vhostpci_dev *dev);
/* Lock held: which rings run has changed; returns whether the caller raises
 * QUEUE_STATE after it unlocked. Where that is too often, it is raised later. */
bool vhostpci_queues_changed(struct vhostpci_dev *dev);
void vhostpci_raise(struct vhostpci_dev *dev, enum rte_eth_event_type event);

#endif
