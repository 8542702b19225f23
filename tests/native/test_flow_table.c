/* SPDX-License-Identifier: Apache-2.0 */

/* The table of flow rules: which rule a burst finds, and when. One file: one
 * table, and what is found in it. */

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flowkit.h"

#define MANY	200000u

static struct fk_env fk;
static struct vhostpci_flow_table *table;

static int
setup(void **state)
{
	fk_env_init(&fk);
	table = vhostpci_flow_table_new(&fk.env, SOCKET_ID_ANY);
	return table == NULL;
}

static int
teardown(void **state)
{
	unsigned int i;

	vhostpci_flow_table_free(table);
	/* Each destination has been given back. */
	for (i = 0; i < FK_PORTS; i++)
		if (fk.refs[i] != 0)
			return 1;
	return 0;
}

/* A rule of IPv4 and UDP; what is 0 matches anything. */
struct want {
	uint32_t src, src_mask;
	uint16_t sport, dport;
	uint16_t out;		/* 0: drop */
	uint32_t priority;
	bool l2;		/* only the ethertype and no tag */
};

static struct rte_flow *
create(const struct want *w)
{
	const struct rte_flow_attr attr = {
		.transfer = 1, .priority = w->priority
	};
	struct rte_flow_item_eth es = { .type = RTE_BE16(0x0800) };
	struct rte_flow_item_eth em = { .type = 0xffff, .has_vlan = 1 };
	struct rte_flow_item_ipv4 is = {
		.hdr.src_addr = rte_cpu_to_be_32(w->src)
	};
	struct rte_flow_item_ipv4 im = {
		.hdr.src_addr = rte_cpu_to_be_32(w->src_mask)
	};
	struct rte_flow_item_udp us = { .hdr = {
		.src_port = rte_cpu_to_be_16(w->sport),
		.dst_port = rte_cpu_to_be_16(w->dport),
	} };
	struct rte_flow_item_udp um = { .hdr = {
		.src_port = w->sport != 0 ? 0xffff : 0,
		.dst_port = w->dport != 0 ? 0xffff : 0,
	} };
	struct rte_flow_item items[] = {
		{ RTE_FLOW_ITEM_TYPE_ETH, &es, NULL, &em },
		{ RTE_FLOW_ITEM_TYPE_IPV4, &is, NULL, &im },
		{ RTE_FLOW_ITEM_TYPE_UDP, &us, NULL, &um },
		{ RTE_FLOW_ITEM_TYPE_END, NULL, NULL, NULL },
	};
	struct rte_flow_action_port_id id = { .id = w->out };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_COUNT, NULL },
		{ w->out != 0 ? RTE_FLOW_ACTION_TYPE_PORT_ID :
		  RTE_FLOW_ACTION_TYPE_DROP, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error;

	if (w->l2)
		items[1].type = RTE_FLOW_ITEM_TYPE_END;
	return vhostpci_flow_create(table, &attr, items, actions, &error);
}

static struct rte_flow *
must_create(struct want w)
{
	struct rte_flow *flow = create(&w);

	assert_non_null(flow);
	return flow;
}

/* The key of a UDP packet. */
static struct vhostpci_flow_key
packet(uint32_t src, uint16_t sport, uint16_t dport)
{
	struct vhostpci_flow_key key;
	struct vhostpci_flow_meta meta;
	static struct fk_frame f;

	if (f.len == 0)
		fk_make(&f, false, -1, IPPROTO_UDP, 8);
	fk_put16(f.data + f.l3 + 12, src >> 16);
	fk_put16(f.data + f.l3 + 14, src);
	fk_put16(f.data + f.l4, sport);
	fk_put16(f.data + f.l4 + 2, dport);
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	return key;
}

static struct vhostpci_flow_rule *
find_in(const struct vhostpci_flow_view *view, uint32_t src, uint16_t sport,
	uint16_t dport)
{
	struct vhostpci_flow_key key = packet(src, sport, dport);
	struct vhostpci_flow_rule *rule;

	vhostpci_flow_lookup_burst(view, &key, 1, &rule);
	return rule;
}

static struct vhostpci_flow_rule *
find(uint32_t src, uint16_t sport, uint16_t dport)
{
	struct vhostpci_flow_view view;

	if (!vhostpci_flow_view_open(table, &view))
		return NULL;
	return find_in(&view, src, sport, dport);
}

