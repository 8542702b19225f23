/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-peers.h. */

#include <config.h>
#include "netdev-vhostpci-peers.h"

#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_uuid.h>

#include "netdev-dpdk.h"
#include "netdev-provider.h"
#include "netdev-vhostpci-find.h"
#include "netdev-vhostpci-pmd.h"
#include "netdev-vhostpci-retry.h"
#include "netdev-vhostpci-sysfs.h"
#include "smap.h"
#include "svec.h"
#include "util.h"

/* Asks a port of the driver on the device at 'address' about the peer.
 * Returns false if there is no such port. */
static bool
look_at_port(const char *address, struct vhostpci_peer_device *found)
{
    uint16_t port_id;

    RTE_ETH_FOREACH_DEV (port_id) {
        struct rte_pmd_vhostpci_info info;
        const char *device;

        if (vhostpci_pmd_port_device(port_id, &info, &device)
            && !strcmp(device, address)) {
            ovs_strlcpy(found->name, info.peer_name, sizeof found->name);
            rte_uuid_unparse(info.peer_uuid, found->uuid, sizeof found->uuid);
            found->functions = info.functions;
            return true;
        }
    }
    return false;
}

/* Attaches the device at 'address', asks about the peer, and detaches the
 * device. */
static bool
look_at_device(const struct netdev_class *base, const char *address,
               struct vhostpci_peer_device *found)
{
    /* No interface of a bridge can have this name. */
    const char *name = "vhostpci/look";
    struct netdev *netdev;
    struct smap args;
    char *err = NULL;
    bool ok;

    if (netdev_open(name, base->type, &netdev)) {
        return false;
    }
    smap_init(&args);
    ok = (!vhostpci_base_set_config(base, netdev, &args, address, &err)
          && look_at_port(address, found));
    smap_destroy(&args);
    free(err);
    netdev_close(netdev);
    return ok;
}

static void
forget_gone(const struct svec *addresses, struct shash *devices)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, devices) {
        if (!svec_contains(addresses, node->name)) {
            free(node->data);
            shash_delete(devices, node);
        }
    }
}

/* If no port of the device exists, keeps what is known of the device: the name
 * of its peer does not change. */
static bool
look_at(const struct netdev_class *base, const char *address, bool again,
        struct shash *devices)
{
    struct vhostpci_peer_device *known = shash_find_data(devices, address);
    struct vhostpci_peer_device found;

    memset(&found, 0, sizeof found);
    if (!look_at_port(address, &found)) {
        char *obstacle;

        if (known || !again) {
            return known != NULL;
        }
        obstacle = vhostpci_sysfs_obstacle(address);
        if (obstacle) {
            free(obstacle);
            return false;
        }
        if (!look_at_device(base, address, &found)) {
            return false;
        }
    }
    if (!known) {
        known = xzalloc(sizeof *known);
        shash_add(devices, address, known);
    }
    *known = found;
    return true;
}

bool
vhostpci_peers_look(const struct netdev_class *base, struct shash *devices)
{
    static bool looked;
    static uint32_t last;
    struct svec addresses = SVEC_EMPTY_INITIALIZER;
    uint32_t now = vhostpci_retry_devices();
    bool again = !looked || now != last;
    bool all_known = true;
    const char *address;
    size_t i;

    looked = true;
    last = now;
    vhostpci_sysfs_list(&addresses);
    forget_gone(&addresses, devices);
    SVEC_FOR_EACH (i, address, &addresses) {
        all_known &= look_at(base, address, again, devices);
    }
    svec_destroy(&addresses);
    return all_known;
}
