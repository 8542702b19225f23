/* SPDX-License-Identifier: BSD-3-Clause */

/* The ethdev shell: the port as an application sees it. */

#ifndef VHOSTPCI_PORT_ETHDEV_H
#define VHOSTPCI_PORT_ETHDEV_H

#include <ethdev_driver.h>

struct vhostpci_dev;

extern const struct eth_dev_ops vhostpci_ops;

/* Any thread: the port with that number. 0; -ENODEV: there is none; -ENOTSUP: it
 * is another driver's. */
int vhostpci_port_of(uint16_t port_id, struct vhostpci_dev **dev);

#endif
