/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The pattern of a rule: translate items of rte_flow to a key and a mask.
 *
 * If a mask asks for a field that keys lack, this refuses the pattern, and
 * never ignores the field.
 */

#include <rte_ip.h>

#include "flow/range.h"
#include "flow/rule.h"

/* Fields in the byte order of the packet. */
struct fields {
	uint8_t dst[6], src[6];
	uint16_t type, tci, tpid;
	uint8_t frag, flags;
	uint64_t addr, src6, dst6, dst6_low;
	uint32_t ports;
	uint16_t tcp;
	uint8_t proto, tos, ttl;
};

/* Items must come in the order of headers in a packet. */
enum layer { LAYER_NONE, LAYER_ETH, LAYER_VLAN, LAYER_IP, LAYER_FRAG, LAYER_L4 };

struct pattern {
	struct fields spec, mask;
	enum layer layer;
};

typedef const char *item_parser(struct pattern *p, const void *spec,
				const void *mask, const void *last);

/* Require @value in the bits @mask of a field; false if the pattern already
 * requires something else. */
#define REQUIRE(p, field, value, bits) __extension__ ({ \
	__typeof__((p)->mask.field) both_ = (p)->mask.field & (bits); \
	bool ok_ = ((p)->spec.field & both_) == ((value) & both_); \
	(p)->spec.field |= (value) & (bits); \
	(p)->mask.field |= (bits); \
	ok_; \
})

#define CONTRADICTION	"pattern: items contradict each other"

/* A pattern may match a whole ethertype or none, but not a part of it. */
static bool
is_whole(uint16_t mask)
{
	return mask == 0 || mask == UINT16_MAX;
}

static const char *
parse_eth(struct pattern *p, const void *spec, const void *mask,
	  const void *last __rte_unused)
{
	const struct rte_flow_item_eth *s = spec, *m = mask;
	bool ok = true;
	unsigned int i;

	if (!is_whole(m->type))
		return "item eth: part of an ethertype";
	if (m->reserved != 0)
		return "item eth: reserved bits";
	for (i = 0; i < 6; i++) {
		p->mask.dst[i] = m->dst.addr_bytes[i];
		p->mask.src[i] = m->src.addr_bytes[i];
		p->spec.dst[i] = s->dst.addr_bytes[i] & p->mask.dst[i];
		p->spec.src[i] = s->src.addr_bytes[i] & p->mask.src[i];
	}
	if (m->has_vlan)
		ok = REQUIRE(p, flags, s->has_vlan ? VHOSTPCI_FLOW_TAGGED : 0,
			     VHOSTPCI_FLOW_TAGGED);
	if (m->type != 0 && vhostpci_flow_is_vlan(s->type)) {
		ok &= REQUIRE(p, tpid, s->type, UINT16_MAX);
		ok &= REQUIRE(p, flags, VHOSTPCI_FLOW_TAGGED,
			      VHOSTPCI_FLOW_TAGGED);
	} else if (m->type != 0) {
		if (rte_be_to_cpu_16(s->type) < 0x600)
			return "item eth: a length is not an ethertype";
		ok &= REQUIRE(p, type, s->type, UINT16_MAX);
		ok &= REQUIRE(p, flags, 0, VHOSTPCI_FLOW_TAGGED);
	}
	return ok ? NULL : CONTRADICTION;
}

static const char *
parse_vlan(struct pattern *p, const void *spec, const void *mask,
	   const void *last __rte_unused)
{
	const struct rte_flow_item_vlan *s = spec, *m = mask;
	bool ok;

	if (!is_whole(m->inner_type))
		return "item vlan: part of an ethertype";
	if ((m->tci & RTE_BE16(0x1000)) != 0)
		return "item vlan: the CFI bit";
	if (m->reserved != 0)
		return "item vlan: reserved bits";
	if ((m->has_more_vlan && s->has_more_vlan) ||
	    (m->inner_type != 0 && vhostpci_flow_is_vlan(s->inner_type)))
		return "item vlan: more than one tag";
	ok = REQUIRE(p, flags, VHOSTPCI_FLOW_TAGGED, VHOSTPCI_FLOW_TAGGED);
	ok &= REQUIRE(p, tci, s->tci, m->tci);
	if (m->inner_type != 0) {
		if (rte_be_to_cpu_16(s->inner_type) < 0x600)
			return "item vlan: a length is not an ethertype";
		ok &= REQUIRE(p, type, s->inner_type, UINT16_MAX);
	}
	return ok ? NULL : CONTRADICTION;
}

