/* SPDX-License-Identifier: BSD-3-Clause */

/* Walking descriptor chains: see vring/chain.h. */

#include <rte_atomic.h>

#include "vring/chain.h"

/* Descriptor @i < table_len of the indirect table. It may lie across regions:
 * copy it whole. */
static int
read_indirect(struct vhostpci_chain *chain, uint16_t i,
	      struct vhostpci_desc *desc)
{
	uint64_t gpa = chain->table + (uint64_t)i * sizeof(struct vring_desc);
	struct vhostpci_ring *ring = chain->ring;
	union vhostpci_raw_desc copy = { { 0, 0 } };
	const void *addr = vhostpci_mem_addr(ring->mem, &ring->cache, gpa,
					     sizeof(copy));
	bool mapped = true;

	if (likely(addr != NULL))
		rte_memcpy(&copy, addr, sizeof(copy));
	else
		mapped = vhostpci_mem_read(ring->mem, &copy, gpa, sizeof(copy));
	/* The compiler may omit a copy of ordinary memory and load a field
	 * twice. The barrier makes the copy stay: the checked value and the
	 * used value must come from one load. */
	rte_compiler_barrier();
	*desc = ring->packed ? vhostpci_desc_packed(copy) :
		vhostpci_desc_split(copy);
	return mapped ? 0 : -VHOSTPCI_RULE_MEMORY;
}

/* Enter the table that @desc names; sets *@desc to the first descriptor of the
 * table. */
static int
enter_table(struct vhostpci_chain *chain, struct vhostpci_desc *desc)
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
	/* The whole table must be mapped, whatever part of it the chain
	 * visits. */
	if (vhostpci_mem_addr(ring->mem, &ring->cache, desc->addr,
			      desc->len) == NULL &&
	    !vhostpci_mem_read(ring->mem, NULL, desc->addr, desc->len))
		return -VHOSTPCI_RULE_MEMORY;
	chain->table = desc->addr;
	chain->table_len = n;
	chain->table_at = 0;
	return read_indirect(chain, 0, desc);
}

/* Make @from, already read, the chain's current descriptor. */
static int
take(struct vhostpci_chain *chain, const struct vhostpci_desc *from)
{
	struct vhostpci_desc desc = *from;
	int rc;

	if (chain->left == 0)
		return -VHOSTPCI_RULE_CHAIN_LENGTH;
	chain->left--;
	chain->ring->walked++;
	/* The id of a chain stands in its last descriptor (virtio 1.x, 2.8.6);
	 * descriptors of a table have no id. */
	if (chain->ring->packed && chain->table_len == 0)
		chain->id = desc.id;
	if (desc.flags & VRING_DESC_F_INDIRECT) {
		rc = enter_table(chain, &desc);
		if (rc != 0)
			return rc;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return -VHOSTPCI_RULE_INDIRECT_NESTED;
	}
	/* DPDK 22.11's virtio driver leaves WRITE set in entries of an indirect
	 * table of a packed ring, even if the device must read them. Reading
	 * such an entry is harmless. */
	if ((desc.flags & VRING_DESC_F_WRITE) != chain->want &&
			!(chain->ring->packed && chain->table_len != 0 &&
			  chain->want == 0))
		return -VHOSTPCI_RULE_DIRECTION;
	chain->gpa = desc.addr;
	chain->len = desc.len;
	chain->flags = desc.flags;
	chain->next = desc.next;
	return 0;
}

int
vhostpci_chain_begin(struct vhostpci_chain *chain,
		     const struct vhostpci_desc *desc, uint16_t id, uint16_t at)
{
	chain->table_len = 0;
	chain->id = id;
	chain->at = at;
	chain->n_slots = 1;
	return take(chain, desc);
}

static int
next_split(struct vhostpci_chain *chain, struct vhostpci_desc *desc)
{
	uint16_t n = chain->table_len != 0 ? chain->table_len :
		chain->ring->size;

	if (!(chain->flags & VRING_DESC_F_NEXT))
		return 0;
	if (chain->next >= n)
		return -VHOSTPCI_RULE_NEXT_INDEX;
	if (chain->table_len != 0) {
		int rc = read_indirect(chain, chain->next, desc);

		return rc < 0 ? rc : 1;
	}
	*desc = vhostpci_desc_split(vhostpci_desc_load(chain->ring,
						       chain->next));
	return 1;
}

/* All entries of an indirect table belong to the chain; NEXT has no meaning
 * there (virtio 1.x, 2.8.7). */
static int
next_packed(struct vhostpci_chain *chain, struct vhostpci_desc *desc)
{
	if (chain->table_len != 0) {
		int rc;

		if (++chain->table_at == chain->table_len)
			return 0;
		rc = read_indirect(chain, chain->table_at, desc);
		return rc < 0 ? rc : 1;
	}
	if (!(chain->flags & VRING_DESC_F_NEXT))
		return 0;
	if (++chain->at == chain->ring->size)
		chain->at = 0;
	chain->n_slots++;
	*desc = vhostpci_desc_packed(vhostpci_desc_load(chain->ring,
							chain->at));
	return 1;
}

int
vhostpci_chain_next(struct vhostpci_chain *chain)
{
	struct vhostpci_desc desc;
	int rc = chain->ring->packed ? next_packed(chain, &desc) :
		next_split(chain, &desc);

	if (rc <= 0)
		return rc;
	rc = take(chain, &desc);
	return rc < 0 ? rc : 1;
}

int
vhostpci_chain_end(struct vhostpci_chain *chain)
{
	int rc = 0;

	while (chain->table_len == 0 && chain->flags & VRING_DESC_F_NEXT) {
		rc = vhostpci_chain_next(chain);
		if (rc < 0)
			return rc;
	}
	return 0;
}
