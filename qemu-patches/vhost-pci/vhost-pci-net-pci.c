/*
 * vhost-pci-net-pci: the PCI shell of vhost-pci-net.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_ids.h"
#include "vhost-pci-base-pci.h"
#include "vhost-pci-net.h"

#define TYPE_VHOST_PCI_NET_PCI "vhost-pci-net-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPciNetPci, VHOST_PCI_NET_PCI)

struct VhostPciNetPci {
    VhostPciBasePci parent_obj;
    VhostPciNet vdev;
};

static void vhost_pci_net_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pk = PCI_DEVICE_CLASS(klass);

    dc->desc = "Device side of another VM's virtio-net device";
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    pk->class_id = PCI_CLASS_NETWORK_OTHER;
}

static void vhost_pci_net_pci_instance_init(Object *obj)
{
    VhostPciNetPci *dev = VHOST_PCI_NET_PCI(obj);

    vhost_pci_base_pci_init(obj, &dev->vdev, sizeof(dev->vdev),
                            TYPE_VHOST_PCI_NET);
}

static const VirtioPCIDeviceTypeInfo vhost_pci_net_pci_info = {
    .generic_name = TYPE_VHOST_PCI_NET_PCI,
    .parent = TYPE_VHOST_PCI_BASE_PCI,
    .instance_size = sizeof(VhostPciNetPci),
    .instance_init = vhost_pci_net_pci_instance_init,
    .class_init = vhost_pci_net_pci_class_init,
};

static void vhost_pci_net_pci_register(void)
{
    virtio_pci_types_register(&vhost_pci_net_pci_info);
}

type_init(vhost_pci_net_pci_register)
