/* SPDX-License-Identifier: BSD-3-Clause */

/* Tells control of a ring in which a burst found a broken rule. */

#ifndef VHOSTPCI_PORT_BROKEN_H
#define VHOSTPCI_PORT_BROKEN_H

#include "port/port.h"

/* ethdev: from now on vhostpci_broken_signal() makes the interrupt thread call
 * vhostpci_handle_broken(). Returns 0 or -errno. */
int vhostpci_broken_attach(struct vhostpci_dev *dev);
/* ethdev: after this, vhostpci_handle_broken() neither runs nor starts for @dev. Do
 * not call this from vhostpci_handle_broken(). */
void vhostpci_broken_detach(struct vhostpci_dev *dev);
/* ethdev: call this after a detach, when no thread signals any more. */
void vhostpci_broken_release(void);
/* datapath or control: a ring of @dev has broken. */
void vhostpci_broken_signal(struct vhostpci_dev *dev);

#endif
