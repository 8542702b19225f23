/*
 * vhost-pci: notifications. A doorbell write of the driver signals the peer's
 * call eventfd; the peer's kick eventfd raises the ring's MSI-X vector.
 *
 * With KVM doorbells bypass this process: ioeventfd. The core has checked that
 * the fds are eventfds. This file never reads or writes an eventfd: the peer
 * decides what that costs, and whether it waits. vhost-pci-caller.c signals in
 * a thread of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "hw/pci/msix.h"
#include "hw/virtio/virtio-pci.h"
#include "vhost-pci-base.h"

/*
 * KVM has 1000 places for ioeventfds, QEMU aborts when none is left, and virtio
 * devices need places, too. vhost_pci_doorbell_write() serves the doorbells, of
 * all devices, beyond this number.
 */
#define MAX_IOEVENTFDS 512
static unsigned int ioeventfds_used;

/*
 * The most interrupts that the kicks of one peer, on all its rings, may raise
 * in KICKS_MS. The switch VM pays for each, and a peer can kick endlessly; an
 * honest peer kicks once each time the driver has gone to sleep. After that
 * nobody watches the rings until the time is over.
 *
 * This is why there is no irqfd: KVM would take kicks from an eventfd, and
 * nobody could count them or hold them back.
 */
#define KICKS_MS    10
#define KICKS_MAX   100

/*
 * Has the peer kicked since the last look? Do not read its eventfd: that walks
 * all who wait for room in it, and the peer decides who waits. An epoll set of
 * our own reports each signal once.
 */
static bool vhost_pci_test_and_clear(const VhostPciKick *k)
{
    struct epoll_event event;

    return epoll_wait(k->epoll, &event, 1, 0) == 1;
}

/* Doorbells */

static uint64_t vhost_pci_doorbell_read(void *opaque, hwaddr addr,
                                        unsigned size)
{
    return 0;
}

/* Used without KVM, and in the moment between two call eventfds. */
static void vhost_pci_doorbell_write(void *opaque, hwaddr addr, uint64_t val,
                                     unsigned size)
{
    VhostPciBase *s = opaque;
    hwaddr ring = addr / VHOST_PCI_DOORBELL_STRIDE;
    unsigned int i;
    VhostPciFunction *f = vhost_pci_find_ring(s, ring, &i);

    if (f && f->doorbells[i].peer_fd >= 0) {
        vhost_pci_caller_call(s->caller, ring);
    }
}

static const MemoryRegionOps vhost_pci_doorbell_ops = {
    .read = vhost_pci_doorbell_read,
    .write = vhost_pci_doorbell_write,
    .valid.min_access_size = 4,
    .valid.max_access_size = 4,
    .endianness = DEVICE_LITTLE_ENDIAN,
};

static hwaddr vhost_pci_doorbell_at(const VhostPciFunction *f, unsigned int i)
{
    return (f->first_ring + i) * VHOST_PCI_DOORBELL_STRIDE;
}

static void vhost_pci_doorbell_del(VhostPciFunction *f, unsigned int i)
{
    VhostPciDoorbell *d = &f->doorbells[i];

    if (d->ioeventfd) {
        memory_region_del_eventfd(&f->dev->doorbell_mr,
                                  vhost_pci_doorbell_at(f, i), 4, false, 0,
                                  &d->notifier);
        d->ioeventfd = false;
        ioeventfds_used--;
    }
}

/* May the kernel call the peer from the virtual CPU? */
static bool vhost_pci_doorbell_may_bind(const VhostPciBase *s)
{
    return (kvm_eventfds_enabled() || s->force_ioeventfd) && !s->calls_aside &&
           ioeventfds_used < MAX_IOEVENTFDS;
}