static void
finds_by_each_tier(void **state)
{
	struct rte_flow *l2, *exact;

	assert_null(find(1, 1, 1));
	l2 = must_create((struct want) { .l2 = true, .out = 2, .priority = 1 });
	assert_ptr_equal(find(1, 1, 1), l2->rule);
	assert_ptr_equal(vhostpci_flow_dest(l2->rule), fk_dest(&fk, 2));
	/* Compared, not hashed. */
	assert_int_equal(table->set->n_hashed, 0);
	assert_int_equal(table->set->need, VHOSTPCI_FLOW_NEED_L2);
	exact = must_create((struct want) { .src = 9, .src_mask = UINT32_MAX,
					    .sport = 5, .dport = 6 });
	assert_ptr_equal(find(9, 5, 6), exact->rule);
	assert_ptr_equal(find(9, 5, 7), l2->rule);
	vhostpci_flow_destroy(table, exact);
	assert_ptr_equal(find(9, 5, 6), l2->rule);
	vhostpci_flow_destroy(table, l2);
	assert_null(find(9, 5, 6));
}

static void
key_of_a_miss_matches_no_rule(void **state)
{
	struct vhostpci_flow_key key;
	struct vhostpci_flow_meta meta;
	struct vhostpci_flow_rule *rule;
	struct vhostpci_flow_view view;
	const struct rte_flow_attr attr = { .transfer = 1 };
	const struct rte_flow_item any[] = { { RTE_FLOW_ITEM_TYPE_END } };
	const struct rte_flow_action drop[] = {
		{ RTE_FLOW_ACTION_TYPE_DROP, NULL },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct fk_frame f;

	assert_non_null(vhostpci_flow_create(table, &attr, any, drop, NULL));
	assert_non_null(find(1, 1, 1));
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	f.len = 30;
	assert_int_not_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			     VHOSTPCI_FLOW_HIT);
	assert_true(vhostpci_flow_view_open(table, &view));
	vhostpci_flow_lookup_burst(&view, &key, 1, &rule);
	assert_null(rule);
}

/* As Open vSwitch's copies of a flow, one for each of its threads. */
static void
same_rules_share_one_and_count_apart(void **state)
{
	struct want w = { .src = 9, .src_mask = UINT32_MAX, .out = 3 };
	struct rte_flow *a = must_create(w), *b;
	struct vhostpci_flow_slot slot = vhostpci_flow_slot(0, 1);
	struct rte_flow_query_count count = { .reset = 1 };

	vhostpci_flow_count(a->rule, slot, 10, 1000, 1);
	b = must_create(w);
	assert_ptr_equal(a->rule, b->rule);
	assert_int_equal(fk.refs[3], 1);
	vhostpci_flow_count(a->rule, slot, 1, 60, 1);
	vhostpci_flow_query(b, &count);
	assert_true(count.hits_set && count.bytes_set);
	assert_int_equal(count.hits, 1);
	assert_int_equal(count.bytes, 60);
	vhostpci_flow_query(b, &count);
	assert_int_equal(count.hits, 0);
	count.reset = 0;
	vhostpci_flow_query(a, &count);
	vhostpci_flow_query(a, &count);
	assert_int_equal(count.hits, 11);
	assert_int_equal(count.bytes, 1060);
	/* Another destination, priority or match: another rule. */
	w.out = 4;
	assert_ptr_not_equal(must_create(w)->rule, a->rule);
	w.out = 3;
	w.priority = 1;
	assert_ptr_not_equal(must_create(w)->rule, a->rule);
	vhostpci_flow_destroy(table, a);
	assert_ptr_equal(find(9, 1, 1), b->rule);
	vhostpci_flow_destroy(table, b);
}

static void
each_queue_counts_in_its_slot(void **state)
{
	struct rte_flow *flow = must_create((struct want) { .l2 = true });
	struct rte_flow_query_count count = { 0 };
	unsigned int q;

	assert_false(vhostpci_flow_slot(2, 3).shared);
	assert_false(vhostpci_flow_slot(1, 64).shared);
	assert_true(vhostpci_flow_slot(2, 4).shared);
	assert_true(vhostpci_flow_slot(63, 64).shared);
	for (q = 0; q < 8; q++)
		vhostpci_flow_count(flow->rule, vhostpci_flow_slot(q, 8), 1 + q,
				    100, 1);
	vhostpci_flow_query(flow, &count);
	assert_int_equal(count.hits, 36);
	assert_int_equal(count.bytes, 800);
}

