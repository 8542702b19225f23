/*
 * vhost-pci: the peer's memory in the window (BAR 2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each region of the peer is one RAM MemoryRegion inside the container
 * s->window, no matter how many of the peer's functions have it. The region
 * goes when the last function releases it. Regions are init_ram_ptr, never
 * _from_fd: a region with a file descriptor would pass the section filter of
 * vhost-user, and this VM's own vhost-user back-ends would get the peer's
 * memory.
 *
 * To take memory away while the guest may be using it ("revoke"), the device
 * replaces the pages under the region, and does not remove the region: a hole
 * would turn accesses into MMIO, which KVM cannot emulate for vector
 * instructions. The region itself goes when the driver has acknowledged that,
 * or is gone.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/mmap-alloc.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/virtio/vhost.h"
#include "vhost-pci-mapping.h"
#include "vhost-pci-base.h"

#define GUEST_HUGE_PAGE     (2 * MiB)
#define GUEST_GIANT_PAGE    (1 * GiB)

/*
 * Find the first room for @size bytes at an offset that is @rem modulo @align.
 */
static bool vhost_pci_window_fit(VhostPciBase *s, uint64_t size,
                                 uint64_t align, uint64_t rem, uint64_t *offset)
{
    uint64_t at = VHOST_PCI_WINDOW_FIRST;
    VhostPciMapping *m;
    bool moved;

    do {
        moved = false;
        at = QEMU_ALIGN_UP(at - rem, align) + rem;
        QTAILQ_FOREACH(m, &s->mappings, next) {
            if (at < m->window_offset + m->size &&
                m->window_offset < at + size) {
                at = m->window_offset + m->size;
                moved = true;
                break;
            }
        }
    } while (moved && at < s->window_size);

    *offset = at;
    return at < s->window_size && size <= s->window_size - at;
}

/*
 * Find a place for @r. Offset in the BAR, host address and offset in the file
 * are equal modulo a huge page, so that nested page tables can use huge pages
 * as the host does. If the host has giant pages and there is room, they are
 * equal modulo a giant page.
 */
static bool vhost_pci_window_place(VhostPciBase *s, const struct vu_region *r,
                                   size_t pagesize, uint64_t *align,
                                   uint64_t *offset)
{
    if (pagesize >= GUEST_GIANT_PAGE && r->size >= GUEST_GIANT_PAGE) {
        *align = GUEST_GIANT_PAGE;
        if (vhost_pci_window_fit(s, r->size, *align, r->fd_offset % *align,
                                 offset)) {
            return true;
        }
    }
    *align = GUEST_HUGE_PAGE;
    return vhost_pci_window_fit(s, r->size, *align, r->fd_offset % *align,
                                offset);
}

/*
 * Find a region that a peer which comes back can replace: the driver has not
 * released the memory of the last peer, which is out of its reach. The new
 * region is out of its reach, too, and takes its place.
 */
static VhostPciMapping *vhost_pci_window_dead(VhostPciBase *s,
                                              const struct vu_region *r)
{
    VhostPciMapping *m;

    QTAILQ_FOREACH(m, &s->mappings, next) {
        if (m->dead && m->size == r->size &&
            m->window_offset % GUEST_HUGE_PAGE ==
            r->fd_offset % GUEST_HUGE_PAGE) {
            return m;
        }
    }
    return NULL;
}

static void vhost_pci_mapping_remove(VhostPciBase *s, VhostPciMapping *m)
{
    QTAILQ_REMOVE(&s->mappings, m, next);
    memory_region_del_subregion(&s->window, &m->mr);
    object_unref(OBJECT(m));
    if (QTAILQ_EMPTY(&s->mappings) && s->migration_blocked) {
        vhost_pci_unblock_migration(&s->migration_blocker);
        s->migration_blocked = false;
    }
}

/*
 * Until the driver releases memory, each peer that comes and goes leaves
 * regions behind, which take address space, and memory slots that all devices
 * share. Besides, functions may disagree about the memory.
 */
static int vhost_pci_window_littered(VhostPciFunction *f)
{
    VhostPciBase *s = f->dev;
    unsigned int dead = 0, live = 0;
    VhostPciMapping *m;

    QTAILQ_FOREACH(m, &s->mappings, next) {
        dead += m->dead;
        live += !m->dead;
    }
    if (dead >= s->max_regions) {
        vu_core_set_error(f->core, "the driver has not released the memory "
                          "of earlier peers");
        return -EBUSY;
    }
    /* Twice the limit, because a new table is mapped beside the old one. */
    if (live >= 2 * s->max_regions) {
        vu_core_set_error(f->core, "all devices of the peer together have "
                          "more than %" PRIu32 " regions", s->max_regions);
        return -E2BIG;
    }
    return 0;
}

