/* SPDX-License-Identifier: Apache-2.0 */

/* Rules that move packets from ring to ring: which packets arrive where, which
 * go up to the application, in which order, and which peers are called. One
 * file: all tests use the same three peers. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flow/forward.h"
#include "flowkit.h"
#include "peer/fakepeer.h"
#include "port/assign.h"
#include "port/port.h"
#include "rte_pmd_vhostpci.h"

#define NUM	64
#define HDR	12u
#define ROOM	2048u
#define TCP	6
#define UDP	17

/* a sends; b and c are destinations. */
static struct fakepeer *a, *b, *c;

static struct fakepeer *
receiver(unsigned int number, uint64_t features, uint16_t num)
{
	struct fakepeer *fp = fp_new_number(number, features, num);

	fp->rings[FP_TO_PEER].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	return fp;
}

static int
setup(void **state)
{
	a = fp_new_number(0, FP_MODERN | FP_INDIRECT, NUM);
	b = receiver(1, FP_MODERN, NUM);
	c = receiver(2, FP_MODERN | FP_MRG, NUM);
	return 0;
}

static int
teardown(void **state)
{
	fp_free(c);
	fp_free(b);
	fp_free(a);
	return 0;
}

/* Driver: offer @n receive buffers of @size bytes. */
static void
offer(struct fakepeer *fp, unsigned int n, uint32_t size)
{
	while (n-- > 0)
		fp_post(&fp->rings[FP_TO_PEER], fp_buffer(fp, size), size,
			VRING_DESC_F_WRITE);
}

/* Driver of a: send @f. */
static void
send_frame(const struct fk_frame *f)
{
	uint64_t gpa = fp_buffer(a, HDR + f->len);

	memset(fp_addr(gpa), 0, HDR);
	memcpy((uint8_t *)fp_addr(gpa) + HDR, f->data, f->len);
	fp_post(&a->rings[FP_FROM_PEER], gpa, HDR + f->len, 0);
}

/* Driver of @fp: it has received @f in one buffer, next. */
static void
check_received(struct fakepeer *fp, const struct fk_frame *f)
{
	struct fp_ring *r = &fp->rings[FP_TO_PEER];
	const struct vring_used_elem *e = fp_used(r);
	const uint8_t *bytes;

	assert_non_null(e);
	assert_int_equal(e->len, HDR + f->len);
	bytes = fp_addr(r->desc[e->id].addr);
	assert_int_equal(bytes[10], 1);
	assert_memory_equal(bytes + HDR, f->data, f->len);
}

static const struct rte_flow_item_eth ip4_eth = {
	.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
};
static const struct rte_flow_item_eth type_mask = { .type = 0xffff };
static const struct rte_flow_item any_ip4[] = {
	{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &ip4_eth,
	  .mask = &type_mask },
	{ .type = RTE_FLOW_ITEM_TYPE_END },
};
static const struct rte_flow_attr transfer = { .transfer = 1 };

static struct rte_flow *
create(const struct rte_flow_action *actions)
{
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(a->port, &transfer, any_ip4,
						actions, &error);

	if (flow == NULL)
		print_message("%s\n", error.message);
	assert_non_null(flow);
	return flow;
}

#define TO(id)		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &(id) }
#define COUNT		{ RTE_FLOW_ACTION_TYPE_COUNT, NULL }
#define END		{ RTE_FLOW_ACTION_TYPE_END, NULL }

static struct rte_flow *
output(const struct fakepeer *fp)
{
	const struct rte_flow_action_port_id id = { .id = fp->port };
	const struct rte_flow_action actions[] = { COUNT, TO(id), END };

	return create(actions);
}

static void
destroy(struct rte_flow *flow)
{
	struct rte_flow_error error;

	assert_int_equal(rte_flow_destroy(a->port, flow, &error), 0);
}

static struct rte_flow_query_count
query(struct rte_flow *flow)
{
	const struct rte_flow_action count[] = { COUNT, END };
	struct rte_flow_query_count got = { 0 };
	struct rte_flow_error error;

	assert_int_equal(rte_flow_query(a->port, flow, count, &got, &error), 0);
	return got;
}

/* A burst of a's, which returns @n packets to the application, that are @f. */
static void
check_up(unsigned int n, const struct fk_frame *f)
{
	struct rte_mbuf *pkts[32];
	unsigned int i;

	assert_int_equal(fp_rx(a, pkts, 32), n);
	for (i = 0; i < n; i++) {
		assert_int_equal(pkts[i]->pkt_len, f->len);
		assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), f->data,
				    f->len);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

