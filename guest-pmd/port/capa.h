/* SPDX-License-Identifier: BSD-3-Clause */

/* What a port is able to do, for its peer and for its application. */

#ifndef VHOSTPCI_PORT_CAPA_H
#define VHOSTPCI_PORT_CAPA_H

#include "port/port.h"

/* Which unfinished packets the application takes: VHOSTPCI_OL_*. */
uint16_t vhostpci_taken_offloads(const struct vhostpci_dev *dev,
				 uint64_t rx_offloads);
/* ethdev, lock held, no burst runs: let the rings go by @taken. */
void vhostpci_set_taken(struct vhostpci_dev *dev, uint16_t taken);
/* ethdev: as the application configured it, frames of an MTU of @mtu, and none
 * longer, may come in several mbufs. */
void vhostpci_set_scatter(struct vhostpci_dev *dev, uint16_t mtu);
int vhostpci_infos_get(struct rte_eth_dev *eth_dev,
		       struct rte_eth_dev_info *info);

#endif