static void
a_view_sees_one_moment(void **state)
{
	struct want w = { .src = 9, .src_mask = UINT32_MAX, .out = 2 };
	struct rte_flow *old = must_create(w), *new, *l2;
	struct vhostpci_flow_view before, between, after;
	struct vhostpci_flow_rule *rule = old->rule;

	l2 = must_create((struct want) { .l2 = true, .priority = 9 });
	assert_true(vhostpci_flow_view_open(table, &before));
	vhostpci_flow_destroy(table, old);
	vhostpci_flow_destroy(table, l2);
	assert_false(vhostpci_flow_view_open(table, &between));
	w.out = 3;
	new = must_create(w);
	assert_true(vhostpci_flow_view_open(table, &after));
	assert_ptr_equal(find_in(&before, 9, 1, 1), rule);
	assert_int_equal(vhostpci_flow_kind(find_in(&before, 8, 1, 1)),
			 VHOSTPCI_FLOW_DROP);
	assert_ptr_equal(find_in(&after, 9, 1, 1), new->rule);
	assert_null(find_in(&after, 8, 1, 1));
	/* The old one's destination is held as long as that is so. */
	assert_int_equal(fk.refs[2], 1);
	assert_int_equal(vhostpci_flow_settle(table), 0);
	assert_int_equal(fk.refs[2], 0);
	assert_ptr_equal(find(9, 1, 1), new->rule);
}

static void
a_view_survives_a_table_that_grows(void **state)
{
	struct vhostpci_flow_view view;
	struct want w = { .src = 1, .src_mask = UINT32_MAX, .out = 2 };
	struct vhostpci_flow_rule *rule = must_create(w)->rule;

	assert_true(vhostpci_flow_view_open(table, &view));
	for (w.src = 2; w.src < 3000; w.src++)
		must_create(w);
	assert_ptr_equal(find_in(&view, 1, 1, 1), rule);
	assert_null(find_in(&view, 2, 1, 1));
	assert_null(find_in(&view, 2999, 1, 1));
	assert_non_null(find(2999, 1, 1));
}

/* Memory of rules that died is used again only once bursts have ended. */
static void
gives_nothing_back_while_a_burst_is_stuck(void **state)
{
	struct want w = { .src = 9, .src_mask = UINT32_MAX, .out = 2 };
	struct vhostpci_flow_view view;
	struct vhostpci_flow_rule *rule;
	unsigned int i;

	rule = must_create(w)->rule;
	assert_true(vhostpci_flow_view_open(table, &view));
	vhostpci_flow_flush(table);
	fk.stuck = -ETIMEDOUT;
	assert_int_equal(vhostpci_flow_settle(table), -ETIMEDOUT);
	for (i = 0; i < 1000; i++) {
		w.src = 10 + i;
		w.out = 3;
		vhostpci_flow_destroy(table, must_create(w));
		assert_ptr_equal(find_in(&view, 9, 1, 1), rule);
	}
	assert_int_equal(fk.refs[2], 1);
	assert_int_equal(fk.refs[3], 1000);
	fk.stuck = 0;
	assert_int_equal(vhostpci_flow_settle(table), 0);
	assert_int_equal(fk.refs[2], 0);
	assert_int_equal(fk.refs[3], 0);
	assert_int_equal(table->n_subtables, 0);
}

/* A burst is waited for once for many changes, and rules that died do not make
 * the table grow. */
static void
many_changes_share_a_wait(void **state)
{
	struct want w = { .src = 9, .src_mask = UINT32_MAX, .out = 2 };
	uint64_t bytes = 0;
	unsigned int i;

	must_create((struct want) { .src_mask = UINT32_MAX });
	for (i = 0; i < 10000; i++) {
		vhostpci_flow_destroy(table, must_create(w));
		if (i == 1000)
			bytes = vhostpci_flow_table_bytes(table);
	}
	assert_in_range(fk.waits, 10, 10000 / 32);
	assert_int_equal(vhostpci_flow_table_bytes(table), bytes);
	assert_in_range(fk.refs[2], 0, 200);
}

