/*
 * vhost-pci-server: a device without a bus that listens for peers, see
 * vhost-pci-server.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "io/channel-socket.h"
#include "vhost-pci-server.h"

/* The smallest window. Twice the memory of a small peer may be too little: the
 * first 2 MiB hold no region, and the offset of a region equals its offset in
 * the file modulo 2 MiB. */
#define MIN_WINDOW      (16 * MiB)
/* Connections that wait to be accepted. */
#define BACKLOG         64
/* Connections without a device, beside those of all peers. */
#define MORE_CONNS      64
/* Unused closers to keep for the next connections. */
#define SPARE_CLOSERS   2
/*
 * Limits for decisions, which give a connection a device: a burst at once, then
 * one for each interval.
 */
#define DECISIONS_BURST         64
#define DECISIONS_INTERVAL_MS   100
/* Time to the next check of closers that were busy. */
#define LOOK_MS         1000

/* Properties of the device that the server has, too, besides peer-*. */
static const char *const device_properties[] = {
    "ack-timeout", "max-functions", "max-regions", "queues", "unsealed",
};

void vhost_pci_server_wake(VhostPciServer *v)
{
    qemu_bh_schedule(v->bh);
}

/*
 * At most one thread for each possible connection. If a stranger makes a closer
 * wait for ever, and comes again, the new connection gets a new closer while
 * there is room; after that it shares a closer that is stuck.
 */
VhostPciCloser *vhost_pci_server_closer(VhostPciServer *v)
{
    unsigned int i;

    for (i = 0; i < v->n_closers; i++) {
        if (vhost_pci_closer_unused(v->closers[i])) {
            return vhost_pci_closer_ref(v->closers[i]);
        }
    }
    if (v->n_closers < v->table.config.max_conns) {
        v->closers[v->n_closers++] = vhost_pci_closer_new();
        return vhost_pci_closer_ref(v->closers[v->n_closers - 1]);
    }
    return vhost_pci_closer_ref(v->closers[v->table.connects % v->n_closers]);
}

/*
 * End the threads that a crowd of connections has left behind. Returns true if
 * there are still more than needed.
 */
static bool vhost_pci_server_trim(VhostPciServer *v)
{
    unsigned int i, spare = 0, used = 0;
    VhostPciClient *c;

    for (i = 0; i < v->n_closers;) {
        if (vhost_pci_closer_unused(v->closers[i]) && ++spare > SPARE_CLOSERS) {
            vhost_pci_closer_unref(v->closers[i]);
            v->closers[i] = v->closers[--v->n_closers];
        } else {
            i++;
        }
    }
    QTAILQ_FOREACH(c, &v->clients, next) {
        used++;
    }
    return v->n_closers > used + SPARE_CLOSERS;
}

bool vhost_pci_server_may_decide(VhostPciServer *v)
{
    if (!vhost_pci_ration_left(&v->decisions, DECISIONS_BURST,
                               DECISIONS_INTERVAL_MS)) {
        v->look_again = true;
        return false;
    }
    vhost_pci_ration_take(&v->decisions, 1);
    return true;
}

static void vhost_pci_server_arm(VhostPciServer *v)
{
    uint64_t deadline = peers_deadline(&v->table);
    unsigned int i;

    if (v->look_again) {
        deadline = MIN(deadline, vhost_pci_now() + DECISIONS_INTERVAL_MS);
    }
    for (i = 0; i < PEERS_MAX; i++) {
        if (v->peers[i].ask_at) {
            deadline = MIN(deadline, v->peers[i].ask_at);
        }
    }
    if (vhost_pci_server_trim(v)) {
        deadline = MIN(deadline, vhost_pci_now() + LOOK_MS);
    }
    if (deadline == PEERS_NEVER) {
        timer_del(v->timer);
    } else {
        timer_mod(v->timer, MIN(deadline, INT64_MAX / SCALE_MS));
    }
}

static void vhost_pci_server_bh(void *opaque)
{
    VhostPciServer *v = opaque;
    VhostPciClient *c, *next;
    unsigned int i;

    v->look_again = false;
    QTAILQ_FOREACH_SAFE(c, &v->clients, next, next) {
        vhost_pci_client_work(c);
    }
    for (i = 0; i < PEERS_MAX; i++) {
        if (v->peers[i].ask_at && v->peers[i].ask_at <= vhost_pci_now()) {
            vhost_pci_port_unplug(v, i);
        }
    }
    vhost_pci_server_arm(v);
}

static void vhost_pci_server_expire(void *opaque)
{
    VhostPciServer *v = opaque;

    peers_expire(&v->table, vhost_pci_now());
    /* The bottom half also sets the timer again. */
    vhost_pci_server_wake(v);
}

/* Callbacks of the table */

