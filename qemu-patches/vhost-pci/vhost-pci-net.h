/*
 * vhost-pci-net: the device that shows another VM's virtio-net rings and
 * memory to the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_NET_H
#define HW_VHOST_PCI_NET_H

#include "vhost-pci-base.h"

#define TYPE_VHOST_PCI_NET "vhost-pci-net-device"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPciNet, VHOST_PCI_NET)

struct VhostPciNet {
    VhostPciBase parent_obj;

    /* Properties. */
    uint16_t queues;            /* pairs */
    bool offer_offloads;
};

#endif
