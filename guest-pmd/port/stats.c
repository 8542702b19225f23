/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Statistics. Counters belong to their rings and only grow; a reset takes a
 * baseline, so that it never writes what a burst writes.
 */

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "net/steer.h"
#include "port/port.h"
#include "port/stats.h"

#define FIELD(f, rx, tx) { #f, offsetof(struct vhostpci_counters, f), rx, tx }
#define SIZE(i, text) \
	{ "size_" text, offsetof(struct vhostpci_counters, sizes[i]), true, true }

/* Statistics of each ring. Names are stable, because scripts use them. */
static const struct {
	const char *name;
	size_t offset;
	bool rx, tx;
} ring_stats[] = {
	FIELD(packets, true, true),
	FIELD(bytes, true, true),
	FIELD(calls, true, true),
	FIELD(calls_aside, true, true),
	FIELD(kicks, true, true),
	FIELD(no_mbuf, true, false),
	FIELD(oversized, true, true),
	FIELD(runt, true, false),
	FIELD(unsupported, true, true),
	FIELD(full, false, true),
	FIELD(retries, false, true),
	FIELD(steered, true, false),
	FIELD(steer_lost, true, false),
	FIELD(steer_full, false, true),
	FIELD(violations, true, true),
	FIELD(multicast, true, true),
	FIELD(broadcast, true, true),
	SIZE(0, "64"), SIZE(1, "65_to_127"), SIZE(2, "128_to_255"),
	SIZE(3, "256_to_511"), SIZE(4, "512_to_1023"), SIZE(5, "1024_to_1522"),
	SIZE(6, "1523_to_max"),
#ifdef VHOSTPCI_STAMPS
#define CYCLES(stage) FIELD(cycles_##stage, true, true),
	VHOSTPCI_STAGES(CYCLES)
#undef CYCLES
#endif
};

static uint64_t
counter(const struct vhostpci_counters *count, size_t offset)
{
	/* relaxed: this promises no order among counters. */
	return __atomic_load_n((const uint64_t *)((const char *)count + offset),
			       __ATOMIC_RELAXED);
}

static uint64_t
ring_stat(const struct vhostpci_dev *dev, unsigned int ring, size_t offset)
{
	return counter(&dev->rings[ring].count, offset) -
		counter(&dev->ring_base[ring], offset);
}

#define RING_STAT(dev, ring, f) \
	ring_stat(dev, ring, offsetof(struct vhostpci_counters, f))

/* Add the counters of the pair's ring to the peer. Queues share the ring or
 * take turns, so its packets count for the queue that has the pair's number. */
static void
add_tx(const struct vhostpci_dev *dev, unsigned int pair, struct rte_eth_stats *s)
{
	unsigned int i = 2 * pair;
	uint64_t packets = RING_STAT(dev, i, packets);
	uint64_t bytes = RING_STAT(dev, i, bytes);

	s->opackets += packets;
	s->obytes += bytes;
	s->oerrors += RING_STAT(dev, i, oversized) +
		RING_STAT(dev, i, unsupported) + RING_STAT(dev, i, steer_full);
	if (pair < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		s->q_opackets[pair] += packets;
		s->q_obytes[pair] += bytes;
	}
}

/* Add the counters of the pair's ring from the peer, which one queue serves:
 * see assign_rx(). */
static void
add_rx(const struct vhostpci_dev *dev, unsigned int pair, struct rte_eth_stats *s)
{
	unsigned int i = 2 * pair + 1, q = pair % RTE_MAX(dev->n_rxq, 1);
	uint64_t packets = RING_STAT(dev, i, packets);
	uint64_t bytes = RING_STAT(dev, i, bytes);
	uint64_t errors = RING_STAT(dev, i, oversized) +
		RING_STAT(dev, i, runt) + RING_STAT(dev, i, unsupported) +
		RING_STAT(dev, i, violations);

	s->ipackets += packets;
	s->ibytes += bytes;
	s->ierrors += errors;
	s->rx_nombuf += RING_STAT(dev, i, no_mbuf);
	if (q < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		s->q_ipackets[q] += packets;
		s->q_ibytes[q] += bytes;
		s->q_errors[q] += errors;
	}
}

int
vhostpci_stats_get(struct rte_eth_dev *eth_dev, struct rte_eth_stats *s)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	unsigned int pair;

	pthread_mutex_lock(&dev->lock);
	for (pair = 0; pair < dev->n_rings / 2u; pair++) {
		add_tx(dev, pair, s);
		add_rx(dev, pair, s);
	}
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

/* Sums over all rings, with the names that drivers of NICs use. */
static const struct {
	const char *name, *ring_name;
} sums[] = {
	{ "multicast_packets", "multicast" },
	{ "broadcast_packets", "broadcast" },
	{ "size_64_packets", "size_64" },
	{ "size_65_to_127_packets", "size_65_to_127" },
	{ "size_128_to_255_packets", "size_128_to_255" },
	{ "size_256_to_511_packets", "size_256_to_511" },
	{ "size_512_to_1023_packets", "size_512_to_1023" },
	{ "size_1024_to_1522_packets", "size_1024_to_1522" },
	{ "size_1523_to_max_packets", "size_1523_to_max" },
	{ "retries", "retries" },
};

