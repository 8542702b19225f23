/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The other port: its peer (fakepeer) is honest. Whatever the hostile peer
 * does, each packet of the honest peer must arrive, once, in order and
 * unchanged.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "peer/fakepacked.h"
#include "peer/fakepeer.h"
#include "rings.h"

#define W		VRING_DESC_F_WRITE
#define N		VRING_DESC_F_NEXT
#define NUM		64u
#define HDR		12u
#define AT_ONCE		8u
#define SLOT		2048u
#define BUFFERS		(FP_LOW + 0x80000)	/* AT_ONCE for each ring */
#define TRIES		1000u

static struct fakepeer *fp;
static struct fp_packed packed[2];
static bool is_packed, in_order;
static uint64_t n_packets, n_sent, n_received;

static uint64_t
buffer(unsigned int ring, unsigned int at)
{
	return BUFFERS + (ring * AT_ONCE + at) * SLOT;
}

/* Byte @at of packet @seq. */
static uint8_t
pattern(unsigned int at, uint32_t seq)
{
	return at < 4 ? seq >> 8 * at : fp_pattern(at, seq);
}

static void
check(const uint8_t *data, unsigned int len, uint32_t seq, const char *way)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		rf_need(data[i] == pattern(i, seq),
			"honest packet %u %s the peer: byte %u of %u is wrong",
			seq, way, i, len);
}

/* Driver: make header and packet available as two parts or one. */
static void
post(unsigned int ring, unsigned int at, uint32_t len, bool cut)
{
	const uint64_t gpa = buffer(ring, at);
	const uint16_t flags = ring == FP_TO_PEER ? W : 0;
	const struct fp_packed_buf bufs[2] = {
		{ gpa, cut ? HDR : len, flags },
		{ gpa + HDR, len - HDR, flags },
	};
	struct fp_ring *r = &fp->rings[ring];
	uint16_t head;

	if (is_packed) {
		rf_need(fp_packed_post(&packed[ring], bufs, cut ? 2 : 1) >= 0,
			"honest ring %u is full", ring);
		return;
	}
	head = r->next_desc++ % NUM;
	if (cut) {
		uint16_t second = r->next_desc++ % NUM;

		fp_desc(r->desc, head, gpa, HDR, flags | N, second);
		fp_desc(r->desc, second, gpa + HDR, len - HDR, flags, 0);
	} else {
		fp_desc(r->desc, head, gpa, len, flags, 0);
	}
	fp_avail(r, head);
	fp_publish(r);
}

/* Driver: the next used buffer; false if there is none. The length of one that
 * was used in a batch is not told. */
static bool
used(unsigned int ring, uint32_t *len)
{
	const struct vring_used_elem *elem;
	uint16_t id;

	if (is_packed)
		return fp_packed_used(&packed[ring], &id, len);
	elem = fp_used(&fp->rings[ring]);
	if (elem != NULL)
		*len = in_order ? FP_PACKED_UNTOLD : elem->len;
	return elem != NULL;
}

static void
from_peer(uint64_t *rand)
{
	unsigned int n = 1 + rf_rand(rand) % AT_ONCE, i, j, got = 0, tries;
	uint32_t len[AT_ONCE], used_len;
	struct rte_mbuf *pkts[32];

	for (i = 0; i < n; i++) {
		uint8_t *data = fp_addr(buffer(FP_FROM_PEER, i));

		len[i] = 60 + rf_rand(rand) % (i == 0 ? 1454 : 100);
		memset(data, 0, HDR);
		for (j = 0; j < len[i]; j++)
			data[HDR + j] = pattern(j, n_received + i);
		post(FP_FROM_PEER, i, HDR + len[i], rf_once_in(rand, 2));
	}
	for (tries = 0; got < n && tries < TRIES; tries++)
		got += fp_rx(fp, pkts + got, 32 - got);
	rf_need(got == n, "honest port received %u of %u packets", got, n);
	for (i = 0; i < n; i++) {
		rf_need(pkts[i]->pkt_len == len[i] &&
			pkts[i]->data_len == len[i],
			"honest packet of %u bytes has %u", len[i],
			pkts[i]->pkt_len);
		check(rte_pktmbuf_mtod(pkts[i], uint8_t *), len[i],
		      n_received + i, "from");
		rf_need(used(FP_FROM_PEER, &used_len),
			"honest buffer was not handed back");
	}
	rf_need(!used(FP_FROM_PEER, &used_len), "a buffer too many");
	rte_pktmbuf_free_bulk(pkts, n);
	n_received += n;
}

