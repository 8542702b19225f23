/* SPDX-License-Identifier: BSD-3-Clause */

/* See flow/parse.h: packets that are not the most common ones. */

#include "flow/parse.h"

/* The position of the parser in the packet. */
struct vhostpci_flow_walk {
	const uint8_t *head;
	uint32_t head_len;	/* valid bytes of head */
	uint32_t l4_len;
	uint32_t l4;
	uint8_t proto;
	uint8_t frag;		/* VHOSTPCI_FLOW_FRAG, _LATER */
};

static __rte_always_inline bool
vhostpci_flow_is_ext(uint8_t proto)
{
	/* Hop-by-hop, routing, fragment, AH, destination options. */
	return proto < 64 && (1ull << proto & (1ull << 0 | 1ull << 43 |
		1ull << 44 | 1ull << 51 | 1ull << 60)) != 0;
}

/* Parse a fragment header of 8 bytes at @p. */
static enum vhostpci_flow_miss
walk_fragment(struct vhostpci_flow_walk *walk, const uint8_t *p)
{
	uint16_t off = vhostpci_flow_get16(p + 2);

	/* RFC 6946: a fragment header of a packet that is not fragmented. Open
	 * vSwitch treats such a packet as no fragment, rte_flow as one. */
	if (off == 0)
		return VHOSTPCI_FLOW_MISS_EXT;
	walk->frag = VHOSTPCI_FLOW_FRAG;
	walk->proto = p[0];
	if ((off & RTE_BE16(0xfff8)) != 0) {
		walk->frag |= VHOSTPCI_FLOW_LATER;
		walk->proto = 44;
	}
	return VHOSTPCI_FLOW_HIT;
}

/* As parse_ipv6_ext_hdrs__() of Open vSwitch. Each header has at least 8 bytes,
 * so the loop ends at the end of the packet at the latest. */
static enum vhostpci_flow_miss
vhostpci_flow_walk_ext(struct vhostpci_flow_walk *walk)
{
	while (vhostpci_flow_is_ext(walk->proto)) {
		const uint8_t *p = walk->head + walk->l4;
		enum vhostpci_flow_miss miss = VHOSTPCI_FLOW_HIT;
		uint32_t len = 8;

		if (walk->l4_len < 8)
			return VHOSTPCI_FLOW_MISS_EXT;
		if (walk->head_len < walk->l4 + 8)
			return VHOSTPCI_FLOW_MISS_DEEP;
		if (walk->proto == 44) {
			miss = walk_fragment(walk, p);
		} else {
			len = walk->proto == 51 ? (p[1] + 2u) * 4 :
				(p[1] + 1u) * 8;
			walk->proto = p[0];
		}
		if (miss != VHOSTPCI_FLOW_HIT)
			return miss;
		if (len > walk->l4_len)
			return VHOSTPCI_FLOW_MISS_EXT;
		walk->l4 += len;
		walk->l4_len -= len;
		if (walk->l4 > VHOSTPCI_FLOW_HEAD)
			return VHOSTPCI_FLOW_MISS_DEEP;
		if (walk->frag & VHOSTPCI_FLOW_LATER)
			break;
	}
	return VHOSTPCI_FLOW_HIT;
}

/* @room: bytes from @l3 to the end of the packet. Like Open vSwitch, this does
 * not check the version number. */
static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_ip4(struct vhostpci_flow_walk *walk, uint32_t l3,
			uint32_t room)
{
	const uint8_t *p = walk->head + l3;
	uint32_t ihl, len;
	uint16_t off;

	if (unlikely(walk->head_len < l3 + 20))
		return VHOSTPCI_FLOW_MISS_IP;
	ihl = (p[0] & 15) * 4;
	len = rte_be_to_cpu_16(vhostpci_flow_get16(p + 2));
	if (unlikely(ihl < 20 || ihl > len || len > room ||
		     room - len > UINT16_MAX))
		return VHOSTPCI_FLOW_MISS_IP;
	off = vhostpci_flow_get16(p + 6);
	if (unlikely((off & RTE_BE16(0x3fff)) != 0)) {
		walk->frag = VHOSTPCI_FLOW_FRAG;
		if ((off & RTE_BE16(0x1fff)) != 0)
			walk->frag |= VHOSTPCI_FLOW_LATER;
	}
	walk->proto = p[9];
	walk->l4 = l3 + ihl;
	walk->l4_len = len - ihl;
	return VHOSTPCI_FLOW_HIT;
}

