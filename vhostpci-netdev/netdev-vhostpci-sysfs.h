/* SPDX-License-Identifier: Apache-2.0 */

/* PCI devices as the kernel shows them.
 *
 * This code reads only attributes that every user may read, so that an
 * unprivileged ovs-vswitchd sees the same as a privileged one. */

#ifndef NETDEV_VHOSTPCI_SYSFS_H
#define NETDEV_VHOSTPCI_SYSFS_H 1

#include <stdint.h>

struct svec;

/* Returns one sentence, without a final period, that says why net_vpci cannot
 * drive the PCI device at 'address' ("0000:01:00.0").  The caller frees the
 * string.  Returns NULL if the kernel shows no obstacle. */
char *vhostpci_sysfs_obstacle(const char *address);

/* Adds the address of each vhost-pci-net device, in ascending order. */
void vhostpci_sysfs_list(struct svec *addresses);

/* Returns a value that changes, all but certainly, when a vhost-pci-net device
 * comes or goes, or when a device's vhostpci_sysfs_obstacle() changes. */
uint32_t vhostpci_sysfs_fingerprint(void);

/* Returns the bytes of all huge pages of this machine, in use or not. */
long long int vhostpci_sysfs_hugepages(void);

#endif /* netdev-vhostpci-sysfs.h */
