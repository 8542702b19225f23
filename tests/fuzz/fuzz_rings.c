/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ring fuzzer: runs bursts on a port whose peer writes to its rings, tables
 * and packets all the time; in between, sends packets over another port, whose
 * peer is honest. See rings.h for the parts.
 *
 *	race	the peer is another process, and writes while bursts run
 *	steps	the peer writes only between two bursts; its writes follow from
 *		the seed, so a failure can be repeated
 *
 * With rules, the port itself also moves packets from and to other ports: see
 * rings_rules.c.
 *
 * A round has one negotiation of features. Its seed is made from the program's
 * seed and the round's number, so that a round can be repeated alone.
 */

#define _GNU_SOURCE /* memfd_create */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>

#include <rte_ethdev.h>

#include "peer/fakepeer.h"
#include "rings.h"

#define MAX_BURST	32u
#define MAX_SENT	8u

static struct {
	uint64_t bursts, rounds, first_round, seed;
	unsigned int seconds;
	bool race, rules;
} opt = { .bursts = 1000000, .rounds = UINT64_MAX, .race = true };

static struct rf_port port;
static struct rf_mutator mutator;
static uint64_t rand_state, honest_rand;
static uint64_t received, sent, not_empty, sum_of_bytes;
static bool can_checksum;

/*
 * Bursts.
 */

static uint32_t
pick(uint32_t n)
{
	return rf_rand(&rand_state) % n;
}

/* Check received packets: they must be consistent, and all bytes readable. */
static void
check_packet(struct rte_mbuf *m)
{
	const struct rte_mbuf *seg;
	const char *reason = NULL;
	int rc = rte_mbuf_check(m, 1, &reason);
	uint32_t i;

	rf_need(rc == 0, "bad mbuf: %s", reason);
	rf_need(m->pkt_len >= 14 && m->pkt_len <= 65535,
		"packet of %u bytes", m->pkt_len);
	rf_need(m->port == port.port, "packet of port %u", m->port);
	for (seg = m; seg != NULL; seg = seg->next) {
		const uint8_t *data = rte_pktmbuf_mtod(seg, const uint8_t *);

		/* Its lines, and its ends: the rest is between them. */
		for (i = 0; i < seg->data_len; i += 64)
			sum_of_bytes += data[i];
		if (seg->data_len > 0)
			sum_of_bytes += data[seg->data_len - 1];
	}
}

static void
rx_burst(void)
{
	struct rte_mbuf *pkts[MAX_BURST];
	uint16_t n, i;

	rf_doing("rx burst");
	n = rte_eth_rx_burst(port.port, 0, pkts, 1 + pick(MAX_BURST));
	rf_doing(NULL);
	for (i = 0; i < n; i++)
		check_packet(pkts[i]);
	rte_pktmbuf_free_bulk(pkts, n);
	received += n;
	not_empty += n > 0;
}

/* TCP over IPv4 as far as offloads look at it. */
static void
ask_for_offload(struct rte_mbuf *m, uint8_t *data)
{
	memset(data, 0, 54);
	data[12] = 0x08;
	data[14] = 0x45;
	data[23] = 6;
	data[46] = 0x50;
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM |
		RTE_MBUF_F_TX_TCP_CKSUM;
	if (pick(2)) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = 500 + pick(1000);
	}
}

static struct rte_mbuf *
make_packet(void)
{
	uint32_t len = pick(4) ? 60 + pick(200) : 60 + pick(1900);
	struct rte_mbuf *m = rte_pktmbuf_alloc(port.pool), *seg, *more;
	unsigned int segs = pick(8) ? 1 : 1 + pick(5), i;
	uint8_t *data;

	if (m == NULL)
		return NULL;
	for (i = 0, seg = m; i < segs; i++) {
		data = (uint8_t *)rte_pktmbuf_append(seg, len);
		memset(data, pick(256), len);
		if (i == 0 && can_checksum && pick(4) == 0)
			ask_for_offload(m, data);
		if (seg != m && rte_pktmbuf_chain(m, seg) != 0)
			rf_need(false, "cannot chain");
		if (i + 1 == segs)
			break;
		more = rte_pktmbuf_alloc(port.pool);
		if (more == NULL)
			break;
		seg = more;
	}
	return m;
}

