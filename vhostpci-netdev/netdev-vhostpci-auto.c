/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-auto.h. */

#include <config.h>
#include "netdev-vhostpci-auto.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "netdev.h"
#include "netdev-vhostpci-peers.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "smap.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"
#include "vswitch-idl.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_auto);

/* In other_config of Open_vSwitch: the name of a bridge.  In other_config of a
 * Port, "true": this code made the port.  Only such ports are ever removed. */
#define AUTO_KEY "vhostpci-auto"

#define LOOK_INTERVAL_MS 1000
#define NAME_SIZE 16            /* Bytes of a name, as IFNAMSIZ. */
#define HASHED_LEN 10           /* Bytes kept of a name with a hash. */
#define MAX_FUNCTIONS 8         /* VHOST_PCI_MAX_FUNCTIONS */

static const struct netdev_class *base;
static struct shash devices = SHASH_INITIALIZER(&devices);
static char *db_remote;
static struct ovsdb_idl *idl;   /* NULL unless the option is set. */
static struct ovsdb_idl_txn *txn; /* NULL: none is under way. */
static long long int next_look;

void
vhostpci_auto_init(const char *remote)
{
    db_remote = xstrdup(remote);
}

void
vhostpci_auto_enable(const struct netdev_class *base_)
{
    base = base_;
}

/* Names. */

/* Stores a name of the function in 'name'.  Shells, logs and other systems
 * need not quote the name. */
static void
safe_name(const char *peer, int function, char name[NAME_SIZE])
{
    char *full = (function ? xasprintf("%s.%d", peer, function)
                  : xstrdup(peer));
    uint32_t hash = hash_string(full, 0);
    size_t i;

    for (i = 0; full[i]; i++) {
        if (!isalnum((unsigned char) full[i])
            && (i == 0 || !strchr("-_.", full[i]))) {
            full[i] = '_';
        }
    }
    if (i < NAME_SIZE) {
        ovs_strlcpy(name, full, NAME_SIZE);
    } else {
        snprintf(name, NAME_SIZE, "%.*s-%04x", HASHED_LEN, full,
                 hash & 0xffff);
    }
    free(full);
}

/* Changes 'name' until it is neither in 'taken' nor reserved, and adds it to
 * 'taken'. */
static void
unique_name(char name[NAME_SIZE], struct sset *taken)
{
    uint32_t hash = hash_string(name, 1);

    while (sset_contains(taken, name) || netdev_is_reserved_name(name)) {
        char *stem = xstrdup(name);

        snprintf(name, NAME_SIZE, "vp%.*s-%04x", HASHED_LEN - 2, stem,
                 hash++ & 0xffff);
        free(stem);
    }
    sset_add(taken, name);
}

/* The contents of the database. */

struct existing {
    struct sset names;          /* Of bridges, ports and interfaces. */
    struct sset targets;        /* "PEER/FUNCTION" or devargs of all ports of
                                 * our type. */
};

static void
add_target(struct existing *existing, const struct ovsrec_interface *iface)
{
    const char *peer = smap_get(&iface->options, "peer");
    const char *devargs = smap_get(&iface->options, "vhostpci-devargs");

    if (peer) {
        const char *slash = strrchr(peer, '/');
        bool numbered = (slash && isdigit((unsigned char) slash[1])
                         && !slash[2]);

        sset_add_and_free(&existing->targets,
                          xasprintf("%s%s", peer, numbered ? "" : "/0"));
    } else if (devargs) {
        const char *function = strstr(devargs, ",function=");

        sset_add_and_free(&existing->targets, xasprintf(
            "%.*s/%d", (int) strcspn(devargs, ","), devargs,
            function ? atoi(function + strlen(",function=")) : 0));
    }
}

