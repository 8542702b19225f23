/* SPDX-License-Identifier: BSD-3-Clause */

/* The ethdev shell: the port as an application sees it. */

#ifndef VHOSTPCI_PORT_ETHDEV_H
#define VHOSTPCI_PORT_ETHDEV_H

#include <ethdev_driver.h>

extern const struct eth_dev_ops vhostpci_ops;

#endif
