/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Frames longer than an mbuf come in several mbufs if the application asks for
 * that. An MTU that cannot be received is refused.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flowkit.h"
#include "peer/fakepacked.h"
#include "peer/fakepeer.h"
#include "peer/offload_pkt.h"
#include "net/offload.h"

#define ROOM	256u	/* of an mbuf of the pool */
#define MBUFS	127u

static struct rte_mempool *pool;
static struct fakepeer *fp;

/* Stop the port, and start it with @mempool; what rte_eth_dev_start() says. */
static int
restart(uint16_t mtu, uint64_t offloads, struct rte_mempool *mempool)
{
	struct rte_eth_conf conf = {
		.rxmode = { .mtu = mtu, .offloads = offloads },
	};

	rte_eth_dev_stop(fp->port);
	assert_int_equal(rte_eth_dev_configure(fp->port, 1, 1, &conf), 0);
	/* As Open vSwitch does, before there are new queues. */
	assert_int_equal(rte_eth_dev_set_mtu(fp->port, mtu), 0);
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, NULL,
						mempool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(fp->port, 0, 512, 0, NULL), 0);
	return rte_eth_dev_start(fp->port);
}

static int
setup_with(uint64_t features)
{
	fp = fp_new(FP_MODERN | features, 64);
	return restart(9000, RTE_ETH_RX_OFFLOAD_SCATTER, pool);
}

static int
setup(void **state)
{
	(void)state;
	return setup_with(0);
}

static int
setup_packed(void **state)
{
	(void)state;
	return setup_with(1ULL << VIRTIO_F_RING_PACKED);
}

static int
teardown(void **state)
{
	(void)state;
	fp_free(fp);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

/* The peer sends a frame of @len bytes in @n pieces. */
static void
post(uint32_t len, unsigned int n, struct fp_packed *packed)
{
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	struct fp_packed_buf bufs[3];
	uint64_t gpa = fp_buffer(fp, 12 + len);
	uint32_t at = 0, piece, bytes = 12 + len;
	uint16_t head = r->next_desc, d;
	unsigned int i;

	fp_fill(gpa, 0, bytes, len);
	for (i = 0; i < n; i++, at += piece) {
		piece = i + 1 < n ? bytes / n : bytes - at;
		bufs[i] = (struct fp_packed_buf) { gpa + at, piece, 0 };
		if (packed != NULL)
			continue;
		d = (head + i) % r->num;
		fp_desc(r->desc, d, gpa + at, piece,
			i + 1 < n ? VRING_DESC_F_NEXT : 0, (d + 1) % r->num);
	}
	if (packed != NULL) {
		assert_true(fp_packed_post(packed, bufs, n) >= 0);
		return;
	}
	r->next_desc = (head + n) % r->num;
	fp_avail(r, head);
	fp_publish(r);
}

static void
check(const struct rte_mbuf *m, uint32_t len)
{
	const struct rte_mbuf *seg;
	uint32_t at = 0, i;

	assert_int_equal(m->pkt_len, len);
	assert_int_equal(m->nb_segs, (len + ROOM - 1) / ROOM);
	rte_mbuf_sanity_check(m, 1);
	for (seg = m; seg != NULL; seg = seg->next)
		for (i = 0; i < seg->data_len; i++, at++)
			assert_int_equal(*rte_pktmbuf_mtod_offset(seg,
					uint8_t *, i), fp_pattern(at, len));
	assert_int_equal(at, len);
}

static void
receive_each(struct fp_packed *packed)
{
	static const uint32_t lens[] = {
		60, 255, 256, 257, 511, 512, 513, 1518, 6144, 9014, 9022,
	};
	struct rte_mbuf *m;
	unsigned int i, n;
	uint32_t len;
	uint16_t id;

	for (n = 1; n <= 3; n++) {
		for (i = 0; i < RTE_DIM(lens); i++) {
			post(lens[i], n, packed);
			assert_int_equal(fp_rx(fp, &m, 1), 1);
			check(m, lens[i]);
			rte_pktmbuf_free(m);
			fp->next_buffer = fp->base + 0x10000;
			if (packed != NULL)
				assert_true(fp_packed_used(packed, &id, &len));
		}
	}
	assert_int_equal(fp_xstat(fp, "rx_ring0_packets"), 3 * RTE_DIM(lens));
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 0);
}

