/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Adopting what the transport says about the peer: stop the bursts that it
 * concerns, change, let them go on. See "Quiescence" in vhostpci_dev.h.
 */

#include <errno.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>

#include <rte_cycles.h>
#include <rte_interrupts.h>
#include <rte_pause.h>

#include "vhostpci_dev.h"
#include "vhostpci_offload.h"

/* How long a ring's lock may wait for bursts to end, to be needed no more. */
#define VHOSTPCI_UNSHARE_MS	2

/* Sets of queues, by bit. */
struct queue_set {
	uint64_t rx, tx;
};
static const struct queue_set all_queues = { UINT64_MAX, UINT64_MAX };

static int
membarrier(int cmd)
{
	return syscall(__NR_membarrier, cmd, 0, 0);
}

bool
vhostpci_needs_fence(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

/* Pairs with the order of stores and loads at the start of a burst. */
static void
full_barrier(void)
{
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool
wait_idle(const struct vhostpci_queue *queue, uint64_t deadline)
{
	unsigned int spins = 0;

	/* acquire: pairs with the release at the end of a burst. */
	while (__atomic_load_n(&queue->in_burst, __ATOMIC_ACQUIRE)) {
		if (rte_get_timer_cycles() > deadline)
			return false;
		/* A burst takes microseconds, unless its thread is preempted:
		 * then leave it the processor. */
		if (++spins < 1000)
			rte_pause();
		else
			rte_delay_us_sleep(20);
	}
	return true;
}

static void
ask_to_stop(struct vhostpci_queue *const *queues, uint64_t set)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (set >> q & 1 && queues[q] != NULL)
			__atomic_store_n(&queues[q]->run, 0, __ATOMIC_RELAXED);
	}
}

static bool
wait_stopped(struct vhostpci_queue *const *queues, uint64_t set,
	     uint64_t deadline)
{
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (set >> q & 1 && queues[q] != NULL &&
		    !wait_idle(queues[q], deadline))
			return false;
	}
	return true;
}

/* After -ETIMEDOUT the queues of @set stay stopped. */
static int
pause_queues(struct vhostpci_dev *dev, struct queue_set set)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_QUIESCE_MS / 1000;

	if (set.rx == 0 && set.tx == 0)
		return 0;
	ask_to_stop(dev->rxq, set.rx);
	ask_to_stop(dev->txq, set.tx);
	full_barrier();
	if (wait_stopped(dev->rxq, set.rx, deadline) &&
	    wait_stopped(dev->txq, set.tx, deadline))
		return 0;
	dev->unsettled = true;
	dev->total.timeouts++;
	return -ETIMEDOUT;
}

static bool
usable(const struct vhostpci_ring *ring)
{
	return ring->running && ring->broken == VHOSTPCI_RULE_NONE;
}

static void
let_run(const struct vhostpci_dev *dev, struct vhostpci_queue *queue)
{
	uint32_t run = dev->started && !dev->admin_down && !dev->removed &&
		queue->n_rings > 0;

	/* release: pairs with the acquire at the start of a burst. */
	__atomic_store_n(&queue->run, run, __ATOMIC_RELEASE);
}

/* Rx queue q serves the peer's transmit rings of pairs p with p % n_rxq == q. */
static void
assign_rx(struct vhostpci_dev *dev, uint64_t set)
{
	unsigned int pair, q;

	for (q = 0; q < dev->n_rxq; q++) {
		struct vhostpci_queue *queue = dev->rxq[q];

		if (!(set >> q & 1) || queue == NULL)
			continue;
		queue->n_rings = 0;
		queue->next = 0;
		for (pair = q; pair < VHOSTPCI_MAX_PAIRS; pair += dev->n_rxq) {
			struct vhostpci_ring *ring = &dev->rings[2 * pair + 1];

			if (usable(ring))
				queue->rings[queue->n_rings++] = ring;
		}
		let_run(dev, queue);
		vhostpci_intr_rearm(dev, q);
	}
}

static void
assign_tx(struct vhostpci_dev *dev, uint64_t set)
{
	uint64_t deadline = rte_get_timer_cycles() +
		rte_get_timer_hz() * VHOSTPCI_UNSHARE_MS / 1000;
	unsigned int q;

	/* Too long a burst: the ring stays locked until the next time. */
	if (vhostpci_txmap_assign(dev)) {
		full_barrier();
		if (wait_stopped(dev->txq, UINT64_MAX, deadline))
			vhostpci_txmap_unshare(dev);
	}
	for (q = 0; q < dev->n_txq; q++) {
		if (set >> q & 1 && dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
}

static void
resume_queues(struct vhostpci_dev *dev, struct queue_set set)
{
	assign_rx(dev, set.rx);
	assign_tx(dev, set.tx);
}

/* Bursts leave calls to later bursts, of which there may be none now. */
static void
make_call(struct vhostpci_ring *ring)
{
	if (usable(ring) && ring->call && ring->untold > 0)
		vhostpci_ring_call(ring);
}

static void
make_calls(struct vhostpci_dev *dev)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++)
		make_call(&dev->rings[i]);
}

