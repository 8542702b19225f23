/* SPDX-License-Identifier: BSD-3-Clause */

/* See base/headers.h. */

#include <stddef.h>
#include <string.h>

#include <netinet/in.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "base/headers.h"

/* The most IPv6 extension headers that the parser follows. */
#define MAX_EXTENSIONS	8
#define MAX_VLANS	2
#define MAX_L3_LEN	511	/* the limit of struct rte_mbuf */

/*
 * Checksums (RFC 1071). Sums are of 16-bit words in memory order, so they need
 * no swapping.
 */

static uint16_t
fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return sum;
}

/* At most 64 KiB. */
static uint64_t
sum_bytes(const uint8_t *data, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t last = 0;

	for (; len >= sizeof(word); len -= sizeof(word), data += sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sum += word;
	}
	if (len >= sizeof(last)) {
		memcpy(&last, data, sizeof(last));
		sum += last;
		len -= sizeof(last);
		data += sizeof(last);
	}
	if (len > 0) {
		last = 0;
		memcpy(&last, data, 1);
		sum += last;
	}
	return sum;
}

/* Sum @len bytes from @offset on, over segments. The packet has these bytes. */
static uint64_t
sum_mbuf(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (; m != NULL && done < len; m = m->next) {
		uint32_t piece;
		uint16_t part;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		piece = RTE_MIN(m->data_len - offset, len - done);
		part = fold(sum_bytes(rte_pktmbuf_mtod_offset(m, uint8_t *,
							      offset), piece));
		/* After an odd number of bytes, the words are swapped. */
		sum += done & 1 ? rte_bswap16(part) : part;
		done += piece;
		offset = 0;
	}
	return sum;
}

/* Sum the pseudo header, including the length even if the packet is to be
 * segmented: a virtio driver expects that. */
static uint64_t
sum_pseudo(const uint8_t *l3, const struct vhostpci_headers *p)
{
	uint64_t sum = rte_cpu_to_be_32(p->l4_bytes);

	sum += rte_cpu_to_be_16(p->proto);
	return p->v6 ? sum + sum_bytes(l3 + offsetof(struct rte_ipv6_hdr,
						     src_addr), 32) :
		sum + sum_bytes(l3 + offsetof(struct rte_ipv4_hdr, src_addr),
				8);
}

static void
put_sum(uint8_t *at, uint16_t sum)
{
	memcpy(at, &sum, sizeof(sum));
}

void
vhostpci_csum_pseudo(struct rte_mbuf *m, const struct vhostpci_headers *p)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	put_sum(data + p->field, fold(sum_pseudo(data + p->l2_len, p)));
}

void
vhostpci_csum_l4(struct rte_mbuf *m, const struct vhostpci_headers *p)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	uint16_t sum;

	put_sum(data + p->field, 0);
	sum = ~fold(sum_pseudo(data + p->l2_len, p) +
		    sum_mbuf(m, p->l2_len + p->l3_len, p->l4_bytes));
	/* RFC 768: 0 means that the packet has no checksum. */
	if (sum == 0 && p->proto == IPPROTO_UDP)
		sum = UINT16_MAX;
	put_sum(data + p->field, sum);
}

void
vhostpci_csum_partial(struct rte_mbuf *m, uint32_t start, uint32_t field)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	put_sum(data + field,
		~fold(sum_mbuf(m, start, m->pkt_len - start)));
}

bool
vhostpci_csum_ipv4(struct rte_mbuf *m, uint32_t l2_len)
{
	uint8_t *l3 = rte_pktmbuf_mtod_offset(m, uint8_t *, l2_len);
	uint8_t *field = l3 + offsetof(struct rte_ipv4_hdr, hdr_checksum);
	uint32_t len;

	if (l2_len + sizeof(struct rte_ipv4_hdr) > m->data_len)
		return false;
	len = (l3[0] & 15) * 4;
	if (l3[0] >> 4 != 4 || len < sizeof(struct rte_ipv4_hdr) ||
	    l2_len + len > m->data_len)
		return false;
	put_sum(field, 0);
	put_sum(field, ~fold(sum_bytes(l3, len)));
	return true;
}

