/*
 * vhost-pci: a vhost-user session with a front-end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session serves one front-end after the other on its chardev. The
 * front-end's messages reach a function once the session is attached to one.
 * The simple device attaches its one session for good. A server
 * (vhost-pci-server.h) makes a session for each connection, looks at the first
 * messages, and then decides.
 */

#ifndef HW_VHOST_PCI_SESSION_H
#define HW_VHOST_PCI_SESSION_H

#include "chardev/char-fe.h"
#include "io/channel-socket.h"
#include "qemu/timer.h"
#include "vhost_user.h"
#include "vhost-pci-closer.h"
#include "vhost-pci-ration.h"

typedef struct VhostPciBase VhostPciBase;
typedef struct VhostPciFunction VhostPciFunction;

/* The server of a session. These callbacks must not end the session. */
typedef struct VhostPciSessionOps {
    /* As vu_ops.update(); called before the function's update. May return
     * VU_WAIT only while there is no function. Until then regions are held, but
     * not mapped. */
    int (*update)(void *opaque, uint32_t changed);
    /* The front-end sent something. */
    void (*spoke)(void *opaque);
    /* The front-end broke a rule: one line in the log. */
    void (*violation)(void *opaque, const char *reason);
    /* The connection is closed; the core learns that next. */
    void (*closed)(void *opaque);
    /* The core has let go of everything that the connection brought. */
    void (*over)(void *opaque);
    /* Somebody to close what the peer sent. */
    VhostPciCloser *(*closer)(void *opaque);
} VhostPciSessionOps;

typedef struct VhostPciSession {
    CharBackend *chr;
    const VhostPciSessionOps *ops;  /* NULL: there is no server */
    void *opaque;
    VhostPciFunction *function; /* attached to, or NULL */

    struct vu_core core;
    unsigned int in_core;       /* depth of calls into the core */
    VhostPciRation changes;     /* while not attached: see VhostPciBase */
    QEMUTimer *ration_timer;    /* no ration is left, but input waits */
    QEMUTimer *quiet_timer;     /* no input, and the core holds a ring */
    bool open;                  /* the chardev has a connection */
    QIOChannelSocket *channel;  /* the connection: a reference, or NULL */
    int connection;             /* a duplicate of its socket; -1: none */
    VhostPciCloser *closer;     /* of what the peer sends; NULL: not yet */
    uint64_t violations;        /* connections ended for a broken rule */
    char *last_violation;
} VhostPciSession;

/*
 * @like has the properties of the device to which the session belongs, or may
 * later belong. Without @ops the session is attached to function 0 of @like.
 */
bool vhost_pci_session_init(VhostPciSession *ss, VhostPciBase *like,
                            CharBackend *chr, const VhostPciSessionOps *ops,
                            void *opaque, Error **errp);
/* Ends the connection, and waits for nobody. Not for callbacks of the core. */
void vhost_pci_session_cleanup(VhostPciSession *ss);

/*
 * The core waits (its update returned VU_WAIT): make @f show the memory of the
 * session. Returns 0 or -errno, with an error text in the core; then the
 * session is not attached, and fails.
 */
int vhost_pci_session_attach(VhostPciSession *ss, VhostPciFunction *f);
/* The core has let go of everything: the function is free for another one. */
void vhost_pci_session_detach(VhostPciSession *ss);

/* The core may go on: what it waited for has happened. */
void vhost_pci_session_resume(VhostPciSession *ss);
/* The peer changed something that the driver must learn, at the cost of @cost
 * simple changes. */
void vhost_pci_session_changed(VhostPciSession *ss, unsigned int cost);
/* End the connection: @reason becomes the one log line. */
void vhost_pci_session_violation(VhostPciSession *ss, const char *reason);
/* Somebody to close what the peer sent. */
VhostPciCloser *vhost_pci_session_closer(VhostPciSession *ss);

/* The file descriptor of @r, held or mapped; the caller does not own it. */
int vhost_pci_session_file(const struct vu_region *r);

/* vhost-pci-attach.c: callbacks of the core. */
int vhost_pci_session_map(void *opaque, struct vu_region *r, int fd);
void vhost_pci_session_unmap(void *opaque, struct vu_region *r);

/* The core of a function that nobody serves: it is never connected. */
struct vu_core *vhost_pci_no_core(void);

#endif
