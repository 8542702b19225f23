/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The rules of one mask: a hash table with chains.
 *
 * A chain is a list of links. A link is a pointer to a rule; the upper 16 bits,
 * which pointers leave free, hold a part of the rule's hash, so a lookup seldom
 * touches a rule that does not match. Among rules with the same key, the winning
 * rule comes first, so a lookup ends at the first visible match.
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
	uint32_t n_linked;	/* live rules, and dead ones still linked */
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
 * The hash of @n words; the caller adds a 0 word if @n is odd. A peer chooses the
 * words and could try to make long chains. The secret, which is random for each
 * table, hides from the peer which words collide.
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

/* acquire: pairs with the writers' release: the rule at the end of a link is
 * complete. */
static __rte_always_inline uint64_t
vhostpci_flow_load(const uint64_t *link)
{
	return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}

/* Fill @words with the @n (sub->n_words) words of @key under the mask, and add a 0
 * if @n is odd. */
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

/* The caller of the functions below holds the table's lock. */

/* NULL: no memory. */
struct vhostpci_flow_subtable *
vhostpci_flow_subtable_new(const struct vhostpci_flow_key *mask,
			   const uint64_t *secret, int socket);
/* The live rule with the key, the hash and the actions of @like, or NULL. */
struct vhostpci_flow_rule *
vhostpci_flow_subtable_find(const struct vhostpci_flow_subtable *sub,
			    const struct vhostpci_flow_rule *like);
void vhostpci_flow_subtable_link(struct vhostpci_flow_subtable *sub,
				 struct vhostpci_flow_rule *rule);
void vhostpci_flow_subtable_unlink(struct vhostpci_flow_subtable *sub,
				   struct vhostpci_flow_rule *rule);
/* Move to four times as many buckets. Returns the old buckets, which bursts may
 * still use. Returns NULL if memory is lacking; nothing has changed then. Do not
 * call this again before bursts have left the old buckets of the last call. */
struct vhostpci_flow_heads *
vhostpci_flow_subtable_grow(struct vhostpci_flow_subtable *sub, int socket);
/* Call @each for each live rule. */
void vhostpci_flow_subtable_each(const struct vhostpci_flow_subtable *sub,
				 void (*each)(void *ctx,
					      struct vhostpci_flow_rule *rule),
				 void *ctx);

#endif
