/* SPDX-License-Identifier: BSD-3-Clause */

/* See rewrite.h. */

#include <netinet/in.h>

#include "flow/rewrite.h"

/* Update a checksum for a change of 16 bits, in any byte order (RFC 1624,
 * equation 3). */
static uint16_t
update16(uint16_t csum, uint16_t from, uint16_t to)
{
	uint32_t sum = (uint16_t)~csum + (uint32_t)(uint16_t)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Update a checksum for a change of @len bytes, an even number. Go on by 16
 * bits, as Open vSwitch does: 0 and 0xffff are the same number, and the steps
 * decide which of them results. */
static uint16_t
update(uint16_t csum, const uint8_t *from, const uint8_t *to, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i += 2)
		csum = update16(csum, vhostpci_flow_get16(from + i),
				vhostpci_flow_get16(to + i));
	return csum;
}

static void
put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Returns the L4 checksum, or NULL if this L4 protocol has no checksum over a
 * pseudo header. */
static uint8_t *
l4_csum(const struct vhostpci_flow_frame *frame)
{
	uint8_t *l4 = frame->head + frame->meta.l4;

	if (frame->meta.proto == IPPROTO_TCP)
		return l4 + 16;
	if (frame->meta.proto == IPPROTO_UDP)
		return l4 + 6;
	if (frame->meta.proto == IPPROTO_ICMPV6 &&
	    frame->meta.flags & VHOSTPCI_FLOW_IS_IP6)
		return l4 + 2;
	return NULL;
}

/* Update the L4 checksum after a change of an address in the pseudo header. */
static void
update_l4(const struct vhostpci_flow_frame *frame, const uint8_t *from,
	  const uint8_t *to, unsigned int len)
{
	uint8_t *at = l4_csum(frame);
	bool udp = frame->meta.proto == IPPROTO_UDP;
	uint16_t csum;

	if (at == NULL)
		return;
	csum = vhostpci_flow_get16(at);
	if (frame->partial) {
		/* A partial checksum is the sum, not its complement. */
		put16(at, ~update(~csum, from, to, len));
		return;
	}
	/* The UDP packet has no checksum. */
	if (udp && csum == 0)
		return;
	csum = update(csum, from, to, len);
	put16(at, udp && csum == 0 ? UINT16_MAX : csum);
}

static void
set_ip4(struct vhostpci_flow_frame *frame, unsigned int offset,
	const uint8_t *to)
{
	uint8_t *ip = frame->head + frame->meta.l3, *at = ip + offset;

	if (memcmp(at, to, 4) == 0)
		return;
	update_l4(frame, at, to, 4);
	put16(ip + 10, update(vhostpci_flow_get16(ip + 10), at, to, 4));
	memcpy(at, to, 4);
}

static void
set_ip6(struct vhostpci_flow_frame *frame, unsigned int offset,
	const uint8_t *to)
{
	uint8_t *at = frame->head + frame->meta.l3 + offset;

	if (memcmp(at, to, 16) == 0)
		return;
	update_l4(frame, at, to, 16);
	memcpy(at, to, 16);
}

static void
set_ttl(struct vhostpci_flow_frame *frame, uint8_t ttl)
{
	uint8_t *ip = frame->head + frame->meta.l3;

	if (frame->meta.flags & VHOSTPCI_FLOW_IS_IP6) {
		ip[7] = ttl;
	} else if (ip[8] != ttl) {
		const uint8_t from[2] = { ip[8], 0 }, to[2] = { ttl, 0 };

		put16(ip + 10, update(vhostpci_flow_get16(ip + 10), from, to,
				      2));
		ip[8] = ttl;
	}
}

/* @offset: the place of the port in the L4 header. */
static void
set_port(struct vhostpci_flow_frame *frame, unsigned int offset,
	 const uint8_t *to)
{
	uint8_t *at = frame->head + frame->meta.l4 + offset;
	uint8_t *csum_at = l4_csum(frame);
	uint16_t csum = vhostpci_flow_get16(csum_at);
	bool udp = frame->meta.proto == IPPROTO_UDP;

	/* The receiver completes a partial checksum from the port that it
	 * finds. */
	if (memcmp(at, to, 2) != 0 && !frame->partial && !(udp && csum == 0)) {
		csum = update(csum, at, to, 2);
		put16(csum_at, udp && csum == 0 ? UINT16_MAX : csum);
	}
	memcpy(at, to, 2);
}

static void
move_head(struct vhostpci_flow_frame *frame, int by)
{
	uint8_t *to = frame->head + by;

	memmove(to, frame->head, 12);
	frame->head = to;
	frame->len -= by;
	if (frame->meta.l3 != 0) {
		frame->meta.l3 -= by;
		frame->meta.l4 -= by;
	}
}

static bool
is_tagged(const struct vhostpci_flow_frame *frame)
{
	return frame->len >= 18 &&
		vhostpci_flow_is_vlan(vhostpci_flow_get16(frame->head + 12));
}

