/* SPDX-License-Identifier: Apache-2.0 */

/* Offloads of sent packets, and the features that a peer negotiates. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer/fakepeer.h"
#include "peer/offload_pkt.h"
#include "net/offload.h"

#define ALL	VHOSTPCI_OL_NEGOTIATED
#define TAKE	(VHOSTPCI_OL_TAKE_CSUM | VHOSTPCI_OL_TAKE_TSO)
#define RX_GOOD	RTE_MBUF_F_RX_L4_CKSUM_GOOD

static struct vhostpci_ring ring;

static int
setup(void **state)
{
	memset(&ring, 0, sizeof(ring));
	return op_setup(state);
}

static uint64_t
tx_flags(void)
{
	return (op_pkt.v6 ? RTE_MBUF_F_TX_IPV6 :
		RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM) |
		(op_pkt.udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM);
}

/* The packet with its checksums wrong, for the driver to set right. */
static struct rte_mbuf *
tx_packet(uint32_t first, uint32_t piece)
{
	struct rte_mbuf *m;

	op_pkt.data[op_pkt.field] = 0xba;
	if (!op_pkt.v6)
		op_pkt.data[op_pkt.l3 + 10] ^= 0xd0;
	m = op_chain(op_pool, op_pkt.data, op_pkt.len, first, piece);
	m->l2_len = op_pkt.l3;
	m->l3_len = op_pkt.l4 - op_pkt.l3;
	m->l4_len = op_pkt.l4_len;
	m->ol_flags |= tx_flags();
	return m;
}

