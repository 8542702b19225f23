/* SPDX-License-Identifier: Apache-2.0 */

/*
 * seqcheck [EAL options] -- [options]: sends numbered packets through the first
 * port (a stock net_virtio_user), whose back-end sends them back. Checks that
 * each packet comes back, and that none is lost, duplicated, changed, or
 * reordered within its queue. Prints one line of JSON. One thread serves all
 * queues, and at most --window packets of a queue are under way.
 *
 * Exit status: 0: all packets are right; 1: some are not; 2: the program could
 * not run; 3: other features were negotiated, and nothing was sent.
 */

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include "seqcheck.h"

#define BURST		32
#define PORT		0
#define IDLE_POLLS	1000

/* Damage to one packet between its reception and its check, to show that the
 * check can fail. */
enum mutation {
	MUTATE_NOTHING, MUTATE_CHANGE, MUTATE_DROP, MUTATE_DUPLICATE,
	MUTATE_REORDER, MUTATE_MISROUTE, MUTATE_CUT, MUTATE_GROW,
	MUTATE_FOREIGN,
};

static const char *const mutations[] = {
	"nothing", "change", "drop", "duplicate", "reorder", "misroute", "cut",
	"grow", "foreign",
};

static const char *const shapes[] = {
	"push", "indirect", "chain", "mixed", "tables", "chains",
};

/* The sending side of a queue: packets that the driver had no room for stay in
 * front of those that come later. */
struct sender {
	uint32_t built;
	struct rte_mbuf *pending[BURST];
	uint16_t n_pending;
};

static struct {
	struct sc_check check;
	struct sc_sizes sizes;
	enum sc_shape shape;
	enum mutation mutation;
	struct sc_pools pools;
	struct sender senders[SC_MAX_QUEUES];
	struct rte_mbuf *held;	/* by MUTATE_REORDER */
	double seconds;
	uint64_t need, refuse;	/* features */
	uint64_t n_queues, n_packets, window, ring, room, mtu, stall_ms;
} run = {
	.sizes = { SC_MIN_LEN, 1514, 1 }, .shape = SC_MIXED, .n_queues = 1,
	.n_packets = 4000, .window = 64, .ring = 256, .room = SC_ROOM_SMALL,
	.mtu = 1500, .stall_ms = 20000,
};

static unsigned int
choice(const char *text, const char *const *names, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (strcmp(text, names[i]) == 0)
			return i;
	}
	rte_exit(2, "seqcheck: there is no %s\n", text);
}

static void
parse_sizes(const char *text)
{
	struct sc_sizes *s = &run.sizes;

	if (sscanf(text, "%hu-%hu:%hu", &s->first, &s->last, &s->step) != 3 ||
			s->first < SC_MIN_LEN || s->last > SC_MAX_LEN ||
			s->first > s->last || s->step == 0)
		rte_exit(2, "seqcheck: bad sizes: %s\n", text);
}

/* Options whose argument is a number. */
static const struct {
	const char *name;
	uint64_t *value;
} numbers[] = {
	{ "mtu", &run.mtu }, { "need", &run.need },
	{ "packets", &run.n_packets }, { "queues", &run.n_queues },
	{ "refuse", &run.refuse }, { "ring", &run.ring },
	{ "room", &run.room }, { "stall-ms", &run.stall_ms },
	{ "window", &run.window },
};

static void
parse_number(const char *name, const char *text)
{
	unsigned int i;
	char *end;

	for (i = 0; i < RTE_DIM(numbers); i++) {
		if (strcmp(numbers[i].name, name) != 0)
			continue;
		*numbers[i].value = strtoull(text, &end, 0);
		if (end != text && *end == '\0')
			return;
	}
	rte_exit(2, "seqcheck: bad option --%s %s\n", name, text);
}

/* "--name value" each, after EAL's "--". */
static void
parse(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];

		if (strncmp(name, "--", 2) != 0 || value == NULL)
			rte_exit(2, "seqcheck: what is %s?\n", name);
		name += 2;
		if (strcmp(name, "mutate") == 0)
			run.mutation = choice(value, mutations, RTE_DIM(mutations));
		else if (strcmp(name, "shape") == 0)
			run.shape = choice(value, shapes, RTE_DIM(shapes));
		else if (strcmp(name, "sizes") == 0)
			parse_sizes(value);
		else if (strcmp(name, "any-queue") == 0)
			run.check.any_queue = strcmp(value, "yes") == 0;
		else
			parse_number(name, value);
	}
	if (run.n_queues == 0 || run.n_queues > SC_MAX_QUEUES ||
			run.n_packets == 0 || run.n_packets > UINT32_MAX ||
			run.window == 0 || run.ring == 0 ||
			run.ring > UINT16_MAX || run.room > SC_ROOM_BIG)
		rte_exit(2, "seqcheck: a number is out of its range\n");
}