static void
lowest_number_then_oldest_wins(void **state)
{
	struct want w = { .src = 9, .src_mask = UINT32_MAX, .priority = 5 };
	struct want wide = { .src = 0, .src_mask = 0xffff0000, .priority = 5 };
	struct want l2 = { .l2 = true, .priority = 5 };
	struct rte_flow *a, *b, *c, *d, *e, *f, *g;

	w.out = 2;
	a = must_create(w);
	b = must_create(wide);
	c = must_create(l2);
	w.out = 3;
	d = must_create(w);
	w.out = 4;
	w.priority = 4;
	e = must_create(w);
	wide.priority = 3;
	f = must_create(wide);
	l2.priority = 2;
	g = must_create(l2);
	assert_ptr_equal(find(9, 1, 1), g->rule);
	vhostpci_flow_destroy(table, g);
	assert_ptr_equal(find(9, 1, 1), f->rule);
	vhostpci_flow_destroy(table, f);
	assert_ptr_equal(find(9, 1, 1), e->rule);
	vhostpci_flow_destroy(table, e);
	assert_ptr_equal(find(9, 1, 1), a->rule);
	vhostpci_flow_destroy(table, a);
	assert_ptr_equal(find(9, 1, 1), b->rule);
	vhostpci_flow_destroy(table, b);
	assert_ptr_equal(find(9, 1, 1), c->rule);
	vhostpci_flow_destroy(table, c);
	assert_ptr_equal(find(9, 1, 1), d->rule);
}

/* Rules of the L2 word: compared while they are few, hashed when not. One
 * function: each step needs the one before. */
static void
l2_rules_change_their_tier(void **state)
{
	const struct rte_flow_attr attr = { .transfer = 1 };
	const struct rte_flow_action drop[] = {
		{ RTE_FLOW_ACTION_TYPE_DROP, NULL },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_item_vlan vs = { 0 }, vm = { .tci = 0xffef };
	struct rte_flow_item items[] = {
		{ RTE_FLOW_ITEM_TYPE_VLAN, &vs, NULL, &vm },
		{ RTE_FLOW_ITEM_TYPE_END, NULL, NULL, NULL },
	};
	struct rte_flow *flows[100];
	struct vhostpci_flow_key key;
	struct vhostpci_flow_meta meta;
	struct vhostpci_flow_rule *rule;
	struct vhostpci_flow_view view;
	struct fk_frame f;
	unsigned int i, round, n;

	vm.tci = RTE_BE16(0xefff);
	for (round = 0; round < 2 * RTE_DIM(flows); round++) {
		n = round < RTE_DIM(flows) ? round :
			2 * RTE_DIM(flows) - 1 - round;
		vs.tci = rte_cpu_to_be_16(n);
		if (round < RTE_DIM(flows))
			flows[n] = vhostpci_flow_create(table, &attr, items,
							drop, NULL);
		else
			vhostpci_flow_destroy(table, flows[n]);
		for (i = 0; i < RTE_DIM(flows); i++) {
			bool there = round < RTE_DIM(flows) ? i <= n : i < n;

			fk_make(&f, false, i, IPPROTO_UDP, 8);
			fk_parse(&f, FK_NEED_ALL, &key, &meta);
			rule = NULL;
			if (vhostpci_flow_view_open(table, &view))
				vhostpci_flow_lookup_burst(&view, &key, 1,
							   &rule);
			assert_ptr_equal(rule, there ? flows[i]->rule : NULL);
		}
		if (table->set != NULL && round < VHOSTPCI_FLOW_DIRECT)
			assert_int_equal(table->set->n_hashed, 0);
		if (round == 50)
			assert_int_equal(table->set->n_direct, 0);
	}
}

static void
refuses_more_masks_than_it_has_room_for(void **state)
{
	struct want w = { .src = 0, .out = 2 };
	unsigned int i, n = 0;

	for (i = 0; i < 2 * VHOSTPCI_FLOW_MASKS; i++) {
		w.src_mask = 0x10000 + i;
		n += create(&w) != NULL;
	}
	assert_int_equal(n, VHOSTPCI_FLOW_MASKS);
	assert_int_equal(fk.refs[2], n);
	/* A mask that is there has room. */
	w.src_mask = 0x10000;
	w.priority = 1;
	must_create(w);
	vhostpci_flow_flush(table);
	assert_int_equal(vhostpci_flow_settle(table), 0);
	w.src_mask = 0x10000 + i;
	must_create(w);
}

/* The rule that wins among @n live ones, by looking at all of them. */
static struct vhostpci_flow_rule *
reference(const struct want *wants, struct rte_flow *const *flows,
	  unsigned int n, uint32_t src, uint16_t sport, uint16_t dport)
{
	struct vhostpci_flow_rule *best = NULL, *rule;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct want *w = &wants[i];

		if (flows[i] == NULL ||
		    (!w->l2 && (((src ^ w->src) & w->src_mask) != 0 ||
				(w->sport != 0 && w->sport != sport) ||
				(w->dport != 0 && w->dport != dport))))
			continue;
		rule = flows[i]->rule;
		if (best == NULL || rule->priority < best->priority ||
		    (rule->priority == best->priority &&
		     rule->born < best->born))
			best = rule;
	}
	return best;
}