int
vhostpci_pause_all(struct vhostpci_dev *dev)
{
	bool settled = !dev->unsettled;
	int rc = pause_queues(dev, all_queues);
	unsigned int q;

	if (rc == 0)
		make_calls(dev);
	if (rc == 0 || !settled)
		return rc;
	/* Nobody comes again, unlike for an adoption: what the bursts use is
	 * as it was, let them go on. */
	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->rxq[q] != NULL)
			let_run(dev, dev->rxq[q]);
		if (dev->txq[q] != NULL)
			let_run(dev, dev->txq[q]);
	}
	dev->unsettled = false;
	return rc;
}

void
vhostpci_resume_all(struct vhostpci_dev *dev)
{
	resume_queues(dev, all_queues);
	dev->unsettled = false;
}

bool
vhostpci_update_link(struct vhostpci_dev *dev)
{
	bool up = false, broken = false;
	unsigned int i;
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_10G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
	};

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		up |= usable(&dev->rings[i]);
		/* Also one that the transport has stopped for it since. */
		broken |= dev->rings[i].broken != VHOSTPCI_RULE_NONE;
	}
	link.link_status = up && !broken && dev->peer.connected &&
		!dev->admin_down && !dev->removed;
	return rte_eth_linkstatus_set(dev->eth_dev, &link) == 0;
}

void
vhostpci_raise(struct vhostpci_dev *dev, enum rte_eth_event_type event)
{
	rte_eth_dev_callback_process(dev->eth_dev, event, NULL);
}

static bool
same_regions(const struct vhostpci_peer *a, const struct vhostpci_peer *b)
{
	unsigned int i;

	if (a->n_regions != b->n_regions)
		return false;
	for (i = 0; i < a->n_regions; i++) {
		if (a->regions[i].gpa != b->regions[i].gpa ||
		    a->regions[i].size != b->regions[i].size ||
		    a->regions[i].addr != b->regions[i].addr)
			return false;
	}
	return true;
}

/* Of the call flag and a base that does not come with a new epoch, the one
 * needs no stop and the other is the past. */
static bool
same_ring(const struct vhostpci_vring_desc *a,
	  const struct vhostpci_vring_desc *b)
{
	if (!a->run && !b->run)
		return true;
	return a->run == b->run && a->epoch == b->epoch && a->num == b->num &&
		a->desc == b->desc && a->avail == b->avail &&
		a->used == b->used;
}

/* The queues that may not run while the device goes on to @peer. */
static struct queue_set
concerned(const struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	struct queue_set set = { 0, 0 };
	uint32_t changed = 0;
	unsigned int i;

	if (dev->unsettled || !same_regions(&dev->peer, peer))
		return all_queues;
	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (same_ring(vhostpci_peer_ring(&dev->peer, i),
			      vhostpci_peer_ring(peer, i)))
			continue;
		if ((i & 1) == 0)
			changed |= 1u << i / 2;
		else if (dev->n_rxq > 0)
			set.rx |= 1ULL << (i / 2 % dev->n_rxq);
	}
	set.tx = vhostpci_txmap_concerned(dev, peer, changed);
	return set;
}

/* Count and log ring @i's violation, if it has a new one. */
static enum vhostpci_rule
note_broken(struct vhostpci_dev *dev, unsigned int i)
{
	struct vhostpci_ring *ring = &dev->rings[i];
	enum vhostpci_rule rule;

	/* acquire: pairs with the release in vhostpci_ring_break(). */
	rule = __atomic_load_n(&ring->broken, __ATOMIC_ACQUIRE);
	if (!ring->running || ring->reported || rule == VHOSTPCI_RULE_NONE)
		return VHOSTPCI_RULE_NONE;
	ring->reported = true;
	ring->count.violations++;
	dev->total.rules[rule]++;
	dev->last_rule = rule;
	VHOSTPCI_PEER_LOG(dev, ERR, "peer %s: ring %u stopped: %s",
			  vhostpci_dev_label(dev), i, vhostpci_rule_text(rule));
	return rule;
}

static void
adopt_ring(struct vhostpci_dev *dev, const struct vhostpci_peer *peer,
	   unsigned int i, enum vhostpci_rule mem_rule, bool moved)
{
	const struct vhostpci_vring_desc *now = vhostpci_peer_ring(peer, i);
	struct vhostpci_ring *ring = &dev->rings[i];
	enum vhostpci_rule rule = VHOSTPCI_RULE_NONE;

	if (same_ring(vhostpci_peer_ring(&dev->peer, i), now)) {
		/* A driver that listens again may have missed something. Not
		 * vhostpci_ring_call(): the counter is a burst's. */
		if (!__atomic_exchange_n(&ring->call, now->call,
					 __ATOMIC_SEQ_CST) &&
		    now->call && usable(ring))
			dev->transport.ops->call(dev, i);
		if (moved && usable(ring))
			rule = vhostpci_ring_relocate(ring, now);
	} else {
		/* Restarted before the report came: it counts all the same. */
		note_broken(dev, i);
		make_call(ring);
		ring->running = now->run;
		ring->offload = vhostpci_offload_flags(vhostpci_ring_is_rx(ring),
						       peer->features,
						       dev->taken);
		if (now->run)
			rule = vhostpci_ring_start(ring, now, peer->features);
	}
	if (now->run && mem_rule != VHOSTPCI_RULE_NONE && !ring->broken)
		rule = mem_rule;
	if (rule != VHOSTPCI_RULE_NONE)
		vhostpci_ring_break(ring, rule);
}