static void vhost_pci_doorbell_add(VhostPciFunction *f, unsigned int i,
                                   int peer_fd)
{
    VhostPciBase *s = f->dev;
    VhostPciDoorbell *d = &f->doorbells[i];
    int fd = fcntl(peer_fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0 ||
        vhost_pci_caller_bind(s->caller, f->first_ring + i, peer_fd) < 0) {
        warn_report_once("%s: no file descriptor left for a doorbell: %s",
                         vhost_pci_name(s), strerror(errno));
        close(fd);
        return;
    }
    event_notifier_init_fd(&d->notifier, fd);
    d->peer_fd = peer_fd;
    if (vhost_pci_doorbell_may_bind(s)) {
        memory_region_add_eventfd(&s->doorbell_mr,
                                  vhost_pci_doorbell_at(f, i), 4, false, 0,
                                  &d->notifier);
        d->ioeventfd = true;
        ioeventfds_used++;
        vhost_pci_caller_watch(s->caller, f->first_ring + i);
    }
}

/* Let the thread make all calls from now on, not the virtual CPU. */
static void vhost_pci_doorbells_aside(void *opaque)
{
    VhostPciBase *s = opaque;
    unsigned int n, i;

    if (!(vhost_pci_status(s) & VHOST_PCI_S_CONNECTED)) {
        return;
    }
    s->calls_aside = true;
    vhost_pci_warn(s, "calls take long, as their eventfd has many waiters; a "
                   "thread makes the calls from now on");
    memory_region_transaction_begin();
    for (n = 0; n < s->n_functions; n++) {
        for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
            vhost_pci_doorbell_del(&s->functions[n], i);
        }
    }
    memory_region_transaction_commit();
}

/*
 * Bind the doorbell of ring i to call[i], or to nothing if that is -1. Each
 * memory transaction rebuilds the memory map, so use two for all rings of a
 * function. Close an old notifier only after the first one: KVM learns of a
 * removal when the transaction ends.
 */
static void vhost_pci_doorbells_bind(VhostPciFunction *f, const int *call)
{
    bool changes = false;
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        changes |= f->doorbells[i].peer_fd != call[i];
    }
    if (!changes) {
        return;
    }

    memory_region_transaction_begin();
    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        if (f->doorbells[i].peer_fd != call[i]) {
            vhost_pci_doorbell_del(f, i);
        }
    }
    memory_region_transaction_commit();

    memory_region_transaction_begin();
    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        VhostPciDoorbell *d = &f->doorbells[i];

        if (d->peer_fd == call[i]) {
            continue;
        }
        if (d->peer_fd >= 0) {
            vhost_pci_caller_bind(f->dev->caller, f->first_ring + i, -1);
            event_notifier_cleanup(&d->notifier);
            d->peer_fd = -1;
        }
        if (call[i] >= 0) {
            vhost_pci_doorbell_add(f, i, call[i]);
        }
    }
    memory_region_transaction_commit();
}

/* Kicks */

static unsigned int vhost_pci_kick_vector(const VhostPciFunction *f,
                                          unsigned int i)
{
    return f->dev->kick_vector + (f->first_ring + i) % f->dev->n_kick_vectors;
}

/* Has the peer used up its interrupts? If not, count one more. */
static bool vhost_pci_kicks_exhausted(VhostPciBase *s)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (now - s->kicks_since >= KICKS_MS) {
        s->kicks_since = now;
        s->kicks_left = KICKS_MAX;
    }
    if (!s->kicks_left) {
        return true;
    }
    s->kicks_left--;
    s->kicks_raised++;
    return false;
}

static void vhost_pci_kick_event(void *opaque);

/* Deliver kicks while there is an fd and the guest uses the vector. */
static void vhost_pci_kick_start(VhostPciFunction *f, unsigned int i)
{
    VhostPciKick *k = &f->kicks[i];

    if (k->peer_fd >= 0 && k->unmasked && !k->held && !k->watched) {
        k->watched = true;
        qemu_set_fd_handler(k->epoll, vhost_pci_kick_event, NULL, k);
    }
}