static struct rte_mempool *
pool(const char *name, unsigned int n, unsigned int room)
{
	struct rte_mempool *mp = rte_pktmbuf_pool_create(name, n, 0, 0,
			room + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);

	if (mp == NULL)
		rte_exit(2, "seqcheck: no memory for %u buffers of %u bytes\n",
			 n, room);
	return mp;
}

/* A full ring, and what was sent and lies in the driver, for each queue. */
static void
make_pools(void)
{
	unsigned int n = run.n_queues * (run.ring + 2 * BURST);

	run.pools.rx = pool("rx", n + run.ring, run.room);
	run.pools.big = pool("big", n, SC_ROOM_BIG);
	run.pools.small = pool("small", run.shape == SC_PUSH ? BURST : 8 * n,
			       SC_ROOM_SMALL);
}

static void
start_port(void)
{
	struct rte_eth_conf conf = {
		.rxmode.mtu = run.mtu,
		.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	};
	unsigned int q, n = run.n_queues;
	int rc;

	if (run.mtu + RTE_ETHER_HDR_LEN + 4 > run.room)
		conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER;
	rc = rte_eth_dev_configure(PORT, n, n, &conf);
	for (q = 0; rc == 0 && q < n; q++) {
		rc = rte_eth_rx_queue_setup(PORT, q, run.ring, SOCKET_ID_ANY,
					    NULL, run.pools.rx);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(PORT, q, run.ring,
						    SOCKET_ID_ANY, NULL);
	}
	if (rc == 0)
		rc = rte_eth_dev_start(PORT);
	if (rc != 0)
		rte_exit(2, "seqcheck: cannot start the port: %s\n",
			 rte_strerror(-rc));
}

static void
make_flows(void)
{
	unsigned int q;

	run.check.n_flows = run.n_queues;
	for (q = 0; q < run.n_queues; q++) {
		struct sc_flow *f = &run.check.flows[q];

		f->total = run.n_packets;
		f->marks = calloc(1, f->total);
		if (f->marks == NULL)
			rte_exit(2, "seqcheck: no memory\n");
	}
}

static bool
send_some(uint16_t q)
{
	struct sender *s = &run.senders[q];
	const struct sc_flow *f = &run.check.flows[q];
	uint8_t frame[SC_MAX_LEN];
	uint16_t n;

	while (s->n_pending < BURST && s->built < f->total &&
			s->built - f->seen < run.window) {
		uint16_t len = sc_packet_len(&run.sizes, s->built);
		struct rte_mbuf *m;

		sc_packet_make(frame, len, q, s->built);
		m = sc_shape_packet(&run.pools, run.shape, s->built, frame, len);
		if (m == NULL)
			break;
		s->pending[s->n_pending++] = m;
		s->built++;
	}
	if (s->n_pending == 0)
		return false;
	n = rte_eth_tx_burst(PORT, q, s->pending, s->n_pending);
	sc_spy_sample(q);
	s->n_pending -= n;
	memmove(s->pending, s->pending + n, s->n_pending * sizeof(s->pending[0]));
	return n > 0;
}

static void
check_and_free(uint16_t q, struct rte_mbuf *m)
{
	sc_packet_check(&run.check, &run.sizes, q, m);
	rte_pktmbuf_free(m);
}

/* Not for packets of several buffers. */
static void
mutate(uint16_t q, struct rte_mbuf *m)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	switch (run.mutation) {
	case MUTATE_CHANGE:
		data[m->pkt_len / 2] ^= 4;
		break;
	case MUTATE_DROP:
		rte_pktmbuf_free(m);
		return;
	case MUTATE_DUPLICATE:
		sc_packet_check(&run.check, &run.sizes, q, m);
		break;
	case MUTATE_REORDER:
		run.held = m;
		return;
	case MUTATE_MISROUTE:
		q++;
		break;
	case MUTATE_CUT:
		rte_pktmbuf_trim(m, 1);
		break;
	case MUTATE_GROW:
		if (rte_pktmbuf_append(m, 1) == NULL)
			rte_exit(2, "seqcheck: no room to grow\n");
		break;
	case MUTATE_FOREIGN:
		memset(data + 12, 0, 2);
		break;
	case MUTATE_NOTHING:
		break;
	}
	check_and_free(q, m);
}

