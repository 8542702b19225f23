/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Offloads of received packets, in buffers of their exact size. Whatever a
 * packet and its header contain, the driver must not read or write outside the
 * packet (a sanitizer build shows it).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer/fakepeer.h"
#include "peer/offload_pkt.h"
#include "base/headers.h"
#include "net/offload.h"

#define ALL	VHOSTPCI_OL_NEGOTIATED
#define TAKE	(VHOSTPCI_OL_TAKE_CSUM | VHOSTPCI_OL_TAKE_TSO)
#define RX_GOOD	RTE_MBUF_F_RX_L4_CKSUM_GOOD
#define RX_NONE	RTE_MBUF_F_RX_L4_CKSUM_NONE
#define BUFFER	RTE_MBUF_F_EXTERNAL	/* what op_mbuf() sets */

static struct vhostpci_ring ring;

static int
setup(void **state)
{
	memset(&ring, 0, sizeof(ring));
	return op_setup(state);
}

static void
finished_by_us(void)
{
	struct virtio_net_hdr hdr = op_header(&op_pkt);
	struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);

	ring.offload = VHOSTPCI_OL_CSUM;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, RX_GOOD | BUFFER);
	assert_true(op_l4_right(&op_pkt, rte_pktmbuf_mtod(m, uint8_t *)));
	rte_pktmbuf_free(m);
}

static void
checksum_is_finished_for_an_application_that_does_not_take_it(void **state)
{
	(void)state;
	op_each_kind(finished_by_us);
}

static void
pseudo_header_is_not_believed(void **state)
{
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;

	(void)state;
	op_pkt.payload = 100;
	op_build(&op_pkt);
	hdr = op_header(&op_pkt);
	op_pkt.data[op_pkt.field] ^= 0x55;
	m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);
	ring.offload = VHOSTPCI_OL_CSUM;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_true(op_l4_right(&op_pkt, rte_pktmbuf_mtod(m, uint8_t *)));
	rte_pktmbuf_free(m);
}

static void
told_as_net_vhost(void)
{
	struct virtio_net_hdr hdr = op_header(&op_pkt);
	struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);

	ring.offload = ALL | TAKE | VHOSTPCI_OL_LEGACY;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, BUFFER |
		(op_pkt.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		(op_pkt.udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM));
	assert_int_equal(m->l2_len, op_pkt.l3);
	assert_int_equal(m->l3_len, op_pkt.l4 - op_pkt.l3);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);
}

static void
told_by_rx_flags(void)
{
	struct virtio_net_hdr hdr = op_header(&op_pkt);
	struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);

	ring.offload = ALL | TAKE;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, BUFFER | RX_NONE);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);
}

static void
unfinished_checksum_is_told_to_who_takes_it(void **state)
{
	(void)state;
	op_each_kind(told_as_net_vhost);
	op_each_kind(told_by_rx_flags);
}

/* Flags that are set here give the fields of tx_offload a meaning. */
static void
nothing_is_left_of_the_last_packet(void **state)
{
	static const uint16_t offloads[] = {
		ALL, ALL | TAKE, ALL | TAKE | VHOSTPCI_OL_LEGACY,
	};
	struct virtio_net_hdr hdr;
	unsigned int i;

	(void)state;
	for (i = 0; i < RTE_DIM(offloads) * 2; i++) {
		bool take = offloads[i / 2] & VHOSTPCI_OL_TAKE_TSO;
		bool large = i % 2 && take;
		/* 1000: one segment, nothing to be cut. */
		struct rte_mbuf *m = op_tso_packet(false, large ? 3000 : 1000,
						   &hdr);
		struct rte_mbuf expect = { .tx_offload = 0 };

		ring.offload = offloads[i / 2];
		m->tx_offload = UINT64_MAX;
		assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
		if (ring.offload & VHOSTPCI_OL_LEGACY) {
			expect.l2_len = op_pkt.l3;
			expect.l3_len = op_pkt.l4 - op_pkt.l3;
			expect.l4_len = large ? op_pkt.l4_len : 0;
		}
		expect.tso_segsz = large ? 1000 : 0;
		assert_int_equal(m->tx_offload, expect.tx_offload);
		rte_pktmbuf_free(m);
	}
}

static void
header_without_request_says_nothing(void **state)
{
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_DATA_VALID,
		.csum_start = UINT16_MAX, .csum_offset = UINT16_MAX,
		.hdr_len = UINT16_MAX, .gso_size = UINT16_MAX,
	};
	struct rte_mbuf *m;

	(void)state;
	op_build(&op_pkt);
	m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);
	ring.offload = ALL;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, BUFFER);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);
}