static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_ip6(struct vhostpci_flow_walk *walk, uint32_t l3,
			uint32_t room)
{
	const uint8_t *p = walk->head + l3;
	uint32_t len;

	if (unlikely(walk->head_len < l3 + 40))
		return VHOSTPCI_FLOW_MISS_IP;
	len = rte_be_to_cpu_16(vhostpci_flow_get16(p + 4));
	if (unlikely(len + 40 > room || room - (len + 40) > UINT16_MAX))
		return VHOSTPCI_FLOW_MISS_IP;
	walk->proto = p[6];
	walk->l4 = l3 + 40;
	walk->l4_len = len;
	if (unlikely(vhostpci_flow_is_ext(walk->proto)))
		return vhostpci_flow_walk_ext(walk);
	return VHOSTPCI_FLOW_HIT;
}

/* Parse the TCP header even if no rule asks for ports: the flags decide whether
 * a packet may be steered at all. */
static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_tcp(const struct vhostpci_flow_walk *walk, uint16_t *flags)
{
	const uint8_t *p = walk->head + walk->l4;
	uint32_t len;

	if (unlikely(walk->l4_len < 20))
		return VHOSTPCI_FLOW_MISS_L4;
	if (unlikely(walk->head_len < walk->l4 + 20))
		return VHOSTPCI_FLOW_MISS_DEEP;
	len = (p[12] >> 4) * 4;
	if (unlikely(len < 20 || walk->l4_len < len))
		return VHOSTPCI_FLOW_MISS_L4;
	*flags = vhostpci_flow_get16(p + 12) & RTE_BE16(0x0fff);
	return VHOSTPCI_FLOW_HIT;
}

/* Ports, or what stands in their place. */
static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_ports(const struct vhostpci_flow_walk *walk,
			  uint32_t *ports)
{
	const uint8_t *p = walk->head + walk->l4;
	bool icmp = walk->proto == 1 || walk->proto == 58;
	uint32_t least;

	if (walk->proto == 6 || walk->proto == 17 || icmp)
		least = 8;
	else if (walk->proto == 132)
		least = 12;
	else
		return VHOSTPCI_FLOW_HIT;
	if (unlikely(walk->l4_len < least))
		return VHOSTPCI_FLOW_MISS_L4;
	if (unlikely(walk->head_len < walk->l4 + 8))
		return VHOSTPCI_FLOW_MISS_DEEP;
	*ports = icmp ? vhostpci_flow_icmp(p[0], p[1]) :
		vhostpci_flow_get32(p);
	return VHOSTPCI_FLOW_HIT;
}

static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_l4(const struct vhostpci_flow_walk *walk, unsigned int need,
		       uint8_t tos, struct vhostpci_flow_key *key,
		       uint8_t *meta_flags)
{
	enum vhostpci_flow_miss miss = VHOSTPCI_FLOW_HIT;
	uint16_t tcp = 0;
	uint32_t ports = 0;

	if (unlikely(walk->frag & VHOSTPCI_FLOW_LATER)) {
		*meta_flags |= VHOSTPCI_FLOW_IS_LATER;
	} else {
		if (walk->proto == 6)
			miss = vhostpci_flow_parse_tcp(walk, &tcp);
		if (tcp & RTE_BE16(0x0007))
			*meta_flags |= VHOSTPCI_FLOW_CONTROL;
		if (need & 1u << VHOSTPCI_FLOW_L4 && miss == VHOSTPCI_FLOW_HIT)
			miss = vhostpci_flow_parse_ports(walk, &ports);
	}
	if (need & 1u << VHOSTPCI_FLOW_L4)
		key->w[VHOSTPCI_FLOW_L4] =
			vhostpci_flow_l4(ports, tcp, walk->proto, tos);
	return miss;
}

static __rte_always_inline void
vhostpci_flow_parse_addr6(const uint8_t *p, struct vhostpci_flow_key *key)
{
	key->w[VHOSTPCI_FLOW_ADDR] = vhostpci_flow_get64(p + 8);
	key->w[VHOSTPCI_FLOW_SRC6] = vhostpci_flow_get64(p + 16);
	key->w[VHOSTPCI_FLOW_DST6] = vhostpci_flow_get64(p + 24);
	key->w[VHOSTPCI_FLOW_DST6_LOW] = vhostpci_flow_get64(p + 32);
}

/* A packet that is not IP has 0 in these words. */
static __rte_always_inline void
vhostpci_flow_clear_ip(struct vhostpci_flow_key *key)
{
	key->w[VHOSTPCI_FLOW_ADDR] = 0;
	key->w[VHOSTPCI_FLOW_L4] = 0;
	key->w[VHOSTPCI_FLOW_SRC6] = 0;
	key->w[VHOSTPCI_FLOW_DST6] = 0;
	key->w[VHOSTPCI_FLOW_DST6_LOW] = 0;
}

/* Parse the IP header and the header behind it, and add the fragment bits to
 * the key. */