/*
 * Parsing. @len is the number of contiguous bytes left. Each function returns
 * false for a packet that is not TCP or UDP, or whose headers exceed these
 * bytes.
 */

static bool
parse_l4(const uint8_t *l4, uint32_t len, struct vhostpci_headers *p)
{
	const struct rte_tcp_hdr *tcp = (const void *)l4;
	uint32_t room = RTE_MIN(len, p->l4_bytes);

	p->field = p->l2_len + p->l3_len;
	if (p->proto == IPPROTO_UDP) {
		p->field += offsetof(struct rte_udp_hdr, dgram_cksum);
		p->l4_len = sizeof(struct rte_udp_hdr);
		return room >= sizeof(struct rte_udp_hdr);
	}
	if (p->proto != IPPROTO_TCP || room < sizeof(*tcp))
		return false;
	p->field += offsetof(struct rte_tcp_hdr, cksum);
	p->l4_len = (tcp->data_off >> 4) * 4;
	return p->l4_len >= sizeof(*tcp) && p->l4_len <= room;
}

/* @total: the number of all bytes from @l3 on, contiguous or not. */
static bool
parse_ipv4(const uint8_t *l3, uint32_t len, uint32_t total, struct vhostpci_headers *p)
{
	const struct rte_ipv4_hdr *ip = (const void *)l3;
	uint32_t bytes;

	if (len < sizeof(*ip) || ip->version_ihl >> 4 != 4)
		return false;
	bytes = rte_be_to_cpu_16(ip->total_length);
	p->l3_len = rte_ipv4_hdr_len(ip);
	if (p->l3_len < sizeof(*ip) || p->l3_len > len || p->l3_len > bytes ||
	    bytes > total)
		return false;
	if (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG |
						   RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	p->proto = ip->next_proto_id;
	p->v6 = false;
	p->l4_bytes = bytes - p->l3_len;
	return parse_l4(l3 + p->l3_len, len - p->l3_len, p);
}

static bool
parse_ipv6(const uint8_t *l3, uint32_t len, uint32_t total, struct vhostpci_headers *p)
{
	const struct rte_ipv6_hdr *ip = (const void *)l3;
	uint32_t at = sizeof(*ip), bytes;
	unsigned int i;

	if (len < sizeof(*ip) || l3[0] >> 4 != 6)
		return false;
	bytes = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	if (bytes > total)
		return false;
	p->proto = ip->proto;
	p->v6 = true;
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		/* A routing header would change the pseudo header. */
		if (p->proto != IPPROTO_HOPOPTS && p->proto != IPPROTO_DSTOPTS)
			break;
		if (at + 8 > RTE_MIN(len, bytes))
			return false;
		p->proto = l3[at];
		at += (l3[at + 1] + 1) * 8;
	}
	if (at > len || at > bytes || at > MAX_L3_LEN)
		return false;
	p->l3_len = at;
	p->l4_bytes = bytes - at;
	return parse_l4(l3 + at, len - at, p);
}

bool
vhostpci_headers_parse(const struct rte_mbuf *m, struct vhostpci_headers *p)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t at = offsetof(struct rte_ether_hdr, ether_type);
	uint32_t len = m->data_len;
	unsigned int i;
	uint16_t type = 0;

	for (i = 0; i <= MAX_VLANS; i++) {
		if (at + sizeof(type) > len)
			return false;
		type = data[at] << 8 | data[at + 1];
		at += sizeof(type);
		if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ)
			break;
		at += sizeof(type);	/* the tag */
	}
	if (at > len)
		return false;
	p->l2_len = at;
	if (type == RTE_ETHER_TYPE_IPV4)
		return parse_ipv4(data + at, len - at, m->pkt_len - at, p);
	if (type == RTE_ETHER_TYPE_IPV6)
		return parse_ipv6(data + at, len - at, m->pkt_len - at, p);
	return false;
}