/* Check all other conditions for a new region; sets the error text. */
static int vhost_pci_window_check(VhostPciFunction *f,
                                  const struct vu_region *r)
{
    VhostPciBase *s = f->dev;
    Error *err = NULL;
    int ret = vhost_pci_window_littered(f);

    if (ret < 0) {
        return ret;
    }
    if ((kvm_enabled() && !kvm_has_free_slot(MACHINE(qdev_get_machine()))) ||
        !vhost_has_free_slot()) {
        vu_core_set_error(f->core, "no memory slot is free for the region");
        return -ENOSPC;
    }
    if (!QEMU_IS_ALIGNED(r->size | r->fd_offset,
                         qemu_real_host_page_size())) {
        vu_core_set_error(f->core, "a region is not made of whole pages");
        return -EINVAL;
    }
    if (!s->migration_blocked &&
        vhost_pci_block_migration(&s->migration_blocker, &err) < 0) {
        vu_core_set_error(f->core, "%s", error_get_pretty(err));
        error_free(err);
        return -EBUSY;
    }
    s->migration_blocked = true;
    return 0;
}

/* Let the guest see @m, in the place of @dead if that is not NULL. */
static void vhost_pci_window_show(VhostPciBase *s, VhostPciMapping *m,
                                  VhostPciMapping *dead)
{
    if (s->revoked) {
        vhost_pci_mapping_revoke(m);
    }
    QTAILQ_INSERT_TAIL(&s->mappings, m, next);
    memory_region_transaction_begin();
    if (dead) {
        vhost_pci_mapping_remove(s, dead);
    }
    memory_region_add_subregion(&s->window, m->window_offset, &m->mr);
    memory_region_transaction_commit();
}

/* Returns the mapping if another function has the same region already. */
static VhostPciMapping *vhost_pci_window_same(VhostPciBase *s,
                                              const struct vu_region *r)
{
    VhostPciMapping *m;

    QTAILQ_FOREACH(m, &s->mappings, next) {
        if (!m->dead && m->dev == r->dev && m->ino == r->ino &&
            m->fd_offset == r->fd_offset && m->gpa == r->gpa &&
            m->size == r->size) {
            return m;
        }
    }
    return NULL;
}

static int vhost_pci_window_no_room(VhostPciFunction *f,
                                    const struct vu_region *r)
{
    const uint64_t size = r->size / MiB, window = f->dev->window_size / MiB;

    if (f->dev->server) {
        vu_core_set_error(f->core, "no room for %" PRIu64 " MiB of memory in "
                          "the window of %" PRIu64 " MiB: it was made for "
                          "twice the memory that the peer had", size, window);
    } else {
        vu_core_set_error(f->core, "no room for %" PRIu64 " MiB of memory in "
                          "the window of %" PRIu64 " MiB: raise the device's "
                          "window-size", size, window);
    }
    return -ENOSPC;
}

static int vhost_pci_window_add(VhostPciFunction *f, const struct vu_region *r,
                                int fd, VhostPciMapping **added)
{
    VhostPciBase *s = f->dev;
    size_t pagesize = qemu_fd_getpagesize(fd);
    uint64_t align = GUEST_HUGE_PAGE, offset;
    VhostPciMapping *m, *dead;
    int err;

    err = vhost_pci_window_check(f, r);
    if (err < 0) {
        return err;
    }
    dead = vhost_pci_window_dead(s, r);
    if (dead) {
        offset = dead->window_offset;
    } else if (!vhost_pci_window_place(s, r, pagesize, &align, &offset)) {
        return vhost_pci_window_no_room(f, r);
    }
    m = vhost_pci_mapping_new(r, fd, pagesize, MAX(align, pagesize),
                              vhost_pci_session_closer(f->session), &err);
    if (!m) {
        vu_core_set_error(f->core, "%" PRIu64 " MiB of memory cannot be "
                          "mapped: %s", r->size / MiB, strerror(-err));
        return -ENOMEM;
    }
    m->window_offset = offset;
    vhost_pci_window_show(s, m, dead);
    /* QEMU rebuilds the memory map for each new region. */
    vhost_pci_session_changed(f->session, 1);
    *added = m;
    return 0;
}

int vhost_pci_window_map(VhostPciFunction *f, struct vu_region *r, int fd)
{
    VhostPciMapping *m = vhost_pci_window_same(f->dev, r);

    if (!m) {
        int err = vhost_pci_window_add(f, r, fd, &m);

        if (err < 0) {
            return err;
        }
    }
    m->users[f->index]++;
    r->addr = vhost_pci_mapping_addr(m);
    r->cookie = (uintptr_t)m;
    return 0;
}

