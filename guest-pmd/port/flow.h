/* SPDX-License-Identifier: BSD-3-Clause */

/* A port's flow rules, and the port as a destination of rules. */

#ifndef VHOSTPCI_PORT_FLOW_H
#define VHOSTPCI_PORT_FLOW_H

#include <rte_flow_driver.h>

#include "flow/rule.h"
#include "port/port.h"

/* The functions by which the rules of @dev refer to ports. */
struct vhostpci_flow_env vhostpci_flow_env(struct vhostpci_dev *dev);
/* Call this before the port may be used. Returns 0 or -errno. */
int vhostpci_flow_attach(struct vhostpci_dev *dev);
/* The port is complete: rules may lead to the port from now on. */
void vhostpci_flow_list(struct vhostpci_dev *dev);
/* From now on no new rule may lead to the port. */
void vhostpci_flow_unlist(struct vhostpci_dev *dev);
/* No burst runs, and none will run: destroy the rules. Call this after a failed
 * attach, too. */
void vhostpci_flow_detach(struct vhostpci_dev *dev);
/* Lock held: give a new rx queue its rules. */
void vhostpci_flow_queue(struct vhostpci_dev *dev,
			 struct vhostpci_queue *queue);
/* ethdev: set whether rules may move packets from or to the port. Returns 0 or
 * -errno. */
int vhostpci_flow_allow(struct vhostpci_dev *dev, bool on);
/* As in struct eth_dev_ops. */
int vhostpci_flow_negotiate(struct rte_eth_dev *eth_dev, uint64_t *features);
int vhostpci_flow_ops_get(struct rte_eth_dev *eth_dev,
			  const struct rte_flow_ops **ops);

#endif
