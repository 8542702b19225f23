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

static __rte_always_inline struct vhostpci_flow_rule *
walk(const struct vhostpci_flow_subtable *sub, const struct probe *probe,
     uint32_t index, uint64_t version)
{
	uint64_t link = probe->link;

	while (link != 0) {
		struct vhostpci_flow_rule *rule = vhostpci_flow_linked(link);

		if (link >> 48 == probe->hash >> 16 &&
		    vhostpci_flow_same(rule->key, probe->words, sub->n_words) &&
		    vhostpci_flow_visible(rule, version))
			return rule;
		link = vhostpci_flow_load(&rule->next[index]);
	}
	return NULL;
}

/* Three passes, so that each memory access has been asked for by the pass
 * before: hash and ask for the bucket; read it and ask for the rule; compare.
 */
static __rte_always_inline void
lookup_one(const struct vhostpci_flow_subtable *sub,
	   const struct vhostpci_flow_key keys[], unsigned int n,
	   uint64_t version, struct vhostpci_flow_rule *rules[])
{
	const struct vhostpci_flow_heads *heads =
		__atomic_load_n(&sub->heads, __ATOMIC_ACQUIRE);
	struct probe probes[VHOSTPCI_FLOW_BURST];
	unsigned int i;

	for (i = 0; i < n; i++) {
		vhostpci_flow_pack(sub, &keys[i], probes[i].words);
		probes[i].hash = vhostpci_flow_hash(probes[i].words,
						    sub->n_words, sub->secret);
		rte_prefetch0(&heads->link[probes[i].hash & heads->mask]);
	}
	for (i = 0; i < n; i++) {
		probes[i].link = vhostpci_flow_load(
			&heads->link[probes[i].hash & heads->mask]);
		rte_prefetch0(vhostpci_flow_linked(probes[i].link));
	}
	for (i = 0; i < n; i++) {
		struct vhostpci_flow_rule *rule;

		rule = walk(sub, &probes[i], heads->index, version);
		if (rule != NULL && (rules[i] == NULL ||
				     vhostpci_flow_wins(rule, rules[i])))
			rules[i] = rule;
	}
}

void
vhostpci_flow_lookup_hashed(const struct vhostpci_flow_view *view,
			    const struct vhostpci_flow_key keys[],
			    unsigned int n,
			    struct vhostpci_flow_rule *rules[])
{
	unsigned int i;

	for (i = 0; i < view->set->n_hashed; i++)
		lookup_one(view->set->hashed[i], keys, n, view->version, rules);
}
