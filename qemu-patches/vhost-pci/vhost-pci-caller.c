/*
 * vhost-pci: a thread that signals the peer's eventfds, see vhost-pci-caller.h.
 *
 * The core has checked that the fds are eventfds, and made them non-blocking.
 * But the peer shares that flag, and may clear it again: see
 * vhost_pci_signal().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/syscall.h>
#include <linux/aio_abi.h>
#include "qemu/bitmap.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "vhost_pci.h"
#include "vhost-pci-caller.h"

/*
 * The most processor time that a signal may cost a virtual CPU. A ring counts
 * as slow after two slow signals in a row, because an interrupt at the wrong
 * moment may disturb one. An honest signal takes 1 or 2 microseconds.
 */
#define SLOW_NS         (200 * 1000)
#define SLOW_TIMES      2
#define WATCH_MS        500

/* An eventfd that the thread closes, after a last signal if @call is set. */
typedef struct VhostPciLastCall {
    QSIMPLEQ_ENTRY(VhostPciLastCall) next;
    int fd;
    bool call;
} VhostPciLastCall;

struct VhostPciCaller {
    /* Only the thread uses these. */
    aio_context_t context;      /* 0: no asynchronous I/O, or not yet */
    int nothing;                /* /dev/null, -1: not yet */
    /* Number of slow signals in a row. */
    uint8_t slow[VHOST_PCI_MAX_DEVICE_RINGS];
    int64_t watch_at;           /* QEMU_CLOCK_REALTIME, ms */

    QemuMutex lock;             /* held for moments only */
    QemuCond work;
    /* Below: under the lock. */
    /* Rings of the device, by bit: those with a pending call, and those that
     * somebody else calls. */
    DECLARE_BITMAP(pending, VHOST_PCI_MAX_DEVICE_RINGS);
    DECLARE_BITMAP(watched, VHOST_PCI_MAX_DEVICE_RINGS);
    QEMUBH *slow_bh;            /* NULL: do not report any more */
    int fds[VHOST_PCI_MAX_DEVICE_RINGS];
    QSIMPLEQ_HEAD(, VhostPciLastCall) last;
    bool over;
};

/*
 * Make the kernel add 1, which cannot block: an asynchronous read of nothing
 * completes at once, and its completion signals an eventfd. Returns false if
 * the kernel has no asynchronous I/O (left) for us.
 */
static bool vhost_pci_signal_by_aio(VhostPciCaller *c, int fd)
{
    struct timespec now = { 0 };
    struct io_event event;
    char byte;
    struct iocb op = {
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_buf = (uintptr_t)&byte,
        .aio_nbytes = sizeof(byte),
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = fd,
    };
    struct iocb *ops = &op;

    if (c->nothing < 0) {
        c->nothing = qemu_open_old("/dev/null", O_RDONLY);
    }
    if (c->nothing < 0 ||
        (!c->context && syscall(SYS_io_setup, 1, &c->context) < 0)) {
        return false;
    }
    op.aio_fildes = c->nothing;
    if (syscall(SYS_io_submit, c->context, 1, &ops) != 1) {
        return false;
    }
    /* Make room for the next one. */
    syscall(SYS_io_getevents, c->context, 0, 1, &event, &now);
    return true;
}

/*
 * Add 1, unless that could block. The fallback looks before it writes; in
 * between the peer can fill the counter.
 */
static void vhost_pci_signal(VhostPciCaller *c, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    uint64_t one = 1;

    if (vhost_pci_signal_by_aio(c, fd)) {
        return;
    }
    if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT) {
        /* A full counter means that the signal is there already. */
        ssize_t n = write(fd, &one, sizeof(one));
        (void)n;
    }
}

/*
 * Make one call. The thread has the lock, and drops it during the call. Only
 * the thread closes eventfds, so nobody closes one during a call.
 */
static void vhost_pci_caller_work(VhostPciCaller *c)
{
    VhostPciLastCall *last = QSIMPLEQ_FIRST(&c->last);
    unsigned int i;
    int fd;

    if (last) {
        QSIMPLEQ_REMOVE_HEAD(&c->last, next);
        qemu_mutex_unlock(&c->lock);
        if (last->call) {
            vhost_pci_signal(c, last->fd);
        }
        close(last->fd);
        g_free(last);
        qemu_mutex_lock(&c->lock);
        return;
    }
    for (i = 0; i < VHOST_PCI_MAX_DEVICE_RINGS; i++) {
        if (test_and_clear_bit(i, c->pending)) {
            fd = c->fds[i];
            qemu_mutex_unlock(&c->lock);
            vhost_pci_signal(c, fd);
            qemu_mutex_lock(&c->lock);
        }
    }
}

/*
 * Measure the cost of a signal. To add 0 walks all waiters, as any signal does,
 * and readers see no difference. A KVM of the peer may take it for a signal:
 * one interrupt too many. Never waits: see vhost_pci_signal().
 */