static void
random_rules_agree_with_a_list(void **state)
{
	static const uint32_t masks[] = {
		0, UINT32_MAX, 0xffffff00, 0xffff0000, 0x000000ff
	};
	static struct want wants[300];
	static struct rte_flow *flows[300];
	unsigned int round, i, p;

	memset(flows, 0, sizeof(flows));
	for (round = 0; round < 1500; round++) {
		i = fk_random(RTE_DIM(flows));
		if (flows[i] != NULL) {
			vhostpci_flow_destroy(table, flows[i]);
			flows[i] = NULL;
		} else {
			wants[i] = (struct want) {
				.src_mask = masks[fk_random(RTE_DIM(masks))],
				.src = fk_random(3) << 8 | fk_random(4),
				.sport = fk_random(4), .dport = fk_random(4),
				.out = fk_random(FK_PORTS),
				.priority = fk_random(3),
				.l2 = fk_random(40) == 0,
			};
			flows[i] = must_create(wants[i]);
		}
		for (p = 0; p < 8; p++) {
			uint32_t src = fk_random(3) << 8 | fk_random(4);
			uint16_t sport = fk_random(4), dport = fk_random(4);

			assert_ptr_equal(find(src, sport, dport),
					 reference(wants, flows,
						   RTE_DIM(flows), src, sport,
						   dport));
		}
	}
}

static void
two_hundred_thousand_rules_fit(void **state)
{
	struct want w = { .src_mask = UINT32_MAX, .sport = 1, .dport = 2,
			  .out = 2 };
	uint64_t bytes;
	uint32_t i;

	for (w.src = 1; w.src <= MANY; w.src++)
		must_create(w);
	bytes = vhostpci_flow_table_bytes(table);
	/* 256 of the rule, 48 of the handle, 16 at most of the buckets. */
	assert_in_range(bytes / MANY, 1, 320);
	for (i = 1; i <= MANY; i += 997)
		assert_non_null(find(i, 1, 2));
	assert_null(find(MANY + 1, 1, 2));
	vhostpci_flow_flush(table);
	assert_null(find(1, 1, 2));
}

static void
count_rule(void *ctx, const struct vhostpci_flow_info *info)
{
	char text[512], tiny[8];
	int n = vhostpci_flow_format(&fk.env, info, text, sizeof(text));

	assert_in_range(n, 1, sizeof(text) - 1);
	/* Cut where the room ends. */
	assert_int_equal(vhostpci_flow_format(&fk.env, info, tiny,
					      sizeof(tiny)), n);
	assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
	if (strstr(text, "src=10.0.0.9,proto=17,sport=5 actions=output:3 "
		   "packets=7 bytes=420 used=") != NULL)
		++*(unsigned int *)ctx;
	if (strstr(text, "type=0x0800,tag=no actions=drop packets=0") != NULL)
		*(unsigned int *)ctx += 10;
}

