/* SPDX-License-Identifier: BSD-3-Clause */

/* Adopt the peer's state from the transport: vhostpci_peer_adopt() is in
 * port/attach.h. */

#ifndef VHOSTPCI_PORT_PEER_H
#define VHOSTPCI_PORT_PEER_H

#include "port/port.h"

/* As vhostpci_peer_moved(), with the port's lock held. */
bool vhostpci_any_moved(const struct vhostpci_dev *dev);
/* EAL interrupt thread: report broken rings. */
void vhostpci_handle_broken(struct vhostpci_dev *dev);

#endif