static int vhost_pci_server_op_plug(void *opaque, unsigned int peer)
{
    VhostPciServer *v = opaque;
    Error *err = NULL;
    int ret = vhost_pci_port_plug(v, peer, &err);

    if (ret < 0) {
        vhost_pci_server_warn(v, "no device for peer '%s': %s",
                              v->table.peers[peer].name,
                              error_get_pretty(err));
        error_free(err);
    }
    return ret;
}

static void vhost_pci_server_op_unplug(void *opaque, unsigned int peer)
{
    VhostPciServer *v = opaque;

    v->peers[peer].ask_at = vhost_pci_now();
    vhost_pci_peer_let_go(&v->peers[peer]);
    vhost_pci_server_wake(v);
}

static void vhost_pci_server_op_event(void *opaque,
                                      const struct peers_event *event)
{
    VhostPciServer *v = opaque;
    VhostPciClient *c = event->conn < 0 ? NULL : v->conns[event->conn];

    vhost_pci_server_tell(v, event, c);
    switch (event->what) {
    case PEERS_CONNECTED:
        vhost_pci_peer_let_go(&v->peers[event->peer]);
        break;
    case PEERS_IS_LOST:
        vhost_pci_peer_hold(&v->peers[event->peer], c);
        break;
    case PEERS_REFUSED:
        v->refused++;
        if (c) {
            /*
             * The table has dropped the connection; the caller may ask for its
             * memory next.
             */
            c->known = false;
            c->dropped = true;
            vhost_pci_server_wake(v);
        }
        break;
    default:
        break;
    }
}

static const struct peers_ops vhost_pci_server_ops = {
    .plug = vhost_pci_server_op_plug,
    .unplug = vhost_pci_server_op_unplug,
    .event = vhost_pci_server_op_event,
};

/* Devices */

void vhost_pci_server_configure(VhostPciServer *v, VhostPciBase *s)
{
    const VhostPciBase *like = VHOST_PCI_BASE(&v->like);

    s->peer_features = like->peer_features;
    s->ack_timeout_ms = like->ack_timeout_ms;
    s->unsealed = like->unsealed;
    s->max_regions = like->max_regions;
    s->n_functions = like->n_functions;
    VHOST_PCI_NET(s)->queues = v->like.queues;
}

bool vhost_pci_server_plugged(VhostPciServer *v, VhostPciBase *s, Error **errp)
{
    if (v->plugging < 0) {
        error_setg(errp, "%s: property 'server' is for devices that the "
                   "server makes", vhost_pci_name(s));
        return false;
    }
    v->peers[v->plugging].dev = s;
    return true;
}

/* End all connections of @peer, including those that wait for a function. */
static void vhost_pci_server_end_peer(VhostPciServer *v, unsigned int peer)
{
    VhostPciClient *c;

    QTAILQ_FOREACH(c, &v->clients, next) {
        if (c->known && v->table.conns[c->conn].peer == peer) {
            vhost_pci_client_end(c);
        }
    }
}

/*
 * The device is unplugged, whoever asked for that. A peer that is still present
 * must connect again.
 */
void vhost_pci_server_unplugged(VhostPciServer *v, VhostPciBase *s)
{
    unsigned int i;

    for (i = 0; i < s->n_functions; i++) {
        if (s->functions[i].session) {
            vhost_pci_client_end(s->functions[i].session->opaque);
        }
    }
    for (i = 0; i < PEERS_MAX; i++) {
        if (v->peers[i].dev != s) {
            continue;
        }
        v->peers[i].dev = NULL;
        /* Skip this if the device could not be plugged in the first place. */
        if (v->plugging != i) {
            vhost_pci_server_end_peer(v, i);
            peers_unplugged(&v->table, i);
        }
        v->peers[i].ask_at = 0;
        vhost_pci_peer_let_go(&v->peers[i]);
    }
    vhost_pci_server_wake(v);
}

/* The socket */

static void vhost_pci_server_accept(QIONetListener *listener,
                                    QIOChannelSocket *channel, gpointer opaque)
{
    int fd = channel->fd;

    /*
     * Closing the socket also closes what a stranger has sent, so another
     * thread does that.
     */
    channel->fd = -1;
    vhost_pci_client_new(opaque, fd);
}

/* Strangers decide how many files their connections hold. So take all that the
 * administrator allows, as later versions of QEMU do. */
static void vhost_pci_server_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static bool vhost_pci_server_listen(VhostPciServer *v, Error **errp)
{
    SocketAddress addr = {
        .type = SOCKET_ADDRESS_TYPE_UNIX,
        .u.q_unix.path = v->path,
    };

    v->listener = qio_net_listener_new();
    qio_net_listener_set_name(v->listener, "vhost-pci-server");
    if (qio_net_listener_open_sync(v->listener, &addr, BACKLOG, errp) < 0) {
        object_unref(OBJECT(v->listener));
        v->listener = NULL;
        return false;
    }
    qio_net_listener_set_client_func(v->listener, vhost_pci_server_accept, v,
                                     NULL);
    return true;
}