/* Require the ethertype of an IP item; also require that there is no tag,
 * unless the pattern has a VLAN item. */
static bool
require_ip(struct pattern *p, uint16_t type)
{
	if ((p->mask.flags & VHOSTPCI_FLOW_TAGGED) == 0)
		p->mask.flags |= VHOSTPCI_FLOW_TAGGED;
	return REQUIRE(p, type, type, UINT16_MAX);
}

/* Require a whole packet, the first fragment, or a later fragment. @mf and
 * @offset are the bits of the field; @last is the end of a range or 0. */
static const char *
parse_frag(struct pattern *p, uint16_t spec, uint16_t mask, uint16_t last,
	   uint16_t mf, uint16_t offset)
{
	uint8_t both = VHOSTPCI_FLOW_FRAG | VHOSTPCI_FLOW_LATER;
	uint16_t one = offset & -offset;
	bool ok;

	spec &= mask;
	if (mask == 0 && last == 0)
		return NULL;
	if (mask == (mf | offset) && last == 0 && spec == 0)
		ok = REQUIRE(p, frag, 0, both);
	else if (mask == (mf | offset) && last == 0 && spec == mf)
		ok = REQUIRE(p, frag, VHOSTPCI_FLOW_FRAG, both);
	else if (mask == offset && last == offset && spec == one)
		ok = REQUIRE(p, frag, both, both);
	else
		return "item: this choice of fragments is not supported";
	return ok ? NULL : CONTRADICTION;
}

static const char *
parse_ipv4(struct pattern *p, const void *spec, const void *mask,
	   const void *last)
{
	const struct rte_flow_item_ipv4 *s = spec, *m = mask;
	struct rte_flow_item_ipv4 rest = *m;
	uint32_t both[2];
	uint16_t end;

	rest.hdr.type_of_service = 0;
	rest.hdr.time_to_live = 0;
	rest.hdr.next_proto_id = 0;
	rest.hdr.src_addr = 0;
	rest.hdr.dst_addr = 0;
	rest.hdr.fragment_offset = 0;
	if (!vhostpci_flow_all_zero(&rest, sizeof(rest)))
		return "item ipv4: a field that is not matched";
	if (!vhostpci_flow_get_range(s, last, sizeof(*s),
				     offsetof(struct rte_flow_item_ipv4,
					      hdr.fragment_offset), &end))
		return "item ipv4: a range";
	if (!require_ip(p, RTE_BE16(0x0800)))
		return CONTRADICTION;
	p->mask.tos = m->hdr.type_of_service;
	p->spec.tos = s->hdr.type_of_service & p->mask.tos;
	p->mask.ttl = m->hdr.time_to_live;
	p->spec.ttl = s->hdr.time_to_live & p->mask.ttl;
	p->mask.proto = m->hdr.next_proto_id;
	p->spec.proto = s->hdr.next_proto_id & p->mask.proto;
	both[0] = m->hdr.src_addr;
	both[1] = m->hdr.dst_addr;
	memcpy(&p->mask.addr, both, sizeof(both));
	both[0] &= s->hdr.src_addr;
	both[1] &= s->hdr.dst_addr;
	memcpy(&p->spec.addr, both, sizeof(both));
	return parse_frag(p, rte_be_to_cpu_16(s->hdr.fragment_offset),
			  rte_be_to_cpu_16(m->hdr.fragment_offset), end,
			  RTE_IPV4_HDR_MF_FLAG, RTE_IPV4_HDR_OFFSET_MASK);
}

static void
set_addr6(uint64_t *spec, uint64_t *mask, const void *s, const void *m,
	  unsigned int byte)
{
	*mask = vhostpci_flow_get64((const uint8_t *)m + byte);
	*spec = vhostpci_flow_get64((const uint8_t *)s + byte) & *mask;
}

