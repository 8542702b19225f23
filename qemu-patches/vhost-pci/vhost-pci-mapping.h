/*
 * vhost-pci: a region of the peer's memory on this host: pages of its file,
 * and the RAM MemoryRegion that shows them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_MAPPING_H
#define HW_VHOST_PCI_MAPPING_H

#include "exec/memory.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qom/object.h"
#include "vhost_pci.h"
#include "vhost_user.h"
#include "vhost-pci-closer.h"

#define TYPE_VHOST_PCI_MAPPING "vhost-pci-mapping"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPciMapping, VHOST_PCI_MAPPING)

/*
 * The host side of a mapping; lives until no reader of the memory map can
 * see it any more.
 */
typedef struct VhostPciBacking {
    struct rcu_head rcu;
    void *base;         /* whole pages of the file */
    size_t len;
    int fd;             /* our duplicate, for restoring and for reading */
    VhostPciCloser *closer;     /* who unmaps and closes: a reference */
    uint64_t offset;    /* of @base in the file */
} VhostPciBacking;

/*
 * A QOM object, because references to a MemoryRegion are references to its
 * owner: it is finalized when the last flat view without it is in place.
 */
struct VhostPciMapping {
    Object parent_obj;

    MemoryRegion mr;
    VhostPciBacking *backing;
    uint64_t gpa;
    uint64_t size;
    uint64_t delta;             /* of the region in the backing */
    uint64_t window_offset;     /* the window's: see vhost-pci-window.c */
    bool revoked;               /* anonymous memory is in its place */
    bool dead;                  /* unmapped by the core while revoked */
    uint64_t dev, ino;          /* of the file */
    uint64_t fd_offset;
    uint8_t users[VHOST_PCI_MAX_FUNCTIONS]; /* regions of each function */
    QTAILQ_ENTRY(VhostPciMapping) next;
};

/*
 * Map @r, which begins at @fd_offset of @fd, at an address congruent to that
 * offset modulo @align. On failure NULL, and a negative errno in *err.
 */
VhostPciMapping *vhost_pci_mapping_new(const struct vu_region *r, int fd,
                                       size_t pagesize, uint64_t align,
                                       VhostPciCloser *closer, int *err);

/* Where the region begins, in this process. */
void *vhost_pci_mapping_addr(const VhostPciMapping *m);

/* Anonymous memory in the place of the peer's. */
bool vhost_pci_mapping_revoke(VhostPciMapping *m);
/* The peer's memory again; on failure the mapping stays revoked. */
bool vhost_pci_mapping_restore(VhostPciMapping *m);

/*
 * The core let go of a mapping that the driver has not: it stays, revoked,
 * without the peer's file.
 */
void vhost_pci_mapping_abandon(VhostPciMapping *m);

#endif