static bool vhost_pci_server_init_table(VhostPciServer *v, Error **errp)
{
    struct peers_config config = {
        .max_functions = VHOST_PCI_BASE(&v->like)->n_functions,
        .grace_ms = v->grace * 1000ull,
        .min_window = v->min_window,
    };

    if (!vhost_pci_ports_init(v, config.slots, errp)) {
        return false;
    }
    if (v->max_peers > PEERS_MAX) {
        error_setg(errp, "vhost-pci-server: property 'max-peers' must be 1 to "
                   "%d", PEERS_MAX);
        return false;
    }
    if (!is_power_of_2(v->min_window) || v->min_window < MIN_WINDOW) {
        error_setg(errp, "vhost-pci-server: property 'min-window' must be a "
                   "power of two of at least %" PRIu64 " MiB",
                   (uint64_t)(MIN_WINDOW / MiB));
        return false;
    }
    config.n_slots = v->n_ports;
    config.max_peers = v->max_peers ?: PEERS_MAX;
    config.max_conns = MIN(MIN(config.max_peers, v->n_ports) *
                           config.max_functions + MORE_CONNS, PEERS_MAX_CONNS);
    if (peers_init(&v->table, &config, &vhost_pci_server_ops, v) < 0) {
        error_setg(errp, "vhost-pci-server: configuration out of range");
        return false;
    }
    return true;
}

static void vhost_pci_server_realize(DeviceState *dev, Error **errp)
{
    VhostPciServer *v = VHOST_PCI_SERVER(dev);

    if (!v->path || !*v->path) {
        error_setg(errp, "vhost-pci-server: property 'path' must name a "
                   "socket");
        return;
    }
    if (!vhost_pci_check_offer(VHOST_PCI_BASE(&v->like), errp) ||
        !vhost_pci_server_init_table(v, errp) ||
        !vhost_pci_identities_read(v, errp)) {
        return;
    }
    vhost_pci_server_limits();
    v->bh = qemu_bh_new(vhost_pci_server_bh, v);
    v->timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_server_expire, v);
    if (!vhost_pci_server_listen(v, errp)) {
        qemu_bh_delete(v->bh);
        timer_free(v->timer);
    }
}

static void vhost_pci_server_alias(Object *obj, Object *like, const char *name)
{
    object_property_add_alias(obj, name, like, name);
}

/*
 * The properties that make up the offer to a front-end, or that every device
 * gets.
 */
static void vhost_pci_server_instance_init(Object *obj)
{
    VhostPciServer *v = VHOST_PCI_SERVER(obj);
    Object *like;
    ObjectPropertyIterator iter;
    ObjectProperty *prop;
    unsigned int i;

    /* Not a child, because QEMU requires that children are realized. */
    object_initialize(&v->like, sizeof(v->like), TYPE_VHOST_PCI_NET);
    like = OBJECT(&v->like);
    VHOST_PCI_BASE(like)->n_functions = VHOST_PCI_MAX_FUNCTIONS;
    for (i = 0; i < ARRAY_SIZE(device_properties); i++) {
        vhost_pci_server_alias(obj, like, device_properties[i]);
    }
    object_property_iter_init(&iter, like);
    while ((prop = object_property_iter_next(&iter))) {
        if (prop->set && g_str_has_prefix(prop->name, "peer-")) {
            vhost_pci_server_alias(obj, like, prop->name);
        }
    }
    QTAILQ_INIT(&v->clients);
    v->plugging = -1;
}

static Property vhost_pci_server_properties[] = {
    DEFINE_PROP_STRING("path", VhostPciServer, path),
    DEFINE_PROP_STRING("ports", VhostPciServer, port_names),
    DEFINE_PROP_STRING("identities", VhostPciServer, identities),
    DEFINE_PROP_UINT32("max-peers", VhostPciServer, max_peers, 0),
    DEFINE_PROP_UINT32("grace", VhostPciServer, grace, 10),
    DEFINE_PROP_SIZE("min-window", VhostPciServer, min_window, MIN_WINDOW),
    DEFINE_PROP_END_OF_LIST(),
};

static void vhost_pci_server_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    device_class_set_props(dc, vhost_pci_server_properties);
    dc->desc = "Makes a vhost-pci device for each VM that connects";
    dc->realize = vhost_pci_server_realize;
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
}

static const TypeInfo vhost_pci_server_info = {
    .name = TYPE_VHOST_PCI_SERVER,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(VhostPciServer),
    .instance_init = vhost_pci_server_instance_init,
    .class_init = vhost_pci_server_class_init,
};

static void vhost_pci_server_register(void)
{
    type_register_static(&vhost_pci_server_info);
}

type_init(vhost_pci_server_register)
