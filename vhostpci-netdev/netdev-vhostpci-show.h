/* SPDX-License-Identifier: Apache-2.0 */

/* Shows a port to users: the status column, vhostpci/show, vhostpci/flows, and
 * the port's own statistics. */

#ifndef NETDEV_VHOSTPCI_SHOW_H
#define NETDEV_VHOSTPCI_SHOW_H 1

struct netdev_class;
struct netdev_custom_stats;
struct rte_pmd_vhostpci_info;
struct smap;

void vhostpci_show_status(const struct rte_pmd_vhostpci_info *, struct smap *);

/* Adds the counters that vhost-user ports have and other DPDK ports lack: the
 * counters of the queues of 'n_pairs' pairs, and how often the driver looked
 * again for room.  Keeps counters that have these names already. */
void vhostpci_show_custom_stats(int port_id, int n_pairs,
                                struct netdev_custom_stats *);

/* Registers the commands, for the ports of 'class'. */
void vhostpci_show_register(const struct netdev_class *class);

#endif /* netdev-vhostpci-show.h */
