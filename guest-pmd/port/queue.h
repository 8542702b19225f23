/* SPDX-License-Identifier: BSD-3-Clause */

/* The ethdev's queues, as in struct eth_dev_ops. */

#ifndef VHOSTPCI_PORT_QUEUE_H
#define VHOSTPCI_PORT_QUEUE_H

#include "port/port.h"

int vhostpci_rx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			    uint16_t n_desc, unsigned int socket_id,
			    const struct rte_eth_rxconf *conf,
			    struct rte_mempool *mp);
int vhostpci_tx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			    uint16_t n_desc, unsigned int socket_id,
			    const struct rte_eth_txconf *conf);
void vhostpci_rx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id);
void vhostpci_tx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id);
/* The application configures the port again, and will then set up its queues: mark
 * the present queues as old. */
void vhostpci_rx_queues_old(struct rte_eth_dev *eth_dev);
/* Can the port receive frames of an MTU of @mtu? If not, logs why and returns
 * -EINVAL. @old: check queues of an earlier configuration, too. */
int vhostpci_check_mtu(struct rte_eth_dev *eth_dev, uint16_t mtu, bool old);
void vhostpci_rxq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_rxq_info *info);
void vhostpci_txq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_txq_info *info);
int vhostpci_rx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			       struct rte_eth_burst_mode *mode);
int vhostpci_tx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			       struct rte_eth_burst_mode *mode);

/* datapath, like a burst: how many of the peer's packets wait in queue @rxq (the
 * first function counts up to a bound); whether more than @offset wait. */
uint32_t vhostpci_rx_queue_count(void *rxq);
int vhostpci_rx_descriptor_status(void *rxq, uint16_t offset);

#endif
