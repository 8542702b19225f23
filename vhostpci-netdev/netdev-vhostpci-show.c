/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-show.h. */

#include <config.h>
#include "netdev-vhostpci-show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
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

/* Returns the reason for the state of the link. */
static const char *
link_reason(const struct rte_pmd_vhostpci_info *info)
{
    return (info->revoked
            ? "the peer's memory was taken away: this VM answered too late"
            : info->link_up && info->unshared
            ? "the peer's guest does not use the memory that was sent: is it "
              "shared (share=on)?"
            : info->link_up ? "the peer's driver runs"
            : !info->connected ? "no peer is connected"
            : info->broken_rings ? "the peer broke a rule"
            : "the peer's driver does not run");
}

/* Adds the UUID in the text form of RFC 4122, or nothing if it is unknown. */
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
    smap_add_format(status, "peer-function", "%"PRIu16, info->function);
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
    smap_add_format(status, "revocations", "%"PRIu64, info->revocations);
    if (info->broken_rule[0]) {
        smap_add(status, "broken-rule", info->broken_rule);
    }
    ds_destroy(&ds);
}

/* vhostpci/show. */

static void
show_misfortunes(const struct rte_pmd_vhostpci_info *info, struct ds *ds)
{
    ds_put_format(ds, "    violations: %"PRIu64, info->violations);
    if (info->broken_rule[0]) {
        ds_put_format(ds, ", the last: %s; %"PRIu16" ring%s stopped",
                      info->broken_rule, info->broken_rings,
                      info->broken_rings == 1 ? " is" : "s are");
    }
    if (info->revocations) {
        ds_put_format(ds, "\n    revocations: %"PRIu64, info->revocations);
    }
    ds_put_char(ds, '\n');
}

static void
show_peer(const struct rte_pmd_vhostpci_info *info, struct ds *ds)
{
    ds_put_format(ds, "    peer: %s",
                  info->peer_name[0] ? info->peer_name : "(unnamed)");
    if (info->function) {
        ds_put_format(ds, "/%"PRIu16, info->function);
    }
    ds_put_cstr(ds, info->connected ? ", connected" : ", not connected");
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
    show_misfortunes(info, ds);
}

/* Adds those of the driver's extended statistics that are not zero. */
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
show_port(struct netdev *netdev, const struct shash *devices OVS_UNUSED,
          struct ds *ds)
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

/* vhostpci/flows. */

/* Adds the name of the port of 'devices' whose DPDK device is named, or
 * numbered, 'device'. */
static void
put_port_name(const struct shash *devices, const char *device, struct ds *ds)
{
    struct shash_node *node;
    uint16_t id;
    int port_id;

    if (!str_to_int(device, 10, &port_id)) {
        port_id = rte_eth_dev_get_port_by_name(device, &id) ? -1 : id;
    }
    SHASH_FOR_EACH (node, devices) {
        if (port_id >= 0 && netdev_dpdk_get_port_id(node->data) == port_id) {
            ds_put_format(ds, "(%s)", node->name);
            return;
        }
    }
}

/* Adds 'actions' in the driver's words, with the name of the port after each
 * "output:DEVICE". */
static void
put_actions(const struct shash *devices, const char *actions, struct ds *ds)
{
    static const char output[] = "output:";
    const char *p = actions;

    while (*p) {
        size_t len = strcspn(p, ", ");

        ds_put_buffer(ds, p, len);
        if (len >= sizeof output && !strncmp(p, output, strlen(output))) {
            char *device = xmemdup0(p + strlen(output), len - strlen(output));

            put_port_name(devices, device, ds);
            free(device);
        }
        p += len;
        len = strspn(p, ", ");
        ds_put_buffer(ds, p, len);
        p += len;
    }
}

static void
show_flows(struct netdev *netdev, const struct shash *devices, struct ds *ds)
{
    struct rte_pmd_vhostpci_flow *flows;
    size_t n;
    int error = vhostpci_pmd_flows(netdev_dpdk_get_port_id(netdev), &flows,
                                   &n);

    ds_put_format(ds, "%s:", netdev_get_name(netdev));
    if (error) {
        ds_put_format(ds, " %s\n",
                      error == EOPNOTSUPP ? "the driver offloads no flows"
                      : error == ENODEV ? "no device"
                      : ovs_strerror(error));
        return;
    }
    ds_put_format(ds, " %"PRIuSIZE" flow%s\n", n, n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        const struct rte_pmd_vhostpci_flow *flow = &flows[i];

        ds_put_format(ds, "    %s\n        packets: %"PRIu64", bytes: %"PRIu64
                      ", last: %"PRIu64".%03"PRIu64" s ago\n        actions: ",
                      flow->match, flow->hits, flow->bytes,
                      flow->age_ms / 1000, flow->age_ms % 1000);
        put_actions(devices, flow->actions, ds);
        ds_put_char(ds, '\n');
    }
    free(flows);
}

