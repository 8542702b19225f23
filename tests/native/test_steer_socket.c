/* SPDX-License-Identifier: Apache-2.0 */

/* Rules between ports of two transports: rings behind a device (here: the
 * transport of peer/fakepeer.h), and real sockets. */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flowkit.h"
#include "peer/frontend.h"

#define NUM	FE_NUM
#define HDR	FE_HDR
#define ROOM	2048u
#define UDP	17
#define LEN	100	/* of payload */
#define BURST	8

static struct fakepeer *dev;
static struct frontend *one, *two;

static int
setup(void **state)
{
	(void)state;
	dev = fp_new_number(0, FP_MODERN, NUM);
	one = fe_new("", 1, false);
	two = fe_new("", 1, false);
	fe_start(one, FE_FEATURES, 1);
	fe_start(two, FE_FEATURES, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fe_free(two);
	fe_free(one);
	fp_free(dev);
	return 0;
}

/* Buffer @i of a socket peer, which has one half of them for each ring. */
static uint64_t
fe_buffer(unsigned int ring, unsigned int i)
{
	return FE_GPA + FE_BUFFERS + (ring * NUM + i % NUM) * (uint64_t)ROOM;
}

static uint8_t *
fe_addr(const struct frontend *fe, uint64_t gpa)
{
	return fe->mem + (gpa - FE_GPA);
}

static struct fk_frame
frame(uint8_t number)
{
	struct fk_frame f;

	fk_make(&f, false, -1, UDP, LEN);
	f.data[f.len - 1] = number;
	fk_checksums(&f, false, UDP);
	return f;
}

/*
 * Drivers: they offer a buffer, send @f, have received @f.
 */

static void
offer(struct fp_ring *r, uint64_t gpa)
{
	fp_post(r, gpa, ROOM, VRING_DESC_F_WRITE);
}

static void
send_at(struct fp_ring *r, uint64_t gpa, uint8_t *bytes,
	const struct fk_frame *f)
{
	memset(bytes, 0, HDR);
	memcpy(bytes + HDR, f->data, f->len);
	fp_post(r, gpa, HDR + f->len, 0);
}

static void
dev_send(const struct fk_frame *f)
{
	uint64_t gpa = fp_buffer(dev, HDR + f->len);

	send_at(&dev->rings[FP_FROM_PEER], gpa, fp_addr(gpa), f);
}

static void
fe_send_frame(struct frontend *fe, unsigned int i, const struct fk_frame *f)
{
	uint64_t gpa = fe_buffer(1, i);

	send_at(&fe->rings[1], gpa, fe_addr(fe, gpa), f);
}

static void
check(const struct vring_used_elem *e, const uint8_t *bytes,
      const struct fk_frame *f)
{
	assert_int_equal(e->len, HDR + f->len);
	assert_memory_equal(bytes + HDR, f->data, f->len);
}

static void
fe_check(struct frontend *fe, const struct fk_frame *f)
{
	struct fp_ring *r = &fe->rings[0];
	const struct vring_used_elem *e = fp_used(r);

	assert_non_null(e);
	check(e, fe_addr(fe, r->desc[e->id].addr), f);
}

static void
dev_check(const struct fk_frame *f)
{
	struct fp_ring *r = &dev->rings[FP_TO_PEER];
	const struct vring_used_elem *e = fp_used(r);

	assert_non_null(e);
	check(e, fp_addr(r->desc[e->id].addr), f);
}

/*
 * Rules: all IPv4 of port @from goes to @to.
 */

static struct rte_flow *
create(uint16_t from, uint16_t to)
{
	static const struct rte_flow_item_eth ip4 = {
		.type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	};
	static const struct rte_flow_item_eth mask = { .type = 0xffff };
	static const struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &ip4, .mask = &mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	static const struct rte_flow_attr attr = { .transfer = 1 };
	const struct rte_flow_action_port_id id = { .id = to };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(from, &attr, pattern, actions,
						&error);

	if (flow == NULL)
		print_message("%s\n", error.message);
	assert_non_null(flow);
	return flow;
}

static void
destroy(uint16_t from, struct rte_flow *flow)
{
	struct rte_flow_error error;

	assert_int_equal(rte_flow_destroy(from, flow, &error), 0);
}

/* What @port's receive burst leaves to the application. */
static unsigned int
up(uint16_t port)
{
	struct rte_mbuf *pkts[2 * BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, pkts, 2 * BURST);

	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

/*
 * Either end: a socket's peer, or with NULL the device's.
 */

static uint16_t
port_of(const struct frontend *fe)
{
	return fe != NULL ? fe->port : dev->port;
}

static void
offer_to(struct frontend *fe, unsigned int i)
{
	if (fe != NULL)
		offer(&fe->rings[0], fe_buffer(0, i));
	else
		offer(&dev->rings[FP_TO_PEER], fp_buffer(dev, ROOM));
}

static void
send_from(struct frontend *fe, unsigned int i, const struct fk_frame *f)
{
	if (fe != NULL)
		fe_send_frame(fe, i, f);
	else
		dev_send(f);
}

static void
check_at(struct frontend *fe, const struct fk_frame *f)
{
	if (fe != NULL)
		fe_check(fe, f);
	else
		dev_check(f);
}

static void
move_burst(struct frontend *from, struct frontend *to)
{
	struct rte_flow *flow = create(port_of(from), port_of(to));
	struct fk_frame f;
	uint64_t steered;
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		offer_to(to, i);
		f = frame(i);
		send_from(from, i, &f);
	}
	assert_int_equal(up(port_of(from)), 0);
	for (i = 0; i < BURST; i++) {
		f = frame(i);
		check_at(to, &f);
	}
	assert_true(fp_port_xstat(port_of(from), "rx_ring0_steered", &steered));
	assert_int_equal(steered, BURST);
	destroy(port_of(from), flow);
}

static void
a_rule_moves_packets_from_a_device_to_a_socket(void **state)
{
	(void)state;
	move_burst(NULL, one);
}

static void
a_rule_moves_packets_from_a_socket_to_a_device(void **state)
{
	(void)state;
	move_burst(one, NULL);
}

static void
a_rule_moves_packets_between_sockets(void **state)
{
	(void)state;
	move_burst(one, two);
}

/* Its rings and its memory are another process's, and gone with it. */
static void
a_socket_peer_that_leaves_is_a_miss_and_comes_back(void **state)
{
	struct rte_flow *flow = create(dev->port, one->port);
	struct fk_frame f = frame(1);

	(void)state;
	fe_disconnect(one);
	assert_true(fe_wait_link(one, false));
	dev_send(&f);
	assert_int_equal(up(dev->port), 1);
	fe_start(one, FE_FEATURES, 1);
	offer(&one->rings[0], fe_buffer(0, 0));
	dev_send(&f);
	assert_int_equal(up(dev->port), 0);
	fe_check(one, &f);
	destroy(dev->port, flow);
}

#define STEER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STEER_TEST(a_rule_moves_packets_from_a_device_to_a_socket),
		STEER_TEST(a_rule_moves_packets_from_a_socket_to_a_device),
		STEER_TEST(a_rule_moves_packets_between_sockets),
		STEER_TEST(a_socket_peer_that_leaves_is_a_miss_and_comes_back),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