static void
segmentation_is_told_to_who_takes_it(void **state)
{
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;
	unsigned int v6;

	(void)state;
	for (v6 = 0; v6 < 2; v6++) {
		m = op_tso_packet(v6, 60000, &hdr);
		hdr.hdr_len = 3; /* a lie of no consequence */
		hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		ring.offload = ALL | TAKE | VHOSTPCI_OL_LEGACY;
		assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
		assert_int_equal(m->ol_flags, BUFFER |
			(v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
			RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
		assert_int_equal(m->tso_segsz, 1000);
		assert_int_equal(m->l2_len, 18);
		assert_int_equal(m->l3_len, v6 ? 40 : 20);
		assert_int_equal(m->l4_len, 32);
		rte_pktmbuf_free(m);

		m = op_tso_packet(v6, 60000, &hdr);
		ring.offload = ALL | TAKE;
		assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
		assert_int_equal(m->ol_flags,
				 BUFFER | RX_NONE | RTE_MBUF_F_RX_LRO);
		assert_int_equal(m->tso_segsz, 1000);
		rte_pktmbuf_free(m);
	}
}

static void
segmentation_that_nobody_takes_is_dropped_and_counted(void **state)
{
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m = op_tso_packet(false, 1001, &hdr);

	(void)state;
	ring.offload = ALL | VHOSTPCI_OL_TAKE_CSUM;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr),
			 VHOSTPCI_DROPPED);
	assert_int_equal(ring.count.unsupported, 1);
	rte_pktmbuf_free(m);

	/* One that is small enough is a packet like any other. */
	m = op_tso_packet(false, 1000, &hdr);
	ring.offload = ALL;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, BUFFER | RX_GOOD);
	assert_true(op_l4_right(&op_pkt, rte_pktmbuf_mtod(m, uint8_t *)));
	assert_int_equal(ring.count.unsupported, 1);
	rte_pktmbuf_free(m);
}

/* A packet that mbufs have no words for. */
static void
check_partial(uint32_t start, uint32_t offset)
{
	static uint8_t expected[sizeof(op_pkt.data)];
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = start, .csum_offset = offset,
	};
	struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);

	memcpy(expected, op_pkt.data, op_pkt.len);
	op_finish(expected, op_pkt.len, &hdr);
	ring.offload = ALL | TAKE;
	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags, BUFFER);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), expected, op_pkt.len);
	rte_pktmbuf_free(m);
}

static void
other_protocols_are_finished_as_the_specification_has_it(void **state)
{
	(void)state;
	op_pkt.payload = 101;
	op_build(&op_pkt);
	check_partial(op_pkt.l4 + 30, 2);		/* something inner */
	check_partial(op_pkt.l4, 14);
	check_partial(0, 0);
	check_partial(op_pkt.len - 2, 0);
	check_partial(op_pkt.len - 3, 1);
	op_pkt.data[op_pkt.l3 + 6] = 0x20;		/* a fragment */
	check_partial(op_pkt.l4, 16);
	op_build(&op_pkt);
	op_pkt.data[op_pkt.l3 + 7] = 1;		/* a later one */
	check_partial(op_pkt.l4, 16);
	op_build(&op_pkt);
	op_pkt.data[op_pkt.l3 + 9] = 47;		/* GRE */
	check_partial(op_pkt.l4, 16);
	op_build(&op_pkt);
	op_pkt.data[12] = 0x88;			/* MPLS */
	op_pkt.data[13] = 0x47;
	check_partial(op_pkt.l4, 16);
}

/* Hostile headers of a packet of 1000 bytes of TCP over IPv4. */
static const struct {
	const char *name;
	uint16_t offload;
	int result;
	struct virtio_net_hdr hdr;
} hostile[] = {
#define NEEDS .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM
#define PLACE .csum_start = 34, .csum_offset = 16
#define CSUM -VHOSTPCI_RULE_CSUM
#define TYPE -VHOSTPCI_RULE_GSO_TYPE
#define HEADER -VHOSTPCI_RULE_GSO_HEADER
	{ "start beyond", ALL, CSUM, { NEEDS, .csum_start = 5000 } },
	{ "start at the end", ALL, CSUM, { NEEDS, .csum_start = 1054 } },
	{ "field half out", ALL, CSUM,
	  { NEEDS, .csum_start = 1052, .csum_offset = 1 } },
	{ "offset beyond", ALL, CSUM,
	  { NEEDS, .csum_start = 34, .csum_offset = 1019 } },
	{ "sum wraps", ALL, CSUM,
	  { NEEDS, .csum_start = 34, .csum_offset = 65535 } },
	{ "sum wraps to the field", ALL, CSUM,
	  { NEEDS, .csum_start = 65535, .csum_offset = 51 } },
	{ "UFO", ALL, TYPE, { NEEDS, PLACE, .gso_type = 3, .gso_size = 100 } },
	{ "USO", ALL, TYPE, { NEEDS, PLACE, .gso_type = 5, .gso_size = 100 } },
	{ "unknown", ALL, TYPE,
	  { NEEDS, PLACE, .gso_type = 127, .gso_size = 100 } },
	{ "ECN alone", ALL, TYPE,
	  { NEEDS, PLACE, .gso_type = 128, .gso_size = 100 } },
	{ "ECN not negotiated", ALL & ~VHOSTPCI_OL_ECN, TYPE,
	  { NEEDS, PLACE, .gso_type = 129, .gso_size = 100 } },
	{ "TSO4 not negotiated", ALL & ~VHOSTPCI_OL_TSO4, TYPE,
	  { NEEDS, PLACE, .gso_type = 1, .gso_size = 100 } },
	{ "TSO6 not negotiated", ALL & ~VHOSTPCI_OL_TSO6, TYPE,
	  { NEEDS, PLACE, .gso_type = 4, .gso_size = 100 } },
	{ "no checksum", ALL, HEADER,
	  { PLACE, .gso_type = 1, .gso_size = 100 } },
	{ "no size", ALL, HEADER, { NEEDS, PLACE, .gso_type = 1 } },
	{ "of the other IP", ALL, VHOSTPCI_DROPPED,
	  { NEEDS, PLACE, .gso_type = 4, .gso_size = 100 } },
	{ "checksum not TCP's", ALL, VHOSTPCI_DROPPED,
	  { NEEDS, .csum_start = 34, .csum_offset = 6, .gso_type = 1,
	    .gso_size = 100 } },
};