static void
packets_go_from_ring_to_ring_and_are_counted(void **state)
{
	static const uint32_t payloads[] = { 0, 22, 86, 87, 200, 1472 };
	struct rte_eth_stats stats;
	struct rte_flow_query_count count;
	struct rte_flow *flow = output(b);
	struct fk_frame f[RTE_DIM(payloads)];
	uint64_t bytes = 0;
	unsigned int i;

	offer(b, NUM, ROOM);
	for (i = 0; i < RTE_DIM(payloads); i++) {
		fk_make(&f[i], false, -1, UDP, payloads[i]);
		send_frame(&f[i]);
		bytes += f[i].len;
	}
	check_up(0, NULL);
	for (i = 0; i < RTE_DIM(payloads); i++)
		check_received(b, &f[i]);
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	/* a has its buffers back. */
	assert_int_equal(a->rings[FP_FROM_PEER].used->idx, RTE_DIM(payloads));

	count = query(flow);
	assert_int_equal(count.hits, RTE_DIM(payloads));
	assert_int_equal(count.bytes, bytes);
	assert_int_equal(rte_eth_stats_get(a->port, &stats), 0);
	assert_int_equal(stats.ipackets, RTE_DIM(payloads));
	assert_int_equal(stats.ibytes, bytes);
	assert_int_equal(rte_eth_stats_get(b->port, &stats), 0);
	assert_int_equal(stats.opackets, RTE_DIM(payloads));
	assert_int_equal(stats.obytes, bytes);
	assert_int_equal(fp_xstat(a, "rx_ring0_steered"), RTE_DIM(payloads));
	assert_int_equal(rte_pmd_vhostpci_rx_consumed(a->port, 0),
			 RTE_DIM(payloads));
	assert_int_equal(rte_pmd_vhostpci_rx_consumed(a->port, 0), 0);
	assert_int_equal(fp_mbufs_in_use(), 0);
	destroy(flow);
}

static void
a_packet_without_a_rule_goes_up(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f;

	offer(b, NUM, ROOM);
	fk_make(&f, true, -1, UDP, 100);
	send_frame(&f);
	check_up(1, &f);
	assert_int_equal(fp_xstat(a, "not_steered_no_rule"), 1);
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	assert_int_equal(query(flow).hits, 0);
	destroy(flow);
	fk_make(&f, false, -1, UDP, 100);
	send_frame(&f);
	check_up(1, &f);
}

static void
tcp_syn_fin_and_rst_go_up_with_what_follows_in_the_burst(void **state)
{
	static const uint8_t flags[] = { 0x02, 0x01, 0x04 };
	struct rte_flow *flow = output(b);
	struct fk_frame data, control;
	struct rte_mbuf *pkts[32];
	unsigned int i;

	offer(b, NUM, ROOM);
	fk_make(&data, false, -1, TCP, 64);
	data.data[data.l4 + 13] = 0x10;
	for (i = 0; i < RTE_DIM(flags); i++) {
		control = data;
		control.data[control.l4 + 13] = flags[i];
		send_frame(&data);
		send_frame(&control);
		send_frame(&data);
		assert_int_equal(fp_rx(a, pkts, 32), 2);
		assert_memory_equal(rte_pktmbuf_mtod(pkts[0], void *),
				    control.data, control.len);
		assert_memory_equal(rte_pktmbuf_mtod(pkts[1], void *),
				    data.data, data.len);
		rte_pktmbuf_free_bulk(pkts, 2);
		check_received(b, &data);
		assert_null(fp_used(&b->rings[FP_TO_PEER]));
	}
	/* The next burst steers again. */
	send_frame(&data);
	check_up(0, NULL);
	check_received(b, &data);
	assert_int_equal(query(flow).hits, RTE_DIM(flags) + 1);
	destroy(flow);
}

static void
several_outputs_get_what_the_edits_before_them_made(void **state)
{
	const struct rte_flow_action_port_id to_b = { .id = b->port },
		to_c = { .id = c->port };
	const struct rte_flow_action_set_mac mac = { { 2, 0, 0, 0, 0, 9 } };
	const struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x8100) };
	const struct rte_flow_action_of_set_vlan_vid vid = { RTE_BE16(7) };
	const struct rte_flow_action actions[] = {
		COUNT, TO(to_b),
		{ RTE_FLOW_ACTION_TYPE_SET_MAC_DST, &mac }, TO(to_b),
		{ RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, &push },
		{ RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, &vid }, TO(to_c), END
	};
	struct rte_flow *flow = create(actions);
	struct fk_frame f, edited, tagged;
	unsigned int i;

	offer(b, NUM, ROOM);
	offer(c, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 300);
	edited = f;
	memcpy(edited.data, mac.mac_addr, 6);
	tagged = edited;
	memmove(tagged.data + 16, edited.data + 12, edited.len - 12);
	memcpy(tagged.data + 12, "\x81\x00\x00\x07", 4);
	tagged.len += 4;
	/* More copies than a batch has room for. */
	for (i = 0; i < 30; i++)
		send_frame(&f);
	check_up(0, NULL);
	for (i = 0; i < 30; i++) {
		check_received(b, &f);
		check_received(b, &edited);
		check_received(c, &tagged);
	}
	assert_int_equal(query(flow).hits, 30);
	destroy(flow);
}