static void
lists_each_rule_once(void **state)
{
	struct want w = { .src = 0x0a000009, .src_mask = UINT32_MAX,
			  .sport = 5, .out = 3 };
	struct rte_flow *flow = must_create(w);
	unsigned int found = 0;

	must_create(w);
	must_create((struct want) { .l2 = true });
	vhostpci_flow_destroy(table, must_create(
		(struct want) { .l2 = true, .out = 3 }));
	vhostpci_flow_count(flow->rule, vhostpci_flow_slot(1, 2), 7, 420,
			    vhostpci_flow_now());
	vhostpci_flow_each(table, count_rule, &found);
	assert_int_equal(found, 11);
}

/* A reader beside a writer: each view finds the rule that never changes, and of
 * the two that take turns the one or the other or none, but always the same
 * while the view lasts. Under a sanitizer, also that nothing is used that was
 * given back. */
static bool stop;
static uint32_t in_burst;

static void
wait_for_reader(void)
{
	/* As the port does, with a full barrier in place of membarrier. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while (__atomic_load_n(&in_burst, __ATOMIC_ACQUIRE) != 0)
		sched_yield();
}

static void *
reader(void *arg)
{
	struct vhostpci_flow_key keys[2] = { packet(1, 1, 1), packet(2, 1, 1) };
	struct vhostpci_flow_rule *a[2], *b[2];
	struct vhostpci_flow_view view;
	uintptr_t wrong = 0;
	uint64_t n = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(&in_burst, 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (vhostpci_flow_view_open(table, &view)) {
			vhostpci_flow_lookup_burst(&view, keys, 2, a);
			if (n++ % 64 == 0)
				sched_yield();
			vhostpci_flow_lookup_burst(&view, keys, 2, b);
			wrong += a[0] == NULL || a[0] != b[0] || a[1] != b[1];
			if (a[1] != NULL)
				/* As no other kind's way is a pointer. */
				wrong += vhostpci_flow_dest(a[1]) !=
						fk_dest(&fk, 3) &&
					vhostpci_flow_dest(a[1]) !=
						fk_dest(&fk, 4) &&
					vhostpci_flow_dest(a[1]) !=
						fk_dest(&fk, 5);
		} else {
			wrong++;
		}
		__atomic_store_n(&in_burst, 0, __ATOMIC_RELEASE);
	}
	return (void *)wrong;
}

static void
a_reader_beside_a_writer_sees_whole_versions(void **state)
{
	struct want w = { .src = 2, .src_mask = UINT32_MAX };
	struct want more = { .src_mask = UINT32_MAX, .out = 5 };
	struct rte_flow *other[64] = { NULL };
	pthread_t thread;
	void *wrong;
	uint32_t i, j;

	fk.on_wait = wait_for_reader;
	must_create((struct want) { .src = 1, .src_mask = UINT32_MAX,
				    .out = 2 });
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
	for (i = 0; i < 3000; i++) {
		w.out = 3 + i % 2;
		vhostpci_flow_destroy(table, must_create(w));
		j = fk_random(RTE_DIM(other));
		if (other[j] != NULL) {
			vhostpci_flow_destroy(table, other[j]);
			other[j] = NULL;
		} else {
			more.src = 3 + j;
			more.l2 = j == 0;
			more.priority = 1;
			/* Now and then enough for more buckets. */
			other[j] = must_create(more);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &wrong);
	fk.on_wait = NULL;
	assert_ptr_equal(wrong, NULL);
}

int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(finds_by_each_tier),
		TEST(key_of_a_miss_matches_no_rule),
		TEST(same_rules_share_one_and_count_apart),
		TEST(each_queue_counts_in_its_slot),
		TEST(a_view_sees_one_moment),
		TEST(a_view_survives_a_table_that_grows),
		TEST(gives_nothing_back_while_a_burst_is_stuck),
		TEST(many_changes_share_a_wait),
		TEST(lowest_number_then_oldest_wins),
		TEST(l2_rules_change_their_tier),
		TEST(refuses_more_masks_than_it_has_room_for),
		TEST(random_rules_agree_with_a_list),
		TEST(lists_each_rule_once),
		TEST(a_reader_beside_a_writer_sees_whole_versions),
		TEST(two_hundred_thousand_rules_fit),
	};

	fk_init(argv[0], 128);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
