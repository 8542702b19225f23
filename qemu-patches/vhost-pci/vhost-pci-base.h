/*
 * vhost-pci: the abstract device that shows the rings of another VM's virtio
 * device, and that VM's memory, to the guest. A type of device (net) derives
 * from it and fills its class.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Execution contexts: everything runs under the big QEMU lock, in the main
 * loop or in a vCPU's access to the device. Nothing here blocks: the peer is
 * served through the chardev's callbacks, the driver through its virtqueues,
 * and the one wait there is (for the driver's acknowledgement) is a timer.
 *
 * The two parties meet in vhost-pci-state.c: the vhost-user core
 * (vhost_user.c) tells what the peer changed, the driver is told the whole
 * state and acknowledges it. The other files know one thing each:
 *   vhost-pci-base.c     the virtio device: control queues, status
 *   vhost-pci-base-pci.c its PCI shell: BARs, capabilities, vectors
 *   vhost-pci-net.c      a type: configuration space, rings, features
 *   vhost-pci-net-pci.c  ... and its PCI shell: what the guest takes it for
 *   vhost-pci-socket.c   bytes between the chardev and the core
 *   vhost-pci-closer.c   what the peer sent, closed aside
 *   vhost-pci-place.c    where rings stand, lost commits
 *   vhost-pci-window.c   the peer's memory in the window BAR
 *   vhost-pci-mapping.c  ... and on this host
 *   vhost-pci-notify.c   doorbells (driver to peer) and kicks (peer to driver)
 *   vhost-pci-caller.c   ... the peer's eventfds, signalled aside
 *   vhost-pci-ration.c   what a peer may cause at once, and the log
 *   vhost-pci-props.c    the state as read-only properties
 */

#ifndef HW_VHOST_PCI_BASE_H
#define HW_VHOST_PCI_BASE_H

#include "hw/virtio/virtio.h"
#include "hw/pci/pci.h"
#include "chardev/char-fe.h"
#include "io/channel-socket.h"
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
#include "vhost-pci-ration.h"

#define TYPE_VHOST_PCI_BASE "vhost-pci-base"
OBJECT_DECLARE_TYPE(VhostPciBase, VhostPciBaseClass, VHOST_PCI_BASE)

/* BAR 2: the state page, then from here on the peer's regions. */
#define VHOST_PCI_STATE_PAGE_SIZE   4096
#define VHOST_PCI_WINDOW_FIRST      (2 * MiB)
#define VHOST_PCI_DOORBELL_SIZE     4096

/*
 * Regions that a peer may have. Each takes a memory slot of the machine, and of
 * its vhost devices: those of the kernel have 64. As many may be left behind by
 * peers before, see vhost-pci-window.c; so a device takes half of them at most.
 */
#define VHOST_PCI_DEFAULT_REGIONS   16

/* MSI-X vectors before those of kicks: configuration, eventq, ackq. */
#define VHOST_PCI_CTRL_VECTORS      3

typedef struct VhostPciMapping VhostPciMapping;

/* The peer's call eventfd of one ring, bound to its doorbell. */
typedef struct VhostPciDoorbell {
    EventNotifier notifier;     /* our duplicate of the peer's fd */
    int peer_fd;                /* the core's fd it was made from, or -1 */
    bool ioeventfd;             /* the kernel signals it */
} VhostPciDoorbell;

/* The peer's kick eventfd of one ring, bound to its MSI-X vector. */
typedef struct VhostPciKick {
    VhostPciBase *dev;
    EventNotifier notifier;     /* our duplicate of the peer's fd */
    int peer_fd;                /* the core's fd it was made from, or -1 */
    int epoll;                  /* tells of its signals */
    int virq;                   /* KVM route while irqfd is bound, or -1 */
    bool unmasked;              /* the guest uses the vector */
    bool watched;               /* the main loop reads the fd */
} VhostPciKick;

/* What the driver is to know of a ring beyond what the core knows. */
typedef struct VhostPciRingState {
    uint32_t core_epoch;        /* start of the core's that @epoch tells of */
    uint32_t epoch;             /* as told to the driver, 0: never ran */
    uint32_t base;              /* where that epoch began, or: */
    bool settled;               /* @base is where it stands, for good */
    uint64_t page_before;       /* progress, noted as memory was taken away */
    uint64_t page_after;
    uint64_t generation;        /* of the first STATE with that epoch */
    uint64_t desc;              /* peer's address of the descriptors */
    uint64_t avail;             /* ... of the available ring */
    uint64_t used;              /* ... and of the used ring */
    uint32_t num;
    bool run;                   /* running for the core when last looked at */
    bool broken;                /* the driver stopped it; see @rule */
    char rule[sizeof(((struct vhost_pci_broken *)0)->rule)];
} VhostPciRingState;

