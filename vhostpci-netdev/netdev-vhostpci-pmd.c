/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-pmd.h. */

#include <config.h>
#include "netdev-vhostpci-pmd.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_ethdev.h>
#include <rte_uuid.h>

#include "hash.h"
#include "netdev-vhostpci.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "smap.h"
#include "svec.h"
#include "userspace-tso.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_pmd);

#define LEGACY_ARG "legacy-ol-flags"

/* Virtio features that allow the peer to send packets that we must segment. */
#define HOST_TSO (UINT64_C(1) << 11 | UINT64_C(1) << 12)

/* The driver's public functions.  All but the first may be NULL: an old driver
 * lacks them. */
struct driver {
    int (*info_get)(uint16_t port_id, struct rte_pmd_vhostpci_info *);
    int (*queues_get)(uint16_t port_id, struct rte_pmd_vhostpci_queues *);
    uint32_t (*rx_consumed)(uint16_t port_id, uint16_t queue_id);
    int (*steering_set)(uint16_t port_id, bool on);
    int (*marks_set)(uint16_t port_id, bool on);
    int (*flows_get)(uint16_t port_id, struct rte_pmd_vhostpci_flow *,
                     unsigned int n);
};

/* Filled by driver_get(). */
static struct driver driver;

static int
add_object(struct dl_phdr_info *info, size_t size OVS_UNUSED, void *names)
{
    svec_add(names, info->dlpi_name);
    return 0;
}

/* Stores the function 'name' of 'handle', or NULL, in '*function'.  C has no
 * cast from an object pointer to a function pointer; POSIX recommends this. */
static void
find_function(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);

    memcpy(function, &symbol, sizeof symbol);
}

/* Searches every loaded object for the driver's public functions.  The object
 * that has them stays pinned; nobody unloads plugins anyway. */
static void
driver_find(void)
{
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const char *name;
    size_t i;

    /* dlopen() must not be called from within dl_iterate_phdr(). */
    dl_iterate_phdr(add_object, &names);
    SVEC_FOR_EACH (i, name, &names) {
        void *handle = dlopen(name[0] ? name : NULL,
                              RTLD_LAZY | RTLD_NOLOAD);

        if (!handle) {
            continue;
        }
        find_function(handle, "rte_pmd_vhostpci_info_get", &driver.info_get);
        if (driver.info_get) {
            find_function(handle, "rte_pmd_vhostpci_queues_get",
                          &driver.queues_get);
            find_function(handle, "rte_pmd_vhostpci_rx_consumed",
                          &driver.rx_consumed);
            find_function(handle, "rte_pmd_vhostpci_steering_set",
                          &driver.steering_set);
            find_function(handle, "rte_pmd_vhostpci_marks_set",
                          &driver.marks_set);
            find_function(handle, "rte_pmd_vhostpci_flows_get",
                          &driver.flows_get);
            VLOG_INFO("driver net_vpci found in %s",
                      name[0] ? name : "this program");
            break;
        }
        dlclose(handle);
    }
    svec_destroy(&names);
}

/* Only rte_eal_init() loads plugins, before the first caller, so one search is
 * enough. */
static const struct driver *
driver_get(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        driver_find();
        ovsthread_once_done(&once);
    }
    return &driver;
}

bool
vhostpci_pmd_loaded(void)
{
    return driver_get()->info_get != NULL;
}

int
vhostpci_pmd_info(int port_id, struct rte_pmd_vhostpci_info *info)
{
    const struct driver *d = driver_get();

    memset(info, 0, sizeof *info);
    if (!d->info_get || port_id < 0 || port_id > UINT16_MAX
        || d->info_get(port_id, info)) {
        return ENODEV;
    }
    /* The peer may have chosen the names: never run past their arrays. */
    info->transport[sizeof info->transport - 1] = '\0';
    info->peer_name[sizeof info->peer_name - 1] = '\0';
    info->window[sizeof info->window - 1] = '\0';
    info->broken_rule[sizeof info->broken_rule - 1] = '\0';
    return 0;
}

int
vhostpci_pmd_queues(int port_id, struct rte_pmd_vhostpci_queues *queues)
{
    const struct driver *d = driver_get();

    memset(queues, 0, sizeof *queues);
    if (port_id < 0 || port_id >= RTE_MAX_ETHPORTS) {
        return ENODEV;
    } else if (!d->queues_get) {
        queues->rx_enabled = UINT64_MAX;
        queues->pairs = 1;
        queues->running = true;
        queues->numa_node = -1;
        return 0;
    }
    return -d->queues_get(port_id, queues);
}

