/* SPDX-License-Identifier: BSD-3-Clause */

/* Adopting what the transport says: vhostpci_peer_adopt() in port/attach.h. */

#ifndef VHOSTPCI_PORT_PEER_H
#define VHOSTPCI_PORT_PEER_H

#include "port/port.h"

/* EAL interrupt thread: report rings that broke. */
void vhostpci_handle_broken(struct vhostpci_dev *dev);

#endif