struct VhostPciBase {
    VirtIODevice parent_obj;

    /* Properties. */
    CharBackend chr;
    char *peer;
    QemuUUID uuid;
    uint64_t window_size;
    uint64_t peer_features;
    uint32_t ack_timeout_ms;
    bool unsealed;
    uint32_t max_regions;

    /* Set by the PCI shell. */
    PCIDevice *pdev;
    uint16_t kick_vector;       /* 0: kicks raise nothing */
    uint16_t n_kick_vectors;    /* ring i: kick_vector + i % n_kick_vectors */

    VirtQueue *eventq;
    VirtQueue *ackq;

    /* The peer: vhost-pci-socket.c. */
    struct vu_core core;
    unsigned int in_core;       /* depth of calls into the core */
    VhostPciRation changes;     /* that the driver may still be told of */
    QEMUTimer *ration_timer;    /* there is none left, but something to read */
    QEMUTimer *quiet_timer;     /* nothing to read, and the core holds a ring */
    bool open;                  /* the chardev has a connection */
    QIOChannelSocket *channel;  /* the connection: a reference, or NULL */
    VhostPciCloser *closer;     /* of what the peer sends */
    VhostPciCaller *caller;     /* of its eventfds */
    uint64_t violations;        /* connections ended for a broken rule */
    char *last_violation;

    /* The driver: vhost-pci-state.c. */
    bool driver_on;             /* DRIVER_OK */
    bool waiting;               /* the core waits for @wait_generation */
    bool revoked;               /* the driver did not answer in time */
    uint64_t generation;        /* of @state */
    uint64_t sent_generation;
    uint64_t acked_generation;
    uint64_t wait_generation;
    uint64_t revoke_generation; /* its ack ends @revoked */
    uint64_t timeouts;
    size_t state_len;               /* bytes of each of the next two */
    struct vhost_pci_state *state;  /* current, in wire format */
    struct vhost_pci_state *sent;   /* what the driver may still use */
    VhostPciRingState rings[VHOST_PCI_MAX_RINGS];
    VhostPciRation commits;     /* that may still be ended */
    QEMUTimer *ack_timer;
    QEMUBH *queue_bh;

    VhostPciLog log;            /* vhost_pci_warn() */

    /* Memory: vhost-pci-window.c. */
    MemoryRegion window;        /* BAR 2 */
    MemoryRegion window_hole;   /* what is behind no region */
    MemoryRegion state_mr;
    struct vhost_pci_state_page *state_page;
    QTAILQ_HEAD(, VhostPciMapping) mappings;
    Error *migration_blocker;
    bool migration_blocked;

    /* vhost-pci-notify.c */
    MemoryRegion doorbell_mr;   /* BAR 0 */
    bool vector_notifiers;
    VhostPciDoorbell doorbells[VHOST_PCI_MAX_RINGS];
    VhostPciKick kicks[VHOST_PCI_MAX_RINGS];
};

/* What differs from type to type; set by the type's class_init. */
struct VhostPciBaseClass {
    VirtioDeviceClass parent_class;

    const char *name;           /* in errors and log lines */
    uint16_t type;              /* of the function: VHOST_PCI_TYPE_* */
    uint64_t protocol_features; /* of vhost-user, that only this type has */

    /*
     * At realize: checks the type's own properties and completes
     * @peer_features, which holds the bits that every peer is offered.
     */
    bool (*check)(VhostPciBase *s, Error **errp);
    /* How many rings the peer may have; called before and after check(). */
    unsigned int (*n_rings)(const VhostPciBase *s);
    /* What STATE says of functions of this type only; may be NULL. */
    void (*fill_function)(const VhostPciBase *s, struct vhost_pci_function *f);
};

static inline const char *vhost_pci_name(const VhostPciBase *s)
{
    return VHOST_PCI_BASE_GET_CLASS(s)->name;
}

static inline unsigned int vhost_pci_n_rings(const VhostPciBase *s)
{
    return VHOST_PCI_BASE_GET_CLASS(s)->n_rings(s);
}

/* A property: is the peer offered this bit? */
#define VHOST_PCI_PEER_BIT(_name, _bit, _default) \
    DEFINE_PROP_BIT64("peer-" _name, VhostPciBase, peer_features, _bit, \
                      _default)

