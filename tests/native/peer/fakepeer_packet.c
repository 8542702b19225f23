/* SPDX-License-Identifier: Apache-2.0 */

/* Packets to and from a fakepeer: see fakepeer.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fakepeer.h"

#define HDR	((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))

uint8_t
fp_pattern(uint32_t at, uint8_t seed)
{
	return seed + at + (at >> 8) * 7;
}

struct rte_mbuf *
fp_packet(uint32_t len, uint8_t seed)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(fp_pool());
	uint8_t *data;
	uint32_t i;

	assert_non_null(m);
	data = (uint8_t *)rte_pktmbuf_append(m, len);
	assert_non_null(data);
	for (i = 0; i < len; i++)
		data[i] = fp_pattern(i, seed);
	return m;
}

void
fp_fill(uint64_t gpa, uint32_t at, uint32_t len, uint8_t seed)
{
	uint32_t i;

	/* Byte by byte: the range may lie across regions. */
	for (i = 0; i < len; i++)
		*(uint8_t *)fp_addr(gpa + i) = at + i < HDR ? 0xee :
			fp_pattern(at + i - HDR, seed);
}

void
fp_check_mbuf(const struct rte_mbuf *m, uint32_t len, uint8_t seed)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t i;

	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, len);
	assert_int_equal(m->data_len, len);
	for (i = 0; i < len; i++) {
		if (data[i] != fp_pattern(i, seed))
			fail_msg("byte %u of %u is wrong", i, len);
	}
}

void
fp_check_byte(uint32_t at, uint8_t byte, uint32_t *buffers, uint8_t seed)
{
	const uint32_t num_buffers = offsetof(
			struct virtio_net_hdr_mrg_rxbuf, num_buffers);

	if (at < num_buffers)
		assert_int_equal(byte, 0);
	else if (at == num_buffers)
		*buffers = byte;
	else if (at < HDR)
		*buffers |= byte << 8;
	else if (byte != fp_pattern(at - HDR, seed))
		fail_msg("byte %u is wrong", at - HDR);
}

/* Where the writable chain of @head puts byte @at. */
static uint8_t *
chain_byte(struct fp_ring *r, uint32_t head, uint32_t at)
{
	struct vring_desc d = r->desc[head];
	uint64_t table = 0;

	if (d.flags & VRING_DESC_F_INDIRECT) {
		table = d.addr;
		d = *(struct vring_desc *)fp_addr(table);
	}
	while (at >= d.len) {
		at -= d.len;
		assert_true(d.flags & VRING_DESC_F_NEXT);
		d = table != 0 ? *(struct vring_desc *)fp_addr(table +
				16ull * d.next) : r->desc[d.next];
	}
	return fp_addr(d.addr + at);
}

void
fp_check_sent(struct fp_ring *r, uint32_t len, uint8_t seed)
{
	uint32_t at = 0, buffers = 0, expect = 1, i;

	do {
		const struct vring_used_elem *used = fp_used(r);

		assert_non_null(used);
		for (i = 0; i < used->len; i++, at++)
			fp_check_byte(at, *chain_byte(r, used->id, i), &expect,
				      seed);
		buffers++;
	} while (buffers < expect);
	assert_int_equal(at, HDR + len);
}
