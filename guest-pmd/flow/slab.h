/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Objects of one size, without a header each: rte_malloc adds 128 bytes to
 * every object and takes a lock of all threads.
 *
 * The caller has a lock. Memory is given back when the slab ends.
 */

#ifndef VHOSTPCI_FLOW_SLAB_H
#define VHOSTPCI_FLOW_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct vhostpci_flow_slab {
	uint32_t size;		/* of an object, a multiple of 16 */
	uint32_t per_chunk;
	int socket;
	void *free;		/* each begins with a pointer to the next */
	void *chunks;		/* likewise */
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
