/*
 * vhost-pci: query-vhost-pci, and info vhost-pci.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-vhost-pci.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "vhost-pci-server.h"

static VhostPciRingInfo *vhost_pci_ring_info(const VhostPciFunction *f,
                                         unsigned int i)
{
    const struct vu_ring *v = &f->core->rings[i];
    VhostPciRingInfo *r = g_new0(VhostPciRingInfo, 1);

    r->state = f->rings[i].broken ? VHOST_PCI_RING_STATUS_BROKEN :
               v->run && !f->apart ? VHOST_PCI_RING_STATUS_RUNNING :
               VHOST_PCI_RING_STATUS_STOPPED;
    r->size = v->run ? v->num : 0;
    r->epoch = f->rings[i].epoch;
    r->call = v->call_fd >= 0;
    return r;
}

static VhostPciFunctionInfo *vhost_pci_function_info(const VhostPciFunction *f)
{
    VhostPciFunctionInfo *info = g_new0(VhostPciFunctionInfo, 1);
    uint32_t status = vhost_pci_function_status(f);
    VhostPciRingInfoList **tail = &info->rings;
    unsigned int i;

    info->function = f->index;
    info->connected = status & VHOST_PCI_S_CONNECTED;
    info->link_up = status & VHOST_PCI_S_LINK_UP;
    info->features = f->core->features & ~BIT_ULL(VU_F_PROTOCOL_FEATURES);
    for (i = 0; i < f->core->n_rings; i++) {
        QAPI_LIST_APPEND(tail, vhost_pci_ring_info(f, i));
    }
    return info;
}

static void vhost_pci_server_of(VhostPciPeerInfo *info, const VhostPciBase *s)
{
    const VhostPciServer *v = s->server;
    unsigned int i;

    VHOST_PCI_SET(info, server, g_strdup(vhost_pci_server_id(v)));
    for (i = 0; i < PEERS_MAX; i++) {
        const struct peers_peer *p = &v->table.peers[i];

        if (v->peers[i].dev == s) {
            VHOST_PCI_SET(info, port, g_strdup(v->ports[p->slot].name));
            info->has_state = true;
            info->state = p->state == PEERS_LIVE ? VHOST_PCI_PEER_STATE_LIVE :
                          p->state == PEERS_LOST ? VHOST_PCI_PEER_STATE_LOST :
                          VHOST_PCI_PEER_STATE_UNPLUGGING;
        }
    }
}

static VhostPciPeerInfo *vhost_pci_peer_info(const VhostPciBase *s)
{
    VhostPciPeerInfo *info = g_new0(VhostPciPeerInfo, 1);
    VhostPciFunctionInfoList **tail = &info->functions;
    unsigned int i;

    info->name = g_strdup(s->peer);
    info->uuid = qemu_uuid_unparse_strdup(&s->uuid);
    info->device = g_strdup(DEVICE(s->pdev)->id ?: "");
    info->window = s->window_size;
    for (i = 0; i < le16_to_cpu(s->state->n_regions); i++) {
        info->memory += le64_to_cpu(s->state->regions[i].size);
        info->regions++;
    }
    info->driver = s->driver_on;
    info->revoked = s->revoked;
    for (i = 0; i < s->n_functions; i++) {
        if (s->functions[i].exists) {
            QAPI_LIST_APPEND(tail, vhost_pci_function_info(&s->functions[i]));
        }
    }
    if (s->server) {
        vhost_pci_server_of(info, s);
    }
    return info;
}

static VhostPciServerInfo *vhost_pci_server_info(const VhostPciServer *v)
{
    VhostPciServerInfo *info = g_new0(VhostPciServerInfo, 1);
    VhostPciPortInfoList **tail = &info->ports;
    unsigned int i;

    info->id = g_strdup(vhost_pci_server_id(v));
    info->path = g_strdup(v->path);
    info->max_peers = v->table.config.max_peers;
    info->refused = v->refused;
    for (i = 0; i < v->table.config.max_conns; i++) {
        info->connections += v->table.conns[i].used;
    }
    for (i = 0; i < v->n_ports; i++) {
        VhostPciPortInfo *port = g_new0(VhostPciPortInfo, 1);

        port->port = g_strdup(v->ports[i].name);
        port->max_window = v->table.config.slots[i].max_window;
        port->free = !v->table.taken[i];
        QAPI_LIST_APPEND(tail, port);
    }
    return info;
}

typedef struct Query {
    VhostPciServerInfoList **servers;
    VhostPciPeerInfoList **peers;
} Query;

static int vhost_pci_query_object(Object *obj, void *opaque)
{
    Query *q = opaque;

    if (object_dynamic_cast(obj, TYPE_VHOST_PCI_SERVER)) {
        if (DEVICE(obj)->realized) {
            QAPI_LIST_APPEND(q->servers,
                             vhost_pci_server_info(VHOST_PCI_SERVER(obj)));
        }
    } else if (object_dynamic_cast(obj, TYPE_VHOST_PCI_BASE)) {
        if (DEVICE(obj)->realized) {
            QAPI_LIST_APPEND(q->peers,
                             vhost_pci_peer_info(VHOST_PCI_BASE(obj)));
        }
    }
    return 0;
}

VhostPciInfo *qmp_query_vhost_pci(Error **errp)
{
    VhostPciInfo *info = g_new0(VhostPciInfo, 1);
    Query q = { .servers = &info->servers, .peers = &info->peers };

    object_child_foreach_recursive(object_get_root(), vhost_pci_query_object,
                                   &q);
    return info;
}

static void vhost_pci_print_function(Monitor *mon,
                                     const VhostPciFunctionInfo *f)
{
    const VhostPciRingInfoList *r;
    unsigned int i = 0;

    monitor_printf(mon, "  function %" PRIu32 ": %s, features 0x%" PRIx64
                   ", rings", f->function, !f->connected ? "not connected" :
                   f->link_up ? "link up" : "link down", f->features);
    for (r = f->rings; r; r = r->next, i++) {
        monitor_printf(mon, " %u:%s", i,
                       VhostPciRingStatus_str(r->value->state));
    }
    monitor_printf(mon, "%s\n", f->rings ? "" : " none");
}

static void vhost_pci_print_peer(Monitor *mon, const VhostPciPeerInfo *p)
{
    const VhostPciFunctionInfoList *f;

    monitor_printf(mon, "peer %s, UUID %s\n  device %s%s%s%s%s: window %"
                   PRIu64 " MiB, memory %" PRIu64 " MiB in %" PRIu32
                   " regions%s, driver %s\n", p->name, p->uuid, p->device,
                   p->port ? " at " : "", p->port ?: "",
                   p->has_state ? ", " : "",
                   p->has_state ? VhostPciPeerState_str(p->state) : "",
                   p->window / MiB, p->memory / MiB, p->regions,
                   p->revoked ? " (revoked)" : "", p->driver ? "on" : "off");
    for (f = p->functions; f; f = f->next) {
        vhost_pci_print_function(mon, f->value);
    }
}

static void vhost_pci_print_server(Monitor *mon, const VhostPciServerInfo *v)
{
    const VhostPciPortInfoList *p;

    monitor_printf(mon, "server %s on %s: at most %" PRIu32 " peers, %" PRIu32
                   " connections, %" PRIu64 " refused\n", v->id, v->path,
                   v->max_peers, v->connections, v->refused);
    for (p = v->ports; p; p = p->next) {
        monitor_printf(mon, "  port %s: windows of %" PRIu64 " MiB, %s\n",
                       p->value->port, p->value->max_window / MiB,
                       p->value->free ? "free" : "taken");
    }
}

static void hmp_info_vhost_pci(Monitor *mon, const QDict *qdict)
{
    g_autoptr(VhostPciInfo) info = qmp_query_vhost_pci(NULL);
    const VhostPciServerInfoList *v;
    const VhostPciPeerInfoList *p;

    for (v = info->servers; v; v = v->next) {
        vhost_pci_print_server(mon, v->value);
    }
    for (p = info->peers; p; p = p->next) {
        vhost_pci_print_peer(mon, p->value);
    }
    if (!info->servers && !info->peers) {
        monitor_printf(mon, "There is no vhost-pci device.\n");
    }
}

static void vhost_pci_query_register(void)
{
    monitor_register_hmp("vhost-pci", true, hmp_info_vhost_pci);
}

type_init(vhost_pci_query_register)
