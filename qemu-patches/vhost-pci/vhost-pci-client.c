/*
 * vhost-pci-server: a connection, see vhost-pci-server.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-char.h"
#include "chardev/char.h"
#include "qemu/cutils.h"
#include "vhost-pci-server.h"
#include "vhost-pci-mapping.h"

/* Describe the memory of a connection for the table: one entry for each file.
 * Returns the number of entries. */
static unsigned int vhost_pci_client_files(const VhostPciClient *c,
                                           struct peers_file *files)
{
    const struct vu_core *core = &c->session.core;
    unsigned int n = 0, i, j;

    for (i = 0; i < core->n_regions; i++) {
        const struct vu_region *r = &core->regions[i];

        for (j = 0; j < n; j++) {
            if (files[j].dev == r->dev && files[j].ino == r->ino) {
                break;
            }
        }
        if (j == n) {
            files[n++] = (struct peers_file) { .dev = r->dev, .ino = r->ino };
        }
        files[j].bytes += r->size;
    }
    return n;
}

void vhost_pci_peer_hold(VhostPciPeer *p, VhostPciClient *c)
{
    const struct vu_core *core = &c->session.core;
    struct peers_file files[PEERS_MAX_FILES];
    unsigned int n = vhost_pci_client_files(c, files), i, j;

    vhost_pci_peer_let_go(p);
    p->closer = vhost_pci_closer_ref(vhost_pci_session_closer(&c->session));
    for (i = 0; i < n; i++) {
        for (j = 0; core->regions[j].dev != files[i].dev ||
                    core->regions[j].ino != files[i].ino; j++) {
            continue;
        }
        p->fds[p->n_fds] = fcntl(vhost_pci_session_file(&core->regions[j]),
                                 F_DUPFD_CLOEXEC, 0);
        p->n_fds += p->fds[p->n_fds] >= 0;
    }
}

void vhost_pci_peer_let_go(VhostPciPeer *p)
{
    while (p->n_fds > 0) {
        vhost_pci_closer_fd(p->closer, p->fds[--p->n_fds]);
    }
    g_clear_pointer(&p->closer, vhost_pci_closer_unref);
}

/* Callbacks of the session */

/* Does the server know all memory of the peer? If regions come one by one, only
 * a running ring shows that they are complete. */
