/* SPDX-License-Identifier: Apache-2.0 */

/* PCI devices as the kernel shows them.
 *
 * Only attributes that every user may read are used, so that an unprivileged
 * ovs-vswitchd sees the same as a privileged one. */

#ifndef NETDEV_VHOSTPCI_SYSFS_H
#define NETDEV_VHOSTPCI_SYSFS_H 1

#include <stdint.h>

struct svec;

/* Says in one sentence, without a final period, why net_vpci cannot
 * drive the PCI device at 'address' ("0000:01:00.0").  The caller frees the
 * string.  NULL: nothing is in the way as far as the kernel shows. */
char *vhostpci_sysfs_obstacle(const char *address);

/* Adds the address of each vhost-pci-net device, in ascending order. */
void vhostpci_sysfs_list(struct svec *addresses);

/* A value that changes, all but certainly, when a vhost-pci-net device comes
 * or goes or when its vhostpci_sysfs_obstacle() changes. */
uint32_t vhostpci_sysfs_fingerprint(void);

/* The bytes of all huge pages of this machine, in use or not. */
long long int vhostpci_sysfs_hugepages(void);

#endif /* netdev-vhostpci-sysfs.h */
