/* SPDX-License-Identifier: BSD-3-Clause */

/* Statistics, as in struct eth_dev_ops. The functions take the lock themselves. */

#ifndef VHOSTPCI_PORT_STATS_H
#define VHOSTPCI_PORT_STATS_H

#include "port/port.h"

int vhostpci_stats_get(struct rte_eth_dev *eth_dev, struct rte_eth_stats *s);
int vhostpci_stats_reset(struct rte_eth_dev *eth_dev);
int vhostpci_xstats_get(struct rte_eth_dev *eth_dev, struct rte_eth_xstat *x,
			unsigned int n);
int vhostpci_xstats_get_names(struct rte_eth_dev *eth_dev,
			      struct rte_eth_xstat_name *names,
			      unsigned int n);

#endif
