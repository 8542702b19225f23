/*
 * vhost-pci: detect a peer whose guest does not use the memory that its
 * front-end sent, because the guest runs on a private copy of the file: QEMU's
 * memory-backend-memfd and -file without share=on. Nothing else shows this: the
 * front-end sends all that it must send, rings start, and no packet ever comes.
 *
 * Such a guest kicks, but no index moves in the mapped memory. An honest driver
 * moves an index before it kicks, so this code reads kicks before indices. The
 * first kick of a ring may come from the front-end: QEMU creates eventfds with
 * a count of 1. So that kick does not count.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "standard-headers/linux/virtio_ring.h"
#include "vhost-pci-base.h"

#define LOOK_MS         500
/* With EVENT_IDX a guest without an answer kicks each ring once only. */
#define ENOUGH_KICKS    2

struct VhostPciUnshared {
    VhostPciFunction *function;
    QEMUTimer *timer;           /* while the peer is unproven */
    int kicks;                  /* epoll set of the rings' kicks, or -1 */
    int fds[VHOST_PCI_MAX_RINGS];   /* ... the core's fds in it, or -1 */
    unsigned int kicked;        /* rings, at looks */
    bool proven;                /* an index has moved */
    bool told;                  /* reported: none seems to move */
};

/* Do not read the eventfds: see vhost-pci-notify.c. */
static unsigned int vhost_pci_unshared_take_kicks(VhostPciUnshared *u)
{
    struct epoll_event events[VHOST_PCI_MAX_RINGS];

    return u->kicks < 0 ? 0 :
           MAX(epoll_wait(u->kicks, events, ARRAY_SIZE(events), 0), 0);
}

static void vhost_pci_unshared_drop_kicks(VhostPciUnshared *u)
{
    if (u->kicks >= 0) {
        close(u->kicks);
        u->kicks = -1;
    }
    memset(u->fds, -1, sizeof(u->fds));
}

/* Count kicks of running rings from now on. Returns false if that fails. */
static bool vhost_pci_unshared_add_kicks(VhostPciUnshared *u, const int *fds)
{
    unsigned int i;

    u->kicks = epoll_create1(EPOLL_CLOEXEC);
    for (i = 0; u->kicks >= 0 && i < VHOST_PCI_MAX_RINGS; i++) {
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };

        if (fds[i] >= 0 &&
            epoll_ctl(u->kicks, EPOLL_CTL_ADD, fds[i], &event) == 0) {
            u->fds[i] = fds[i];
        }
    }
    vhost_pci_unshared_take_kicks(u);
    return u->kicks >= 0;
}

/* Both layouts have zeroes in memory to which nobody has written. */
static bool vhost_pci_unshared_any_moved(VhostPciFunction *f)
{
    const bool packed = f->core->features & BIT_ULL(VIRTIO_F_RING_PACKED);
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        const VhostPciRingState *r = &f->rings[i];
        uint64_t gpa = packed ?
            r->desc + offsetof(struct vring_packed_desc, flags) :
            r->avail + offsetof(struct vring_avail, idx);
        uint16_t moved;

        if (r->run && vhost_pci_peer_read(f, gpa, &moved, sizeof(moved)) &&
            moved) {
            return true;
        }
    }
    return false;
}

static void vhost_pci_unshared_tell(VhostPciUnshared *u, bool told)
{
    if (told == u->told) {
        return;
    }
    u->told = told;
    if (told) {
        vhost_pci_warn(u->function->dev, "%sits guest does not use the memory "
                       "that was sent: is it shared (share=on)?",
                       vhost_pci_which(u->function));
    }
    vhost_pci_state_changed(u->function->dev);
}

static void vhost_pci_unshared_look(void *opaque)
{
    VhostPciUnshared *u = opaque;

    u->kicked += vhost_pci_unshared_take_kicks(u);
    /* Pairs with the barrier of the peer's driver between index and kick. */
    smp_mb();
    if (vhost_pci_unshared_any_moved(u->function)) {
        u->proven = true;
        vhost_pci_unshared_drop_kicks(u);
        vhost_pci_unshared_tell(u, false);
        return;
    }
    timer_mod(u->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + LOOK_MS);
    if (u->kicked >= ENOUGH_KICKS) {
        vhost_pci_unshared_tell(u, true);
    }
}

void vhost_pci_unshared_follow(VhostPciFunction *f)
{
    VhostPciUnshared *u = f->unshared;
    int fds[VHOST_PCI_MAX_RINGS];
    unsigned int i;

    if (!f->core->connected) {
        timer_del(u->timer);
        vhost_pci_unshared_drop_kicks(u);
        u->kicked = 0;
        u->proven = u->told = false;
        return;
    }
    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        const struct vu_ring *r = &f->core->rings[i];

        fds[i] = r->run ? r->kick_fd : -1;
    }
    if (u->proven || !memcmp(fds, u->fds, sizeof(fds))) {
        return;
    }
    u->kicked += vhost_pci_unshared_take_kicks(u);
    vhost_pci_unshared_drop_kicks(u);
    if (vhost_pci_unshared_add_kicks(u, fds) && !timer_pending(u->timer)) {
        timer_mod(u->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + LOOK_MS);
    }
}

bool vhost_pci_unshared_told(const VhostPciFunction *f)
{
    return f->unshared && f->unshared->told;
}

void vhost_pci_unshared_init(VhostPciFunction *f)
{
    VhostPciUnshared *u = g_new0(VhostPciUnshared, 1);

    u->function = f;
    u->timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_unshared_look, u);
    u->kicks = -1;
    memset(u->fds, -1, sizeof(u->fds));
    f->unshared = u;
}

void vhost_pci_unshared_cleanup(VhostPciFunction *f)
{
    timer_free(f->unshared->timer);
    vhost_pci_unshared_drop_kicks(f->unshared);
    g_clear_pointer(&f->unshared, g_free);
}