static void
frames_come_in_as_many_mbufs_as_they_need(void **state)
{
	struct rte_eth_rxq_info info;

	(void)state;
	receive_each(NULL);
	assert_int_equal(rte_eth_rx_queue_info_get(fp->port, 0, &info), 0);
	assert_int_equal(info.scattered_rx, 1);
}

static void
those_of_packed_rings_too(void **state)
{
	struct fp_packed packed;

	(void)state;
	fp_packed_of(&packed, fp, FP_FROM_PEER);
	receive_each(&packed);
}

/* As with a NIC: an application whose mbufs hold its MTU sees no chain. */
static void
no_frame_of_several_mbufs_exceeds_the_mtu(void **state)
{
	struct rte_mbuf *m[2];

	(void)state;
	assert_int_equal(rte_eth_dev_set_mtu(fp->port, 1500), 0);
	post(1523, 1, NULL);
	post(1522, 2, NULL);
	assert_int_equal(fp_rx(fp, m, 2), 1);
	check(m[0], 1522);
	rte_pktmbuf_free(m[0]);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 1);
	assert_int_equal(rte_eth_dev_set_mtu(fp->port, 1501), 0);
	post(1523, 1, NULL);
	assert_int_equal(fp_rx(fp, m, 2), 1);
	check(m[0], 1523);
	rte_pktmbuf_free(m[0]);
}

static void
a_pool_without_enough_mbufs_loses_that_frame_only(void **state)
{
	struct rte_mbuf *held[MBUFS], *m[2];

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, held, MBUFS - 4), 0);
	post(6 * ROOM, 1, NULL);
	post(2 * ROOM, 1, NULL);
	assert_int_equal(fp_rx(fp, m, 2), 1);
	check(m[0], 2 * ROOM);
	rte_pktmbuf_free(m[0]);
	assert_int_equal(fp_xstat(fp, "rx_ring0_no_mbuf"), 1);
	assert_int_equal(rte_mempool_in_use_count(pool), MBUFS - 4);
	rte_pktmbuf_free_bulk(held, MBUFS - 4);
}

static void
an_mtu_that_mbufs_cannot_hold_is_refused(void **state)
{
	struct rte_mbuf *m;
	uint16_t mtu;

	(void)state;
	assert_int_equal(restart(ROOM - 18 + 1, 0, pool), -EINVAL);
	assert_int_equal(restart(ROOM - 18, 0, pool), 0);
	assert_int_equal(rte_eth_dev_set_mtu(fp->port, ROOM - 18 + 1), -EINVAL);
	assert_int_equal(rte_eth_dev_get_mtu(fp->port, &mtu), 0);
	assert_int_equal(mtu, ROOM - 18);
	post(ROOM + 1, 1, NULL);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 1);
	/* With larger mbufs: the old queues do not count. */
	assert_int_equal(restart(9000, 0, fp_pool()), 0);
	post(9014, 1, NULL);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	fp_check_mbuf(m, 9014, 9014 & 0xff);
	rte_pktmbuf_free(m);
}

/* A rule for IPv4, so that bursts look at rules: its packets go to the peer itself,
 * or up with a mark. */
