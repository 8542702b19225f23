/* SPDX-License-Identifier: Apache-2.0 */

/* Which peers the vhost-pci devices of this machine have, whether they have
 * ports or not.  The main thread only. */

#ifndef NETDEV_VHOSTPCI_PEERS_H
#define NETDEV_VHOSTPCI_PEERS_H 1

#include "openvswitch/shash.h"
#include "rte_pmd_vhostpci.h"

struct netdev_class;

struct vhostpci_peer_device {
    char name[RTE_PMD_VHOSTPCI_NAME_LEN]; /* Empty: the peer has none. */
    char uuid[37];              /* As text; zeros: the peer has none. */
    uint32_t functions;         /* Bit f: it has a network device f. */
};

/* Brings 'devices', of struct vhostpci_peer_device by PCI address, up to date.
 * A device that has no port is attached for a moment when it is first seen, by
 * a port of 'base'; one that cannot be is looked at again when something
 * changes.  Returns false if there is one of which nothing is known. */
bool vhostpci_peers_look(const struct netdev_class *base,
                         struct shash *devices);

#endif /* netdev-vhostpci-peers.h */
