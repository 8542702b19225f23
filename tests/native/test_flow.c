/* SPDX-License-Identifier: Apache-2.0 */

/* Flow rules: the fields that the driver reads of a packet, and the parts of
 * rte_flow that it understands. One file: both make the same keys. */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_ip.h>

#include "flowkit.h"

static struct vhostpci_flow_key key;
static struct vhostpci_flow_meta meta;

static void
reads_every_field_of_ipv4(void **state)
{
	struct fk_frame f;

	fk_make(&f, false, 0xb005, IPPROTO_TCP, 10);
	f.data[f.l3 + 1] = 0x2e;
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	/* The CFI bit is left out. */
	assert_int_equal(key.w[VHOSTPCI_FLOW_L2], vhostpci_flow_l2(
		RTE_BE16(0x0800), RTE_BE16(0xa005), RTE_BE16(0x8100), 0,
		VHOSTPCI_FLOW_TAGGED));
	assert_memory_equal(&key.w[VHOSTPCI_FLOW_ADDR], f.data + f.l3 + 12, 8);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L4], vhostpci_flow_l4(
		vhostpci_flow_get32(f.data + f.l4), RTE_BE16(0x10), 6, 0x2e));
	assert_int_equal(key.w[VHOSTPCI_FLOW_DST],
			 vhostpci_flow_mac(f.data, 64));
	assert_int_equal(key.w[VHOSTPCI_FLOW_SRC],
			 vhostpci_flow_mac(f.data + 6, 0));
	assert_int_equal(key.w[VHOSTPCI_FLOW_SRC6], 0);
	assert_int_equal(key.w[VHOSTPCI_FLOW_DST6_LOW], 0);
	assert_int_equal(meta.l3, 18);
	assert_int_equal(meta.l4, 38);
	assert_int_equal(meta.l4_len, 30);
	assert_int_equal(meta.flags, VHOSTPCI_FLOW_IS_IP4);
}

static void
reads_every_field_of_ipv6(void **state)
{
	struct fk_frame f;

	fk_make(&f, true, -1, IPPROTO_UDP, 10);
	fk_put16(f.data + f.l3, 0x6ab1);
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L2], vhostpci_flow_l2(
		RTE_BE16(0x86dd), 0, 0, 0, 0));
	assert_memory_equal(&key.w[VHOSTPCI_FLOW_ADDR], f.data + f.l3 + 8, 8);
	assert_memory_equal(&key.w[VHOSTPCI_FLOW_SRC6], f.data + f.l3 + 16, 24);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L4], vhostpci_flow_l4(
		vhostpci_flow_get32(f.data + f.l4), 0, 17, 0xab));
	assert_int_equal(meta.flags, VHOSTPCI_FLOW_IS_IP6);
}

/* Without need, words stay as they were; what decides whether a packet may be
 * steered is read all the same. */
