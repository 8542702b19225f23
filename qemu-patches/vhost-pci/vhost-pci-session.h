/*
 * vhost-pci: a vhost-user session with a front-end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session serves one front-end after the other on its chardev. What the
 * front-end says reaches a function once the session is attached to one. The
 * simple device attaches its one session for good; a server
 * (vhost-pci-server.h) makes a session for each connection, looks at what it
 * says, and then decides.
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

/* A session's server. It may not end the session in these calls. */
typedef struct VhostPciSessionOps {
    /* As that of the core, before the function's; VU_WAIT only while there is
     * none. Regions are held, but nowhere mapped, as long. */
    int (*update)(void *opaque, uint32_t changed);
    /* The front-end sent something. */
    void (*spoke)(void *opaque);
    /* The front-end broke a rule: one line in the log. */
    void (*violation)(void *opaque, const char *reason);
    /* The connection is closed; the core is told next. */
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
    QEMUTimer *ration_timer;    /* there is none left, but something to read */
    QEMUTimer *quiet_timer;     /* nothing to read, and the core holds a ring */
    bool open;                  /* the chardev has a connection */
    QIOChannelSocket *channel;  /* the connection: a reference, or NULL */
    int connection;             /* its socket once more; -1: none */
    VhostPciCloser *closer;     /* of what the peer sends; NULL: not yet */
    uint64_t violations;        /* connections ended for a broken rule */
    char *last_violation;
} VhostPciSession;

/*
 * @like has the properties of the device that it is, or may once be, for.
 * Without @ops it is attached to @like's function 0.
 */
bool vhost_pci_session_init(VhostPciSession *ss, VhostPciBase *like,
                            CharBackend *chr, const VhostPciSessionOps *ops,
                            void *opaque, Error **errp);
/* Ends the connection, and waits for nobody. Not from a callback of the
 * core's. */
void vhost_pci_session_cleanup(VhostPciSession *ss);

/*
 * The core waits (its update returned VU_WAIT): have @f show what it has.
 * Returns 0 or -errno, with the core's error set; then it is not attached, and
 * fails.
 */
int vhost_pci_session_attach(VhostPciSession *ss, VhostPciFunction *f);
/* The core has let go of everything: the function is free for another one. */
void vhost_pci_session_detach(VhostPciSession *ss);

/* The core may go on: what its update waited for has happened. */
void vhost_pci_session_resume(VhostPciSession *ss);
/* The peer changed something that the driver is to be told of, at the cost of
 * so many simple changes. */
void vhost_pci_session_changed(VhostPciSession *ss, unsigned int cost);
/* End the connection: @reason becomes the one log line. */
void vhost_pci_session_violation(VhostPciSession *ss, const char *reason);
/* Somebody to close what the peer sent. */
VhostPciCloser *vhost_pci_session_closer(VhostPciSession *ss);

/* The descriptor behind @r, held or mapped; it stays where it is. */
int vhost_pci_session_file(const struct vu_region *r);

/* vhost-pci-attach.c: callbacks of the core. */
int vhost_pci_session_map(void *opaque, struct vu_region *r, int fd);
void vhost_pci_session_unmap(void *opaque, struct vu_region *r);

/* The core of a function that nobody serves: it is never connected. */
struct vu_core *vhost_pci_no_core(void);

#endif