/*
 * A ring that was stopped for a violation keeps the link down until the peer
 * begins anew: it disconnects, or sets up this ring or, if it has no use for
 * this one any more, another one.
 */
static void
forgive(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	bool anew = !peer->connected;
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		const struct vhostpci_vring_desc *now = vhostpci_peer_ring(peer, i);

		anew |= now->run && !same_ring(vhostpci_peer_ring(&dev->peer, i), now);
	}
	for (i = 0; anew && i < VHOSTPCI_MAX_RINGS; i++) {
		if (!vhostpci_peer_ring(peer, i)->run)
			dev->rings[i].broken = VHOSTPCI_RULE_NONE;
	}
}

/* No burst runs on what changes. */
static void
apply(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	enum vhostpci_rule rule = VHOSTPCI_RULE_NONE;
	bool moved = !same_regions(&dev->peer, peer);
	unsigned int i;

	/* The table is rebuilt only when it changed: otherwise bursts on
	 * other queues are using it. */
	if (moved &&
	    vhostpci_mem_set(&dev->mem, peer->regions, peer->n_regions) != 0)
		rule = VHOSTPCI_RULE_REGIONS;
	/* VHOST_USER_F_PROTOCOL_FEATURES is the transport's own. */
	if (peer->features & ~dev->transport.offered_features & ~(1ULL << 30))
		rule = VHOSTPCI_RULE_FEATURES;
	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++)
		adopt_ring(dev, peer, i, rule, moved);
	forgive(dev, peer);
}

/* The peer asked to be announced: its new address, on the first rx queue. */
static void
announce(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	const uint8_t *mac = peer->rarp_mac.addr_bytes;
	uint64_t value = 1;
	unsigned int i;

	if (dev->rxq[0] == NULL || !peer->connected ||
	    peer->rarp_count == dev->peer.rarp_count)
		return;
	for (i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		value = value << 8 | mac[i];
	__atomic_store_n(&dev->rxq[0]->announce, value, __ATOMIC_RELAXED);
	vhostpci_intr_fire(dev, 0);
}

int
vhostpci_peer_adopt(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	struct queue_set set;
	bool link_changed;
	int rc;

	if (peer->n_regions > VHOSTPCI_MAX_REGIONS ||
	    peer->n_rings > VHOSTPCI_MAX_RINGS)
		return -EINVAL;
	pthread_mutex_lock(&dev->lock);
	set = concerned(dev, peer);
	rc = pause_queues(dev, set);
	if (rc != 0) {
		pthread_mutex_unlock(&dev->lock);
		return rc;
	}
	apply(dev, peer);
	announce(dev, peer);
	dev->peer = *peer;
	dev->unsettled = false;
	dev->total.adoptions++;
	resume_queues(dev, set);
	/* A port being closed has nobody left to tell. */
	link_changed = vhostpci_update_link(dev) && !dev->closed;
	pthread_mutex_unlock(&dev->lock);

	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
	return 0;
}

void
vhostpci_dev_removed(struct vhostpci_dev *dev)
{
	bool link_changed;

	pthread_mutex_lock(&dev->lock);
	dev->removed = true;
	/* Bursts that do not end within the time still find run == 0 when they
	 * come back; the transport keeps the memory mapped until close. */
	if (vhostpci_pause_all(dev) == 0)
		vhostpci_resume_all(dev);
	link_changed = vhostpci_update_link(dev);
	pthread_mutex_unlock(&dev->lock);

	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
	vhostpci_raise(dev, RTE_ETH_EVENT_INTR_RMV);
}

void
vhostpci_handle_broken(void *arg)
{
	struct vhostpci_dev *dev = arg;
	uint8_t rule[VHOSTPCI_MAX_RINGS];
	uint32_t epoch[VHOSTPCI_MAX_RINGS];
	bool link_changed;
	uint64_t count;
	unsigned int i;

	if (read(rte_intr_fd_get(dev->broken_intr), &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&dev->lock);
	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		rule[i] = note_broken(dev, i);
		epoch[i] = dev->rings[i].epoch;
	}
	link_changed = vhostpci_update_link(dev);
	pthread_mutex_unlock(&dev->lock);

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (rule[i] != VHOSTPCI_RULE_NONE)
			dev->transport.ops->broken(dev, i, epoch[i],
					vhostpci_rule_text(rule[i]));
	}
	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
}