static void
reads_no_more_than_needed(void **state)
{
	struct fk_frame f;
	unsigned int i;

	fk_make(&f, false, -1, IPPROTO_TCP, 10);
	f.data[f.l4 + 13] = 0x02;
	assert_int_equal(fk_parse(&f, VHOSTPCI_FLOW_NEED_L2, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	for (i = 1; i < VHOSTPCI_FLOW_WORDS; i++)
		assert_int_equal(key.w[i], 0xa5a5a5a5a5a5a5a5);
	assert_true(meta.flags & VHOSTPCI_FLOW_CONTROL);
}

/* A frame that is all right but for @at, which becomes @value. */
static const struct odd {
	const char *name;
	bool ip6;
	uint8_t proto;
	uint8_t at;		/* from the begin, from l3 or from l4 */
	enum { BEGIN, L3, L4, CUT } from;
	uint16_t value;		/* of 16 bits; CUT: the frame's length */
	enum vhostpci_flow_miss miss;
} odd_frames[] = {
	{ "nothing", 0, 17, 0, CUT, 0, VHOSTPCI_FLOW_MISS_SHORT },
	{ "no ethertype", 0, 17, 0, CUT, 13, VHOSTPCI_FLOW_MISS_SHORT },
	{ "no IP", 0, 17, 0, CUT, 14, VHOSTPCI_FLOW_MISS_IP },
	{ "half an IP header", 0, 17, 0, CUT, 33, VHOSTPCI_FLOW_MISS_IP },
	{ "shorter than IP says", 0, 17, 0, CUT, 49, VHOSTPCI_FLOW_MISS_IP },
	{ "LLC", 0, 17, 12, BEGIN, 0x0100, VHOSTPCI_FLOW_MISS_LLC },
	{ "0x5ff", 0, 17, 12, BEGIN, 0x05ff, VHOSTPCI_FLOW_MISS_LLC },
	{ "0x600", 0, 17, 12, BEGIN, 0x0600, VHOSTPCI_FLOW_HIT },
	{ "ARP", 0, 17, 12, BEGIN, 0x0806, VHOSTPCI_FLOW_HIT },
	{ "MPLS", 0, 17, 12, BEGIN, 0x8847, VHOSTPCI_FLOW_HIT },
	{ "header of 4 words", 0, 17, 0, L3, 0x4400, VHOSTPCI_FLOW_MISS_IP },
	{ "header above length", 0, 17, 0, L3, 0x4f00, VHOSTPCI_FLOW_MISS_IP },
	{ "version 0", 0, 17, 0, L3, 0x0500, VHOSTPCI_FLOW_HIT },
	{ "length of 0", 0, 17, 2, L3, 0, VHOSTPCI_FLOW_MISS_IP },
	{ "length of a header", 0, 17, 2, L3, 20, VHOSTPCI_FLOW_MISS_L4 },
	{ "7 bytes of UDP", 0, 17, 2, L3, 27, VHOSTPCI_FLOW_MISS_L4 },
	{ "8 bytes of UDP", 0, 17, 2, L3, 28, VHOSTPCI_FLOW_HIT },
	{ "DF", 0, 17, 6, L3, 0x4000, VHOSTPCI_FLOW_HIT },
	{ "19 bytes of TCP", 0, 6, 2, L3, 39, VHOSTPCI_FLOW_MISS_L4 },
	{ "TCP offset of 4", 0, 6, 12, L4, 0x4010, VHOSTPCI_FLOW_MISS_L4 },
	{ "TCP offset of 15", 0, 6, 12, L4, 0xf010, VHOSTPCI_FLOW_MISS_L4 },
	{ "TCP offset of 7", 0, 6, 12, L4, 0x7010, VHOSTPCI_FLOW_HIT },
	{ "11 bytes of SCTP", 0, 132, 2, L3, 31, VHOSTPCI_FLOW_MISS_L4 },
	{ "7 bytes of ICMP", 0, 1, 2, L3, 27, VHOSTPCI_FLOW_MISS_L4 },
	{ "IGMP", 0, 2, 2, L3, 21, VHOSTPCI_FLOW_HIT },
	{ "half an IPv6 header", 1, 17, 0, CUT, 53, VHOSTPCI_FLOW_MISS_IP },
	{ "IPv6 too long", 1, 17, 4, L3, 17, VHOSTPCI_FLOW_MISS_IP },
	{ "IPv6 just so", 1, 17, 4, L3, 16, VHOSTPCI_FLOW_HIT },
	{ "7 bytes of ICMPv6", 1, 58, 4, L3, 7, VHOSTPCI_FLOW_MISS_L4 },
	{ "UDP as options", 1, 17, 6, L3, 0x3c40, VHOSTPCI_FLOW_MISS_EXT },
	{ "UDP as fragment", 1, 17, 6, L3, 0x2c40, VHOSTPCI_FLOW_HIT },
	{ "UDP as AH", 1, 17, 6, L3, 0x3340, VHOSTPCI_FLOW_MISS_EXT },
	{ "no next header", 1, 17, 6, L3, 0x3b40, VHOSTPCI_FLOW_HIT },
};

static void
misses_what_open_vswitch_may_see_otherwise(void **state)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(odd_frames); i++) {
		const struct odd *odd = &odd_frames[i];
		struct fk_frame f;
		uint32_t from;

		fk_make(&f, odd->ip6, -1, odd->proto, 8);
		from = odd->from == L3 ? f.l3 : odd->from == L4 ? f.l4 : 0;
		if (odd->from == CUT)
			f.len = odd->value;
		else
			fk_put16(f.data + from + odd->at, odd->value);
		if (fk_parse(&f, FK_NEED_ALL, &key, &meta) != odd->miss)
			fail_msg("%s", odd->name);
		assert_int_equal(key.w[VHOSTPCI_FLOW_L2] >> 63,
				 odd->miss != VHOSTPCI_FLOW_HIT);
	}
}

