/*
 * vhost-pci: the abstract virtio device: its two control virtqueues, and the
 * life cycle of the driver. The messages in the queues are in
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
#include "vhost-pci-base.h"
#include "vhost-pci-server.h"

/* Messages taken from the ackq before other work gets its turn. */
#define ACKQ_BURST      VHOST_PCI_CTRLQ_SIZE

static uint64_t vhost_pci_get_features(VirtIODevice *vdev, uint64_t features,
                                       Error **errp)
{
    return features;
}

static void vhost_pci_get_config(VirtIODevice *vdev, uint8_t *config)
{
    VhostPciBase *s = VHOST_PCI_BASE(vdev);
    unsigned int n_rings = vhost_pci_n_rings(s), n;
    struct vhost_pci_config c = {
        .magic = cpu_to_le32(VHOST_PCI_MAGIC),
        .abi = cpu_to_le16(VHOST_PCI_ABI),
        .n_functions = cpu_to_le16(s->n_functions),
        .flags = cpu_to_le32(VHOST_PCI_F_REVOKE_HARMLESS),
        .status = cpu_to_le32(vhost_pci_status(s)),
        .kick_vector = cpu_to_le16(s->kick_vector),
        .n_kick_vectors = cpu_to_le16(s->n_kick_vectors),
        .n_rings = cpu_to_le16(s->n_functions * n_rings),
    };

    for (n = 0; n < s->n_functions; n++) {
        if (s->functions[n].exists) {
            c.functions[n] = (struct vhost_pci_function_config) {
                .type = cpu_to_le16(VHOST_PCI_BASE_GET_CLASS(s)->type),
                .first_ring = cpu_to_le16(s->functions[n].first_ring),
                .max_rings = cpu_to_le16(n_rings),
                .offered_features = cpu_to_le64(s->peer_features),
            };
        }
    }
    memcpy(c.peer_uuid, s->uuid.data, sizeof(c.peer_uuid));
    pstrcpy(c.peer_name, sizeof(c.peer_name), s->peer);
    memcpy(config, &c, sizeof(c));
}

static void vhost_pci_set_status(VirtIODevice *vdev, uint8_t status)
{
    VhostPciBase *s = VHOST_PCI_BASE(vdev);
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
    vhost_pci_state_send(VHOST_PCI_BASE(vdev));
}

/* Handle one message of the driver. Returns false if it is not a message. */
static bool vhost_pci_take_message(VhostPciBase *s, VirtQueueElement *elem)
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
    VhostPciBase *s = VHOST_PCI_BASE(vdev);
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
            virtio_error(vdev, "%s (peer %s): malformed message on the "
                         "ackq", vhost_pci_name(s), s->peer);
            return;
        }
    }
    if (n) {
        virtio_notify(vdev, vq);
    }
    if (n == ACKQ_BURST) {
        /*
         * Go on later: a driver that refills the queue at once may not hold us.
         */
        qemu_bh_schedule(s->queue_bh);
    }
}

static void vhost_pci_queue_bh(void *opaque)
{
    VhostPciBase *s = opaque;

    if (s->driver_on) {
        vhost_pci_handle_ackq(VIRTIO_DEVICE(s), s->ackq);
        vhost_pci_state_send(s);
    }
}

static bool vhost_pci_check_peer_name(const VhostPciBase *s, Error **errp)
{
    const char *name = s->peer, *who = vhost_pci_name(s);
    const char *p;

    if (!name || !*name) {
        error_setg(errp, "%s: property 'peer' must name the peer", who);
        return false;
    }
    if (strlen(name) >= VHOST_PCI_PEER_NAME_LEN) {
        error_setg(errp, "%s: property 'peer' must be shorter than "
                   "%d bytes", who, VHOST_PCI_PEER_NAME_LEN);
        return false;
    }
    for (p = name; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            break;
        }
    }
    if (*p || !g_utf8_validate(name, -1, NULL)) {
        error_setg(errp, "%s: property 'peer' must be UTF-8 "
                   "without control characters", who);
        return false;
    }
    return true;
}

/* Called for every object: is it another device with our peer's name? */
static int vhost_pci_same_peer(Object *obj, void *opaque)
{
    VhostPciBase *s = opaque;
    VhostPciBase *other =
        (VhostPciBase *)object_dynamic_cast(obj, TYPE_VHOST_PCI_BASE);

    return other && other != s && DEVICE(other)->realized &&
           !other->leaving && !strcmp(other->peer, s->peer);
}