static void
existing_init(struct existing *existing, const struct ovsrec_open_vswitch *cfg)
{
    sset_init(&existing->names);
    sset_init(&existing->targets);
    for (size_t i = 0; i < cfg->n_bridges; i++) {
        const struct ovsrec_bridge *br = cfg->bridges[i];

        sset_add(&existing->names, br->name);
        for (size_t j = 0; j < br->n_ports; j++) {
            const struct ovsrec_port *port = br->ports[j];

            sset_add(&existing->names, port->name);
            for (size_t k = 0; k < port->n_interfaces; k++) {
                sset_add(&existing->names, port->interfaces[k]->name);
                if (!strcmp(port->interfaces[k]->type, "vhostpci")) {
                    add_target(existing, port->interfaces[k]);
                }
            }
        }
    }
}

static void
existing_destroy(struct existing *existing)
{
    sset_destroy(&existing->names);
    sset_destroy(&existing->targets);
}

/* Returns true if some port already serves 'function' of the device at
 * 'address', or will serve it. */
static bool
is_served(const struct existing *existing, const char *address,
          const struct vhostpci_peer_device *device, int function)
{
    char *by_peer = xasprintf("%s/%d", device->name, function);
    char *by_uuid = xasprintf("%s/%d", device->uuid, function);
    char *by_address = xasprintf("%s/%d", address, function);
    bool served = (sset_contains(&existing->targets, by_peer)
                   || sset_contains(&existing->targets, by_uuid)
                   || sset_contains(&existing->targets, by_address));

    free(by_address);
    free(by_uuid);
    free(by_peer);
    return served;
}

/* Changes. */

static void
start_txn(void)
{
    if (!txn) {
        txn = ovsdb_idl_txn_create(idl);
        ovsdb_idl_txn_add_comment(txn, "ovs-vswitchd: %s", AUTO_KEY);
    }
}

static void
add_port(const struct ovsrec_bridge *br, const char *peer, int function,
         struct existing *existing)
{
    struct ovsrec_interface *iface;
    struct ovsrec_port *port;
    char name[NAME_SIZE];
    struct smap map;

    safe_name(peer, function, name);
    unique_name(name, &existing->names);
    start_txn();

    iface = ovsrec_interface_insert(txn);
    ovsrec_interface_set_name(iface, name);
    ovsrec_interface_set_type(iface, "vhostpci");
    smap_init(&map);
    smap_add_format(&map, "peer", "%s/%d", peer, function);
    ovsrec_interface_set_options(iface, &map);
    smap_destroy(&map);

    port = ovsrec_port_insert(txn);
    ovsrec_port_set_name(port, name);
    ovsrec_port_set_interfaces(port, &iface, 1);
    smap_init(&map);
    smap_add(&map, AUTO_KEY, "true");
    ovsrec_port_set_other_config(port, &map);
    smap_destroy(&map);

    ovsrec_bridge_update_ports_addvalue(br, port);
    VLOG_INFO("bridge %s: port %s for peer %s/%d", br->name, name, peer,
              function);
}

/* Skips names with a comma, because options:peer cannot have them, and devices
 * whose peer has no name, because nothing tells these apart. */
static void
add_missing(const struct ovsrec_bridge *br, struct existing *existing)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &devices) {
        const struct vhostpci_peer_device *device = node->data;

        for (int f = 0; f < MAX_FUNCTIONS; f++) {
            if (device->functions & (1u << f)
                && device->name[0] && !strchr(device->name, ',')
                && !is_served(existing, node->name, device, f)) {
                add_port(br, device->name, f, existing);
            }
        }
    }
}

/* Returns true if a device still has the function for which this code made
 * 'port'. */
static bool
is_there(const struct ovsrec_port *port)
{
    const char *peer = (port->n_interfaces == 1
                        ? smap_get(&port->interfaces[0]->options, "peer")
                        : NULL);
    struct shash_node *node;

    if (!peer) {
        /* Somebody has changed the port: it is theirs now. */
        return true;
    }
    SHASH_FOR_EACH (node, &devices) {
        const struct vhostpci_peer_device *device = node->data;
        size_t len = strlen(device->name);

        if (!strncmp(peer, device->name, len)
            && peer[len] == '/' && isdigit((unsigned char) peer[len + 1])
            && device->functions >> (peer[len + 1] - '0') & 1) {
            return true;
        }
    }
    return false;
}