void vhost_pci_window_unmap(VhostPciFunction *f, struct vu_region *r)
{
    VhostPciMapping *m = (VhostPciMapping *)(uintptr_t)r->cookie;

    m->users[f->index]--;
    if (!buffer_is_zero(m->users, sizeof(m->users))) {
        return;
    }
    if (f->dev->revoked) {
        /*
         * The driver has not released the region: it stays, without the peer.
         */
        vhost_pci_mapping_abandon(m);
    } else {
        vhost_pci_mapping_remove(f->dev, m);
    }
}

uint64_t vhost_pci_window_offset(const struct vu_region *r)
{
    return ((VhostPciMapping *)(uintptr_t)r->cookie)->window_offset;
}

void vhost_pci_window_revoke(VhostPciBase *s)
{
    VhostPciMapping *m;

    QTAILQ_FOREACH(m, &s->mappings, next) {
        if (!m->revoked) {
            vhost_pci_mapping_revoke(m);
        }
    }
}

bool vhost_pci_window_restore(VhostPciBase *s)
{
    VhostPciMapping *m, *next;
    bool ok = true;

    QTAILQ_FOREACH_SAFE(m, &s->mappings, next, next) {
        if (m->dead) {
            vhost_pci_mapping_remove(s, m);
        } else if (m->revoked) {
            ok &= vhost_pci_mapping_restore(m);
        }
    }
    return ok;
}

int vhost_pci_window_file(VhostPciFunction *f, uint64_t gpa, size_t len,
                          uint64_t *offset)
{
    VhostPciMapping *m;

    QTAILQ_FOREACH(m, &f->dev->mappings, next) {
        uint64_t off = gpa - m->gpa;

        if (m->users[f->index] && off < m->size && len <= m->size - off) {
            *offset = m->backing->offset + m->delta + off;
            return m->backing->fd;
        }
    }
    return -1;
}

/* Outside of all regions: all ones, as on a bus without an answer. */
static uint64_t vhost_pci_hole_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

static void vhost_pci_hole_write(void *opaque, hwaddr addr, uint64_t val,
                                 unsigned size)
{
}

static const MemoryRegionOps vhost_pci_hole_ops = {
    .read = vhost_pci_hole_read,
    .write = vhost_pci_hole_write,
    .valid.min_access_size = 1,
    .valid.max_access_size = 8,
    .valid.unaligned = true,
    .impl.min_access_size = 1,
    .impl.max_access_size = 8,
    .impl.unaligned = true,
    .endianness = DEVICE_LITTLE_ENDIAN,
};

bool vhost_pci_window_init(VhostPciBase *s, Error **errp)
{
    /* Memory maps hold references to the owner: the whole PCI device. */
    Object *owner = OBJECT(s->pdev);
    struct vhost_pci_state_page *pages;
    Error *err = NULL;
    unsigned int n;

    QTAILQ_INIT(&s->mappings);
    memory_region_init(&s->window, owner, "vhost-pci-window", s->window_size);
    memory_region_init_io(&s->window_hole, owner, &vhost_pci_hole_ops, s,
                          "vhost-pci-hole", s->window_size);
    memory_region_add_subregion_overlap(&s->window, 0, &s->window_hole, -1);
    memory_region_init_ram_nomigrate(&s->state_mr, owner, "vhost-pci-state",
                                     s->n_functions * VHOST_PCI_STATE_PAGE_SIZE,
                                     &err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    memory_region_add_subregion(&s->window, 0, &s->state_mr);
    pages = memory_region_get_ram_ptr(&s->state_mr);
    for (n = 0; n < s->n_functions; n++) {
        s->functions[n].state_page = &pages[n];
    }

    error_setg(&s->migration_blocker, "%s-pci (peer %s): the peer's memory is "
               "mapped and cannot migrate", vhost_pci_name(s), s->peer);
    return true;
}

void vhost_pci_window_cleanup(VhostPciBase *s)
{
    VhostPciMapping *m, *next;

    /*
     * Remove the dead mappings that are left; the core has unmapped all others.
     */
    QTAILQ_FOREACH_SAFE(m, &s->mappings, next, next) {
        vhost_pci_mapping_remove(s, m);
    }
    if (s->migration_blocked) {
        vhost_pci_unblock_migration(&s->migration_blocker);
        s->migration_blocked = false;
    }
    error_free(s->migration_blocker);
    s->migration_blocker = NULL;
}