static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse_l3(struct vhostpci_flow_walk *walk, uint32_t l3,
		       uint32_t room, unsigned int need,
		       struct vhostpci_flow_key *key,
		       struct vhostpci_flow_meta *meta, uint8_t *ttl)
{
	const uint8_t *p = walk->head + l3;
	enum vhostpci_flow_miss miss;
	uint8_t tos, flags;

	if (likely(meta->type == RTE_BE16(0x0800))) {
		miss = vhostpci_flow_parse_ip4(walk, l3, room);
		if (unlikely(miss != VHOSTPCI_FLOW_HIT))
			return miss;
		flags = VHOSTPCI_FLOW_IS_IP4;
		tos = p[1];
		*ttl = p[8];
		if (need & 1u << VHOSTPCI_FLOW_ADDR)
			key->w[VHOSTPCI_FLOW_ADDR] = vhostpci_flow_get64(p + 12);
		if (need & 1u << VHOSTPCI_FLOW_SRC6)
			vhostpci_flow_clear_addr6(key);
	} else {
		miss = vhostpci_flow_parse_ip6(walk, l3, room);
		if (unlikely(miss != VHOSTPCI_FLOW_HIT))
			return miss;
		flags = VHOSTPCI_FLOW_IS_IP6;
		if (walk->l4 != l3 + 40)
			flags |= VHOSTPCI_FLOW_HAS_EXT;
		tos = rte_be_to_cpu_16(vhostpci_flow_get16(p)) >> 4;
		*ttl = p[7];
		if (need & (1u << VHOSTPCI_FLOW_ADDR | 1u << VHOSTPCI_FLOW_SRC6))
			vhostpci_flow_parse_addr6(p, key);
	}
	miss = vhostpci_flow_parse_l4(walk, need, tos, key, &flags);
	meta->l4_len = walk->l4_len;
	meta->l3 = l3;
	meta->l4 = walk->l4;
	meta->proto = walk->proto;
	meta->flags = flags;
	return miss;
}

/* One function: its branches are those of a packet. */
enum vhostpci_flow_miss
vhostpci_flow_parse_slow(const uint8_t *head, uint32_t head_len,
			 uint32_t pkt_len, unsigned int need,
			 struct vhostpci_flow_key *key,
			 struct vhostpci_flow_meta *meta)
{
	struct vhostpci_flow_walk walk = {
		.head = head, .head_len = head_len,
	};
	enum vhostpci_flow_miss miss = VHOSTPCI_FLOW_HIT;
	uint16_t tci = 0, tpid = 0;
	uint8_t flags = 0, ttl = 0;
	uint32_t l3 = 14;

	*meta = (struct vhostpci_flow_meta) { 0 };
	key->w[VHOSTPCI_FLOW_L2] = vhostpci_flow_l2(0, 0, 0, 0,
						    VHOSTPCI_FLOW_INVALID);
	if (unlikely(head_len < 14))
		return VHOSTPCI_FLOW_MISS_SHORT;
	meta->type = vhostpci_flow_get16(head + 12);
	if (unlikely(vhostpci_flow_is_vlan(meta->type))) {
		if (unlikely(head_len < 18))
			return VHOSTPCI_FLOW_MISS_SHORT;
		tpid = meta->type;
		tci = vhostpci_flow_get16(head + 14) & RTE_BE16(0xefff);
		meta->type = vhostpci_flow_get16(head + 16);
		flags = VHOSTPCI_FLOW_TAGGED;
		l3 = 18;
		if (unlikely(vhostpci_flow_is_vlan(meta->type)))
			return VHOSTPCI_FLOW_MISS_QINQ;
	}
	if (likely(meta->type == RTE_BE16(0x0800) ||
		   meta->type == RTE_BE16(0x86dd))) {
		miss = vhostpci_flow_parse_l3(&walk, l3, pkt_len - l3, need,
					      key, meta, &ttl);
		if (unlikely(miss != VHOSTPCI_FLOW_HIT))
			return miss;
	} else if (unlikely(rte_be_to_cpu_16(meta->type) < 0x600)) {
		return VHOSTPCI_FLOW_MISS_LLC;
	} else if (need != VHOSTPCI_FLOW_NEED_L2) {
		vhostpci_flow_clear_ip(key);
	}
	if (need & 1u << VHOSTPCI_FLOW_DST)
		key->w[VHOSTPCI_FLOW_DST] = vhostpci_flow_mac(head, ttl);
	if (need & 1u << VHOSTPCI_FLOW_SRC)
		key->w[VHOSTPCI_FLOW_SRC] = vhostpci_flow_mac(head + 6, 0);
	key->w[VHOSTPCI_FLOW_L2] = vhostpci_flow_l2(meta->type, tci, tpid,
						    walk.frag, flags);
	return VHOSTPCI_FLOW_HIT;
}