static void
remove_gone(const struct ovsrec_open_vswitch *cfg)
{
    for (size_t i = 0; i < cfg->n_bridges; i++) {
        const struct ovsrec_bridge *br = cfg->bridges[i];

        for (size_t j = 0; j < br->n_ports; j++) {
            const struct ovsrec_port *port = br->ports[j];

            if (smap_get_bool(&port->other_config, AUTO_KEY, false)
                && !is_there(port)) {
                start_txn();
                ovsrec_bridge_update_ports_delvalue(br, port);
                VLOG_INFO("bridge %s: port %s removed with its peer", br->name,
                          port->name);
            }
        }
    }
}

/* Returns true once no transaction is under way. */
static bool
finish_txn(void)
{
    if (txn) {
        enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(txn);

        if (status == TXN_INCOMPLETE) {
            return false;
        }
        if (status == TXN_ERROR) {
            VLOG_WARN("cannot change ports: %s", ovsdb_idl_txn_get_error(txn));
        }
        /* The next look tries again what failed. */
        ovsdb_idl_txn_destroy(txn);
        txn = NULL;
    }
    return true;
}

static const struct ovsrec_bridge *
find_bridge(const struct ovsrec_open_vswitch *cfg, const char *name)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

    for (size_t i = 0; i < cfg->n_bridges; i++) {
        if (!strcmp(cfg->bridges[i]->name, name)) {
            return cfg->bridges[i];
        }
    }
    VLOG_WARN_RL(&rl, "other_config:"AUTO_KEY"=%s: there is no such bridge",
                 name);
    return NULL;
}

static void
connect_database(void)
{
    idl = ovsdb_idl_create(db_remote, &ovsrec_idl_class, false, true);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_ports);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_other_config);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_type);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_options);
}

static void
disconnect_database(void)
{
    if (txn) {
        ovsdb_idl_txn_destroy(txn);
        txn = NULL;
    }
    if (idl) {
        ovsdb_idl_destroy(idl);
        idl = NULL;
    }
}

/* The caller has finished the last transaction, so the copy of the database is
 * current. */
static void
look(const struct ovsrec_open_vswitch *cfg, const char *name)
{
    const struct ovsrec_bridge *br = find_bridge(cfg, name);
    struct existing existing;
    bool all_known;

    if (!br) {
        return;
    }
    all_known = vhostpci_peers_look(base, &devices);
    existing_init(&existing, cfg);
    add_missing(br, &existing);
    if (all_known) {
        /* Only if all peers are known: otherwise an unknown device may belong
         * to a port.  A booting machine has not bound all devices yet. */
        remove_gone(cfg);
    }
    existing_destroy(&existing);
    finish_txn();
}

void
vhostpci_auto_run(const struct smap *other_config)
{
    const char *name = (other_config ? smap_get(other_config, AUTO_KEY)
                        : NULL);
    const struct ovsrec_open_vswitch *cfg;

    if (!base || !name || !name[0]) {
        disconnect_database();
        return;
    }
    if (!idl) {
        connect_database();
    }
    ovsdb_idl_run(idl);
    cfg = ovsrec_open_vswitch_first(idl);
    if (finish_txn() && cfg && time_msec() >= next_look) {
        next_look = time_msec() + LOOK_INTERVAL_MS;
        look(cfg, name);
    }
}

void
vhostpci_auto_wait(void)
{
    if (idl) {
        ovsdb_idl_wait(idl);
        poll_timer_wait_until(next_look);
    }
    if (txn) {
        ovsdb_idl_txn_wait(txn);
    }
}