/* Sends @m; what the peer gets, in one piece, and after it has finished it. */
static int
send_it(struct rte_mbuf **m, struct virtio_net_hdr *hdr, uint8_t *received)
{
	int rc = vhostpci_offload_tx(&ring, m, hdr);
	uint32_t at = 0;
	struct rte_mbuf *seg;

	for (seg = *m; seg != NULL; at += seg->data_len, seg = seg->next)
		memcpy(received + at, rte_pktmbuf_mtod(seg, void *),
		       seg->data_len);
	assert_int_equal(at, op_pkt.len);
	if (rc == 0 && hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		op_finish(received, op_pkt.len, hdr);
	return rc;
}

static void
check_sent(uint16_t offload, uint32_t first, uint32_t piece)
{
	static uint8_t received[sizeof(op_pkt.data)];
	struct rte_mbuf *m = tx_packet(first, piece);
	struct virtio_net_hdr hdr, expected = op_header(&op_pkt);

	ring.offload = offload;
	assert_int_equal(send_it(&m, &hdr, received), 0);
	assert_true(op_l4_right(&op_pkt, received));
	assert_true(op_pkt.v6 || op_ip_right(&op_pkt, received));
	assert_int_equal(hdr.flags,
			 offload ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
	assert_int_equal(hdr.gso_type, 0);
	if (offload != 0)
		assert_memory_equal(&hdr, &expected, sizeof(hdr));
	/* Once more: the first time there was no buffer. */
	assert_int_equal(send_it(&m, &hdr, received), 0);
	assert_true(op_l4_right(&op_pkt, received));
	rte_pktmbuf_free(m);
}

static void
sent_each_way(void)
{
	check_sent(ALL, op_pkt.len, 1);
	check_sent(0, op_pkt.len, 1);
	/* Over segments of odd lengths. */
	check_sent(0, op_pkt.l4 + op_pkt.l4_len, 333);
	check_sent(ALL, op_pkt.l4 + op_pkt.l4_len + 1, 333);
	check_sent(0, op_pkt.l4 + op_pkt.l4_len + 1, 333);
}

static void
checksum_is_left_to_the_peer_or_computed(void **state)
{
	(void)state;
	op_each_kind(sent_each_way);
}

static void
packet_without_request_has_a_header_of_zeros(void **state)
{
	static const struct virtio_net_hdr zeros;
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;

	(void)state;
	op_build(&op_pkt);
	m = op_mbuf(op_pool, op_pkt.data, op_pkt.len);
	m->ol_flags |= RX_GOOD | RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_TX_IPV4;
	ring.offload = ALL;
	memset(&hdr, 0xff, sizeof(hdr));
	assert_int_equal(vhostpci_offload_tx(&ring, &m, &hdr), 0);
	assert_memory_equal(&hdr, &zeros, sizeof(hdr));
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);
}

static struct rte_mbuf *
tx_tso_packet(bool v6, uint32_t payload, uint8_t tcp_flags)
{
	struct rte_mbuf *m;

	op_pkt.v6 = v6;
	op_pkt.vlans = 1;
	op_pkt.tcp_options = 3;
	op_pkt.payload = payload;
	op_build(&op_pkt);
	op_pkt.data[op_pkt.l4 + 13] = tcp_flags;
	m = tx_packet(op_pkt.len, 1);
	m->tso_segsz = 1000;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	return m;
}

static void
segmentation_is_left_to_the_peer(void **state)
{
	static uint8_t received[sizeof(op_pkt.data)];
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;
	unsigned int v6;

	(void)state;
	for (v6 = 0; v6 < 2; v6++) {
		uint8_t type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
			VIRTIO_NET_HDR_GSO_TCPV4;

		m = tx_tso_packet(v6, 60000, 0x90);
		ring.offload = ALL;
		assert_int_equal(send_it(&m, &hdr, received), 0);
		assert_int_equal(hdr.gso_type, type | VIRTIO_NET_HDR_GSO_ECN);
		assert_int_equal(hdr.gso_size, 1000);
		assert_int_equal(hdr.hdr_len, 18 + (v6 ? 40 : 20) + 32);
		assert_int_equal(hdr.csum_start, op_pkt.l4);
		assert_int_equal(hdr.csum_offset, 16);
		/* The pseudo header has the whole length. */
		assert_true(op_l4_right(&op_pkt, received));
		assert_true(v6 || op_ip_right(&op_pkt, received));
		ring.offload = ALL & ~VHOSTPCI_OL_ECN;
		assert_int_equal(send_it(&m, &hdr, received), 0);
		assert_int_equal(hdr.gso_type, type);
		rte_pktmbuf_free(m);
	}
}

static void
segmentation_that_the_peer_cannot_do_is_dropped_and_counted(void **state)
{
	static uint8_t received[sizeof(op_pkt.data)];
	static const uint16_t without[] = {
		0, VHOSTPCI_OL_CSUM, ALL & ~VHOSTPCI_OL_TSO4,
		ALL & ~VHOSTPCI_OL_CSUM,
	};
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;
	unsigned int i;

	(void)state;
	for (i = 0; i < RTE_DIM(without); i++) {
		m = tx_tso_packet(false, 1001, 0x10);
		ring.offload = without[i];
		assert_int_equal(vhostpci_offload_tx(&ring, &m, &hdr),
				 VHOSTPCI_DROPPED);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(ring.count.unsupported, RTE_DIM(without));

	m = tx_tso_packet(false, 1000, 0x10); /* nothing to cut */
	ring.offload = 0;
	assert_int_equal(send_it(&m, &hdr, received), 0);
	assert_int_equal(hdr.gso_type, 0);
	assert_true(op_l4_right(&op_pkt, received));
	rte_pktmbuf_free(m);
	assert_int_equal(ring.count.unsupported, RTE_DIM(without));
}

static void
expect_tx_drop(struct rte_mbuf *m)
{
	uint64_t before = ring.count.unsupported;
	struct virtio_net_hdr hdr;

	assert_int_equal(vhostpci_offload_tx(&ring, &m, &hdr),
			 VHOSTPCI_DROPPED);
	assert_int_equal(ring.count.unsupported, before + 1);
	rte_pktmbuf_free(m);
}

static void
senseless_requests_are_dropped_and_counted(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	ring.offload = ALL;
	op_pkt.payload = 100;
	op_build(&op_pkt);
	m = tx_packet(op_pkt.len, 1);		/* TCP, not UDP */
	m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	expect_tx_drop(m);
	m = tx_packet(op_pkt.len, 1);
	m->ol_flags |= RTE_MBUF_F_TX_SCTP_CKSUM; /* both bits */
	m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	m->ol_flags |= RTE_MBUF_F_TX_SCTP_CKSUM;
	expect_tx_drop(m);
	m = tx_packet(op_pkt.len, 1);
	m->ol_flags |= RTE_MBUF_F_TX_UDP_SEG;
	expect_tx_drop(m);
	expect_tx_drop(tx_packet(op_pkt.l4 + 19, 100)); /* headers cut in two */
	m = tx_packet(op_pkt.len, 1);
	m->l2_len = 127;			/* no IPv4 header there */
	expect_tx_drop(m);
	m = tx_tso_packet(false, 5000, 0x10);
	m->tso_segsz = 0;
	expect_tx_drop(m);
}

static void
ip_checksum_alone_is_for_any_ipv4_packet(void **state)
{
	static uint8_t received[sizeof(op_pkt.data)];
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;

	(void)state;
	op_pkt.payload = 10;
	op_build(&op_pkt);
	op_pkt.data[op_pkt.l3 + 6] = 0x20;
	op_pkt.data[op_pkt.l3 + 9] = 1;
	m = tx_packet(op_pkt.len, 1);
	m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	assert_int_equal(send_it(&m, &hdr, received), 0);
	assert_int_equal(hdr.flags, 0);
	assert_true(op_ip_right(&op_pkt, received));
	rte_pktmbuf_free(m);
}

/* Sends @m, whose data someone else has as well, and frees what it became. */
static void
check_shared(struct rte_mbuf *m)
{
	static uint8_t received[sizeof(op_pkt.data)];
	struct virtio_net_hdr hdr;
	struct rte_mbuf *sent = m;

	ring.offload = 0;
	assert_int_equal(send_it(&sent, &hdr, received), 0);
	assert_ptr_not_equal(sent, m);
	assert_true(op_l4_right(&op_pkt, received));
	rte_pktmbuf_free(sent);
}

static void
shared_data_is_not_written_to(void **state)
{
	struct rte_mbuf *m, *clone;

	(void)state;
	op_pkt.payload = 500;
	op_build(&op_pkt);
	m = tx_packet(op_pkt.len, 1);
	rte_mbuf_refcnt_update(m, 1);
	check_shared(m);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);

	/* Two mbufs, one external buffer. */
	clone = rte_pktmbuf_clone(m, op_pool);
	assert_non_null(clone);
	clone->ol_flags |= tx_flags();
	check_shared(clone);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);

	/* A clone of an mbuf's own buffer. */
	m = rte_pktmbuf_alloc(op_pool);
	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, op_pkt.len), op_pkt.data, op_pkt.len);
	m->l2_len = op_pkt.l3;
	m->ol_flags |= tx_flags();
	clone = rte_pktmbuf_clone(m, op_pool);
	assert_non_null(clone);
	check_shared(clone);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data, op_pkt.len);
	rte_pktmbuf_free(m);
}