/* Insert a tag. @tag: TPID, TCI. */
static void
push_tag(struct vhostpci_flow_frame *frame, const uint8_t *tag)
{
	move_head(frame, -4);
	memcpy(frame->head + 12, tag, 2);
	put16(frame->head + 14,
	      vhostpci_flow_get16(tag + 2) & RTE_BE16(0xefff));
}

static void
set_tci(struct vhostpci_flow_frame *frame, const uint8_t *operand)
{
	uint8_t *at = frame->head + 14;

	put16(at, (vhostpci_flow_get16(at) & ~vhostpci_flow_get16(operand)) |
	      vhostpci_flow_get16(operand + 2));
}

bool
vhostpci_flow_can_edit(const struct vhostpci_flow_rule *rule,
		       const struct vhostpci_flow_frame *frame)
{
	const struct vhostpci_flow_meta *meta = &frame->meta;
	uint8_t edits = rule->edits, ip4 = meta->flags & VHOSTPCI_FLOW_IS_IP4;
	uint8_t ip6 = meta->flags & VHOSTPCI_FLOW_IS_IP6;
	unsigned int l4 = meta->proto == IPPROTO_TCP ? 20 :
		meta->proto == IPPROTO_UDP || meta->proto == IPPROTO_ICMPV6 ?
		8 : 0;

	if (edits == 0)
		return true;
	if (edits & VHOSTPCI_FLOW_EDIT_TAG && !is_tagged(frame))
		return false;
	if (edits & VHOSTPCI_FLOW_EDIT_TTL && !ip4 && !ip6)
		return false;
	if (edits & VHOSTPCI_FLOW_EDIT_IP4 && !ip4)
		return false;
	/* With a routing header the checksum covers another destination. */
	if (edits & VHOSTPCI_FLOW_EDIT_IP6 &&
	    (!ip6 || meta->flags & VHOSTPCI_FLOW_HAS_EXT))
		return false;
	if (edits & VHOSTPCI_FLOW_EDIT_TP && meta->proto != IPPROTO_TCP &&
	    meta->proto != IPPROTO_UDP)
		return false;
	/* All other edits change the L4 header or its checksum. */
	if ((edits & (VHOSTPCI_FLOW_EDIT_IP4 | VHOSTPCI_FLOW_EDIT_IP6 |
		      VHOSTPCI_FLOW_EDIT_TP)) == 0)
		return true;
	return !(meta->flags & VHOSTPCI_FLOW_IS_LATER) && meta->l4_len >= l4 &&
		meta->l4 + l4 <= frame->len;
}

/* One function: a switch of operations. */
static void
apply(struct vhostpci_flow_frame *frame, enum vhostpci_flow_op op,
      const uint8_t *operand)
{
	switch (op) {
	case VHOSTPCI_FLOW_OP_MAC_DST:
		memcpy(frame->head, operand, 6);
		break;
	case VHOSTPCI_FLOW_OP_MAC_SRC:
		memcpy(frame->head + 6, operand, 6);
		break;
	case VHOSTPCI_FLOW_OP_IP4_SRC:
		set_ip4(frame, 12, operand);
		break;
	case VHOSTPCI_FLOW_OP_IP4_DST:
		set_ip4(frame, 16, operand);
		break;
	case VHOSTPCI_FLOW_OP_IP6_SRC:
		set_ip6(frame, 8, operand);
		break;
	case VHOSTPCI_FLOW_OP_IP6_DST:
		set_ip6(frame, 24, operand);
		break;
	case VHOSTPCI_FLOW_OP_TP_SRC:
		set_port(frame, 0, operand);
		break;
	case VHOSTPCI_FLOW_OP_TP_DST:
		set_port(frame, 2, operand);
		break;
	case VHOSTPCI_FLOW_OP_TTL:
		set_ttl(frame, *operand);
		break;
	case VHOSTPCI_FLOW_OP_PUSH:
		push_tag(frame, operand);
		break;
	case VHOSTPCI_FLOW_OP_TCI:
		set_tci(frame, operand);
		break;
	case VHOSTPCI_FLOW_OP_POP:
		if (is_tagged(frame))
			move_head(frame, 4);
		break;
	default:
		break;
	}
}

void *
vhostpci_flow_edit(const struct vhostpci_flow_rule *rule, uint16_t *at,
		   struct vhostpci_flow_frame *frame)
{
	const uint8_t *prog = vhostpci_flow_prog(rule);
	void *dest;

	while (*at < rule->prog_len) {
		enum vhostpci_flow_op op = prog[*at];
		const uint8_t *operand = &prog[*at + 1];

		*at += 1 + vhostpci_flow_op_len[op];
		if (op == VHOSTPCI_FLOW_OP_OUTPUT) {
			memcpy(&dest, operand, sizeof(dest));
			return dest;
		}
		apply(frame, op, operand);
	}
	return NULL;
}
