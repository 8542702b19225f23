/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The socket transport against hostile and clumsy front-ends: late reports,
 * floods of messages, and queues and peers that come and go.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "peer/frontend.h"
#include "rte_pmd_vhostpci.h"

static void
report_of_an_earlier_start_leaves_the_ring_alone(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint32_t epoch;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	epoch = fe->socket->core.rings[1].epoch;
	fe_stop_ring(fe, 1);
	fe_place_ring(fe, 1);
	vhostpci_socket_ops.broken(fe->socket->dev, 1, epoch, "late");
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	fe_run_ring(fe, 1);
	vhostpci_socket_ops.broken(fe->socket->dev, 1, epoch, "too late");
	/* The thread takes reports before messages. */
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	assert_true(fe->socket->core.rings[1].run);
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	vhostpci_socket_ops.broken(fe->socket->dev, 1, epoch + 1, "now");
	assert_true(fe_wait(!*(volatile bool *)&fe->socket->core.rings[1].run,
			    5));
	fe_free(fe);
}

static unsigned int
count_lines(FILE *f, const char *with)
{
	unsigned int n = 0;
	char line[256];

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, with) != NULL;
	return n;
}

/* One bad descriptor after the other, the ring set up anew each time. */
static void
violations_are_counted_but_not_all_logged(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint64_t begin = rte_get_timer_cycles(), seconds;
	FILE *log = tmpfile();
	unsigned int i, lines;

	(void)state;
	assert_non_null(log);
	assert_int_equal(rte_openlog_stream(log), 0);
	fe_start(fe, FE_FEATURES, 1);
	for (i = 0; i < 200; i++) {
		fp_post(&fe->rings[1], 0x10, 100, 0);
		assert_int_equal(fe_receive(fe, 0), 0);
		assert_true(fe_wait(fe_xstat(fe, "violation_memory") > i, 5));
		fe_stop_ring(fe, 1);
		fe_start_ring(fe, 1);
	}
	seconds = (rte_get_timer_cycles() - begin) / rte_get_timer_hz();
	fe_free(fe);
	assert_int_equal(rte_openlog_stream(NULL), 0);
	rewind(log);
	lines = count_lines(log, "ring 1 stopped");
	fclose(log);
	assert_true(lines >= 60 && lines <= 60 + seconds + 1);
}

/* More messages than are good for the others on this machine. */
static void
flood_of_messages_is_slowed_down(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint64_t begin, took;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	begin = rte_get_timer_cycles();
	/* A header and no payload: one piece each. */
	for (i = 0; i < 6000; i++)
		fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0);
	took = rte_get_timer_cycles() - begin;
	assert_true(took > rte_get_timer_hz());
	/* It is only slow. */
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	fe_free(fe);
}

static void
mtu_and_announcement_arrive(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct rte_pmd_vhostpci_info info;
	uint64_t mtu = 9000, mac = 0x060504030252;
	struct rte_mbuf *m;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	assert_int_equal(fe_ask(fe, VU_NET_SET_MTU, VU_FLAG_NEED_REPLY, &mtu,
				8), 0);
	assert_int_equal(rte_pmd_vhostpci_info_get(fe->port, &info), 0);
	assert_int_equal(info.peer_mtu, 9000);
	assert_int_equal(fe_ask(fe, VU_SEND_RARP, VU_FLAG_NEED_REPLY, &mac, 8),
			 0);
	assert_int_equal(rte_eth_rx_burst(fe->port, 0, &m, 1), 1);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, void *, 6), &mac, 6);
	rte_pktmbuf_free(m);
	fe_free(fe);
}

/* Whether ring @i takes what we send: the used index moves. */
static bool
served(struct frontend *fe, unsigned int i)
{
	struct fp_ring *r = &fe->rings[i];
	uint16_t before = r->used->idx;

	fe_post(fe, i);
	if (i % 2) {
		fe_receive(fe, 0);
	} else {
		struct rte_mbuf *m = fp_packet(60, 0);

		if (rte_eth_tx_burst(fe->port, 0, &m, 1) == 0)
			rte_pktmbuf_free(m);
	}
	return *(volatile uint16_t *)&r->used->idx != before;
}

/* As a driver's "ethtool -L" reaches us, while bursts run all the time. */
static void
pairs_come_and_go_while_bursts_run(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct fe_receiver receiver;
	unsigned int i;

	(void)state;
	fe_start(fe, FE_FEATURES | 1ULL << VIRTIO_NET_F_MQ, 2);
	fe_receiver_start(&receiver, fe);
	for (i = 0; i < 200; i++) {
		uint16_t used = fe->rings[1].used->idx;

		fe_enable(fe, 2, i % 2);
		fe_enable(fe, 3, i % 2);
		fe_post(fe, 1);
		assert_true(fe_wait(*(volatile uint16_t *)
				    &fe->rings[1].used->idx != used, 5));
		assert_true(fe_wait_link(fe, true));
	}
	fe_receiver_stop(&receiver);
	/* The last time they were switched on. */
	assert_true(served(fe, 3));
	fe_enable(fe, 3, false);
	assert_false(served(fe, 3));
	assert_true(served(fe, 0));
	fe_enable(fe, 0, false);
	assert_true(served(fe, 2));
	fe_free(fe);
}

