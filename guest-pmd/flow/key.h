/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The key of a packet: the fields that a rule can match, as eight 64-bit words.
 * The words come from a private copy of the packet's first bytes.
 *
 * A packet that matches here would also match in Open vSwitch: the length checks
 * are those of Open vSwitch's miniflow_extract(). If driver and Open vSwitch might
 * read a packet differently, the packet is a miss. A miss is always right, because
 * Open vSwitch then handles the packet itself.
 *
 * The words are values, not memory: the helpers below make each word from the
 * packet, and rules use the same helpers. Fields of the packet keep network byte
 * order.
 */

#ifndef VHOSTPCI_FLOW_KEY_H
#define VHOSTPCI_FLOW_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_common.h>

/* The parser reads only this many bytes of a packet. */
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

/* The word that every key has; the parser fills other words only on request. */
#define VHOSTPCI_FLOW_NEED_L2	(1u << VHOSTPCI_FLOW_L2)

struct vhostpci_flow_key {
	uint64_t w[VHOSTPCI_FLOW_WORDS];
};

/* Flags in the last byte of VHOSTPCI_FLOW_L2. Each rule requires INVALID = 0, so
 * the key of a packet that the parser does not understand matches no rule. */
#define VHOSTPCI_FLOW_TAGGED	0x01
#define VHOSTPCI_FLOW_INVALID	0x80
/* Flags in the byte before that. */
#define VHOSTPCI_FLOW_FRAG	0x01	/* any fragment */
#define VHOSTPCI_FLOW_LATER	0x02	/* not the first one */

/* Why a packet goes the normal path. The names are in
 * vhostpci_flow_miss_names[]. */
enum vhostpci_flow_miss {
	VHOSTPCI_FLOW_HIT,
	VHOSTPCI_FLOW_MISS_SHORT,	/* not even an Ethernet header */
	VHOSTPCI_FLOW_MISS_LLC,		/* a length instead of an ethertype */
	VHOSTPCI_FLOW_MISS_QINQ,	/* more than one tag */
	VHOSTPCI_FLOW_MISS_IP,		/* a wrong IP header */
	VHOSTPCI_FLOW_MISS_EXT,		/* wrong IPv6 extension headers */
	VHOSTPCI_FLOW_MISS_L4,		/* a wrong header of TCP, UDP, ... */
	VHOSTPCI_FLOW_MISS_DEEP,	/* headers beyond VHOSTPCI_FLOW_HEAD */
	/* The parser understands the packet, but: */
	VHOSTPCI_FLOW_MISS_RULE,	/* no rule matches */
	VHOSTPCI_FLOW_MISS_CONTROL,	/* TCP SYN, FIN, RST: never steered */
	VHOSTPCI_FLOW_MISS_EDIT,	/* the rule's edits do not fit the packet */
	VHOSTPCI_FLOW_MISS_DEST,	/* the destination is closed */
	VHOSTPCI_FLOW_MISS_OFFLOAD,	/* it does not take unfinished packets */
	VHOSTPCI_FLOW_MISS_LONG,	/* the frame exceeds the destination's
					 * MTU, or an mbuf */
	VHOSTPCI_FLOW_N_MISSES
};

extern const char *const vhostpci_flow_miss_names[VHOSTPCI_FLOW_N_MISSES];

#define VHOSTPCI_FLOW_IS_IP4	0x01
#define VHOSTPCI_FLOW_IS_IP6	0x02
#define VHOSTPCI_FLOW_IS_LATER	0x04	/* a fragment without an L4 header */
#define VHOSTPCI_FLOW_HAS_EXT	0x08	/* IPv6 extension headers */
#define VHOSTPCI_FLOW_CONTROL	0x10	/* TCP SYN, FIN or RST */

/* What the parser learned, but no rule matches. All fields are 0 without IP. */
struct vhostpci_flow_meta {
	uint16_t l4_len;	/* from l4 to the end of IP, without padding */
	uint8_t l3, l4;		/* offsets; l4 may lie after the copied head */
	uint8_t proto;		/* of l4; 44 in later IPv6 fragments */
	uint8_t flags;
	uint16_t type;		/* ethertype after the tag, big endian */
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

/* @tci: without the CFI bit, which Open vSwitch ignores. */
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

/* ICMP's type and code take the place of the ports, each as a 16-bit number. */
static __rte_always_inline uint32_t
vhostpci_flow_icmp(uint8_t type, uint8_t code)
{
	const uint8_t ports[4] = { 0, type, 0, code };

	return vhostpci_flow_get32(ports);
}

static __rte_always_inline bool
vhostpci_flow_is_vlan(uint16_t type)
{
	return type == RTE_BE16(0x8100) || type == RTE_BE16(0x88a8);
}

#endif