/* What one peer leaves to be done, another one does. */
static void
offloads_pass_from_peer_to_peer(void **state)
{
	static uint8_t received[sizeof(op_pkt.data)];
	struct virtio_net_hdr in, out;
	struct rte_mbuf *m;
	unsigned int v6;

	(void)state;
	for (v6 = 0; v6 < 2; v6++) {
		m = op_tso_packet(v6, 40001, &in);
		ring.offload = ALL | TAKE | VHOSTPCI_OL_LEGACY;
		assert_int_equal(vhostpci_offload_rx(&ring, m, &in), 0);
		ring.offload = ALL;
		assert_int_equal(send_it(&m, &out, received), 0);
		in.hdr_len = op_pkt.l4 + op_pkt.l4_len;
		assert_memory_equal(&in, &out, sizeof(in));
		assert_memory_equal(rte_pktmbuf_mtod(m, void *), op_pkt.data,
				    op_pkt.len);
		rte_pktmbuf_free(m);
	}
}

/* What is negotiated. */

static void
each_direction_has_its_features(void **state)
{
	const uint64_t rx = 1ULL << VIRTIO_NET_F_CSUM |
		1ULL << VIRTIO_NET_F_HOST_TSO6;
	const uint64_t tx = 1ULL << VIRTIO_NET_F_GUEST_CSUM |
		1ULL << VIRTIO_NET_F_GUEST_TSO4 |
		1ULL << VIRTIO_NET_F_GUEST_ECN;

	(void)state;
	assert_int_equal(vhostpci_offload_flags(true, rx | tx, TAKE),
			 VHOSTPCI_OL_CSUM | VHOSTPCI_OL_TSO6 | TAKE);
	assert_int_equal(vhostpci_offload_flags(false, rx | tx, TAKE),
			 VHOSTPCI_OL_CSUM | VHOSTPCI_OL_TSO4 |
			 VHOSTPCI_OL_ECN);
	/* Nothing without the checksum. */
	assert_int_equal(vhostpci_offload_flags(true, tx | 1ULL <<
						VIRTIO_NET_F_HOST_TSO4, TAKE),
			 0);
	assert_int_equal(vhostpci_offload_flags(false, rx | 1ULL <<
						VIRTIO_NET_F_GUEST_TSO4, 0),
			 0);
	assert_int_equal(vhostpci_offload_flags(true, FP_MODERN, TAKE), 0);
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, op_teardown)
	const struct CMUnitTest tests[] = {
		T(checksum_is_left_to_the_peer_or_computed),
		T(packet_without_request_has_a_header_of_zeros),
		T(segmentation_is_left_to_the_peer),
		T(segmentation_that_the_peer_cannot_do_is_dropped_and_counted),
		T(senseless_requests_are_dropped_and_counted),
		T(ip_checksum_alone_is_for_any_ipv4_packet),
		T(shared_data_is_not_written_to),
		T(offloads_pass_from_peer_to_peer),
		T(each_direction_has_its_features),
	};

	(void)argc;
	fp_init(argv[0]);
	op_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
