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
 * The host side of a mapping. It lives until no reader of the memory map can
 * see it any more.
 */
typedef struct VhostPciBacking {
    struct rcu_head rcu;
    void *base;         /* whole pages of the file */
    size_t len;
    int fd;             /* our duplicate, for restoring and for reading */
    VhostPciCloser *closer;     /* unmaps and closes: a reference */
    uint64_t offset;    /* of @base in the file */
} VhostPciBacking;

/*
 * A QOM object, because a reference to a MemoryRegion is a reference to its
 * owner: QEMU finalizes the mapping when the last flat view without it is in
 * place.
 */
struct VhostPciMapping {
    Object parent_obj;

    MemoryRegion mr;
    VhostPciBacking *backing;
    uint64_t gpa;
    uint64_t size;
    uint64_t delta;             /* of the region in the backing */
    uint64_t window_offset;     /* the window's: see vhost-pci-window.c */
    bool revoked;               /* anonymous memory replaces it */
    bool dead;                  /* unmapped by the core while revoked */
    uint64_t dev, ino;          /* of the file */
    uint64_t fd_offset;
    uint8_t users[VHOST_PCI_MAX_FUNCTIONS]; /* regions of each function */
    QTAILQ_ENTRY(VhostPciMapping) next;
};

/*
 * Map @r, which begins at @fd_offset of @fd, at an address congruent to that
 * offset modulo @align. On failure returns NULL, and sets *@err to a negative
 * errno.
 */
VhostPciMapping *vhost_pci_mapping_new(const struct vu_region *r, int fd,
                                       size_t pagesize, uint64_t align,
                                       VhostPciCloser *closer, int *err);

/* The address of the region in this process. */
void *vhost_pci_mapping_addr(const VhostPciMapping *m);

/* Replace the peer's memory by anonymous memory. */
bool vhost_pci_mapping_revoke(VhostPciMapping *m);
/* Bring the peer's memory back; on failure the mapping stays revoked. */
bool vhost_pci_mapping_restore(VhostPciMapping *m);

/*
 * The core released a mapping that the driver still has: the mapping stays,
 * revoked, without the peer's file.
 */
void vhost_pci_mapping_abandon(VhostPciMapping *m);

#endif