static void
a_rule_drops(void **state)
{
	const struct rte_flow_action actions[] = {
		COUNT, { RTE_FLOW_ACTION_TYPE_DROP, NULL }, END
	};
	struct rte_flow *flow = create(actions);
	struct fk_frame f;

	fk_make(&f, false, -1, UDP, 300);
	send_frame(&f);
	send_frame(&f);
	check_up(0, NULL);
	assert_int_equal(query(flow).hits, 2);
	assert_int_equal(query(flow).bytes, 2 * f.len);
	assert_int_equal(a->rings[FP_FROM_PEER].used->idx, 2);
	destroy(flow);
}

static void
a_marked_packet_goes_up_with_its_mark(void **state)
{
	const struct rte_flow_action_mark mark = { 77 };
	const struct rte_flow_action_rss rss = { 0 };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_MARK, &mark },
		{ RTE_FLOW_ACTION_TYPE_RSS, &rss }, END
	};
	const struct rte_flow_attr ingress = { .ingress = 1 };
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(a->port, &ingress, any_ip4,
						actions, &error);
	struct rte_mbuf *m;
	struct fk_frame f;

	assert_non_null(flow);
	fk_make(&f, false, -1, UDP, 300);
	send_frame(&f);
	assert_int_equal(fp_rx(a, &m, 1), 1);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_FDIR_ID);
	assert_int_equal(m->hash.fdir.hi, 77);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), f.data, f.len);
	rte_pktmbuf_free(m);
	destroy(flow);
}

/* Driver of a: send @f as a chain of pieces of @piece bytes, the header first;
 * in a table of its own or not. */
static void
send_chain(const struct fk_frame *f, uint32_t piece, bool indirect)
{
	const uint32_t total = HDR + f->len;
	const uint16_t n = 1 + (f->len + piece - 1) / piece;
	struct fp_ring *r = &a->rings[FP_FROM_PEER];
	uint64_t table = RTE_ALIGN_CEIL(fp_buffer(a, (n + 1u) *
					sizeof(struct vring_desc)), 16);
	uint64_t gpa = fp_buffer(a, total);
	uint16_t at = indirect ? 0 : r->next_desc, i;
	struct vring_desc *descs = indirect ? fp_addr(table) : r->desc;

	memset(fp_addr(gpa), 0, HDR);
	memcpy((uint8_t *)fp_addr(gpa) + HDR, f->data, f->len);
	for (i = 0; i < n; i++) {
		uint32_t from = i == 0 ? 0 : HDR + (i - 1) * piece;
		uint32_t len = i == 0 ? HDR : RTE_MIN(piece, total - from);

		fp_desc(descs, (at + i) % NUM, gpa + from, len,
			i + 1 < n ? VRING_DESC_F_NEXT : 0, (at + i + 1) % NUM);
	}
	if (indirect) {
		fp_post(r, table, n * sizeof(struct vring_desc),
			VRING_DESC_F_INDIRECT);
		return;
	}
	r->next_desc = (at + n) % NUM;
	fp_avail(r, at);
	fp_publish(r);
}

static void
chains_and_tables_are_steered_in_their_order(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f[6];
	unsigned int i;

	offer(b, NUM, ROOM);
	for (i = 0; i < RTE_DIM(f); i++) {
		fk_make(&f[i], false, -1, UDP, 100 + 200 * i);
		f[i].data[f[i].len - 1] = i;
		if (i % 3 == 0)
			send_frame(&f[i]);
		else
			send_chain(&f[i], 150, i % 3 == 1);
	}
	check_up(0, NULL);
	for (i = 0; i < RTE_DIM(f); i++)
		check_received(b, &f[i]);
	assert_int_equal(fp_mbufs_in_use(), 0);
	assert_int_equal(query(flow).hits, RTE_DIM(f));
	destroy(flow);
}

static void
a_packet_goes_over_several_buffers_where_they_merge(void **state)
{
	struct fp_ring *r = &c->rings[FP_TO_PEER];
	struct rte_flow *flow = output(c);
	uint32_t got = 0, n = 0;
	struct fk_frame f;

	offer(c, NUM, 256);
	fk_make(&f, false, -1, UDP, 1200);
	send_frame(&f);
	check_up(0, NULL);
	while (got < HDR + f.len) {
		const struct vring_used_elem *e = fp_used(r);
		const uint8_t *bytes;
		uint32_t skip = got == 0 ? HDR : 0;

		assert_non_null(e);
		bytes = fp_addr(r->desc[e->id].addr);
		if (got == 0)
			assert_int_equal(bytes[10], (HDR + f.len + 255) / 256);
		assert_memory_equal(bytes + skip, f.data + got + skip - HDR,
				    e->len - skip);
		got += e->len;
		n++;
	}
	assert_int_equal(got, HDR + f.len);
	assert_int_equal(n, (HDR + f.len + 255) / 256);
	destroy(flow);
}

