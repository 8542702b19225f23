/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-show.h. */

#include <config.h>
#include "netdev-vhostpci-show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "netdev-dpdk.h"
#include "netdev-provider.h"
#include "netdev-vhostpci-pmd.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "smap.h"
#include "unixctl.h"
#include "util.h"

/* Why the link is as it is. */
static const char *
link_reason(const struct rte_pmd_vhostpci_info *info)
{
    return (info->link_up ? "the peer's driver runs"
            : !info->connected ? "no peer is connected"
            : info->broken_rings ? "the peer broke a rule"
            : "the peer's driver does not run");
}

/* The UUID in RFC 4122's text form; empty if unknown. */
static void
format_uuid(const uint8_t uuid[16], struct ds *ds)
{
    static const uint8_t unknown[16];

    if (!memcmp(uuid, unknown, sizeof unknown)) {
        return;
    }
    for (int i = 0; i < 16; i++) {
        ds_put_format(ds, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                      uuid[i]);
    }
}

void
vhostpci_show_status(const struct rte_pmd_vhostpci_info *info,
                     struct smap *status)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (info->peer_name[0]) {
        smap_add(status, "peer", info->peer_name);
    }
    format_uuid(info->peer_uuid, &ds);
    if (ds.length) {
        smap_add(status, "peer-uuid", ds_cstr(&ds));
    }
    smap_add(status, "peer-connected", info->connected ? "true" : "false");
    smap_add(status, "link-reason", link_reason(info));
    smap_add(status, "transport", info->transport);
    smap_add(status, "window", info->window);
    smap_add_format(status, "max-queue-pairs", "%"PRIu16,
                    info->max_queue_pairs);
    smap_add_format(status, "rx-rings", "%"PRIu16, info->rx_rings);
    smap_add_format(status, "tx-rings", "%"PRIu16, info->tx_rings);
    if (info->connected) {
        smap_add_format(status, "peer-memory", "%"PRIu64, info->mem_size);
        smap_add_format(status, "peer-memory-regions", "%"PRIu16,
                        info->n_regions);
        smap_add_format(status, "peer-features", "0x%"PRIx64, info->features);
        ds_clear(&ds);
        vhostpci_pmd_format_features(info->features, &ds);
        smap_add(status, "peer-feature-names", ds_cstr(&ds));
    }
    if (info->ring_size) {
        smap_add_format(status, "ring-size", "%"PRIu16, info->ring_size);
    }
    if (info->peer_mtu) {
        smap_add_format(status, "peer-mtu", "%"PRIu16, info->peer_mtu);
    }
    smap_add_format(status, "violations", "%"PRIu64, info->violations);
    smap_add_format(status, "broken-rings", "%"PRIu16, info->broken_rings);
    if (info->broken_rule[0]) {
        smap_add(status, "broken-rule", info->broken_rule);
    }
    ds_destroy(&ds);
}

/* vhostpci/show. */

static void
show_peer(const struct rte_pmd_vhostpci_info *info, struct ds *ds)
{
    ds_put_format(ds, "    peer: %s, %s",
                  info->peer_name[0] ? info->peer_name : "(unnamed)",
                  info->connected ? "connected" : "not connected");
    ds_put_cstr(ds, "\n    link: ");
    ds_put_format(ds, "%s (%s)\n", info->link_up ? "up" : "down",
                  link_reason(info));
    if (info->connected) {
        ds_put_format(ds, "    memory: %.1f MiB in %"PRIu16" region%s, "
                      "mapped %s\n", info->mem_size / 1048576.0,
                      info->n_regions, info->n_regions == 1 ? "" : "s",
                      info->window);
        ds_put_format(ds, "    features: 0x%"PRIx64": ", info->features);
        vhostpci_pmd_format_features(info->features, ds);
        ds_put_char(ds, '\n');
    }
    ds_put_format(ds, "    offered features: 0x%"PRIx64": ",
                  info->offered_features);
    vhostpci_pmd_format_features(info->offered_features, ds);
    ds_put_format(ds, "\n    rings: %"PRIu16" rx and %"PRIu16" tx running",
                  info->rx_rings, info->tx_rings);
    if (info->ring_size) {
        ds_put_format(ds, ", %"PRIu16" entries", info->ring_size);
    }
    ds_put_format(ds, ", up to %"PRIu16" queue pair%s\n",
                  info->max_queue_pairs,
                  info->max_queue_pairs == 1 ? "" : "s");
    if (info->peer_mtu) {
        ds_put_format(ds, "    peer's MTU: %"PRIu16"\n", info->peer_mtu);
    }
    ds_put_format(ds, "    violations: %"PRIu64, info->violations);
    if (info->broken_rule[0]) {
        ds_put_format(ds, ", the last: %s; %"PRIu16" ring%s stopped",
                      info->broken_rule, info->broken_rings,
                      info->broken_rings == 1 ? " is" : "s are");
    }
    ds_put_char(ds, '\n');
}

