/*
 * vhost-pci-base-pci: the abstract PCI shell of vhost-pci devices.
 *
 *   BAR 0    doorbells, 4 KiB
 *   BAR 1    MSI-X: configuration, eventq, ackq, then kicks
 *   BAR 2/3  state pages, and the window on the peer's memory; 64 bit,
 *            prefetchable, because the guest may map it write-back
 *   BAR 4/5  virtio 1.x registers
 * Three shared memory capabilities tell the driver where these are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/pci/pci_ids.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-pci.h"
#include "standard-headers/linux/virtio_pci.h"
#include "vhost-pci-base-pci.h"
#include "vhost-pci-server.h"

#define DOORBELL_BAR    0
#define WINDOW_BAR      2

static bool vhost_pci_add_area(PCIDevice *pdev, enum vhost_pci_area id,
                               uint8_t bar, uint64_t offset, uint64_t length,
                               Error **errp)
{
    struct virtio_pci_cap64 cap = {
        .cap.cap_len = sizeof(cap),
        .cap.cfg_type = VIRTIO_PCI_CAP_SHARED_MEMORY_CFG,
        .cap.bar = bar,
        .cap.id = id,
        .cap.offset = cpu_to_le32(offset),
        .cap.length = cpu_to_le32(length),
        .offset_hi = cpu_to_le32(offset >> 32),
        .length_hi = cpu_to_le32(length >> 32),
    };
    int pos;

    pos = pci_add_capability(pdev, PCI_CAP_ID_VNDR, 0, sizeof(cap), errp);
    if (pos < 0) {
        return false;
    }
    /* pci_add_capability() has written the first two bytes, id and next. */
    memcpy(pdev->config + pos + PCI_CAP_FLAGS,
           (uint8_t *)&cap + PCI_CAP_FLAGS, sizeof(cap) - PCI_CAP_FLAGS);
    return true;
}

static bool vhost_pci_add_areas(PCIDevice *pdev, const VhostPciBase *s,
                                Error **errp)
{
    return vhost_pci_add_area(pdev, VHOST_PCI_AREA_STATE, WINDOW_BAR, 0,
                              s->n_functions * VHOST_PCI_STATE_PAGE_SIZE,
                              errp) &&
           vhost_pci_add_area(pdev, VHOST_PCI_AREA_WINDOW, WINDOW_BAR, 0,
                              s->window_size, errp) &&
           vhost_pci_add_area(pdev, VHOST_PCI_AREA_DOORBELL, DOORBELL_BAR, 0,
                              VHOST_PCI_DOORBELL_SIZE, errp);
}

static void vhost_pci_base_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VhostPciBase *s = VHOST_PCI_BASE_PCI(proxy)->vdev;
    PCIDevice *pdev = &proxy->pci_dev;
    unsigned int vectors;

    if (pci_is_express(pdev)) {
        error_setg(errp, "%s-pci: property 'x-disable-pcie' must be on: a PCI "
                   "Express capability leaves no room for the device's own",
                   vhost_pci_name(s));
        return;
    }
    if (s->server) {
        vhost_pci_server_configure(s->server, s);
    }
    vectors = VHOST_PCI_CTRL_VECTORS + s->n_functions * vhost_pci_n_rings(s);
    virtio_pci_force_virtio_1(proxy);
    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        proxy->nvectors = vectors;
    }
    s->pdev = pdev;
    if (!qdev_realize(DEVICE(s), BUS(&proxy->bus), errp)) {
        return;
    }

    pci_register_bar(pdev, DOORBELL_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->doorbell_mr);
    pci_register_bar(pdev, WINDOW_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->window);
    if (!vhost_pci_add_areas(pdev, s, errp)) {
        return;
    }
    /* The machine may lack MSI-X, or the user may want fewer vectors. */
    if (proxy->nvectors > VHOST_PCI_CTRL_VECTORS) {
        s->kick_vector = VHOST_PCI_CTRL_VECTORS;
        s->n_kick_vectors = MIN(proxy->nvectors, vectors) -
                            VHOST_PCI_CTRL_VECTORS;
    }
    vhost_pci_notify_plugged(s);
}

static Property vhost_pci_base_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
    DEFINE_PROP_END_OF_LIST(),
};

static void vhost_pci_base_pci_class_init(ObjectClass *klass, void *data)
{
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pk = PCI_DEVICE_CLASS(klass);

    device_class_set_props(DEVICE_CLASS(klass), vhost_pci_base_pci_properties);
    k->realize = vhost_pci_base_pci_realize;
    pk->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pk->revision = VIRTIO_PCI_ABI_VERSION;
}

void vhost_pci_base_pci_init(Object *proxy, void *vdev, size_t vdev_size,
                             const char *vdev_name)
{
    virtio_instance_init_common(proxy, vdev, vdev_size, vdev_name);
    VHOST_PCI_BASE_PCI(proxy)->vdev = VHOST_PCI_BASE(vdev);
    /*
     * virtio's five capabilities and the express one leave 24 bytes of the
     * 192 that standard configuration space has: no room for three areas.
     * A conventional function works in every slot, root ports included.
     */
    VIRTIO_PCI(proxy)->flags |= VIRTIO_PCI_FLAG_DISABLE_PCIE;
}

static const TypeInfo vhost_pci_base_pci_info = {
    .name = TYPE_VHOST_PCI_BASE_PCI,
    .parent = TYPE_VIRTIO_PCI,
    .instance_size = sizeof(VhostPciBasePci),
    .class_init = vhost_pci_base_pci_class_init,
    .abstract = true,
};

static void vhost_pci_base_pci_register(void)
{
    type_register_static(&vhost_pci_base_pci_info);
}

type_init(vhost_pci_base_pci_register)
