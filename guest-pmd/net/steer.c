/* SPDX-License-Identifier: BSD-3-Clause */

/* See net/steer.h: look at packets, and let them go. */

#include <rte_mbuf.h>
#include <rte_memcpy.h>

#include "flow/parse.h"
#include "flow/rewrite.h"
#include "net/offload.h"
#include "net/steer.h"

const struct virtio_net_hdr_v1 vhostpci_plain_header = { .num_buffers = 1 };
const struct vhostpci_flow_set vhostpci_no_rules;

static void
count_pending(struct vhostpci_steer *steer)
{
	if (steer->rule != NULL)
		vhostpci_flow_count(steer->rule, steer->slot, steer->hits,
				    steer->bytes, steer->now);
	steer->hits = 0;
	steer->bytes = 0;
}

void
vhostpci_steer_end(struct vhostpci_steer *steer)
{
	count_pending(steer);
}

static inline void
count_miss(struct vhostpci_steer *steer, enum vhostpci_flow_miss why)
{
	/* This thread is the only writer. */
	__atomic_store_n(&steer->queue->misses[why],
			 steer->queue->misses[why] + 1, __ATOMIC_RELAXED);
}

/* Copy the head of a packet once: @len bytes, at most VHOSTPCI_FLOW_HEAD. Moves
 * of constant size may overlap. */
static __rte_always_inline void
copy_head(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len >= VHOSTPCI_FLOW_HEAD) {
		rte_mov128(to, from);
	} else if (likely(len >= 64)) {
		rte_mov64(to, from);
		if (len > 64)
			rte_mov64(to + len - 64, from + len - 64);
	} else {
		rte_memcpy(to, from, len);
	}
}

static __rte_always_inline void
take_head(struct vhostpci_ring *ring, const struct vhostpci_slot *slot,
	  struct vhostpci_steer_batch *batch, uint16_t i)
{
	uint32_t len = slot->raw.split.len - ring->hdr_len;

	batch->lens[i] = len;
	copy_head(batch->heads[i].bytes, slot->addr + ring->hdr_len, len);
	if (unlikely(ring->offload != 0))
		memcpy(&batch->heads[i].hdr, slot->addr,
		       sizeof(struct virtio_net_hdr));
}

static __rte_always_inline void
parse_head(const struct vhostpci_steer *steer,
	   struct vhostpci_steer_batch *batch, uint16_t i)
{
	const unsigned int need = vhostpci_flow_view_need(&steer->view);
	const uint32_t len = batch->lens[i];
	const uint32_t head_len = RTE_MIN(len, (uint32_t)VHOSTPCI_FLOW_HEAD);
	const uint8_t *head = batch->heads[i].bytes;

	batch->misses[i] = vhostpci_flow_parse(head, head_len, len, need,
					       &batch->keys[i],
					       &batch->metas[i]);
}

/* The limits of all destinations of a rule together. */
struct ways {
	bool open;
	uint16_t takes;		/* VHOSTPCI_OL_NEGOTIATED */
	uint32_t max_len;	/* bytes */
};

static inline void
add_way(void *ctx, void *dest)
{
	const struct vhostpci_inlet *inlet = dest;
	struct ways *ways = ctx;

	ways->open &= vhostpci_inlet_is_open(inlet);
	/* relaxed: whoever changes these values closes the inlet first. */
	ways->takes &= __atomic_load_n(&inlet->offload, __ATOMIC_RELAXED);
	ways->max_len = RTE_MIN(ways->max_len,
				__atomic_load_n(&inlet->max_len,
						__ATOMIC_RELAXED));
}

static struct vhostpci_flow_frame
frame_of(const struct vhostpci_ring *ring, struct vhostpci_steer_batch *batch,
	 uint16_t i)
{
	return (struct vhostpci_flow_frame) {
		.head = batch->heads[i].bytes,
		.len = RTE_MIN(batch->lens[i], (uint32_t)VHOSTPCI_FLOW_HEAD),
		.meta = batch->metas[i],
		.partial = ring->offload != 0 && batch->heads[i].hdr.flags &
			VIRTIO_NET_HDR_F_NEEDS_CSUM,
	};
}

/* Returns why a packet that @rule matches cannot go where the rule says. Also
 * makes the virtio-net header of the packet. */
