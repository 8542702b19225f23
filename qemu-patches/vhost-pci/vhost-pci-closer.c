/*
 * vhost-pci: a thread that closes fds of the peer, see vhost-pci-closer.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "vhost-pci-closer.h"

/*
 * With this many waiting jobs the device stops reading from the peer. The fds
 * of one message, and those that a session holds, may come on top.
 */
#define CLOSER_BUSY 256

#define UNMAP_PIECE (64 * MiB)

typedef struct VhostPciJob {
    QSIMPLEQ_ENTRY(VhostPciJob) next;
    void *base;         /* NULL: close @fd */
    size_t len;
    int fd;
} VhostPciJob;

struct VhostPciCloser {
    QemuMutex lock;
    QemuCond work;
    /* Below: under the lock. */
    unsigned int refs;
    unsigned int n;     /* unfinished jobs */
    QSIMPLEQ_HEAD(, VhostPciJob) jobs;
};

/*
 * Unmap in pieces: other threads that map or unmap meanwhile, such as QEMU's
 * main loop, wait for one piece only. The kernel refuses a piece that cuts a
 * huge page in two.
 */
static void vhost_pci_closer_unmap_now(uint8_t *base, size_t len)
{
    size_t done;

    for (done = 0; len - done > UNMAP_PIECE; done += UNMAP_PIECE) {
        if (munmap(base + done, UNMAP_PIECE) < 0) {
            break;
        }
    }
    munmap(base + done, len - done);
}

static void vhost_pci_closer_do(VhostPciJob *job)
{
    if (job->base) {
        vhost_pci_closer_unmap_now(job->base, job->len);
    } else {
        close(job->fd);
    }
    g_free(job);
}

static void *vhost_pci_closer_run(void *opaque)
{
    VhostPciCloser *c = opaque;
    VhostPciJob *job;

    qemu_mutex_lock(&c->lock);
    while (c->refs || c->n) {
        job = QSIMPLEQ_FIRST(&c->jobs);
        if (!job) {
            qemu_cond_wait(&c->work, &c->lock);
            continue;
        }
        QSIMPLEQ_REMOVE_HEAD(&c->jobs, next);
        qemu_mutex_unlock(&c->lock);
        vhost_pci_closer_do(job);
        qemu_mutex_lock(&c->lock);
        c->n--;
    }
    qemu_mutex_unlock(&c->lock);
    qemu_cond_destroy(&c->work);
    qemu_mutex_destroy(&c->lock);
    g_free(c);
    return NULL;
}

VhostPciCloser *vhost_pci_closer_new(void)
{
    VhostPciCloser *c = g_new0(VhostPciCloser, 1);
    QemuThread thread;

    c->refs = 1;
    QSIMPLEQ_INIT(&c->jobs);
    qemu_mutex_init(&c->lock);
    qemu_cond_init(&c->work);
    /*
     * Nobody joins the thread, because that would wait for a stranger. Create
     * it before a peer comes, because QEMU exits if a thread cannot be created.
     */
    qemu_thread_create(&thread, "vhost-pci-close", vhost_pci_closer_run, c,
                       QEMU_THREAD_DETACHED);
    return c;
}

VhostPciCloser *vhost_pci_closer_ref(VhostPciCloser *c)
{
    qemu_mutex_lock(&c->lock);
    c->refs++;
    qemu_mutex_unlock(&c->lock);
    return c;
}

void vhost_pci_closer_unref(VhostPciCloser *c)
{
    qemu_mutex_lock(&c->lock);
    c->refs--;
    qemu_cond_signal(&c->work);
    /* If no reference is left, the thread frees @c once it has the lock. */
    qemu_mutex_unlock(&c->lock);
}

static void vhost_pci_closer_add(VhostPciCloser *c, VhostPciJob job)
{
    VhostPciJob *copy = g_new(VhostPciJob, 1);

    *copy = job;
    qemu_mutex_lock(&c->lock);
    QSIMPLEQ_INSERT_TAIL(&c->jobs, copy, next);
    c->n++;
    qemu_cond_signal(&c->work);
    qemu_mutex_unlock(&c->lock);
}

void vhost_pci_closer_fd(VhostPciCloser *c, int fd)
{
    if (fd >= 0) {
        vhost_pci_closer_add(c, (VhostPciJob) { .fd = fd });
    }
}

void vhost_pci_closer_unmap(VhostPciCloser *c, void *base, size_t len)
{
    vhost_pci_closer_add(c, (VhostPciJob) { .base = base, .len = len });
}

bool vhost_pci_closer_busy(VhostPciCloser *c)
{
    bool busy;

    qemu_mutex_lock(&c->lock);
    busy = c->n >= CLOSER_BUSY;
    qemu_mutex_unlock(&c->lock);
    return busy;
}

bool vhost_pci_closer_unused(VhostPciCloser *c)
{
    bool unused;

    qemu_mutex_lock(&c->lock);
    unused = c->refs == 1 && c->n == 0;
    qemu_mutex_unlock(&c->lock);
    return unused;
}
