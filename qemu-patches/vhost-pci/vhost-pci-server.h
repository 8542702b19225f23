/*
 * vhost-pci-server: one socket for many peers. For each peer VM that connects
 * the server makes a device, on a port of its own, and removes the device when
 * the peer does not come back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * protocol/peers.h decides which connection belongs to which VM. These files
 * report events to it, and carry out its decisions:
 *   vhost-pci-server.c     the device-less device: properties, listening
 *   vhost-pci-client.c     a connection: its session, until its VM is known
 *   vhost-pci-ports.c      the ports of devices: plug, unplug
 *   vhost-pci-identities.c identities of peers, as the administrator declares
 *   vhost-pci-events.c     reports: log, QMP events
 *   vhost-pci-query.c      ... on request: query-vhost-pci, info vhost-pci
 *
 * A connection's life:
 *   accept      a session without a function; peers_connect()
 *   memory      its core waits; the bottom half decides: peers_memory() plugs
 *               a device if the VM is new
 *   attached    its session is a function of the VM's device
 *   closed      peers_disconnect(); the core lets go of everything, with
 *               the driver's consent or after the time limit
 *   over        the bottom half frees it
 * Callbacks of the table must not call the table, and callbacks of a session
 * must not end the session: both leave marks, and the bottom half does the
 * work.
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
    bool decided;               /* ... and its function is known */
    bool dropped;               /* to be closed; the log says why */
    bool over;                  /* to be freed */
    QTAILQ_ENTRY(VhostPciClient) next;
} VhostPciClient;

/* The server's data for a VM of the table. */
typedef struct VhostPciPeer {
    VhostPciBase *dev;          /* NULL: none (yet) */
    uint64_t ask_at;            /* when to ask the guest for it, ms; 0: never */
    /* The files of a lost VM, kept so that no other file gets their numbers. */
    int fds[PEERS_MAX_FILES];
    unsigned int n_fds;
    VhostPciCloser *closer;     /* ... and who closes them */
} VhostPciPeer;

typedef struct VhostPciPort {
    char *name;                 /* id of the port's device */
    PCIBus *bus;
} VhostPciPort;

/* A line of the administrator's file; see vhost-pci-identities.c. */
typedef struct VhostPciIdentity {
    uid_t uid;
    char memory[PATH_MAX];      /* the key, unless it is empty */
    char name[PEERS_NAME_LEN];  /* empty: not given */
    QemuUUID uuid;              /* null: not given */
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

    /* Closers of sessions; an idle closer serves the next session. */
    VhostPciCloser *closers[PEERS_MAX_CONNS];
    unsigned int n_closers;

    QEMUBH *bh;
    QEMUTimer *timer;           /* somebody's grace is over */
    VhostPciRation decisions;   /* each may plug a device */
    bool look_again;            /* no decision was left */
    VhostPciLog log;
    VhostPciLog crowd;          /* of peers refused because of a crowd */
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
/* Make the bottom half run. */
void vhost_pci_server_wake(VhostPciServer *v);
/*
 * Returns a reference to a closer that nobody uses, or to a shared one if there
 * is none.
 */
VhostPciCloser *vhost_pci_server_closer(VhostPciServer *v);
/*
 * May the server give one more connection a device now? If not, the bottom half
 * asks again.
 */
bool vhost_pci_server_may_decide(VhostPciServer *v);
/*
 * Configure a new device of the server; note that it is plugged or unplugged.
 */
void vhost_pci_server_configure(VhostPciServer *v, VhostPciBase *s);
bool vhost_pci_server_plugged(VhostPciServer *v, VhostPciBase *s, Error **errp);
void vhost_pci_server_unplugged(VhostPciServer *v, VhostPciBase *s);

/* vhost-pci-client.c */
void vhost_pci_client_new(VhostPciServer *v, int fd);
/* Do the work that the marks ask for; this may free @c. */
void vhost_pci_client_work(VhostPciClient *c);
/* End @c at once, because its device goes. */
void vhost_pci_client_end(VhostPciClient *c);
/* Keep the files of the last connection of a VM; let go of them. */
void vhost_pci_peer_hold(VhostPciPeer *p, VhostPciClient *c);
void vhost_pci_peer_let_go(VhostPciPeer *p);

/* vhost-pci-ports.c */
/* Check the ports that @v->port_names names; fill @v->ports, and @slots. */
bool vhost_pci_ports_init(VhostPciServer *v, struct peers_slot *slots,
                          Error **errp);
int vhost_pci_port_plug(VhostPciServer *v, unsigned int peer, Error **errp);
/* Ask the guest to release the device, and set when to ask again. */
void vhost_pci_port_unplug(VhostPciServer *v, unsigned int peer);
int vhost_pci_port_find(const VhostPciServer *v, const char *name);

/* vhost-pci-identities.c */
bool vhost_pci_identities_read(VhostPciServer *v, Error **errp);
/* Returns NULL if the file has no line for this user and memory. */
const VhostPciIdentity *vhost_pci_identity(VhostPciServer *v, uid_t uid,
                                           const struct peers_file *files,
                                           unsigned int n);

/* vhost-pci-events.c */
void vhost_pci_server_warn(VhostPciServer *v, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);
/* @c: NULL unless it is known. */
void vhost_pci_server_tell(VhostPciServer *v, const struct peers_event *event,
                           const VhostPciClient *c);
/* Report a peer that the table accepts, but the device refuses. */
void vhost_pci_server_tell_failed(VhostPciServer *v, unsigned int peer,
                                  const char *reason);

#endif
