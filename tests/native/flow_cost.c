/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures steering without rings: cycles of the time stamp counter for parsing
 * and looking up a packet, and for create, destroy and query of a rule among
 * 10,000. Not a test: the program prints the best of many rounds.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flowkit.h"

#define BURST	32
#define ROUNDS	400

static struct fk_env fk;
static struct vhostpci_flow_table *table;
static uint8_t heads[4096][VHOSTPCI_FLOW_HEAD] __rte_cache_aligned;

/* IPv4 and UDP from source @src; @l2: any IPv4 that is no fragment. @ip: only
 * the addresses of a prefix of 24 bits. */
static struct rte_flow *
create(uint32_t src, bool l2, bool ip)
{
	const struct rte_flow_attr attr = { .transfer = 1 };
	struct rte_flow_item_eth es = { .type = RTE_BE16(0x0800) };
	struct rte_flow_item_eth em = { .type = 0xffff, .has_vlan = 1 };
	struct rte_flow_item_ipv4 is = { .hdr = {
		.src_addr = rte_cpu_to_be_32(src),
		.dst_addr = RTE_BE32(0x0a000002), .next_proto_id = 17,
	} };
	struct rte_flow_item_ipv4 im = { .hdr = {
		.src_addr = l2 ? 0 : ip ? RTE_BE32(0xffffff00) : UINT32_MAX,
		.dst_addr = l2 || ip ? 0 : UINT32_MAX,
		.next_proto_id = l2 || ip ? 0 : 0xff,
		.fragment_offset = RTE_BE16(0x3fff),
	} };
	struct rte_flow_item_udp us = { .hdr = {
		.src_port = RTE_BE16(1234), .dst_port = RTE_BE16(5678),
	} };
	struct rte_flow_item items[] = {
		{ RTE_FLOW_ITEM_TYPE_ETH, &es, NULL, &em },
		{ RTE_FLOW_ITEM_TYPE_IPV4, &is, NULL, &im },
		{ RTE_FLOW_ITEM_TYPE_UDP, &us, NULL, NULL },
		{ RTE_FLOW_ITEM_TYPE_END, NULL, NULL, NULL },
	};
	struct rte_flow_action_port_id id = { .id = 2 };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_COUNT, NULL },
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error;
	struct rte_flow *flow;

	if (l2 || ip)
		items[2].type = RTE_FLOW_ITEM_TYPE_END;
	flow = vhostpci_flow_create(table, &attr, items, actions, &error);
	if (flow == NULL)
		abort();
	return flow;
}

/* The best round's cycles for each packet of @n flows. */
static double
lookups(uint32_t n, bool must_hit)
{
	struct vhostpci_flow_key keys[BURST];
	struct vhostpci_flow_meta meta[BURST];
	struct vhostpci_flow_rule *rules[BURST];
	struct vhostpci_flow_view view;
	uint64_t best = UINT64_MAX, from, hits = 0;
	uint32_t round, i, b, at = 0;

	for (round = 0; round < ROUNDS; round++) {
		from = rte_rdtsc();
		for (b = 0; b < 32; b++) {
			if (!vhostpci_flow_view_open(table, &view))
				abort();
			for (i = 0; i < BURST; i++) {
				vhostpci_flow_parse(
					heads[at], 60, 60,
					vhostpci_flow_view_need(&view),
					&keys[i], &meta[i]);
				at = at + 1 < n ? at + 1 : 0;
			}
			vhostpci_flow_lookup_burst(&view, keys, BURST, rules);
			for (i = 0; i < BURST; i++)
				hits += rules[i] != NULL;
		}
		best = RTE_MIN(best, rte_rdtsc() - from);
	}
	if (must_hit && hits != (uint64_t)ROUNDS * 32 * BURST)
		abort();
	return (double)best / (32 * BURST);
}

static void
control(void)
{
	static struct rte_flow *flows[10000];
	struct rte_flow_query_count count = { .reset = 1 };
	uint64_t from, made = UINT64_MAX, asked = UINT64_MAX;
	double us = rte_get_tsc_hz() / 1e6;
	uint32_t i, round;

	for (i = 0; i < RTE_DIM(flows); i++)
		flows[i] = create(0x0b000000 + i, false, false);
	for (round = 0; round < 20; round++) {
		from = rte_rdtsc();
		for (i = 0; i < 1000; i++)
			vhostpci_flow_destroy(table, create(
				0x0c000000 + i, false, false));
		made = RTE_MIN(made, rte_rdtsc() - from);
		from = rte_rdtsc();
		for (i = 0; i < 10000; i++)
			vhostpci_flow_query(flows[i * 7919u % 10000], &count);
		asked = RTE_MIN(asked, rte_rdtsc() - from);
	}
	printf("create and destroy, 10,000 rules: %.3f us\n", made / us / 1000);
	printf("query, 10,000 rules: %.1f ns\n", asked / us / 10);
}

int
main(int argc, char **argv)
{
	struct fk_frame f;
	uint32_t i;

	fk_init(argv[0], 128);
	fk_env_init(&fk);
	table = vhostpci_flow_table_new(&fk.env, SOCKET_ID_ANY);
	if (table == NULL)
		return 1;
	for (i = 0; i < RTE_DIM(heads); i++) {
		fk_make(&f, false, -1, IPPROTO_UDP, 18);
		fk_put16(f.data + f.l3 + 12, 0x0a00);
		fk_put16(f.data + f.l3 + 14, i);
		fk_put16(f.data + f.l4, 1234);
		fk_put16(f.data + f.l4 + 2, 5678);
		memcpy(heads[i], f.data, 60);
	}
	create(0, true, false);
	printf("one rule of the L2 word: %.1f cycles\n", lookups(1, true));
	vhostpci_flow_flush(table);
	for (i = 0; i < 4000; i++) {
		create(0x0a000000 + i, false, false);
		if (i == 0 || i == 999 || i == 3999)
			printf("%u rules of five fields: %.1f cycles\n", i + 1,
			       lookups(i + 1, true));
	}
	create(0x0b000000, false, true);
	printf("and a second mask: %.1f cycles\n", lookups(4000, true));
	vhostpci_flow_flush(table);
	control();
	vhostpci_flow_table_free(table);
	return 0;
}
