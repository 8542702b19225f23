/* SPDX-License-Identifier: Apache-2.0 */

/* The "vhostpci" class of network devices: ports whose other end is the
 * virtio-net device of another VM, reached through a vhost-pci device (or a
 * vhost-user socket) by DPDK's net_vpci driver.
 *
 * The class is a copy of the "dpdk" class with a few callbacks replaced: the
 * datapath is the base class's, untouched.  What is added:
 *
 *     netdev-vhostpci.c        the class: options, life cycle, events, status
 *     netdev-vhostpci-find.c   which device serves a port; what is wrong
 *     netdev-vhostpci-sysfs.c  PCI devices as the kernel shows them
 *     netdev-vhostpci-pmd.c    the driver, a plugin that EAL has loaded
 *     netdev-vhostpci-queues.c what follows from the peer: queues, memory
 *     netdev-vhostpci-retry.c  when a port that failed is tried again
 *     netdev-vhostpci-auto.c   ports by themselves
 *     netdev-vhostpci-peers.c  which peers there are, for those
 *     netdev-vhostpci-show.c   ovs-appctl vhostpci/show and vhostpci/flows
 */

#ifndef NETDEV_VHOSTPCI_H
#define NETDEV_VHOSTPCI_H 1

#include <stdbool.h>
#include <stdint.h>

struct svec;

/* Adds to the arguments of rte_eal_init() what keeps it from attaching the
 * vhost-pci devices that it finds: what it attaches, no port's end detaches,
 * and a device that is no port's stays free for others.  Does nothing if the
 * arguments list the devices to attach. */
void netdev_vhostpci_add_eal_args(struct svec *args);

/* Whether 'devargs' name a vhost-pci device that has ports.  DPDK itself takes
 * them for one another, so this tells them apart by ",function=N" (0 unless
 * given): '*port_id' is the port of that function, or RTE_MAX_ETHPORTS if it
 * is not attached. */
bool netdev_vhostpci_find_port(const char *devargs, uint16_t *port_id);

/* Registers the class.  Call once, after DPDK has been initialized and its
 * classes have been registered. */
void netdev_vhostpci_register(void);

#endif /* netdev-vhostpci.h */
