/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The rules of one mask: a hash table with chains.
 *
 * A chain is a list of links: a rule and, in the upper 16 bits that pointers
 * leave free, part of its hash, so that a lookup seldom touches a rule that is
 * not the one. Of rules with the same key the one that wins stands first, so a
 * lookup ends with the first visible match.
 */

#ifndef VHOSTPCI_FLOW_SUBTABLE_H
#define VHOSTPCI_FLOW_SUBTABLE_H

#include "flow/table.h"

#define VHOSTPCI_FLOW_FOREVER	UINT64_MAX

/* The buckets. */
struct vhostpci_flow_heads {
	void *limbo;		/* as limbo_memory */
	uint32_t mask;		/* of hashes: number of buckets - 1 */
	uint32_t index;		/* of rule->next */
	uint64_t link[];	/* writers: w, release; datapath: r */
};

struct vhostpci_flow_subtable {
	void *limbo;		/* as limbo_memory */
	struct vhostpci_flow_heads *heads;	/* as link */
	const uint64_t *secret;
	/* The words of the mask that are not 0. */
	uint64_t mask[VHOSTPCI_FLOW_WORDS];
	uint8_t word[VHOSTPCI_FLOW_WORDS];
	uint8_t n_words;

	/* Writers only. */
	uint16_t id;
	bool only_l2;
	uint32_t need;
	uint32_t n_live;
	uint32_t n_linked;	/* with those that died */
	uint64_t grown_at;	/* table->n_quiesced */
	struct vhostpci_flow_key full;
};

static __rte_always_inline uint64_t
vhostpci_flow_mum(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/*
 * Of @n words, to which the caller adds a 0 if @n is odd. A peer chooses what
 * is hashed and could aim for long chains; the secret, made at random for each
 * table, keeps it from knowing how.
 */
static __rte_always_inline uint32_t
vhostpci_flow_hash(const uint64_t *words, unsigned int n,
		   const uint64_t *secret)
{
	uint64_t h = 0;
	unsigned int i;

	for (i = 0; i < n; i += 2)
		h ^= vhostpci_flow_mum(words[i] ^ secret[i],
				       words[i + 1] ^ secret[i + 1]);
	return h ^ h >> 32;
}

static __rte_always_inline uint64_t
vhostpci_flow_link(const struct vhostpci_flow_rule *rule, uint32_t hash)
{
	return (uint64_t)(uintptr_t)rule | (uint64_t)(hash >> 16) << 48;
}

static __rte_always_inline struct vhostpci_flow_rule *
vhostpci_flow_linked(uint64_t link)
{
	return (struct vhostpci_flow_rule *)(uintptr_t)(link << 16 >> 16);
}

/* Chains pair this acquire with the writers' release: what a link leads to is
 * complete. */
static __rte_always_inline uint64_t
vhostpci_flow_load(const uint64_t *link)
{
	return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}

/* Fill @words with the @n, sub->n_words, of @key under the mask, and a 0 behind
 * an odd number. */
static __rte_always_inline void
vhostpci_flow_pack(const struct vhostpci_flow_subtable *sub,
		   const struct vhostpci_flow_key *key, uint64_t *words,
		   unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		words[i] = key->w[sub->word[i]] & sub->mask[i];
	if (i % 2 != 0)
		words[i] = 0;
}

static __rte_always_inline bool
vhostpci_flow_same(const uint64_t *a, const uint64_t *b, unsigned int n)
{
	uint64_t differ = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

/* The lowest number wins, then the oldest rule. */
static __rte_always_inline bool
vhostpci_flow_wins(const struct vhostpci_flow_rule *a,
		   const struct vhostpci_flow_rule *b)
{
	return a->priority != b->priority ? a->priority < b->priority :
		a->born < b->born;
}

/* All of these: table lock. */

/* NULL: no memory. */
struct vhostpci_flow_subtable *
vhostpci_flow_subtable_new(const struct vhostpci_flow_key *mask,
			   const uint64_t *secret, int socket);
/* The rule among those with the key and hash of @like that lives and does the
 * same, or NULL. */
struct vhostpci_flow_rule *
vhostpci_flow_subtable_find(const struct vhostpci_flow_subtable *sub,
			    const struct vhostpci_flow_rule *like);
void vhostpci_flow_subtable_link(struct vhostpci_flow_subtable *sub,
				 struct vhostpci_flow_rule *rule);
void vhostpci_flow_subtable_unlink(struct vhostpci_flow_subtable *sub,
				   struct vhostpci_flow_rule *rule);
/* Move to four times as many buckets. Returns the old ones, which bursts may
 * still use, or NULL: no memory, and all is as before. Not again before bursts
 * have left the buckets that the last call returned. */
struct vhostpci_flow_heads *
vhostpci_flow_subtable_grow(struct vhostpci_flow_subtable *sub, int socket);
/* Call @each for each rule that lives. */
void vhostpci_flow_subtable_each(const struct vhostpci_flow_subtable *sub,
				 void (*each)(void *ctx,
					      struct vhostpci_flow_rule *rule),
				 void *ctx);

#endif