static const char *
parse_ipv6(struct pattern *p, const void *spec, const void *mask,
	   const void *last __rte_unused)
{
	const struct rte_flow_item_ipv6 *s = spec, *m = mask;
	struct rte_flow_item_ipv6 rest = *m;
	bool ok;

	rest.hdr.vtc_flow &= ~RTE_BE32(0x0ff00000);
	rest.hdr.proto = 0;
	rest.hdr.hop_limits = 0;
	/* The type of an address depends on the release of DPDK: array or
	 * structure. */
	memset(&rest.hdr.src_addr, 0, sizeof(rest.hdr.src_addr));
	memset(&rest.hdr.dst_addr, 0, sizeof(rest.hdr.dst_addr));
	rest.has_frag_ext = 0;
	if (!vhostpci_flow_all_zero(&rest, sizeof(rest)))
		return "item ipv6: a field that is not matched";
	ok = require_ip(p, RTE_BE16(0x86dd));
	p->mask.tos = rte_be_to_cpu_32(m->hdr.vtc_flow) >> 20;
	p->spec.tos = rte_be_to_cpu_32(s->hdr.vtc_flow) >> 20 & p->mask.tos;
	p->mask.ttl = m->hdr.hop_limits;
	p->spec.ttl = s->hdr.hop_limits & p->mask.ttl;
	p->mask.proto = m->hdr.proto;
	p->spec.proto = s->hdr.proto & p->mask.proto;
	set_addr6(&p->spec.addr, &p->mask.addr, &s->hdr.src_addr,
		  &m->hdr.src_addr, 0);
	set_addr6(&p->spec.src6, &p->mask.src6, &s->hdr.src_addr,
		  &m->hdr.src_addr, 8);
	set_addr6(&p->spec.dst6, &p->mask.dst6, &s->hdr.dst_addr,
		  &m->hdr.dst_addr, 0);
	set_addr6(&p->spec.dst6_low, &p->mask.dst6_low, &s->hdr.dst_addr,
		  &m->hdr.dst_addr, 8);
	if (m->has_frag_ext)
		ok &= REQUIRE(p, frag, s->has_frag_ext ? VHOSTPCI_FLOW_FRAG : 0,
			      VHOSTPCI_FLOW_FRAG);
	return ok ? NULL : CONTRADICTION;
}

static const char *
parse_frag_ext(struct pattern *p, const void *spec, const void *mask,
	       const void *last)
{
	const struct rte_flow_item_ipv6_frag_ext *s = spec, *m = mask;
	struct rte_flow_item_ipv6_frag_ext rest = *m;
	uint16_t end;
	bool ok;

	rest.hdr.next_header = 0;
	rest.hdr.frag_data = 0;
	if (!vhostpci_flow_all_zero(&rest, sizeof(rest)))
		return "item ipv6_frag_ext: a field that is not matched";
	if (!vhostpci_flow_get_range(s, last, sizeof(*s),
				     offsetof(struct rte_flow_item_ipv6_frag_ext,
					      hdr.frag_data), &end))
		return "item ipv6_frag_ext: a range";
	if (p->spec.type != RTE_BE16(0x86dd))
		return "item ipv6_frag_ext: not behind an item ipv6";
	ok = REQUIRE(p, frag, VHOSTPCI_FLOW_FRAG, VHOSTPCI_FLOW_FRAG);
	ok &= REQUIRE(p, proto, s->hdr.next_header, m->hdr.next_header);
	if (!ok)
		return CONTRADICTION;
	return parse_frag(p, rte_be_to_cpu_16(s->hdr.frag_data),
			  rte_be_to_cpu_16(m->hdr.frag_data), end,
			  RTE_IPV6_EHDR_MF_MASK, RTE_IPV6_EHDR_FO_MASK);
}

/* Require @proto, and the values of the fields in the place of ports. */
static const char *
require_l4(struct pattern *p, uint8_t proto, uint32_t spec, uint32_t mask)
{
	bool ok = REQUIRE(p, proto, proto, UINT8_MAX);

	if ((p->mask.type & p->spec.type) != RTE_BE16(0x0800) &&
	    (p->mask.type & p->spec.type) != RTE_BE16(0x86dd))
		return "item: L4 without IP";
	ok &= REQUIRE(p, ports, spec, mask);
	return ok ? NULL : CONTRADICTION;
}