static bool
receive_some(uint16_t q)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(PORT, q, pkts, BURST), i;

	for (i = 0; i < n; i++) {
		if (run.mutation != MUTATE_NOTHING &&
				run.check.received >= run.n_packets / 2) {
			mutate(q, pkts[i]);
			/* Once. */
			run.mutation = MUTATE_NOTHING;
			continue;
		}
		check_and_free(q, pkts[i]);
		if (run.held != NULL) {
			check_and_free(q, run.held);
			run.held = NULL;
		}
	}
	return n > 0;
}

/*
 * The time without packets after which the program ends. If all packets are
 * there, wait a moment for duplicates. If the last packet of each queue is
 * there, a missing packet is lost or late.
 */
static unsigned int
patience_ms(void)
{
	bool last = true, all = true;
	unsigned int q;

	for (q = 0; q < run.n_queues; q++) {
		const struct sc_flow *f = &run.check.flows[q];

		last = last && f->next == f->total;
		all = all && f->seen == f->total;
	}
	return all ? 10 : last ? 300 : run.stall_ms;
}

static void
exchange(void)
{
	uint64_t hz = rte_get_timer_hz(), begin = rte_get_timer_cycles();
	uint64_t last = begin;
	unsigned int idle = 0, q;

	/* Both: being preempted for long is no idleness. */
	while (idle < IDLE_POLLS || (rte_get_timer_cycles() - last) * 1000 / hz <
			patience_ms()) {
		bool busy = false;

		for (q = 0; q < run.n_queues; q++) {
			busy |= send_some(q);
			busy |= receive_some(q);
		}
		if (busy) {
			idle = 0;
			last = rte_get_timer_cycles();
		} else {
			idle++;
			sched_yield();
		}
	}
	run.seconds = (double)(last - begin) / hz;
}

/* Prints the result; returns whether all is well. */
static bool
report(void)
{
	const struct sc_faults *f = &run.check.faults;
	uint64_t sent = 0, seen = 0, total = 0, lost;
	unsigned int q;
	bool good;

	for (q = 0; q < run.n_queues; q++) {
		sent += run.senders[q].built - run.senders[q].n_pending;
		seen += run.check.flows[q].seen;
		total += run.check.flows[q].total;
	}
	lost = sent - seen;
	good = sent == total && lost == 0 && f->reordered == 0 &&
		f->duplicated == 0 && f->changed == 0 && f->misrouted == 0 &&
		f->foreign == 0;
	printf("{\"good\": %s, \"wanted\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"reordered\": %" PRIu64
	       ", \"duplicated\": %" PRIu64 ", \"changed\": %" PRIu64
	       ", \"misrouted\": %" PRIu64 ", \"foreign\": %" PRIu64,
	       good ? "true" : "false", total, sent, run.check.received,
	       run.check.bytes, lost, f->reordered, f->duplicated, f->changed,
	       f->misrouted, f->foreign);
	printf(", \"features\": %" PRIu64 ", \"rx_path\": \"%s\""
	       ", \"tx_path\": \"%s\", \"indirect\": %" PRIu64
	       ", \"chained\": %" PRIu64 ", \"multi_segment\": %" PRIu64
	       ", \"seconds\": %.3f}\n",
	       sc_spy.features, sc_spy.rx_path, sc_spy.tx_path, sc_spy.indirect,
	       sc_spy.chained, run.check.multi_segment, run.seconds);
	return good;
}

int
main(int argc, char **argv)
{
	int used, status;

	if (sc_spy_init() != 0)
		rte_exit(2, "seqcheck: cannot read the log\n");
	used = rte_eal_init(argc, argv);
	if (used < 0 || !rte_eth_dev_is_valid_port(PORT))
		rte_exit(2, "seqcheck: no port\n");
	rte_log_set_level_pattern("pmd.net.virtio.*", RTE_LOG_INFO);
	parse(argc - used, argv + used);
	sc_packet_init();
	make_pools();
	make_flows();
	start_port();
	if ((sc_spy.features & run.need) == run.need &&
			(sc_spy.features & run.refuse) == 0) {
		exchange();
		status = report() ? 0 : 1;
	} else {
		printf("{\"good\": false, \"features\": %" PRIu64 "}\n",
		       sc_spy.features);
		status = 3;
	}
	fflush(stdout);
	rte_eth_dev_stop(PORT);
	rte_eth_dev_close(PORT);
	rte_eal_cleanup();
	return status;
}