/* Commands. */

typedef void show_func(struct netdev *, const struct shash *devices,
                       struct ds *);

static const struct netdev_class *shown_class;

static void
vhostpci_command(struct unixctl_conn *conn, int argc, const char *argv[],
                 show_func *show)
{
    struct shash devices = SHASH_INITIALIZER(&devices);
    const struct shash_node **nodes;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct shash_node *node;
    bool found = false;

    netdev_get_devices(shown_class, &devices);
    nodes = shash_sort(&devices);
    for (size_t i = 0; i < shash_count(&devices); i++) {
        if (argc < 2 || !strcmp(argv[1], nodes[i]->name)) {
            show(nodes[i]->data, &devices, &ds);
            found = true;
        }
    }
    free(nodes);
    SHASH_FOR_EACH (node, &devices) {
        netdev_close(node->data);
    }
    shash_destroy(&devices);

    if (argc > 1 && !found) {
        ds_put_format(&ds, "no vhostpci port is named '%s'", argv[1]);
        unixctl_command_reply_error(conn, ds_cstr(&ds));
    } else {
        unixctl_command_reply(conn, ds_cstr(&ds));
    }
    ds_destroy(&ds);
}

static void
vhostpci_show(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    vhostpci_command(conn, argc, argv, show_port);
}

static void
vhostpci_flows(struct unixctl_conn *conn, int argc, const char *argv[],
               void *aux OVS_UNUSED)
{
    vhostpci_command(conn, argc, argv, show_flows);
}

/* Statistics. */

static void
add_counter(struct netdev_custom_stats *stats, const char *name,
            uint64_t value)
{
    struct netdev_custom_counter *counter;

    for (int i = 0; i < stats->size; i++) {
        if (!strcmp(stats->counters[i].name, name)) {
            return;
        }
    }
    stats->counters = xrealloc(stats->counters, (stats->size + 1)
                               * sizeof *stats->counters);
    counter = &stats->counters[stats->size++];
    ovs_strlcpy(counter->name, name, sizeof counter->name);
    counter->value = value;
}

/* The last part of the name of a ring's counter, and of a queue's counter. */
static const struct {
    const char *ring, *queue;
} queue_counters[] = {
    { "packets", "packets" },
    { "bytes", "bytes" },
    { "calls", "guest_notifications" },
    { "multicast", "multicast_packets" },
    { "broadcast", "broadcast_packets" },
    { "size_64", "size_64_packets" },
    { "size_65_to_127", "size_65_to_127_packets" },
    { "size_128_to_255", "size_128_to_255_packets" },
    { "size_256_to_511", "size_256_to_511_packets" },
    { "size_512_to_1023", "size_512_to_1023_packets" },
    { "size_1024_to_1522", "size_1024_to_1522_packets" },
    { "size_1523_to_max", "size_1523_to_max_packets" },
};

/* Adds the counter that the driver calls 'name', if vhost-user ports have such
 * a counter. */
static void
add_driver_counter(struct netdev_custom_stats *stats, const char *name,
                   uint64_t value, int n_pairs)
{
    int pair, n = 0;
    char way;

    if (!strcmp(name, "tx_retries")) {
        add_counter(stats, "ovs_tx_retries", value);
        return;
    }
    if (!ovs_scan(name, "%cx_ring%d_%n", &way, &pair, &n) || !n
        || pair >= n_pairs) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(queue_counters); i++) {
        if (!strcmp(name + n, queue_counters[i].ring)) {
            char *full = xasprintf("%cx_q%d_%s", way, pair,
                                   queue_counters[i].queue);

            add_counter(stats, full, value);
            free(full);
            return;
        }
    }
}

void
vhostpci_show_custom_stats(int port_id, int n_pairs,
                           struct netdev_custom_stats *stats)
{
    struct rte_eth_xstat_name *names;
    struct rte_eth_xstat *values;
    int n = rte_eth_xstats_get_names(port_id, NULL, 0);

    if (n <= 0) {
        return;
    }
    names = xcalloc(n, sizeof *names);
    values = xcalloc(n, sizeof *values);
    if (rte_eth_xstats_get_names(port_id, names, n) == n
        && rte_eth_xstats_get(port_id, values, n) == n) {
        for (int i = 0; i < n; i++) {
            add_driver_counter(stats, names[i].name, values[i].value,
                               n_pairs);
        }
    }
    free(values);
    free(names);
}

void
vhostpci_show_register(const struct netdev_class *class)
{
    shown_class = class;
    unixctl_command_register("vhostpci/show", "[port]", 0, 1, vhostpci_show,
                             NULL);
    unixctl_command_register("vhostpci/flows", "[port]", 0, 1, vhostpci_flows,
                             NULL);
}
