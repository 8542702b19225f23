/* SPDX-License-Identifier: Apache-2.0 */

/* Finds the peers of all vhost-pci devices of this machine, whether the
 * devices have ports or not.  The main thread only. */

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

/* Brings 'devices' up to date, a map from PCI address to struct
 * vhostpci_peer_device.  When this sees a device without a port for the first
 * time, a port of 'base' attaches the device for a moment.  If that fails,
 * this looks at the device again when something changes.  Returns false if the
 * peer of some device is still unknown. */
bool vhostpci_peers_look(const struct netdev_class *base,
                         struct shash *devices);

#endif /* netdev-vhostpci-peers.h */
