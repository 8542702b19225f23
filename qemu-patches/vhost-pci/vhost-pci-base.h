/*
 * vhost-pci: the abstract device that shows the rings of another VM's virtio
 * device, and that VM's memory, to the guest. A type of device (net) derives
 * from it and fills its class.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Execution contexts: everything runs under the big QEMU lock, in the main loop
 * or in a vCPU's access to the device. Nothing here blocks: the chardev's
 * callbacks serve the peer, virtqueues serve the driver, and the only wait (for
 * the driver's acknowledgement) is a timer.
 *
 * A device stands for one peer VM. It has that VM's memory, once, and
 * functions; each function is one virtio device of the peer, with a vhost-user
 * session of its own. A function exists as long as the device. A session comes
 * with a front-end; it may exist before there is a device (vhost-pci-server.h),
 * which it is then attached to.
 *
 * The two parties meet in vhost-pci-state.c: the vhost-user core (vhost_user.c)
 * reports what the peer changed, and the driver receives the whole state and
 * acknowledges it. Each other file does one thing:
 *   vhost-pci-base.c     the virtio device: control queues, status
 *   vhost-pci-base-pci.c its PCI shell: BARs, capabilities, vectors
 *   vhost-pci-net.c      a type: configuration space, rings, features
 *   vhost-pci-net-pci.c  ... and its PCI shell: the device's name and ids
 *   vhost-pci-build.c    STATE, made of all functions
 *   vhost-pci-socket.c   a session: bytes between the chardev and the core
 *   vhost-pci-attach.c   ... its memory, and its function
 *   vhost-pci-closer.c   closes what the peer sent, in a thread of its own
 *   vhost-pci-place.c    places of rings, lost commits
 *   vhost-pci-window.c   the peer's memory in the window BAR
 *   vhost-pci-mapping.c  ... and on this host
 *   vhost-pci-notify.c   doorbells (driver to peer) and kicks (peer to driver)
 *   vhost-pci-caller.c   ... signals the peer's eventfds, in its own thread
 *   vhost-pci-unshared.c a peer whose guest uses other memory than it sent
 *   vhost-pci-ration.c   limits of what a peer may cause, and the log
 *   vhost-pci-props.c    the state as read-only properties
 */

#ifndef HW_VHOST_PCI_BASE_H
#define HW_VHOST_PCI_BASE_H

#include "hw/virtio/virtio.h"
#include "hw/pci/pci.h"
#include "chardev/char-fe.h"
#include "qemu/event_notifier.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/uuid.h"
#include "qom/object.h"
#include "vhost_pci.h"
#include "vhost_user.h"
#include "vhost-pci-caller.h"
#include "vhost-pci-closer.h"
#include "vhost-pci-compat.h"
#include "vhost-pci-ration.h"
#include "vhost-pci-session.h"

#define TYPE_VHOST_PCI_BASE "vhost-pci-base"
OBJECT_DECLARE_TYPE(VhostPciBase, VhostPciBaseClass, VHOST_PCI_BASE)

/* BAR 2: the state pages, then from here on the peer's regions. */
#define VHOST_PCI_STATE_PAGE_SIZE   4096
#define VHOST_PCI_WINDOW_FIRST      (2 * MiB)
#define VHOST_PCI_DOORBELL_SIZE     4096

/*
 * The most regions of a peer. Each takes a memory slot of the machine, and of
 * its vhost devices; those of the kernel have 64. Earlier peers may have left
 * as many regions behind (vhost-pci-window.c), so a device takes half of the
 * slots at most.
 */
#define VHOST_PCI_DEFAULT_REGIONS   16

/* MSI-X vectors before those of kicks: configuration, eventq, ackq. */
#define VHOST_PCI_CTRL_VECTORS      3

typedef struct VhostPciMapping VhostPciMapping;
typedef struct VhostPciUnshared VhostPciUnshared;
typedef struct VhostPciServer VhostPciServer;

/* The peer's call eventfd of one ring, bound to its doorbell. */
typedef struct VhostPciDoorbell {
    EventNotifier notifier;     /* our duplicate of the peer's fd */
    int peer_fd;                /* the core's fd it was made from, or -1 */
    bool ioeventfd;             /* the kernel signals it */
} VhostPciDoorbell;