static void vhost_pci_kick_stop(VhostPciFunction *f, unsigned int i)
{
    VhostPciKick *k = &f->kicks[i];

    if (k->watched) {
        qemu_set_fd_handler(k->epoll, NULL, NULL, NULL);
        k->watched = false;
    }
}

/* The epoll set still reports, once, the kicks that came meanwhile. */
static void vhost_pci_kicks_go_on(void *opaque)
{
    VhostPciBase *s = opaque;
    unsigned int n, i;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
            if (f->kicks[i].held) {
                f->kicks[i].held = false;
                vhost_pci_kick_start(f, i);
            }
        }
    }
}

static void vhost_pci_kick_event(void *opaque)
{
    VhostPciKick *k = opaque;
    VhostPciFunction *f = k->function;
    VhostPciBase *s = f->dev;

    if (vhost_pci_kicks_exhausted(s)) {
        k->held = true;
        vhost_pci_kick_stop(f, k - f->kicks);
        s->kicks_held++;
        timer_mod(s->kicks_timer, s->kicks_since + KICKS_MS);
    } else if (vhost_pci_test_and_clear(k)) {
        msix_notify(s->pdev, vhost_pci_kick_vector(f, k - f->kicks));
    }
}

static void vhost_pci_kick_bind(VhostPciFunction *f, unsigned int i,
                                int peer_fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    VhostPciKick *k = &f->kicks[i];
    int fd;

    if (k->peer_fd == peer_fd) {
        return;
    }
    if (k->peer_fd >= 0) {
        vhost_pci_kick_stop(f, i);
        k->held = false;
        close(k->epoll);
        event_notifier_cleanup(&k->notifier);
        k->peer_fd = -1;
    }
    if (peer_fd < 0) {
        return;
    }
    fd = fcntl(peer_fd, F_DUPFD_CLOEXEC, 0);
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || k->epoll < 0 ||
        epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        warn_report_once("%s: no file descriptor left for a kick: %s",
                         vhost_pci_name(f->dev), strerror(errno));
        close(fd);
        close(k->epoll);
        return;
    }
    event_notifier_init_fd(&k->notifier, fd);
    k->peer_fd = peer_fd;
    vhost_pci_kick_start(f, i);
}

/* Does the kick of ring @i raise @vector? */
static bool vhost_pci_kick_raises(const VhostPciFunction *f, unsigned int i,
                                  unsigned int vector)
{
    return f->dev->kick_vector && vhost_pci_kick_vector(f, i) == vector;
}

static VhostPciBase *vhost_pci_of_pci(PCIDevice *pdev)
{
    return VHOST_PCI_BASE(virtio_bus_get_device(&VIRTIO_PCI(pdev)->bus));
}

/* msix.c asserts that this succeeds. */
static int vhost_pci_vector_use(PCIDevice *pdev, unsigned int vector,
                                MSIMessage msg)
{
    VhostPciBase *s = vhost_pci_of_pci(pdev);
    unsigned int n, i;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        for (i = 0; i < vhost_pci_n_rings(s); i++) {
            if (vhost_pci_kick_raises(f, i, vector)) {
                f->kicks[i].unmasked = true;
                vhost_pci_kick_start(f, i);
            }
        }
    }
    return 0;
}

static void vhost_pci_vector_release(PCIDevice *pdev, unsigned int vector)
{
    VhostPciBase *s = vhost_pci_of_pci(pdev);
    unsigned int n, i;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        for (i = 0; i < vhost_pci_n_rings(s); i++) {
            if (vhost_pci_kick_raises(f, i, vector)) {
                vhost_pci_kick_stop(f, i);
                f->kicks[i].unmasked = false;
            }
        }
    }
}

static void vhost_pci_kicks_poll(VhostPciFunction *f, unsigned int start,
                                 unsigned int end)
{
    PCIDevice *pdev = f->dev->pdev;
    unsigned int i;

    for (i = 0; i < vhost_pci_n_rings(f->dev); i++) {
        unsigned int vector = vhost_pci_kick_vector(f, i);
        VhostPciKick *k = &f->kicks[i];

        if (vector >= start && vector < end && k->peer_fd >= 0 &&
            msix_is_masked(pdev, vector) &&
            vhost_pci_test_and_clear(k)) {
            msix_set_pending(pdev, vector);
        }
    }
}

