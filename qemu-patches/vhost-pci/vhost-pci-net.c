/*
 * vhost-pci-net: the virtio device. Configuration space, the two control
 * virtqueues and the driver's life cycle; what is said over the queues is in
 * vhost-pci-state.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/iov.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_ring.h"
#include "standard-headers/linux/virtio_net.h"
#include "vhost-pci-net.h"

/* Messages taken from the ackq before other work gets its turn. */
#define ACKQ_BURST      VHOST_PCI_CTRLQ_SIZE

static void vhost_pci_get_config(VirtIODevice *vdev, uint8_t *config)
{
    VhostPciNet *s = VHOST_PCI_NET(vdev);
    struct vhost_pci_net_config c = {
        .abi = cpu_to_le16(VHOST_PCI_ABI),
        .max_queue_pairs = cpu_to_le16(s->queues),
        .status = cpu_to_le32(vhost_pci_status(s)),
        .offered_features = cpu_to_le64(s->peer_features),
        .window_size = cpu_to_le64(s->window_size),
        .kick_vector = cpu_to_le16(s->kick_vector),
    };

    memcpy(c.peer_uuid, s->uuid.data, sizeof(c.peer_uuid));
    pstrcpy(c.peer_name, sizeof(c.peer_name), s->peer);
    memcpy(config, &c, sizeof(c));
}

static uint64_t vhost_pci_get_features(VirtIODevice *vdev, uint64_t features,
                                       Error **errp)
{
    return features;
}

static void vhost_pci_set_status(VirtIODevice *vdev, uint8_t status)
{
    VhostPciNet *s = VHOST_PCI_NET(vdev);
    bool on = status & VIRTIO_CONFIG_S_DRIVER_OK &&
              !(status & (VIRTIO_CONFIG_S_FAILED |
                          VIRTIO_CONFIG_S_NEEDS_RESET));

    if (on && !s->driver_on) {
        vhost_pci_driver_on(s);
    } else if (!on && s->driver_on) {
        vhost_pci_driver_off(s);
    }
}

static void vhost_pci_reset(VirtIODevice *vdev)
{
    vhost_pci_set_status(vdev, 0);
}

static void vhost_pci_handle_eventq(VirtIODevice *vdev, VirtQueue *vq)
{
    vhost_pci_state_send(VHOST_PCI_NET(vdev));
}

/* One message of the driver. Returns false if it is none. */
static bool vhost_pci_take_message(VhostPciNet *s, VirtQueueElement *elem)
{
    union {
        struct vhost_pci_hdr hdr;
        struct vhost_pci_broken broken;
    } msg = { };
    size_t len;

    len = iov_to_buf(elem->out_sg, elem->out_num, 0, &msg, sizeof(msg));
    if (len < sizeof(msg.hdr) || le32_to_cpu(msg.hdr.len) > len) {
        return false;
    }
    switch (le16_to_cpu(msg.hdr.type)) {
    case VHOST_PCI_MSG_ACK:
        vhost_pci_state_acked(s, le64_to_cpu(msg.hdr.generation));
        return true;
    case VHOST_PCI_MSG_BROKEN:
        if (le32_to_cpu(msg.hdr.len) < sizeof(msg.broken)) {
            return false;
        }
        vhost_pci_ring_broken(s, &msg.broken);
        return true;
    default:
        return false;
    }
}

static void vhost_pci_handle_ackq(VirtIODevice *vdev, VirtQueue *vq)
{
    VhostPciNet *s = VHOST_PCI_NET(vdev);
    unsigned int n;

    for (n = 0; s->driver_on && n < ACKQ_BURST; n++) {
        VirtQueueElement *elem = virtqueue_pop(vq, sizeof(*elem));
        bool ok;

        if (!elem) {
            break;
        }
        ok = vhost_pci_take_message(s, elem);
        virtqueue_push(vq, elem, 0);
        g_free(elem);
        if (!ok) {
            virtio_error(vdev, "vhost-pci-net (peer %s): malformed message "
                         "on the ackq", s->peer);
            return;
        }
    }
    if (n) {
        virtio_notify(vdev, vq);
    }
    if (n == ACKQ_BURST) {
        /* A driver that refills as fast as it is read may not hold us. */
        qemu_bh_schedule(s->queue_bh);
    }
}