/* More buffers than a burst hands over at once. */
static void
packets_of_one_burst_fill_all_buffers_there_are(void **state)
{
	struct rte_flow *flow = output(c);
	struct rte_eth_stats stats;
	struct fk_frame f;
	uint16_t n;

	/* Nine each. */
	fk_make(&f, false, -1, UDP, 1000);
	offer(c, 7 * 9, 128);
	for (n = 0; n < 7; n++)
		send_frame(&f);
	check_up(0, NULL);
	assert_int_equal(c->rings[FP_TO_PEER].used->idx, 7 * 9);
	assert_int_equal(fp_xstat(c, "tx_ring0_steer_full"), 0);
	assert_int_equal(rte_eth_stats_get(c->port, &stats), 0);
	assert_int_equal(stats.opackets, 7);
	destroy(flow);
}

static void
a_destination_without_room_drops_and_holds_up_no_other(void **state)
{
	const struct rte_flow_action_port_id to_b = { .id = b->port },
		to_c = { .id = c->port };
	const struct rte_flow_action actions[] = {
		COUNT, TO(to_b), TO(to_c), END
	};
	struct rte_flow *flow = create(actions);
	struct rte_eth_stats stats;
	struct fk_frame f;
	unsigned int i;

	offer(b, 3, ROOM);
	offer(c, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 30);
	for (i = 0; i < 10; i++)
		send_frame(&f);
	check_up(0, NULL);
	for (i = 0; i < 3; i++)
		check_received(b, &f);
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	for (i = 0; i < 10; i++)
		check_received(c, &f);
	assert_int_equal(fp_xstat(b, "tx_ring0_steer_full"), 7);
	assert_int_equal(rte_eth_stats_get(b->port, &stats), 0);
	assert_int_equal(stats.opackets, 3);
	destroy(flow);
}

/* While the driver cannot send to @fp, steered packets go up; then the driver
 * steers again. */
static void
check_closed(const struct fk_frame *f, uint64_t *n)
{
	send_frame(f);
	check_up(1, f);
	assert_int_equal(fp_xstat(a, "not_steered_no_destination"), ++*n);
}

static void
check_open(const struct fk_frame *f)
{
	send_frame(f);
	check_up(0, NULL);
	check_received(b, f);
}

static void
a_destination_that_stops_is_a_miss_and_comes_back(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f;
	uint64_t n = 0;

	offer(b, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 30);
	check_open(&f);
	assert_int_equal(rte_eth_dev_set_link_down(b->port), 0);
	check_closed(&f, &n);
	assert_int_equal(rte_eth_dev_set_link_up(b->port), 0);
	check_open(&f);
	assert_int_equal(rte_eth_dev_stop(b->port), 0);
	check_closed(&f, &n);
	assert_int_equal(rte_eth_dev_start(b->port), 0);
	check_open(&f);
	/* The peer goes, and comes. */
	b->peer.connected = false;
	fp_adopt(b);
	check_closed(&f, &n);
	b->peer.connected = true;
	fp_restart(b, FP_TO_PEER);
	offer(b, NUM, ROOM);
	check_open(&f);
	/* Another table of its memory. */
	b->peer.n_regions--;
	fp_adopt(b);
	b->peer.n_regions++;
	fp_adopt(b);
	fp_restart(b, FP_TO_PEER);
	offer(b, NUM, ROOM);
	check_open(&f);
	assert_int_equal(rte_pmd_vhostpci_steering_set(b->port, false), 0);
	check_closed(&f, &n);
	assert_int_equal(rte_pmd_vhostpci_steering_set(b->port, true), 0);
	check_open(&f);
	destroy(flow);
}

static void
a_port_that_may_not_steer_sends_all_up(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f;

	offer(b, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 30);
	assert_int_equal(rte_pmd_vhostpci_steering_set(a->port, false), 0);
	send_frame(&f);
	check_up(1, &f);
	assert_int_equal(rte_pmd_vhostpci_steering_set(a->port, true), 0);
	check_open(&f);
	destroy(flow);
}

static void
a_rule_to_a_port_that_is_gone_never_leads_to_its_successor(void **state)
{
	struct rte_flow *flow = output(b), *other;
	uint16_t id = b->port;
	struct fk_frame f;
	uint64_t n = 0;

	fk_make(&f, false, -1, UDP, 30);
	fp_free(b);
	check_closed(&f, &n);
	b = receiver(1, FP_MODERN, NUM);
	assert_int_equal(b->port, id);
	offer(b, NUM, ROOM);
	check_closed(&f, &n);
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	/* A new rule does. */
	destroy(flow);
	other = output(b);
	check_open(&f);
	destroy(other);
}

static void
configure(struct fakepeer *fp, struct rte_eth_conf conf)
{
	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_dev_configure(fp->port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, NULL,
						fp_pool()), 0);
	assert_int_equal(rte_eth_tx_queue_setup(fp->port, 0, 512, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(fp->port), 0);
}