/* Nobody serves that ring: better no connection than a driver that waits for
 * an answer for ever. */
static void
control_queue_is_refused(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct vu_wire_vring_state num = { 2, FE_NUM };

	(void)state;
	fe_start(fe, FE_FEATURES | 1ULL << VIRTIO_NET_F_CTRL_VQ, 1);
	fe_send(fe, VU_SET_VRING_NUM, 0, &num, sizeof(num), -1, 0);
	assert_true(fe_is_closed(fe));
	fe_disconnect(fe);
	/* With several pairs it is behind the last of them all. */
	fe_start(fe, FE_FEATURES | 1ULL << VIRTIO_NET_F_CTRL_VQ |
		 1ULL << VIRTIO_NET_F_MQ, 4);
	num.index = 8;
	fe_send(fe, VU_SET_VRING_NUM, 0, &num, sizeof(num), -1, 0);
	assert_true(fe_is_closed(fe));
	fe_free(fe);
}

/* The driver says that there are more buffers than fit. */
static void
jump_ahead(struct frontend *fe)
{
	struct fp_ring *r = &fe->rings[1];

	__atomic_store_n(&r->avail->idx, r->avail_idx + FE_NUM + 1,
			 __ATOMIC_RELEASE);
	assert_int_equal(fe_receive(fe, 0), 0);
}

/* All ports report by one interrupt, which outlives each of them. */
static void
broken_rings_of_several_ports_are_told_apart(void **state)
{
	struct frontend *fe[3];
	unsigned int i, round;

	(void)state;
	for (i = 0; i < 3; i++) {
		fe[i] = fe_new("", 1, false);
		fe_start(fe[i], FE_FEATURES, 1);
	}
	for (round = 1; round <= 10; round++) {
		jump_ahead(fe[0]);
		jump_ahead(fe[2]);
		for (i = 0; i < 3; i += 2) {
			assert_true(fe_wait_link(fe[i], false));
			assert_int_equal(fe_xstat(fe[i], "rx_ring0_violations"),
					 round);
			fe_disconnect(fe[i]);
			fe_start(fe[i], FE_FEATURES, 1);
		}
	}
	assert_int_equal(fe_xstat(fe[1], "rx_ring0_violations"), 0);
	for (i = 1; i < 3; i++) {
		fe_free(fe[i - 1]);
		jump_ahead(fe[i]);
		assert_true(fe_wait_link(fe[i], false));
	}
	fe_free(fe[2]);
}

/* With fewer pairs than may be its place is a pair's: it is known by its kick. */
static void
control_queue_of_fewer_pairs_is_refused(void **state)
{
	const uint64_t features = FE_FEATURES | 1ULL << VIRTIO_NET_F_CTRL_VQ |
				  1ULL << VIRTIO_NET_F_MQ;
	struct frontend *fe = fe_new("", 1, false);
	uint64_t one = 1;

	(void)state;
	fe_start(fe, features, 1);
	fe_start_ring(fe, 2);
	assert_int_equal(write(fe->kick[2], &one, 8), 8);
	assert_true(fe_is_closed(fe));
	fe_disconnect(fe);
	assert_true(fe_wait_link(fe, false));
	/* Ring 2 is complete before there is a word of ring 3. */
	fe_start(fe, features, 2);
	assert_int_equal(write(fe->kick[2], &one, 8), 8);
	assert_true(served(fe, 3));
	fe_enable(fe, 0, false);
	assert_true(served(fe, 2));
	fe_free(fe);
}

static void
peer_comes_and_goes_while_bursts_run(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	struct fe_receiver receiver;
	unsigned int i;

	(void)state;
	fe_receiver_start(&receiver, fe);
	/* More often, and the link would come up late. */
	for (i = 0; i < 20; i++) {
		fe_start(fe, FE_FEATURES, 1);
		fe_post(fe, 1);
		assert_true(fe_wait(*(volatile uint16_t *)
				    &fe->rings[1].used->idx == 1, 5));
		fe_disconnect(fe);
		assert_true(fe_wait_link(fe, false));
	}
	fe_receiver_stop(&receiver);
	fe_free(fe);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			report_of_an_earlier_start_leaves_the_ring_alone),
		cmocka_unit_test(violations_are_counted_but_not_all_logged),
		cmocka_unit_test(flood_of_messages_is_slowed_down),
		cmocka_unit_test(mtu_and_announcement_arrive),
		cmocka_unit_test(pairs_come_and_go_while_bursts_run),
		cmocka_unit_test(control_queue_is_refused),
		cmocka_unit_test(broken_rings_of_several_ports_are_told_apart),
		cmocka_unit_test(control_queue_of_fewer_pairs_is_refused),
		cmocka_unit_test(peer_comes_and_goes_while_bursts_run),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