static void
tx_burst(void)
{
	struct rte_mbuf *pkts[MAX_SENT];
	uint16_t n, ready, done;

	for (n = 0; n < 1 + pick(MAX_SENT); n++) {
		pkts[n] = make_packet();
		if (pkts[n] == NULL)
			break;
	}
	rf_doing("tx burst");
	ready = can_checksum ? rte_eth_tx_prepare(port.port, 0, pkts, n) : n;
	done = rte_eth_tx_burst(port.port, 0, pkts, ready);
	rf_doing(NULL);
	rf_need(done <= n, "%u of %u packets sent", done, n);
	rte_pktmbuf_free_bulk(pkts + done, n - done);
	sent += done;
	not_empty += done > 0;
}

static void
both_bursts(void)
{
	bool rx_first = pick(2);

	if (rx_first)
		rx_burst();
	tx_burst();
	if (!rx_first)
		rx_burst();
	rf_state.bursts += 2;
}

/* A mempool that is nearly, or all, used up. */
static void
short_of_mbufs(void)
{
	struct rte_mbuf *held[1024];
	unsigned int n = rte_mempool_avail_count(port.pool), left = pick(8);

	n = RTE_MIN(n > left ? n - left : 0, RTE_DIM(held));
	if (rte_pktmbuf_alloc_bulk(port.pool, held, n) != 0)
		return;
	both_bursts();
	rte_pktmbuf_free_bulk(held, n);
}

/*
 * Rounds.
 */

static void
new_round(uint64_t round)
{
	unsigned int i;
	struct rf_layout l = { 0 };

	rf_state.round = round;
	rand_state = opt.seed + round * 0x9e3779b97f4a7c15ull;
	rf_rand(&rand_state);
	rf_layout_features(&l, &rand_state);
	for (i = 0; i < RF_RINGS; i++)
		rf_layout_ring(&l, i, &rand_state);
	rf_mutator_know(&mutator, &l);
	rf_state.l = l;
	rf_port_round(&port, &mutator);
	if (opt.rules)
		rf_rules_round(&rand_state);
	rf_peer_tell(&mutator.l);
}

/* Check that broken rings stay stopped; then start them again, with another
 * layout. */
static void
restart_broken(unsigned int broken)
{
	uint64_t before = received + sent;
	unsigned int i;

	if (broken == 3) {
		both_bursts();
		rf_need(received + sent == before,
			"packets on rings that were stopped");
	}
	for (i = 0; i < RF_RINGS; i++) {
		if (!(broken >> i & 1))
			continue;
		before = i == RF_RX ? received : sent;
		if (i == RF_RX)
			rx_burst();
		else
			tx_burst();
		rf_need((i == RF_RX ? received : sent) == before,
			"packets on ring %u, which was stopped", i);
		rf_layout_ring(&mutator.l, i, &rand_state);
		rf_state.l = mutator.l;
		rf_port_restart(&port, &mutator, i);
	}
	rf_peer_tell(&mutator.l);
}

static void
iterate(void)
{
	unsigned int i;

	/* In a race, too: what only the other process makes available comes
	 * when the scheduler lets it. */
	for (i = pick(pick(4) ? 8 : 64); i > 0; i--)
		rf_mutate(&mutator);
	if (opt.race && rf_state.bursts % RF_AHEAD == 0)
		rf_peer_wait();
	if (pick(128) == 0)
		short_of_mbufs();
	else
		both_bursts();
	if (pick(256) == 0) {
		rf_port_move(&port);
		mutator.mem = port.mem;
	}
	if (opt.rules)
		rf_rules_step(&rand_state);
	if (rf_once_in(&honest_rand, 4))
		rf_honest_exchange(&honest_rand);
}

static void
run_round(uint64_t round)
{
	uint64_t end = rf_state.bursts;
	unsigned int broken;

	new_round(round);
	end += 128ull << pick(5);
	/* Whatever broke last is counted, too. */
	while ((broken = rf_port_check_broken(&port)) != 0 ||
	       rf_state.bursts < end) {
		if (broken == 0)
			iterate();
		else if (rf_state.bursts >= end || pick(4) == 0)
			break; /* the next round begins all rings anew */
		else
			restart_broken(broken);
	}
	if (rf_once_in(&honest_rand, 16))
		rf_honest_restart(&honest_rand);
}

