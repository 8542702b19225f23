/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives ethdev ports of any driver, on one core, by commands on standard input: each
 * command is a line, and each answer is a line, "error: ..." after a failure. The program
 * acts as a switch (idle, forward), or as the peers (latency, oneway), and does nothing
 * between commands.  One file: one loop obeys all commands, which share the ports.
 *
 *   add QUEUES DEVARGS		attach a device, start its port: "port NUMBER"
 *   up [FIRST COUNT]		wait until all links are up, or those of COUNT ports: "up"
 *   memory			"heap BYTES anonymous BYTES"
 *   xstats PORT			"xstats NAME VALUE ...", those that are not 0
 *   idle FIRST COUNT QUEUES POLLS
 *				poll the queues of COUNT idle ports in turn:
 *				"cycles PER-POLL packets N"
 *   forward A B ...	between the ports of each pair, both ways, until the next command:
 *				"rx CYCLES tx CYCLES packets N passes N drops N"
 *   latency A B SIZE COUNT	send a packet from A, wait for it at B, COUNT times:
 *				"p50 CYCLES p99 CYCLES lost N"
 *   fill A B SIZE COUNT		empty both, send COUNT packets from each, each packet of
 *				another flow: "sent N"
 *   oneway A B SIZE MS		send from A as fast as possible, receive at B:
 *				"sent N received N seconds S"; SIZE 0: the usual mix
 *   end, quit
 */

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

enum {
	BURST = 32,
	RING = 1024,
	MBUFS = 32768,
	LATE_MS = 2000, /* after that a packet is lost */
	DRAIN_MS = 100, /* after the generator's end */
	STRAY_MS = 5,	/* for packets of an earlier round */
	LINK_MS = 60000,
	MAX_XSTATS = 1024,
};

static struct rte_mempool *pool;

static uint64_t
ms_to_cycles(uint64_t ms)
{
	return ms * rte_get_tsc_hz() / 1000;
}

/* Attaching */

static int
start_port(uint16_t port, uint16_t queues)
{
	struct rte_eth_conf conf = {0};
	int err = rte_eth_dev_configure(port, queues, queues, &conf);

	for (uint16_t q = 0; err == 0 && q < queues; q++) {
		err = rte_eth_rx_queue_setup(port, q, RING, SOCKET_ID_ANY, NULL, pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(port, q, RING, SOCKET_ID_ANY, NULL);
	}
	return err != 0 ? err : rte_eth_dev_start(port);
}

static void
add(char *args)
{
	char *devargs = NULL;
	uint16_t queues = strtoul(args, &devargs, 10), port;
	char name[RTE_ETH_NAME_MAX_LEN];
	int err;

	devargs += strspn(devargs, " ");
	err = rte_dev_probe(devargs);
	if (err == 0) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
		err = rte_eth_dev_get_port_by_name(name, &port);
	}
	if (err == 0)
		err = start_port(port, queues);
	if (err != 0)
		printf("error: %s: %s\n", devargs, rte_strerror(-err));
	else
		printf("port %u\n", port);
}

static bool
all_up(uint16_t first, uint16_t count)
{
	struct rte_eth_link link;
	uint16_t port;

	RTE_ETH_FOREACH_DEV (port) {
		if (port < first || port >= first + count)
			continue;
		if (rte_eth_link_get_nowait(port, &link) != 0 || !link.link_status)
			return false;
	}
	return true;
}

static void
wait_up(uint16_t first, uint16_t count)
{
	uint64_t end = rte_rdtsc() + ms_to_cycles(LINK_MS);

	while (!all_up(first, count)) {
		if (rte_rdtsc() > end) {
			printf("error: a link stays down\n");
			return;
		}
		rte_delay_us_sleep(1000);
	}
	printf("up\n");
}

/* Resident anonymous memory, which excludes peers' memory: that is of files. */
static uint64_t
anonymous_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t kib = 0;
	char line[256];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
			break;
	}
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

