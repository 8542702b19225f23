/*
 * vhost-pci-base-pci: the abstract PCI shell of vhost-pci devices. The shell
 * of a type holds the type's device and calls vhost_pci_base_pci_init().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_BASE_PCI_H
#define HW_VHOST_PCI_BASE_PCI_H

#include "hw/virtio/virtio-pci.h"
#include "vhost-pci-base.h"

#define TYPE_VHOST_PCI_BASE_PCI "vhost-pci-base-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPciBasePci, VHOST_PCI_BASE_PCI)

struct VhostPciBasePci {
    VirtIOPCIProxy parent_obj;
    VhostPciBase *vdev;         /* the device in the type's shell */
};

/* For a shell's instance_init; as virtio_instance_init_common(). */
void vhost_pci_base_pci_init(Object *proxy, void *vdev, size_t vdev_size,
                             const char *vdev_name);

#endif