static uint32_t
ports(uint16_t src, uint16_t dst)
{
	const uint16_t both[2] = { src, dst };

	return vhostpci_flow_get32((const uint8_t *)both);
}

static const char *
parse_tcp(struct pattern *p, const void *spec, const void *mask,
	  const void *last __rte_unused)
{
	const struct rte_flow_item_tcp *s = spec, *m = mask;
	struct rte_flow_item_tcp rest = *m;

	rest.hdr.src_port = 0;
	rest.hdr.dst_port = 0;
	rest.hdr.tcp_flags = 0;
	/* Open vSwitch puts the upper flags here, without the length. */
	rest.hdr.data_off &= 0xf0;
	if (!vhostpci_flow_all_zero(&rest, sizeof(rest)))
		return "item tcp: a field that is not matched";
	p->mask.tcp = rte_cpu_to_be_16(m->hdr.data_off << 8 | m->hdr.tcp_flags);
	p->spec.tcp = rte_cpu_to_be_16((s->hdr.data_off & 0x0f) << 8 |
				       s->hdr.tcp_flags) & p->mask.tcp;
	return require_l4(p, IPPROTO_TCP,
			  ports(s->hdr.src_port, s->hdr.dst_port),
			  ports(m->hdr.src_port, m->hdr.dst_port));
}

static const char *
parse_udp(struct pattern *p, const void *spec, const void *mask,
	  const void *last __rte_unused)
{
	const struct rte_flow_item_udp *s = spec, *m = mask;

	if (m->hdr.dgram_len != 0 || m->hdr.dgram_cksum != 0)
		return "item udp: a field that is not matched";
	return require_l4(p, IPPROTO_UDP,
			  ports(s->hdr.src_port, s->hdr.dst_port),
			  ports(m->hdr.src_port, m->hdr.dst_port));
}

static const char *
parse_sctp(struct pattern *p, const void *spec, const void *mask,
	   const void *last __rte_unused)
{
	const struct rte_flow_item_sctp *s = spec, *m = mask;

	if (m->hdr.tag != 0 || m->hdr.cksum != 0)
		return "item sctp: a field that is not matched";
	return require_l4(p, IPPROTO_SCTP,
			  ports(s->hdr.src_port, s->hdr.dst_port),
			  ports(m->hdr.src_port, m->hdr.dst_port));
}

static const char *
parse_icmp(struct pattern *p, const void *spec, const void *mask,
	   const void *last __rte_unused)
{
	const struct rte_flow_item_icmp *s = spec, *m = mask;

	if (m->hdr.icmp_cksum != 0 || m->hdr.icmp_ident != 0 ||
	    m->hdr.icmp_seq_nb != 0)
		return "item icmp: a field that is not matched";
	return require_l4(p, IPPROTO_ICMP,
			  vhostpci_flow_icmp(s->hdr.icmp_type,
					     s->hdr.icmp_code),
			  vhostpci_flow_icmp(m->hdr.icmp_type,
					     m->hdr.icmp_code));
}

static const char *
parse_icmp6(struct pattern *p, const void *spec, const void *mask,
	    const void *last __rte_unused)
{
	const struct rte_flow_item_icmp6 *s = spec, *m = mask;

	if (m->checksum != 0)
		return "item icmp6: a field that is not matched";
	return require_l4(p, IPPROTO_ICMPV6,
			  vhostpci_flow_icmp(s->type, s->code),
			  vhostpci_flow_icmp(m->type, m->code));
}