static void
memory(void)
{
	struct rte_malloc_socket_stats stats;
	uint64_t heap = 0;

	for (int i = 0; i < RTE_MAX_NUMA_NODES; i++) {
		if (rte_malloc_get_socket_stats(i, &stats) == 0)
			heap += stats.heap_allocsz_bytes;
	}
	printf("heap %" PRIu64 " anonymous %" PRIu64 "\n", heap, anonymous_bytes());
}

static void
xstats(uint16_t port)
{
	struct rte_eth_xstat_name names[MAX_XSTATS];
	struct rte_eth_xstat values[MAX_XSTATS];
	int n = rte_eth_xstats_get_names(port, names, MAX_XSTATS);

	if (n < 0 || n > MAX_XSTATS || rte_eth_xstats_get(port, values, n) != n) {
		printf("error: no statistics of port %u\n", port);
		return;
	}
	printf("xstats");
	for (int i = 0; i < n; i++) {
		if (values[i].value != 0)
			printf(" %s %" PRIu64, names[i].name, values[i].value);
	}
	printf("\n");
}

/* The switch's part */

/* Poll each queue once; returns the number of packets, which should be 0. */
static uint64_t
poll_all(uint16_t first, uint16_t count, uint16_t queues)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t packets = 0;

	for (uint16_t port = first; port < first + count; port++) {
		for (uint16_t q = 0; q < queues; q++) {
			uint16_t n = rte_eth_rx_burst(port, q, pkts, BURST);

			if (unlikely(n != 0)) {
				rte_pktmbuf_free_bulk(pkts, n);
				packets += n;
			}
		}
	}
	return packets;
}

static void
idle(uint16_t first, uint16_t count, uint16_t queues, unsigned int polls)
{
	uint64_t packets = 0, began, cycles;

	for (unsigned int n = 0; n < polls / 10; n++)
		poll_all(first, count, queues);
	began = rte_rdtsc();
	for (unsigned int n = 0; n < polls; n++)
		packets += poll_all(first, count, queues);
	cycles = rte_rdtsc() - began;
	printf("cycles %.2f packets %" PRIu64 "\n",
			(double)cycles / ((uint64_t)polls * count * queues), packets);
}

struct stages {
	uint64_t rx, tx, packets, passes, drops;
};

static void
forward_once(uint16_t from, uint16_t to, struct stages *sum)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t t0 = rte_rdtsc(), t1;
	uint16_t n = rte_eth_rx_burst(from, 0, pkts, BURST), sent;

	if (n == 0)
		return;
	t1 = rte_rdtsc();
	sent = rte_eth_tx_burst(to, 0, pkts, n);
	sum->rx += t1 - t0;
	sum->tx += rte_rdtsc() - t1;
	sum->packets += n;
	sum->passes++;
	sum->drops += n - sent;
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
}

static bool
told(void)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&fd, 1, 0) != 0;
}

static void
forward(char *args)
{
	uint64_t ms = ms_to_cycles(1), look = rte_rdtsc();
	uint16_t ports[RTE_MAX_ETHPORTS], count = 0;
	struct stages sum = {0};

	for (char *w = strtok(args, " "); w != NULL && count < RTE_DIM(ports);
			w = strtok(NULL, " "))
		ports[count++] = atoi(w);
	/* A system call in each millisecond does not show. */
	while (rte_rdtsc() < look || !told()) {
		if (rte_rdtsc() >= look)
			look += ms;
		for (uint16_t i = 0; i + 1 < count; i += 2) {
			forward_once(ports[i], ports[i + 1], &sum);
			forward_once(ports[i + 1], ports[i], &sum);
		}
	}
	printf("rx %" PRIu64 " tx %" PRIu64 " packets %" PRIu64 " passes %" PRIu64
	       " drops %" PRIu64 "\n",
			sum.rx, sum.tx, sum.packets, sum.passes, sum.drops);
}

