/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-find.h.
 *
 * The base class does all attaching and detaching: it does so under its own
 * mutex, and when a port goes, it detaches only what it has attached itself.
 * So this code tries the candidates for a peer through the base class, with
 * the driver's argument "peer=NAME".  With that argument the driver refuses a
 * device of another peer before it touches the device. */

#include <config.h>
#include "netdev-vhostpci-find.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_pci.h>

#include "netdev-dpdk.h"
#include "netdev-provider.h"
#include "netdev-vhostpci-log.h"
#include "netdev-vhostpci-pmd.h"
#include "netdev-vhostpci-sysfs.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "svec.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_find);

/* Words of the driver for a socket that it cannot make now, and for a device
 * that lacks the function. */
#define CANNOT_LISTEN ": cannot listen: "
#define NO_FUNCTION "the device has no function "

/* Options. */

/* Returns 'devargs' with the device's name as DPDK prints it, or NULL if the
 * name is neither a PCI address nor a virtual device of our driver. */
static char *
normalize_devargs(const char *devargs)
{
    size_t name_len = strcspn(devargs, ",");
    char *name = xmemdup0(devargs, name_len);
    struct rte_pci_addr addr;
    char *normal = NULL;
    const char *bare = name;

    if (!strncmp(bare, "pci:", 4)) {
        bare += 4;
    } else if (!strncmp(bare, "vdev:", 5)) {
        bare += 5;
    }
    if (!strncmp(bare, DRIVER_NAME, strlen(DRIVER_NAME))) {
        normal = xasprintf("%s%s", bare, devargs + name_len);
    } else if (isxdigit((unsigned char) bare[0])
               && !rte_pci_addr_parse(bare, &addr)) {
        normal = xasprintf(PCI_PRI_FMT"%s", addr.domain, addr.bus, addr.devid,
                           addr.function, devargs + name_len);
    }
    free(name);
    return normal;
}

/* Parses "NAME" or "NAME/FUNCTION", where FUNCTION is one digit. */
static void
parse_peer(const char *peer, struct vhostpci_target *target)
{
    const char *slash = strrchr(peer, '/');

    if (slash && isdigit((unsigned char) slash[1]) && !slash[2]) {
        target->peer = xmemdup0(peer, slash - peer);
        target->function = slash[1] - '0';
    } else {
        target->peer = xstrdup(peer);
    }
}

int
vhostpci_target_parse(const struct netdev *netdev, const struct smap *args,
                      struct vhostpci_target *target, char **errp)
{
    const char *name = netdev_get_name(netdev);
    const char *devargs = smap_get_def(args, "vhostpci-devargs", "");
    const char *peer = smap_get_def(args, "peer", "");

    target->devargs = target->peer = NULL;
    target->function = 0;
    if (!devargs[0] && !peer[0]) {
        VLOG_WARN_BUF(errp, "%s: type=vhostpci needs options:vhostpci-devargs "
                      "(the device) or options:peer (the name of its peer)",
                      name);
    } else if (devargs[0] && peer[0]) {
        VLOG_WARN_BUF(errp, "%s: options:vhostpci-devargs and options:peer "
                      "exclude each other", name);
    } else if (peer[0]) {
        if (!peer[strcspn(peer, ",")]) {
            parse_peer(peer, target);
            return 0;
        }
        VLOG_WARN_BUF(errp, "%s: options:peer=%s: a peer's name has no comma",
                      name, peer);
    } else {
        target->devargs = normalize_devargs(devargs);
        if (target->devargs) {
            return 0;
        }
        VLOG_WARN_BUF(errp, "%s: options:vhostpci-devargs=%s is neither a PCI "
                      "address like 0000:01:00.0 nor a virtual device like "
                      DRIVER_NAME"0,path=SOCKET", name, devargs);
    }
    return EINVAL;
}

bool
vhostpci_target_equals(const struct vhostpci_target *a,
                       const struct vhostpci_target *b)
{
    return nullable_string_is_equal(a->devargs, b->devargs)
           && nullable_string_is_equal(a->peer, b->peer)
           && a->function == b->function;
}

