/* SPDX-License-Identifier: Apache-2.0 */

/* Rules and unfinished packets: which packets go from ring to ring, and which
 * bytes rules see of a packet whose checksum is not written yet. */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flowkit.h"
#include "peer/fakepeer.h"

#define NUM	64
#define HDR	12u
#define ROOM	2048u
#define TCP	6
#define UDP	17
#define LEN	100	/* of payload */

#define FEATURES	(1ULL << VIRTIO_NET_F_CSUM | \
			 1ULL << VIRTIO_NET_F_HOST_TSO4 | \
			 1ULL << VIRTIO_NET_F_GUEST_CSUM | \
			 1ULL << VIRTIO_NET_F_GUEST_TSO4)

static struct fakepeer *a, *b;

static int
setup(void **state)
{
	unsigned int i;

	a = fp_new_number(0, FP_MODERN | FEATURES, NUM);
	b = fp_new_number(1, FP_MODERN | FEATURES, NUM);
	for (i = 0; i < NUM; i++)
		fp_post(&b->rings[FP_TO_PEER], fp_buffer(b, ROOM), ROOM,
			VRING_DESC_F_WRITE);
	return 0;
}

static int
teardown(void **state)
{
	fp_free(b);
	fp_free(a);
	return 0;
}

#define END	{ RTE_FLOW_ACTION_TYPE_END, NULL }

static struct rte_flow *
create(bool transfer, const struct rte_flow_action *actions)
{
	static const struct rte_flow_item_eth ip4 = {
		.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
		.dst.addr_bytes = { 2, 0, 0, 0, 0, 1 },
	};
	static const struct rte_flow_item_eth mask = {
		.type = 0xffff,
		.dst.addr_bytes = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	static const struct rte_flow_item pattern[] = {
		{ RTE_FLOW_ITEM_TYPE_ETH, &ip4, NULL, &mask },
		{ RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_attr attr = {
		.transfer = transfer, .ingress = !transfer,
	};
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(a->port, &attr, pattern,
						actions, &error);

	if (flow == NULL)
		print_message("%s\n", error.message);
	assert_non_null(flow);
	return flow;
}

static struct rte_flow *
output(void)
{
	const struct rte_flow_action_port_id id = { .id = b->port };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id }, END
	};

	return create(true, actions);
}

static struct rte_flow *
drop(void)
{
	static const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_DROP, NULL }, END
	};

	return create(true, actions);
}

static struct rte_flow *
mark(void)
{
	static const struct rte_flow_action_mark id = { 77 };
	static const struct rte_flow_action_rss rss = { 0 };
	static const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_MARK, &id },
		{ RTE_FLOW_ACTION_TYPE_RSS, &rss }, END
	};

	return create(false, actions);
}

static void
destroy(struct rte_flow *flow)
{
	struct rte_flow_error error;

	assert_int_equal(rte_flow_destroy(a->port, flow, &error), 0);
}

/* A frame that matches, in IPv4. */
static struct fk_frame
frame(uint8_t proto)
{
	static const uint8_t dst[] = { 2, 0, 0, 0, 0, 1 };
	struct fk_frame f;

	fk_make(&f, false, -1, proto, LEN);
	memcpy(f.data, dst, sizeof(dst));
	if (proto == TCP)
		f.data[f.l4 + 13] = 0x10;
	return f;
}

static void
send_frame(const struct fk_frame *f, const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t gpa = fp_buffer(a, HDR + f->len);

	memcpy(fp_addr(gpa), hdr, HDR);
	memcpy((uint8_t *)fp_addr(gpa) + HDR, f->data, f->len);
	fp_post(&a->rings[FP_FROM_PEER], gpa, HDR + f->len, 0);
}

static struct virtio_net_hdr_v1
partial(const struct fk_frame *f, uint8_t proto)
{
	return (struct virtio_net_hdr_v1) {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = f->l4,
		.csum_offset = proto == TCP ? 16 : 6,
	};
}