static struct rte_flow *
make_rule(bool mark)
{
	const struct rte_flow_attr attr = { .transfer = !mark, .ingress = mark };
	const struct rte_flow_item_eth eth = {
		.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	}, mask = { .type = 0xffff };
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &eth, .mask = &mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_action_port_id id = { .id = fp->port };
	const struct rte_flow_action_mark number = { 77 };
	const struct rte_flow_action_rss rss = { 0 };
	const struct rte_flow_action outputs[] = {
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	}, marks[] = {
		{ RTE_FLOW_ACTION_TYPE_MARK, &number },
		{ RTE_FLOW_ACTION_TYPE_RSS, &rss },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(fp->port, &attr, items,
						mark ? marks : outputs, &error);

	assert_non_null(flow);
	return flow;
}

static void
destroy(struct rte_flow *flow)
{
	struct rte_flow_error error;

	assert_int_equal(rte_flow_destroy(fp->port, flow, &error), 0);
}

static void
beside_rules_frames_come_in_as_many_mbufs_too(void **state)
{
	struct rte_flow *flow = make_rule(false);

	(void)state;
	receive_each(NULL);
	destroy(flow);
}

static void
beside_rules_those_of_packed_rings_too(void **state)
{
	struct rte_flow *flow = make_rule(false);
	struct fp_packed packed;

	(void)state;
	fp_packed_of(&packed, fp, FP_FROM_PEER);
	receive_each(&packed);
	destroy(flow);
}

static void
beside_rules_a_long_frame_is_lost_alone(void **state)
{
	struct rte_flow *flow = make_rule(false);
	struct rte_mbuf *held[MBUFS], *m[3];

	(void)state;
	/* Without mbufs, and longer than the MTU. */
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, held, MBUFS - 5), 0);
	post(60, 1, NULL);
	post(6 * ROOM, 1, NULL);
	post(2 * ROOM, 1, NULL);
	assert_int_equal(fp_rx(fp, m, 3), 2);
	check(m[0], 60);
	check(m[1], 2 * ROOM);
	rte_pktmbuf_free_bulk(m, 2);
	assert_int_equal(fp_xstat(fp, "rx_ring0_no_mbuf"), 1);
	assert_int_equal(rte_mempool_in_use_count(pool), MBUFS - 5);
	rte_pktmbuf_free_bulk(held, MBUFS - 5);
	assert_int_equal(rte_eth_dev_set_mtu(fp->port, 1500), 0);
	post(1523, 1, NULL);
	post(1522, 1, NULL);
	assert_int_equal(fp_rx(fp, m, 3), 1);
	check(m[0], 1522);
	rte_pktmbuf_free(m[0]);
	assert_int_equal(fp_xstat(fp, "rx_ring0_oversized"), 1);
	destroy(flow);
}

/* The peer sends @f in @n pieces. */
static void
post_frame(const struct fk_frame *f, unsigned int n)
{
	struct fp_ring *r = &fp->rings[FP_FROM_PEER];
	uint16_t head = r->next_desc;
	uint64_t gpa;

	post(f->len, n, NULL);
	gpa = r->desc[head].addr;
	memset(fp_addr(gpa), 0, 12);
	memcpy((uint8_t *)fp_addr(gpa) + 12, f->data, f->len);
}

static void
check_frame(const struct rte_mbuf *m, const struct fk_frame *f, bool marked)
{
	uint8_t copy[sizeof(f->data)];

	assert_int_equal(m->pkt_len, f->len);
	assert_int_equal(m->nb_segs, (f->len + ROOM - 1) / ROOM);
	rte_mbuf_sanity_check(m, 1);
	assert_memory_equal(rte_pktmbuf_read(m, 0, f->len, copy), f->data,
			    f->len);
	assert_int_equal((m->ol_flags & RTE_MBUF_F_RX_FDIR_ID) != 0, marked);
	assert_int_equal(marked ? m->hash.fdir.hi : 77, 77);
}

/* In one descriptor, and so from ring to ring without an mbuf; or in several, and so
 * up, as what does not lie in one piece is not moved. */
