/* SPDX-License-Identifier: Apache-2.0 */

/* What users see of a port: the status column, vhostpci/show and
 * vhostpci/flows. */

#ifndef NETDEV_VHOSTPCI_SHOW_H
#define NETDEV_VHOSTPCI_SHOW_H 1

struct netdev_class;
struct rte_pmd_vhostpci_info;
struct smap;

void vhostpci_show_status(const struct rte_pmd_vhostpci_info *, struct smap *);

/* Registers the commands, for the ports of 'class'. */
void vhostpci_show_register(const struct netdev_class *class);

#endif /* netdev-vhostpci-show.h */
