/* SPDX-License-Identifier: Apache-2.0 */

/* See offload_pkt.h. Nothing here is shared with the code under test. */

#include <stdlib.h>
#include <string.h>

#include "offload_pkt.h"

struct rte_mempool *op_pool;
struct op_packet op_pkt;

static void
put16(uint8_t *at, uint32_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

/* Of big-endian words, byte by byte. */
static uint32_t
add(uint32_t sum, const uint8_t *data, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		sum += i & 1 ? data[i] : data[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t
pseudo(const struct op_packet *p, const uint8_t *data)
{
	uint32_t l4_bytes = p->len - p->l4;
	uint32_t sum = (p->udp ? 17 : 6) + (l4_bytes & 0xffff) +
		(l4_bytes >> 16);

	return p->v6 ? add(sum, data + p->l3 + 8, 32) :
		add(sum, data + p->l3 + 12, 8);
}

static void
build_ipv4(struct op_packet *p)
{
	uint32_t len = 20 + 4 * p->ip_options, i;
	uint8_t *ip = p->data + p->l3;

	memset(ip, 1, len); /* no-operation options */
	ip[0] = 0x40 | len / 4;
	ip[1] = 0;
	put16(ip + 2, len + p->l4_len + p->payload);
	put16(ip + 4, 0x1234);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = p->udp ? 17 : 6;
	put16(ip + 10, 0);
	for (i = 12; i < 20; i++)
		ip[i] = 10 * i;
	put16(ip + 10, ~add(0, ip, len));
	p->l4 = p->l3 + len;
}

static void
build_ipv6(struct op_packet *p)
{
	uint8_t *ip = p->data + p->l3, *next = ip + 6, *at = ip + 40;
	unsigned int i;

	memset(ip, 0, 8);
	ip[0] = 0x60;
	put16(ip + 4, 16 * p->extensions + p->l4_len + p->payload);
	ip[7] = 64;
	for (i = 8; i < 40; i++)
		ip[i] = 7 * i;
	for (i = 0; i < p->extensions; i++, at += 16) {
		*next = i == 0 ? 0 : 60; /* hop-by-hop, destination */
		next = at;
		memset(at, 0, 16);
		at[1] = 1;
	}
	*next = p->udp ? 17 : 6;
	p->l4 = at - p->data;
}

static void
build_l4(struct op_packet *p)
{
	uint8_t *l4 = p->data + p->l4;

	memset(l4, 1, p->l4_len);
	put16(l4, 1000);
	put16(l4 + 2, 2000);
	if (p->udp) {
		put16(l4 + 4, 8 + p->payload);
		p->field = p->l4 + 6;
	} else {
		l4[12] = p->l4_len / 4 << 4;
		l4[13] = 0x10;
		p->field = p->l4 + 16;
	}
}

void
op_build(struct op_packet *p)
{
	uint32_t at = 12, i;

	memset(p->data, 2, at);
	for (i = 0; i < p->vlans; i++, at += 4) {
		put16(p->data + at, p->vlans == 2 && i == 0 ? 0x88a8 : 0x8100);
		put16(p->data + at + 2, 5 + i);
	}
	put16(p->data + at, p->v6 ? 0x86dd : 0x0800);
	p->l3 = at + 2;
	p->l4_len = p->udp ? 8 : 20 + 4 * p->tcp_options;
	if (p->v6)
		build_ipv6(p);
	else
		build_ipv4(p);
	build_l4(p);
	p->len = p->l4 + p->l4_len + p->payload;
	for (i = p->l4 + p->l4_len; i < p->len; i++)
		p->data[i] = 3 * i + (i >> 8);
	put16(p->data + p->field, pseudo(p, p->data));
}

bool
op_l4_right(const struct op_packet *p, const uint8_t *data)
{
	if (p->udp && data[p->field] == 0 && data[p->field + 1] == 0)
		return false;
	return add(pseudo(p, data), data + p->l4, p->len - p->l4) == 0xffff;
}

bool
op_ip_right(const struct op_packet *p, const uint8_t *data)
{
	return add(0, data + p->l3, 20 + 4 * p->ip_options) == 0xffff;
}

void
op_finish(uint8_t *data, uint32_t len, const struct virtio_net_hdr *hdr)
{
	uint8_t *field = data + hdr->csum_start + hdr->csum_offset;
	uint16_t sum = ~add(0, data + hdr->csum_start, len - hdr->csum_start);

	/* As for UDP; for TCP both are the same. */
	put16(field, sum == 0 ? 0xffff : sum);
}

struct virtio_net_hdr
op_header(const struct op_packet *p)
{
	return (struct virtio_net_hdr) {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = p->l4,
		.csum_offset = p->field - p->l4,
	};
}

static void
free_buffer(void *addr, void *opaque)
{
	free(addr);
	free(opaque);
}

struct rte_mbuf *
op_mbuf(struct rte_mempool *pool, const uint8_t *data, uint32_t len)
{
	struct rte_mbuf_ext_shared_info *info;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *buffer;

	/* The information behind the packet would hide its end. */
	info = malloc(sizeof(*info));
	buffer = malloc(len > 0 ? len : 1);
	if (m == NULL || buffer == NULL || info == NULL || len > UINT16_MAX)
		abort();
	memset(info, 0, sizeof(*info));
	info->free_cb = free_buffer;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	memcpy(buffer, data, len);
	rte_pktmbuf_attach_extbuf(m, buffer, 0, len, info);
	m->data_len = len;
	m->pkt_len = len;
	return m;
}

struct rte_mbuf *
op_chain(struct rte_mempool *pool, const uint8_t *data, uint32_t len,
	 uint32_t first, uint32_t piece)
{
	struct rte_mbuf *head = op_mbuf(pool, data, RTE_MIN(first, len));
	uint32_t at, n;

	for (at = head->data_len; at < len; at += n) {
		n = RTE_MIN(piece, len - at);
		if (rte_pktmbuf_chain(head, op_mbuf(pool, data + at, n)) != 0)
			abort();
	}
	return head;
}

struct rte_mbuf *
op_tso_packet(bool v6, uint32_t payload, struct virtio_net_hdr *hdr)
{
	op_pkt.v6 = v6;
	op_pkt.vlans = 1;
	op_pkt.tcp_options = 3;
	op_pkt.payload = payload;
	op_build(&op_pkt);
	*hdr = op_header(&op_pkt);
	hdr->gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
		VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->gso_size = 1000;
	return op_mbuf(op_pool, op_pkt.data, op_pkt.len);
}

void
op_each_kind(void (*check)(void))
{
	static const uint32_t payloads[] = { 0, 1, 2, 3, 7, 64, 1399, 1400 };
	unsigned int i, kind;

	for (i = 0; i < RTE_DIM(payloads); i++) {
		for (kind = 0; kind < 2 * 2 * 3 * 3; kind++) {
			memset(&op_pkt, 0, offsetof(struct op_packet, data));
			op_pkt.v6 = kind & 1;
			op_pkt.udp = kind >> 1 & 1;
			op_pkt.vlans = kind / 4 % 3;
			op_pkt.extensions = kind / 12;
			op_pkt.ip_options = kind / 12;
			op_pkt.tcp_options = kind / 12 * 3;
			op_pkt.payload = payloads[i];
			op_build(&op_pkt);
			check();
		}
	}
}

void
op_init(void)
{
	op_pool = rte_pktmbuf_pool_create("offload", 1023, 0, 0, 2048 + 128,
					  SOCKET_ID_ANY);
	if (op_pool == NULL)
		abort();
}

int
op_setup(void **state)
{
	(void)state;
	memset(&op_pkt, 0, sizeof(op_pkt));
	return 0;
}

int
op_teardown(void **state)
{
	(void)state;
	return rte_mempool_in_use_count(op_pool) == 0 ? 0 : -1;
}
