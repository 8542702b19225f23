/* SPDX-License-Identifier: BSD-3-Clause */

/* Which rule: the subtables, for a burst of keys at a time. */

#include <rte_prefetch.h>

#include "flow/subtable.h"

/* A burst's place in one subtable. */
struct probe {
	uint64_t words[VHOSTPCI_FLOW_WORDS];
	uint32_t hash;
	uint64_t link;
};

/* The caller knows @n, the number of words, when it is compiled: loops over
 * them are unrolled. */
static __rte_always_inline struct vhostpci_flow_rule *
walk(const struct probe *probe, unsigned int n, uint32_t index,
     uint64_t version)
{
	uint64_t link = probe->link;

	while (link != 0) {
		struct vhostpci_flow_rule *rule = vhostpci_flow_linked(link);

		if (link >> 48 == probe->hash >> 16 &&
		    vhostpci_flow_same(rule->key, probe->words, n) &&
		    vhostpci_flow_visible(rule, version))
			return rule;
		link = vhostpci_flow_load(&rule->next[index]);
	}
	return NULL;
}

/* Start loading the part of a rule that a lookup reads, and the part that
 * counts packets; @link may be 0. */
static __rte_always_inline void
ask_for_rule(uint64_t link)
{
	const uint8_t *rule = (const uint8_t *)vhostpci_flow_linked(link);

	rte_prefetch0(rule);
	rte_prefetch0((const void *)((uintptr_t)rule +
		      offsetof(struct vhostpci_flow_rule, hits)));
}

/* Three passes, so that each pass has started the loads of the next: hash the
 * keys and start loading the buckets; read the buckets and start loading the
 * rules; compare. */
static __rte_always_inline void
lookup_n(const struct vhostpci_flow_subtable *sub, unsigned int n,
	 const struct vhostpci_flow_key keys[], unsigned int n_keys,
	 uint64_t version, struct vhostpci_flow_rule *rules[])
{
	const struct vhostpci_flow_heads *heads =
		__atomic_load_n(&sub->heads, __ATOMIC_ACQUIRE);
	struct probe probes[VHOSTPCI_FLOW_BURST];
	uint32_t mask = heads->mask, index = heads->index;
	unsigned int i;

	for (i = 0; i < n_keys; i++) {
		vhostpci_flow_pack(sub, &keys[i], probes[i].words, n);
		probes[i].hash = vhostpci_flow_hash(probes[i].words, n,
						    sub->secret);
		rte_prefetch0(&heads->link[probes[i].hash & mask]);
	}
	for (i = 0; i < n_keys; i++) {
		probes[i].link = vhostpci_flow_load(
			&heads->link[probes[i].hash & mask]);
		ask_for_rule(probes[i].link);
	}
	for (i = 0; i < n_keys; i++) {
		struct vhostpci_flow_rule *rule;

		rule = walk(&probes[i], n, index, version);
		if (rule != NULL && (rules[i] == NULL ||
				     vhostpci_flow_wins(rule, rules[i])))
			rules[i] = rule;
	}
}

#define LOOKUP(n) \
static void \
lookup_##n(const struct vhostpci_flow_subtable *sub, \
	   const struct vhostpci_flow_key keys[], unsigned int n_keys, \
	   uint64_t version, struct vhostpci_flow_rule *rules[]) \
{ \
	lookup_n(sub, n, keys, n_keys, version, rules); \
}

LOOKUP(1)
LOOKUP(2)
LOOKUP(3)
LOOKUP(4)
LOOKUP(5)
LOOKUP(6)
LOOKUP(7)
LOOKUP(8)

void
vhostpci_flow_lookup_hashed(const struct vhostpci_flow_view *view,
			    const struct vhostpci_flow_key keys[],
			    unsigned int n,
			    struct vhostpci_flow_rule *rules[])
{
	static void (*const lookups[])(
		const struct vhostpci_flow_subtable *sub,
		const struct vhostpci_flow_key keys[], unsigned int n_keys,
		uint64_t version, struct vhostpci_flow_rule *rules[]) = {
		lookup_1, lookup_2, lookup_3, lookup_4,
		lookup_5, lookup_6, lookup_7, lookup_8,
	};
	unsigned int i;

	for (i = 0; i < view->set->n_hashed; i++) {
		const struct vhostpci_flow_subtable *sub =
			view->set->hashed[i];

		/* Each mask asks for INVALID: there is a word. */
		lookups[sub->n_words - 1](sub, keys, n, view->version, rules);
	}
}