/* The peer's kick eventfd of one ring, bound to its MSI-X vector. */
typedef struct VhostPciKick {
    VhostPciFunction *function;
    EventNotifier notifier;     /* our duplicate of the peer's fd */
    int peer_fd;                /* the core's fd it was made from, or -1 */
    int epoll;                  /* reports signals of @notifier */
    bool unmasked;              /* the guest uses the vector */
    bool watched;               /* the main loop looks at @epoll */
    bool held;                  /* not now: the peer kicks too often */
} VhostPciKick;

/* What the driver must know of a ring, beyond what the core knows. */
typedef struct VhostPciRingState {
    uint32_t core_epoch;        /* the core's epoch at this start */
    uint32_t epoch;             /* the driver's; 0: never ran */
    uint32_t base;              /* where that epoch began */
    bool settled;               /* ... or, if settled, the final place */
    uint64_t page_before;       /* progress before a revocation */
    uint64_t page_after;
    uint64_t generation;        /* of the first STATE with that epoch */
    uint64_t desc;              /* peer's address of the descriptors */
    uint64_t avail;             /* ... of the available ring */
    uint64_t used;              /* ... and of the used ring */
    uint32_t num;
    bool run;                   /* the core's run, at the last look */
    bool broken;                /* the driver stopped it; see @rule */
    char rule[sizeof(((struct vhost_pci_broken *)0)->rule)];
} VhostPciRingState;

/* One virtio device of the peer. */
struct VhostPciFunction {
    VhostPciBase *dev;
    unsigned int index;
    unsigned int first_ring;    /* the device's number of its ring 0 */
    bool exists;                /* it has had a session, so has a type */

    /* Without a session: NULL, and a core that is never connected. */
    VhostPciSession *session;
    struct vu_core *core;

    bool waiting;               /* the core waits for @wait_generation */
    bool wait_taken;            /* ... which takes something away */
    uint64_t wait_generation;
    int64_t wait_until;         /* ms */
    bool apart;                 /* see vhost_pci_build() */
    bool told_apart;            /* ... and the log says so */
    VhostPciUnshared *unshared;

    VhostPciRingState rings[VHOST_PCI_MAX_RINGS];
    struct vhost_pci_state_page *state_page;
    VhostPciDoorbell doorbells[VHOST_PCI_MAX_RINGS];
    VhostPciKick kicks[VHOST_PCI_MAX_RINGS];
};

struct VhostPciBase {
    VirtIODevice parent_obj;

    /* Properties. */
    CharBackend chr;
    VhostPciServer *server;     /* has the sessions; NULL: @own, on @chr */
    char *peer;
    QemuUUID uuid;
    uint64_t window_size;
    uint64_t peer_features;
    uint32_t ack_timeout_ms;
    bool unsealed;
    bool force_ioeventfd;       /* for tests: without KVM, too */
    uint32_t max_regions;
    uint32_t n_functions;

    /* Set by the PCI shell. */
    PCIDevice *pdev;
    uint16_t kick_vector;       /* 0: kicks raise nothing */
    uint16_t n_kick_vectors;    /* ring i: kick_vector + i % n_kick_vectors */

    VirtQueue *eventq;
    VirtQueue *ackq;

    VhostPciFunction *functions;    /* @n_functions */
    VhostPciSession own;        /* without a server: on @chr */
    VhostPciRation changes;     /* left for the driver, as a ration */
    VhostPciCaller *caller;     /* of the peer's eventfds */
    QEMUTimer *kicks_timer;     /* end of a time in which rings were held */
    int64_t kicks_since;        /* ms: when this time began */
    unsigned int kicks_left;    /* in this time */
    uint64_t kicks_raised;
    uint64_t kicks_held;        /* times that a ring was held */
    bool leaving;               /* the server has asked to unplug it */

    /* The driver: vhost-pci-state.c. */
    bool driver_on;             /* DRIVER_OK */
    bool revoked;               /* the driver did not answer in time */
    uint64_t generation;        /* of @state */
    uint64_t sent_generation;
    uint64_t acked_generation;
    uint64_t revoke_generation; /* its ack ends @revoked */
    uint64_t timeouts;
    size_t state_len;               /* bytes of each of the next two */
    struct vhost_pci_state *state;  /* current, in wire format */
    struct vhost_pci_state *sent;   /* the state the driver may still use */
    VhostPciRation commits;     /* left to end, as a ration */
    QEMUTimer *ack_timer;
    QEMUBH *queue_bh;

    VhostPciLog log;            /* vhost_pci_warn() */