static void
misses_two_tags_and_half_a_tag(void **state)
{
	struct fk_frame f;

	fk_make(&f, false, 5, IPPROTO_UDP, 8);
	fk_put16(f.data + 16, 0x88a8);
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_MISS_QINQ);
	f.len = 17;
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_MISS_SHORT);
}

static void
tells_fragments_apart(void **state)
{
	struct fk_frame f;
	unsigned int i;
	static const struct { uint16_t off; uint8_t frag; } cases[] = {
		{ 0x4000, 0 }, { 0x8000, 0 },
		{ 0x2000, VHOSTPCI_FLOW_FRAG },
		{ 0x2001, VHOSTPCI_FLOW_FRAG | VHOSTPCI_FLOW_LATER },
		{ 0x1000, VHOSTPCI_FLOW_FRAG | VHOSTPCI_FLOW_LATER },
	};

	for (i = 0; i < RTE_DIM(cases); i++) {
		fk_make(&f, false, -1, IPPROTO_UDP, 8);
		fk_put16(f.data + f.l3 + 6, cases[i].off);
		assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
				 VHOSTPCI_FLOW_HIT);
		assert_int_equal(key.w[VHOSTPCI_FLOW_L2] >> 48, cases[i].frag);
		/* Later ones have no ports. */
		assert_int_equal((uint32_t)key.w[VHOSTPCI_FLOW_L4] == 0,
				 cases[i].frag & VHOSTPCI_FLOW_LATER ? 1 : 0);
	}
}

/* Put @len bytes between IPv6 and L4, @next the header that leads to them. */
static void
insert_ext(struct fk_frame *f, uint8_t next, const uint8_t *ext, uint32_t len)
{
	uint8_t *ip = f->data + f->l3;

	memmove(f->data + f->l4 + len, f->data + f->l4, f->len - f->l4);
	memcpy(f->data + f->l4, ext, len);
	f->data[f->l4] = ip[6];
	ip[6] = next;
	fk_put16(ip + 4, fk_get16(ip + 4) + len);
	f->len += len;
}

static void
walks_ipv6_extension_headers(void **state)
{
	static const uint8_t options[16] = { 0, 1 }, first[8] = { 0, 0, 0, 1 };
	static const uint8_t later[8] = { 0, 0, 0, 9 }, atomic[8];
	static const uint8_t deep[72] = { 0, 8 };
	struct fk_frame f;

	fk_make(&f, true, -1, IPPROTO_TCP, 8);
	insert_ext(&f, 0, options, sizeof(options));
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	assert_int_equal(meta.l4, 14 + 40 + 16);
	assert_int_equal(meta.l4_len, 28);
	assert_true(meta.flags & VHOSTPCI_FLOW_HAS_EXT);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L4] >> 48, IPPROTO_TCP);
	insert_ext(&f, 44, first, sizeof(first));
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L2] >> 48, VHOSTPCI_FLOW_FRAG);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L4] >> 48, IPPROTO_TCP);

	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	insert_ext(&f, 44, later, sizeof(later));
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_HIT);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L2] >> 48,
			 VHOSTPCI_FLOW_FRAG | VHOSTPCI_FLOW_LATER);
	assert_int_equal(key.w[VHOSTPCI_FLOW_L4] >> 48, 44);
	assert_int_equal((uint32_t)key.w[VHOSTPCI_FLOW_L4], 0);

	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	insert_ext(&f, 44, atomic, sizeof(atomic));
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_MISS_EXT);

	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	insert_ext(&f, 60, deep, sizeof(deep));
	assert_int_equal(fk_parse(&f, FK_NEED_ALL, &key, &meta),
			 VHOSTPCI_FLOW_MISS_DEEP);
}

