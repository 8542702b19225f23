/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Gives random frames, most of them odd, to guest-pmd/flow/ and to Open
 * vSwitch. Unless guest-pmd/flow/ gives up, both must find the same fields to
 * match, and edits must make the same bytes.
 *
 * flow_ovs [FRAMES]
 */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_ovs.h"
#include "flowkit.h"

#define MAX_EDITS	5

static struct fk_env fk;
static struct vhostpci_flow_table *table;
static unsigned long n_hits, n_edited, n_refused;

static void
fail(const struct fk_frame *f, const char *what)
{
	uint32_t i;

	fprintf(stderr, "differ: %s\n", what);
	for (i = 0; i < f->len; i++)
		fprintf(stderr, "%02x%s", f->data[i],
			i % 16 == 15 ? "\n" : " ");
	fprintf(stderr, "\n");
	exit(1);
}

static void
insert_ext(struct fk_frame *f)
{
	static const uint8_t types[] = { 0, 43, 44, 44, 51, 60 };
	uint8_t *ip = f->data + f->l3, type = types[fk_random(6)];
	uint32_t len = type == 44 ? 8 : 8 * (1 + fk_random(3));

	memmove(f->data + f->l4 + len, f->data + f->l4, f->len - f->l4);
	memset(f->data + f->l4, 0, len);
	f->data[f->l4] = ip[6];
	f->data[f->l4 + 1] = type == 51 ? len / 4 - 2 :
		type == 44 ? 0 : len / 8 - 1;
	if (type == 44)
		fk_put16(f->data + f->l4 + 2, fk_random(3) == 0 ? 0 :
			 fk_random(2) == 0 ? 1 : fk_random(0x10000));
	ip[6] = type;
	fk_put16(ip + 4, fk_get16(ip + 4) + len);
	f->len += len;
}

/* A frame that is wrong in up to three places, or in none. */
static void
make(struct fk_frame *f)
{
	static const uint8_t protos[] = { 6, 6, 17, 17, 1, 58, 132, 2, 47 };
	static const uint16_t types[] = {
		0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x8847, 0x05ff, 0x0600
	};
	bool ip6 = fk_random(2);
	uint32_t n = fk_random(4), at;

	fk_make(f, ip6, fk_random(3) == 0 ? (int)fk_random(0x10000) : -1,
		protos[fk_random(9)], fk_random(40));
	while (ip6 && fk_random(3) == 0 && f->len < 300)
		insert_ext(f);
	if (fk_random(8) == 0 && !ip6)
		fk_put16(f->data + f->l3 + 6, fk_random(0x10000));
	/* UDP without a checksum; and numbers that are nearly 0. */
	if (fk_random(8) == 0)
		fk_put16(f->data + f->l4 + 6, fk_random(2) ? 0 : 0xffff);
	for (; n > 0 && fk_random(2); n--) {
		at = fk_random(3) == 0 ? f->l4 + fk_random(20) :
			f->l3 + fk_random(f->l4 - f->l3);
		f->data[at] = fk_random(4) == 0 ? 0xff : fk_random(256);
	}
	if (fk_random(16) == 0)
		fk_put16(f->data + f->l3 - 2, types[fk_random(8)]);
	if (fk_random(16) == 0)
		f->len = fk_random(f->len + 1);
	else if (fk_random(4) == 0)
		f->len += fk_random(30);
}

static uint64_t
l2_of(const struct flow_ovs_fields *o)
{
	return vhostpci_flow_l2(
		o->type, o->tci & RTE_BE16(0xefff), o->tpid,
		(o->frag_any ? VHOSTPCI_FLOW_FRAG : 0) |
		(o->frag_later ? VHOSTPCI_FLOW_LATER : 0),
		o->tci != 0 ? VHOSTPCI_FLOW_TAGGED : 0);
}

static uint64_t
l4_of(const struct flow_ovs_fields *o)
{
	const uint16_t ports[2] = { o->sport, o->dport };

	/* Open vSwitch has IGMP's type there as well, and for neighbour
	 * discovery an option in the place of TCP's flags. */
	return vhostpci_flow_l4(
		o->proto == IPPROTO_IGMP ? 0 :
		vhostpci_flow_get32((const uint8_t *)ports),
		o->proto == IPPROTO_TCP ? o->tcp_flags : 0, o->proto, o->tos);
}

