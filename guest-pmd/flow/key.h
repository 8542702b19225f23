/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a rule can match of a packet: eight 64-bit words, taken from a private
 * copy of the packet's first bytes.
 *
 * A packet that matches here would match in Open vSwitch: the length checks
 * are those of its miniflow_extract(). A packet that the two might see
 * differently is a miss, which is always right, because Open vSwitch then
 * handles the packet itself.
 *
 * The words are values, not memory: each is put together from the packet with
 * the helpers below, and rules build theirs with the same helpers. Fields of
 * the packet keep network byte order.
 */

#ifndef VHOSTPCI_FLOW_KEY_H
#define VHOSTPCI_FLOW_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_common.h>

/* As much of a packet as is parsed. */
#define VHOSTPCI_FLOW_HEAD	128

enum {
	/* Ethertype, TCI, TPID, fragment, flags: vhostpci_flow_l2(). */
	VHOSTPCI_FLOW_L2,
	/* IPv4 source and destination, or the first half of the IPv6 source. */
	VHOSTPCI_FLOW_ADDR,
	/* Ports, TCP flags, protocol, TOS: vhostpci_flow_l4(). */
	VHOSTPCI_FLOW_L4,
	VHOSTPCI_FLOW_DST,	/* MAC and TTL: vhostpci_flow_mac() */
	VHOSTPCI_FLOW_SRC,	/* MAC */
	VHOSTPCI_FLOW_SRC6,	/* the other half of the IPv6 source */
	VHOSTPCI_FLOW_DST6,	/* the IPv6 destination */
	VHOSTPCI_FLOW_DST6_LOW,
	VHOSTPCI_FLOW_WORDS
};

/* Words that every key has; the others are there if they were asked for. */
#define VHOSTPCI_FLOW_NEED_L2	(1u << VHOSTPCI_FLOW_L2)

struct vhostpci_flow_key {
	uint64_t w[VHOSTPCI_FLOW_WORDS];
};

/* In the last byte of VHOSTPCI_FLOW_L2. Each rule asks for INVALID = 0, so the
 * key of a packet that was not understood matches no rule. */
#define VHOSTPCI_FLOW_TAGGED	0x01
#define VHOSTPCI_FLOW_INVALID	0x80
/* The byte before. */
#define VHOSTPCI_FLOW_FRAG	0x01	/* any fragment */
#define VHOSTPCI_FLOW_LATER	0x02	/* not the first one */

/* Why a packet goes the normal path. The names are in
 * vhostpci_flow_miss_names[]. */
enum vhostpci_flow_miss {
	VHOSTPCI_FLOW_HIT,
	VHOSTPCI_FLOW_MISS_SHORT,	/* not even an Ethernet header */
	VHOSTPCI_FLOW_MISS_LLC,		/* a length instead of an ethertype */
	VHOSTPCI_FLOW_MISS_QINQ,	/* more than one tag */
	VHOSTPCI_FLOW_MISS_IP,		/* an IP header that is not right */
	VHOSTPCI_FLOW_MISS_EXT,		/* IPv6 extension headers: likewise */
	VHOSTPCI_FLOW_MISS_L4,		/* the same of TCP, UDP, ... */
	VHOSTPCI_FLOW_MISS_DEEP,	/* headers longer than what is parsed */
	/* Understood: */
	VHOSTPCI_FLOW_MISS_RULE,	/* no rule matches */
	VHOSTPCI_FLOW_MISS_CONTROL,	/* TCP SYN, FIN, RST: never steered */
	VHOSTPCI_FLOW_MISS_EDIT,	/* the rule's edits do not fit it */
	VHOSTPCI_FLOW_MISS_DEST,	/* the destination is not there */
	VHOSTPCI_FLOW_MISS_OFFLOAD,	/* it does not take unfinished packets */
	VHOSTPCI_FLOW_MISS_LONG,	/* the frame exceeds the destination's MTU */
	VHOSTPCI_FLOW_N_MISSES
};

extern const char *const vhostpci_flow_miss_names[VHOSTPCI_FLOW_N_MISSES];

#define VHOSTPCI_FLOW_IS_IP4	0x01
#define VHOSTPCI_FLOW_IS_IP6	0x02
#define VHOSTPCI_FLOW_IS_LATER	0x04	/* a fragment without an L4 header */
#define VHOSTPCI_FLOW_HAS_EXT	0x08	/* IPv6 extension headers */
#define VHOSTPCI_FLOW_CONTROL	0x10	/* TCP SYN, FIN or RST */