/* From here: what is understood of rte_flow. */

static const struct rte_flow_attr transfer = { .transfer = 1 };
static const struct rte_flow_action_port_id to_2 = { .id = 2 };
static const struct rte_flow_action output[] = {
	{ .type = RTE_FLOW_ACTION_TYPE_COUNT },
	{ .type = RTE_FLOW_ACTION_TYPE_PORT_ID, .conf = &to_2 },
	{ .type = RTE_FLOW_ACTION_TYPE_END },
};

static struct fk_env fk;
static struct vhostpci_flow_spec spec;

static int
translate(const struct rte_flow_attr *attr, const struct rte_flow_item *items,
	  const struct rte_flow_action *actions)
{
	struct rte_flow_error error = { 0 };
	int rc, i;

	rc = vhostpci_flow_translate(&fk.env, attr, items, actions, &spec,
				     &error);
	if (rc == 0) {
		for (i = 0; i < VHOSTPCI_FLOW_WORDS; i++)
			assert_int_equal(spec.key.w[i] & ~spec.mask.w[i], 0);
		vhostpci_flow_spec_release(&fk.env, &spec);
	} else {
		assert_int_equal(error.type, RTE_FLOW_ERROR_TYPE_ACTION);
		assert_non_null(error.message);
		assert_int_equal(rc, -ENOTSUP);
	}
	for (i = 0; i < FK_PORTS; i++)
		assert_int_equal(fk.refs[i], 0);
	return rc;
}

/* Up to four items, with an end. */
static int
translate_items(const struct rte_flow_item *items, unsigned int n)
{
	struct rte_flow_item all[6] = { 0 };

	memcpy(all, items, n * sizeof(all[0]));
	all[n].type = RTE_FLOW_ITEM_TYPE_END;
	return translate(&transfer, all, output);
}

#define ITEM(t, s, m) \
	{ .type = RTE_FLOW_ITEM_TYPE_##t, .spec = s, .mask = m }
#define TRY(...) ({ \
	const struct rte_flow_item items_[] = { __VA_ARGS__ }; \
	translate_items(items_, RTE_DIM(items_)); \
})

static bool
matches(const struct fk_frame *f)
{
	unsigned int i;

	if (fk_parse(f, FK_NEED_ALL, &key, &meta) != VHOSTPCI_FLOW_HIT)
		return false;
	for (i = 0; i < VHOSTPCI_FLOW_WORDS; i++)
		if ((key.w[i] & spec.mask.w[i]) != spec.key.w[i])
			return false;
	return true;
}

