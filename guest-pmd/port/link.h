/* SPDX-License-Identifier: BSD-3-Clause */

/* The port's link. */

#ifndef VHOSTPCI_PORT_LINK_H
#define VHOSTPCI_PORT_LINK_H

#include "port/port.h"

void vhostpci_link_init(struct vhostpci_dev *dev);
/* Lock not held. Nothing updates the link any more, or closed is set. */
void vhostpci_link_fini(struct vhostpci_dev *dev);
/* Lock held: set the ethdev's link from the state of the port. Returns true if the
 * link changed: the caller must unlock and then raise LSC with vhostpci_raise(). If
 * the link comes up too often, an alarm brings it up later. */
bool vhostpci_update_link(struct vhostpci_dev *dev);
/* Lock held: the set of running rings has changed. Returns true if the caller must
 * unlock and then raise QUEUE_STATE. If that is too often, an alarm raises it
 * later. */
bool vhostpci_queues_changed(struct vhostpci_dev *dev);
void vhostpci_raise(struct vhostpci_dev *dev, enum rte_eth_event_type event);

#endif
