/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The rules of a port.
 *
 * Bursts read without a lock. A burst opens a view once, and until its end it sees
 * the rules of that one moment, whatever is created or destroyed meanwhile. This
 * keeps the packets of a flow in order: a packet without a rule goes up, and no
 * later packet of the same burst may overtake it by a rule that came in between.
 *
 * The table has a version. A burst with version v sees a rule if born <= v < died.
 * To add a rule, a writer links the rule, then stores the next version; to remove
 * a rule, it sets died to the next version, then stores that version. The view
 * holds the version that it found. A dead rule stays linked until all bursts that
 * might see it have ended (quiesce). It stays allocated until all bursts that
 * might still stand on it have ended (the next quiesce). Both happen for many
 * rules at a time.
 *
 * A view looks through the set. The set has some rules that match the L2 word
 * only, which a lookup compares one by one, and the subtables: a hash table for
 * each mask. A view loads the set before the version. A writer stores additions to
 * a set before the version, and removals after the version.
 */

#ifndef VHOSTPCI_FLOW_TABLE_H
#define VHOSTPCI_FLOW_TABLE_H

#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>

#include <rte_cycles.h>

#include "flow/rule.h"
#include "flow/slab.h"

/* At most this many rules of the L2 word are compared one by one. */
#define VHOSTPCI_FLOW_DIRECT	8
/* Most masks of a table: each mask costs every packet a lookup. */
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

/* A flow, as rte_flow calls it. Queries need no lock; all else, the table's. */
struct rte_flow {
	struct vhostpci_flow_rule *rule;
	uint64_t hits, bytes;	/* the rule's, when this flow's were 0 */
	TAILQ_ENTRY(rte_flow) entry;
};

struct vhostpci_flow_table {
	/* control: w under lock; datapath: r */
	struct vhostpci_flow_set *set;	/* NULL: no rules to look for */
	uint64_t version;
	bool isolated;		/* bursts drop packets that match no rule */

	/* Writers only, under lock. */
	pthread_mutex_t lock __rte_cache_aligned;
	struct vhostpci_flow_env env;
	int socket;
	uint64_t secret[VHOSTPCI_FLOW_WORDS];	/* constant: of hashes */
	TAILQ_HEAD(vhostpci_flow_list, rte_flow) flows;
	uint32_t n_flows, n_rules;
	/* Live rules that do nothing but mark. With no_marks set, bursts do not
	 * look at packets if the table has only such rules. */
	uint32_t n_bare;
	bool no_marks, was_isolated;
	uint16_t n_subtables;
	struct vhostpci_flow_subtable *subtables[VHOSTPCI_FLOW_MASKS];
	/* Rules of the L2 word, the best first, unless they are too many. */
	uint32_t n_l2;
	bool l2_hashed;
	struct vhostpci_flow_rule *l2[VHOSTPCI_FLOW_DIRECT];

	bool stale;		/* the set still names dead rules */
	uint64_t n_quiesced;
	uint32_t n_waiting;	/* in the lists below */
	struct vhostpci_flow_rule *dying;	/* died, still linked */
	struct vhostpci_flow_rule *limbo;	/* unlinked */
	struct vhostpci_flow_set *limbo_sets;
	void *limbo_memory;	/* of rte_malloc; begins with the next pointer */
	struct vhostpci_flow_slab rules, handles, sets;
};

/* The view of a burst, on its stack. */
struct vhostpci_flow_view {
	const struct vhostpci_flow_set *set;
	uint64_t version;
	uint32_t n_direct;	/* visible ones */
	struct vhostpci_flow_direct direct[VHOSTPCI_FLOW_DIRECT];
};

/* control: copies @env. NULL: no memory. */
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
/* Bursts that begin later do not use the rule; a running burst may. */
void vhostpci_flow_destroy(struct vhostpci_flow_table *table,
			   struct rte_flow *flow);
void vhostpci_flow_flush(struct vhostpci_flow_table *table);
void vhostpci_flow_query(struct rte_flow *flow,
			 struct rte_flow_query_count *count);
/* Set whether bursts look at packets only to mark them. */
void vhostpci_flow_set_marks(struct vhostpci_flow_table *table, bool on);
void vhostpci_flow_set_isolated(struct vhostpci_flow_table *table, bool on);
/* Wait for bursts, and free what dead rules still hold: memory and destinations.
 * Returns 0, or the error of env.quiesce(). */
int vhostpci_flow_settle(struct vhostpci_flow_table *table);

/* A rule for listings. */
struct vhostpci_flow_info {
	struct vhostpci_flow_key key, mask;
	const struct vhostpci_flow_rule *rule;
	uint64_t hits, bytes;
	uint32_t used;		/* vhostpci_flow_now() of the last hit, or of
				 * the rule's creation */
};

/* Call @each for each rule, in no order, with the lock held. */
void vhostpci_flow_each(struct vhostpci_flow_table *table,
			void (*each)(void *ctx,
				     const struct vhostpci_flow_info *info),
			void *ctx);
/* Write a line of text, without a line end: match, actions, counters and age.
 * Returns the same as snprintf(). */
int vhostpci_flow_format(const struct vhostpci_flow_env *env,
			 const struct vhostpci_flow_info *info, char *buf,
			 size_t size);
/* Write parts of that line. */
int vhostpci_flow_format_match(const struct vhostpci_flow_info *info, char *buf,
			       size_t size);
int vhostpci_flow_format_actions(const struct vhostpci_flow_env *env,
				 const struct vhostpci_flow_info *info,
				 char *buf, size_t size);
/* Time since the last hit, or since the rule was made. */
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
	/* Relaxed: the acquire of the version made all older stores visible. */
	return __atomic_load_n(&rule->born, __ATOMIC_RELAXED) <= version &&
		version < __atomic_load_n(&rule->died, __ATOMIC_RELAXED);
}

/* datapath: call this once a burst, after vhostpci_queue_enter(). Returns false if
 * the table has no rules for bursts; the caller must not use the view then. */
static __rte_always_inline bool
vhostpci_flow_view_open(const struct vhostpci_flow_table *table,
			struct vhostpci_flow_view *view)
{
	const struct vhostpci_flow_set *set;
	uint32_t i;

	/* These acquires pair with the writer's releases; the set comes first. */
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

/* The words that vhostpci_flow_parse() must read. */
static __rte_always_inline unsigned int
vhostpci_flow_view_need(const struct vhostpci_flow_view *view)
{
	return view->set->need;
}

/* lookup.c: continue the lookup in the subtables. */
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

/* datapath: set @rules[i] to the rule of @keys[i], or to NULL; @n is at most
 * VHOSTPCI_FLOW_BURST. The caller may use a rule until its burst ends. */
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

/* Which of a rule's counters an rx queue uses, and whether other queues use the
 * same counter. */
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

/* datapath: count @hits and @bytes for @rule. */
static __rte_always_inline void
vhostpci_flow_count(struct vhostpci_flow_rule *rule,
		    struct vhostpci_flow_slot slot, uint64_t hits,
		    uint64_t bytes, uint32_t now)
{
	uint64_t *h = &rule->hits[slot.index], *b = &rule->bytes[slot.index];

	/* Relaxed: counters order nothing. */
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