void
vhostpci_target_destroy(struct vhostpci_target *target)
{
    free(target->devargs);
    free(target->peer);
    target->devargs = target->peer = NULL;
}

/* The base class. */

int
vhostpci_base_set_config(const struct netdev_class *base,
                         struct netdev *netdev, const struct smap *args,
                         const char *devargs, char **errp)
{
    char *base_err = NULL;
    struct smap copy;
    int error;

    smap_clone(&copy, args);
    smap_remove(&copy, "vhostpci-devargs");
    smap_remove(&copy, "peer");
    smap_replace(&copy, "dpdk-devargs", devargs);
    /* By default the base class looks at the link every five seconds only. */
    if (!smap_get(&copy, "dpdk-lsc-interrupt")) {
        smap_add(&copy, "dpdk-lsc-interrupt", "true");
    }

    error = base->set_config(netdev, &copy, &base_err);
    smap_destroy(&copy);
    if (error) {
        *errp = base_err;
    } else {
        free(base_err);         /* A mere warning: it is in the log. */
    }
    return error;
}

/* Makes 'base' attach 'netdev' to 'devargs'.  If the driver refuses the
 * device, sets '*cause' to the reason, otherwise to NULL; sets '*errp' to the
 * error of 'base'.  The caller frees both. */
static int
base_attach(const struct netdev_class *base, struct netdev *netdev,
            const struct smap *args, const char *devargs, char **cause,
            char **errp)
{
    size_t name_len = strcspn(devargs, ",");
    char *line;
    int error;

    vhostpci_log_capture_start();
    error = vhostpci_base_set_config(base, netdev, args, devargs, errp);
    line = vhostpci_log_capture_stop();

    *cause = NULL;
    if (line && error && error != EADDRINUSE && error != EAGAIN) {
        /* Lines about a device begin with its name. */
        bool named = (!strncmp(line, devargs, name_len)
                      && !strncmp(line + name_len, ": ", 2));
        *cause = xstrdup(named ? line + name_len + 2 : line);
    }
    free(line);
    return error;
}

/* As base_attach(), for a device that the user has named: sets '*errp' to one
 * sentence that says what is wrong. */
static int
attach(const struct netdev_class *base, struct netdev *netdev,
       const struct smap *args, const char *devargs, char **errp)
{
    int name_len = strcspn(devargs, ",");
    struct rte_pmd_vhostpci_info info;
    char *base_err = NULL;
    char *cause;
    int error;

    error = base_attach(base, netdev, args, devargs, &cause, &base_err);
    if (!error && vhostpci_pmd_info(netdev_dpdk_get_port_id(netdev), &info)) {
        VLOG_WARN_BUF(errp, "%s: device %.*s belongs to a driver other than "
                      DRIVER_NAME, netdev_get_name(netdev), name_len, devargs);
        error = EINVAL;
    } else if (!error && vhostpci_pmd_drops_large_packets(
                   netdev_dpdk_get_port_id(netdev))) {
        VLOG_WARN_BUF(errp, "%s: device %.*s was attached without "
                      "legacy-ol-flags=1, so that its peer's large packets "
                      "would be lost under userspace-tso-enable; add it to "
                      "the device in other_config:dpdk-extra and restart "
                      "ovs-vswitchd", netdev_get_name(netdev), name_len,
                      devargs);
        error = EOPNOTSUPP;
    } else if (cause) {
        VLOG_WARN_BUF(errp, "%s: driver "DRIVER_NAME" cannot use device "
                      "%.*s: %s", netdev_get_name(netdev), name_len, devargs,
                      cause);
        /* Nothing reports when listening becomes possible. */
        error = strstr(cause, CANNOT_LISTEN) ? EADDRNOTAVAIL : error;
    } else if (error) {
        *errp = base_err;
        base_err = NULL;
    }
    free(base_err);
    free(cause);
    return error;
}

