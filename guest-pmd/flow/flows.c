/* SPDX-License-Identifier: BSD-3-Clause */

/* Flows: the handles of rte_flow. Several flows may share a rule. */

#include <errno.h>

#include "flow/set.h"
#include "flow/store.h"
#include "flow/subtable.h"

/* When this many objects wait for bursts to end, a writer waits. Dead rules
 * make chains longer; a wait takes some microseconds, which all these objects
 * share. */
#define MAX_WAITING	64

static void
reap_if_due(struct vhostpci_flow_table *table)
{
	if (table->n_waiting >= MAX_WAITING)
		vhostpci_flow_reap(table);
}

static uint64_t
sum(const uint64_t slots[VHOSTPCI_FLOW_SLOTS])
{
	uint64_t total = 0;
	unsigned int i;

	for (i = 0; i < VHOSTPCI_FLOW_SLOTS; i++)
		total += __atomic_load_n(&slots[i], __ATOMIC_RELAXED);
	return total;
}

/* The caller holds the lock. */
static struct rte_flow *
create(struct vhostpci_flow_table *table, struct vhostpci_flow_spec *spec)
{
	struct rte_flow *flow = vhostpci_flow_slab_get(&table->handles);

	if (flow == NULL) {
		vhostpci_flow_spec_release(&table->env, spec);
		return NULL;
	}
	flow->rule = vhostpci_flow_get_rule(table, spec);
	if (flow->rule == NULL) {
		vhostpci_flow_slab_put(&table->handles, flow);
		return NULL;
	}
	flow->hits = sum(flow->rule->hits);
	flow->bytes = sum(flow->rule->bytes);
	TAILQ_INSERT_TAIL(&table->flows, flow, entry);
	table->n_flows++;
	return flow;
}

struct rte_flow *
vhostpci_flow_create(struct vhostpci_flow_table *table,
		     const struct rte_flow_attr *attr,
		     const struct rte_flow_item items[],
		     const struct rte_flow_action actions[],
		     struct rte_flow_error *error)
{
	struct vhostpci_flow_spec spec;
	struct rte_flow *flow;

	if (vhostpci_flow_translate(&table->env, attr, items, actions, &spec,
				    error) != 0)
		return NULL;
	pthread_mutex_lock(&table->lock);
	flow = create(table, &spec);
	reap_if_due(table);
	pthread_mutex_unlock(&table->lock);
	if (flow == NULL)
		rte_flow_error_set(error, ENOMEM, RTE_FLOW_ERROR_TYPE_ACTION,
				   NULL, "no memory, or too many masks");
	return flow;
}

static void
destroy(struct vhostpci_flow_table *table, struct rte_flow *flow)
{
	if (--flow->rule->refs == 0)
		vhostpci_flow_kill_rule(table, flow->rule);
	TAILQ_REMOVE(&table->flows, flow, entry);
	table->n_flows--;
	vhostpci_flow_slab_put(&table->handles, flow);
	reap_if_due(table);
}

void
vhostpci_flow_destroy(struct vhostpci_flow_table *table, struct rte_flow *flow)
{
	pthread_mutex_lock(&table->lock);
	destroy(table, flow);
	pthread_mutex_unlock(&table->lock);
}

static void
flush(struct vhostpci_flow_table *table)
{
	struct rte_flow *flow;

	while ((flow = TAILQ_FIRST(&table->flows)) != NULL)
		destroy(table, flow);
}

void
vhostpci_flow_flush(struct vhostpci_flow_table *table)
{
	pthread_mutex_lock(&table->lock);
	flush(table);
	pthread_mutex_unlock(&table->lock);
}

/* If memory for a new set is lacking, the old set stays until the next
 * change. */
void
vhostpci_flow_set_marks(struct vhostpci_flow_table *table, bool on)
{
	pthread_mutex_lock(&table->lock);
	table->no_marks = !on;
	vhostpci_flow_renew_set(table);
	pthread_mutex_unlock(&table->lock);
}