/* What parsing learned and no rule matches. All 0 where there is no IP. */
struct vhostpci_flow_meta {
	uint16_t l4_len;	/* from l4 to the end of IP, without padding */
	uint8_t l3, l4;		/* offsets; l4 may lie behind the copied head */
	uint8_t proto;		/* of l4; 44 in later IPv6 fragments */
	uint8_t flags;
	uint16_t type;		/* ethertype behind the tag, big endian */
};

static __rte_always_inline uint16_t
vhostpci_flow_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static __rte_always_inline uint32_t
vhostpci_flow_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static __rte_always_inline uint64_t
vhostpci_flow_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* @tci without the CFI bit, which Open vSwitch does not look at. */
static __rte_always_inline uint64_t
vhostpci_flow_l2(uint16_t type, uint16_t tci, uint16_t tpid, uint8_t frag,
		 uint8_t flags)
{
	return type | (uint64_t)tci << 16 | (uint64_t)tpid << 32 |
		(uint64_t)frag << 48 | (uint64_t)flags << 56;
}

/* @ports: source and destination as they stand in the packet. */
static __rte_always_inline uint64_t
vhostpci_flow_l4(uint32_t ports, uint16_t tcp_flags, uint8_t proto,
		 uint8_t tos)
{
	return ports | (uint64_t)tcp_flags << 32 | (uint64_t)proto << 48 |
		(uint64_t)tos << 56;
}

/* @ttl: of VHOSTPCI_FLOW_DST, 0 in VHOSTPCI_FLOW_SRC. */
static __rte_always_inline uint64_t
vhostpci_flow_mac(const uint8_t *mac, uint8_t ttl)
{
	return vhostpci_flow_get32(mac) |
		(uint64_t)vhostpci_flow_get16(mac + 4) << 32 |
		(uint64_t)ttl << 48;
}

/* ICMP's type and code stand where ports do, each as a 16-bit number. */
static __rte_always_inline uint32_t
vhostpci_flow_icmp(uint8_t type, uint8_t code)
{
	const uint8_t ports[4] = { 0, type, 0, code };

	return vhostpci_flow_get32(ports);
}

/* How far the parser is. */
struct vhostpci_flow_walk {
	const uint8_t *head;
	uint32_t head_len;	/* bytes of head that are there */
	uint32_t l4_len;
	uint32_t l4;
	uint8_t proto;
	uint8_t frag;		/* VHOSTPCI_FLOW_FRAG, _LATER */
};

/* Go past the IPv6 extension headers. */
enum vhostpci_flow_miss
vhostpci_flow_walk_ext(struct vhostpci_flow_walk *walk);

static __rte_always_inline bool
vhostpci_flow_is_ext(uint8_t proto)
{
	/* Hop-by-hop, routing, fragment, AH, destination options. */
	return proto < 64 && (1ull << proto & (1ull << 0 | 1ull << 43 |
		1ull << 44 | 1ull << 51 | 1ull << 60)) != 0;
}

static __rte_always_inline bool
vhostpci_flow_is_vlan(uint16_t type)
{
	return type == RTE_BE16(0x8100) || type == RTE_BE16(0x88a8);
}

/* @room: bytes from @l3 to the end of the packet. The version number is not
 * looked at: Open vSwitch does not either. */
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

/* Of TCP packets even where no rule asks for ports: the flags decide whether a
 * packet may be steered at all. */
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

/* What is not IP: its words are 0. */
static __rte_always_inline void
vhostpci_flow_clear_ip(struct vhostpci_flow_key *key)
{
	key->w[VHOSTPCI_FLOW_ADDR] = 0;
	key->w[VHOSTPCI_FLOW_L4] = 0;
	key->w[VHOSTPCI_FLOW_SRC6] = 0;
	key->w[VHOSTPCI_FLOW_DST6] = 0;
	key->w[VHOSTPCI_FLOW_DST6_LOW] = 0;
}

static __rte_always_inline void
vhostpci_flow_clear_addr6(struct vhostpci_flow_key *key)
{
	key->w[VHOSTPCI_FLOW_SRC6] = 0;
	key->w[VHOSTPCI_FLOW_DST6] = 0;
	key->w[VHOSTPCI_FLOW_DST6_LOW] = 0;
}

/* IP and what is in it. @l2 is completed with the fragment bits. */
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