static int
check_driver(const struct netdev *netdev, char **errp)
{
    if (!vhostpci_pmd_loaded()) {
        VLOG_WARN_BUF(errp, "%s: DPDK driver "DRIVER_NAME" is not loaded; "
                      "install librte_net_vpci.so in DPDK's driver "
                      "directory or name it in other_config:dpdk-extra="
                      "\"-d FILE\", and restart ovs-vswitchd",
                      netdev_get_name(netdev));
        return ENOENT;
    }
    return 0;
}

static bool
has_ethdev(const char *device, uint16_t *port_id)
{
    return !rte_eth_dev_get_port_by_name(device, port_id);
}

static int
attach_devargs(const struct netdev_class *base, struct netdev *netdev,
               const struct smap *args, const char *devargs, char **errp)
{
    char *device = xmemdup0(devargs, strcspn(devargs, ","));
    bool is_pci = strncmp(device, DRIVER_NAME, strlen(DRIVER_NAME)) != 0;
    char *obstacle;
    uint16_t port_id;
    int error;

    obstacle = (is_pci && !has_ethdev(device, &port_id)
                ? vhostpci_sysfs_obstacle(device) : NULL);
    if (obstacle) {
        VLOG_WARN_BUF(errp, "%s: %s", netdev_get_name(netdev), obstacle);
        error = ENODEV;
    } else {
        error = check_driver(netdev, errp);
        if (!error) {
            error = attach(base, netdev, args, devargs, errp);
        }
    }
    free(obstacle);
    free(device);
    return error;
}

/* Peers. */

/* Returns true if 'base' can attach a port to 'devargs'; detaches the port
 * again. */
static bool
try_attach(const struct netdev_class *base, const char *devargs)
{
    /* No interface of a bridge can have this name. */
    const char *name = "vhostpci/try";
    struct netdev *netdev;
    struct smap args;
    char *base_err = NULL;
    bool ok;

    if (netdev_open(name, base->type, &netdev)) {
        return false;
    }
    smap_init(&args);
    ok = !vhostpci_base_set_config(base, netdev, &args, devargs, &base_err);
    smap_destroy(&args);
    free(base_err);
    netdev_close(netdev);
    return ok;
}

static int
fail_ambiguous(const struct netdev *netdev, const char *peer,
               const struct svec *devices, char **errp)
{
    char *list = svec_join(devices, ", ", "");

    VLOG_WARN_BUF(errp, "%s: peer name '%s' is ambiguous: devices %s have it; "
                  "use options:vhostpci-devargs", netdev_get_name(netdev),
                  peer, list);
    free(list);
    return ENOTUNIQ;
}

static int
fail_no_device(const struct netdev *netdev, const char *peer,
               const struct ds *notes, char **errp)
{
    VLOG_WARN_BUF(errp, "%s: no device for peer '%s': %s",
                  netdev_get_name(netdev), peer,
                  notes->length ? ds_cstr_ro(notes)
                  : "this machine has no vhost-pci-net device");
    /* Nothing may report it when a device gets another function. */
    return strstr(ds_cstr_ro(notes), NO_FUNCTION) ? EADDRNOTAVAIL : ENODEV;
}

/* Adds sentence 'text' to 'notes', and frees 'text'. */
static void
note(struct ds *notes, char *text)
{
    ds_put_format(notes, "%s%s", notes->length ? "; " : "", text);
    free(text);
}

/* Returns the reason not to try the device at 'address', or NULL to try it.  A
 * device with ports for other functions of 'peer' is worth a try.  The caller
 * frees the string. */
static char *
no_candidate(const char *address, const char *peer)
{
    uint16_t port_id;

    RTE_ETH_FOREACH_DEV (port_id) {
        struct rte_pmd_vhostpci_info info;
        struct rte_eth_dev_info dev_info;

        if (rte_eth_dev_info_get(port_id, &dev_info)
            || strcmp(rte_dev_name(dev_info.device), address)) {
            continue;
        }
        if (vhostpci_pmd_info(port_id, &info)) {
            return xasprintf("device %s is in use", address);
        } else if (!vhostpci_pmd_is_peer(&info, peer)) {
            return xasprintf("device %s has peer '%s'", address,
                             info.peer_name);
        }
    }
    return vhostpci_sysfs_obstacle(address);
}