static void
hostile_header_breaks_its_rule(void **state)
{
	unsigned int i, drops = 0;

	(void)state;
	op_pkt.payload = 1000;
	op_build(&op_pkt);
	assert_int_equal(op_pkt.len, 1054);
	for (i = 0; i < RTE_DIM(hostile); i++) {
		struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);
		int rc;

		ring.offload = hostile[i].offload | TAKE | VHOSTPCI_OL_LEGACY;
		rc = vhostpci_offload_rx(&ring, m, &hostile[i].hdr);
		if (rc != hostile[i].result)
			fail_msg("%s: %d", hostile[i].name, rc);
		drops += rc == VHOSTPCI_DROPPED;
		assert_int_equal(m->ol_flags, BUFFER);
		assert_int_equal(m->data_len, 0);
		assert_int_equal(m->pkt_len, 0);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(ring.count.unsupported, drops);
}

/* Any result is right that the interface knows. */
static void
try_rx(uint32_t len, const struct virtio_net_hdr *hdr)
{
	struct rte_mbuf *m = op_mbuf(op_pool, op_pkt.data, len);
	struct vhostpci_headers p;
	int rc;

	if (vhostpci_headers_parse(m, &p)) {
		assert_true(p.field + 2u <= len);
		assert_true(p.l2_len + p.l3_len + p.l4_bytes <= len);
		assert_true(p.l4_len <= p.l4_bytes);
	}
	rc = vhostpci_offload_rx(&ring, m, hdr);
	assert_true(rc == 0 || rc == VHOSTPCI_DROPPED ||
		    rc == -VHOSTPCI_RULE_CSUM ||
		    rc == -VHOSTPCI_RULE_GSO_TYPE ||
		    rc == -VHOSTPCI_RULE_GSO_HEADER);
	assert_int_equal(m->data_len, rc == 0 ? len : 0);
	rte_pktmbuf_free(m);
}

static void
truncated_by_peer(void)
{
	struct virtio_net_hdr hdr = op_header(&op_pkt);
	uint32_t len;

	if (op_pkt.payload != 2)
		return;
	ring.offload = VHOSTPCI_OL_CSUM;
	for (len = 0; len <= op_pkt.len; len++)
		try_rx(len, &hdr);
}

static void
packets_cut_off_anywhere_are_harmless(void **state)
{
	(void)state;
	op_each_kind(truncated_by_peer);
}

static void
mutated_by_peer(void)
{
	struct virtio_net_hdr hdr;
	unsigned int i, n;

	if (op_pkt.payload > 64)
		return;
	for (i = 0; i < 200; i++) {
		op_build(&op_pkt);
		hdr = op_header(&op_pkt);
		hdr.gso_type = rand() % 6;
		hdr.gso_size = rand() % 60;
		for (n = rand() % 4; n > 0; n--)
			op_pkt.data[12 + rand() % (op_pkt.l4 + 20 - 12)] = rand();
		if (rand() % 4 == 0)
			hdr.csum_start = rand() % (op_pkt.len + 2);
		if (rand() % 4 == 0)
			hdr.csum_offset = rand() % (op_pkt.len + 2);
		ring.offload = ALL | (rand() & 0x70);
		try_rx(op_pkt.len - rand() % 3, &hdr);
	}
}

static void
mutated_packets_are_harmless(void **state)
{
	(void)state;
	srand(20261122);
	op_each_kind(mutated_by_peer);
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, op_teardown)
	const struct CMUnitTest tests[] = {
		T(checksum_is_finished_for_an_application_that_does_not_take_it),
		T(pseudo_header_is_not_believed),
		T(unfinished_checksum_is_told_to_who_takes_it),
		T(nothing_is_left_of_the_last_packet),
		T(header_without_request_says_nothing),
		T(segmentation_is_told_to_who_takes_it),
		T(segmentation_that_nobody_takes_is_dropped_and_counted),
		T(other_protocols_are_finished_as_the_specification_has_it),
		T(hostile_header_breaks_its_rule),
		T(packets_cut_off_anywhere_are_harmless),
		T(mutated_packets_are_harmless),
	};

	(void)argc;
	fp_init(argv[0]);
	op_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