/* The guest reads the pending bits, which must show kicks of masked vectors. */
static void vhost_pci_vector_poll(PCIDevice *pdev, unsigned int start,
                                  unsigned int end)
{
    VhostPciBase *s = vhost_pci_of_pci(pdev);
    unsigned int n;

    for (n = 0; s->kick_vector && n < s->n_functions; n++) {
        vhost_pci_kicks_poll(&s->functions[n], start, end);
    }
}

/* The reset of virtio marks all vectors unused, including those of kicks. */
void vhost_pci_notify_driver(VhostPciBase *s)
{
    unsigned int i;

    for (i = 0; i < s->n_kick_vectors; i++) {
        msix_vector_unuse(s->pdev, s->kick_vector + i);
        msix_vector_use(s->pdev, s->kick_vector + i);
    }
}

void vhost_pci_notify_sync(VhostPciFunction *f)
{
    const bool on = f->dev->driver_on;
    int call[VHOST_PCI_MAX_RINGS];
    unsigned int i;

    f->dev->calls_aside &= !!(vhost_pci_status(f->dev) &
                              VHOST_PCI_S_CONNECTED);
    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        const struct vu_ring *r = &f->core->rings[i];

        call[i] = on ? r->call_fd : -1;
        vhost_pci_kick_bind(f, i, on && r->run ? r->kick_fd : -1);
    }
    vhost_pci_doorbells_bind(f, call);
}

void vhost_pci_notify_error(VhostPciFunction *f, unsigned int ring)
{
    if (f->core->rings[ring].err_fd >= 0) {
        vhost_pci_caller_once(f->dev->caller, f->core->rings[ring].err_fd);
    }
}

static void vhost_pci_notify_init_function(VhostPciFunction *f)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        f->doorbells[i].peer_fd = -1;
        f->kicks[i].function = f;
        f->kicks[i].peer_fd = -1;
    }
}

void vhost_pci_notify_init(VhostPciBase *s)
{
    unsigned int n;

    memory_region_init_io(&s->doorbell_mr, OBJECT(s->pdev),
                          &vhost_pci_doorbell_ops, s, "vhost-pci-doorbell",
                          VHOST_PCI_DOORBELL_SIZE);
    s->slow_bh = qemu_bh_new(vhost_pci_doorbells_aside, s);
    s->caller = vhost_pci_caller_new(s->slow_bh);
    s->kicks_timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_kicks_go_on,
                                  s);
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_notify_init_function(&s->functions[n]);
    }
}

void vhost_pci_notify_plugged(VhostPciBase *s)
{
    if (!s->kick_vector) {
        return;
    }
    s->vector_notifiers = true;
    /* A new device uses no vector, so this calls none of them yet. */
    msix_set_vector_notifiers(s->pdev, vhost_pci_vector_use,
                              vhost_pci_vector_release, vhost_pci_vector_poll);
}

static void vhost_pci_notify_cleanup_function(VhostPciFunction *f)
{
    int call[VHOST_PCI_MAX_RINGS];
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        call[i] = -1;
        vhost_pci_kick_bind(f, i, -1);
    }
    vhost_pci_doorbells_bind(f, call);
}

void vhost_pci_notify_cleanup(VhostPciBase *s)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_notify_cleanup_function(&s->functions[n]);
    }
    timer_free(s->kicks_timer);
    s->kicks_timer = NULL;
    vhost_pci_caller_free(s->caller);
    s->caller = NULL;
    qemu_bh_delete(s->slow_bh);
    if (s->vector_notifiers) {
        msix_unset_vector_notifiers(s->pdev);
        s->vector_notifiers = false;
    }
}
