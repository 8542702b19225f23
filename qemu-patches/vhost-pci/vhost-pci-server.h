/*
 * vhost-pci-server: one socket for many peers. It makes a device for each peer
 * VM that connects, on a port of its own, and takes it away when the peer does
 * not come back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is which VM is decided by protocol/peers.h; here it is told what
 * happened, and what it says is done:
 *   vhost-pci-server.c     the device-less device: properties, listening
 *   vhost-pci-client.c     a connection: its session, until its VM is known
 *   vhost-pci-ports.c      where devices go: plug, unplug
 *   vhost-pci-identities.c who is who, as the administrator says
 *   vhost-pci-events.c     what is told: log, QMP events
 *   vhost-pci-query.c      ... when asked: query-vhost-pci, info vhost-pci
 *
 * A connection's life:
 *   accept      a session without a function; peers_connect()
 *   memory      its core waits; decided in the bottom half: peers_memory()
 *               plugs a device if the VM is new
 *   attached    its session is a function of the VM's device
 *   closed      peers_disconnect(); the core lets go of everything, with
 *               the driver's consent or after the time limit
 *   over        freed in the bottom half
 * The table's callbacks may not call the table, and a session's callbacks may
 * not end it: both leave marks, and the bottom half does the work.
 */

#ifndef HW_VHOST_PCI_SERVER_H
#define HW_VHOST_PCI_SERVER_H

#include "hw/pci/pci_bridge.h"
#include "io/net-listener.h"
#include "peers.h"
#include "vhost-pci-net.h"

#define TYPE_VHOST_PCI_SERVER "vhost-pci-server"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPciServer, VHOST_PCI_SERVER)

/* A connection. */
typedef struct VhostPciClient {
    VhostPciServer *server;
    CharBackend chr;
    VhostPciSession session;
    unsigned int conn;          /* its number in the table, while @known */
    uid_t uid;                  /* of the process that connected */
    bool known;                 /* the table has it */
    bool asking;                /* its core waits for a device */
    bool decided;               /* ... and it is known which function */
    bool dropped;               /* to be closed; the log says why */
    bool over;                  /* to be freed */
    QTAILQ_ENTRY(VhostPciClient) next;
} VhostPciClient;

/* What the server has for a VM of the table. */
typedef struct VhostPciPeer {
    VhostPciBase *dev;          /* NULL: none (yet) */
    uint64_t ask_at;            /* the guest to let it go, ms; 0: not at all */
    /* Of a lost VM: its files, so that no other gets their numbers. */
    int fds[PEERS_MAX_FILES];
    unsigned int n_fds;
    VhostPciCloser *closer;     /* ... and who closes them */
} VhostPciPeer;

typedef struct VhostPciPort {
    char *name;                 /* id of the port's device */
    PCIBus *bus;
} VhostPciPort;

/* A line of the administrator's, see vhost-pci-identities.c. */
typedef struct VhostPciIdentity {
    uid_t uid;
    char memory[PATH_MAX];      /* the key, unless it is empty */
    char name[PEERS_NAME_LEN];  /* empty: not said */
    QemuUUID uuid;              /* null: not said */
    int port;                   /* -1: any */
} VhostPciIdentity;

struct VhostPciServer {
    DeviceState parent_obj;

    /* Properties, and those that every device gets. */
    char *path;
    char *port_names;
    char *identities;
    uint32_t max_peers;         /* 0: as many as there are ports for */
    uint32_t grace;             /* seconds */
    uint64_t min_window;        /* bytes */
    VhostPciNet like;           /* never realized */

    QIONetListener *listener;
    struct peers table;
    VhostPciClient *conns[PEERS_MAX_CONNS]; /* by number in the table */
    QTAILQ_HEAD(, VhostPciClient) clients;  /* all there are */
    VhostPciPeer peers[PEERS_MAX];
    VhostPciPort ports[PEERS_MAX];
    unsigned int n_ports;
    int plugging;               /* the peer whose device is being made, or -1 */
    GArray *identity;           /* of VhostPciIdentity */
    struct stat identities_stat;    /* of the file when it was read */

    /* Closers of sessions; one that has nothing to do serves the next. */
    VhostPciCloser *closers[PEERS_MAX_CONNS];
    unsigned int n_closers;

    QEMUBH *bh;
    QEMUTimer *timer;           /* somebody's grace is over */
    VhostPciRation decisions;   /* each may plug a device */
    bool look_again;            /* there was none left */
    VhostPciLog log;
    VhostPciLog crowd;          /* of those who are refused for their number */
    uint64_t refused;
};

static inline const char *vhost_pci_server_id(const VhostPciServer *v)
{
    return DEVICE(v)->id ? DEVICE(v)->id : "(no id)";
}

static inline uint64_t vhost_pci_now(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* vhost-pci-server.c */
/* There is work for the bottom half. */
void vhost_pci_server_wake(VhostPciServer *v);
/* A closer that nobody uses, or shares it if there are none: a reference. */
VhostPciCloser *vhost_pci_server_closer(VhostPciServer *v);
/* May one more connection be given a device now? It will be asked again. */
bool vhost_pci_server_may_decide(VhostPciServer *v);
/* The device @s is made for, or leaves, the server. */
void vhost_pci_server_configure(VhostPciServer *v, VhostPciBase *s);
bool vhost_pci_server_plugged(VhostPciServer *v, VhostPciBase *s, Error **errp);
void vhost_pci_server_unplugged(VhostPciServer *v, VhostPciBase *s);

/* vhost-pci-client.c */
void vhost_pci_client_new(VhostPciServer *v, int fd);
/* What the marks ask for; it may be freed. */
void vhost_pci_client_work(VhostPciClient *c);
/* End it at once: its device goes. */
void vhost_pci_client_end(VhostPciClient *c);
/* Keep what the last connection of a VM had; let go of it. */
void vhost_pci_peer_hold(VhostPciPeer *p, VhostPciClient *c);
void vhost_pci_peer_let_go(VhostPciPeer *p);

/* vhost-pci-ports.c */
/* Check the ports that @v->port_names names; fill @v->ports, and @slots. */
bool vhost_pci_ports_init(VhostPciServer *v, struct peers_slot *slots,
                          Error **errp);
int vhost_pci_port_plug(VhostPciServer *v, unsigned int peer, Error **errp);
/* Ask the guest to let the device go, and set when to ask again. */
void vhost_pci_port_unplug(VhostPciServer *v, unsigned int peer);
int vhost_pci_port_find(const VhostPciServer *v, const char *name);

/* vhost-pci-identities.c */
bool vhost_pci_identities_read(VhostPciServer *v, Error **errp);
/* NULL: the administrator says nothing of who has this user and memory. */
const VhostPciIdentity *vhost_pci_identity(VhostPciServer *v, uid_t uid,
                                           const struct peers_file *files,
                                           unsigned int n);

/* vhost-pci-events.c */
void vhost_pci_server_warn(VhostPciServer *v, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);
/* @c: NULL unless it is known. */
void vhost_pci_server_tell(VhostPciServer *v, const struct peers_event *event,
                           const VhostPciClient *c);
/* One that the table does not refuse, but the device does. */
void vhost_pci_server_tell_failed(VhostPciServer *v, unsigned int peer,
                                  const char *reason);

#endif