static bool
compare(const struct fk_frame *f, struct vhostpci_flow_meta *meta)
{
	struct vhostpci_flow_key key, l2;
	struct vhostpci_flow_meta l2_meta;
	struct flow_ovs_fields o;
	bool ip, hit, control;

	flow_ovs_extract(f->data, f->len, 1 + fk_random(2), &o);
	hit = fk_parse(f, VHOSTPCI_FLOW_NEED_L2, &l2, &l2_meta) ==
		VHOSTPCI_FLOW_HIT;
	control = o.proto == IPPROTO_TCP && (o.tcp_flags & RTE_BE16(7)) != 0;
	if (hit && l2.w[0] != l2_of(&o))
		fail(f, "L2, asked for nothing else");
	if (hit && control != !!(l2_meta.flags & VHOSTPCI_FLOW_CONTROL))
		fail(f, "TCP control, asked for L2 only");
	if (fk_parse(f, FK_NEED_ALL, &key, meta) != VHOSTPCI_FLOW_HIT)
		return false;
	n_hits++;
	ip = meta->flags & (VHOSTPCI_FLOW_IS_IP4 | VHOSTPCI_FLOW_IS_IP6);
	if (key.w[VHOSTPCI_FLOW_L2] != l2_of(&o))
		fail(f, "L2");
	if (key.w[VHOSTPCI_FLOW_DST] !=
	    vhostpci_flow_mac(o.dst, ip ? o.ttl : 0))
		fail(f, "destination and TTL");
	if (key.w[VHOSTPCI_FLOW_SRC] != vhostpci_flow_mac(o.src, 0))
		fail(f, "source");
	if (ip && key.w[VHOSTPCI_FLOW_L4] != l4_of(&o))
		fail(f, "L4");
	if (meta->flags & VHOSTPCI_FLOW_IS_IP4 &&
	    memcmp(&key.w[VHOSTPCI_FLOW_ADDR], o.ip4, 8) != 0)
		fail(f, "IPv4");
	if (meta->flags & VHOSTPCI_FLOW_IS_IP6 &&
	    (memcmp(&key.w[VHOSTPCI_FLOW_ADDR], o.ip6, 8) != 0 ||
	     memcmp(&key.w[VHOSTPCI_FLOW_SRC6], o.ip6 + 8, 24) != 0))
		fail(f, "IPv6");
	return ip;
}

/* The edits of one rule, in the forms of both sides. */
struct plan {
	struct flow_ovs_edit edits[MAX_EDITS];
	unsigned int n;
	struct rte_flow_action actions[4 * MAX_EDITS + 2];
	unsigned int n_actions;
	struct rte_flow_action_of_set_vlan_vid vid[MAX_EDITS];
	struct rte_flow_action_of_set_vlan_pcp pcp[MAX_EDITS];
};

static void
act(struct plan *p, enum rte_flow_action_type type, const void *conf)
{
	p->actions[p->n_actions++] = (struct rte_flow_action) { type, conf };
}

static void
two(struct plan *p, struct flow_ovs_edit *e, enum rte_flow_action_type src,
    enum rte_flow_action_type dst)
{
	uint32_t i, which = 1 + fk_random(3);

	e->is_src = which & 1;
	e->is_dst = which & 2;
	for (i = 0; i < sizeof(e->src); i++) {
		e->src[i] = fk_random(3) == 0 ? 0 : fk_random(256);
		e->dst[i] = fk_random(3) == 0 ? 0xff : fk_random(256);
	}
	if (e->is_src)
		act(p, src, e->src);
	if (e->is_dst)
		act(p, dst, e->dst);
}

static void
plan_vlan(struct plan *p, struct flow_ovs_edit *e)
{
	unsigned int i = e - p->edits;

	if (e->op == FLOW_OVS_POP) {
		act(p, RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, NULL);
		return;
	}
	e->tpid = fk_random(2) ? RTE_BE16(0x8100) : RTE_BE16(0x88a8);
	e->tci = rte_cpu_to_be_16(fk_random(0x10000) & 0xefff);
	p->pcp[i].vlan_pcp = rte_be_to_cpu_16(e->tci) >> 13;
	p->vid[i].vlan_vid = e->tci & RTE_BE16(0x0fff);
	act(p, RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, &e->tpid);
	act(p, RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, &p->pcp[i]);
	act(p, RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, &p->vid[i]);
}