static bool vhost_pci_client_has_memory(const struct vu_core *core)
{
    unsigned int i;

    for (i = 0; i < core->n_rings; i++) {
        if (core->rings[i].run) {
            return true;
        }
    }
    return core->n_regions > 0 &&
           !(core->protocol_features &
             BIT_ULL(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
}

/* Handle a change of a connection that has its device. */
static int vhost_pci_client_changed(VhostPciClient *c, uint32_t changed)
{
    struct vu_core *core = &c->session.core;
    struct peers *table = &c->server->table;
    struct peers_file files[PEERS_MAX_FILES] = { };
    unsigned int i;
    int ret;

    /*
     * Between two tables, or while regions come one by one, there may be none.
     */
    if (changed & VU_CHANGED_MEM && core->n_regions > 0) {
        ret = peers_memory(table, c->conn, vhost_pci_now(), files,
                           vhost_pci_client_files(c, files));
        if (ret < 0) {
            vu_core_set_error(core, "%s", peers_reason_text(ret));
            return -EPERM;
        }
    }
    for (i = 0; i < core->n_rings; i++) {
        if (core->rings[i].run) {
            peers_ready(table, c->conn);
            break;
        }
    }
    return 0;
}

static int vhost_pci_client_update(void *opaque, uint32_t changed)
{
    VhostPciClient *c = opaque;
    struct vu_core *core = &c->session.core;

    if (!core->connected || !c->known) {
        return 0;
    }
    if (c->session.function) {
        return vhost_pci_client_changed(c, changed);
    }
    if (!vhost_pci_client_has_memory(core)) {
        return 0;
    }
    c->asking = true;
    vhost_pci_server_wake(c->server);
    return VU_WAIT;
}

static void vhost_pci_client_spoke(void *opaque)
{
    VhostPciClient *c = opaque;

    if (c->known) {
        peers_spoke(&c->server->table, c->conn);
    }
}

static void vhost_pci_client_violation(void *opaque, const char *reason)
{
    VhostPciClient *c = opaque;
    struct peers *table = &c->server->table;
    int peer = c->known ? table->conns[c->conn].peer : -1;

    /* The log already has connections that the table refused or never knew. */
    if (c->known) {
        vhost_pci_server_tell_failed(c->server, peer, reason);
    }
}

static void vhost_pci_client_closed(void *opaque)
{
    VhostPciClient *c = opaque;

    c->asking = false;
    if (c->known) {
        c->known = false;
        peers_disconnect(&c->server->table, c->conn, vhost_pci_now());
        c->server->conns[c->conn] = NULL;
        vhost_pci_server_wake(c->server);
    }
}

static void vhost_pci_client_over(void *opaque)
{
    VhostPciClient *c = opaque;

    c->over = true;
    vhost_pci_server_wake(c->server);
}

static VhostPciCloser *vhost_pci_client_closer(void *opaque)
{
    VhostPciClient *c = opaque;

    return vhost_pci_server_closer(c->server);
}

static const VhostPciSessionOps vhost_pci_client_ops = {
    .update = vhost_pci_client_update,
    .spoke = vhost_pci_client_spoke,
    .violation = vhost_pci_client_violation,
    .closed = vhost_pci_client_closed,
    .over = vhost_pci_client_over,
    .closer = vhost_pci_client_closer,
};

/* The life of a connection */

/* Make a chardev of an accepted connection. */
static Chardev *vhost_pci_client_chardev(int fd, Error **errp)
{
    SocketAddressLegacy addr = { .type = SOCKET_ADDRESS_TYPE_FD };
    VhostPciFdAddress str = { .str = g_strdup_printf("%d", fd) };
    ChardevSocket socket = {
        .addr = &addr,
        .has_server = true,
        .server = false,
    };
    ChardevBackend backend = {
        .type = CHARDEV_BACKEND_KIND_SOCKET,
        .u.socket.data = &socket,
    };
    Chardev *chr;

    addr.u.fd.data = &str;
    chr = qemu_chardev_new(NULL, TYPE_CHARDEV_SOCKET, &backend, NULL, errp);
    if (chr) {
        /* The chardev cannot know from the fd that this is a UNIX socket. */
        qemu_chr_set_feature(chr, QEMU_CHAR_FEATURE_FD_PASS);
    }
    g_free(str.str);
    return chr;
}

static void vhost_pci_client_free(VhostPciClient *c)
{
    VhostPciServer *v = c->server;

    QTAILQ_REMOVE(&v->clients, c, next);
    if (v->conns[c->conn] == c) {
        v->conns[c->conn] = NULL;
    }
    vhost_pci_session_cleanup(&c->session);
    qemu_chr_fe_deinit(&c->chr, true);
    g_free(c);
    /* Another connection may wait for the function. */
    vhost_pci_server_wake(v);
}

static uid_t vhost_pci_uid(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? -1 :
           cred.uid;
}

static void vhost_pci_refuse_fd(VhostPciServer *v, int fd)
{
    VhostPciCloser *closer = vhost_pci_server_closer(v);

    shutdown(fd, SHUT_RDWR);
    vhost_pci_closer_fd(closer, fd);
    vhost_pci_closer_unref(closer);
}

void vhost_pci_client_new(VhostPciServer *v, int fd)
{
    int conn = peers_connect(&v->table, vhost_pci_now());
    VhostPciClient *c;
    Error *err = NULL;
    Chardev *chr;

    if (conn < 0) {
        vhost_pci_refuse_fd(v, fd);
        return;
    }
    v->conns[conn] = NULL;
    c = g_new0(VhostPciClient, 1);
    c->server = v;
    c->conn = conn;
    c->uid = vhost_pci_uid(fd);
    chr = vhost_pci_client_chardev(fd, &err);
    if (!chr || !qemu_chr_fe_init(&c->chr, chr, &err)) {
        vhost_pci_server_warn(v, "a connection cannot be served: %s",
                              error_get_pretty(err));
        error_free(err);
        peers_disconnect(&v->table, conn, vhost_pci_now());
        vhost_pci_refuse_fd(v, fd);
        g_free(c);
        return;
    }
    c->known = true;
    v->conns[conn] = c;
    QTAILQ_INSERT_TAIL(&v->clients, c, next);
    vhost_pci_session_init(&c->session, VHOST_PCI_BASE(&v->like), &c->chr,
                           &vhost_pci_client_ops, c, &error_abort);
}

/* Identify the peer. Returns false if the table refuses the connection. */
static bool vhost_pci_client_identify(VhostPciClient *c)
{
    VhostPciServer *v = c->server;
    struct peers_file files[PEERS_MAX_FILES] = { };
    unsigned int n = vhost_pci_client_files(c, files);
    const VhostPciIdentity *id = vhost_pci_identity(v, c->uid, files, n);
    const struct vu_core *core = &c->session.core;

    if (core->has_identity &&
        peers_identify(&v->table, c->conn, vhost_pci_now(), PEERS_BY_ITSELF,
                       *core->name ? core->name : NULL, core->uuid, -1) < 0) {
        return false;
    }
    if (id && peers_identify(&v->table, c->conn, vhost_pci_now(),
                             PEERS_BY_ADMIN, *id->name ? id->name : NULL,
                             id->uuid.data, id->port) < 0) {
        return false;
    }
    return peers_memory(&v->table, c->conn, vhost_pci_now(), files, n) == 0;
}

/* Returns the function of the VM's device that serves the connection. */
static VhostPciFunction *vhost_pci_client_function(const VhostPciClient *c)
{
    const struct peers_conn *conn = &c->server->table.conns[c->conn];
    VhostPciBase *dev = c->server->peers[conn->peer].dev;

    return dev ? &dev->functions[conn->function] : NULL;
}

static void vhost_pci_client_decide(VhostPciClient *c)
{
    VhostPciFunction *f;

    if (!c->decided && (!vhost_pci_server_may_decide(c->server) ||
                        !vhost_pci_client_identify(c))) {
        return;
    }
    c->decided = true;
    f = vhost_pci_client_function(c);
    if (f && f->session) {
        return; /* The former connection still waits for the driver. */
    }
    c->asking = false;
    if (!f) {
        vhost_pci_session_violation(&c->session, "its device is gone");
    } else if (vhost_pci_session_attach(&c->session, f) < 0) {
        vhost_pci_session_violation(&c->session,
                                    vu_core_error(&c->session.core));
    } else if (c->known) {
        vhost_pci_client_changed(c, 0);
    }
}

void vhost_pci_client_work(VhostPciClient *c)
{
    if (c->asking && !c->dropped) {
        vhost_pci_client_decide(c);
    }
    if (c->dropped && c->session.open) {
        qemu_chr_fe_disconnect(&c->chr);
    }
    if (c->over) {
        vhost_pci_client_free(c);
    }
}

void vhost_pci_client_end(VhostPciClient *c)
{
    vhost_pci_client_closed(c);
    vhost_pci_session_cleanup(&c->session);
}