static void
long_frames_are_moved_or_go_up_whole(void **state)
{
	struct fp_ring *to = &fp->rings[FP_TO_PEER];
	struct rte_flow *flow = make_rule(false);
	const struct vring_used_elem *e;
	struct fk_frame f;
	struct rte_mbuf *m;

	(void)state;
	fk_make(&f, false, -1, 17, 1472);
	fp_post(to, fp_buffer(fp, 2048), 2048, VRING_DESC_F_WRITE);
	post_frame(&f, 1);
	assert_int_equal(fp_rx(fp, &m, 1), 0);
	e = fp_used(to);
	assert_non_null(e);
	assert_int_equal(e->len, 12 + f.len);
	assert_memory_equal((uint8_t *)fp_addr(to->desc[e->id].addr) + 12,
			    f.data, f.len);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	post_frame(&f, 3);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	check_frame(m, &f, false);
	rte_pktmbuf_free(m);
	assert_int_equal(fp_xstat(fp, "not_steered_too_long"), 1);
	destroy(flow);
}

static void
long_frames_are_marked(void **state)
{
	struct rte_flow *flow = make_rule(true);
	struct fk_frame f;
	struct rte_mbuf *m;

	(void)state;
	fk_make(&f, false, -1, 17, 1472);
	post_frame(&f, 1);
	assert_int_equal(fp_rx(fp, &m, 1), 1);
	check_frame(m, &f, true);
	rte_pktmbuf_free(m);
	destroy(flow);
}

/* A chain of mbufs of @first and then @piece bytes, each its exact size. */
static void
finish(uint32_t first, uint32_t piece, uint64_t flags)
{
	struct vhostpci_ring ring = { .offload = VHOSTPCI_OL_CSUM };
	struct virtio_net_hdr hdr = op_header(&op_pkt);
	static uint8_t copy[sizeof(op_pkt.data)], right[sizeof(op_pkt.data)];
	struct rte_mbuf *m = op_chain(op_pool, op_pkt.data, op_pkt.len, first,
				      piece);
	const void *data;

	assert_int_equal(vhostpci_offload_rx(&ring, m, &hdr), 0);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, flags);
	data = rte_pktmbuf_read(m, 0, op_pkt.len, copy);
	memcpy(right, op_pkt.data, op_pkt.len);
	op_finish(right, op_pkt.len, &hdr);
	assert_memory_equal(data, right, op_pkt.len);
	rte_pktmbuf_free(m);
}

static void
finish_each(void)
{
	uint32_t first;

	if (op_pkt.payload < 64)
		return;
	/* Where headers end, there and behind. */
	for (first = 0; first < 3; first++)
		finish(op_pkt.l4 + op_pkt.l4_len + first, 101,
		       RTE_MBUF_F_RX_L4_CKSUM_GOOD);
}

static void
checksums_are_finished_over_mbufs(void **state)
{
	(void)state;
	op_each_kind(finish_each);
	/* Of a packet that is not known, as the header has it. */
	op_pkt.payload = 999;
	op_build(&op_pkt);
	op_pkt.data[op_pkt.l3 - 1] ^= 0x11;
	finish(op_pkt.field + 2, 101, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN);
	finish(op_pkt.field + 3, 101, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN);
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(frames_come_in_as_many_mbufs_as_they_need),
		cmocka_unit_test_setup_teardown(those_of_packed_rings_too,
						setup_packed, teardown),
		T(no_frame_of_several_mbufs_exceeds_the_mtu),
		T(a_pool_without_enough_mbufs_loses_that_frame_only),
		T(an_mtu_that_mbufs_cannot_hold_is_refused),
		T(beside_rules_frames_come_in_as_many_mbufs_too),
		cmocka_unit_test_setup_teardown(
			beside_rules_those_of_packed_rings_too, setup_packed,
			teardown),
		T(beside_rules_a_long_frame_is_lost_alone),
		T(long_frames_are_moved_or_go_up_whole),
		T(long_frames_are_marked),
		cmocka_unit_test_setup_teardown(
			checksums_are_finished_over_mbufs, op_setup,
			op_teardown),
	};

	(void)argc;
	fp_init(argv[0]);
	op_init();
	pool = rte_pktmbuf_pool_create("scatter", MBUFS, 0, 0,
				       RTE_PKTMBUF_HEADROOM + ROOM, SOCKET_ID_ANY);
	if (pool == NULL)
		abort();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