static void
frames_longer_than_the_mtu_go_up(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f;

	offer(b, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 1472);
	check_open(&f);
	assert_int_equal(rte_eth_dev_set_mtu(b->port, 1400), 0);
	send_frame(&f);
	check_up(1, &f);
	assert_int_equal(fp_xstat(a, "not_steered_too_long"), 1);
	assert_int_equal(rte_eth_dev_set_mtu(b->port, 1500), 0);
	check_open(&f);
	/* ethdev sets it with this, too. */
	configure(b, (struct rte_eth_conf) { .rxmode.mtu = 1400 });
	send_frame(&f);
	check_up(1, &f);
	destroy(flow);
}

/* Driver of a: send a frame of TCP of @len bytes to be segmented. */
static void
send_large(uint32_t len)
{
	struct virtio_net_hdr_v1 hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448,
		.hdr_len = 54, .csum_start = 34, .csum_offset = 16,
		.num_buffers = 1,
	};
	uint64_t gpa = fp_buffer(a, HDR + len);
	uint8_t *to = fp_addr(gpa);
	struct fk_frame f;
	uint32_t i;

	fk_make(&f, false, -1, TCP, 0);
	f.data[f.l4 + 13] = 0x10;
	fk_put16(f.data + f.l3 + 2, len - f.l3);
	memcpy(to, &hdr, HDR);
	memcpy(to + HDR, f.data, f.len);
	for (i = f.len; i < len; i++)
		to[HDR + i] = i % 251;
	fp_post(&a->rings[FP_FROM_PEER], gpa, HDR + len, 0);
}

#define OFFLOADS	(1ULL << VIRTIO_NET_F_CSUM | \
			 1ULL << VIRTIO_NET_F_HOST_TSO4)

/* Larger than an mbuf, in one descriptor. */
static void
large_packets_go_up_whole_beside_rules(void **state)
{
	const uint32_t len = 20000;
	struct rte_flow *flow = output(b);
	struct rte_mbuf *m;
	uint32_t i;

	configure(a, (struct rte_eth_conf) {
		.rxmode.offloads = RTE_ETH_RX_OFFLOAD_TCP_LRO |
			RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
			RTE_ETH_RX_OFFLOAD_UDP_CKSUM,
		.rxmode.max_lro_pkt_size = 65535,
	});
	a->peer.features |= OFFLOADS;
	fp_restart(a, FP_FROM_PEER);
	offer(b, NUM, ROOM);
	send_large(len);
	assert_int_equal(fp_rx(a, &m, 1), 1);
	assert_int_equal(fp_xstat(a, "not_steered_unfinished"), 1);
	assert_int_equal(m->pkt_len, len);
	assert_int_equal(m->data_len, len);
	assert_int_equal(m->tso_segsz, 1448);
	for (i = 54; i < len; i++)
		assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[i], i % 251);
	rte_pktmbuf_free(m);
	destroy(flow);
}

static void
frames_that_tags_make_longer_than_the_mtu_go_up(void **state)
{
	const struct rte_flow_action_port_id to_b = { .id = b->port };
	const struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x8100) };
	const struct rte_flow_action actions[] = {
		TO(to_b), { RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, &push },
		TO(to_b), { RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, NULL },
		TO(to_b), END
	};
	struct rte_flow *flow = create(actions);
	struct fk_frame f;

	offer(b, NUM, ROOM);
	/* 1514 bytes, and 1518 with the tag. */
	fk_make(&f, false, -1, UDP, 1472);
	send_frame(&f);
	check_up(0, NULL);
	check_received(b, &f);
	fk_make(&f, false, -1, UDP, 1473);
	send_frame(&f);
	check_up(1, &f);
	assert_int_equal(fp_xstat(a, "not_steered_too_long"), 1);
	destroy(flow);
}

static void
a_destination_that_breaks_a_rule_stops_alone(void **state)
{
	struct rte_flow *flow = output(b);
	struct fk_frame f;
	uint64_t n = 0;

	fk_make(&f, false, -1, UDP, 30);
	fp_post(&b->rings[FP_TO_PEER], FP_HOLE, ROOM, VRING_DESC_F_WRITE);
	send_frame(&f);
	check_up(0, NULL);
	assert_true(fp_wait_broken(b, FP_TO_PEER));
	assert_true(fp_link(a));
	assert_false(fp_link(b));
	b->peer.connected = false;
	fp_adopt(b);
	check_closed(&f, &n);
	destroy(flow);
}

/* A peer may have its own packets back, even where they came from. */
static void
a_port_is_a_destination_of_its_own_rules(void **state)
{
	struct rte_flow *flow = output(a);
	struct fp_ring *r = &a->rings[FP_TO_PEER];
	struct fk_frame f;

	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	fk_make(&f, false, -1, UDP, 1000);
	offer(a, 1, ROOM);
	send_frame(&f);
	check_up(0, NULL);
	check_received(a, &f);
	/* Into the buffer that it is read from, some bytes further. */
	send_frame(&f);
	fp_post(r, a->rings[FP_FROM_PEER].desc[1].addr + 8, ROOM,
		VRING_DESC_F_WRITE);
	check_up(0, NULL);
	assert_int_equal(fp_used(r)->len, HDR + f.len);
	assert_true(fp_link(a));
	destroy(flow);
}

