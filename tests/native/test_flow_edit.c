/* SPDX-License-Identifier: Apache-2.0 */

/* Edits of headers: all checksums must be right afterwards. An edit that is not
 * possible is refused before any byte has changed. tests/native/flow_ovs.c
 * compares the bytes with those of Open vSwitch. */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flowkit.h"

static struct fk_env fk;

#define ACT(t, c) { RTE_FLOW_ACTION_TYPE_##t, c }

static const struct rte_flow_action_port_id to_2 = { .id = 2 };
static const struct rte_flow_action_port_id to_3 = { .id = 3 };
static const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
static const uint8_t addr[16] = { 0xc0, 0xa8, 7, 1, 5, 6, 7, 8, 9 };
static const uint8_t port[2] = { 0x30, 0x39 };
static const uint8_t ttl = 63;
static const struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x88a8) };
static const struct rte_flow_action_of_set_vlan_vid vid = { RTE_BE16(0x123) };
static const struct rte_flow_action_of_set_vlan_pcp pcp = { 5 };

static const struct rte_flow_action all4[] = {
	ACT(SET_MAC_SRC, mac), ACT(SET_MAC_DST, mac), ACT(SET_IPV4_SRC, addr),
	ACT(SET_IPV4_DST, addr + 4), ACT(SET_TTL, &ttl), ACT(SET_TP_SRC, port),
	ACT(SET_TP_DST, port), ACT(PORT_ID, &to_2), ACT(END, NULL),
};
static const struct rte_flow_action all6[] = {
	ACT(SET_IPV6_SRC, addr), ACT(SET_IPV6_DST, addr), ACT(SET_TTL, &ttl),
	ACT(SET_TP_SRC, port), ACT(SET_TP_DST, port), ACT(PORT_ID, &to_2),
	ACT(END, NULL),
};
static const struct rte_flow_action address4[] = {
	ACT(SET_IPV4_DST, addr), ACT(PORT_ID, &to_2), ACT(END, NULL),
};
static const struct rte_flow_action address6[] = {
	ACT(SET_IPV6_DST, addr), ACT(PORT_ID, &to_2), ACT(END, NULL),
};

