/* SPDX-License-Identifier: Apache-2.0 */

/* Packets that carry their queue, number, length and a checksum. */

#include <string.h>

#include <rte_byteorder.h>
#include <rte_net_crc.h>

#include "seqcheck.h"

#define ETHERTYPE	0x88b5	/* IEEE 802: local experiments */
#define MAGIC		0x53455143
#define CRC_LEN		4

/* At the beginning of each frame; at its end is the CRC of all before it. */
struct head {
	uint8_t dst[6], src[6];
	rte_be16_t type;
	rte_be16_t queue;
	rte_be32_t magic;
	rte_be32_t seq;
	rte_be16_t len;		/* of the frame */
} __rte_packed;

/* Payloads begin at different places of this, so that bytes that were left
 * from another packet are wrong ones. */
static uint8_t pattern[2 * SC_MAX_LEN];

void
sc_packet_init(void)
{
	uint32_t x = 2463534242u;
	unsigned int i;

	for (i = 0; i < sizeof(pattern); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		pattern[i] = x >> 11;
	}
}

uint16_t
sc_packet_len(const struct sc_sizes *sizes, uint32_t seq)
{
	uint32_t n = (sizes->last - sizes->first) / sizes->step + 1;

	return sizes->first + seq % n * sizes->step;
}

static uint32_t
crc_of(const uint8_t *frame, uint16_t len)
{
	return rte_net_crc_calc(frame, len - CRC_LEN, RTE_NET_CRC32_ETH);
}

void
sc_packet_make(uint8_t *frame, uint16_t len, uint16_t queue, uint32_t seq)
{
	struct head head = {
		.dst = { 2, 0, 0, 0, 0, 2 }, .src = { 2, 0, 0, 0, 0, 1 },
		.type = rte_cpu_to_be_16(ETHERTYPE),
		.queue = rte_cpu_to_be_16(queue),
		.magic = rte_cpu_to_be_32(MAGIC),
		.seq = rte_cpu_to_be_32(seq),
		.len = rte_cpu_to_be_16(len),
	};
	uint32_t crc;

	memcpy(frame, &head, sizeof(head));
	memcpy(frame + sizeof(head), pattern + (seq * 61 + queue * 17) % SC_MAX_LEN,
	       len - sizeof(head) - CRC_LEN);
	crc = crc_of(frame, len);
	memcpy(frame + len - CRC_LEN, &crc, CRC_LEN);
}

/* The frame in one piece, in @copy if it is in several; NULL: its buffers
 * contradict its length. */
static const uint8_t *
linear(const struct rte_mbuf *m, uint8_t *copy)
{
	const struct rte_mbuf *seg;
	uint32_t len = 0, n = 0;

	for (seg = m; seg != NULL; seg = seg->next) {
		len += seg->data_len;
		n++;
	}
	if (len != m->pkt_len || n != m->nb_segs || len > SC_MAX_LEN)
		return NULL;
	return rte_pktmbuf_read(m, 0, len, copy);
}

/* A whole packet of flow @f. */
static void
account(struct sc_check *check, struct sc_flow *f, uint32_t seq)
{
	if (f->marks[seq]) {
		check->faults.duplicated++;
		return;
	}
	f->marks[seq] = 1;
	f->seen++;
	if (seq < f->next)
		check->faults.reordered++;
	else
		f->next = seq + 1;
}

/* The fault that makes the packet unusable; NULL: none. */
static uint64_t *
unusable(struct sc_check *check, const struct sc_sizes *sizes,
	 const uint8_t *frame, uint32_t pkt_len)
{
	uint16_t len, origin;
	struct head head;
	uint32_t crc, seq;

	if (frame == NULL || pkt_len < SC_MIN_LEN)
		return &check->faults.changed;
	memcpy(&head, frame, sizeof(head));
	if (head.type != rte_cpu_to_be_16(ETHERTYPE) ||
			head.magic != rte_cpu_to_be_32(MAGIC))
		return &check->faults.foreign;
	len = rte_be_to_cpu_16(head.len);
	origin = rte_be_to_cpu_16(head.queue);
	seq = rte_be_to_cpu_32(head.seq);
	memcpy(&crc, frame + pkt_len - CRC_LEN, CRC_LEN);
	if (len != pkt_len || crc != crc_of(frame, len) ||
			origin >= check->n_flows ||
			seq >= check->flows[origin].total ||
			len != sc_packet_len(sizes, seq))
		return &check->faults.changed;
	return NULL;
}

void
sc_packet_check(struct sc_check *check, const struct sc_sizes *sizes,
		uint16_t queue, const struct rte_mbuf *m)
{
	uint8_t copy[SC_MAX_LEN];
	const uint8_t *frame = linear(m, copy);
	uint64_t *fault = unusable(check, sizes, frame, m->pkt_len);
	struct head head;
	uint16_t origin;

	check->received++;
	check->bytes += m->pkt_len;
	check->multi_segment += m->nb_segs > 1;
	if (fault != NULL) {
		(*fault)++;
		return;
	}
	memcpy(&head, frame, sizeof(head));
	origin = rte_be_to_cpu_16(head.queue);
	if (origin != queue && !check->any_queue)
		check->faults.misrouted++;
	account(check, &check->flows[origin], rte_be_to_cpu_32(head.seq));
}
