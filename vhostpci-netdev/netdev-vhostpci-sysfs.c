/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-sysfs.h. */

#include <config.h>
#include "netdev-vhostpci-sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "svec.h"
#include "util.h"

/* protocol/vhost_pci.h: VHOST_PCI_VENDOR_ID, VHOST_PCI_DEVICE_ID and
 * VHOST_PCI_GENERIC_DEVICE_ID. */
#define VHOST_PCI_VENDOR 0x1af4
#define VHOST_PCI_DEVICE 0x1077
#define VHOST_PCI_GENERIC_DEVICE 0x1055

/* DPDK's PCI bus obeys this environment variable, too: both must look at the
 * same devices. */
static const char *
sysfs_root(void)
{
    const char *root = getenv("SYSFS_PCI_DEVICES");

    return root ? root : "/sys/bus/pci/devices";
}

/* Reads a hexadecimal attribute.  Returns -1 if the attribute does not
 * exist. */
static long
read_hex(const char *address, const char *attribute)
{
    char *path = xasprintf("%s/%s/%s", sysfs_root(), address, attribute);
    FILE *stream = fopen(path, "r");
    long value = -1;

    if (stream) {
        if (fscanf(stream, "%lx", (unsigned long *) &value) != 1) {
            value = -1;
        }
        fclose(stream);
    }
    free(path);
    return value;
}

static bool
is_ours(long vendor, long device)
{
    return (vendor == VHOST_PCI_VENDOR
            && (device == VHOST_PCI_DEVICE
                || device == VHOST_PCI_GENERIC_DEVICE));
}

/* Returns the last component of the target of symbolic link 'name', or NULL if
 * there is no such link.  The caller frees the string. */
static char *
read_link(const char *address, const char *name)
{
    char *path = xasprintf("%s/%s/%s", sysfs_root(), address, name);
    char target[512];
    ssize_t n = readlink(path, target, sizeof target - 1);

    free(path);
    if (n < 0) {
        return NULL;
    }
    target[n] = '\0';
    return xstrdup(strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
}

/* ovs-vswitchd opens the device's VFIO group by its file below /dev/vfio. */
static char *
vfio_obstacle(const char *address)
{
    char *group = read_link(address, "iommu_group");
    char *node, *noiommu;
    char *reason = NULL;

    if (!group) {
        return xasprintf("PCI device %s is bound to vfio-pci but has no IOMMU "
                         "group; boot with an IOMMU, or bind it to "
                         "uio_pci_generic", address);
    }

    node = xasprintf("/dev/vfio/%s", group);
    noiommu = xasprintf("/dev/vfio/noiommu-%s", group);
    if (faccessat(AT_FDCWD, node, R_OK | W_OK, AT_EACCESS)) {
        int error = errno;

        if (faccessat(AT_FDCWD, noiommu, R_OK | W_OK, AT_EACCESS)) {
            reason = xasprintf("PCI device %s cannot be opened: %s: %s; the "
                               "user of ovs-vswitchd needs access to that "
                               "file", address, node, ovs_strerror(error));
        }
    }
    free(noiommu);
    free(node);
    free(group);
    return reason;
}

/* The UIO drivers leave configuration space and BARs to sysfs files that only
 * root may write. */
static char *
uio_obstacle(const char *address, const char *driver)
{
    char *path = xasprintf("%s/%s/config", sysfs_root(), address);
    char *reason = NULL;

    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS)) {
        reason = xasprintf("PCI device %s is bound to %s, which only a "
                           "privileged ovs-vswitchd can use; bind it to "
                           "vfio-pci", address, driver);
    }
    free(path);
    return reason;
}

char *
vhostpci_sysfs_obstacle(const char *address)
{
    long vendor = read_hex(address, "vendor");
    long device = read_hex(address, "device");
    char *driver, *reason;

    if (vendor < 0 || device < 0) {
        return xasprintf("there is no PCI device %s", address);
    }
    if (!is_ours(vendor, device)) {
        return xasprintf("PCI device %s is a %04lx:%04lx, not a vhost-pci-net "
                         "device (%04x:%04x)", address, vendor, device,
                         VHOST_PCI_VENDOR, VHOST_PCI_DEVICE);
    }

    driver = read_link(address, "driver");
    if (!driver) {
        return xasprintf("PCI device %s is bound to no kernel driver; bind it "
                         "to vfio-pci or uio_pci_generic", address);
    }
    if (!strcmp(driver, "vfio-pci")) {
        reason = vfio_obstacle(address);
    } else if (!strcmp(driver, "uio_pci_generic")
               || !strcmp(driver, "igb_uio")) {
        reason = uio_obstacle(address, driver);
    } else {
        reason = xasprintf("PCI device %s is bound to kernel driver '%s'; "
                           "bind it to vfio-pci or uio_pci_generic", address,
                           driver);
    }
    free(driver);
    return reason;
}

void
vhostpci_sysfs_list(struct svec *addresses)
{
    DIR *dir = opendir(sysfs_root());
    struct dirent *entry;

    if (!dir) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.'
            && is_ours(read_hex(entry->d_name, "vendor"),
                       read_hex(entry->d_name, "device"))) {
            svec_add(addresses, entry->d_name);
        }
    }
    closedir(dir);
    svec_sort(addresses);
}

uint32_t
vhostpci_sysfs_fingerprint(void)
{
    struct svec addresses = SVEC_EMPTY_INITIALIZER;
    const char *address;
    uint32_t hash = 0;
    size_t i;

    vhostpci_sysfs_list(&addresses);
    SVEC_FOR_EACH (i, address, &addresses) {
        char *reason = vhostpci_sysfs_obstacle(address);

        hash = hash_string(address, hash);
        hash = hash_string(reason ? reason : "", hash);
        free(reason);
    }
    svec_destroy(&addresses);
    return hash;
}

long long int
vhostpci_sysfs_hugepages(void)
{
    static const char folder[] = "/sys/kernel/mm/hugepages";
    DIR *dir = opendir(folder);
    long long int bytes = 0;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        long long int kib, pages;

        if (ovs_scan(entry->d_name, "hugepages-%llikB", &kib)) {
            char *file = xasprintf("%s/%s/nr_hugepages", folder,
                                   entry->d_name);
            FILE *stream = fopen(file, "r");

            if (stream && fscanf(stream, "%lli", &pages) == 1) {
                bytes += kib * 1024 * pages;
            }
            if (stream) {
                fclose(stream);
            }
            free(file);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return bytes;
}