/* Does not call driver_get(), because this runs in a thread that polls: a
 * queue has a port, and no port exists before the first call of
 * driver_get(). */
uint32_t
vhostpci_pmd_rx_consumed(int port_id, int queue_id)
{
    return driver.rx_consumed ? driver.rx_consumed(port_id, queue_id) : 0;
}

int
vhostpci_pmd_set_steering(int port_id, bool on)
{
    const struct driver *d = driver_get();

    if (port_id < 0 || port_id > UINT16_MAX) {
        return ENODEV;
    }
    return d->steering_set ? -d->steering_set(port_id, on) : EOPNOTSUPP;
}

void
vhostpci_pmd_set_marks(int port_id, bool on)
{
    const struct driver *d = driver_get();

    if (d->marks_set && port_id >= 0 && port_id <= UINT16_MAX) {
        d->marks_set(port_id, on);
    }
}

int
vhostpci_pmd_flows(int port_id, struct rte_pmd_vhostpci_flow **flowsp,
                   size_t *np)
{
    const struct driver *d = driver_get();
    struct rte_pmd_vhostpci_flow *flows = NULL;
    int room = 0;
    int n;

    if (port_id < 0 || port_id > UINT16_MAX) {
        return ENODEV;
    } else if (!d->flows_get) {
        return EOPNOTSUPP;
    }
    /* Leave some room for rules that come between the two calls. */
    n = d->flows_get(port_id, NULL, 0);
    if (n > 0) {
        room = n + 64;
        flows = xcalloc(room, sizeof *flows);
        n = d->flows_get(port_id, flows, room);
    }
    if (n < 0) {
        free(flows);
        return -n;
    }
    *np = MIN(n, room);
    for (size_t i = 0; i < *np; i++) {
        flows[i].match[sizeof flows[i].match - 1] = '\0';
        flows[i].actions[sizeof flows[i].actions - 1] = '\0';
    }
    *flowsp = flows;
    return 0;
}

/* Returns true if 'args', the part of devargs after the name of the device,
 * has a value for 'key'. */
static bool
has_argument(const char *args, const char *key)
{
    size_t key_len = strlen(key);
    const char *p = args;

    while (*p) {
        if (!strncmp(p, key, key_len) && p[key_len] == '=') {
            return true;
        }
        p += strcspn(p, ",");
        p += *p == ',';
    }
    return false;
}

char *
vhostpci_pmd_add_offload_args(const char *devargs)
{
    const char *args = devargs + strcspn(devargs, ",");
    bool is_vdev = !strncmp(devargs, DRIVER_NAME, strlen(DRIVER_NAME));
    bool enabled = userspace_tso_enabled();

    args += *args == ',';
    return xasprintf("%s%s%s", devargs,
                     enabled && is_vdev && !has_argument(args, "tso")
                     ? ",tso=1" : "",
                     enabled && !has_argument(args, LEGACY_ARG)
                     ? ","LEGACY_ARG"=1" : "");
}

bool
vhostpci_pmd_drops_large_packets(int port_id)
{
    struct rte_pmd_vhostpci_info info;
    struct rte_eth_dev_info dev_info;
    const struct rte_devargs *devargs;

    if (!userspace_tso_enabled() || vhostpci_pmd_info(port_id, &info)
        || !(info.offered_features & HOST_TSO)
        || rte_eth_dev_info_get(port_id, &dev_info)) {
        return false;
    }
    devargs = rte_dev_devargs(dev_info.device);
    return !devargs || !devargs->args
           || !has_argument(devargs->args, LEGACY_ARG);
}

/* Names of feature bits in virtio 1.2, 5.1.3 (network device) and 6 (reserved
 * feature bits), without VIRTIO_F_, VIRTIO_NET_F_ or VIRTIO_RING_F_. */
