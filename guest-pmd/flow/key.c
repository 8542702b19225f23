/* SPDX-License-Identifier: BSD-3-Clause */

/* What parsing rarely needs: see key.h. */

#include "flow/key.h"

const char *const vhostpci_flow_miss_names[VHOSTPCI_FLOW_N_MISSES] = {
	[VHOSTPCI_FLOW_HIT] = "hit",
	[VHOSTPCI_FLOW_MISS_SHORT] = "short",
	[VHOSTPCI_FLOW_MISS_LLC] = "llc",
	[VHOSTPCI_FLOW_MISS_QINQ] = "qinq",
	[VHOSTPCI_FLOW_MISS_IP] = "bad_ip",
	[VHOSTPCI_FLOW_MISS_EXT] = "bad_ipv6_extension",
	[VHOSTPCI_FLOW_MISS_L4] = "bad_l4",
	[VHOSTPCI_FLOW_MISS_DEEP] = "deep_headers",
	[VHOSTPCI_FLOW_MISS_RULE] = "no_rule",
	[VHOSTPCI_FLOW_MISS_CONTROL] = "tcp_control",
	[VHOSTPCI_FLOW_MISS_EDIT] = "cannot_edit",
	[VHOSTPCI_FLOW_MISS_DEST] = "no_destination",
	[VHOSTPCI_FLOW_MISS_OFFLOAD] = "unfinished",
	[VHOSTPCI_FLOW_MISS_LONG] = "too_long",
};

/* A fragment header of 8 bytes at @p. */
static enum vhostpci_flow_miss
walk_fragment(struct vhostpci_flow_walk *walk, const uint8_t *p)
{
	uint16_t off = vhostpci_flow_get16(p + 2);

	/* A fragment header of an unfragmented packet (RFC 6946): none for
	 * Open vSwitch, one for rte_flow. */
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

/* As parse_ipv6_ext_hdrs__() of Open vSwitch. Each header is at least 8 bytes
 * long, so the loop ends with the bytes that are there. */
enum vhostpci_flow_miss
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

enum vhostpci_flow_miss
vhostpci_flow_parse_slow(const uint8_t *head, uint32_t head_len,
			 uint32_t pkt_len, unsigned int need,
			 struct vhostpci_flow_key *key,
			 struct vhostpci_flow_meta *meta)
{
	return vhostpci_flow_parse_any(head, head_len, pkt_len, need, key,
				       meta);
}