    /* Memory: vhost-pci-window.c. */
    MemoryRegion window;        /* BAR 2 */
    MemoryRegion window_hole;   /* all outside of regions */
    MemoryRegion state_mr;
    QTAILQ_HEAD(, VhostPciMapping) mappings;
    Error *migration_blocker;
    bool migration_blocked;

    /* vhost-pci-notify.c */
    MemoryRegion doorbell_mr;   /* BAR 0 */
    bool vector_notifiers;
    QEMUBH *slow_bh;            /* calls take long */
    bool calls_aside;           /* ... so this peer gets no ioeventfd */
};

/* The parts that depend on the type; the type's class_init sets them. */
struct VhostPciBaseClass {
    VirtioDeviceClass parent_class;

    const char *name;           /* in errors and log lines */
    uint16_t type;              /* of the function: VHOST_PCI_TYPE_* */
    uint64_t protocol_features; /* of vhost-user, of this type only */

    /*
     * At realize: checks the type's own properties and completes
     * @peer_features, which holds the bits that every peer is offered.
     */
    bool (*check)(VhostPciBase *s, Error **errp);
    /* The most rings of a function; called before and after check(). */
    unsigned int (*n_rings)(const VhostPciBase *s);
    /* Fills in what only this type has in STATE; may be NULL. */
    void (*fill_function)(const struct vu_core *core,
                          struct vhost_pci_function *f);
};

static inline const char *vhost_pci_name(const VhostPciBase *s)
{
    return VHOST_PCI_BASE_GET_CLASS(s)->name;
}

static inline unsigned int vhost_pci_n_rings(const VhostPciBase *s)
{
    return VHOST_PCI_BASE_GET_CLASS(s)->n_rings(s);
}

/* Returns the function that has the device's ring @ring; sets *@i to the ring's
 * number in the function. */
static inline VhostPciFunction *
vhost_pci_find_ring(const VhostPciBase *s, unsigned int ring, unsigned int *i)
{
    unsigned int n = vhost_pci_n_rings(s);

    *i = ring % n;
    return ring / n < s->n_functions ? &s->functions[ring / n] : NULL;
}

/* A property: whether to offer this bit to the peer. */
#define VHOST_PCI_PEER_BIT(_name, _bit, _default) \
    DEFINE_PROP_BIT64("peer-" _name, VhostPciBase, peer_features, _bit, \
                      _default)

/* vhost-pci-base.c: check the properties that concern more than this device,
 * and complete @peer_features. */
bool vhost_pci_check_offer(VhostPciBase *s, Error **errp);

/* vhost-pci-ration.c */
/*
 * Write a line to the log, with the peer's name before it, if the ration
 * allows.
 */