static int64_t vhost_pci_signal_cost(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    struct timespec from, to;
    uint64_t none = 0;
    ssize_t n;

    if (poll(&p, 1, 0) != 1 || p.revents != POLLOUT) {
        return 0;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    n = write(fd, &none, sizeof(none));
    (void)n;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (to.tv_sec - from.tv_sec) * NANOSECONDS_PER_SECOND +
           to.tv_nsec - from.tv_nsec;
}

/* The thread, with the lock, which it lets go of meanwhile. */
static void vhost_pci_caller_look(VhostPciCaller *c)
{
    unsigned int i;
    bool slow;
    int fd;

    for (i = 0; i < VHOST_PCI_MAX_DEVICE_RINGS; i++) {
        if (!test_bit(i, c->watched)) {
            c->slow[i] = 0;
            continue;
        }
        fd = c->fds[i];
        qemu_mutex_unlock(&c->lock);
        slow = vhost_pci_signal_cost(fd) > SLOW_NS;
        qemu_mutex_lock(&c->lock);
        c->slow[i] = slow ? c->slow[i] + 1 : 0;
        if (c->slow[i] == SLOW_TIMES) {
            bitmap_zero(c->watched, VHOST_PCI_MAX_DEVICE_RINGS);
            if (c->slow_bh) {
                qemu_bh_schedule(c->slow_bh);
            }
        }
    }
    c->watch_at = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + WATCH_MS;
}

/* The thread has the lock, and nothing to call. */
static void vhost_pci_caller_wait(VhostPciCaller *c)
{
    int64_t left;

    if (bitmap_empty(c->watched, VHOST_PCI_MAX_DEVICE_RINGS)) {
        qemu_cond_wait(&c->work, &c->lock);
        return;
    }
    left = c->watch_at - qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    if (left <= 0) {
        vhost_pci_caller_look(c);
    } else {
        qemu_cond_timedwait(&c->work, &c->lock, left);
    }
}

static void *vhost_pci_caller_run(void *opaque)
{
    VhostPciCaller *c = opaque;

    qemu_mutex_lock(&c->lock);
    for (;;) {
        if (!bitmap_empty(c->pending, VHOST_PCI_MAX_DEVICE_RINGS) ||
            !QSIMPLEQ_EMPTY(&c->last)) {
            vhost_pci_caller_work(c);
        } else if (c->over) {
            break;
        } else {
            vhost_pci_caller_wait(c);
        }
    }
    qemu_mutex_unlock(&c->lock);
    if (c->context) {
        syscall(SYS_io_destroy, c->context);
    }
    if (c->nothing >= 0) {
        close(c->nothing);
    }
    qemu_cond_destroy(&c->work);
    qemu_mutex_destroy(&c->lock);
    g_free(c);
    return NULL;
}

VhostPciCaller *vhost_pci_caller_new(QEMUBH *slow)
{
    VhostPciCaller *c = g_new0(VhostPciCaller, 1);
    QemuThread thread;

    c->nothing = -1;
    c->slow_bh = slow;
    memset(c->fds, -1, sizeof(c->fds));
    QSIMPLEQ_INIT(&c->last);
    qemu_mutex_init(&c->lock);
    qemu_cond_init(&c->work);
    /* Nobody joins the thread, because that would wait for the peer. */
    qemu_thread_create(&thread, "vhost-pci-call", vhost_pci_caller_run, c,
                       QEMU_THREAD_DETACHED);
    return c;
}

/* The caller has the lock. */
static void vhost_pci_caller_let_go(VhostPciCaller *c, int fd, bool call)
{
    VhostPciLastCall *last = g_new(VhostPciLastCall, 1);

    last->fd = fd;
    last->call = call;
    QSIMPLEQ_INSERT_TAIL(&c->last, last, next);
    qemu_cond_signal(&c->work);
}

void vhost_pci_caller_free(VhostPciCaller *c)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_DEVICE_RINGS; i++) {
        vhost_pci_caller_bind(c, i, -1);
    }
    qemu_mutex_lock(&c->lock);
    c->over = true;
    c->slow_bh = NULL;
    qemu_cond_signal(&c->work);
    /* The thread frees @c once it has the lock. */
    qemu_mutex_unlock(&c->lock);
}

int vhost_pci_caller_bind(VhostPciCaller *c, unsigned int i, int fd)
{
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int err = fd >= 0 && copy < 0 ? -errno : 0;

    qemu_mutex_lock(&c->lock);
    if (c->fds[i] >= 0) {
        vhost_pci_caller_let_go(c, c->fds[i], test_bit(i, c->pending));
    }
    clear_bit(i, c->pending);
    clear_bit(i, c->watched);
    c->fds[i] = copy;
    qemu_mutex_unlock(&c->lock);
    return err;
}

void vhost_pci_caller_watch(VhostPciCaller *c, unsigned int i)
{
    qemu_mutex_lock(&c->lock);
    if (c->fds[i] >= 0) {
        set_bit(i, c->watched);
        qemu_cond_signal(&c->work);
    }
    qemu_mutex_unlock(&c->lock);
}

void vhost_pci_caller_call(VhostPciCaller *c, unsigned int i)
{
    qemu_mutex_lock(&c->lock);
    if (c->fds[i] >= 0) {
        set_bit(i, c->pending);
        qemu_cond_signal(&c->work);
    }
    qemu_mutex_unlock(&c->lock);
}

void vhost_pci_caller_once(VhostPciCaller *c, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0) {
        return;
    }
    qemu_mutex_lock(&c->lock);
    vhost_pci_caller_let_go(c, copy, true);
    qemu_mutex_unlock(&c->lock);
}