/* The peers' part */

/* The mix of peers.py. */
static uint16_t
size_of(unsigned int size, unsigned int i)
{
	return size != 0 ? size : i % 12 < 7 ? 64 : i % 12 < 11 ? 594 : 1514;
}

/* An IPv4 UDP packet, as testpmd makes them; steered.py knows how flows differ. */
static void
make_packet(struct rte_mbuf *m, uint16_t size, uint16_t flow)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	*eth = (struct rte_ether_hdr){.dst_addr.addr_bytes = {2, 0, 0, 0, 0, 2},
			.src_addr.addr_bytes = {2, 0, 0, 0, 0, 1},
			.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)};
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16(size - sizeof(*eth)),
			.time_to_live = 64,
			.next_proto_id = 17,
			.src_addr = rte_cpu_to_be_32(RTE_IPV4(198, 18, 0, 0) + flow),
			.dst_addr = rte_cpu_to_be_32(RTE_IPV4(198, 18, 0, 2))};
	*udp = (struct rte_udp_hdr){.src_port = rte_cpu_to_be_16(9 + flow),
			.dst_port = rte_cpu_to_be_16(9),
			.dgram_len = rte_cpu_to_be_16(size - sizeof(*eth) - sizeof(*ip))};
	m->data_len = size;
	m->pkt_len = size;
}

/* Receive until @wanted packets have come, or none has come for @ms. */
static uint64_t
drain(uint16_t port, uint64_t wanted, unsigned int ms)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t sum = 0, end = rte_rdtsc() + ms_to_cycles(ms);

	while (sum < wanted && rte_rdtsc() < end) {
		uint16_t n = rte_eth_rx_burst(port, 0, pkts, BURST);

		rte_pktmbuf_free_bulk(pkts, n);
		sum += n;
		if (n != 0)
			end = rte_rdtsc() + ms_to_cycles(ms);
	}
	return sum;
}

/* Cycles until the packet is there; 0: lost. */
static uint64_t
one_trip(uint16_t a, uint16_t b, unsigned int size)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *got = NULL;
	uint64_t began, late = ms_to_cycles(LATE_MS), now;

	if (m == NULL)
		return 0;
	make_packet(m, size, 1);
	began = rte_rdtsc();
	if (rte_eth_tx_burst(a, 0, &m, 1) != 1) {
		rte_pktmbuf_free(m);
		return 0;
	}
	do {
		if (rte_eth_rx_burst(b, 0, &got, 1) == 1) {
			now = rte_rdtsc();
			rte_pktmbuf_free(got);
			return now - began;
		}
	} while (rte_rdtsc() - began < late);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
latency(uint16_t a, uint16_t b, unsigned int size, unsigned int count)
{
	uint64_t *trips = calloc(count, sizeof(*trips));
	unsigned int n = 0, lost = 0;

	if (trips == NULL || count == 0) {
		printf("error: no memory\n");
		free(trips);
		return;
	}
	drain(b, UINT64_MAX, STRAY_MS);
	for (unsigned int i = 0; i < count && lost < 3; i++) {
		trips[n] = one_trip(a, b, size);
		if (trips[n] != 0)
			n++;
		else
			lost++;
	}
	qsort(trips, n, sizeof(*trips), compare);
	printf("p50 %" PRIu64 " p99 %" PRIu64 " lost %u\n", n ? trips[n / 2] : 0,
			n ? trips[n * 99UL / 100] : 0, lost);
	free(trips);
}

static uint16_t
send_burst(uint16_t port, unsigned int size, uint64_t number)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t sent;

	if (rte_pktmbuf_alloc_bulk(pool, pkts, BURST) != 0)
		return 0;
	for (unsigned int i = 0; i < BURST; i++)
		make_packet(pkts[i], size_of(size, number + i), 1);
	sent = rte_eth_tx_burst(port, 0, pkts, BURST);
	rte_pktmbuf_free_bulk(pkts + sent, BURST - sent);
	return sent;
}

