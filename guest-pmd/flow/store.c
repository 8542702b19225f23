/* SPDX-License-Identifier: BSD-3-Clause */

/* Add and remove rules: the side of the writers in table.h. */

#include <errno.h>

#include <rte_malloc.h>
#include <rte_random.h>

#include "flow/set.h"
#include "flow/store.h"

struct vhostpci_flow_table *
vhostpci_flow_table_new(const struct vhostpci_flow_env *env, int socket)
{
	struct vhostpci_flow_table *table;
	unsigned int i;

	table = rte_zmalloc_socket("vhostpci_flow_table", sizeof(*table),
				   RTE_CACHE_LINE_SIZE, socket);
	if (table == NULL)
		return NULL;
	table->version = 1;
	table->env = *env;
	table->socket = socket;
	pthread_mutex_init(&table->lock, NULL);
	TAILQ_INIT(&table->flows);
	for (i = 0; i < RTE_DIM(table->secret); i++)
		table->secret[i] = rte_rand();
	vhostpci_flow_slab_init(&table->rules,
				sizeof(struct vhostpci_flow_rule), socket);
	vhostpci_flow_slab_init(&table->handles,
				RTE_ALIGN(sizeof(struct rte_flow), 16), socket);
	vhostpci_flow_slab_init(&table->sets, sizeof(struct vhostpci_flow_set),
				socket);
	return table;
}

/* Make the changes visible to bursts that begin from now on. */
static void
publish(struct vhostpci_flow_table *table)
{
	__atomic_store_n(&table->version, table->version + 1, __ATOMIC_RELEASE);
}

/* Put @object into limbo_memory; its first word becomes the link. */
static void
retire_memory(struct vhostpci_flow_table *table, void *object)
{
	*(void **)object = table->limbo_memory;
	table->limbo_memory = object;
	table->n_waiting++;
}

static void
rule_free(struct vhostpci_flow_table *table, struct vhostpci_flow_rule *rule)
{
	vhostpci_flow_each_dest(vhostpci_flow_prog(rule), rule->prog_len,
				table->env.put_dest, table->env.ctx);
	if (rule->prog_len > VHOSTPCI_FLOW_INLINE)
		rte_free(rule->far);
	vhostpci_flow_slab_put(&table->rules, rule);
}

/* Free what is in limbo: no burst uses it any more. */
static void
free_limbo(struct vhostpci_flow_table *table)
{
	struct vhostpci_flow_rule *rule;
	struct vhostpci_flow_set *set;
	void *object;

	while ((rule = table->limbo) != NULL) {
		table->limbo = rule->limbo;
		rule_free(table, rule);
	}
	while ((set = table->limbo_sets) != NULL) {
		table->limbo_sets = set->limbo;
		vhostpci_flow_slab_put(&table->sets, set);
	}
	while ((object = table->limbo_memory) != NULL) {
		table->limbo_memory = *(void **)object;
		rte_free(object);
	}
	table->n_waiting = 0;
}

static void
forget_subtable(struct vhostpci_flow_table *table,
		struct vhostpci_flow_subtable *sub)
{
	table->subtables[sub->id] = NULL;
	while (table->n_subtables > 0 &&
	       table->subtables[table->n_subtables - 1] == NULL)
		table->n_subtables--;
	retire_memory(table, sub->heads);
	retire_memory(table, sub);
}

/* Unlink dying rules. Bursts no longer see such a rule, but may still walk over
 * it, so it goes to limbo. */
static void
unlink_dying(struct vhostpci_flow_table *table)
{
	struct vhostpci_flow_rule *rule;

	while ((rule = table->dying) != NULL) {
		struct vhostpci_flow_subtable *sub =
			table->subtables[rule->subtable];

		table->dying = rule->limbo;
		vhostpci_flow_subtable_unlink(sub, rule);
		rule->limbo = table->limbo;
		table->limbo = rule;
		table->n_waiting++;
		if (sub->n_linked == 0)
			forget_subtable(table, sub);
	}
}

