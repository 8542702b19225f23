/*
 * vhost-pci-server: the ports for the devices of peers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/pci_bus.h"
#include "hw/sysbus.h"
#include "monitor/qdev.h"
#include "vhost-pci-server.h"

/* Time for a guest to release a device, before the server asks again. */
#define ASK_AGAIN_MS    5000

/* Returns the PCI-to-PCI bridge (for example a root port) with this id. */
static PCIBridge *vhost_pci_port_bridge(const char *id, Error **errp)
{
    DeviceState *dev = qdev_find_recursive(sysbus_get_default(), id);
    PCIBridge *bridge = dev ?
        (PCIBridge *)object_dynamic_cast(OBJECT(dev), TYPE_PCI_BRIDGE) : NULL;

    if (!dev) {
        error_setg(errp, "vhost-pci-server: there is no port '%s': its device "
                   "has to come before the server", id);
    } else if (!bridge) {
        error_setg(errp, "vhost-pci-server: '%s' is not a port", id);
    }
    return bridge;
}

/*
 * The firmware assigns addresses before the first peer comes. So a port has
 * only the room that was reserved for it; without a reservation it has no room
 * for a window.
 */
static bool vhost_pci_port_reserved(PCIBridge *bridge, const char *id,
                                    uint64_t *room, Error **errp)
{
    uint64_t bytes = UINT64_MAX;

    if (object_property_find(OBJECT(bridge), "pref64-reserve")) {
        bytes = object_property_get_uint(OBJECT(bridge), "pref64-reserve",
                                         &error_abort);
    }
    if (bytes == UINT64_MAX || bytes < 2 * VHOST_PCI_WINDOW_FIRST) {
        error_setg(errp, "vhost-pci-server: port '%s' has no room for a "
                   "window: give it pref64-reserve=SIZE, twice the memory of "
                   "the largest peer, and a power of two", id);
        return false;
    }
    *room = pow2floor(bytes);
    return true;
}

static bool vhost_pci_port_init(VhostPciServer *v, const char *id,
                                struct peers_slot *slot, Error **errp)
{
    PCIBridge *bridge = vhost_pci_port_bridge(id, errp);
    VhostPciPort *port = &v->ports[v->n_ports];
    PCIBus *bus;

    if (!bridge) {
        return false;
    }
    bus = pci_bridge_get_sec_bus(bridge);
    if (vhost_pci_port_find(v, id) >= 0) {
        error_setg(errp, "vhost-pci-server: port '%s' is named twice", id);
        return false;
    }
    if (!qbus_is_hotpluggable(BUS(bus))) {
        error_setg(errp, "vhost-pci-server: nothing can be plugged into port "
                   "'%s' while the machine runs", id);
        return false;
    }
    if (!QTAILQ_EMPTY(&BUS(bus)->children)) {
        error_setg(errp, "vhost-pci-server: port '%s' is not empty", id);
        return false;
    }
    if (!vhost_pci_port_reserved(bridge, id, &slot->max_window, errp)) {
        return false;
    }
    port->name = g_strdup(id);
    port->bus = bus;
    v->n_ports++;
    return true;
}

bool vhost_pci_ports_init(VhostPciServer *v, struct peers_slot *slots,
                          Error **errp)
{
    g_auto(GStrv) names = g_strsplit(v->port_names ?: "", ":", PEERS_MAX + 1);
    unsigned int n = g_strv_length(names), i;

    if (n == 0 || n > PEERS_MAX) {
        error_setg(errp, "vhost-pci-server: property 'ports' must name 1 to %d "
                   "ports, as in rp0:rp1", PEERS_MAX);
        return false;
    }
    for (i = 0; i < n; i++) {
        if (!vhost_pci_port_init(v, names[i], &slots[i], errp)) {
            return false;
        }
    }
    return true;
}

int vhost_pci_port_find(const VhostPciServer *v, const char *name)
{
    unsigned int i;

    for (i = 0; i < v->n_ports; i++) {
        if (!strcmp(v->ports[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static QDict *vhost_pci_port_options(VhostPciServer *v, unsigned int peer)
{
    const struct peers_peer *p = &v->table.peers[peer];
    const char *port = v->ports[p->slot].name;
    g_autofree char *id = g_strdup_printf("%s-%s", DEVICE(v)->id ?: "vhost-pci",
                                          port);
    g_autofree char *server = object_get_canonical_path(OBJECT(v));
    g_autofree char *size = g_strdup_printf("%" PRIu64, p->window);
    QDict *options = qdict_new();
    QemuUUID uuid;
    char text[UUID_STR_LEN];

    memcpy(uuid.data, p->uuid, sizeof(uuid.data));
    qemu_uuid_unparse(&uuid, text);
    qdict_put_str(options, "driver", "vhost-pci-net-pci");
    qdict_put_str(options, "id", id);
    qdict_put_str(options, "bus", BUS(v->ports[p->slot].bus)->name);
    qdict_put_str(options, "server", server);
    qdict_put_str(options, "peer", p->name);
    qdict_put_str(options, "uuid", text);
    qdict_put_str(options, "window-size", size);
    return options;
}

/* QEMU refuses this while the machine migrates. */
int vhost_pci_port_plug(VhostPciServer *v, unsigned int peer, Error **errp)
{
    QDict *options = vhost_pci_port_options(v, peer);
    DeviceState *dev;

    v->plugging = peer;
    dev = qdev_device_add_from_qdict(options, false, errp);
    v->plugging = -1;
    qobject_unref(options);
    if (!dev) {
        v->peers[peer].dev = NULL;
        return -1;
    }
    object_unref(OBJECT(dev));
    return 0;
}

/*
 * Ask the guest to release the device. The guest may take its time, or never
 * answer; then the port stays taken. The device no longer has anything of the
 * peer. The server asks again, because the guest may not have been there yet,
 * or the machine may be migrating.
 */
void vhost_pci_port_unplug(VhostPciServer *v, unsigned int peer)
{
    VhostPciBase *s = v->peers[peer].dev;
    Error *err = NULL;
    bool again;

    if (!s) {
        v->peers[peer].ask_at = 0;
        peers_unplugged(&v->table, peer);
        return;
    }
    again = s->leaving;
    s->leaving = true;
    v->peers[peer].ask_at = vhost_pci_now() + ASK_AGAIN_MS;
    /* This may unplug the device at once. */
    qdev_unplug(DEVICE(s->pdev), &err);
    if (err && !again) {
        vhost_pci_server_warn(v, "the device of peer '%s' stays for now: %s",
                              s->peer, error_get_pretty(err));
    }
    error_free(err);
}
