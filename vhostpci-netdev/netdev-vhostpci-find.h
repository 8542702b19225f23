/* SPDX-License-Identifier: Apache-2.0 */

/* Which device serves a port, and what is wrong when none does.
 *
 * Each function that fails says why in '*errp': one sentence that begins with
 * the port's name, for the "error" column of the Interface.  The caller frees
 * it.  Functions run in the main thread only. */

#ifndef NETDEV_VHOSTPCI_FIND_H
#define NETDEV_VHOSTPCI_FIND_H 1

#include <stdbool.h>

struct netdev;
struct netdev_class;
struct smap;

/* What the user asked for: exactly one member is set. */
struct vhostpci_target {
    char *devargs;              /* options:vhostpci-devargs, the device's name
                                 * in the form that DPDK prints it. */
    char *peer;                 /* options:peer */
    int function;               /* With 'peer': which of its devices. */
};

/* Returns 0 or EINVAL. */
int vhostpci_target_parse(const struct netdev *, const struct smap *args,
                          struct vhostpci_target *, char **errp);
bool vhostpci_target_equals(const struct vhostpci_target *,
                            const struct vhostpci_target *);
void vhostpci_target_destroy(struct vhostpci_target *);

/* Calls 'base''s set_config() with the options of 'args' that it knows, and
 * 'devargs' as its device. */
int vhostpci_base_set_config(const struct netdev_class *base, struct netdev *,
                             const struct smap *args, const char *devargs,
                             char **errp);

/* Finds the target's device and has 'base' attach 'netdev' to it.  Returns 0
 * and sets '*devargs' to what 'base' was given, for further calls of
 * vhostpci_base_set_config(); the caller frees it.  Otherwise returns a
 * positive errno value; EADDRNOTAVAIL: the driver cannot listen at the
 * target's socket now, or its device has not the function, and only trying
 * again shows when that changes. */
int vhostpci_target_attach(const struct netdev_class *base, struct netdev *,
                           const struct smap *args,
                           const struct vhostpci_target *, char **devargs,
                           char **errp);

#endif /* netdev-vhostpci-find.h */