/* Tries one device.  If it fails, adds the reason to 'notes'. */
static bool
candidate_serves(const struct netdev_class *base, struct netdev *netdev,
                 const struct smap *args, const char *address,
                 const char *devargs, struct ds *notes)
{
    char *base_err = NULL;
    char *cause;
    bool serves = !base_attach(base, netdev, args, devargs, &cause,
                               &base_err);

    if (!serves) {
        note(notes, xasprintf("device %s: %s", address,
                              cause ? cause : "it cannot be attached"));
    }
    free(base_err);
    free(cause);
    return serves;
}

/* Returns the devargs that DPDK must attach for the target at 'address'.  The
 * caller frees the string. */
static char *
candidate_devargs(const char *address, const struct vhostpci_target *target)
{
    char *device = vhostpci_pmd_devargs(address, target->function);
    char *with_peer = xasprintf("%s,peer=%s", device, target->peer);
    char *full = vhostpci_pmd_add_offload_args(with_peer);

    free(with_peer);
    free(device);
    return full;
}

/* Tries the devices that DPDK has not attached yet. */
static int
attach_candidate(const struct netdev_class *base, struct netdev *netdev,
                 const struct smap *args,
                 const struct vhostpci_target *target, char **devargs,
                 char **errp)
{
    struct svec addresses = SVEC_EMPTY_INITIALIZER;
    const char *peer = target->peer;
    struct svec found = SVEC_EMPTY_INITIALIZER;
    struct ds notes = DS_EMPTY_INITIALIZER;
    const char *address;
    size_t i;
    int error;

    vhostpci_sysfs_list(&addresses);
    SVEC_FOR_EACH (i, address, &addresses) {
        char *why_not = no_candidate(address, peer);
        char *full = candidate_devargs(address, target);

        if (why_not) {
            note(&notes, why_not);
        } else if (found.n) {
            if (try_attach(base, full)) {
                svec_add(&found, address);
            }
        } else if (candidate_serves(base, netdev, args, address, full,
                                    &notes)) {
            svec_add(&found, address);
            *devargs = xstrdup(full);
        }
        free(full);
    }

    error = (found.n == 1 ? 0
             : found.n ? fail_ambiguous(netdev, peer, &found, errp)
             : fail_no_device(netdev, peer, &notes, errp));
    if (error) {
        free(*devargs);
        *devargs = NULL;
    }
    ds_destroy(&notes);
    svec_destroy(&found);
    svec_destroy(&addresses);
    return error;
}

static int
attach_peer(const struct netdev_class *base, struct netdev *netdev,
            const struct smap *args, const struct vhostpci_target *target,
            char **devargs, char **errp)
{
    struct svec attached = SVEC_EMPTY_INITIALIZER;
    int error = check_driver(netdev, errp);

    if (error) {
        return error;
    }
    vhostpci_pmd_list_ports(target->peer, target->function, &attached);
    if (attached.n > 1) {
        error = fail_ambiguous(netdev, target->peer, &attached, errp);
    } else if (attached.n == 1) {
        error = attach(base, netdev, args, attached.names[0], errp);
        if (!error) {
            *devargs = xstrdup(attached.names[0]);
        }
    } else {
        error = attach_candidate(base, netdev, args, target, devargs, errp);
    }
    svec_destroy(&attached);
    return error;
}

int
vhostpci_target_attach(const struct netdev_class *base, struct netdev *netdev,
                       const struct smap *args,
                       const struct vhostpci_target *target, char **devargs,
                       char **errp)
{
    char *full;
    int error;

    /* Behind VFIO the pages of unused mempools would stay pinned. */
    netdev_dpdk_free_unused_mempools();

    *devargs = NULL;
    if (target->peer) {
        return attach_peer(base, netdev, args, target, devargs, errp);
    }
    full = vhostpci_pmd_add_offload_args(target->devargs);
    error = attach_devargs(base, netdev, args, full, errp);
    if (error) {
        free(full);
    } else {
        *devargs = full;
    }
    return error;
}