void
vhostpci_flow_set_isolated(struct vhostpci_flow_table *table, bool on)
{
	pthread_mutex_lock(&table->lock);
	if (on && !table->was_isolated) {
		/* Renew the set first: a burst that drops packets without a
		 * rule must see all rules. */
		table->was_isolated = true;
		vhostpci_flow_renew_set(table);
	}
	__atomic_store_n(&table->isolated, on, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&table->lock);
}

int
vhostpci_flow_settle(struct vhostpci_flow_table *table)
{
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	while (table->n_waiting > 0 && rc == 0)
		rc = vhostpci_flow_reap(table);
	pthread_mutex_unlock(&table->lock);
	return rc;
}

/* Returns how far @now is beyond *@base. @reset: also set *@base to @now.
 * Another thread may have read a later sum and moved *@base beyond @now; the
 * result is 0 then. */
static uint64_t
since(uint64_t *base, uint64_t now, bool reset)
{
	uint64_t old = __atomic_load_n(base, __ATOMIC_RELAXED);

	while (now > old) {
		if (!reset || __atomic_compare_exchange_n(base, &old, now,
				false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return now - old;
	}
	return 0;
}

/* Does not take the lock: the revalidators of Open vSwitch call this, and a
 * creation may hold the lock while it waits for bursts. */
void
vhostpci_flow_query(struct rte_flow *flow, struct rte_flow_query_count *count)
{
	count->hits = since(&flow->hits, sum(flow->rule->hits), count->reset);
	count->bytes = since(&flow->bytes, sum(flow->rule->bytes),
			     count->reset);
	count->hits_set = 1;
	count->bytes_set = 1;
}

struct each {
	void (*each)(void *ctx, const struct vhostpci_flow_info *info);
	void *ctx;
	const struct vhostpci_flow_subtable *sub;
	uint32_t now;
};

static void
each_rule(void *ctx, struct vhostpci_flow_rule *rule)
{
	const struct each *each = ctx;
	struct vhostpci_flow_info info = {
		.mask = each->sub->full,
		.rule = rule,
		.hits = sum(rule->hits),
		.bytes = sum(rule->bytes),
		.used = rule->created,
	};
	unsigned int i;
	uint32_t used;

	for (i = 0; i < each->sub->n_words; i++)
		info.key.w[each->sub->word[i]] = rule->key[i];
	for (i = 0; i < VHOSTPCI_FLOW_SLOTS; i++) {
		used = __atomic_load_n(&rule->used[i], __ATOMIC_RELAXED);
		if (each->now - used < each->now - info.used)
			info.used = used;
	}
	each->each(each->ctx, &info);
}

void
vhostpci_flow_each(struct vhostpci_flow_table *table,
		   void (*each)(void *ctx,
				const struct vhostpci_flow_info *info),
		   void *ctx)
{
	struct each arg = { .each = each, .ctx = ctx };
	uint32_t i;

	pthread_mutex_lock(&table->lock);
	arg.now = vhostpci_flow_now();
	for (i = 0; i < table->n_subtables; i++) {
		arg.sub = table->subtables[i];
		if (arg.sub != NULL)
			vhostpci_flow_subtable_each(arg.sub, each_rule, &arg);
	}
	pthread_mutex_unlock(&table->lock);
}

uint64_t
vhostpci_flow_table_bytes(const struct vhostpci_flow_table *table)
{
	uint64_t bytes = vhostpci_flow_slab_bytes(&table->rules) +
		vhostpci_flow_slab_bytes(&table->handles) +
		vhostpci_flow_slab_bytes(&table->sets);
	uint32_t i;

	for (i = 0; i < table->n_subtables; i++)
		if (table->subtables[i] != NULL)
			bytes += sizeof(*table->subtables[i]) +
				(table->subtables[i]->heads->mask + 1) *
				sizeof(uint64_t);
	return bytes;
}