/* Edits that Open vSwitch would ask of this packet. */
static void
make_plan(struct plan *p, const struct vhostpci_flow_meta *meta, bool tagged)
{
	static const struct rte_flow_action_port_id id = { .id = 2 };
	bool ip6 = meta->flags & VHOSTPCI_FLOW_IS_IP6;
	unsigned int i;

	memset(p, 0, sizeof(*p));
	p->n = 1 + fk_random(MAX_EDITS);
	for (i = 0; i < p->n; i++) {
		struct flow_ovs_edit *e = &p->edits[i];
		uint32_t kind = fk_random(5);

		if (kind == 1) {
			e->op = ip6 ? FLOW_OVS_IP6 : FLOW_OVS_IP4;
			two(p, e, ip6 ? RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC :
			    RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
			    ip6 ? RTE_FLOW_ACTION_TYPE_SET_IPV6_DST :
			    RTE_FLOW_ACTION_TYPE_SET_IPV4_DST);
		} else if (kind == 2) {
			e->op = ip6 ? FLOW_OVS_TTL6 : FLOW_OVS_TTL4;
			e->ttl = fk_random(256);
			act(p, RTE_FLOW_ACTION_TYPE_SET_TTL, &e->ttl);
		} else if (kind == 3 && (meta->proto == IPPROTO_TCP ||
					 meta->proto == IPPROTO_UDP)) {
			e->op = meta->proto == IPPROTO_TCP ? FLOW_OVS_TCP :
				FLOW_OVS_UDP;
			two(p, e, RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
			    RTE_FLOW_ACTION_TYPE_SET_TP_DST);
		} else if (kind == 4 && i == 0) {
			e->op = tagged && fk_random(2) ? FLOW_OVS_POP :
				FLOW_OVS_PUSH;
			plan_vlan(p, e);
		} else {
			e->op = FLOW_OVS_MAC;
			two(p, e, RTE_FLOW_ACTION_TYPE_SET_MAC_SRC,
			    RTE_FLOW_ACTION_TYPE_SET_MAC_DST);
		}
	}
	act(p, RTE_FLOW_ACTION_TYPE_PORT_ID, &id);
	act(p, RTE_FLOW_ACTION_TYPE_END, NULL);
}

static struct rte_flow *
create(const struct plan *p, const struct vhostpci_flow_meta *meta)
{
	const struct rte_flow_attr attr = { .transfer = 1 };
	const struct rte_flow_item items[] = {
		{ .type = meta->flags & VHOSTPCI_FLOW_IS_IP6 ?
		  RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4 },
		{ .type = meta->proto == IPPROTO_TCP ? RTE_FLOW_ITEM_TYPE_TCP :
		  meta->proto == IPPROTO_UDP ? RTE_FLOW_ITEM_TYPE_UDP :
		  RTE_FLOW_ITEM_TYPE_VOID },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	struct rte_flow_error error;
	struct rte_flow *flow;

	flow = vhostpci_flow_create(table, &attr, items, p->actions, &error);
	if (flow == NULL) {
		fprintf(stderr, "refused: %s\n", error.message);
		exit(1);
	}
	return flow;
}

static void
compare_edits(const struct fk_frame *f, const struct vhostpci_flow_meta *meta)
{
	uint16_t head_len = RTE_MIN(f->len, (uint32_t)VHOSTPCI_FLOW_HEAD);
	uint8_t room[VHOSTPCI_FLOW_HEADROOM + VHOSTPCI_FLOW_HEAD];
	struct vhostpci_flow_frame frame = {
		.head = room + VHOSTPCI_FLOW_HEADROOM, .len = head_len,
		.meta = *meta,
	};
	uint8_t ours[2200], theirs[2200];
	uint32_t len, rest = f->len - head_len;
	struct rte_flow *flow;
	struct plan plan;
	uint16_t at = 0;

	make_plan(&plan, meta, meta->l3 == 18);
	flow = create(&plan, meta);
	memcpy(frame.head, f->data, head_len);
	if (!vhostpci_flow_can_edit(flow->rule, &frame)) {
		n_refused++;
		vhostpci_flow_destroy(table, flow);
		return;
	}
	n_edited++;
	if (vhostpci_flow_edit(flow->rule, &at, &frame) != fk_dest(&fk, 2) ||
	    vhostpci_flow_edit(flow->rule, &at, &frame) != NULL)
		fail(f, "destination");
	memcpy(ours, frame.head, frame.len);
	memcpy(ours + frame.len, f->data + head_len, rest);
	len = flow_ovs_edit(f->data, f->len, plan.edits, plan.n, theirs,
			    sizeof(theirs));
	if (len != frame.len + rest || memcmp(ours, theirs, len) != 0)
		fail(f, "edited");
	vhostpci_flow_destroy(table, flow);
}

int
main(int argc, char **argv)
{
	unsigned long i, n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	struct vhostpci_flow_meta meta;
	struct fk_frame f;

	fk_init(argv[0], 64);
	flow_ovs_init();
	fk_env_init(&fk);
	table = vhostpci_flow_table_new(&fk.env, SOCKET_ID_ANY);
	if (table == NULL)
		return 1;
	for (i = 0; i < n; i++) {
		make(&f);
		if (compare(&f, &meta))
			compare_edits(&f, &meta);
	}
	vhostpci_flow_table_free(table);
	printf("%lu frames: %lu understood, %lu edited, %lu not\n", n, n_hits,
	       n_edited, n_refused);
	/* The test must have compared enough frames. */
	return n_hits < n / 3 || n_edited < n / 6 || n_refused == 0;
}