static enum vhostpci_flow_miss
obstacle(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
	 struct vhostpci_steer_batch *batch, uint16_t i,
	 const struct vhostpci_flow_rule *rule)
{
	struct ways ways = { true, VHOSTPCI_OL_NEGOTIATED, UINT32_MAX };
	struct vhostpci_flow_frame frame;
	uint32_t grows = 0;

	if (unlikely(steer->all_up ||
		     batch->metas[i].flags & VHOSTPCI_FLOW_CONTROL))
		return VHOSTPCI_FLOW_MISS_CONTROL;
	if (vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_DROP)
		return VHOSTPCI_FLOW_HIT;
	if (likely(vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_OUTPUT)) {
		add_way(&ways, vhostpci_flow_dest(rule));
	} else {
		vhostpci_flow_each_dest(vhostpci_flow_prog(rule),
					rule->prog_len, add_way, &ways);
		grows = rule->grows;
	}
	if (unlikely(!ways.open))
		return VHOSTPCI_FLOW_MISS_DEST;
	if (unlikely(!vhostpci_offload_pass(ring, ways.takes,
					    &batch->heads[i].hdr,
					    batch->heads[i].bytes,
					    &batch->metas[i])))
		return VHOSTPCI_FLOW_MISS_OFFLOAD;
	/* The limit does not hold for a packet that the peer must segment,
	 * because such a packet is not yet a frame. */
	if (unlikely(batch->lens[i] + grows > ways.max_len &&
		     (batch->heads[i].hdr.gso_type ==
			      VIRTIO_NET_HDR_GSO_NONE ||
		      batch->lens[i] + grows > VHOSTPCI_MAX_PKT_LEN)))
		return VHOSTPCI_FLOW_MISS_LONG;
	if (vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_PROGRAM) {
		frame = frame_of(ring, batch, i);
		if (!vhostpci_flow_can_edit(rule, &frame))
			return VHOSTPCI_FLOW_MISS_EDIT;
	} else {
		steer->plain_len = ways.max_len;
	}
	return VHOSTPCI_FLOW_HIT;
}

static enum vhostpci_verdict
decide(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
       struct vhostpci_steer_batch *batch, uint16_t i)
{
	const struct vhostpci_flow_rule *rule = batch->rules[i];
	enum vhostpci_flow_miss why;

	if (unlikely(rule == NULL))
		return steer->isolated ? VHOSTPCI_AWAY : VHOSTPCI_UP;
	/* Check this for any rule: the unfinished checksum may stand in a field
	 * at which the rule looks. */
	if (unlikely(!vhostpci_offload_is_l4(ring, &batch->heads[i].hdr,
					     batch->heads[i].bytes,
					     batch->lens[i],
					     &batch->metas[i])))
		why = VHOSTPCI_FLOW_MISS_OFFLOAD;
	else if (unlikely(vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_MARK))
		return VHOSTPCI_UP;
	else
		why = obstacle(ring, steer, batch, i, rule);
	if (unlikely(why != VHOSTPCI_FLOW_HIT)) {
		batch->misses[i] = why;
		batch->rules[i] = NULL;
		steer->all_up = true;
		return VHOSTPCI_UP;
	}
	return vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_DROP ?
		VHOSTPCI_AWAY : VHOSTPCI_GO;
}

/* The first packet of @n goes to one output unchanged: do all others go there,
 * too? No branches, because rules differ from packet to packet. */
static __rte_always_inline bool
all_go(const struct vhostpci_ring *ring, const struct vhostpci_steer *steer,
       struct vhostpci_steer_batch *batch, uint16_t n)
{
	static const struct vhostpci_flow_rule none = {
		.way = VHOSTPCI_FLOW_DROP
	};
	const struct vhostpci_flow_rule *const first = batch->rules[0];
	const uint64_t way = first->way;
	const uint32_t longest = steer->plain_len;
	uint64_t bytes = batch->lens[0];
	bool odd = false, differ = false;
	uint16_t i;