static void vhost_pci_queue_bh(void *opaque)
{
    VhostPciNet *s = opaque;

    if (s->driver_on) {
        vhost_pci_handle_ackq(VIRTIO_DEVICE(s), s->ackq);
        vhost_pci_state_send(s);
    }
}

static bool vhost_pci_check_peer_name(const char *name, Error **errp)
{
    const char *p;

    if (!name || !*name) {
        error_setg(errp, "vhost-pci-net: property 'peer' must name the peer");
        return false;
    }
    if (strlen(name) >= VHOST_PCI_PEER_NAME_LEN) {
        error_setg(errp, "vhost-pci-net: property 'peer' must be shorter than "
                   "%d bytes", VHOST_PCI_PEER_NAME_LEN);
        return false;
    }
    for (p = name; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            break;
        }
    }
    if (*p || !g_utf8_validate(name, -1, NULL)) {
        error_setg(errp, "vhost-pci-net: property 'peer' must be UTF-8 "
                   "without control characters");
        return false;
    }
    return true;
}

/* Called for every object there is: another device with our peer's name? */
static int vhost_pci_same_peer(Object *obj, void *opaque)
{
    VhostPciNet *s = opaque;
    VhostPciNet *other =
        (VhostPciNet *)object_dynamic_cast(obj, TYPE_VHOST_PCI_NET);

    return other && other != s && DEVICE(other)->realized &&
           !strcmp(other->peer, s->peer);
}

static bool vhost_pci_check_properties(VhostPciNet *s, Error **errp)
{
    if (!vhost_pci_check_peer_name(s->peer, errp)) {
        return false;
    }
    /* The guest finds its ports by these names. */
    if (object_child_foreach_recursive(object_get_root(), vhost_pci_same_peer,
                                       s)) {
        error_setg(errp, "vhost-pci-net: property 'peer': another device has "
                   "the peer '%s'", s->peer);
        return false;
    }
    if (!is_power_of_2(s->window_size) ||
        s->window_size < 2 * VHOST_PCI_WINDOW_FIRST) {
        error_setg(errp, "vhost-pci-net: property 'window-size' must be a "
                   "power of two of at least %" PRIu64 " MiB",
                   (uint64_t)(2 * VHOST_PCI_WINDOW_FIRST / MiB));
        return false;
    }
    if (s->queues < 1 || s->queues > VHOST_PCI_MAX_RINGS / 2) {
        error_setg(errp, "vhost-pci-net: property 'queues' must be 1 to %d",
                   VHOST_PCI_MAX_RINGS / 2);
        return false;
    }
    if (s->ack_timeout_ms < 1 || s->ack_timeout_ms > 10000) {
        error_setg(errp, "vhost-pci-net: property 'ack-timeout' must be 1 to "
                   "10000 (milliseconds)");
        return false;
    }
    return true;
}

/* 'peer-offloads'.  Neither UFO nor USO. */
#define OFFLOADS (BIT_ULL(VIRTIO_NET_F_CSUM) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_TSO6) | \
                  BIT_ULL(VIRTIO_NET_F_HOST_ECN) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | \
                  BIT_ULL(VIRTIO_NET_F_GUEST_ECN))

/* What a bit must not be offered without: virtio 1.x, 5.1.3.1. */
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

static bool vhost_pci_check_offer(const VhostPciNet *s, Error **errp)
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

