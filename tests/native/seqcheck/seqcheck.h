/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Parts of seqcheck: numbered packets (packet.c), packets as chains of buffers
 * (shape.c), observation of the driver (spy.c), and the program (main.c).
 */

#ifndef SEQCHECK_H
#define SEQCHECK_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define SC_MAX_QUEUES	8
#define SC_MAX_LEN	9018	/* bytes of a frame */
#define SC_MIN_LEN	60
#define SC_ROOM_SMALL	2048	/* bytes in a small buffer, headroom apart */
#define SC_ROOM_BIG	9600

/* The packets of one queue, as their receiver knows them. */
struct sc_flow {
	uint32_t total;		/* that will be sent */
	uint32_t seen;		/* different ones that came back whole */
	uint32_t next;		/* one more than the highest number seen */
	uint8_t *marks;		/* [total]: this number has been seen */
};

/* Counts of all faults of received packets; all are zero if the packets are
 * right. */
struct sc_faults {
	uint64_t reordered;	/* came after a later one of its queue */
	uint64_t duplicated;
	uint64_t changed;	/* other bytes, or another length */
	uint64_t misrouted;	/* came back on another queue */
	uint64_t foreign;	/* not a packet of ours at all */
};

struct sc_check {
	struct sc_flow flows[SC_MAX_QUEUES];
	uint16_t n_flows;
	bool any_queue;		/* a queue's packets may come back on another */
	struct sc_faults faults;
	uint64_t received, bytes, multi_segment;
};

/* Packet lengths in turn: first, first + step ... up to last, and again. */
struct sc_sizes {
	uint16_t first, last, step;
};

void sc_packet_init(void);
uint16_t sc_packet_len(const struct sc_sizes *sizes, uint32_t seq);
/* @frame has room for @len bytes. */
void sc_packet_make(uint8_t *frame, uint16_t len, uint16_t queue, uint32_t seq);
/* Account for @m, which came on @queue; @m stays the caller's. */
void sc_packet_check(struct sc_check *check, const struct sc_sizes *sizes,
		     uint16_t queue, const struct rte_mbuf *m);

/* How a packet lies in buffers; this decides which descriptors are used. */
enum sc_shape {
	SC_PUSH,	/* one buffer with headroom: one descriptor */
	SC_INDIRECT,	/* 2 to 7 buffers, or no room for the header */
	SC_CHAIN,	/* 8 buffers and more, which virtio does not put in a table */
	SC_MIXED,	/* all of these in turn */
	SC_TABLES,	/* the first two */
	SC_CHAINS,	/* the first and the third */
};

struct sc_pools {
	struct rte_mempool *rx, *big, *small;
};

/* NULL: no buffers now. */
struct rte_mbuf *sc_shape_packet(const struct sc_pools *pools,
				 enum sc_shape shape, uint32_t seq,
				 const uint8_t *frame, uint16_t len);

/* What the driver has sent to its back-end, and has written into its rings. */
struct sc_spy {
	uint64_t features;		/* acknowledged */
	char rx_path[64], tx_path[64];	/* as the driver names them */
	uint64_t indirect, chained;	/* descriptors seen with these flags */
};

extern struct sc_spy sc_spy;

/* Call this before rte_eal_init(). The driver's log still goes to stderr,
 * too. */
int sc_spy_init(void);
/* Look at the descriptors of queue pair @queue, which packets were just
 * given to. */
void sc_spy_sample(uint16_t queue);

#endif