	if (vhostpci_flow_kind(first) != VHOSTPCI_FLOW_OUTPUT ||
	    ring->offload != 0)
		return false;
	for (i = 1; i < n; i++) {
		const struct vhostpci_flow_rule *rule = batch->rules[i];

		differ |= rule != first;
		rule = rule == NULL ? &none : rule;
		odd |= (rule->way != way) |
			!!(batch->metas[i].flags & VHOSTPCI_FLOW_CONTROL) |
			(batch->lens[i] > longest);
		bytes += batch->lens[i];
	}
	batch->one_rule = !differ;
	batch->bytes = bytes;
	return !odd;
}

/* The first packet of @n goes up: do all others go up, and is each of them in
 * one descriptor and at least as long as a header? */
static __rte_always_inline bool
all_up(const struct vhostpci_ring *ring, const struct vhostpci_steer *steer,
       struct vhostpci_steer_batch *batch, uint16_t n)
{
	uint32_t longest = 0;
	uint64_t bytes = 0;
	bool odd = false;
	uint16_t i;

	if (steer->all_up || ring->offload != 0)
		return false;
	for (i = 0; i < n; i++) {
		const struct vhostpci_flow_rule *rule = batch->rules[i];

		odd |= batch->lens[i] < RTE_ETHER_HDR_LEN;
		longest = RTE_MAX(longest, batch->lens[i]);
		bytes += batch->lens[i];
		if (rule != NULL)
			odd |= vhostpci_flow_kind(rule) != VHOSTPCI_FLOW_MARK;
		else
			odd |= steer->isolated;
	}
	batch->longest = longest;
	batch->bytes = bytes;
	batch->one_rule = false;
	return !odd;
}

static __rte_always_inline enum vhostpci_uniform
uniform(const struct vhostpci_ring *ring, const struct vhostpci_steer *steer,
	struct vhostpci_steer_batch *batch, uint16_t n)
{
	if (likely(batch->verdicts[0] == VHOSTPCI_GO))
		return all_go(ring, steer, batch, n) ? VHOSTPCI_ALL_GO :
			VHOSTPCI_MIXED;
	if (batch->verdicts[0] == VHOSTPCI_AWAY ||
	    !all_up(ring, steer, batch, n))
		return VHOSTPCI_MIXED;
	batch->n_mbufs = n;
	return VHOSTPCI_ALL_UP;
}

void
vhostpci_steer_look(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
		    const struct vhostpci_slot *slots, uint16_t n,
		    struct vhostpci_steer_batch *batch)
{
	uint16_t i;

	batch->slow = false;
	batch->cut = false;
	batch->uniform = VHOSTPCI_MIXED;
	batch->n_mbufs = 0;
	for (i = 0; i < n; i++) {
		if (likely(slots[i].addr != NULL)) {
			take_head(ring, &slots[i], batch, i);
			continue;
		}
		/* The head cannot be read here, so treat it as too short. */
		batch->lens[i] = 0;
		batch->slow = true;
	}
	/* From here on look only at the copies. */
	rte_compiler_barrier();
	for (i = 0; i < n; i++) {
		parse_head(steer, batch, i);
		batch->rules[i] = vhostpci_flow_lookup_direct(&steer->view,
				batch->keys[i].w[VHOSTPCI_FLOW_L2]);
	}
	if (steer->view.set->n_hashed > 0)
		vhostpci_flow_lookup_hashed(&steer->view, batch->keys, n,
					    batch->rules);
	if (unlikely(batch->slow)) {
		batch->n_mbufs = n;
		return;
	}
	batch->verdicts[0] = decide(ring, steer, batch, 0);
	batch->uniform = uniform(ring, steer, batch, n);
	if (likely(batch->uniform != VHOSTPCI_MIXED))
		return;
	for (i = 0; i < n; i++) {
		if (i > 0)
			batch->verdicts[i] = decide(ring, steer, batch, i);
		batch->n_mbufs += batch->verdicts[i] == VHOSTPCI_UP;
	}
}

void
vhostpci_steer_decide(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
		      struct vhostpci_steer_batch *batch, uint16_t i)
{
	batch->verdicts[i] = decide(ring, steer, batch, i);
}

/* Count @n packets of @rule, of @bytes together. */
static __rte_always_inline void
count_hits(struct vhostpci_steer *steer, struct vhostpci_flow_rule *rule,
	   uint64_t n, uint64_t bytes)
{
	if (rule != steer->rule) {
		count_pending(steer);
		steer->rule = rule;
	}
	steer->hits += n;
	steer->bytes += bytes;
}

