/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A port that answers too late (doc/device-spec.md, section 7): the device takes
 * the peer's memory away, or the peer uses new memory that the port does not
 * know yet. The driver counts no violation of the peer, and no packet comes
 * twice.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer/fakepacked.h"
#include "peer/fakepeer.h"
#include "rte_pmd_vhostpci.h"

#define NUM	64
#define HDR	12u
#define GOOD	(FP_LOW + 0x40000)
#define NEW	(FP_FAR + 0x1000)	/* of the region that came last */

/* A peer of generation 5, whose memory was taken away once, long ago. */
static struct fakepeer *
new_peer(uint64_t features)
{
	struct fakepeer *fp = fp_new(FP_MODERN | features, NUM);
	unsigned int i;

	fp->peer.generation = 5;
	fp->revoked = 3;
	for (i = 0; i < 2; i++)
		fp_restart(fp, i);
	return fp;
}

static struct rte_pmd_vhostpci_info
info_of(const struct fakepeer *fp)
{
	struct rte_pmd_vhostpci_info info;

	assert_int_equal(rte_pmd_vhostpci_info_get(fp->port, &info), 0);
	return info;
}

/* It is given back as the device does: nothing runs, then all with new epochs
 * and, as nothing was handed over, where it stood. */
static void
give_back(struct fakepeer *fp)
{
	unsigned int i;

	fp->peer.generation = fp->revoked;
	for (i = 0; i < 2; i++)
		fp->peer.rings[i].run = false;
	fp_adopt(fp);
	fp->peer.generation++;
	for (i = 0; i < 2; i++) {
		fp->peer.rings[i].run = true;
		fp->peer.rings[i].base = fp->progress[i];
		fp->peer.rings[i].epoch++;
	}
	fp_adopt(fp);
}

static void
peer_is_not_blamed_for_memory_that_was_taken_away(void **state)
{
	struct fakepeer *fp = new_peer(0);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_pmd_vhostpci_info info;
	struct rte_mbuf *m;

	(void)state;
	assert_int_equal(fp_xstat(fp, "revocations"), 1);
	fp->revoked = 6;
	/* Pages of zeroes, with an index that was ahead of them. */
	r->avail_idx = 2 * NUM;
	fp_publish(r);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	info = info_of(fp);
	assert_true(info.revoked);
	assert_int_equal(info.violations, 0);
	assert_int_equal(info.broken_rings, 0);
	r->avail_idx = 0;
	fp_publish(r);
	give_back(fp);
	info = info_of(fp);
	assert_false(info.revoked);
	assert_true(info.link_up);
	assert_int_equal(info.violations, 0);
	assert_string_equal(info.broken_rule, "");
	assert_int_equal(info.revocations, 2);
	assert_int_equal(fp_xstat(fp, "violation_avail_jump"), 0);
	assert_int_equal(fp->broken[FP_FROM_PEER], 0);
	/* And with its memory it is. */
	r->avail_idx = 2 * NUM;
	fp_publish(r);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_true(fp_wait_broken(fp, FP_FROM_PEER));
	assert_int_equal(info_of(fp).violations, 1);
	fp_free(fp);
}

static void
receive_three(struct fakepeer *fp)
{
	struct rte_mbuf *pkts[8];
	uint16_t n = fp_rx(fp, pkts, 8);

	assert_int_equal(n, 3);
	rte_pktmbuf_free_bulk(pkts, n);
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
}

/* Packets taken from a ring that is being revoked come when it is back: once. */
static void
split_packets_come_once(void **state)
{
	struct fakepeer *fp = new_peer(0);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[8];
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++)
		fp_post(r, GOOD, HDR + 60, 0);
	fp->revoked = 6;
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	assert_null(fp_used(r));
	assert_int_equal((uint32_t)fp->progress[FP_FROM_PEER], 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_bytes"), 0);
	assert_int_equal(fp_mbufs_in_use(), 0);
	give_back(fp);
	receive_three(fp);
	for (i = 0; i < 3; i++)
		assert_non_null(fp_used(r));
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 3);
	fp_free(fp);
}

static void
packed_packets_come_once(void **state)
{
	struct fakepeer *fp = new_peer(FP_PACKED);
	struct fp_packed_buf buf = { .gpa = GOOD, .len = HDR + 60 };
	struct rte_mbuf *pkts[8];
	struct fp_packed p;
	unsigned int i;
	uint32_t len;
	uint16_t id;

	(void)state;
	fp_packed_of(&p, fp, FP_FROM_PEER);
	for (i = 0; i < 3; i++)
		assert_true(fp_packed_post(&p, &buf, 1) >= 0);
	fp->revoked = 6;
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	assert_false(fp_packed_used(&p, &id, &len));
	assert_int_equal((uint32_t)fp->progress[FP_FROM_PEER],
			 FP_PACKED_BASE);
	assert_int_equal(fp_mbufs_in_use(), 0);
	give_back(fp);
	receive_three(fp);
	for (i = 0; i < 3; i++)
		assert_true(fp_packed_used(&p, &id, &len));
	fp_free(fp);
}

static void
nothing_is_handed_over_to_a_ring_that_is_taken_away(void **state)
{
	struct fakepeer *fp = new_peer(0);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m = fp_packet(60, 1);

	(void)state;
	fp_post(r, GOOD, 2048, VRING_DESC_F_WRITE);
	fp->revoked = 6;
	fp_tx(fp, &m, 1);
	assert_null(fp_used(r));
	give_back(fp);
	m = fp_packet(60, 2);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_non_null(fp_used(r));
	assert_int_equal(info_of(fp).violations, 0);
	fp_free(fp);
}

/* The port knows the peer as it is, without the region FP_FAR, which the peer
 * uses. */