/* Send @count packets, of flows from @first on; returns how many were sent. */
static unsigned int
put_in(uint16_t port, unsigned int size, unsigned int count, unsigned int first)
{
	uint64_t late = rte_rdtsc() + ms_to_cycles(LATE_MS);
	unsigned int n = 0;
	struct rte_mbuf *m;

	while (n < count && rte_rdtsc() < late && (m = rte_pktmbuf_alloc(pool)) != NULL) {
		make_packet(m, size_of(size, n), first + n);
		if (rte_eth_tx_burst(port, 0, &m, 1) == 1)
			n++;
		else
			rte_pktmbuf_free(m);
	}
	return n;
}

static void
fill(uint16_t a, uint16_t b, unsigned int size, unsigned int count)
{
	drain(a, UINT64_MAX, DRAIN_MS);
	drain(b, UINT64_MAX, DRAIN_MS);
	printf("sent %u\n", put_in(a, size, count, 0) + put_in(b, size, count, count));
}

static void
oneway(uint16_t a, uint16_t b, unsigned int size, unsigned int ms)
{
	uint64_t began, end, sent = 0, received = 0;
	struct rte_mbuf *pkts[BURST];
	double seconds;
	uint16_t n;

	drain(b, UINT64_MAX, STRAY_MS);
	began = rte_rdtsc();
	end = began + ms_to_cycles(ms);
	while (rte_rdtsc() < end) {
		sent += send_burst(a, size, sent);
		/* The sink never waits for the generator: what is there, is taken. */
		do {
			n = rte_eth_rx_burst(b, 0, pkts, BURST);
			rte_pktmbuf_free_bulk(pkts, n);
			received += n;
		} while (n == BURST);
	}
	seconds = (double)(rte_rdtsc() - began) / rte_get_tsc_hz();
	received += drain(b, sent - received, DRAIN_MS);
	printf("sent %" PRIu64 " received %" PRIu64 " seconds %.6f\n", sent, received, seconds);
}

static bool
obey(char *line)
{
	unsigned int a, b, c, d;

	line[strcspn(line, "\n")] = 0;
	if (strncmp(line, "add ", 4) == 0)
		add(line + 4);
	else if (strcmp(line, "up") == 0)
		wait_up(0, RTE_MAX_ETHPORTS);
	else if (sscanf(line, "up %u %u", &a, &b) == 2)
		wait_up(a, b);
	else if (strcmp(line, "memory") == 0)
		memory();
	else if (sscanf(line, "xstats %u", &a) == 1)
		xstats(a);
	else if (sscanf(line, "idle %u %u %u %u", &a, &b, &c, &d) == 4)
		idle(a, b, c, d);
	else if (strncmp(line, "forward ", 8) == 0)
		forward(line + 8);
	else if (sscanf(line, "latency %u %u %u %u", &a, &b, &c, &d) == 4)
		latency(a, b, c, d);
	else if (sscanf(line, "fill %u %u %u %u", &a, &b, &c, &d) == 4)
		fill(a, b, c, d);
	else if (sscanf(line, "oneway %u %u %u %u", &a, &b, &c, &d) == 4)
		oneway(a, b, c, d);
	else if (strcmp(line, "quit") == 0)
		return false;
	else if (strcmp(line, "end") == 0)
		return true; /* of forward, which has answered */
	else
		printf("error: unknown command: %s\n", line);
	fflush(stdout);
	return true;
}

int
main(int argc, char **argv)
{
	char line[1024];

	if (rte_eal_init(argc, argv) < 0)
		return 1;
	/* told() asks the kernel, which must not have handed out a line already. */
	setvbuf(stdin, NULL, _IONBF, 0);
	pool = rte_pktmbuf_pool_create(
			"pool", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL && obey(line))
		;
	rte_eal_cleanup();
	return 0;
}
