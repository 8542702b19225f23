/* SPDX-License-Identifier: BSD-3-Clause */

/* The ethdev operations: the port as an application sees it. */

#ifndef VHOSTPCI_PORT_ETHDEV_H
#define VHOSTPCI_PORT_ETHDEV_H

#include <ethdev_driver.h>

struct vhostpci_dev;

extern const struct eth_dev_ops vhostpci_ops;

/* Any thread: set *@dev to the port with the number @port_id. Returns 0; -ENODEV: no
 * such port; -ENOTSUP: a port of another driver. */
int vhostpci_port_of(uint16_t port_id, struct vhostpci_dev **dev);

#endif
