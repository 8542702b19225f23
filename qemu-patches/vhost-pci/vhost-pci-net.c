/*
 * vhost-pci-net: the type of device behind a peer's virtio-net device. It adds
 * queue pairs and the features for the peer; the abstract device
 * (vhost-pci-base.h) does the rest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_net.h"
#include "vhost-pci-net.h"

/* The features of 'peer-offloads': neither UFO nor USO. */
#define OFFLOADS (BIT_ULL(VIRTIO_NET_F_CSUM) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_TSO6) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_ECN) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_ECN))

/* The features without which a bit must not be offered: virtio 1.x, 5.1.3.1. */
static const struct {
    uint8_t bit;
    const char *name;
    uint64_t one_of;
    const char *needs;
} offer_needs[] = {
    { VIRTIO_NET_F_GUEST_TSO4, "guest-tso4",
      BIT_ULL(VIRTIO_NET_F_GUEST_CSUM), "peer-guest-csum" },
    { VIRTIO_NET_F_GUEST_TSO6, "guest-tso6",
      BIT_ULL(VIRTIO_NET_F_GUEST_CSUM), "peer-guest-csum" },
    { VIRTIO_NET_F_GUEST_ECN, "guest-ecn",
      BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO6),
      "peer-guest-tso4 or peer-guest-tso6" },
    { VIRTIO_NET_F_HOST_TSO4, "host-tso4",
      BIT_ULL(VIRTIO_NET_F_CSUM), "peer-csum" },
    { VIRTIO_NET_F_HOST_TSO6, "host-tso6",
      BIT_ULL(VIRTIO_NET_F_CSUM), "peer-csum" },
    { VIRTIO_NET_F_HOST_ECN, "host-ecn",
      BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | BIT_ULL(VIRTIO_NET_F_HOST_TSO6),
      "peer-host-tso4 or peer-host-tso6" },
};

static bool vhost_pci_net_check_offer(const VhostPciBase *s, Error **errp)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(offer_needs); i++) {
        if (s->peer_features & BIT_ULL(offer_needs[i].bit) &&
            !(s->peer_features & offer_needs[i].one_of)) {
            error_setg(errp, "'peer-%s' needs %s", offer_needs[i].name,
                       offer_needs[i].needs);
            return false;
        }
    }
    return true;
}

static bool vhost_pci_net_check(VhostPciBase *s, Error **errp)
{
    VhostPciNet *n = VHOST_PCI_NET(s);

    if (n->queues < 1 || n->queues > VHOST_PCI_MAX_RINGS / 2) {
        error_setg(errp, "vhost-pci-net: property 'queues' must be 1 to %d",
                   VHOST_PCI_MAX_RINGS / 2);
        return false;
    }
    if (n->offer_offloads) {
        s->peer_features |= OFFLOADS;
    }
    if (n->queues == 1) {
        s->peer_features &= ~BIT_ULL(VIRTIO_NET_F_MQ);
    }
    return vhost_pci_net_check_offer(s, errp);
}

/* The first ring of each pair is the peer's receive queue. */
static unsigned int vhost_pci_net_n_rings(const VhostPciBase *s)
{
    return 2 * VHOST_PCI_NET(s)->queues;
}

static void vhost_pci_net_fill_function(const struct vu_core *core,
                                        struct vhost_pci_function *f)
{
    f->mtu = cpu_to_le16(core->mtu);
    f->rarp_count = cpu_to_le16(core->rarp_count);
    memcpy(f->rarp_mac, core->rarp_mac, sizeof(f->rarp_mac));
}

static const VMStateDescription vmstate_vhost_pci_net = {
    .name = "vhost-pci-net",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

static Property vhost_pci_net_properties[] = {
    DEFINE_PROP_UINT16("queues", VhostPciNet, queues, 4),

    /* Features offered to the peer. */
    VHOST_PCI_PEER_BIT("mtu", VIRTIO_NET_F_MTU, true),
    VHOST_PCI_PEER_BIT("mrg-rxbuf", VIRTIO_NET_F_MRG_RXBUF, true),
    VHOST_PCI_PEER_BIT("status", VIRTIO_NET_F_STATUS, true),
    VHOST_PCI_PEER_BIT("ctrl-vq", VIRTIO_NET_F_CTRL_VQ, true),
    VHOST_PCI_PEER_BIT("ctrl-rx", VIRTIO_NET_F_CTRL_RX, true),
    VHOST_PCI_PEER_BIT("ctrl-vlan", VIRTIO_NET_F_CTRL_VLAN, true),
    VHOST_PCI_PEER_BIT("ctrl-rx-extra", VIRTIO_NET_F_CTRL_RX_EXTRA, true),
    VHOST_PCI_PEER_BIT("ctrl-mac-addr", VIRTIO_NET_F_CTRL_MAC_ADDR, true),
    VHOST_PCI_PEER_BIT("guest-announce", VIRTIO_NET_F_GUEST_ANNOUNCE, true),
    VHOST_PCI_PEER_BIT("mq", VIRTIO_NET_F_MQ, true),

    /*
     * Off by default: an application that does not ask for offloads pays for
     * checksums, and loses packets that it would have to segment. The first
     * property stands for all others.
     */
    DEFINE_PROP_BOOL("peer-offloads", VhostPciNet, offer_offloads, false),
    VHOST_PCI_PEER_BIT("csum", VIRTIO_NET_F_CSUM, false),
    VHOST_PCI_PEER_BIT("guest-csum", VIRTIO_NET_F_GUEST_CSUM, false),
    VHOST_PCI_PEER_BIT("guest-tso4", VIRTIO_NET_F_GUEST_TSO4, false),
    VHOST_PCI_PEER_BIT("guest-tso6", VIRTIO_NET_F_GUEST_TSO6, false),
    VHOST_PCI_PEER_BIT("guest-ecn", VIRTIO_NET_F_GUEST_ECN, false),
    VHOST_PCI_PEER_BIT("host-tso4", VIRTIO_NET_F_HOST_TSO4, false),
    VHOST_PCI_PEER_BIT("host-tso6", VIRTIO_NET_F_HOST_TSO6, false),
    VHOST_PCI_PEER_BIT("host-ecn", VIRTIO_NET_F_HOST_ECN, false),
    DEFINE_PROP_END_OF_LIST(),
};

static void vhost_pci_net_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VhostPciBaseClass *k = VHOST_PCI_BASE_CLASS(klass);

    device_class_set_props(dc, vhost_pci_net_properties);
    dc->vmsd = &vmstate_vhost_pci_net;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    k->name = "vhost-pci-net";
    k->type = VHOST_PCI_TYPE_NET;
    k->protocol_features = BIT_ULL(VU_PROTOCOL_F_RARP) |
                           BIT_ULL(VU_PROTOCOL_F_NET_MTU);
    k->check = vhost_pci_net_check;
    k->n_rings = vhost_pci_net_n_rings;
    k->fill_function = vhost_pci_net_fill_function;
}

static const TypeInfo vhost_pci_net_info = {
    .name = TYPE_VHOST_PCI_NET,
    .parent = TYPE_VHOST_PCI_BASE,
    .instance_size = sizeof(VhostPciNet),
    .class_init = vhost_pci_net_class_init,
};

static void vhost_pci_net_register_types(void)
{
    type_register_static(&vhost_pci_net_info);
}

type_init(vhost_pci_net_register_types)