/* vhost-pci-ration.c */
/* One rationed line in the log, with the peer's name before it. */
void vhost_pci_warn(VhostPciBase *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* vhost-pci-state.c */
bool vhost_pci_state_init(VhostPciBase *s, Error **errp);
void vhost_pci_state_cleanup(VhostPciBase *s);
/* The driver set DRIVER_OK, or is gone (reset, failed). */
void vhost_pci_driver_on(VhostPciBase *s);
void vhost_pci_driver_off(VhostPciBase *s);
/* Hand the current state to the driver if it has not got it yet. */
void vhost_pci_state_send(VhostPciBase *s);
void vhost_pci_state_acked(VhostPciBase *s, uint64_t generation);
void vhost_pci_ring_broken(VhostPciBase *s, const struct vhost_pci_broken *msg);
uint32_t vhost_pci_status(const VhostPciBase *s);
/* Callbacks of the core. */
int vhost_pci_state_update(void *opaque, uint32_t changed);

/* vhost-pci-place.c */
/* Has ring @i begun and not been stopped? It runs, or is paused. */
bool vhost_pci_ring_has_place(const VhostPciBase *s, unsigned int i);
/* Where ring @i stands, for the next driver. */
uint32_t vhost_pci_ring_place(VhostPciBase *s, unsigned int i);
/* Callback of the core: the same for the front-end; the ring is at rest. */
uint32_t vhost_pci_ring_base(void *opaque, unsigned int i);
/* Revocation: what the driver is told first, the two looks at the state page
 * around the replacement of the memory, and where rings stand by these. */
void vhost_pci_place_init(void);
void vhost_pci_rings_warn(VhostPciBase *s);
void vhost_pci_rings_note_before(VhostPciBase *s);
void vhost_pci_rings_note_after(VhostPciBase *s);
void vhost_pci_rings_settle(VhostPciBase *s);

/* vhost-pci-socket.c */
bool vhost_pci_socket_init(VhostPciBase *s, Error **errp);
void vhost_pci_socket_cleanup(VhostPciBase *s);
/* The core may go on: what its update waited for has happened. */
void vhost_pci_socket_resume(VhostPciBase *s);
/* The peer changed something that the driver is to be told of, at the cost of
 * so many simple changes. */
void vhost_pci_socket_changed(VhostPciBase *s, unsigned int cost);
/* End the connection: @reason becomes the one log line. */
void vhost_pci_socket_violation(VhostPciBase *s, const char *reason);

/* vhost-pci-window.c */
bool vhost_pci_window_init(VhostPciBase *s, Error **errp);
void vhost_pci_window_cleanup(VhostPciBase *s);
/*
 * Replace everything of the peer's by anonymous memory, and back. The latter
 * returns false when some of it could not be mapped again.
 */
void vhost_pci_window_revoke(VhostPciBase *s);
bool vhost_pci_window_restore(VhostPciBase *s);
uint64_t vhost_pci_window_offset(const struct vu_region *r);
/* The file behind the peer's memory at @gpa, whatever is mapped, and where in
 * it; -1: there is none for all of @len bytes. */
int vhost_pci_window_file(VhostPciBase *s, uint64_t gpa, size_t len,
                          uint64_t *offset);
/* Callbacks of the core. */
int vhost_pci_window_map(void *opaque, struct vu_region *r, int fd);
void vhost_pci_window_unmap(void *opaque, struct vu_region *r);

/* vhost-pci-notify.c */
void vhost_pci_notify_init(VhostPciBase *s);
void vhost_pci_notify_cleanup(VhostPciBase *s);
/* The device is plugged and has its vectors. */
void vhost_pci_notify_plugged(VhostPciBase *s);
/* There is a new driver: declare the kick vectors used. */
void vhost_pci_notify_driver(VhostPciBase *s);
/* Bind what the peer and the driver make possible now. */
void vhost_pci_notify_sync(VhostPciBase *s);
/* Tell the peer that one of its rings is out of order (err eventfd). */
void vhost_pci_notify_error(VhostPciBase *s, unsigned int ring);

/* vhost-pci-props.c: ends a property list. */
extern const PropertyInfo vhost_pci_prop_connected;
extern const PropertyInfo vhost_pci_prop_features;
extern const PropertyInfo vhost_pci_prop_memory;
extern const PropertyInfo vhost_pci_prop_regions;
extern const PropertyInfo vhost_pci_prop_rings;
extern const PropertyInfo vhost_pci_prop_generation;
extern const PropertyInfo vhost_pci_prop_broken;
extern const PropertyInfo vhost_pci_prop_violations;
extern const PropertyInfo vhost_pci_prop_driver;
#define VHOST_PCI_SHOW(_name, _what) \
    { .name = "peer-" _name, .info = &vhost_pci_prop_##_what }

#endif
