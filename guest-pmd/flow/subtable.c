/* SPDX-License-Identifier: BSD-3-Clause */

/* See subtable.h. */

#include <rte_malloc.h>

#include "flow/subtable.h"

#define FIRST_BUCKETS	64u
#define GROWTH		4u

static struct vhostpci_flow_heads *
heads_new(uint32_t n, uint32_t index, int socket)
{
	struct vhostpci_flow_heads *heads;

	heads = rte_zmalloc_socket("vhostpci_flow_heads",
				   sizeof(*heads) + n * sizeof(heads->link[0]),
				   RTE_CACHE_LINE_SIZE, socket);
	if (heads == NULL)
		return NULL;
	heads->mask = n - 1;
	heads->index = index;
	return heads;
}

struct vhostpci_flow_subtable *
vhostpci_flow_subtable_new(const struct vhostpci_flow_key *mask,
			   const uint64_t *secret, int socket)
{
	struct vhostpci_flow_subtable *sub;
	unsigned int i;

	sub = rte_zmalloc_socket("vhostpci_flow_subtable", sizeof(*sub),
				 RTE_CACHE_LINE_SIZE, socket);
	if (sub == NULL)
		return NULL;
	sub->heads = heads_new(FIRST_BUCKETS, 0, socket);
	if (sub->heads == NULL) {
		rte_free(sub);
		return NULL;
	}
	sub->full = *mask;
	sub->secret = secret;
	for (i = 0; i < VHOSTPCI_FLOW_WORDS; i++) {
		if (mask->w[i] == 0)
			continue;
		sub->mask[sub->n_words] = mask->w[i];
		sub->word[sub->n_words++] = i;
		sub->need |= 1u << i;
	}
	/* The bit SRC6 stands for all words of IPv6: see
	 * vhostpci_flow_parse(). */
	if (sub->need >> VHOSTPCI_FLOW_SRC6 != 0)
		sub->need |= 1u << VHOSTPCI_FLOW_SRC6;
	sub->only_l2 = sub->need == VHOSTPCI_FLOW_NEED_L2;
	return sub;
}

static bool
does_same(const struct vhostpci_flow_rule *a,
	  const struct vhostpci_flow_rule *b)
{
	return a->priority == b->priority && a->way == b->way &&
		a->prog_len == b->prog_len &&
		memcmp(vhostpci_flow_prog(a), vhostpci_flow_prog(b),
		       a->prog_len) == 0;
}

/* Plain loads, because writers hold the lock and read only what writers
 * wrote. */
struct vhostpci_flow_rule *
vhostpci_flow_subtable_find(const struct vhostpci_flow_subtable *sub,
			    const struct vhostpci_flow_rule *like)
{
	const struct vhostpci_flow_heads *heads = sub->heads;
	uint64_t link = heads->link[like->hash & heads->mask];

	while (link != 0) {
		struct vhostpci_flow_rule *rule = vhostpci_flow_linked(link);

		if (rule->hash == like->hash &&
		    rule->died == VHOSTPCI_FLOW_FOREVER &&
		    vhostpci_flow_same(rule->key, like->key, sub->n_words) &&
		    does_same(rule, like))
			return rule;
		link = rule->next[heads->index];
	}
	return NULL;
}

void
vhostpci_flow_subtable_link(struct vhostpci_flow_subtable *sub,
			    struct vhostpci_flow_rule *rule)
{
	struct vhostpci_flow_heads *heads = sub->heads;
	uint64_t *first = &heads->link[rule->hash & heads->mask];
	uint64_t *at = first, *next;

	/* Link the rule behind the last rule of the same key that wins over it:
	 * a rule of the same priority, which is older, or of a better one.
	 * Ignore dead rules: a burst that still sees a dead rule does not see
	 * this one. */
	for (next = first; *next != 0;) {
		struct vhostpci_flow_rule *other = vhostpci_flow_linked(*next);

		next = &other->next[heads->index];
		if (other->hash == rule->hash &&
		    other->died == VHOSTPCI_FLOW_FOREVER &&
		    other->priority <= rule->priority &&
		    vhostpci_flow_same(other->key, rule->key, sub->n_words))
			at = next;
	}
	rule->next[heads->index] = *at;
	__atomic_store_n(at, vhostpci_flow_link(rule, rule->hash),
			 __ATOMIC_RELEASE);
	sub->n_linked++;
}

void
vhostpci_flow_subtable_unlink(struct vhostpci_flow_subtable *sub,
			      struct vhostpci_flow_rule *rule)
{
	struct vhostpci_flow_heads *heads = sub->heads;
	uint64_t *at = &heads->link[rule->hash & heads->mask];

	while (vhostpci_flow_linked(*at) != rule)
		at = &vhostpci_flow_linked(*at)->next[heads->index];
	/* The rule keeps its own link, for bursts that stand on the rule. */
	__atomic_store_n(at, rule->next[heads->index], __ATOMIC_RELEASE);
	sub->n_linked--;
}

struct vhostpci_flow_heads *
vhostpci_flow_subtable_grow(struct vhostpci_flow_subtable *sub, int socket)
{
	struct vhostpci_flow_heads *old = sub->heads, *heads;
	uint32_t n = old->mask + 1, i, b;

	heads = heads_new(n * GROWTH, !old->index, socket);
	if (heads == NULL)
		return NULL;
	for (i = 0; i < n; i++) {
		uint64_t *tail[GROWTH], link = old->link[i];

		for (b = 0; b < GROWTH; b++)
			tail[b] = &heads->link[i + b * n];
		while (link != 0) {
			struct vhostpci_flow_rule *rule =
				vhostpci_flow_linked(link);

			b = (rule->hash & heads->mask) / n;
			*tail[b] = link;
			tail[b] = &rule->next[heads->index];
			*tail[b] = 0;
			link = rule->next[old->index];
		}
	}
	__atomic_store_n(&sub->heads, heads, __ATOMIC_RELEASE);
	return old;
}

void
vhostpci_flow_subtable_each(const struct vhostpci_flow_subtable *sub,
			    void (*each)(void *ctx,
					 struct vhostpci_flow_rule *rule),
			    void *ctx)
{
	const struct vhostpci_flow_heads *heads = sub->heads;
	uint32_t i;

	for (i = 0; i <= heads->mask; i++) {
		uint64_t link = heads->link[i];

		while (link != 0) {
			struct vhostpci_flow_rule *rule =
				vhostpci_flow_linked(link);

			if (rule->died == VHOSTPCI_FLOW_FOREVER)
				each(ctx, rule);
			link = rule->next[heads->index];
		}
	}
}
