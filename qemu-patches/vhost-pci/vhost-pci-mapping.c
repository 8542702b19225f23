/*
 * vhost-pci: map pages of the peer's file, revoke them, and restore them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/madvise.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "vhost-pci-mapping.h"

/* The memory that one page table of the lowest level maps. */
#define TABLE_SIZE  (2 * MiB)

/*
 * Leave the work to the closer: freeing a large memory takes long, and RCU's
 * callbacks serve all of QEMU.
 */
static void vhost_pci_backing_free(VhostPciBacking *b)
{
    if (b->base) {
        vhost_pci_closer_unmap(b->closer, b->base, b->len);
    }
    vhost_pci_closer_fd(b->closer, b->fd);
    vhost_pci_closer_unref(b->closer);
    g_free(b);
}

static void vhost_pci_mapping_finalize(Object *obj)
{
    VhostPciMapping *m = VHOST_PCI_MAPPING(obj);

    /* RCU frees this after the RAM block, which it received before. */
    if (m->backing) {
        call_rcu(m->backing, vhost_pci_backing_free, rcu);
    }
}

/* Map pages of the file at an address that is congruent to their offset. */
static int vhost_pci_backing_map(VhostPciBacking *b, uint64_t align)
{
    size_t room = b->len + align;
    uint8_t *area, *base;

    area = mmap(NULL, room, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        return -errno;
    }
    base = (uint8_t *)QEMU_ALIGN_UP((uintptr_t)area, align) +
           b->offset % align;
    if (base + b->len > area + room) {
        base -= align;
    }
    if (mmap(base, b->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             b->fd, b->offset) == MAP_FAILED) {
        int err = -errno;

        munmap(area, room);
        return err;
    }
    if (base > area) {
        munmap(area, base - area);
    }
    if (area + room > base + b->len) {
        munmap(base + b->len, area + room - (base + b->len));
    }
    b->base = base;
    /* Keep the peer's memory out of this VM's core dumps. */
    qemu_madvise(b->base, b->len, QEMU_MADV_DONTDUMP);
    return 0;
}

static VhostPciBacking *vhost_pci_backing_new(const struct vu_region *r, int fd,
                                              size_t pagesize, uint64_t align,
                                              VhostPciCloser *closer, int *err)
{
    VhostPciBacking *b = g_new0(VhostPciBacking, 1);

    b->offset = QEMU_ALIGN_DOWN(r->fd_offset, pagesize);
    b->len = QEMU_ALIGN_UP(r->fd_offset + r->size, pagesize) - b->offset;
    b->closer = vhost_pci_closer_ref(closer);
    b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    *err = b->fd < 0 ? -errno : vhost_pci_backing_map(b, align);
    if (*err < 0) {
        vhost_pci_backing_free(b);
        return NULL;
    }
    return b;
}

VhostPciMapping *vhost_pci_mapping_new(const struct vu_region *r, int fd,
                                       size_t pagesize, uint64_t align,
                                       VhostPciCloser *closer, int *err)
{
    VhostPciBacking *b = vhost_pci_backing_new(r, fd, pagesize, align, closer,
                                               err);
    VhostPciMapping *m;

    if (!b) {
        return NULL;
    }
    m = VHOST_PCI_MAPPING(object_new(TYPE_VHOST_PCI_MAPPING));
    m->backing = b;
    m->gpa = r->gpa;
    m->size = r->size;
    m->delta = r->fd_offset - b->offset;
    m->dev = r->dev;
    m->ino = r->ino;
    m->fd_offset = r->fd_offset;
    memory_region_init_ram_ptr(&m->mr, OBJECT(m), "vhost-pci-peer", r->size,
                               vhost_pci_mapping_addr(m));
    /* Makes dump-guest-memory skip this, which is not the VM's own memory. */
    memory_region_set_nonvolatile(&m->mr, true);
    return m;
}

void *vhost_pci_mapping_addr(const VhostPciMapping *m)
{
    return (uint8_t *)m->backing->base + m->delta;
}

/*
 * Take the pages that are mapped at @b out of the page tables, and leave the
 * rest to the closer. For 4 GiB in pages of 4 KiB an munmap() takes 0.6 s;
 * moving full page tables takes a thousandth of that. The file stays mapped at
 * @b: pages that the guest touches before the replacement come back one by one.
 * If the kernel cannot do this (before 5.13, or for hugetlbfs, which has few
 * pages), this does nothing, and the replacement takes its time. Returns the
 * mapping that the closer must unmap, or NULL.
 */
static void *vhost_pci_backing_evict(VhostPciBacking *b, size_t *len)
{
#ifdef MREMAP_DONTUNMAP
    uint8_t *area, *to;

    *len = b->len + TABLE_SIZE;
    area = mmap(NULL, *len, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        return NULL;
    }
    /* Whole tables can move only between addresses that are congruent. */
    to = area + ((uintptr_t)b->base - (uintptr_t)area) % TABLE_SIZE;
    if (mremap(b->base, b->len, b->len,
               MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
               to) != MAP_FAILED) {
        return area;
    }
    munmap(area, *len);
#endif
    return NULL;
}

bool vhost_pci_mapping_revoke(VhostPciMapping *m)
{
    VhostPciBacking *b = m->backing;
    size_t len;
    void *old = m->revoked ? NULL : vhost_pci_backing_evict(b, &len);
    void *p = mmap(b->base, b->len, PROT_READ | PROT_WRITE, MAP_FIXED |
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    m->revoked = true;
    if (old) {
        vhost_pci_closer_unmap(b->closer, old, len);
    }
    if (p == MAP_FAILED) {
        /* Show a hole: an mmap() that fails may have unmapped the old pages
         * already, and a hole is better than the peer's memory or an address
         * without memory. */
        memory_region_set_enabled(&m->mr, false);
        return false;
    }
    qemu_madvise(b->base, b->len, QEMU_MADV_DONTDUMP);
    qemu_madvise(b->base, b->len, QEMU_MADV_DONTFORK);
    /* This memory counts as this VM's: a late burst shall cost 4 KiB for each
     * page that it writes to, not 2 MiB. */
    qemu_madvise(b->base, b->len, QEMU_MADV_NOHUGEPAGE);
    memory_region_set_enabled(&m->mr, true);
    return true;
}

bool vhost_pci_mapping_restore(VhostPciMapping *m)
{
    VhostPciBacking *b = m->backing;

    if (mmap(b->base, b->len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED,
             b->fd, b->offset) == MAP_FAILED) {
        vhost_pci_mapping_revoke(m);
        return false;
    }
    qemu_madvise(b->base, b->len, QEMU_MADV_DONTDUMP);
    qemu_madvise(b->base, b->len, QEMU_MADV_DONTFORK);
    memory_region_set_enabled(&m->mr, true);
    m->revoked = false;
    return true;
}

void vhost_pci_mapping_abandon(VhostPciMapping *m)
{
    m->dead = true;
    vhost_pci_closer_fd(m->backing->closer, m->backing->fd);
    m->backing->fd = -1;
}

static const TypeInfo vhost_pci_mapping_info = {
    .name = TYPE_VHOST_PCI_MAPPING,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(VhostPciMapping),
    .instance_finalize = vhost_pci_mapping_finalize,
};

static void vhost_pci_mapping_register(void)
{
    type_register_static(&vhost_pci_mapping_info);
}

type_init(vhost_pci_mapping_register)
