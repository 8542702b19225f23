/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The receiving burst of a ring whose port has rules: what a rule moves goes
 * from ring to ring, all else to mbufs, in the order of the ring.
 *
 * The first bytes of each packet are copied once; by the copy the rule is found,
 * and the copy is what is sent or received: the peer cannot show one header to
 * the rules and another one to whoever goes by their verdict.
 *
 * Order within a flow: packets that are received go up and are sent by this
 * thread later, so no packet of their flow behind them may be steered in the same
 * burst. Those that no rule matches have no such flow, as the rules are those of
 * one moment. A packet that matches and goes up all the same (TCP's SYN, FIN and
 * RST; a destination that is closed) takes what follows in the burst with it.
 */

#ifndef VHOSTPCI_NET_STEER_H
#define VHOSTPCI_NET_STEER_H

#include "flow/forward.h"
#include "flow/table.h"
#include "vring/cursor.h"

struct rte_mempool;

/* Of one rx queue. control: w while no burst uses the queue, and reads. */
struct vhostpci_steering {
	const struct vhostpci_flow_table *table;
	uint16_t queue, n_queues;
	/* datapath: rw. Packets moved by rules since the application asked. */
	uint32_t consumed;
	/* datapath: w; others: r. By enum vhostpci_flow_miss. */
	uint64_t misses[VHOSTPCI_FLOW_N_MISSES];
} __rte_cache_aligned;

/* Of one burst. */
struct vhostpci_steer {
	struct vhostpci_flow_view view;
	struct vhostpci_steering *queue;
	struct vhostpci_flow_slot slot;
	struct rte_mempool *mp;
	uint32_t now;		/* vhostpci_flow_now() */
	bool isolated;		/* what no rule matches is dropped */
	bool all_up;		/* what follows goes up */
	/* The longest frame that may follow the last packet that went to one
	 * output as it was. */
	uint32_t plain_len;
	/* Not counted yet. */
	struct vhostpci_flow_rule *rule;
	uint64_t hits, bytes;
};

/* Private memory for the beginning of a packet, with room for tags. */
struct vhostpci_steer_head {
	uint8_t room[VHOSTPCI_FLOW_HEADROOM];
	uint8_t bytes[VHOSTPCI_FLOW_HEAD];
	struct virtio_net_hdr_v1 hdr;
} __rte_aligned(16);

enum vhostpci_verdict {
	VHOSTPCI_GO,		/* to where the rule says */
	VHOSTPCI_UP,		/* to the application */
	VHOSTPCI_AWAY,		/* dropped, by a rule or for lack of one */
};

/* What all packets of a batch have in common, so that none needs a verdict of its
 * own. */
enum vhostpci_uniform {
	VHOSTPCI_MIXED,		/* nothing */
	VHOSTPCI_ALL_GO,	/* to one destination, as they are */
	VHOSTPCI_ALL_UP,	/* marked or not; each has an Ethernet header */
};

/* Of one batch. */
struct vhostpci_steer_batch {
	struct vhostpci_flow_key keys[VHOSTPCI_BATCH];
	struct vhostpci_flow_rule *rules[VHOSTPCI_BATCH];
	struct vhostpci_flow_meta metas[VHOSTPCI_BATCH];
	uint8_t misses[VHOSTPCI_BATCH];		/* enum vhostpci_flow_miss */
	uint8_t verdicts[VHOSTPCI_BATCH];
	bool slow;		/* packets whose chains are not walked yet */
	bool cut;		/* ended early: no place for more items */
	enum vhostpci_uniform uniform;
	uint16_t n_mbufs;	/* at most so many packets go up */
	uint32_t lens[VHOSTPCI_BATCH];
	/* Unless VHOSTPCI_MIXED: of all packets, what their lengths make; do
	 * they go by one rule? */
	uint64_t bytes;
	uint32_t longest;	/* of VHOSTPCI_ALL_UP */
	bool one_rule;
	struct vhostpci_steer_head heads[VHOSTPCI_BATCH];
	/* Items that wait to be sent, and copies of heads for some of them. */
	uint16_t n_items, n_extra;
	struct vhostpci_item items[VHOSTPCI_FORWARD_MAX];
	struct vhostpci_steer_head extra[VHOSTPCI_FORWARD_MAX];
};

/* Of a packet that is complete. */
extern const struct virtio_net_hdr_v1 vhostpci_plain_header;

/* Of a table without rules. */
extern const struct vhostpci_flow_set vhostpci_no_rules;

/* datapath: begin, and return whether there are rules, or all is to be dropped
 * for lack of them. */
static __rte_always_inline bool
vhostpci_steer_begin(struct vhostpci_steer *steer,
		     struct vhostpci_steering *queue, struct rte_mempool *mp)
{
	/* acquire: an isolated port's rules are looked for since before. */
	steer->isolated = __atomic_load_n(&queue->table->isolated,
					  __ATOMIC_ACQUIRE);
	if (!vhostpci_flow_view_open(queue->table, &steer->view)) {
		if (!steer->isolated)
			return false;
		steer->view.set = &vhostpci_no_rules;
		steer->view.n_direct = 0;
	}
	steer->queue = queue;
	steer->slot = vhostpci_flow_slot(queue->queue, queue->n_queues);
	steer->mp = mp;
	steer->now = vhostpci_flow_now();
	steer->rule = NULL;
	steer->hits = 0;
	steer->bytes = 0;
	return true;
}