static bool vhost_pci_check_properties(VhostPciBase *s, Error **errp)
{
    const char *who = vhost_pci_name(s);

    if (!vhost_pci_check_peer_name(s, errp)) {
        return false;
    }
    /* The guest finds its ports by these names. */
    if (object_child_foreach_recursive(object_get_root(), vhost_pci_same_peer,
                                       s)) {
        error_setg(errp, "%s: property 'peer': another device has "
                   "the peer '%s'", who, s->peer);
        return false;
    }
    if (!is_power_of_2(s->window_size) ||
        s->window_size < 2 * VHOST_PCI_WINDOW_FIRST) {
        error_setg(errp, "%s: property 'window-size' must be a "
                   "power of two of at least %" PRIu64 " MiB", who,
                   (uint64_t)(2 * VHOST_PCI_WINDOW_FIRST / MiB));
        return false;
    }
    return true;
}

bool vhost_pci_check_offer(VhostPciBase *s, Error **errp)
{
    const char *who = vhost_pci_name(s);

    if (s->max_regions < 1 || s->max_regions > VHOST_PCI_MAX_REGIONS) {
        error_setg(errp, "%s: property 'max-regions' must be 1 to %d", who,
                   VHOST_PCI_MAX_REGIONS);
        return false;
    }
    if (s->ack_timeout_ms < 1 || s->ack_timeout_ms > 10000) {
        error_setg(errp, "%s: property 'ack-timeout' must be 1 to "
                   "10000 (milliseconds)", who);
        return false;
    }
    if (s->n_functions < 1 || s->n_functions > VHOST_PCI_MAX_FUNCTIONS) {
        error_setg(errp, "%s: property 'max-functions' must be 1 to %d", who,
                   VHOST_PCI_MAX_FUNCTIONS);
        return false;
    }
    /* Every peer needs these bits. */
    s->peer_features |= BIT_ULL(VIRTIO_F_VERSION_1) |
                        BIT_ULL(VIRTIO_F_ANY_LAYOUT);
    if (!VHOST_PCI_BASE_GET_CLASS(s)->check(s, errp)) {
        return false;
    }
    if (s->n_functions * vhost_pci_n_rings(s) > VHOST_PCI_MAX_DEVICE_RINGS) {
        error_setg(errp, "%s: %" PRIu32 " functions of %u rings each are more "
                   "than the %d rings of a device", who, s->n_functions,
                   vhost_pci_n_rings(s), VHOST_PCI_MAX_DEVICE_RINGS);
        return false;
    }
    return true;
}

static void vhost_pci_functions_new(VhostPciBase *s)
{
    unsigned int n;

    s->functions = g_new0(VhostPciFunction, s->n_functions);
    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        f->dev = s;
        f->index = n;
        f->first_ring = n * vhost_pci_n_rings(s);
        f->core = vhost_pci_no_core();
    }
    s->functions[0].exists = true;
}

static void vhost_pci_base_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPciBase *s = VHOST_PCI_BASE(dev);

    if (!vhost_pci_check_properties(s, errp) ||
        !vhost_pci_check_offer(s, errp)) {
        return;
    }
    vhost_pci_functions_new(s);
    if (!vhost_pci_window_init(s, errp)) {
        g_free(s->functions);
        return;
    }
    vhost_pci_notify_init(s);
    virtio_init(vdev, VHOST_PCI_VIRTIO_ID, sizeof(struct vhost_pci_config));
    s->eventq = virtio_add_queue(vdev, VHOST_PCI_CTRLQ_SIZE,
                                 vhost_pci_handle_eventq);
    s->ackq = virtio_add_queue(vdev, VHOST_PCI_CTRLQ_SIZE,
                               vhost_pci_handle_ackq);
    s->queue_bh = qemu_bh_new(vhost_pci_queue_bh, s);

    if (!vhost_pci_state_init(s, errp)) {
        goto fail;
    }
    if (s->server ? !vhost_pci_server_plugged(s->server, s, errp) :
        !vhost_pci_session_init(&s->own, s, &s->chr, NULL, NULL, errp)) {
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
    g_free(s->functions);
}