/* Of any packet; not inline, as most packets do without its registers. */
enum vhostpci_flow_miss
vhostpci_flow_parse_slow(const uint8_t *head, uint32_t head_len,
			 uint32_t pkt_len, unsigned int need,
			 struct vhostpci_flow_key *key,
			 struct vhostpci_flow_meta *meta);

/*
 * What most packets are: TCP or UDP in IPv4 without options, tags or fragments.
 * False: it is another one, or something about it is not as it should be, and
 * nothing has been stored.
 */
static __rte_always_inline bool
vhostpci_flow_parse_common(const uint8_t *head, uint32_t head_len,
			   uint32_t pkt_len, unsigned int need,
			   struct vhostpci_flow_key *key,
			   struct vhostpci_flow_meta *meta)
{
	const uint16_t type = RTE_BE16(0x0800);
	uint16_t tcp = 0;
	uint32_t len;

	/* Up to the end of a TCP header. */
	if (unlikely(head_len < 54 || vhostpci_flow_get16(head + 12) != type ||
		     (head[14] & 15) != 5 ||
		     (vhostpci_flow_get16(head + 20) & RTE_BE16(0x3fff)) != 0))
		return false;
	len = rte_be_to_cpu_16(vhostpci_flow_get16(head + 16));
	if (unlikely(len < 40 || len > pkt_len - 14))
		return false;
	if (head[23] == 6) {
		uint32_t tcp_len = (head[46] >> 4) * 4;

		if (unlikely(tcp_len < 20 || tcp_len > len - 20))
			return false;
		tcp = vhostpci_flow_get16(head + 46) & RTE_BE16(0x0fff);
	} else if (unlikely(head[23] != 17)) {
		return false;
	}
	*meta = (struct vhostpci_flow_meta) {
		.l4_len = len - 20, .l3 = 14, .l4 = 34, .proto = head[23],
		.flags = VHOSTPCI_FLOW_IS_IP4 |
			(tcp & RTE_BE16(0x0007) ? VHOSTPCI_FLOW_CONTROL : 0),
		.type = type,
	};
	key->w[VHOSTPCI_FLOW_L2] = vhostpci_flow_l2(type, 0, 0, 0, 0);
	if (likely(need == VHOSTPCI_FLOW_NEED_L2))
		return true;
	if (need & 1u << VHOSTPCI_FLOW_ADDR)
		key->w[VHOSTPCI_FLOW_ADDR] = vhostpci_flow_get64(head + 26);
	if (need & 1u << VHOSTPCI_FLOW_L4)
		key->w[VHOSTPCI_FLOW_L4] =
			vhostpci_flow_l4(vhostpci_flow_get32(head + 34), tcp,
					 head[23], head[15]);
	if (need & 1u << VHOSTPCI_FLOW_DST)
		key->w[VHOSTPCI_FLOW_DST] = vhostpci_flow_mac(head, head[22]);
	if (need & 1u << VHOSTPCI_FLOW_SRC)
		key->w[VHOSTPCI_FLOW_SRC] = vhostpci_flow_mac(head + 6, 0);
	if (need & 1u << VHOSTPCI_FLOW_SRC6)
		vhostpci_flow_clear_addr6(key);
	return true;
}

/*
 * Parse a packet of @pkt_len bytes, of which the first @head_len (at most
 * VHOSTPCI_FLOW_HEAD) are at @head; fewer than VHOSTPCI_FLOW_HEAD only if the
 * packet ends there. @head is private memory: the peer cannot change it. @need
 * has a bit for each word that a rule may look at; SRC6 stands for all words of
 * IPv6 only. Anything but VHOSTPCI_FLOW_HIT: @key matches no rule, and @meta is
 * not to be used. One function: its branches are those of the packet, and what
 * each finds out stays in registers.
 */
static inline enum vhostpci_flow_miss
vhostpci_flow_parse_any(const uint8_t *head, uint32_t head_len,
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

/* The same, on the shortest path. */
static __rte_always_inline enum vhostpci_flow_miss
vhostpci_flow_parse(const uint8_t *head, uint32_t head_len, uint32_t pkt_len,
		    unsigned int need, struct vhostpci_flow_key *key,
		    struct vhostpci_flow_meta *meta)
{
	if (likely(vhostpci_flow_parse_common(head, head_len, pkt_len, need,
					      key, meta)))
		return VHOSTPCI_FLOW_HIT;
	return vhostpci_flow_parse_slow(head, head_len, pkt_len, need, key,
					meta);
}

#endif