/* datapath: the burst ends: count what was not counted yet. */
void vhostpci_steer_end(struct vhostpci_steer *steer);

/* datapath: copy the heads of the packets of @n slots, find their rules, and
 * unless some have to be walked first, decide. */
void vhostpci_steer_look(struct vhostpci_ring *ring,
			 struct vhostpci_steer *steer,
			 const struct vhostpci_slot *slots, uint16_t n,
			 struct vhostpci_steer_batch *batch);
/* datapath: decide on packet @i of the batch. In their order, for all of a batch
 * in which some have to be walked first. */
void vhostpci_steer_decide(struct vhostpci_ring *ring,
			   struct vhostpci_steer *steer,
			   struct vhostpci_steer_batch *batch, uint16_t i);
/* datapath: count the @n packets of a batch that is not VHOSTPCI_MIXED, for the
 * rule of each or the reason why it had none. */
void vhostpci_steer_count_all(struct vhostpci_steer *steer,
			      const struct vhostpci_steer_batch *batch,
			      uint16_t n);
void vhostpci_steer_count_slow(struct vhostpci_steer *steer,
			       const struct vhostpci_steer_batch *batch,
			       uint16_t i);
/* datapath: packet @i was handled as was decided: count it, for its rule or for
 * the reason why it had none. Packets of one rule come in rows: their counts are
 * one store. */
static __rte_always_inline void
vhostpci_steer_count(struct vhostpci_steer *steer,
		     const struct vhostpci_steer_batch *batch, uint16_t i)
{
	if (unlikely(batch->rules[i] != steer->rule || steer->rule == NULL)) {
		vhostpci_steer_count_slow(steer, batch, i);
		return;
	}
	steer->hits++;
	steer->bytes += batch->lens[i];
}

/* datapath: look at packet @i and decide, now that it was walked: @m holds all of
 * it, and @hdr is a copy of its header. */
enum vhostpci_verdict
vhostpci_steer_late(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
		    struct vhostpci_steer_batch *batch, uint16_t i,
		    const struct rte_mbuf *m,
		    const struct virtio_net_hdr *hdr);
/* datapath: the next item is packet @i as it is, to @inlet. */
static __rte_always_inline void
vhostpci_steer_add(const struct vhostpci_ring *ring,
		   struct vhostpci_steer_batch *batch, uint16_t i,
		   const uint8_t *tail, struct vhostpci_inlet *inlet)
{
	const uint32_t len = batch->lens[i];
	const uint32_t head_len = RTE_MIN(len, (uint32_t)VHOSTPCI_FLOW_HEAD);

	batch->items[batch->n_items++] = (struct vhostpci_item) {
		.inlet = inlet,
		.head = batch->heads[i].bytes,
		.tail = tail,
		.hdr = ring->offload == 0 ? &vhostpci_plain_header :
			&batch->heads[i].hdr,
		.head_len = head_len, .tail_len = len - head_len,
	};
}

/* datapath: is there place for all items of packet @i, looked at as @slot? A
 * packet that is sent before its burst is announced may be sent once more, so none
 * is sent to make place: what follows is for the next round. Without items there
 * is place for any packet. */
static __rte_always_inline bool
vhostpci_steer_fits(const struct vhostpci_steer_batch *batch, uint16_t i,
		    const struct vhostpci_slot *slot)
{
	const uint16_t room = VHOSTPCI_FORWARD_MAX - batch->n_items;

	if (likely(room >= VHOSTPCI_FLOW_MAX_OUT))
		return true;
	/* The rule of one that is not walked yet is not known. */
	return slot->addr != NULL &&
		(batch->rules[i] == NULL || batch->rules[i]->n_out <= room);
}

void vhostpci_steer_go_slow(struct vhostpci_ring *ring,
			    struct vhostpci_steer_batch *batch, uint16_t i,
			    const uint8_t *tail);
/* datapath: let packet @i go, whose bytes behind the head are at @tail until
 * vhostpci_steer_send(). */
static __rte_always_inline void
vhostpci_steer_go(struct vhostpci_ring *ring,
		  struct vhostpci_steer_batch *batch, uint16_t i,
		  const uint8_t *tail)
{
	const struct vhostpci_flow_rule *rule = batch->rules[i];

	if (unlikely(vhostpci_flow_kind(rule) != VHOSTPCI_FLOW_OUTPUT))
		vhostpci_steer_go_slow(ring, batch, i, tail);
	else
		vhostpci_steer_add(ring, batch, i, tail,
				   vhostpci_flow_dest(rule));
}

/* datapath: send what waits. */
void vhostpci_steer_send(struct vhostpci_ring *ring,
			 struct vhostpci_steer_batch *batch);

#endif
