/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An allocator for objects of one size, without a header for each object:
 * rte_malloc adds 128 bytes to every object and takes a lock that all threads
 * share.
 *
 * The caller must hold a lock. The slab frees its memory only when it ends.
 */

#ifndef VHOSTPCI_FLOW_SLAB_H
#define VHOSTPCI_FLOW_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct vhostpci_flow_slab {
	uint32_t size;		/* of an object, a multiple of 16 */
	uint32_t per_chunk;
	int socket;
	void *free;		/* each object begins with the next pointer */
	void *chunks;		/* each chunk begins with the next pointer */
	uint64_t n_chunks;
};

void vhostpci_flow_slab_init(struct vhostpci_flow_slab *slab, uint32_t size,
			     int socket);
/* Aligned to a cache line if the size is a multiple of that; not cleared.
 * NULL: no memory. */
void *vhostpci_flow_slab_get(struct vhostpci_flow_slab *slab);
void vhostpci_flow_slab_put(struct vhostpci_flow_slab *slab, void *object);
void vhostpci_flow_slab_fini(struct vhostpci_flow_slab *slab);
uint64_t vhostpci_flow_slab_bytes(const struct vhostpci_flow_slab *slab);

#endif