/* The pattern that Open vSwitch has for nearly everything. */
static void
understands_ethertype_tag_and_fragment(void **state)
{
	struct rte_flow_item_eth es = { .type = RTE_BE16(0x0800) };
	struct rte_flow_item_eth em = { .type = 0xffff, .has_vlan = 1 };
	struct rte_flow_item_ipv4 is = { 0 };
	struct rte_flow_item_ipv4 im = {
		.hdr.fragment_offset = RTE_BE16(0x3fff)
	};
	struct fk_frame f;

	assert_int_equal(TRY(ITEM(ETH, &es, &em), ITEM(IPV4, &is, &im)), 0);
	assert_int_equal(spec.kind, VHOSTPCI_FLOW_OUTPUT);
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_true(matches(&f));
	fk_put16(f.data + f.l3 + 6, 0x2000);
	assert_false(matches(&f));
	fk_make(&f, false, 7, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	/* Only the L2 word: no hash. */
	assert_int_equal(spec.mask.w[VHOSTPCI_FLOW_L4], 0);
	assert_int_equal(spec.mask.w[VHOSTPCI_FLOW_ADDR], 0);
	/* Whatever is not tagged. */
	em.type = 0;
	assert_int_equal(TRY(ITEM(ETH, &es, &em)), 0);
	assert_true(matches(&f));
	fk_make(&f, true, 7, IPPROTO_UDP, 8);
	assert_false(matches(&f));
}

static void
understands_a_tag(void **state)
{
	struct rte_flow_item_eth es = { .has_vlan = 1 }, em = { .has_vlan = 1 };
	struct rte_flow_item_vlan vs = {
		.tci = RTE_BE16(0x6007), .inner_type = RTE_BE16(0x0800)
	};
	struct rte_flow_item_vlan vm = {
		.tci = RTE_BE16(0xefff), .inner_type = 0xffff
	};
	struct fk_frame f;

	assert_int_equal(TRY(ITEM(ETH, &es, &em), ITEM(VLAN, &vs, &vm)), 0);
	fk_make(&f, false, 0x7007, IPPROTO_UDP, 8);
	assert_true(matches(&f));
	fk_make(&f, false, 0x7008, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_make(&f, false, 0x5007, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_make(&f, true, 0x7007, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	/* With the TPID, and any TCI. */
	es.type = RTE_BE16(0x88a8);
	em.type = 0xffff;
	vm.tci = 0;
	assert_int_equal(TRY(ITEM(ETH, &es, &em), ITEM(VLAN, &vs, &vm)), 0);
	fk_make(&f, false, 0x7007, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_put16(f.data + 12, 0x88a8);
	assert_true(matches(&f));
}

/* One function: most of it is what rte_flow is given. */
static void
understands_later_fragments_as_a_range(void **state)
{
	struct rte_flow_item_ipv4 is = {
		.hdr.fragment_offset = RTE_BE16(1),
		.hdr.src_addr = RTE_BE32(0x0a000001),
	};
	struct rte_flow_item_ipv4 im = {
		.hdr.fragment_offset = RTE_BE16(0x1fff),
		.hdr.src_addr = UINT32_MAX,
	};
	struct rte_flow_item_ipv4 last = {
		.hdr.fragment_offset = RTE_BE16(0x1fff)
	};
	struct rte_flow_item_ipv6 six = { .has_frag_ext = 1 };
	struct rte_flow_item_ipv6_frag_ext s6 = { .hdr.frag_data = RTE_BE16(8) };
	struct rte_flow_item_ipv6_frag_ext m6 = {
		.hdr.frag_data = RTE_BE16(0xfff8)
	};
	static const uint8_t later[8] = { 0, 0, 0, 9 }, first[8] = { 0, 0, 0, 1 };
	struct fk_frame f;

	assert_int_equal(TRY({ RTE_FLOW_ITEM_TYPE_IPV4, &is, &last, &im }), 0);
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	fk_put16(f.data + f.l3 + 6, 0x2000);
	assert_false(matches(&f));
	fk_put16(f.data + f.l3 + 6, 0x0004);
	assert_true(matches(&f));

	assert_int_equal(TRY(ITEM(IPV6, &six, &six),
			     { RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT, &s6, &m6,
			       &m6 }), 0);
	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	assert_false(matches(&f));
	insert_ext(&f, 44, later, sizeof(later));
	assert_true(matches(&f));
	s6.hdr.frag_data = RTE_BE16(1);
	m6.hdr.frag_data = RTE_BE16(0xfff9);
	assert_int_equal(TRY(ITEM(IPV6, &six, &six),
			     ITEM(IPV6_FRAG_EXT, &s6, &m6)), 0);
	assert_false(matches(&f));
	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	insert_ext(&f, 44, first, sizeof(first));
	assert_true(matches(&f));
}

static void
understands_every_l4(void **state)
{
	struct rte_flow_item_tcp ts = { .hdr = {
		.src_port = RTE_BE16(1234), .tcp_flags = 0x10,
	} };
	struct rte_flow_item_tcp tm = { .hdr = {
		.src_port = 0xffff, .tcp_flags = 0xff, .data_off = 0x0f,
	} };
	struct rte_flow_item_icmp cs = { .hdr.icmp_type = 8 };
	struct rte_flow_item_icmp cm = {
		.hdr.icmp_type = 0xff, .hdr.icmp_code = 0xff
	};
	struct rte_flow_item_icmp6 c6 = { .type = 128 };
	struct fk_frame f;

	assert_int_equal(TRY(ITEM(IPV4, NULL, NULL), ITEM(TCP, &ts, &tm)), 0);
	fk_make(&f, false, -1, IPPROTO_TCP, 8);
	assert_true(matches(&f));
	f.data[f.l4 + 13] = 0x18;
	assert_false(matches(&f));
	f.data[f.l4 + 13] = 0x10;
	f.data[f.l4 + 12] |= 1;
	assert_false(matches(&f));
	assert_int_equal(TRY(ITEM(IPV4, NULL, NULL), ITEM(ICMP, &cs, &cm)), 0);
	fk_make(&f, false, -1, IPPROTO_ICMP, 8);
	assert_true(matches(&f));
	f.data[f.l4] = 0;
	assert_false(matches(&f));
	assert_int_equal(TRY(ITEM(IPV6, NULL, NULL), ITEM(ICMP6, &c6, NULL)),
			 0);
	fk_make(&f, true, -1, IPPROTO_ICMPV6, 8);
	assert_true(matches(&f));
	f.data[f.l4 + 1] = 1;
	assert_false(matches(&f));
	assert_int_equal(TRY(ITEM(IPV4, NULL, NULL), ITEM(UDP, NULL, NULL)), 0);
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_true(matches(&f));
	assert_int_equal(TRY(ITEM(IPV4, NULL, NULL), ITEM(SCTP, NULL, NULL)),
			 0);
	assert_false(matches(&f));
	fk_make(&f, false, -1, IPPROTO_SCTP, 8);
	assert_true(matches(&f));
}

#define REFUSED(...) assert_int_equal(TRY(__VA_ARGS__), -ENOTSUP)

/* One function: a list. */
static void
refuses_what_keys_do_not_have(void **state)
{
	struct rte_flow_item_eth eth = { .type = RTE_BE16(0x0800) };
	struct rte_flow_item_eth part = { .type = RTE_BE16(0xff00) };
	struct rte_flow_item_eth llc = { .type = RTE_BE16(0x05ff) };
	struct rte_flow_item_eth full = { .type = 0xffff };
	struct rte_flow_item_vlan cfi = { .tci = RTE_BE16(0x1000) };
	struct rte_flow_item_vlan more = { .has_more_vlan = 1 };
	struct rte_flow_item_ipv4 ident = { .hdr.packet_id = 1 };
	struct rte_flow_item_ipv4 ttls = { .hdr.time_to_live = 9 };
	struct rte_flow_item_ipv4 df = {
		.hdr.fragment_offset = RTE_BE16(0x4000)
	};
	struct rte_flow_item_ipv6 label = { .hdr.vtc_flow = RTE_BE32(1) };
	struct rte_flow_item_ipv6 auth = { .has_auth_ext = 1 };
	struct rte_flow_item_tcp seq = { .hdr.sent_seq = 1 };
	struct rte_flow_item_tcp off = { .hdr.data_off = 0x50 };
	struct rte_flow_item_udp csum = { .hdr.dgram_cksum = 1 };
	struct rte_flow_item_udp udp = { .hdr.src_port = RTE_BE16(1) };
	struct rte_flow_item_udp last = { .hdr.src_port = RTE_BE16(9) };
	struct rte_flow_item_port_id other = { .id = 3 };

	REFUSED(ITEM(ETH, &eth, &part));
	REFUSED(ITEM(ETH, &llc, &full));
	REFUSED(ITEM(VLAN, &cfi, &cfi));
	REFUSED(ITEM(VLAN, &more, &more));
	REFUSED(ITEM(VLAN, NULL, NULL), ITEM(VLAN, NULL, NULL));
	REFUSED(ITEM(IPV4, &ident, &ident));
	REFUSED(ITEM(IPV4, &df, &df));
	REFUSED(ITEM(IPV6, &label, &label));
	REFUSED(ITEM(IPV6, &auth, &auth));
	REFUSED(ITEM(IPV4, NULL, NULL), ITEM(TCP, &seq, &seq));
	REFUSED(ITEM(IPV4, NULL, NULL), ITEM(TCP, &off, &off));
	REFUSED(ITEM(IPV4, NULL, NULL), ITEM(UDP, &csum, &csum));
	REFUSED(ITEM(IPV4, NULL, NULL),
		{ RTE_FLOW_ITEM_TYPE_UDP, &udp, &last, NULL });
	REFUSED({ RTE_FLOW_ITEM_TYPE_IPV4, &ident, &ttls, NULL });
	REFUSED(ITEM(UDP, &udp, NULL));
	REFUSED(ITEM(IPV4, NULL, NULL), ITEM(ETH, NULL, NULL));
	REFUSED(ITEM(VXLAN, NULL, NULL));
	REFUSED(ITEM(GRE, NULL, NULL));
	REFUSED({ .type = (enum rte_flow_item_type)9999 });
	REFUSED(ITEM(PORT_ID, &other, NULL));
	/* Contradictions: an ethertype of its own before a tag or before IP. */
	REFUSED(ITEM(ETH, &eth, &full), ITEM(VLAN, NULL, NULL));
	REFUSED(ITEM(ETH, &eth, &full), ITEM(IPV6, NULL, NULL));
}

static void
refuses_attributes_of_other_places(void **state)
{
	const struct rte_flow_item any[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_END }
	};
	struct rte_flow_attr attr = { .ingress = 1 };

	assert_int_equal(translate(&attr, any, output), 0);
	attr.priority = 7;
	assert_int_equal(translate(&attr, any, output), 0);
	assert_int_equal(spec.priority, 7);
	attr.group = 1;
	assert_int_equal(translate(&attr, any, output), -ENOTSUP);
	attr = (struct rte_flow_attr) { .egress = 1 };
	assert_int_equal(translate(&attr, any, output), -ENOTSUP);
	attr = (struct rte_flow_attr) { 0 };
	assert_int_equal(translate(&attr, any, output), -ENOTSUP);
}

#define ACT(t, c) { RTE_FLOW_ACTION_TYPE_##t, c }
#define DO(...) ({ \
	const struct rte_flow_action actions_[] = { \
		__VA_ARGS__, ACT(END, NULL) }; \
	translate(&transfer, udp4, actions_); \
})
#define UNDONE(...) assert_int_equal(DO(__VA_ARGS__), -ENOTSUP)

static const struct rte_flow_item udp4[] = {
	ITEM(ETH, NULL, NULL), ITEM(IPV4, NULL, NULL), ITEM(UDP, NULL, NULL),
	ITEM(END, NULL, NULL),
};

static void
understands_every_action(void **state)
{
	static const uint8_t bytes[16];
	struct rte_flow_action_ethdev dev = { .port_id = 3 };
	struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x8100) };
	struct rte_flow_action_of_set_vlan_vid vid = { RTE_BE16(0x123) };
	struct rte_flow_action_of_set_vlan_pcp pcp = { 5 };
	struct rte_flow_action_mark mark = { 77 };
	struct rte_flow_action_rss rss = { 0 };

	assert_int_equal(DO(ACT(COUNT, NULL), ACT(DROP, NULL)), 0);
	assert_int_equal(spec.kind, VHOSTPCI_FLOW_DROP);
	assert_int_equal(DO(ACT(MARK, &mark), ACT(RSS, &rss)), 0);
	assert_int_equal(spec.kind, VHOSTPCI_FLOW_MARK);
	assert_int_equal(spec.mark, 77);
	assert_int_equal(DO(ACT(REPRESENTED_PORT, &dev)), 0);
	assert_int_equal(spec.kind, VHOSTPCI_FLOW_OUTPUT);
	assert_int_equal(DO(ACT(PORT_ID, &to_2), ACT(REPRESENTED_PORT, &dev),
			    ACT(SET_TTL, bytes)), 0);
	assert_int_equal(spec.kind, VHOSTPCI_FLOW_PROGRAM);
	assert_int_equal(spec.n_out, 2);
	/* Nobody sees the TTL behind the last output. */
	assert_int_equal(spec.edits, 0);
	assert_int_equal(DO(ACT(SET_MAC_SRC, bytes), ACT(SET_MAC_DST, bytes),
			    ACT(SET_IPV4_SRC, bytes), ACT(SET_IPV4_DST, bytes),
			    ACT(SET_TP_SRC, bytes), ACT(SET_TP_DST, bytes),
			    ACT(SET_TTL, bytes), ACT(PORT_ID, &to_2)), 0);
	assert_int_equal(spec.edits, VHOSTPCI_FLOW_EDIT_IP4 |
			 VHOSTPCI_FLOW_EDIT_TP | VHOSTPCI_FLOW_EDIT_TTL);
	/* As Open vSwitch says "push": one operation of the program. */
	assert_int_equal(DO(ACT(OF_PUSH_VLAN, &push),
			    ACT(OF_SET_VLAN_PCP, &pcp),
			    ACT(OF_SET_VLAN_VID, &vid), ACT(PORT_ID, &to_2)),
			 0);
	assert_memory_equal(spec.prog, "\x0a\x81\x00\xa1\x23", 5);
	assert_int_equal(spec.prog[5], VHOSTPCI_FLOW_OP_OUTPUT);
	assert_int_equal(spec.edits, 0);
	assert_int_equal(DO(ACT(OF_POP_VLAN, NULL), ACT(PORT_ID, &to_2)), 0);
	assert_int_equal(spec.edits, VHOSTPCI_FLOW_EDIT_TAG);
}