/* b: what came has this header, and is @f. */
static void
check_received(const struct fk_frame *f, const struct virtio_net_hdr_v1 *hdr)
{
	struct fp_ring *r = &b->rings[FP_TO_PEER];
	const struct vring_used_elem *e = fp_used(r);
	const uint8_t *bytes;

	assert_non_null(e);
	assert_int_equal(e->len, HDR + f->len);
	bytes = fp_addr(r->desc[e->id].addr);
	/* num_buffers is 1. */
	assert_memory_equal(bytes, hdr, HDR - 2);
	assert_memory_equal(bytes + HDR, f->data, f->len);
}

/* Of the packet that comes up: is it marked? */
static bool
is_marked_up(void)
{
	struct rte_mbuf *m;
	bool marked;

	assert_int_equal(fp_rx(a, &m, 1), 1);
	marked = m->ol_flags & RTE_MBUF_F_RX_FDIR_ID;
	rte_pktmbuf_free(m);
	return marked;
}

static void
unfinished_packets_go_as_they_are(void **state)
{
	static const uint8_t protos[] = { TCP, UDP };
	struct rte_flow *flow = output();
	struct rte_mbuf *m;
	unsigned int i;

	for (i = 0; i < RTE_DIM(protos); i++) {
		struct fk_frame f = frame(protos[i]);
		struct virtio_net_hdr_v1 hdr = partial(&f, protos[i]);

		send_frame(&f, &hdr);
		assert_int_equal(fp_rx(a, &m, 1), 0);
		check_received(&f, &hdr);
		if (protos[i] != TCP)
			continue;
		hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = LEN / 3;
		hdr.hdr_len = f.l4 + 20;
		send_frame(&f, &hdr);
		assert_int_equal(fp_rx(a, &m, 1), 0);
		check_received(&f, &hdr);
	}
	destroy(flow);
}

/* A peer can choose where the checksum goes, and so replace bytes that a rule
 * has matched. The driver must not mark or drop such a packet by the old
 * bytes. */
static void
no_rule_judges_what_the_checksum_replaces(void **state)
{
	const struct fk_frame f = frame(UDP);
	struct virtio_net_hdr_v1 address = partial(&f, UDP), right = address;
	struct rte_flow *(*const rules[])(void) = { output, drop, mark };
	struct rte_flow *flow;
	unsigned int i;

	address.csum_start = 0;		/* over the destination, which matched */
	address.csum_offset = 4;
	for (i = 0; i < RTE_DIM(rules); i++) {
		flow = rules[i]();
		send_frame(&f, &address);
		assert_false(is_marked_up());
		assert_int_equal(fp_xstat(a, "not_steered_unfinished"), i + 1);
		destroy(flow);
	}
	assert_null(fp_used(&b->rings[FP_TO_PEER]));
	flow = mark();
	send_frame(&f, &right);
	assert_true(is_marked_up());
	destroy(flow);
}

/* Those for which the driver itself cannot do what the header asks for. */
static void
unfinished_packets_of_an_odd_kind_go_up(void **state)
{
	struct rte_flow *flow = output();
	struct fk_frame f[5];
	unsigned int i;

	f[0] = frame(UDP);	/* a first fragment */
	f[0].data[f[0].l3 + 6] = 0x20;
	f[1] = frame(UDP);	/* a later one */
	f[1].data[f[1].l3 + 7] = 4;
	f[2] = frame(UDP);	/* not IPv4 by its version */
	f[2].data[f[2].l3] = 0x55;
	f[3] = frame(UDP);	/* no room for a header */
	fk_put16(f[3].data + f[3].l3 + 2, 20 + 7);
	for (i = 0; i < 4; i++)
		fk_checksums(&f[i], false, UDP);
	f[4] = frame(UDP);	/* another TTL than the IPv4 checksum says */
	f[4].data[f[4].l3 + 8]++;
	for (i = 0; i < RTE_DIM(f); i++) {
		struct virtio_net_hdr_v1 hdr = partial(&f[i], UDP);

		send_frame(&f[i], &hdr);
		assert_false(is_marked_up());
		assert_null(fp_used(&b->rings[FP_TO_PEER]));
	}
	destroy(flow);
}

#define STEER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STEER_TEST(unfinished_packets_go_as_they_are),
		STEER_TEST(no_rule_judges_what_the_checksum_replaces),
		STEER_TEST(unfinished_packets_of_an_odd_kind_go_up),
	};

	fp_init("test_steer_offload");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
