/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A simple rte_flow of a driver, preloaded into ovs-vswitchd, so that a test
 * can see how Open vSwitch treats each answer of a driver. It accepts or
 * refuses each rule, counts what the test tells it to count, and notes when it
 * was called. If the test asks for it, a rule with PORT_ID actions consumes all
 * packets that its port receives.
 *
 * The test and this library share the file $FLOWSTUB: struct shared.
 */

#define _GNU_SOURCE /* dlvsym */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_flow.h>

#include "rte_pmd_vhostpci.h"

#define MAX_PORTS	8
#define MAX_EVENTS	4096

enum { EVENT_NONE, EVENT_TRANSFER, EVENT_MARK, EVENT_DESTROY, EVENT_REFUSED };

/* In native byte order; test_flow_offload.py has the same layout. */
struct shared {
	/* The test writes. */
	_Atomic uint32_t refuse_transfer; /* rte_flow_error_type; 0: accept */
	_Atomic uint32_t refuse_mark;
	_Atomic uint32_t consume;	/* bool */
	_Atomic uint32_t is_old;	/* bool: a driver without functions */
	_Atomic uint64_t hits;		/* the test adds, a query takes */
	/* Written here. */
	_Atomic uint64_t n_events;
	_Atomic uint64_t consumed;	/* packets, ever */
	_Atomic uint32_t steering_off[MAX_PORTS]; /* bool */
	struct {
		_Atomic uint64_t ns;	/* CLOCK_MONOTONIC */
		_Atomic uint64_t kind;	/* EVENT_*, last */
	} events[MAX_EVENTS];
};

static struct shared *shared;
static _Atomic unsigned int n_rules[MAX_PORTS]; /* with PORT_ID actions */
static eth_rx_burst_t real_burst[MAX_PORTS];
static _Atomic uint32_t last_consumed[MAX_PORTS];

/* What follows the plugin's own functions; a rule is only a handle. */
struct rte_flow {
	uint16_t port;
	bool moves;
};

static void __attribute__((constructor))
attach(void)
{
	const char *name = getenv("FLOWSTUB");
	int fd = name ? open(name, O_RDWR) : -1;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		abort();
}

static void
note(unsigned int kind)
{
	uint64_t i = atomic_fetch_add(&shared->n_events, 1) % MAX_EVENTS;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	shared->events[i].ns = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
	shared->events[i].kind = kind;
}

struct rte_flow *
rte_flow_create(uint16_t port_id, const struct rte_flow_attr *attr,
		const struct rte_flow_item pattern[] __rte_unused,
		const struct rte_flow_action actions[] __rte_unused,
		struct rte_flow_error *error)
{
	uint32_t refuse = attr->transfer ? shared->refuse_transfer :
		shared->refuse_mark;
	struct rte_flow *flow;

	if (refuse != 0 || port_id >= MAX_PORTS) {
		note(EVENT_REFUSED);
		rte_flow_error_set(error, ENOTSUP, refuse, NULL, "stub");
		return NULL;
	}
	flow = calloc(1, sizeof(*flow));
	flow->port = port_id;
	flow->moves = attr->transfer;
	n_rules[port_id] += flow->moves;
	note(attr->transfer ? EVENT_TRANSFER : EVENT_MARK);
	return flow;
}

int
rte_flow_destroy(uint16_t port_id, struct rte_flow *flow,
		struct rte_flow_error *error __rte_unused)
{
	n_rules[port_id] -= flow->moves;
	note(EVENT_DESTROY);
	free(flow);
	return 0;
}

int
rte_flow_query(uint16_t port_id __rte_unused,
		struct rte_flow *flow __rte_unused,
		const struct rte_flow_action *action __rte_unused, void *data,
		struct rte_flow_error *error __rte_unused)
{
	struct rte_flow_query_count *count = data;

	count->hits_set = count->bytes_set = 1;
	count->hits = atomic_exchange(&shared->hits, 0);
	count->bytes = count->hits * 64;
	return 0;
}

/* Replaces the driver's burst of a port's only queue. */
static uint16_t
burst(uint16_t port, void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t got = real_burst[port](queue, mbufs, n);

	if (!shared->consume || n_rules[port] == 0)
		return got;
	rte_pktmbuf_free_bulk(mbufs, got);
	last_consumed[port] += got;
	shared->hits += got;
	shared->consumed += got;
	return 0;
}

#define BURST(port) \
	static uint16_t \
	burst_##port(void *queue, struct rte_mbuf **mbufs, uint16_t n) \
	{ \
		return burst(port, queue, mbufs, n); \
	}

BURST(0)
BURST(1)

static const eth_rx_burst_t bursts[] = { burst_0, burst_1 };

int
rte_eth_dev_start(uint16_t port_id)
{
	int (*real)(uint16_t) = (int (*)(uint16_t))(uintptr_t)
		dlsym(RTLD_NEXT, "rte_eth_dev_start");
	int ret = real(port_id);

	if (ret == 0 && port_id < RTE_DIM(bursts)) {
		real_burst[port_id] = rte_eth_fp_ops[port_id].rx_pkt_burst;
		rte_eth_fp_ops[port_id].rx_pkt_burst = bursts[port_id];
	}
	return ret;
}

static uint32_t
rx_consumed(uint16_t port_id, uint16_t queue_id __rte_unused)
{
	return port_id < MAX_PORTS ?
		atomic_exchange(&last_consumed[port_id], 0) : 0;
}

static int
steering_set(uint16_t port_id, bool on)
{
	if (port_id >= MAX_PORTS)
		return -ENODEV;
	shared->steering_off[port_id] = !on;
	return 0;
}

/* All rules of a port look the same. */
static int
flows_get(uint16_t port_id, struct rte_pmd_vhostpci_flow *flows, unsigned int n)
{
	unsigned int rules;

	if (port_id >= MAX_PORTS)
		return -ENODEV;
	rules = n_rules[port_id];
	for (unsigned int i = 0; i < RTE_MIN(n, rules); i++)
		flows[i] = (struct rte_pmd_vhostpci_flow){
			.match = "eth type is 0x0800",
			.actions = "ttl=5,output:net_vpci_b,output:x,output:2",
			.hits = 42, .bytes = 4200, .age_ms = 12034,
		};
	return rules;
}

static const struct {
	const char *name;
	void (*function)(void);
} driver[] = {
	{ "rte_pmd_vhostpci_rx_consumed", (void (*)(void))rx_consumed },
	{ "rte_pmd_vhostpci_steering_set", (void (*)(void))steering_set },
	{ "rte_pmd_vhostpci_flows_get", (void (*)(void))flows_get },
};

/* Open vSwitch looks the driver's functions up by their names. */
void *
dlsym(void *handle, const char *name)
{
	static void *(*real)(void *, const char *);

	if (real == NULL)
		real = (void *(*)(void *, const char *))(uintptr_t)
			dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	for (unsigned int i = 0; i < RTE_DIM(driver) && shared != NULL; i++)
		if (strcmp(name, driver[i].name) == 0)
			return shared->is_old ? NULL :
				(void *)(uintptr_t)driver[i].function;
	return real(handle, name);
}