/* A rule for packets as @f, made by hand. */
static void
make_rule(struct vhostpci_flow_rule *rule, bool ip6, uint8_t proto,
	  const struct rte_flow_action *actions)
{
	const struct rte_flow_attr attr = { .transfer = 1 };
	const struct rte_flow_item items[] = {
		{ .type = ip6 ? RTE_FLOW_ITEM_TYPE_IPV6 :
		  RTE_FLOW_ITEM_TYPE_IPV4 },
		{ .type = proto == IPPROTO_TCP ? RTE_FLOW_ITEM_TYPE_TCP :
		  proto == IPPROTO_UDP ? RTE_FLOW_ITEM_TYPE_UDP :
		  RTE_FLOW_ITEM_TYPE_VOID },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	static struct vhostpci_flow_spec spec;
	struct rte_flow_error error;

	assert_int_equal(vhostpci_flow_translate(&fk.env, &attr, items, actions,
						 &spec, &error), 0);
	memset(rule, 0, sizeof(*rule));
	rule->prog_len = spec.prog_len;
	rule->edits = spec.edits;
	if (spec.prog_len > VHOSTPCI_FLOW_INLINE)
		rule->far = spec.prog;
	else
		memcpy(rule->prog, spec.prog, spec.prog_len);
}

static struct vhostpci_flow_frame
frame_of(struct fk_frame *f)
{
	struct vhostpci_flow_frame frame = {
		.head = f->data,
		.len = RTE_MIN(f->len, (uint32_t)VHOSTPCI_FLOW_HEAD),
	};
	struct vhostpci_flow_key key;

	assert_int_equal(fk_parse(f, FK_NEED_ALL, &key, &frame.meta),
			 VHOSTPCI_FLOW_HIT);
	return frame;
}

static bool
edit(struct fk_frame *f, const struct vhostpci_flow_rule *rule)
{
	struct vhostpci_flow_frame frame = frame_of(f);
	uint16_t at = 0;

	if (!vhostpci_flow_can_edit(rule, &frame))
		return false;
	assert_ptr_equal(vhostpci_flow_edit(rule, &at, &frame), fk_dest(&fk, 2));
	assert_null(vhostpci_flow_edit(rule, &at, &frame));
	return true;
}

static void
check_sums(bool ip6, uint8_t proto, uint32_t payload,
	   const struct rte_flow_action *actions)
{
	struct vhostpci_flow_rule rule;
	struct fk_frame f, again;

	fk_make(&f, ip6, 5, proto, payload);
	make_rule(&rule, ip6, proto, actions);
	assert_true(edit(&f, &rule));
	again = f;
	fk_checksums(&again, ip6, proto);
	assert_memory_equal(f.data, again.data, f.len);
	assert_int_equal(f.data[f.l3 + (ip6 ? 7 : 8)],
			 actions == all4 || actions == all6 ? ttl : 64);
	assert_memory_equal(f.data + f.l3 + (ip6 ? 24 : 16),
			    actions == all4 ? addr + 4 : addr, ip6 ? 16 : 4);
}

static void
checksums_are_as_computed_anew(void **state)
{
	uint32_t payload;

	for (payload = 0; payload < 200; payload++) {
		check_sums(false, IPPROTO_TCP, payload, all4);
		check_sums(false, IPPROTO_UDP, payload, all4);
		check_sums(false, IPPROTO_ICMP, payload, address4);
		check_sums(false, IPPROTO_SCTP, payload, address4);
		check_sums(true, IPPROTO_TCP, payload, all6);
		check_sums(true, IPPROTO_UDP, payload, all6);
		check_sums(true, IPPROTO_ICMPV6, payload, address6);
	}
}

static void
udp_without_a_checksum_stays_so(void **state)
{
	struct vhostpci_flow_rule rule;
	struct fk_frame f;

	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	fk_put16(f.data + f.l4 + 6, 0);
	make_rule(&rule, false, IPPROTO_UDP, all4);
	assert_true(edit(&f, &rule));
	assert_int_equal(fk_get16(f.data + f.l4 + 6), 0);
	assert_int_equal(fk_get16(f.data + f.l4), 0x3039);
}

/* The sum of the pseudo header that is in the packet's checksum field when the
 * receiver is to complete it. */
static uint16_t
pseudo(const struct fk_frame *f, uint8_t proto)
{
	const uint8_t *ip = f->data + f->l3;
	uint32_t sum = proto + fk_get16(ip + 2) - 20, i;

	for (i = 12; i < 20; i += 2)
		sum += fk_get16(ip + i);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void
a_partial_checksum_stays_a_sum_of_the_pseudo_header(void **state)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct vhostpci_flow_frame frame;
	struct vhostpci_flow_rule rule;
	struct fk_frame f;
	uint16_t at;
	unsigned int i, off;

	for (i = 0; i < RTE_DIM(protos); i++) {
		off = protos[i] == IPPROTO_TCP ? 16 : 6;
		fk_make(&f, false, -1, protos[i], 100);
		fk_put16(f.data + f.l4 + off, pseudo(&f, protos[i]));
		make_rule(&rule, false, protos[i], all4);
		frame = frame_of(&f);
		frame.partial = true;
		at = 0;
		assert_true(vhostpci_flow_can_edit(&rule, &frame));
		vhostpci_flow_edit(&rule, &at, &frame);
		assert_int_equal(fk_get16(f.data + f.l4 + off),
				 pseudo(&f, protos[i]));
	}
}

static void
refuses_before_it_changes_anything(void **state)
{
	static const struct rte_flow_action pop[] = {
		ACT(SET_MAC_SRC, mac), ACT(OF_POP_VLAN, NULL),
		ACT(PORT_ID, &to_2), ACT(END, NULL),
	};
	struct vhostpci_flow_rule rule;
	struct fk_frame f, before;

	/* A later fragment has no L4 header. */
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	fk_put16(f.data + f.l3 + 6, 3);
	before = f;
	make_rule(&rule, false, IPPROTO_UDP, all4);
	assert_false(edit(&f, &rule));
	/* Another protocol than the rule edits, as a wide pattern may match. */
	fk_make(&f, false, -1, IPPROTO_ICMP, 8);
	assert_false(edit(&f, &rule));
	fk_make(&f, true, -1, IPPROTO_UDP, 8);
	assert_false(edit(&f, &rule));
	make_rule(&rule, true, IPPROTO_UDP, all6);
	assert_true(edit(&f, &rule));
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_false(edit(&f, &rule));
	make_rule(&rule, false, IPPROTO_UDP, pop);
	before = f;
	assert_false(edit(&f, &rule));
	assert_memory_equal(&f, &before, sizeof(f));
}

static void
refuses_a_checksum_behind_the_head(void **state)
{
	uint8_t options[80] = { 0, 9 };
	struct vhostpci_flow_rule rule;
	struct vhostpci_flow_frame frame;
	struct fk_frame f;

	fk_make(&f, true, -1, IPPROTO_UDP, 100);
	make_rule(&rule, true, IPPROTO_UDP, all6 + 3);
	frame = frame_of(&f);
	frame.len = frame.meta.l4 + 7;
	assert_false(vhostpci_flow_can_edit(&rule, &frame));
	frame.len++;
	assert_true(vhostpci_flow_can_edit(&rule, &frame));
	/* IPv6 addresses behind which extension headers follow. */
	memmove(f.data + f.l4 + 8, f.data + f.l4, f.len - f.l4);
	memcpy(f.data + f.l4, options, 2);
	f.data[f.l4] = IPPROTO_UDP;
	f.data[f.l4 + 1] = 0;
	f.data[f.l3 + 6] = 60;
	fk_put16(f.data + f.l3 + 4, fk_get16(f.data + f.l3 + 4) + 8);
	f.len += 8;
	make_rule(&rule, true, IPPROTO_UDP, address6);
	assert_false(edit(&f, &rule));
}

/* Each output sees the edits before it, and not those behind it. */
static void
outputs_and_edits_take_turns(void **state)
{
	static const struct rte_flow_action actions[] = {
		ACT(PORT_ID, &to_2), ACT(OF_PUSH_VLAN, &push),
		ACT(OF_SET_VLAN_PCP, &pcp), ACT(OF_SET_VLAN_VID, &vid),
		ACT(SET_TTL, &ttl), ACT(PORT_ID, &to_3),
		ACT(OF_POP_VLAN, NULL), ACT(PORT_ID, &to_2), ACT(END, NULL),
	};
	struct vhostpci_flow_rule rule;
	struct vhostpci_flow_frame frame;
	struct fk_frame f, before;
	uint16_t at = 0;

	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	before = f;
	frame = frame_of(&f);
	make_rule(&rule, false, IPPROTO_UDP, actions);
	assert_true(vhostpci_flow_can_edit(&rule, &frame));
	assert_ptr_equal(vhostpci_flow_edit(&rule, &at, &frame),
			 fk_dest(&fk, 2));
	assert_memory_equal(&f, &before, sizeof(f));
	assert_ptr_equal(vhostpci_flow_edit(&rule, &at, &frame),
			 fk_dest(&fk, 3));
	assert_ptr_equal(frame.head, f.data - 4);
	assert_int_equal(frame.len, before.len + 4);
	assert_memory_equal(frame.head, before.data, 12);
	assert_memory_equal(frame.head + 12, "\x88\xa8\xa1\x23\x08\x00", 6);
	assert_int_equal(frame.head[frame.meta.l3 + 8], 63);
	assert_int_equal(frame.meta.l4, 38);
	assert_ptr_equal(vhostpci_flow_edit(&rule, &at, &frame),
			 fk_dest(&fk, 2));
	assert_ptr_equal(frame.head, f.data);
	assert_int_equal(frame.len, before.len);
	assert_int_equal(frame.meta.l3, 14);
	assert_memory_equal(frame.head, before.data, 22);
	assert_null(vhostpci_flow_edit(&rule, &at, &frame));
}

static void
changes_the_tag_that_is_there(void **state)
{
	static const struct rte_flow_action actions[] = {
		ACT(OF_SET_VLAN_VID, &vid), ACT(PORT_ID, &to_2), ACT(END, NULL),
	};
	struct vhostpci_flow_rule rule;
	struct fk_frame f;

	fk_make(&f, false, 0xb007, IPPROTO_UDP, 8);
	make_rule(&rule, false, IPPROTO_UDP, actions);
	assert_true(edit(&f, &rule));
	assert_int_equal(fk_get16(f.data + 14), 0xb123);
	fk_make(&f, false, -1, IPPROTO_UDP, 8);
	assert_false(edit(&f, &rule));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_are_as_computed_anew),
		cmocka_unit_test(udp_without_a_checksum_stays_so),
		cmocka_unit_test(
			a_partial_checksum_stays_a_sum_of_the_pseudo_header),
		cmocka_unit_test(refuses_before_it_changes_anything),
		cmocka_unit_test(refuses_a_checksum_behind_the_head),
		cmocka_unit_test(outputs_and_edits_take_turns),
		cmocka_unit_test(changes_the_tag_that_is_there),
	};

	fk_env_init(&fk);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