static void
refuses_what_is_not_done(void **state)
{
	static const uint8_t bytes[16];
	struct rte_flow_action_port_id none = { .id = 0 }, far = { .id = 99 };
	struct rte_flow_action_port_id wide = { .id = 0x10002 };
	struct rte_flow_action_port_id original = { .original = 1, .id = 2 };
	struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x0800) };
	struct rte_flow_action_mark mark = { 77 };

	UNDONE(ACT(COUNT, NULL));
	UNDONE(ACT(PORT_ID, NULL));
	UNDONE(ACT(PORT_ID, &none));
	UNDONE(ACT(PORT_ID, &to_2), ACT(PORT_ID, &far));
	UNDONE(ACT(PORT_ID, &wide));
	UNDONE(ACT(PORT_ID, &original));
	UNDONE(ACT(PORT_ID, &to_2), ACT(DROP, NULL));
	UNDONE(ACT(PORT_ID, &to_2), ACT(MARK, &mark));
	UNDONE(ACT(RSS, bytes));
	UNDONE(ACT(QUEUE, bytes));
	UNDONE(ACT(PORT_ID, &to_2), ACT(RSS, bytes));
	UNDONE(ACT(SET_TTL, bytes), ACT(MARK, &mark));
	UNDONE(ACT(SET_IPV6_SRC, bytes), ACT(PORT_ID, &to_2));
	UNDONE(ACT(SET_TTL, NULL), ACT(PORT_ID, &to_2));
	UNDONE(ACT(OF_PUSH_VLAN, &push), ACT(PORT_ID, &to_2));
	UNDONE(ACT(OF_POP_VLAN, NULL), ACT(OF_POP_VLAN, NULL),
	       ACT(PORT_ID, &to_2));
	UNDONE(ACT(RAW_ENCAP, bytes), ACT(PORT_ID, &to_2));
	UNDONE(ACT(VXLAN_ENCAP, bytes), ACT(PORT_ID, &to_2));
	UNDONE(ACT(JUMP, bytes));
	UNDONE({ (enum rte_flow_action_type)9999, NULL });
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_field_of_ipv4),
		cmocka_unit_test(reads_every_field_of_ipv6),
		cmocka_unit_test(reads_no_more_than_needed),
		cmocka_unit_test(misses_what_open_vswitch_may_see_otherwise),
		cmocka_unit_test(misses_two_tags_and_half_a_tag),
		cmocka_unit_test(tells_fragments_apart),
		cmocka_unit_test(walks_ipv6_extension_headers),
		cmocka_unit_test(understands_ethertype_tag_and_fragment),
		cmocka_unit_test(understands_a_tag),
		cmocka_unit_test(understands_later_fragments_as_a_range),
		cmocka_unit_test(understands_every_l4),
		cmocka_unit_test(refuses_what_keys_do_not_have),
		cmocka_unit_test(refuses_attributes_of_other_places),
		cmocka_unit_test(understands_every_action),
		cmocka_unit_test(refuses_what_is_not_done),
	};

	fk_env_init(&fk);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
