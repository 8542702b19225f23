/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The rules of a port.
 *
 * Bursts read without a lock. A burst opens a view once and sees the rules of
 * one moment until its end, whatever is created or destroyed meanwhile. That
 * keeps the packets of a flow in order: a packet that missed is on its way up,
 * and no packet behind it in the same burst may overtake it by a rule that came
 * in between.
 *
 * How: the table has a version. A rule is visible to the versions from born to
 * before died. A writer links the rule, then stores the next version; or it
 * sets died to the next version, then stores that. The view holds the version
 * that it found. A rule that died stays linked until bursts that might see it
 * have ended (quiesce), and allocated until those have ended that might stand
 * on it (the next quiesce). Both happen for many rules at a time.
 *
 * The set is what a view looks through: some rules that match the L2 word only
 * and are compared one by one; and the subtables, one for each mask, each a
 * hash table. A view loads the set before the version, and a writer stores what
 * it adds to a set before the version, and what it removes after it.
 */

#ifndef VHOSTPCI_FLOW_TABLE_H
#define VHOSTPCI_FLOW_TABLE_H

#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>

#include <rte_cycles.h>

#include "flow/rule.h"
#include "flow/slab.h"

/* Rules of the L2 word that are compared one by one. */
#define VHOSTPCI_FLOW_DIRECT	8
/* Different masks in a table: each costs every packet a lookup. */
#define VHOSTPCI_FLOW_MASKS	128
/* Keys in a call of lookup. */
#define VHOSTPCI_FLOW_BURST	64

struct vhostpci_flow_subtable;

struct vhostpci_flow_direct {
	uint64_t mask, value;	/* of VHOSTPCI_FLOW_L2 */
	struct vhostpci_flow_rule *rule;
};

/* Constant once it is published. */
struct vhostpci_flow_set {
	struct vhostpci_flow_set *limbo;	/* writers only */
	uint32_t need;		/* words of keys, by bit */
	uint16_t n_direct, n_hashed;
	/* The best first. */
	struct vhostpci_flow_direct direct[VHOSTPCI_FLOW_DIRECT];
	const struct vhostpci_flow_subtable *hashed[VHOSTPCI_FLOW_MASKS];
} __rte_cache_aligned;

/* What rte_flow calls a flow. Table lock, but for queries. */
struct rte_flow {
	struct vhostpci_flow_rule *rule;
	uint64_t hits, bytes;	/* of the rule, when they were 0 for this one */
	TAILQ_ENTRY(rte_flow) entry;
};

struct vhostpci_flow_table {
	/* control: w under lock; datapath: r */
	struct vhostpci_flow_set *set;	/* NULL: no rules to look for */
	uint64_t version;
	bool isolated;		/* what matches no rule is to be dropped */

	/* Writers only, under lock. */
	pthread_mutex_t lock __rte_cache_aligned;
	struct vhostpci_flow_env env;
	int socket;
	uint64_t secret[VHOSTPCI_FLOW_WORDS];	/* constant: of hashes */
	TAILQ_HEAD(vhostpci_flow_list, rte_flow) flows;
	uint32_t n_flows, n_rules;
	/* Live rules that do nothing but mark: without no_marks they are rules
	 * like all others, with it no burst looks for their sake alone. */
	uint32_t n_bare;
	bool no_marks, was_isolated;
	uint16_t n_subtables;
	struct vhostpci_flow_subtable *subtables[VHOSTPCI_FLOW_MASKS];
	/* Rules of the L2 word, the best first, unless they are too many. */
	uint32_t n_l2;
	bool l2_hashed;
	struct vhostpci_flow_rule *l2[VHOSTPCI_FLOW_DIRECT];

	bool stale;		/* the set mentions what has died */
	uint64_t n_quiesced;
	uint32_t n_waiting;	/* in the lists below */
	struct vhostpci_flow_rule *dying;	/* died, still linked */
	struct vhostpci_flow_rule *limbo;	/* unlinked */
	struct vhostpci_flow_set *limbo_sets;
	void *limbo_memory;	/* of rte_malloc; begins with the next one */
	struct vhostpci_flow_slab rules, handles, sets;
};

/* Of a burst, on its stack. */
struct vhostpci_flow_view {
	const struct vhostpci_flow_set *set;
	uint64_t version;
	uint32_t n_direct;	/* those that are visible */
	struct vhostpci_flow_direct direct[VHOSTPCI_FLOW_DIRECT];
};

/* Control. NULL: no memory. @env is copied. */
struct vhostpci_flow_table *
vhostpci_flow_table_new(const struct vhostpci_flow_env *env, int socket);
/* No burst uses the table, and none will. Destroys all flows. */
void vhostpci_flow_table_free(struct vhostpci_flow_table *table);

/* As in struct rte_flow_ops; any threads. */
struct rte_flow *
vhostpci_flow_create(struct vhostpci_flow_table *table,
		     const struct rte_flow_attr *attr,
		     const struct rte_flow_item items[],
		     const struct rte_flow_action actions[],
		     struct rte_flow_error *error);
/* Later bursts do not use the rule; one that is under way may. */
void vhostpci_flow_destroy(struct vhostpci_flow_table *table,
			   struct rte_flow *flow);
void vhostpci_flow_flush(struct vhostpci_flow_table *table);
void vhostpci_flow_query(struct rte_flow *flow,
			 struct rte_flow_query_count *count);
/* Whether packets are to be looked at for marks alone. */
void vhostpci_flow_set_marks(struct vhostpci_flow_table *table, bool on);
void vhostpci_flow_set_isolated(struct vhostpci_flow_table *table, bool on);
/* Wait for bursts, and give up what rules that died still hold: memory and
 * destinations. 0, or what quiesce said. */
