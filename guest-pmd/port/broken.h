/* SPDX-License-Identifier: BSD-3-Clause */

/* From the burst that finds a rule broken to control. */

#ifndef VHOSTPCI_PORT_BROKEN_H
#define VHOSTPCI_PORT_BROKEN_H

#include "port/port.h"

/* ethdev: from now on vhostpci_broken_signal() leads to
 * vhostpci_handle_broken(). 0 or -errno. */
int vhostpci_broken_attach(struct vhostpci_dev *dev);
/* ethdev: vhostpci_handle_broken() does not run for @dev and is not called any
 * more. Not from within it. */
void vhostpci_broken_detach(struct vhostpci_dev *dev);
/* ethdev: after a detach, when nobody signals any more. */
void vhostpci_broken_release(void);
/* datapath or control: a ring of @dev has broken. */
void vhostpci_broken_signal(struct vhostpci_dev *dev);

#endif