void
vhostpci_steer_count_slow(struct vhostpci_steer *steer,
			  const struct vhostpci_steer_batch *batch, uint16_t i)
{
	if (unlikely(batch->rules[i] == NULL))
		count_miss(steer, batch->misses[i] == VHOSTPCI_FLOW_HIT ?
			   VHOSTPCI_FLOW_MISS_RULE : batch->misses[i]);
	else
		count_hits(steer, batch->rules[i], 1, batch->lens[i]);
}

void
vhostpci_steer_count_all(struct vhostpci_steer *steer,
			 const struct vhostpci_steer_batch *batch, uint16_t n)
{
	uint16_t i;

	if (likely(batch->one_rule)) {
		count_hits(steer, batch->rules[0], n, batch->bytes);
		return;
	}
	for (i = 0; i < n; i++) {
		if (likely(batch->rules[i] != NULL))
			vhostpci_flow_count(batch->rules[i], steer->slot, 1,
					    batch->lens[i], steer->now);
		else
			vhostpci_steer_count_slow(steer, batch, i);
	}
}

enum vhostpci_verdict
vhostpci_steer_late(struct vhostpci_ring *ring, struct vhostpci_steer *steer,
		    struct vhostpci_steer_batch *batch, uint16_t i,
		    const struct rte_mbuf *m, const struct virtio_net_hdr *hdr)
{
	batch->lens[i] = m->data_len;
	copy_head(batch->heads[i].bytes, rte_pktmbuf_mtod(m, uint8_t *),
		  m->data_len);
	memcpy(&batch->heads[i].hdr, hdr, sizeof(*hdr));
	parse_head(steer, batch, i);
	vhostpci_flow_lookup_burst(&steer->view, &batch->keys[i], 1,
				   &batch->rules[i]);
	return decide(ring, steer, batch, i);
}

void
vhostpci_steer_send(struct vhostpci_ring *ring,
		    struct vhostpci_steer_batch *batch)
{
	ring->count.steer_lost += vhostpci_forward(batch->items,
						   batch->n_items,
						   ring->offload != 0);
	batch->n_items = 0;
	batch->n_extra = 0;
}

/* Let a frame go in its present form. @last: nobody changes the frame any more.
 * vhostpci_steer_fits() has checked that there is room. */
static void
frame_goes(struct vhostpci_ring *ring, struct vhostpci_steer_batch *batch,
	   uint16_t i, const struct vhostpci_flow_frame *frame, void *dest,
	   const uint8_t *tail, bool last)
{
	const uint32_t whole = RTE_MIN(batch->lens[i],
				       (uint32_t)VHOSTPCI_FLOW_HEAD);
	const uint16_t moved = frame->meta.l4 - batch->metas[i].l4;
	struct vhostpci_steer_head *copy;
	struct vhostpci_item *item;

	item = &batch->items[batch->n_items++];
	*item = (struct vhostpci_item) {
		.inlet = dest,
		.head = frame->head, .head_len = frame->len,
		.tail = tail, .tail_len = batch->lens[i] - whole,
		.hdr = ring->offload == 0 ? &vhostpci_plain_header :
			&batch->heads[i].hdr,
	};
	if (last && !frame->partial)
		return;
	copy = &batch->extra[batch->n_extra++];
	rte_memcpy(copy->room, frame->head, frame->len);
	item->head = copy->room;
	if (!frame->partial)
		return;
	copy->hdr = batch->heads[i].hdr;
	copy->hdr.csum_start += moved;
	if (copy->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		copy->hdr.hdr_len += moved;
	item->hdr = &copy->hdr;
}

void
vhostpci_steer_go_slow(struct vhostpci_ring *ring,
		       struct vhostpci_steer_batch *batch, uint16_t i,
		       const uint8_t *tail)
{
	const struct vhostpci_flow_rule *rule = batch->rules[i];
	struct vhostpci_flow_frame frame = frame_of(ring, batch, i);
	uint16_t at = 0, k;

	for (k = 1; k <= rule->n_out; k++) {
		void *dest = vhostpci_flow_edit(rule, &at, &frame);

		frame_goes(ring, batch, i, &frame, dest, tail,
			   k == rule->n_out);
	}
}