int vhostpci_flow_settle(struct vhostpci_flow_table *table);

/* A rule for listings. */
struct vhostpci_flow_info {
	struct vhostpci_flow_key key, mask;
	const struct vhostpci_flow_rule *rule;
	uint64_t hits, bytes;
	uint32_t used;		/* vhostpci_flow_now() of the last hit, or of
				 * the rule's begin */
};

/* Call @each for each rule, in no order, with the lock held. */
void vhostpci_flow_each(struct vhostpci_flow_table *table,
			void (*each)(void *ctx,
				     const struct vhostpci_flow_info *info),
			void *ctx);
/* A line of text without its end: match, actions, counters and age. Returns as
 * snprintf(). */
int vhostpci_flow_format(const struct vhostpci_flow_env *env,
			 const struct vhostpci_flow_info *info, char *buf,
			 size_t size);
/* Parts of it. */
int vhostpci_flow_format_match(const struct vhostpci_flow_info *info, char *buf,
			       size_t size);
int vhostpci_flow_format_actions(const struct vhostpci_flow_env *env,
				 const struct vhostpci_flow_info *info,
				 char *buf, size_t size);
/* Since the rule was used, or made. */
uint64_t vhostpci_flow_age_ms(const struct vhostpci_flow_info *info);
/* All memory of the table that grows with rules. */
uint64_t vhostpci_flow_table_bytes(const struct vhostpci_flow_table *table);

/* A clock for ages: about 0.4 ms a tick. */
static inline uint32_t
vhostpci_flow_now(void)
{
	return rte_rdtsc() >> 20;
}

static __rte_always_inline bool
vhostpci_flow_visible(const struct vhostpci_flow_rule *rule, uint64_t version)
{
	/* Relaxed: the version, an acquire, came with all that is older. */
	return __atomic_load_n(&rule->born, __ATOMIC_RELAXED) <= version &&
		version < __atomic_load_n(&rule->died, __ATOMIC_RELAXED);
}

/* datapath, once a burst, between the queue's in_burst and its end. False: there
 * are no rules to look for, and the view is not to be used. */
static __rte_always_inline bool
vhostpci_flow_view_open(const struct vhostpci_flow_table *table,
			struct vhostpci_flow_view *view)
{
	const struct vhostpci_flow_set *set;
	uint32_t i;

	/* Pairs with the writer's releases; the order of the two counts. */
	set = __atomic_load_n(&table->set, __ATOMIC_ACQUIRE);
	if (set == NULL)
		return false;
	view->set = set;
	view->version = __atomic_load_n(&table->version, __ATOMIC_ACQUIRE);
	view->n_direct = 0;
	for (i = 0; i < set->n_direct; i++)
		if (vhostpci_flow_visible(set->direct[i].rule, view->version))
			view->direct[view->n_direct++] = set->direct[i];
	return true;
}

/* The words that vhostpci_flow_parse() is to read. */
static __rte_always_inline unsigned int
vhostpci_flow_view_need(const struct vhostpci_flow_view *view)
{
	return view->set->need;
}

/* lookup.c: go on with the subtables. */
void vhostpci_flow_lookup_hashed(const struct vhostpci_flow_view *view,
				 const struct vhostpci_flow_key keys[],
				 unsigned int n,
				 struct vhostpci_flow_rule *rules[]);

static __rte_always_inline struct vhostpci_flow_rule *
vhostpci_flow_lookup_direct(const struct vhostpci_flow_view *view, uint64_t l2)
{
	uint32_t i;

	for (i = 0; i < view->n_direct; i++)
		if ((l2 & view->direct[i].mask) == view->direct[i].value)
			return view->direct[i].rule;
	return NULL;
}

/* datapath: @rules[i] becomes the rule of @keys[i], or NULL; @n at most
 * VHOSTPCI_FLOW_BURST. A rule may be used until the burst ends. */
static __rte_always_inline void
vhostpci_flow_lookup_burst(const struct vhostpci_flow_view *view,
			   const struct vhostpci_flow_key keys[],
			   unsigned int n, struct vhostpci_flow_rule *rules[])
{
	unsigned int i;

	for (i = 0; i < n; i++)
		rules[i] = vhostpci_flow_lookup_direct(
			view, keys[i].w[VHOSTPCI_FLOW_L2]);
	if (view->set->n_hashed > 0)
		vhostpci_flow_lookup_hashed(view, keys, n, rules);
}

/* Which of a rule's counters an rx queue uses, and whether others use it as
 * well. */
struct vhostpci_flow_slot {
	uint8_t index;
	bool shared;
};

static inline struct vhostpci_flow_slot
vhostpci_flow_slot(uint16_t rx_queue, uint16_t n_rx_queues)
{
	uint8_t last = VHOSTPCI_FLOW_SLOTS - 1;

	return (struct vhostpci_flow_slot) {
		.index = RTE_MIN(rx_queue, last),
		.shared = rx_queue >= last && n_rx_queues > last + 1,
	};
}

/* datapath: the rule has been used. */
static __rte_always_inline void
vhostpci_flow_count(struct vhostpci_flow_rule *rule,
		    struct vhostpci_flow_slot slot, uint64_t hits,
		    uint64_t bytes, uint32_t now)
{
	uint64_t *h = &rule->hits[slot.index], *b = &rule->bytes[slot.index];

	/* Relaxed: counters, which order nothing. */
	if (unlikely(slot.shared)) {
		__atomic_fetch_add(h, hits, __ATOMIC_RELAXED);
		__atomic_fetch_add(b, bytes, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(h, *h + hits, __ATOMIC_RELAXED);
		__atomic_store_n(b, *b + bytes, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&rule->used[slot.index], now, __ATOMIC_RELAXED);
}

#endif
