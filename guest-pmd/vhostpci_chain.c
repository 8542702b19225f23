/* SPDX-License-Identifier: BSD-3-Clause */

/* Walking descriptor chains: see vhostpci_chain.h. */

#include <rte_atomic.h>

#include "vhostpci_chain.h"

/* Descriptor @i < table_len of the indirect table. It may lie across regions:
 * copy it whole. */
static int
read_indirect(struct vhostpci_chain *chain, uint16_t i, struct vring_desc *desc)
{
	uint64_t gpa = chain->table + (uint64_t)i * sizeof(*desc);
	struct vhostpci_ring *ring = chain->ring;
	const void *addr = vhostpci_mem_addr(ring->mem, &ring->cache, gpa,
					     sizeof(*desc));
	bool mapped = true;

	if (likely(addr != NULL))
		rte_memcpy(desc, addr, sizeof(*desc));
	else
		mapped = vhostpci_mem_read(ring->mem, desc, gpa, sizeof(*desc));
	/* A copy of ordinary memory is one that the compiler may do without:
	 * the fields that are checked and those that are used have to come
	 * from the same load. */
	rte_compiler_barrier();
	return mapped ? 0 : -VHOSTPCI_RULE_MEMORY;
}

/* Go into the table that @desc names; @desc becomes its first descriptor. */
static int
enter_table(struct vhostpci_chain *chain, struct vring_desc *desc)
{
	struct vhostpci_ring *ring = chain->ring;
	uint32_t n = desc->len / sizeof(struct vring_desc);

	if (chain->table_len != 0)
		return -VHOSTPCI_RULE_INDIRECT_NESTED;
	if (!ring->indirect)
		return -VHOSTPCI_RULE_INDIRECT_FEATURE;
	if (desc->flags & VRING_DESC_F_NEXT)
		return -VHOSTPCI_RULE_INDIRECT_NEXT;
	if (desc->len % sizeof(struct vring_desc) != 0 || n == 0 ||
	    n > ring->size)
		return -VHOSTPCI_RULE_INDIRECT_SIZE;
	/* The whole table, whatever part of it the chain will visit. */
	if (vhostpci_mem_addr(ring->mem, &ring->cache, desc->addr,
			      desc->len) == NULL &&
	    !vhostpci_mem_read(ring->mem, NULL, desc->addr, desc->len))
		return -VHOSTPCI_RULE_MEMORY;
	chain->table = desc->addr;
	chain->table_len = n;
	return read_indirect(chain, 0, desc);
}

int
vhostpci_chain_take(struct vhostpci_chain *chain, const struct vring_desc *from)
{
	struct vring_desc desc = *from;
	int rc;

	if (chain->left == 0)
		return -VHOSTPCI_RULE_CHAIN_LENGTH;
	chain->left--;
	chain->ring->walked++;
	if (desc.flags & VRING_DESC_F_INDIRECT) {
		rc = enter_table(chain, &desc);
		if (rc != 0)
			return rc;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return -VHOSTPCI_RULE_INDIRECT_NESTED;
	}
	if ((desc.flags & VRING_DESC_F_WRITE) != chain->want)
		return -VHOSTPCI_RULE_DIRECTION;
	chain->gpa = desc.addr;
	chain->len = desc.len;
	chain->flags = desc.flags;
	chain->next = desc.next;
	return 0;
}

int
vhostpci_chain_next(struct vhostpci_chain *chain)
{
	uint16_t n = chain->table_len != 0 ? chain->table_len :
		chain->ring->size;
	struct vring_desc desc;
	int rc;

	if (!(chain->flags & VRING_DESC_F_NEXT))
		return 0;
	if (chain->next >= n)
		return -VHOSTPCI_RULE_NEXT_INDEX;
	if (chain->table_len != 0) {
		rc = read_indirect(chain, chain->next, &desc);
		if (rc != 0)
			return rc;
	} else {
		desc = vhostpci_desc_read(chain->ring, chain->next);
	}
	rc = vhostpci_chain_take(chain, &desc);
	return rc < 0 ? rc : 1;
}