static uint64_t
announced(const struct vhostpci_dev *dev)
{
	return dev->rxq[0] == NULL ? 0 :
		__atomic_load_n(&dev->rxq[0]->announced, __ATOMIC_RELAXED);
}

/* How many packets of a port with rules took the normal path for the reason
 * @why. */
static uint64_t
misses(const struct vhostpci_dev *dev, unsigned int why)
{
	uint64_t sum = 0;
	unsigned int q;

	for (q = 0; q < dev->transport.max_queue_pairs; q++)
		sum += __atomic_load_n(&dev->steering[q].misses[why],
				       __ATOMIC_RELAXED);
	return sum;
}

int
vhostpci_stats_reset(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	unsigned int i, f;

	pthread_mutex_lock(&dev->lock);
	dev->base = dev->total;
	dev->base.announced = announced(dev);
	for (i = 0; i < VHOSTPCI_FLOW_N_MISSES; i++)
		dev->base.misses[i] = misses(dev, i);
	for (i = 0; i < dev->n_rings; i++) {
		for (f = 0; f < RTE_DIM(ring_stats); f++) {
			size_t offset = ring_stats[f].offset;

			*(uint64_t *)((char *)&dev->ring_base[i] + offset) =
				counter(&dev->rings[i].count, offset);
		}
	}
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

/* Collects names or values, whichever the caller has room for, so that both
 * come from one list. */
struct collector {
	struct rte_eth_xstat *values;
	struct rte_eth_xstat_name *names;
	unsigned int n, room;
};

static void __rte_format_printf(3, 4)
add(struct collector *c, uint64_t value, const char *format, ...)
{
	va_list args;

	if (c->n < c->room && c->names != NULL) {
		va_start(args, format);
		vsnprintf(c->names[c->n].name, sizeof(c->names[c->n].name),
			  format, args);
		va_end(args);
	}
	if (c->n < c->room && c->values != NULL) {
		c->values[c->n].id = c->n;
		c->values[c->n].value = value;
	}
	c->n++;
}

static void
collect_ring(const struct vhostpci_dev *dev, struct collector *c,
	     unsigned int i)
{
	bool rx = vhostpci_ring_is_rx(&dev->rings[i]);
	unsigned int f;

	for (f = 0; f < RTE_DIM(ring_stats); f++) {
		if (rx ? ring_stats[f].rx : ring_stats[f].tx)
			add(c, ring_stat(dev, i, ring_stats[f].offset),
			    "%s_ring%u_%s", rx ? "rx" : "tx", i / 2,
			    ring_stats[f].name);
	}
}

static void
collect_sum(const struct vhostpci_dev *dev, struct collector *c,
	    unsigned int i, bool rx)
{
	uint64_t sum = 0;
	unsigned int ring, f;

	for (f = 0; strcmp(ring_stats[f].name, sums[i].ring_name) != 0; f++)
		;
	if (!(rx ? ring_stats[f].rx : ring_stats[f].tx))
		return;
	for (ring = rx; ring < dev->n_rings; ring += 2)
		sum += ring_stat(dev, ring, ring_stats[f].offset);
	add(c, sum, "%s_%s", rx ? "rx" : "tx", sums[i].name);
}

static int
collect(struct vhostpci_dev *dev, struct collector *c)
{
	unsigned int i;

	pthread_mutex_lock(&dev->lock);
	for (i = 0; i < dev->n_rings; i++)
		collect_ring(dev, c, i);
	for (i = 0; i < RTE_DIM(sums); i++) {
		collect_sum(dev, c, i, true);
		collect_sum(dev, c, i, false);
	}
	for (i = VHOSTPCI_RULE_NONE + 1; i < VHOSTPCI_N_RULES; i++)
		add(c, dev->total.rules[i] - dev->base.rules[i], "violation_%s",
		    vhostpci_rule_name(i));
	for (i = VHOSTPCI_FLOW_HIT + 1; i < VHOSTPCI_FLOW_N_MISSES; i++)
		add(c, misses(dev, i) - dev->base.misses[i],
		    "not_steered_%s", vhostpci_flow_miss_names[i]);
	add(c, dev->total.adoptions - dev->base.adoptions, "peer_changes");
	add(c, dev->total.timeouts - dev->base.timeouts, "pause_timeouts");
	add(c, dev->total.revocations - dev->base.revocations, "revocations");
	add(c, announced(dev) - dev->base.announced, "rx_announcements");
	/* enum vhostpci_window_type: a state, not a count */
	add(c, dev->transport.window_type, "window_type");
	pthread_mutex_unlock(&dev->lock);
	return c->n;
}

int
vhostpci_xstats_get(struct rte_eth_dev *eth_dev, struct rte_eth_xstat *x,
		    unsigned int n)
{
	struct collector c = { .values = x, .room = n };

	return collect(eth_dev->data->dev_private, &c);
}

int
vhostpci_xstats_get_names(struct rte_eth_dev *eth_dev,
			  struct rte_eth_xstat_name *names, unsigned int n)
{
	struct collector c = { .names = names, .room = n };

	return collect(eth_dev->data->dev_private, &c);
}