static void vhost_pci_base_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPciBase *s = VHOST_PCI_BASE(dev);

    /* Let the driver go first: without a driver no session waits. */
    if (s->driver_on) {
        vhost_pci_driver_off(s);
    }
    if (s->server) {
        vhost_pci_server_unplugged(s->server, s);
    } else {
        vhost_pci_session_cleanup(&s->own);
    }
    vhost_pci_notify_cleanup(s);
    vhost_pci_state_cleanup(s);
    vhost_pci_window_cleanup(s);
    qemu_bh_delete(s->queue_bh);
    virtio_delete_queue(s->eventq);
    virtio_delete_queue(s->ackq);
    virtio_cleanup(vdev);
    g_clear_pointer(&s->functions, g_free);
}

/*
 * A peer's memory cannot migrate, so the device blocks migration while it has
 * such memory. Without a peer the counters are the whole state: the driver has
 * seen them, and they must not go back.
 */
static const VMStateDescription vmstate_vhost_pci_base = {
    .name = "vhost-pci-base",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(generation, VhostPciBase),
        VMSTATE_UINT64(sent_generation, VhostPciBase),
        VMSTATE_UINT64(acked_generation, VhostPciBase),
        VMSTATE_END_OF_LIST()
    },
};

static Property vhost_pci_base_properties[] = {
    DEFINE_PROP_CHR("chardev", VhostPciBase, chr),
    /* The server sets this in the devices that it makes. */
    DEFINE_PROP_LINK("server", VhostPciBase, server, TYPE_VHOST_PCI_SERVER,
                     VhostPciServer *),
    DEFINE_PROP_STRING("peer", VhostPciBase, peer),
    DEFINE_PROP_UUID_NODEFAULT("uuid", VhostPciBase, uuid),
    DEFINE_PROP_SIZE("window-size", VhostPciBase, window_size, 4 * GiB),
    DEFINE_PROP_BOOL("unsealed", VhostPciBase, unsealed, false),
    DEFINE_PROP_BOOL("x-ioeventfd", VhostPciBase, force_ioeventfd, false),
    DEFINE_PROP_UINT32("max-regions", VhostPciBase, max_regions,
                       VHOST_PCI_DEFAULT_REGIONS),
    DEFINE_PROP_UINT32("max-functions", VhostPciBase, n_functions, 1),
    DEFINE_PROP_UINT32("ack-timeout", VhostPciBase, ack_timeout_ms,
                       VHOST_PCI_ACK_TIMEOUT_MS),

    /* Offered to the peer of any type of device. */
    VHOST_PCI_PEER_BIT("indirect", VIRTIO_RING_F_INDIRECT_DESC, true),
    VHOST_PCI_PEER_BIT("event-idx", VIRTIO_RING_F_EVENT_IDX, true),
    VHOST_PCI_PEER_BIT("packed", VIRTIO_F_RING_PACKED, true),
    VHOST_PCI_PEER_BIT("in-order", VIRTIO_F_IN_ORDER, true),

    /* Read only. */
    VHOST_PCI_SHOW("connected", connected),
    VHOST_PCI_SHOW("features", features),
    VHOST_PCI_SHOW("memory", memory),
    VHOST_PCI_SHOW("regions", regions),
    VHOST_PCI_SHOW("rings", rings),
    VHOST_PCI_SHOW("generation", generation),
    VHOST_PCI_SHOW("broken", broken),
    VHOST_PCI_SHOW("violations", violations),
    VHOST_PCI_SHOW("kicks", kicks),
    VHOST_PCI_SHOW("driver", driver),
    DEFINE_PROP_END_OF_LIST(),
};

static void vhost_pci_base_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, vhost_pci_base_properties);
    vdc->realize = vhost_pci_base_realize;
    vdc->unrealize = vhost_pci_base_unrealize;
    vdc->get_features = vhost_pci_get_features;
    vdc->get_config = vhost_pci_get_config;
    vdc->set_status = vhost_pci_set_status;
    vdc->reset = vhost_pci_reset;
    vdc->vmsd = &vmstate_vhost_pci_base;
}

static const TypeInfo vhost_pci_base_info = {
    .name = TYPE_VHOST_PCI_BASE,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VhostPciBase),
    .class_size = sizeof(VhostPciBaseClass),
    .abstract = true,
    .class_init = vhost_pci_base_class_init,
};

static void vhost_pci_base_register_types(void)
{
    type_register_static(&vhost_pci_base_info);
}

type_init(vhost_pci_base_register_types)
