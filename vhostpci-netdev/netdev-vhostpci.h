/* SPDX-License-Identifier: Apache-2.0 */

/* The "vhostpci" class of network devices.  The other end of such a port is
 * the virtio-net device of another VM; DPDK's net_vpci driver reaches it
 * through a vhost-pci device or a vhost-user socket.
 *
 * The class is a copy of the "dpdk" class with a few callbacks replaced; the
 * datapath of the base class is unchanged.  The class consists of these files:
 *
 *     netdev-vhostpci.c        the class: options, life cycle, events, status
 *     netdev-vhostpci-find.c   finds the device that serves a port
 *     netdev-vhostpci-sysfs.c  PCI devices as the kernel shows them
 *     netdev-vhostpci-pmd.c    the driver, a plugin that EAL has loaded
 *     netdev-vhostpci-queues.c queues and memory, which follow from the peer
 *     netdev-vhostpci-retry.c  decides when a failed port is tried again
 *     netdev-vhostpci-auto.c   adds and removes ports automatically
 *     netdev-vhostpci-peers.c  finds the peers, for automatic ports
 *     netdev-vhostpci-show.c   ovs-appctl vhostpci/show and vhostpci/flows
 */

#ifndef NETDEV_VHOSTPCI_H
#define NETDEV_VHOSTPCI_H 1

#include <stdbool.h>
#include <stdint.h>

struct svec;

/* Adds arguments that keep rte_eal_init() from attaching the vhost-pci devices
 * that it finds.  A device that rte_eal_init() attaches stays attached when
 * its port is removed, and a device without a port must stay free for other
 * programs.  Does nothing if 'args' list the devices to attach. */
void netdev_vhostpci_add_eal_args(struct svec *args);

/* Returns true if 'devargs' name a vhost-pci device that has ports.  DPDK
 * confuses the ports of one device, so this selects the port by ",function=N"
 * (0 by default) and sets '*port_id' to the port of that function, or to
 * RTE_MAX_ETHPORTS if the function is not attached. */
bool netdev_vhostpci_find_port(const char *devargs, uint16_t *port_id);

/* Registers the class.  Call once, after DPDK has been initialized and its
 * classes have been registered. */
void netdev_vhostpci_register(void);

#endif /* netdev-vhostpci.h */