static void
rules_are_listed_as_text(void **state)
{
	struct rte_pmd_vhostpci_flow flows[2];
	struct rte_flow *flow = output(b);
	struct fk_frame f;

	offer(b, NUM, ROOM);
	fk_make(&f, false, -1, UDP, 30);
	check_open(&f);
	assert_int_equal(rte_pmd_vhostpci_flows_get(a->port, flows, 2), 1);
	assert_string_equal(flows[0].actions, "output:net_fakepeer1");
	assert_non_null(strstr(flows[0].match, "0800"));
	assert_int_equal(flows[0].hits, 1);
	assert_int_equal(flows[0].bytes, f.len);
	assert_int_equal(rte_pmd_vhostpci_flows_get(b->port, flows, 2), 0);
	assert_int_equal(rte_pmd_vhostpci_flows_get(RTE_MAX_ETHPORTS, flows,
						    2), -ENODEV);
	destroy(flow);
}

static void
isolated_ports_drop_what_no_rule_matches(void **state)
{
	struct rte_flow_error error;
	struct fk_frame f;

	fk_make(&f, false, -1, UDP, 30);
	assert_int_equal(rte_flow_isolate(a->port, 1, &error), 0);
	send_frame(&f);
	check_up(0, NULL); /* there is no rule at all */
	assert_int_equal(fp_xstat(a, "rx_ring0_packets"), 1);
	struct rte_flow *flow = output(b);

	offer(b, NUM, ROOM);
	check_open(&f);
	fk_make(&f, true, -1, UDP, 30);
	send_frame(&f);
	check_up(0, NULL);
	destroy(flow);
	send_frame(&f);
	check_up(0, NULL);
	assert_int_equal(rte_flow_isolate(a->port, 0, &error), 0);
	send_frame(&f);
	check_up(1, &f);
}

/* A rule of a's for UDP from port @from. */
static struct rte_flow *
create_udp(uint16_t from, const struct rte_flow_attr *attr,
	   const struct rte_flow_action *actions)
{
	const struct rte_flow_item_udp spec = {
		.hdr.src_port = rte_cpu_to_be_16(from),
	};
	const struct rte_flow_item_udp mask = { .hdr.src_port = 0xffff };
	const struct rte_flow_item_ipv4 ip = { .hdr.next_proto_id = UDP };
	const struct rte_flow_item_ipv4 ip_mask = { .hdr.next_proto_id = 0xff };
	const struct rte_flow_item items[] = {
		{ RTE_FLOW_ITEM_TYPE_ETH, &ip4_eth, NULL, &type_mask },
		{ RTE_FLOW_ITEM_TYPE_IPV4, &ip, NULL, &ip_mask },
		{ RTE_FLOW_ITEM_TYPE_UDP, &spec, NULL, &mask },
		{ RTE_FLOW_ITEM_TYPE_END },
	};
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(a->port, attr, items, actions,
						&error);

	if (flow == NULL)
		print_message("%s\n", error.message);
	assert_non_null(flow);
	return flow;
}

static struct fk_frame
udp_from(uint16_t port, uint32_t payload)
{
	struct fk_frame f;

	fk_make(&f, false, -1, UDP, payload);
	fk_put16(f.data + f.l4, port);
	fk_checksums(&f, false, UDP);
	return f;
}

#define FROM(i)	(100 + (i) % 3)

/* Three rules to one destination, in one burst and in turns. */
static void
packets_of_several_rules_to_one_output_are_counted_apart(void **state)
{
	const struct rte_flow_action_port_id to_b = { .id = b->port };
	const struct rte_flow_action actions[] = { COUNT, TO(to_b), END };
	struct rte_flow *flows[3];
	struct fk_frame f[20];
	unsigned int i;

	for (i = 0; i < 3; i++)
		flows[i] = create_udp(FROM(i), &transfer, actions);
	offer(b, NUM, ROOM);
	for (i = 0; i < RTE_DIM(f); i++) {
		f[i] = udp_from(FROM(i), i * 40);
		send_frame(&f[i]);
	}
	check_up(0, NULL);
	for (i = 0; i < RTE_DIM(f); i++)
		check_received(b, &f[i]);
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	for (i = 0; i < 3; i++) {
		uint64_t hits = 0, bytes = 0;
		unsigned int k;

		for (k = i; k < RTE_DIM(f); k += 3, hits++)
			bytes += f[k].len;
		assert_int_equal(query(flows[i]).hits, hits);
		assert_int_equal(query(flows[i]).bytes, bytes);
		destroy(flows[i]);
	}
}