/* The bits no peer can do without, and those that follow from others. */
static uint64_t vhost_pci_offer(const VhostPciNet *s)
{
    uint64_t f = s->peer_features | BIT_ULL(VIRTIO_F_VERSION_1) |
                 BIT_ULL(VIRTIO_F_ANY_LAYOUT);

    if (s->offer_offloads) {
        f |= OFFLOADS;
    }
    if (s->queues == 1) {
        f &= ~BIT_ULL(VIRTIO_NET_F_MQ);
    }
    return f;
}

static void vhost_pci_net_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPciNet *s = VHOST_PCI_NET(dev);

    if (!vhost_pci_check_properties(s, errp)) {
        return;
    }
    s->peer_features = vhost_pci_offer(s);
    if (!vhost_pci_check_offer(s, errp)) {
        return;
    }
    if (!vhost_pci_window_init(s, errp)) {
        return;
    }
    vhost_pci_notify_init(s);
    virtio_init(vdev, VHOST_PCI_VIRTIO_ID,
                sizeof(struct vhost_pci_net_config));
    s->eventq = virtio_add_queue(vdev, VHOST_PCI_CTRLQ_SIZE,
                                 vhost_pci_handle_eventq);
    s->ackq = virtio_add_queue(vdev, VHOST_PCI_CTRLQ_SIZE,
                               vhost_pci_handle_ackq);
    s->queue_bh = qemu_bh_new(vhost_pci_queue_bh, s);

    if (!vhost_pci_state_init(s, errp)) {
        goto fail;
    }
    if (!vhost_pci_socket_init(s, errp)) {
        vhost_pci_state_cleanup(s);
        goto fail;
    }
    return;

fail:
    qemu_bh_delete(s->queue_bh);
    virtio_delete_queue(s->eventq);
    virtio_delete_queue(s->ackq);
    virtio_cleanup(vdev);
    vhost_pci_notify_cleanup(s);
    vhost_pci_window_cleanup(s);
}

static void vhost_pci_net_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPciNet *s = VHOST_PCI_NET(dev);

    /* Without a driver nothing waits: the peer can be let go at once. */
    if (s->driver_on) {
        vhost_pci_driver_off(s);
    }
    vhost_pci_socket_cleanup(s);
    vhost_pci_notify_cleanup(s);
    vhost_pci_state_cleanup(s);
    vhost_pci_window_cleanup(s);
    qemu_bh_delete(s->queue_bh);
    virtio_delete_queue(s->eventq);
    virtio_delete_queue(s->ackq);
    virtio_cleanup(vdev);
}

/*
 * A peer's memory cannot migrate, so while there is some migration is
 * blocked. Without a peer the counters are all there is: the driver has seen
 * them and they may not run backwards.
 */
