/* SPDX-License-Identifier: BSD-3-Clause */

/* A port's flow rules, and the port as a destination of rules. */

#ifndef VHOSTPCI_PORT_FLOW_H
#define VHOSTPCI_PORT_FLOW_H

#include <rte_flow_driver.h>

#include "flow/rule.h"
#include "port/port.h"

/* What the rules of @dev know of ports. */
struct vhostpci_flow_env vhostpci_flow_env(struct vhostpci_dev *dev);
/* Before the port may be used: 0 or -errno. */
int vhostpci_flow_attach(struct vhostpci_dev *dev);
/* The port is complete: rules may lead to it from now on; */
void vhostpci_flow_list(struct vhostpci_dev *dev);
/* no new rule does any more. */
void vhostpci_flow_unlist(struct vhostpci_dev *dev);
/* No burst runs, and none will: destroy the rules. Also after a failed attach.
 */
void vhostpci_flow_detach(struct vhostpci_dev *dev);
/* Lock held: a new rx queue. */
void vhostpci_flow_queue(struct vhostpci_dev *dev,
			 struct vhostpci_queue *queue);
/* ethdev: may rules move packets from the port or to it? 0 or -errno. */
int vhostpci_flow_allow(struct vhostpci_dev *dev, bool on);
/* As in struct eth_dev_ops. */
int vhostpci_flow_negotiate(struct rte_eth_dev *eth_dev, uint64_t *features);
int vhostpci_flow_ops_get(struct rte_eth_dev *eth_dev,
			  const struct rte_flow_ops **ops);

#endif
