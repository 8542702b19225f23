/* SPDX-License-Identifier: Apache-2.0 */

/* Finds the device that serves a port, and the reason when no device does.
 *
 * Each function that fails sets '*errp' to the reason: one sentence that
 * begins with the port's name, for the "error" column of the Interface.  The
 * caller frees '*errp'.  Functions run in the main thread only. */

#ifndef NETDEV_VHOSTPCI_FIND_H
#define NETDEV_VHOSTPCI_FIND_H 1

#include <stdbool.h>

struct netdev;
struct netdev_class;
struct smap;

/* The target in the user's options: exactly one of 'devargs' and 'peer' is
 * set. */
struct vhostpci_target {
    char *devargs;              /* options:vhostpci-devargs: the device's name
                                 * as DPDK prints it. */
    char *peer;                 /* options:peer */
    int function;               /* With 'peer': number of the peer's device. */
};

/* Returns 0 or EINVAL. */
int vhostpci_target_parse(const struct netdev *, const struct smap *args,
                          struct vhostpci_target *, char **errp);
bool vhostpci_target_equals(const struct vhostpci_target *,
                            const struct vhostpci_target *);
void vhostpci_target_destroy(struct vhostpci_target *);

/* Calls set_config() of 'base' with those options of 'args' that 'base' knows,
 * and with 'devargs' as the device. */
int vhostpci_base_set_config(const struct netdev_class *base, struct netdev *,
                             const struct smap *args, const char *devargs,
                             char **errp);

/* Finds the target's device, and makes 'base' attach 'netdev' to the device.
 * Returns 0 and sets '*devargs' to the device's name as given to 'base', for
 * further calls of vhostpci_base_set_config(); the caller frees '*devargs'.
 * Otherwise returns a positive errno value.  EADDRNOTAVAIL: the driver cannot
 * listen at the target's socket now, or the target's device lacks the
 * function; only another try shows when that changes. */
int vhostpci_target_attach(const struct netdev_class *base, struct netdev *,
                           const struct smap *args,
                           const struct vhostpci_target *, char **devargs,
                           char **errp);

#endif /* netdev-vhostpci-find.h */