/* The driver's extended statistics, those that have counted anything. */
static void
show_counters(uint16_t port_id, struct ds *ds)
{
    int n = rte_eth_xstats_get_names(port_id, NULL, 0);
    struct rte_eth_xstat_name *names;
    struct rte_eth_xstat *values;

    if (n <= 0) {
        return;
    }
    names = xcalloc(n, sizeof *names);
    values = xcalloc(n, sizeof *values);
    ds_put_cstr(ds, "    counters (those not zero):\n");
    if (rte_eth_xstats_get_names(port_id, names, n) == n
        && rte_eth_xstats_get(port_id, values, n) == n) {
        for (int i = 0; i < n; i++) {
            if (values[i].value && values[i].id < n) {
                ds_put_format(ds, "        %s: %"PRIu64"\n",
                              names[values[i].id].name, values[i].value);
            }
        }
    }
    free(values);
    free(names);
}

static void
show_port(struct netdev *netdev, struct ds *ds)
{
    int port_id = netdev_dpdk_get_port_id(netdev);
    struct rte_pmd_vhostpci_info info;
    struct rte_eth_dev_info dev_info;

    ds_put_format(ds, "%s:", netdev_get_name(netdev));
    if (vhostpci_pmd_info(port_id, &info)
        || rte_eth_dev_info_get(port_id, &dev_info)) {
        ds_put_cstr(ds, " no device\n");
        return;
    }
    ds_put_format(ds, " device %s, DPDK port %d, %s transport\n",
                  rte_dev_name(dev_info.device), port_id, info.transport);
    show_peer(&info, ds);
    show_counters(port_id, ds);
}

static void
vhostpci_show(struct unixctl_conn *conn, int argc, const char *argv[],
              void *class_)
{
    const struct netdev_class *class = class_;
    struct shash devices = SHASH_INITIALIZER(&devices);
    const struct shash_node **nodes;
    struct ds ds = DS_EMPTY_INITIALIZER;
    bool found = false;

    netdev_get_devices(class, &devices);
    nodes = shash_sort(&devices);
    for (size_t i = 0; i < shash_count(&devices); i++) {
        struct netdev *netdev = nodes[i]->data;

        if (argc < 2 || !strcmp(argv[1], nodes[i]->name)) {
            show_port(netdev, &ds);
            found = true;
        }
        netdev_close(netdev);
    }
    free(nodes);
    shash_destroy(&devices);

    if (argc > 1 && !found) {
        ds_put_format(&ds, "no vhostpci port is named '%s'", argv[1]);
        unixctl_command_reply_error(conn, ds_cstr(&ds));
    } else {
        unixctl_command_reply(conn, ds_cstr(&ds));
    }
    ds_destroy(&ds);
}

void
vhostpci_show_register(const struct netdev_class *class)
{
    unixctl_command_register("vhostpci/show", "[port]", 0, 1, vhostpci_show,
                             CONST_CAST(struct netdev_class *, class));
}