static struct fakepeer *
grown_peer(uint64_t features)
{
	struct fakepeer *fp = new_peer(features);

	fp->peer.n_regions--;
	fp_adopt(fp);
	fp->grown = fp->peer.generation + 1;
	return fp;
}

static void
learn(struct fakepeer *fp)
{
	fp->peer.generation = fp->grown;
	fp->peer.n_regions++;
	fp_adopt(fp);
}

static void
nobody_is_blamed(const struct fakepeer *fp)
{
	struct rte_pmd_vhostpci_info info = info_of(fp);

	assert_int_equal(info.violations, 0);
	assert_int_equal(info.broken_rings, 0);
	assert_true(info.link_up);
	assert_string_equal(info.broken_rule, "");
}

static void
split_packets_in_new_memory_wait(void **state)
{
	struct fakepeer *fp = grown_peer(0);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *pkts[8];

	(void)state;
	fp_post(r, GOOD, HDR + 60, 0);
	fp_post(r, NEW, HDR + 60, 0);
	fp_post(r, GOOD, HDR + 60, 0);
	/* The one before it is taken, and those behind it wait as well. */
	assert_int_equal(fp_rx(fp, pkts, 8), 1);
	rte_pktmbuf_free(pkts[0]);
	assert_non_null(fp_used(r));
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	nobody_is_blamed(fp);
	/* A state from before, the same or another, changes nothing. */
	fp_adopt(fp);
	fp->peer.n_regions--;
	fp_adopt(fp);
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	fp->peer.n_regions++;
	learn(fp);
	assert_int_equal(fp_rx(fp, pkts, 8), 2);
	rte_pktmbuf_free_bulk(pkts, 2);
	assert_non_null(fp_used(r));
	assert_non_null(fp_used(r));
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 3);
	nobody_is_blamed(fp);
	fp_free(fp);
}

static void
packed_packets_in_new_memory_wait(void **state)
{
	struct fakepeer *fp = grown_peer(FP_PACKED);
	struct fp_packed_buf good = { .gpa = GOOD, .len = HDR + 60 };
	struct fp_packed_buf new = { .gpa = NEW, .len = HDR + 60 };
	struct rte_mbuf *pkts[8];
	struct fp_packed p;
	unsigned int i;
	uint32_t len;
	uint16_t id;

	(void)state;
	fp_packed_of(&p, fp, FP_FROM_PEER);
	assert_true(fp_packed_post(&p, &good, 1) >= 0);
	assert_true(fp_packed_post(&p, &new, 1) >= 0);
	assert_true(fp_packed_post(&p, &good, 1) >= 0);
	assert_int_equal(fp_rx(fp, pkts, 8), 1);
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(fp_rx(fp, pkts, 8), 0);
	nobody_is_blamed(fp);
	learn(fp);
	assert_int_equal(fp_rx(fp, pkts, 8), 2);
	rte_pktmbuf_free_bulk(pkts, 2);
	for (i = 0; i < 3; i++)
		assert_true(fp_packed_used(&p, &id, &len));
	nobody_is_blamed(fp);
	fp_free(fp);
}

static void
buffers_in_new_memory_wait(void **state)
{
	struct fakepeer *fp = grown_peer(0);
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	struct rte_mbuf *m = fp_packet(60, 1);

	(void)state;
	fp_post(r, NEW, 2048, VRING_DESC_F_WRITE);
	assert_int_equal(fp_tx(fp, &m, 1), 0);
	assert_null(fp_used(r));
	nobody_is_blamed(fp);
	learn(fp);
	assert_int_equal(fp_tx(fp, &m, 1), 1);
	assert_non_null(fp_used(r));
	nobody_is_blamed(fp);
	fp_free(fp);
}

/* The memory came and went before the port looked. */
static void
memory_that_never_came_is_a_violation(void **state)
{
	struct fakepeer *fp = grown_peer(0);
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct rte_mbuf *m;

	(void)state;
	fp_post(r, NEW, HDR + 60, 0);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	nobody_is_blamed(fp);
	fp->peer.generation = fp->grown + 1;
	fp_adopt(fp);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_true(fp_wait_broken(fp, FP_FROM_PEER));
	assert_int_equal(info_of(fp).violations, 1);
	assert_int_equal(fp_xstat(fp, "violation_memory"), 1);
	fp_free(fp);
}

/* A ring that cannot be set up is no packet in new memory: it does not go on. */
static void
ring_that_cannot_be_set_up_does_not_wait(void **state)
{
	struct fakepeer *fp = grown_peer(0);
	struct rte_mbuf *m;

	(void)state;
	fp->grown++;
	fp->peer.generation++;
	fp->peer.rings[FP_FROM_PEER].num = NUM - 1;
	fp->peer.rings[FP_FROM_PEER].epoch++;
	fp_adopt(fp);
	assert_true(fp_wait_broken(fp, FP_FROM_PEER));
	assert_int_equal(info_of(fp).violations, 1);
	fp->peer.generation = fp->grown;
	fp_adopt(fp);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_int_equal(info_of(fp).broken_rings, 1);
	fp_free(fp);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			peer_is_not_blamed_for_memory_that_was_taken_away),
		cmocka_unit_test(split_packets_come_once),
		cmocka_unit_test(packed_packets_come_once),
		cmocka_unit_test(
			nothing_is_handed_over_to_a_ring_that_is_taken_away),
		cmocka_unit_test(split_packets_in_new_memory_wait),
		cmocka_unit_test(packed_packets_in_new_memory_wait),
		cmocka_unit_test(buffers_in_new_memory_wait),
		cmocka_unit_test(memory_that_never_came_is_a_violation),
		cmocka_unit_test(ring_that_cannot_be_set_up_does_not_wait),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
