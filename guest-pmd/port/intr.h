/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Receive interrupts: a thread that has nothing to receive sleeps in epoll
 * until the peer kicks one of the rings of its queue.
 *
 * Each receive queue has an eventfd of our own in the ethdev's intr_handle, from
 * the first configuration with intr_conf.rxq to the port's close. On the socket
 * transport the peer's kick fds come and go with the peer and are hostile; only
 * the transport watches them (ops->kick_intr) and calls vhostpci_intr_kicked().
 * On the pci transport the kernel signals our eventfds when the device raises the
 * vectors of kicks (ops->kick_fds).
 *
 * An application that wakes up receives until nothing is left. It enables the
 * interrupt again before it sleeps, and the ring then asks for the next kick.
 */

#ifndef VHOSTPCI_PORT_INTR_H
#define VHOSTPCI_PORT_INTR_H

#include <stdbool.h>
#include <stdint.h>

struct rte_eth_dev;
struct vhostpci_dev;

/* ethdev, lock held: prepare interrupts for a new configuration. Returns 0 or
 * -errno. */
int vhostpci_intr_configure(struct vhostpci_dev *dev);
/* ethdev: free the interrupts; no interrupt comes any more. */
void vhostpci_intr_free(struct vhostpci_dev *dev);
/* control or ethdev, lock held: queue @q has new rings: ask them for kicks. */
void vhostpci_intr_rearm(struct vhostpci_dev *dev, unsigned int q);
/* control or ethdev, lock held: wake queue @q, if its interrupt is enabled. */
void vhostpci_intr_fire(struct vhostpci_dev *dev, unsigned int q);

/* eth_dev_ops */
int vhostpci_rx_intr_enable(struct rte_eth_dev *eth_dev, uint16_t q);
int vhostpci_rx_intr_disable(struct rte_eth_dev *eth_dev, uint16_t q);

#endif