void vhost_pci_warn(VhostPciBase *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The beginning of a log line that is not about function 0. */
const char *vhost_pci_which(const VhostPciFunction *f);

/* vhost-pci-build.c */
uint32_t vhost_pci_function_status(const VhostPciFunction *f);
uint32_t vhost_pci_status(const VhostPciBase *s);
/* Make the present STATE, except its generation. */
void vhost_pci_build(VhostPciBase *s, struct vhost_pci_state *st);
/* Does @now lack anything that a driver may be using which knows @sent? */
bool vhost_pci_takes_away(const struct vhost_pci_state *sent,
                          const struct vhost_pci_state *now);
/*
 * Does @now have memory that @sent lacks, while a ring runs? A peer that grows
 * uses the new region as soon as its front-end has an answer: Linux may bring
 * the region online by itself. A driver that does not know the region yet would
 * report the first descriptor in it as a violation.
 */
bool vhost_pci_grows(const struct vhost_pci_state *sent,
                     const struct vhost_pci_state *now);

/* vhost-pci-state.c */
bool vhost_pci_state_init(VhostPciBase *s, Error **errp);
void vhost_pci_state_cleanup(VhostPciBase *s);
/* The driver set DRIVER_OK, or is gone (reset, failed). */
void vhost_pci_driver_on(VhostPciBase *s);
void vhost_pci_driver_off(VhostPciBase *s);
/* Send the current state to the driver if the driver lacks it. */
void vhost_pci_state_send(VhostPciBase *s);
void vhost_pci_state_acked(VhostPciBase *s, uint64_t generation);
void vhost_pci_ring_broken(VhostPciBase *s, const struct vhost_pci_broken *msg);
/* Part of the state may have changed. */
void vhost_pci_state_changed(VhostPciBase *s);
/* The core's update: 0 or VU_WAIT. */
int vhost_pci_state_update(VhostPciFunction *f, uint32_t changed);

/* vhost-pci-unshared.c */
void vhost_pci_unshared_init(VhostPciFunction *f);
void vhost_pci_unshared_cleanup(VhostPciFunction *f);
/* Rings or the connection may have changed. */
void vhost_pci_unshared_follow(VhostPciFunction *f);
/* Does the peer's guest seem to use other memory than was sent? */
bool vhost_pci_unshared_told(const VhostPciFunction *f);

/* vhost-pci-place.c */
/* Copy the peer's memory at @gpa from its file, whatever is mapped. */
bool vhost_pci_peer_read(VhostPciFunction *f, uint64_t gpa, void *buf,
                         size_t len);
/* Has ring @i begun, and not stopped? It runs, or is paused. */
bool vhost_pci_ring_has_place(const VhostPciFunction *f, unsigned int i);
/* The place of ring @i, for the next driver. */
uint32_t vhost_pci_ring_place(VhostPciFunction *f, unsigned int i);
/* The place of ring @i, for the front-end; the ring is at rest. */
uint32_t vhost_pci_ring_base(VhostPciFunction *f, unsigned int i);
/* Ring @i is at rest: stop declaring it as traced. */
void vhost_pci_ring_untrace(VhostPciFunction *f, unsigned int i);
/* Revocation: warn the driver; note the progress in the state page before and
 * after the memory is replaced; settle the places of rings from these notes. */
void vhost_pci_place_init(void);
void vhost_pci_rings_warn(VhostPciBase *s);
void vhost_pci_rings_note_before(VhostPciFunction *f);
void vhost_pci_rings_note_after(VhostPciFunction *f);
void vhost_pci_rings_settle(VhostPciFunction *f);

/* vhost-pci-window.c */
bool vhost_pci_window_init(VhostPciBase *s, Error **errp);
void vhost_pci_window_cleanup(VhostPciBase *s);
/*
 * Replace all memory of the peer by anonymous memory, or bring it back.
 * vhost_pci_window_restore() returns false if a part could not be mapped again.
 */
void vhost_pci_window_revoke(VhostPciBase *s);
bool vhost_pci_window_restore(VhostPciBase *s);
uint64_t vhost_pci_window_offset(const struct vu_region *r);
/* The file of the peer's memory at @gpa, whatever is mapped; sets *@offset to
 * the place in the file. Returns -1 if no file has all @len bytes. */
int vhost_pci_window_file(VhostPciFunction *f, uint64_t gpa, size_t len,
                          uint64_t *offset);
/* A region that several functions have is mapped once. */
int vhost_pci_window_map(VhostPciFunction *f, struct vu_region *r, int fd);
void vhost_pci_window_unmap(VhostPciFunction *f, struct vu_region *r);

/* vhost-pci-notify.c */
void vhost_pci_notify_init(VhostPciBase *s);
void vhost_pci_notify_cleanup(VhostPciBase *s);
/* The device is plugged and has its vectors. */
void vhost_pci_notify_plugged(VhostPciBase *s);
/* There is a new driver: declare the kick vectors used. */
void vhost_pci_notify_driver(VhostPciBase *s);
/* Bind the doorbells and kicks that peer and driver make possible now. */
void vhost_pci_notify_sync(VhostPciFunction *f);
/* Signal a broken ring to the peer (err eventfd). */
void vhost_pci_notify_error(VhostPciFunction *f, unsigned int ring);

/* vhost-pci-props.c: ends a property list. */
extern const PropertyInfo vhost_pci_prop_connected;
extern const PropertyInfo vhost_pci_prop_features;
extern const PropertyInfo vhost_pci_prop_memory;
extern const PropertyInfo vhost_pci_prop_regions;
extern const PropertyInfo vhost_pci_prop_rings;
extern const PropertyInfo vhost_pci_prop_generation;
extern const PropertyInfo vhost_pci_prop_broken;
extern const PropertyInfo vhost_pci_prop_violations;
extern const PropertyInfo vhost_pci_prop_kicks;
extern const PropertyInfo vhost_pci_prop_driver;
#define VHOST_PCI_SHOW(_name, _what) \
    { .name = "peer-" _name, .info = &vhost_pci_prop_##_what }

#endif
