/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets as chains of buffers. DPDK's virtio driver decides by the buffers how
 * a packet is described: one buffer that has room for the header before it
 * takes one descriptor; up to seven buffers, or a buffer without that room, an
 * indirect table where that is negotiated and the path has it (split in-order
 * has not); more buffers a chain of descriptors.
 *
 * On packed rings that are not in order the driver of DPDK 22.11 cannot mix
 * tables and chains: it does not write the buffer id beside a table's
 * address, so that the id is right only while each packet takes one slot.
 */

#include <string.h>

#include "seqcheck.h"

#define MAX_INDIRECT	7

/* Buffers for packet @seq; 0: one without headroom. */
static unsigned int
segments(enum sc_shape shape, uint32_t seq)
{
	static const uint8_t indirect[] = { 2, 3, MAX_INDIRECT, 0, 4 };
	static const uint8_t chain[] = { 8, 9, 12 };
	static const uint8_t mixed[] = { 1, 1, 2, 1, 8, 3, 0, 1, 1, 1, 1, 7, 12 };
	static const uint8_t tables[] = { 1, 2, 1, 1, 1, 1, 0, 7, 1, 1, 3 };
	static const uint8_t chains[] = { 1, 8, 1, 1, 1, 1, 12, 9, 1, 1, 10 };

	switch (shape) {
	case SC_INDIRECT:
		return indirect[seq % RTE_DIM(indirect)];
	case SC_CHAIN:
		return chain[seq % RTE_DIM(chain)];
	case SC_MIXED:
		return mixed[seq % RTE_DIM(mixed)];
	case SC_TABLES:
		return tables[seq % RTE_DIM(tables)];
	case SC_CHAINS:
		return chains[seq % RTE_DIM(chains)];
	case SC_PUSH:
		break;
	}
	return 1;
}

/* The length of a buffer when @rest buffers and @left bytes are to come; odd
 * and even, long and short, but the rest must fit and none is empty. */
static uint16_t
part_len(uint16_t left, unsigned int rest, uint32_t seq)
{
	uint32_t mean, low, high, len;

	if (rest == 1)
		return left;
	mean = left / rest;
	len = 1 + (seq * 2654435761u >> 7) % (2 * mean);
	low = left > (rest - 1) * SC_ROOM_SMALL ?
		left - (rest - 1) * SC_ROOM_SMALL : 1;
	high = RTE_MIN(left - (rest - 1), (uint32_t)SC_ROOM_SMALL);
	len = RTE_MIN(len, high);
	return RTE_MAX(low, len);
}

static struct rte_mbuf *
one_buffer(struct rte_mempool *pool, bool headroom, const uint8_t *frame,
	   uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL)
		return NULL;
	if (!headroom)
		m->data_off = 0;
	m->data_len = len;
	m->pkt_len = len;
	memcpy(rte_pktmbuf_mtod(m, void *), frame, len);
	return m;
}

struct rte_mbuf *
sc_shape_packet(const struct sc_pools *pools, enum sc_shape shape, uint32_t seq,
		const uint8_t *frame, uint16_t len)
{
	unsigned int n = segments(shape, seq);
	struct rte_mbuf *head = NULL;
	uint16_t done = 0;

	if (n <= 1)
		return one_buffer(pools->big, n == 1, frame, len);
	n = RTE_MAX(n, (len + SC_ROOM_SMALL - 1u) / SC_ROOM_SMALL);
	for (; n > 0; n--) {
		uint16_t part = part_len(len - done, n, seq + n);
		struct rte_mbuf *m = one_buffer(pools->small, true,
						frame + done, part);

		if (m == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		done += part;
		if (head == NULL)
			head = m;
		else
			rte_pktmbuf_chain(head, m);
	}
	return head;
}
