/* SPDX-License-Identifier: BSD-3-Clause */

/* Adopting what the transport says: vhostpci_peer_adopt() in port/attach.h. */

#ifndef VHOSTPCI_PORT_PEER_H
#define VHOSTPCI_PORT_PEER_H

#include "port/port.h"

/* As vhostpci_peer_moved(), with the port's lock held. */
bool vhostpci_any_moved(const struct vhostpci_dev *dev);
/* EAL interrupt thread: report rings that broke. */
void vhostpci_handle_broken(struct vhostpci_dev *dev);

#endif
