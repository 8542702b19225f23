/* SPDX-License-Identifier: BSD-3-Clause */

/* The bursts of a port, as in struct rte_eth_dev. */

#ifndef VHOSTPCI_NET_RXTX_H
#define VHOSTPCI_NET_RXTX_H

#include <stdint.h>

struct rte_mbuf;

/* datapath: move up to @n packets between queue @rxq or @txq and @pkts. Return the
 * number of moved packets. The caller owns received packets; the burst frees sent
 * packets. */
uint16_t vhostpci_rx_burst(void *rxq, struct rte_mbuf **pkts, uint16_t n);
uint16_t vhostpci_tx_burst(void *txq, struct rte_mbuf **pkts, uint16_t n);

#endif
