/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The receiving burst of a ring whose port has rules. Packets that a rule moves go
 * from ring to ring; all other packets go to mbufs. The burst handles packets in
 * the order of the ring.
 *
 * The burst copies the first bytes of each packet once. It finds the rule by this
 * copy, and sends or receives this copy. So the peer cannot show one header to the
 * rules and another header to the packet's receiver.
 *
 * Order within a flow: the application receives a packet that goes up, and sends
 * it later, so the burst must not steer a later packet of the same flow. A packet
 * that matches no rule is no problem: the burst sees the rules of one moment, so
 * no other packet of this flow matches a rule. But a packet that matches a rule
 * may go up nevertheless (TCP's SYN, FIN and RST; a closed destination); then all
 * later packets of the burst go up, too.
 */

#ifndef VHOSTPCI_NET_STEER_H
#define VHOSTPCI_NET_STEER_H

#include "flow/forward.h"
#include "flow/table.h"
#include "vring/cursor.h"

struct rte_mempool;

/* State of one rx queue. control: w while no burst uses the queue; r. */
struct vhostpci_steering {
	const struct vhostpci_flow_table *table;
	uint16_t queue, n_queues;
	/* datapath: rw. Packets moved by rules since the application last read
	 * this. */
	uint32_t consumed;
	/* datapath: w; others: r. By enum vhostpci_flow_miss. */
	uint64_t misses[VHOSTPCI_FLOW_N_MISSES];
} __rte_cache_aligned;

/* State of one burst. */
struct vhostpci_steer {
	struct vhostpci_flow_view view;
	struct vhostpci_steering *queue;
	struct vhostpci_flow_slot slot;
	struct rte_mempool *mp;
	uint32_t now;		/* vhostpci_flow_now() */
	bool isolated;		/* drop packets that match no rule */
	bool all_up;		/* all later packets go up */
	/* The last packet went unchanged to one output: the longest frame that
	 * this output takes. */
	uint32_t plain_len;
	/* Hits of this rule that are not counted yet. */
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
	VHOSTPCI_GO,		/* the packet goes to the rule's outputs */
	VHOSTPCI_UP,		/* the packet goes to the application */
	VHOSTPCI_AWAY,		/* dropped, by a rule or for lack of one */
};

/* What all packets of a batch have in common; the packets of a uniform batch need
 * no verdict each. */
enum vhostpci_uniform {
	VHOSTPCI_MIXED,		/* nothing */
	VHOSTPCI_ALL_GO,	/* unchanged to one destination */
	VHOSTPCI_ALL_UP,	/* marked or not; each has an Ethernet header */
};

/* State of one batch. */
struct vhostpci_steer_batch {
	struct vhostpci_flow_key keys[VHOSTPCI_BATCH];
	struct vhostpci_flow_rule *rules[VHOSTPCI_BATCH];
	struct vhostpci_flow_meta metas[VHOSTPCI_BATCH];
	uint8_t misses[VHOSTPCI_BATCH];		/* enum vhostpci_flow_miss */
	uint8_t verdicts[VHOSTPCI_BATCH];
	bool slow;		/* some chains are not walked yet */
	bool cut;		/* ended early: no place for more items */
	enum vhostpci_uniform uniform;
	uint16_t n_mbufs;	/* at most this many packets go up */
	uint32_t lens[VHOSTPCI_BATCH];
	/* Unless VHOSTPCI_MIXED: the bytes of all packets; with VHOSTPCI_ALL_UP
	 * the longest packet; whether all packets match one rule. */
	uint64_t bytes;
	uint32_t longest;
	bool one_rule;
	struct vhostpci_steer_head heads[VHOSTPCI_BATCH];
	/* Items that wait to be sent, and copies of heads for some of them. */
	uint16_t n_items, n_extra;
	struct vhostpci_item items[VHOSTPCI_FORWARD_MAX];
	struct vhostpci_steer_head extra[VHOSTPCI_FORWARD_MAX];
};

/* The header of a complete packet. */
extern const struct virtio_net_hdr_v1 vhostpci_plain_header;

/* The set of a table without rules. */
extern const struct vhostpci_flow_set vhostpci_no_rules;

/* datapath: begin a burst. Returns true if the port has rules, or if it is isolated
 * and so drops all packets without a rule. */
static __rte_always_inline bool
vhostpci_steer_begin(struct vhostpci_steer *steer,
		     struct vhostpci_steering *queue, struct rte_mempool *mp)
{
	/* acquire: bursts look at the rules of an isolated port already. */
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

/* datapath: the burst ends: count the hits that are not counted yet. */
void vhostpci_steer_end(struct vhostpci_steer *steer);

/* datapath: copy the heads of the packets of @n slots, find their rules, and decide
 * on each packet, unless the burst must walk some chains first. */
void vhostpci_steer_look(struct vhostpci_ring *ring,
			 struct vhostpci_steer *steer,
			 const struct vhostpci_slot *slots, uint16_t n,
			 struct vhostpci_steer_batch *batch);
/* datapath: decide on packet @i of a batch in which some chains must be walked
 * first. The burst calls this for all packets of the batch, in their order. */
void vhostpci_steer_decide(struct vhostpci_ring *ring,
			   struct vhostpci_steer *steer,
			   struct vhostpci_steer_batch *batch, uint16_t i);
/* datapath: count the @n packets of a batch that is not VHOSTPCI_MIXED, each for its
 * rule or for the reason why it has no rule. */
void vhostpci_steer_count_all(struct vhostpci_steer *steer,
			      const struct vhostpci_steer_batch *batch,
			      uint16_t n);
void vhostpci_steer_count_slow(struct vhostpci_steer *steer,
			       const struct vhostpci_steer_batch *batch,
			       uint16_t i);
/* datapath: count packet @i, which the burst has handled, for its rule or for the
 * reason why it has no rule. Packets of one rule come in rows, and one store counts
 * a whole row. */
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

/* datapath: the burst has walked the chain of packet @i: look at the packet and
 * decide. @m holds the whole packet, and @hdr is a copy of its header. */
enum vhostpci_verdict
vhostpci_steer_late(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
		    struct vhostpci_steer_batch *batch, uint16_t i,
		    const struct rte_mbuf *m,
		    const struct virtio_net_hdr *hdr);
/* datapath: add the unchanged packet @i as the next item, with the destination
 * @inlet. */
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

/* datapath: has the batch room for all items of packet @i, whose slot is @slot? The
 * burst sends no items to make room: a packet that is sent before the burst is
 * announced might be sent twice. Packets without room wait for the next round. An
 * empty batch has room for any packet. */
static __rte_always_inline bool
vhostpci_steer_fits(const struct vhostpci_steer_batch *batch, uint16_t i,
		    const struct vhostpci_slot *slot)
{
	const uint16_t room = VHOSTPCI_FORWARD_MAX - batch->n_items;

	if (likely(room >= VHOSTPCI_FLOW_MAX_OUT))
		return true;
	/* The rule of a packet is unknown until its chain is walked. */
	return slot->addr != NULL &&
		(batch->rules[i] == NULL || batch->rules[i]->n_out <= room);
}

void vhostpci_steer_go_slow(struct vhostpci_ring *ring,
			    struct vhostpci_steer_batch *batch, uint16_t i,
			    const uint8_t *tail);
/* datapath: add the items of packet @i. The packet's bytes after the head must stay
 * at @tail until vhostpci_steer_send(). */
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

/* datapath: send the items of the batch. */
void vhostpci_steer_send(struct vhostpci_ring *ring,
			 struct vhostpci_steer_batch *batch);

#endif