static void
to_peer(uint64_t *rand)
{
	unsigned int n = 1 + rf_rand(rand) % AT_ONCE, i, j, sent = 0, tries;
	uint32_t len[AT_ONCE], used_len;
	struct rte_mbuf *pkts[AT_ONCE];

	for (i = 0; i < n; i++) {
		len[i] = 60 + rf_rand(rand) % (i == 0 ? 1454 : 100);
		pkts[i] = fp_packet(len[i], n_sent + i);
		for (j = 0; j < 4; j++)
			rte_pktmbuf_mtod(pkts[i], uint8_t *)[j] =
				pattern(j, n_sent + i);
		post(FP_TO_PEER, i, 1600, rf_once_in(rand, 2));
	}
	for (tries = 0; sent < n && tries < TRIES; tries++)
		sent += fp_tx(fp, pkts + sent, n - sent);
	rf_need(sent == n, "honest port sent %u of %u packets", sent, n);
	for (i = 0; i < n; i++) {
		rf_need(used(FP_TO_PEER, &used_len),
			"honest packet %" PRIu64 " was lost", n_sent + i);
		rf_need(used_len == FP_PACKED_UNTOLD ||
			used_len == HDR + len[i],
			"honest packet of %u bytes has %u", len[i], used_len);
		check((uint8_t *)fp_addr(buffer(FP_TO_PEER, i)) + HDR, len[i],
		      n_sent + i, "to");
	}
	rf_need(!used(FP_TO_PEER, &used_len), "a packet too many");
	n_sent += n;
}

void
rf_honest_exchange(uint64_t *rand)
{
	rf_doing("honest port");
	from_peer(rand);
	to_peer(rand);
	rf_need(fp_mbufs_in_use() == 0, "honest port lost mbufs: %u",
		fp_mbufs_in_use());
	n_packets = n_sent + n_received;
	rf_doing(NULL);
}

static uint64_t
some_features(uint64_t *rand)
{
	uint64_t bits = rf_rand(rand);
	uint64_t features = FP_MODERN | (bits & 1 ? FP_MRG : 0) |
		(bits & 2 ? FP_INDIRECT : 0) | (bits & 4 ? FP_EVENT_IDX : 0) |
		(bits & 8 ? FP_PACKED : 0) | (bits & 16 ? FP_IN_ORDER : 0);

	return features & vhostpci_supported_features();
}

static void
begin(void)
{
	unsigned int i;

	is_packed = fp->peer.features & FP_PACKED;
	in_order = fp->peer.features & FP_IN_ORDER;
	for (i = 0; i < 2 && is_packed; i++)
		fp_packed_of(&packed[i], fp, i);
}

void
rf_honest_open(uint64_t *rand)
{
	fp = fp_new(some_features(rand), NUM);
	begin();
}

void
rf_honest_restart(uint64_t *rand)
{
	rf_doing("honest restart");
	fp->peer.features = some_features(rand);
	fp_restart(fp, FP_TO_PEER);
	fp_restart(fp, FP_FROM_PEER);
	begin();
	rf_need(fp_link(fp), "honest port's link is down");
	rf_doing(NULL);
}

uint64_t
rf_honest_packets(void)
{
	return n_packets;
}

void
rf_honest_close(void)
{
	rf_need(fp_xstat(fp, "rx_ring0_violations") == 0 &&
		fp_xstat(fp, "tx_ring0_violations") == 0 &&
		fp_xstat(fp, "rx_ring0_packets") == n_received &&
		fp_xstat(fp, "tx_ring0_packets") == n_sent &&
		fp_link(fp), "honest port's statistics are wrong: %s",
		fp->rule);
	fp_free(fp);
}
