/* SPDX-License-Identifier: BSD-3-Clause */

/* The capabilities of a port, for its peer and for its application. */

#ifndef VHOSTPCI_PORT_CAPA_H
#define VHOSTPCI_PORT_CAPA_H

#include "port/port.h"

/* Which unfinished packets the application takes: VHOSTPCI_OL_*. */
uint16_t vhostpci_taken_offloads(const struct vhostpci_dev *dev,
				 uint64_t rx_offloads);
/* ethdev, lock held, no burst runs: give the rings @taken, of
 * vhostpci_taken_offloads(). */
void vhostpci_set_taken(struct vhostpci_dev *dev, uint16_t taken);
/* ethdev: if the application enabled scatter, the port receives frames up to an MTU
 * of @mtu, and no longer ones, in several mbufs. */
void vhostpci_set_scatter(struct vhostpci_dev *dev, uint16_t mtu);
int vhostpci_infos_get(struct rte_eth_dev *eth_dev,
		       struct rte_eth_dev_info *info);

#endif
