/*
 * vhost-pci-server: reports about peers, in the log and by QMP events.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-events-vhost-pci.h"
#include "vhost-pci-server.h"

/* Limits for lines in the log: a burst at once, then one for each interval. One
 * line is enough for all connections that are refused because there are too
 * many. */
#define LOG_BURST           100
#define LOG_INTERVAL_MS     100
#define CROWD_BURST         1
#define CROWD_INTERVAL_MS   10000

static void vhost_pci_server_prefix(const VhostPciServer *v, char *buf,
                                    size_t size)
{
    snprintf(buf, size, "vhost-pci-server %s", vhost_pci_server_id(v));
}

void vhost_pci_server_warn(VhostPciServer *v, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    char prefix[64];
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    vhost_pci_server_prefix(v, prefix, sizeof(prefix));
    vhost_pci_log(&v->log, LOG_BURST, LOG_INTERVAL_MS, prefix, text);
}

static bool vhost_pci_is_crowd(int reason)
{
    return reason == PEERS_SILENT || reason == PEERS_TOO_MANY_CONNS;
}

static void vhost_pci_server_refused(VhostPciServer *v, int reason,
                                     const char *name, const char *peer,
                                     const char *text)
{
    bool crowd = vhost_pci_is_crowd(reason);
    const char *who = peer ?: name;
    g_autofree char *line =
        who ? g_strdup_printf("connection of '%s' ended: %s", who, text) :
        g_strdup_printf("connection refused: %s", text);
    char prefix[64];

    vhost_pci_server_prefix(v, prefix, sizeof(prefix));
    if (vhost_pci_log(crowd ? &v->crowd : &v->log,
                      crowd ? CROWD_BURST : LOG_BURST,
                      crowd ? CROWD_INTERVAL_MS : LOG_INTERVAL_MS, prefix,
                      line)) {
        vhost_pci_send_refused(vhost_pci_server_id(v), text, name, peer);
    }
}

void vhost_pci_server_tell_failed(VhostPciServer *v, unsigned int peer,
                                  const char *reason)
{
    v->refused++;
    vhost_pci_server_refused(v, PEERS_OK, NULL, peer < PEERS_MAX ?
                             v->table.peers[peer].name : NULL, reason);
}

void vhost_pci_server_tell(VhostPciServer *v, const struct peers_event *event,
                           const VhostPciClient *c)
{
    const char *id = vhost_pci_server_id(v);
    const struct peers_conn *conn = event->conn < 0 ? NULL :
                                    &v->table.conns[event->conn];
    const struct peers_peer *p = event->peer < 0 ? NULL :
                                 &v->table.peers[event->peer];
    const VhostPciBase *dev = p ? v->peers[event->peer].dev : NULL;
    const char *device = dev && DEVICE(dev->pdev)->id ?
                         DEVICE(dev->pdev)->id : "";
    char uuid[UUID_STR_LEN] = "";
    QemuUUID u;

    if (p) {
        memcpy(u.data, p->uuid, sizeof(u.data));
        qemu_uuid_unparse(&u, uuid);
    }
    switch (event->what) {
    case PEERS_CONNECTED:
        qapi_event_send_vhost_pci_peer_connected(id, p->name, uuid,
            conn->function, device, v->ports[p->slot].name, event->is_new,
            event->is_back);
        break;
    case PEERS_READY:
        qapi_event_send_vhost_pci_peer_ready(id, p->name, uuid, conn->function,
                                             device);
        break;
    case PEERS_GONE:
    case PEERS_IS_LOST:
        qapi_event_send_vhost_pci_peer_lost(id, p->name, uuid, conn->function,
                                            device,
                                            event->what == PEERS_IS_LOST);
        break;
    case PEERS_REFUSED:
        vhost_pci_server_refused(v, event->reason, conn &&
                                 conn->name_source != PEERS_MADE_UP ?
                                 conn->name : NULL, p ? p->name : NULL,
                                 peers_reason_text(event->reason));
        break;
    default:
        break;
    }
}
