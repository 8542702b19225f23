/* SPDX-License-Identifier: BSD-3-Clause */

/* See slab.h. */

#include <rte_malloc.h>

#include "flow/slab.h"

#define CHUNK_SIZE	(64u * 1024)
/* The first cache line of a chunk holds the link to the next chunk. */
#define CHUNK_HEAD	RTE_CACHE_LINE_SIZE

void
vhostpci_flow_slab_init(struct vhostpci_flow_slab *slab, uint32_t size,
			int socket)
{
	*slab = (struct vhostpci_flow_slab) {
		.size = size,
		.per_chunk = (CHUNK_SIZE - CHUNK_HEAD) / size,
		.socket = socket,
	};
}

static void
push(void **list, void *object)
{
	*(void **)object = *list;
	*list = object;
}

static void *
pop(void **list)
{
	void *object = *list;

	if (object != NULL)
		*list = *(void **)object;
	return object;
}

static void
add_chunk(struct vhostpci_flow_slab *slab)
{
	uint8_t *chunk = rte_malloc_socket("vhostpci_flow", CHUNK_SIZE,
					   RTE_CACHE_LINE_SIZE, slab->socket);
	uint32_t i;

	if (chunk == NULL)
		return;
	push(&slab->chunks, chunk);
	slab->n_chunks++;
	for (i = slab->per_chunk; i > 0; i--)
		push(&slab->free, chunk + CHUNK_HEAD +
		     (size_t)(i - 1) * slab->size);
}

void *
vhostpci_flow_slab_get(struct vhostpci_flow_slab *slab)
{
	if (slab->free == NULL)
		add_chunk(slab);
	return pop(&slab->free);
}

void
vhostpci_flow_slab_put(struct vhostpci_flow_slab *slab, void *object)
{
	push(&slab->free, object);
}

void
vhostpci_flow_slab_fini(struct vhostpci_flow_slab *slab)
{
	void *chunk;

	while ((chunk = pop(&slab->chunks)) != NULL)
		rte_free(chunk);
	slab->free = NULL;
	slab->n_chunks = 0;
}

uint64_t
vhostpci_flow_slab_bytes(const struct vhostpci_flow_slab *slab)
{
	return slab->n_chunks * CHUNK_SIZE;
}