/* Wait for bursts to end. Then free what was in limbo before the wait, and move
 * rules that died to limbo. */
int
vhostpci_flow_reap(struct vhostpci_flow_table *table)
{
	int rc;

	if (table->stale && !vhostpci_flow_renew_set(table))
		return -ENOMEM;
	rc = table->env.quiesce(table->env.ctx);
	if (rc != 0)
		return rc;
	table->n_quiesced++;
	free_limbo(table);
	unlink_dying(table);
	return 0;
}


static struct vhostpci_flow_subtable *
get_subtable(struct vhostpci_flow_table *table,
	     const struct vhostpci_flow_key *mask)
{
	struct vhostpci_flow_subtable *sub;
	uint32_t i, hole = table->n_subtables;

	for (i = 0; i < table->n_subtables; i++) {
		sub = table->subtables[i];
		if (sub == NULL)
			hole = i;
		else if (vhostpci_flow_same(sub->full.w, mask->w,
					    VHOSTPCI_FLOW_WORDS))
			return sub;
	}
	if (hole == VHOSTPCI_FLOW_MASKS)
		return NULL;
	sub = vhostpci_flow_subtable_new(mask, table->secret, table->socket);
	if (sub == NULL)
		return NULL;
	sub->id = hole;
	table->subtables[hole] = sub;
	table->n_subtables = RTE_MAX(table->n_subtables, hole + 1);
	return sub;
}

/* Give the subtable more buckets if it has many rules; a burst may use the old
 * buckets for a while. If memory is lacking, chains become longer. */
static void
grow_if_due(struct vhostpci_flow_table *table,
	    struct vhostpci_flow_subtable *sub)
{
	struct vhostpci_flow_heads *old;

	if (sub->n_linked <= sub->heads->mask)
		return;
	if (sub->grown_at == table->n_quiesced + 1 &&
	    vhostpci_flow_reap(table) != 0)
		return;
	old = vhostpci_flow_subtable_grow(sub, table->socket);
	if (old == NULL)
		return;
	sub->grown_at = table->n_quiesced + 1;
	retire_memory(table, old);
}

/* Fill @rule from @spec; @rule then owns the destinations. Returns false if
 * memory is lacking. */
static bool
fill_rule(struct vhostpci_flow_rule *rule,
	  const struct vhostpci_flow_spec *spec,
	  const struct vhostpci_flow_subtable *sub)
{
	uint64_t words[VHOSTPCI_FLOW_WORDS] = { 0 };
	uint8_t *prog = rule->prog;

	memset(rule, 0, sizeof(*rule));
	if (spec->prog_len > VHOSTPCI_FLOW_INLINE) {
		prog = rte_malloc("vhostpci_flow_prog", spec->prog_len, 0);
		if (prog == NULL)
			return false;
		rule->far = prog;
	}
	memcpy(prog, spec->prog, spec->prog_len);
	vhostpci_flow_pack(sub, &spec->key, words, sub->n_words);
	memcpy(rule->key, words, sizeof(words));
	rule->hash = vhostpci_flow_hash(words, sub->n_words, sub->secret);
	rule->prog_len = spec->prog_len;
	rule->edits = spec->edits;
	rule->grows = spec->grows;
	rule->counted = spec->counted;
	rule->priority = spec->priority;
	rule->refs = 1;
	rule->subtable = sub->id;
	rule->n_out = spec->n_out;
	rule->died = VHOSTPCI_FLOW_FOREVER;
	rule->way = spec->kind;
	if (spec->kind == VHOSTPCI_FLOW_OUTPUT)
		memcpy(&rule->way, &prog[1], sizeof(rule->way));
	else if (spec->kind == VHOSTPCI_FLOW_MARK)
		rule->way |= (uint64_t)spec->mark << VHOSTPCI_FLOW_KIND_BITS;
	rule->created = vhostpci_flow_now();
	memcpy(rule->used, (uint32_t[VHOSTPCI_FLOW_SLOTS]) {
		rule->created, rule->created, rule->created
	}, sizeof(rule->used));
	return true;
}