/* How to parse an item. range: the parser looks at `last`. */
static const struct item {
	item_parser *parse;
	const void *mask;	/* if the pattern gives none */
	uint8_t size;
	uint8_t layer;
	bool range;
} known_items[] = {
#define ITEM(type, name, at, ranges) [RTE_FLOW_ITEM_TYPE_##type] = { \
	parse_##name, &rte_flow_item_##name##_mask, \
	sizeof(struct rte_flow_item_##name), at, ranges }
	ITEM(ETH, eth, LAYER_ETH, false),
	ITEM(VLAN, vlan, LAYER_VLAN, false),
	ITEM(IPV4, ipv4, LAYER_IP, true),
	ITEM(IPV6, ipv6, LAYER_IP, false),
	[RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT] = {
		parse_frag_ext, NULL,
		sizeof(struct rte_flow_item_ipv6_frag_ext), LAYER_FRAG, true
	},
	ITEM(TCP, tcp, LAYER_L4, false),
	ITEM(UDP, udp, LAYER_L4, false),
	ITEM(SCTP, sctp, LAYER_L4, false),
	ITEM(ICMP, icmp, LAYER_L4, false),
	ITEM(ICMP6, icmp6, LAYER_L4, false),
#undef ITEM
};

static const char *
parse_item(struct pattern *p, const struct rte_flow_item *item)
{
	static const uint64_t zero[16];
	const void *spec = zero, *mask = zero;
	const struct item *known;

	_Static_assert(sizeof(zero) >= sizeof(struct rte_flow_item_ipv6),
		       "an item that is not there is zero");
	if (item->type < 0 || (size_t)item->type >= RTE_DIM(known_items) ||
	    known_items[item->type].parse == NULL)
		return "pattern: an item of this type is not supported";
	known = &known_items[item->type];
	if (p->layer >= known->layer)
		return "pattern: items in another order than in packets";
	if (item->spec == NULL && (item->last != NULL))
		return "pattern: an item's last without spec";
	if (item->spec != NULL) {
		spec = item->spec;
		mask = item->mask != NULL ? item->mask :
			known->mask != NULL ? known->mask : zero;
	}
	if (item->last != NULL && !known->range &&
	    !vhostpci_flow_is_point(spec, item->last, known->size))
		return "pattern: a range";
	p->layer = known->layer;
	return known->parse(p, spec, mask, item->last);
}

/* A rule always belongs to this port; accept an item that says the same. */
static const char *
parse_port(const struct vhostpci_flow_env *env, const struct rte_flow_item *item)
{
	const struct rte_flow_item_port_id *id = item->spec;
	const struct rte_flow_item_ethdev *dev = item->spec;

	if (item->spec == NULL)
		return NULL;
	if (item->type == RTE_FLOW_ITEM_TYPE_PORT_ID ?
	    id->id != env->port_id : dev->port_id != env->port_id)
		return "pattern: another port";
	return NULL;
}

static void
build(const struct fields *f, struct vhostpci_flow_key *key)
{
	*key = (struct vhostpci_flow_key) { .w = {
		[VHOSTPCI_FLOW_L2] = vhostpci_flow_l2(f->type, f->tci, f->tpid,
						      f->frag, f->flags),
		[VHOSTPCI_FLOW_ADDR] = f->addr,
		[VHOSTPCI_FLOW_L4] = vhostpci_flow_l4(f->ports, f->tcp,
						      f->proto, f->tos),
		[VHOSTPCI_FLOW_DST] = vhostpci_flow_mac(f->dst, f->ttl),
		[VHOSTPCI_FLOW_SRC] = vhostpci_flow_mac(f->src, 0),
		[VHOSTPCI_FLOW_SRC6] = f->src6,
		[VHOSTPCI_FLOW_DST6] = f->dst6,
		[VHOSTPCI_FLOW_DST6_LOW] = f->dst6_low,
	} };
}

const char *
vhostpci_flow_pattern(const struct vhostpci_flow_env *env,
		      const struct rte_flow_item items[],
		      struct vhostpci_flow_spec *spec)
{
	struct pattern p = { .layer = LAYER_NONE };
	const char *wrong = NULL;

	p.mask.flags = VHOSTPCI_FLOW_INVALID;
	for (; items->type != RTE_FLOW_ITEM_TYPE_END && wrong == NULL; items++) {
		if (items->type == RTE_FLOW_ITEM_TYPE_VOID)
			continue;
		if (items->type == RTE_FLOW_ITEM_TYPE_PORT_ID ||
		    items->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT)
			wrong = parse_port(env, items);
		else
			wrong = parse_item(&p, items);
	}
	build(&p.spec, &spec->key);
	build(&p.mask, &spec->mask);
	return wrong;
}