static struct rte_flow *
mark_udp_as(uint16_t from, uint32_t mark, bool counted)
{
	const struct rte_flow_attr ingress = { .ingress = 1 };
	const struct rte_flow_action_mark value = { mark };
	const struct rte_flow_action_rss rss = { 0 };
	const struct rte_flow_action actions[] = {
		COUNT,
		{ RTE_FLOW_ACTION_TYPE_MARK, &value },
		{ RTE_FLOW_ACTION_TYPE_RSS, &rss }, END
	};

	return create_udp(from, &ingress, &actions[counted ? 0 : 1]);
}

static struct rte_flow *
mark_udp(uint16_t from, uint32_t mark)
{
	return mark_udp_as(from, mark, false);
}

/* Receive @n packets of a's, that are udp_from(FROM(i), @len) from i = @at on:
 * those of the first two kinds are marked 1000 and UINT32_MAX. */
static void
check_marks(unsigned int n, unsigned int at, uint32_t len)
{
	static const uint32_t marks[] = { 1000, UINT32_MAX };
	struct rte_mbuf *pkts[32];
	unsigned int i;

	assert_int_equal(fp_rx(a, pkts, 32), n);
	for (i = 0; i < n; i++) {
		struct fk_frame f = udp_from(FROM(at + i), len);
		bool marked = FROM(at + i) < 102;

		assert_int_equal(pkts[i]->data_len, f.len);
		assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), f.data,
				    f.len);
		assert_int_equal(!!(pkts[i]->ol_flags & RTE_MBUF_F_RX_FDIR_ID),
				 marked);
		if (marked)
			assert_int_equal(pkts[i]->hash.fdir.hi,
					 marks[FROM(at + i) - 100]);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

static void
send_turns(unsigned int n, uint32_t len)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct fk_frame f = udp_from(FROM(i), len);

		send_frame(&f);
	}
}

static void
marked_packets_and_others_go_up_in_one_burst(void **state)
{
	struct rte_flow *one = mark_udp(100, 1000);
	struct rte_flow *most = mark_udp(101, UINT32_MAX);
	struct rte_eth_stats stats;

	send_turns(30, 500);
	check_marks(30, 0, 500);
	assert_int_equal(fp_xstat(a, "not_steered_no_rule"), 10);
	assert_int_equal(query(one).hits, 10);
	assert_int_equal(query(most).hits, 10);
	assert_int_equal(rte_eth_stats_get(a->port, &stats), 0);
	assert_int_equal(stats.ipackets, 30);
	assert_int_equal(stats.ibytes, 30 * 542);
	/* One that is no frame is dropped, alone. */
	struct fk_frame runt = { .len = 13 };

	send_turns(3, 20);
	send_frame(&runt);
	check_marks(3, 0, 20);
	assert_int_equal(fp_xstat(a, "rx_ring0_runt"), 1);
	assert_int_equal(fp_mbufs_in_use(), 0);
	destroy(one);
	destroy(most);
}

/* One packet comes up that is udp_from(100, 20). */
static void
check_one(bool marked)
{
	struct rte_mbuf *m;

	send_turns(1, 20);
	assert_int_equal(fp_rx(a, &m, 1), 1);
	assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_RX_FDIR_ID), marked);
	if (marked)
		assert_int_equal(m->hash.fdir.hi, 1000);
	rte_pktmbuf_free(m);
}

/* If the application wants no marks, bursts do not look at packets only to mark
 * them, except for rules that count. While there is another rule, all marks
 * work. */
static void
marks_that_nobody_wants_cost_no_look(void **state)
{
	struct rte_flow *bare, *counted, *other;

	assert_int_equal(rte_pmd_vhostpci_marks_set(a->port, false), 0);
	bare = mark_udp(100, 1000);
	check_one(false);
	assert_int_equal(query(bare).hits, 0);
	assert_int_equal(fp_xstat(a, "not_steered_no_rule"), 0);
	/* A rule that no packet reaches. */
	other = create_udp(500, &transfer, (const struct rte_flow_action[]){
		{ RTE_FLOW_ACTION_TYPE_DROP, NULL }, END });
	check_one(true);
	assert_int_equal(query(bare).hits, 1);
	destroy(other);
	check_one(false);
	/* The same rule once more, to be counted. */
	counted = mark_udp_as(100, 1000, true);
	check_one(true);
	assert_int_equal(query(counted).hits, 1);
	destroy(counted);
	check_one(true);
	destroy(bare);
	bare = mark_udp(100, 1000);
	check_one(false);
	assert_int_equal(rte_pmd_vhostpci_marks_set(a->port, true), 0);
	check_one(true);
	assert_int_equal(rte_pmd_vhostpci_marks_set(a->port, false), 0);
	check_one(false);
	/* An isolated port looks at what it drops. */
	assert_int_equal(rte_flow_isolate(a->port, 1, NULL), 0);
	check_one(true);
	assert_int_equal(rte_flow_isolate(a->port, 0, NULL), 0);
	destroy(bare);
}