static const char *const feature_names[64] = {
    [0] = "csum", [1] = "guest_csum", [2] = "ctrl_guest_offloads",
    [3] = "mtu", [5] = "mac", [7] = "guest_tso4", [8] = "guest_tso6",
    [9] = "guest_ecn", [10] = "guest_ufo", [11] = "host_tso4",
    [12] = "host_tso6", [13] = "host_ecn", [14] = "host_ufo",
    [15] = "mrg_rxbuf", [16] = "status", [17] = "ctrl_vq", [18] = "ctrl_rx",
    [19] = "ctrl_vlan", [20] = "ctrl_rx_extra", [21] = "guest_announce",
    [22] = "mq", [23] = "ctrl_mac_addr", [24] = "notify_on_empty",
    [26] = "log_all", [27] = "any_layout", [28] = "indirect_desc",
    [29] = "event_idx", [30] = "protocol_features", [32] = "version_1",
    [33] = "access_platform", [34] = "ring_packed", [35] = "in_order",
    [36] = "order_platform", [37] = "sr_iov", [38] = "notification_data",
    [40] = "ring_reset", [54] = "guest_uso4", [55] = "guest_uso6",
    [56] = "host_uso", [57] = "hash_report", [59] = "guest_hdrlen",
    [60] = "rss", [61] = "rsc_ext", [62] = "standby", [63] = "speed_duplex",
};

void
vhostpci_pmd_format_features(uint64_t features, struct ds *ds)
{
    const char *separator = "";

    for (int bit = 0; bit < 64; bit++) {
        if (features & (UINT64_C(1) << bit)) {
            ds_put_cstr(ds, separator);
            if (feature_names[bit]) {
                ds_put_cstr(ds, feature_names[bit]);
            } else {
                ds_put_format(ds, "bit%d", bit);
            }
            separator = " ";
        }
    }
}

/* Returns the number after ",function=", or 0 if there is none. */
static int
devargs_function(const char *devargs)
{
    const char *key = strstr(devargs, ",function=");

    return key ? atoi(key + strlen(",function=")) : 0;
}

bool
vhostpci_pmd_port_device(int port_id, struct rte_pmd_vhostpci_info *info,
                         const char **device)
{
    struct rte_eth_dev_info dev_info;

    if (vhostpci_pmd_info(port_id, info)
        || rte_eth_dev_info_get(port_id, &dev_info)) {
        return false;
    }
    *device = rte_dev_name(dev_info.device);
    return true;
}

char *
vhostpci_pmd_devargs(const char *device, int function)
{
    return (function ? xasprintf("%s,function=%d", device, function)
            : xstrdup(device));
}

bool
vhostpci_pmd_is_peer(const struct rte_pmd_vhostpci_info *info,
                     const char *peer)
{
    rte_uuid_t uuid;

    return (!strcmp(info->peer_name, peer)
            || (!rte_uuid_parse(peer, uuid) && !rte_uuid_is_null(uuid)
                && !memcmp(uuid, info->peer_uuid, sizeof uuid)));
}

uint32_t
vhostpci_pmd_hash_functions(uint32_t basis)
{
    uint16_t port_id;

    RTE_ETH_FOREACH_DEV (port_id) {
        struct rte_pmd_vhostpci_info info;
        const char *device;

        if (vhostpci_pmd_port_device(port_id, &info, &device)) {
            basis = hash_string(device, hash_int(info.functions, basis));
        }
    }
    return basis;
}

void
vhostpci_pmd_list_ports(const char *peer, int function, struct svec *devargs)
{
    uint16_t port_id;

    RTE_ETH_FOREACH_DEV (port_id) {
        struct rte_pmd_vhostpci_info info;
        const char *device;

        if (vhostpci_pmd_port_device(port_id, &info, &device)
            && vhostpci_pmd_is_peer(&info, peer)
            && info.function == function) {
            svec_add_nocopy(devargs, vhostpci_pmd_devargs(device, function));
        }
    }
}

bool
netdev_vhostpci_find_port(const char *devargs, uint16_t *port_id)
{
    size_t name_len = strcspn(devargs, ",");
    int function = devargs_function(devargs);
    bool has_ports = false;
    uint16_t id;

    RTE_ETH_FOREACH_DEV (id) {
        struct rte_pmd_vhostpci_info info;
        const char *device;

        if (vhostpci_pmd_port_device(id, &info, &device)
            && strlen(device) == name_len
            && !strncmp(device, devargs, name_len)) {
            if (info.function == function) {
                *port_id = id;
                return true;
            }
            has_ports = true;
        }
    }
    *port_id = RTE_MAX_ETHPORTS;
    return has_ports;
}
