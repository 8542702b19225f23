/* SPDX-License-Identifier: BSD-3-Clause */

/* From a private copy of a packet's first bytes to its key. */

#ifndef VHOSTPCI_FLOW_PARSE_H
#define VHOSTPCI_FLOW_PARSE_H

#include "flow/key.h"

static __rte_always_inline void
vhostpci_flow_clear_addr6(struct vhostpci_flow_key *key)
{
	key->w[VHOSTPCI_FLOW_SRC6] = 0;
	key->w[VHOSTPCI_FLOW_DST6] = 0;
	key->w[VHOSTPCI_FLOW_DST6_LOW] = 0;
}

/* Parse any packet. This is not inline, so that the common case needs fewer
 * registers. */
enum vhostpci_flow_miss
vhostpci_flow_parse_slow(const uint8_t *head, uint32_t head_len,
			 uint32_t pkt_len, unsigned int need,
			 struct vhostpci_flow_key *key,
			 struct vhostpci_flow_meta *meta);

/*
 * Parse a packet of the common kind: TCP or UDP in IPv4 without options, tags or
 * fragments. Returns false, and stores nothing, if the packet is of another kind or
 * has an error. One function: the body is a row of conditions.
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
 * Parse a packet of @pkt_len bytes. Its first @head_len bytes are at @head: all of
 * a short packet, or VHOSTPCI_FLOW_HEAD bytes. @head is private memory: the peer
 * cannot change it. @need has a bit for each word that a rule may look at; the bit
 * of SRC6 stands for all words that only IPv6 has. If the result is not
 * VHOSTPCI_FLOW_HIT, @key matches no rule, and the caller must not use @meta.
 */
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