static bool
is_bare(const struct vhostpci_flow_rule *rule)
{
	return vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_MARK && !rule->counted;
}

/* Count the packets of @rule from now on: one of its flows wants that, and no
 * earlier flow did. */
static void
begin_to_count(struct vhostpci_flow_table *table,
	       struct vhostpci_flow_rule *rule)
{
	table->n_bare -= is_bare(rule);
	rule->counted = true;
	if (table->set == NULL)
		vhostpci_flow_renew_set(table);
}

/* Make @rule visible. Returns false if memory for a set is lacking. */
static bool
add_rule(struct vhostpci_flow_table *table, struct vhostpci_flow_subtable *sub,
	 struct vhostpci_flow_rule *rule)
{
	rule->born = table->version + 1;
	vhostpci_flow_subtable_link(sub, rule);
	sub->n_live++;
	table->n_rules++;
	table->n_bare += is_bare(rule);
	if (sub->only_l2)
		vhostpci_flow_l2_add(table, rule);
	if ((sub->only_l2 || sub->n_live == 1 || table->stale ||
	     table->set == NULL) &&
	    !vhostpci_flow_renew_set(table))
		return false;
	publish(table);
	grow_if_due(table, sub);
	return true;
}

/* The last flow of @rule is gone: let the rule die. */
void
vhostpci_flow_kill_rule(struct vhostpci_flow_table *table, struct vhostpci_flow_rule *rule)
{
	struct vhostpci_flow_subtable *sub = table->subtables[rule->subtable];

	__atomic_store_n(&rule->died, table->version + 1, __ATOMIC_RELAXED);
	publish(table);
	sub->n_live--;
	table->n_rules--;
	table->n_bare -= is_bare(rule);
	if (sub->only_l2)
		vhostpci_flow_l2_remove(table, rule);
	if (sub->only_l2 || sub->n_live == 0 ||
	    (table->set != NULL && !vhostpci_flow_must_look(table)))
		vhostpci_flow_renew_set(table);
	rule->limbo = table->dying;
	table->dying = rule;
	table->n_waiting++;
}

/* Returns the rule of @spec: an equal rule that exists, or a new one. NULL:
 * memory is lacking, or there are too many masks. The destinations of @spec go
 * to the rule, or are released. */
struct vhostpci_flow_rule *
vhostpci_flow_get_rule(struct vhostpci_flow_table *table, struct vhostpci_flow_spec *spec)
{
	struct vhostpci_flow_subtable *sub = get_subtable(table, &spec->mask);
	struct vhostpci_flow_rule *rule = NULL, *same;

	if (sub != NULL)
		rule = vhostpci_flow_slab_get(&table->rules);
	if (rule != NULL && !fill_rule(rule, spec, sub)) {
		vhostpci_flow_slab_put(&table->rules, rule);
		rule = NULL;
	}
	if (rule == NULL) {
		vhostpci_flow_spec_release(&table->env, spec);
		/* Forget a subtable that was made above and has no rule. */
		if (sub != NULL && sub->n_linked == 0)
			forget_subtable(table, sub);
		return NULL;
	}
	same = vhostpci_flow_subtable_find(sub, rule);
	if (same != NULL) {
		rule_free(table, rule);
		same->refs++;
		if (spec->counted && !same->counted)
			begin_to_count(table, same);
		return same;
	}
	if (add_rule(table, sub, rule))
		return rule;
	vhostpci_flow_kill_rule(table, rule);
	return NULL;
}

void
vhostpci_flow_table_free(struct vhostpci_flow_table *table)
{
	if (table == NULL)
		return;
	vhostpci_flow_flush(table);
	free_limbo(table);
	unlink_dying(table);
	free_limbo(table);
	vhostpci_flow_slab_fini(&table->rules);
	vhostpci_flow_slab_fini(&table->handles);
	vhostpci_flow_slab_fini(&table->sets);
	pthread_mutex_destroy(&table->lock);
	rte_free(table);
}
