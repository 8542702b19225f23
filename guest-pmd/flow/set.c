/* SPDX-License-Identifier: BSD-3-Clause */

/* The set of a table: the rules through which bursts look. See table.h. */

#include "flow/set.h"

/* Add @rule to table->l2, if the rules are few enough for that. */
void
vhostpci_flow_l2_add(struct vhostpci_flow_table *table,
		     struct vhostpci_flow_rule *rule)
{
	uint32_t i = table->n_l2++;

	if (table->n_l2 > VHOSTPCI_FLOW_DIRECT)
		table->l2_hashed = true;
	if (table->l2_hashed)
		return;
	for (; i > 0 && vhostpci_flow_wins(rule, table->l2[i - 1]); i--)
		table->l2[i] = table->l2[i - 1];
	table->l2[i] = rule;
}

static void
collect(void *ctx, struct vhostpci_flow_rule *rule)
{
	vhostpci_flow_l2_add(ctx, rule);
}

/* Fill table->l2 again: the rules were too many, and are few again. */
static void
l2_collect(struct vhostpci_flow_table *table)
{
	const struct vhostpci_flow_subtable *sub;
	uint32_t i;

	table->l2_hashed = false;
	table->n_l2 = 0;
	for (i = 0; i < table->n_subtables; i++) {
		sub = table->subtables[i];
		if (sub != NULL && sub->only_l2)
			vhostpci_flow_subtable_each(sub, collect, table);
	}
}

void
vhostpci_flow_l2_remove(struct vhostpci_flow_table *table,
			struct vhostpci_flow_rule *rule)
{
	uint32_t i = 0;

	table->n_l2--;
	if (table->l2_hashed) {
		if (table->n_l2 <= VHOSTPCI_FLOW_DIRECT / 2)
			l2_collect(table);
		return;
	}
	while (table->l2[i] != rule)
		i++;
	for (; i < table->n_l2; i++)
		table->l2[i] = table->l2[i + 1];
}

static void
fill_set(const struct vhostpci_flow_table *table, struct vhostpci_flow_set *set)
{
	uint32_t i;

	set->need = VHOSTPCI_FLOW_NEED_L2;
	set->n_direct = table->l2_hashed ? 0 : table->n_l2;
	set->n_hashed = 0;
	for (i = 0; i < set->n_direct; i++) {
		struct vhostpci_flow_rule *rule = table->l2[i];

		set->direct[i] = (struct vhostpci_flow_direct) {
			.mask = table->subtables[rule->subtable]->
				full.w[VHOSTPCI_FLOW_L2],
			.value = rule->key[0],
			.rule = rule,
		};
	}
	for (i = 0; i < table->n_subtables; i++) {
		const struct vhostpci_flow_subtable *sub = table->subtables[i];

		if (sub == NULL || sub->n_live == 0 ||
		    (sub->only_l2 && !table->l2_hashed))
			continue;
		set->hashed[set->n_hashed++] = sub;
		set->need |= sub->need;
	}
}

/* An isolated port drops packets that no rule matches, so the marks of a port that
 * was ever isolated count as rules. */
bool
vhostpci_flow_must_look(const struct vhostpci_flow_table *table)
{
	bool marks = !table->no_marks || table->was_isolated;

	return table->n_rules > (marks ? 0 : table->n_bare);
}

bool
vhostpci_flow_renew_set(struct vhostpci_flow_table *table)
{
	struct vhostpci_flow_set *set = NULL, *old = table->set;

	if (vhostpci_flow_must_look(table)) {
		set = vhostpci_flow_slab_get(&table->sets);
		table->stale = set == NULL;
		if (set == NULL)
			return false;
		fill_set(table, set);
	}
	table->stale = false;
	__atomic_store_n(&table->set, set, __ATOMIC_RELEASE);
	if (old != NULL) {
		old->limbo = table->limbo_sets;
		table->limbo_sets = old;
		table->n_waiting++;
	}
	return true;
}