/* The pool has too few mbufs for the burst: packets without an mbuf come
 * later. */
static void
marked_packets_wait_for_mbufs(void **state)
{
	struct rte_flow *one = mark_udp(100, 1000);
	struct rte_flow *most = mark_udp(101, UINT32_MAX);
	struct rte_mempool *mp = fp_pool();
	unsigned int n = rte_mempool_avail_count(mp) - 8, got = 0;
	struct rte_mbuf **taken = calloc(n, sizeof(*taken));

	assert_non_null(taken);
	while (got < n && rte_mempool_get(mp, (void **)&taken[got]) == 0)
		got++;
	assert_int_equal(got, n);
	send_turns(30, 60);
	/* Half of what was wanted, until there are as many. */
	check_marks(7, 0, 60);
	check_marks(5, 7, 60);
	rte_mempool_put_bulk(mp, (void **)taken, n);
	check_marks(18, 12, 60);
	free(taken);
	destroy(one);
	destroy(most);
}

/* As if the peer had negotiated fewer features after a burst had checked
 * them. */
static void
what_a_peer_takes_no_more_is_dropped_and_the_rest_goes(void **state)
{
	static const struct virtio_net_hdr_v1 hdrs[] = {
		{ .num_buffers = 1 },
		{ .num_buffers = 1, .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .csum_start = 34, .csum_offset = 16 },
		{ .num_buffers = 1, .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .csum_start = 34, .csum_offset = 16, .hdr_len = 54,
		  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 10 },
	};
	struct fk_frame frames[RTE_DIM(hdrs)];
	struct vhostpci_item items[RTE_DIM(hdrs)];
	unsigned int taken, i;

	for (taken = 1; taken <= RTE_DIM(hdrs); taken++) {
		if (taken == 2)
			b->peer.features |= 1ULL << VIRTIO_NET_F_GUEST_CSUM;
		if (taken == 3)
			b->peer.features |= 1ULL << VIRTIO_NET_F_GUEST_TSO4;
		fp_restart(b, FP_TO_PEER);
		offer(b, 4, ROOM);
		/* The one that always goes comes last. */
		for (i = 0; i < RTE_DIM(hdrs); i++) {
			fk_make(&frames[i], false, -1, TCP, 30 + i);
			items[RTE_DIM(hdrs) - 1 - i] = (struct vhostpci_item) {
				.inlet = b->dev->inlet, .hdr = &hdrs[i],
				.head = frames[i].data,
				.head_len = frames[i].len,
			};
		}
		assert_int_equal(vhostpci_forward(items, RTE_DIM(hdrs), true),
				 0);
		for (i = taken; i-- > 0;)
			check_received(b, &frames[i]);
		assert_null(fp_used(&b->rings[FP_TO_PEER]));
	}
	assert_int_equal(fp_xstat(b, "tx_ring0_unsupported"), 2 + 1);
}

#define STEER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STEER_TEST(packets_go_from_ring_to_ring_and_are_counted),
		STEER_TEST(a_packet_without_a_rule_goes_up),
		STEER_TEST(tcp_syn_fin_and_rst_go_up_with_what_follows_in_the_burst),
		STEER_TEST(several_outputs_get_what_the_edits_before_them_made),
		STEER_TEST(a_rule_drops),
		STEER_TEST(a_marked_packet_goes_up_with_its_mark),
		STEER_TEST(chains_and_tables_are_steered_in_their_order),
		STEER_TEST(a_packet_goes_over_several_buffers_where_they_merge),
		STEER_TEST(packets_of_one_burst_fill_all_buffers_there_are),
		STEER_TEST(a_destination_without_room_drops_and_holds_up_no_other),
		STEER_TEST(a_destination_that_stops_is_a_miss_and_comes_back),
		STEER_TEST(a_port_that_may_not_steer_sends_all_up),
		STEER_TEST(a_rule_to_a_port_that_is_gone_never_leads_to_its_successor),
		STEER_TEST(frames_longer_than_the_mtu_go_up),
		STEER_TEST(frames_that_tags_make_longer_than_the_mtu_go_up),
		STEER_TEST(large_packets_go_up_whole_beside_rules),
		STEER_TEST(a_destination_that_breaks_a_rule_stops_alone),
		STEER_TEST(a_port_is_a_destination_of_its_own_rules),
		STEER_TEST(rules_are_listed_as_text),
		STEER_TEST(isolated_ports_drop_what_no_rule_matches),
		STEER_TEST(packets_of_several_rules_to_one_output_are_counted_apart),
		STEER_TEST(marked_packets_and_others_go_up_in_one_burst),
		STEER_TEST(marked_packets_wait_for_mbufs),
		STEER_TEST(marks_that_nobody_wants_cost_no_look),
		STEER_TEST(what_a_peer_takes_no_more_is_dropped_and_the_rest_goes),
	};

	fp_init("test_steer");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