static void
show_rule(const char *rule, uint64_t count)
{
	printf("  %-18s %" PRIu64 "\n", rule, count);
}

static void
show(uint64_t rounds, double seconds, bool final)
{
	printf("%.0f s: %" PRIu64 " bursts (%" PRIu64 " not empty), %" PRIu64
	       " packets received, %" PRIu64 " sent, %" PRIu64
	       " violations, %" PRIu64 " rounds, %" PRIu64 " restarts, %" PRIu64
	       " honest packets, %" PRIu64 " writes\n", seconds,
	       rf_state.bursts, not_empty, received, sent,
	       port.violations[RF_RX] + port.violations[RF_TX], rounds,
	       port.restarts, rf_honest_packets(),
	       rf_peer_writes() + mutator.writes);
	if (opt.rules)
		rf_rules_show();
	if (final)
		rf_port_violations(&port, show_rule);
	fflush(stdout);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
run(void)
{
	double begin = now(), said = begin;
	uint64_t rounds;

	for (rounds = 0; rounds < opt.rounds && rf_state.bursts < opt.bursts &&
			 (opt.seconds == 0 || now() < begin + opt.seconds);
	     rounds++) {
		run_round(opt.first_round + rounds);
		if (now() > said + 10) {
			said = now();
			show(rounds + 1, said - begin, false);
		}
	}
	show(rounds, now() - begin, true);
}

static void
usage(void)
{
	fprintf(stderr, "usage: fuzz_rings [--mode=race|steps] [--rules] "
		"[--seed=N] [--bursts=N] [--seconds=N] [--round=FIRST] [--rounds=N]\n");
	exit(2);
}

/* One function: a switch of options. */
static void
parse(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "rules", no_argument, NULL, 'r' },
		{ "seed", required_argument, NULL, 's' },
		{ "bursts", required_argument, NULL, 'b' },
		{ "seconds", required_argument, NULL, 't' },
		{ "round", required_argument, NULL, 'f' },
		{ "rounds", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t number;
	int c;

	opt.seed = (uint64_t)time(NULL) << 16 | (getpid() & 0xffff);
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		number = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;
		switch (c) {
		case 'm':
			opt.race = strcmp(optarg, "race") == 0;
			if (!opt.race && strcmp(optarg, "steps") != 0)
				usage();
			break;
		case 'r':
			opt.rules = true;
			break;
		case 's':
			opt.seed = number;
			break;
		case 'b':
			opt.bursts = number;
			break;
		case 't':
			opt.seconds = number;
			break;
		case 'f':
			opt.first_round = number;
			break;
		case 'n':
			opt.rounds = number;
			break;
		default:
			usage();
		}
	}
	rf_state.mode = opt.race ? "race" : "steps";
	rf_state.rules = opt.rules;
	rf_state.seed = opt.seed;
	honest_rand = opt.seed;
	printf("mode %s%s, seed %" PRIu64 "\n", rf_state.mode,
	       opt.rules ? ", rules" : "", opt.seed);
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	struct rte_eth_dev_info info;
	int memfd;

	parse(argc, argv);
	memfd = memfd_create("rings", MFD_CLOEXEC);
	rf_need(memfd >= 0 && ftruncate(memfd, RF_SIZE) == 0, "no memfd");
	/* Before EAL: the peer has nothing of the driver's. */
	mutator.turn = rf_peer_open(memfd, opt.race);
	fp_init(argv[0]);
	rte_log_set_level_regexp("pmd.net.vpci", RTE_LOG_EMERG);
	rf_port_open(&port, memfd);
	rf_need(rte_eth_dev_info_get(port.port, &info) == 0, "no information");
	can_checksum = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	rf_honest_open(&honest_rand);
	if (opt.rules)
		rf_rules_open(port.port);
	rf_watch();
	run();
	rf_peer_close();
	if (opt.rules)
		rf_rules_close();
	rf_honest_close();
	rf_port_close(&port);
	printf("passed\n");
	return 0;
}