static const VMStateDescription vmstate_vhost_pci_net_device = {
    .name = "vhost-pci-net-device",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(generation, VhostPciNet),
        VMSTATE_UINT64(sent_generation, VhostPciNet),
        VMSTATE_UINT64(acked_generation, VhostPciNet),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_vhost_pci_net = {
    .name = "vhost-pci-net",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

#define PEER_BIT(_name, _bit, _default) \
    DEFINE_PROP_BIT64("peer-" _name, VhostPciNet, peer_features, _bit, \
                      _default)

static Property vhost_pci_net_properties[] = {
    DEFINE_PROP_CHR("chardev", VhostPciNet, chr),
    DEFINE_PROP_STRING("peer", VhostPciNet, peer),
    DEFINE_PROP_UUID_NODEFAULT("uuid", VhostPciNet, uuid),
    DEFINE_PROP_SIZE("window-size", VhostPciNet, window_size, 4 * GiB),
    DEFINE_PROP_UINT16("queues", VhostPciNet, queues, 4),
    DEFINE_PROP_BOOL("unsealed", VhostPciNet, unsealed, false),
    DEFINE_PROP_UINT32("ack-timeout", VhostPciNet, ack_timeout_ms,
                       VHOST_PCI_ACK_TIMEOUT_MS),

    /* What the peer is offered. */
    PEER_BIT("mtu", VIRTIO_NET_F_MTU, true),
    PEER_BIT("mrg-rxbuf", VIRTIO_NET_F_MRG_RXBUF, true),
    PEER_BIT("status", VIRTIO_NET_F_STATUS, true),
    PEER_BIT("ctrl-vq", VIRTIO_NET_F_CTRL_VQ, true),
    PEER_BIT("ctrl-rx", VIRTIO_NET_F_CTRL_RX, true),
    PEER_BIT("ctrl-vlan", VIRTIO_NET_F_CTRL_VLAN, true),
    PEER_BIT("ctrl-rx-extra", VIRTIO_NET_F_CTRL_RX_EXTRA, true),
    PEER_BIT("ctrl-mac-addr", VIRTIO_NET_F_CTRL_MAC_ADDR, true),
    PEER_BIT("guest-announce", VIRTIO_NET_F_GUEST_ANNOUNCE, true),
    PEER_BIT("mq", VIRTIO_NET_F_MQ, true),
    PEER_BIT("indirect", VIRTIO_RING_F_INDIRECT_DESC, true),
    PEER_BIT("event-idx", VIRTIO_RING_F_EVENT_IDX, true),
    PEER_BIT("packed", VIRTIO_F_RING_PACKED, true),
    PEER_BIT("in-order", VIRTIO_F_IN_ORDER, true),

    /*
     * Off: an application that does not ask for them pays for checksums, and
     * loses packets to be segmented.  The first one means all of the others.
     */
    DEFINE_PROP_BOOL("peer-offloads", VhostPciNet, offer_offloads, false),
    PEER_BIT("csum", VIRTIO_NET_F_CSUM, false),
    PEER_BIT("guest-csum", VIRTIO_NET_F_GUEST_CSUM, false),
    PEER_BIT("guest-tso4", VIRTIO_NET_F_GUEST_TSO4, false),
    PEER_BIT("guest-tso6", VIRTIO_NET_F_GUEST_TSO6, false),
    PEER_BIT("guest-ecn", VIRTIO_NET_F_GUEST_ECN, false),
    PEER_BIT("host-tso4", VIRTIO_NET_F_HOST_TSO4, false),
    PEER_BIT("host-tso6", VIRTIO_NET_F_HOST_TSO6, false),
    PEER_BIT("host-ecn", VIRTIO_NET_F_HOST_ECN, false),

    /* Read only. */
    VHOST_PCI_SHOW("connected", connected),
    VHOST_PCI_SHOW("features", features),
    VHOST_PCI_SHOW("memory", memory),
    VHOST_PCI_SHOW("regions", regions),
    VHOST_PCI_SHOW("rings", rings),
    VHOST_PCI_SHOW("generation", generation),
    VHOST_PCI_SHOW("broken", broken),
    VHOST_PCI_SHOW("violations", violations),
    VHOST_PCI_SHOW("driver", driver),
    DEFINE_PROP_END_OF_LIST(),
};

static void vhost_pci_net_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, vhost_pci_net_properties);
    dc->vmsd = &vmstate_vhost_pci_net;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    vdc->realize = vhost_pci_net_realize;
    vdc->unrealize = vhost_pci_net_unrealize;
    vdc->get_config = vhost_pci_get_config;
    vdc->get_features = vhost_pci_get_features;
    vdc->set_status = vhost_pci_set_status;
    vdc->reset = vhost_pci_reset;
    vdc->vmsd = &vmstate_vhost_pci_net_device;
}

static const TypeInfo vhost_pci_net_info = {
    .name = TYPE_VHOST_PCI_NET,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VhostPciNet),
    .class_init = vhost_pci_net_class_init,
};

static void vhost_pci_net_register_types(void)
{
    type_register_static(&vhost_pci_net_info);
}

type_init(vhost_pci_net_register_types)
