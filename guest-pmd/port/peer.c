/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Adopt the state of the peer that the transport reports: stop the bursts that
 * the change concerns, change, and let the bursts go on. Also announce the
 * peer, and report broken rings.
 */

#include <errno.h>

#include "net/offload.h"
#include "net/variants.h"
#include "port/assign.h"
#include "port/intr.h"
#include "port/link.h"
#include "port/pause.h"
#include "port/peer.h"
#include "port/port.h"
#include "port/txmap.h"
#include "vring/layout.h"

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

/* Ignores the call flag, whose change needs no stop, and the base: a base
 * without a new epoch is old. */
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

/* The queues that must stand still while the device changes to @peer. */
static struct vhostpci_queue_set
concerned(const struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	struct vhostpci_queue_set set = { 0, 0 };
	uint32_t changed = 0;
	unsigned int i;

	if (dev->unsettled || !same_regions(&dev->peer, peer))
		return (struct vhostpci_queue_set) { UINT64_MAX, UINT64_MAX };
	for (i = 0; i < dev->n_rings; i++) {
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

/* Count and log that the peer's memory was taken away, if that is new. */
static void
note_revoked(struct vhostpci_dev *dev)
{
	uint64_t revoked;

	if (dev->revoked == UINT64_MAX)
		return;
	/* relaxed: no other data depends on this value. */
	revoked = __atomic_load_n(dev->transport.revoked, __ATOMIC_RELAXED);
	if (revoked <= dev->revoked)
		return;
	dev->revoked = revoked;
	dev->total.revocations++;
	VHOSTPCI_PEER_LOG(dev, WARNING, "peer %s: its memory was taken out of the "
			  "window, as this VM did not acknowledge a change in "
			  "time; the memory comes back", vhostpci_dev_label(dev));
}

/* Count and log the violation of ring @i, if there is a new one. */
static enum vhostpci_rule
note_broken(struct vhostpci_dev *dev, unsigned int i)
{
	struct vhostpci_ring *ring = &dev->rings[i];
	enum vhostpci_rule rule;

	/* acquire: pairs with the release in vhostpci_ring_break(). */
	rule = __atomic_load_n(&ring->broken, __ATOMIC_ACQUIRE);
	if (!ring->running || ring->reported ||
	    !vhostpci_rule_is_violation(rule))
		return VHOSTPCI_RULE_NONE;
	ring->reported = true;
	ring->count.violations++;
	dev->total.rules[rule]++;
	dev->last_rule = rule;
	VHOSTPCI_PEER_LOG(dev, ERR, "peer %s: ring %u stopped: %s",
			  vhostpci_dev_label(dev), i, vhostpci_rule_text(rule));
	return rule;
}

/* Ring @i goes on with the regions of a new state, which may be others (@moved).
 * Returns what is wrong with the ring's place in them. */
static enum vhostpci_rule
keep_ring(struct vhostpci_dev *dev, const struct vhostpci_vring_desc *now,
	  unsigned int i, bool moved)
{
	struct vhostpci_ring *ring = &dev->rings[i];
	bool waits = now->run && ring->broken == VHOSTPCI_RULE_GROWN;
	enum vhostpci_rule rule = VHOSTPCI_RULE_NONE;

	/* A driver that wants calls again may have missed one. Do not use
	 * vhostpci_ring_call(), because only bursts may change its counter. */
	if (!__atomic_exchange_n(&ring->call, now->call, __ATOMIC_SEQ_CST) &&
	    now->call && vhostpci_ring_usable(ring))
		dev->transport.ops->call(dev, i);
	if (moved && (waits || vhostpci_ring_usable(ring)))
		rule = vhostpci_ring_relocate(ring, now);
	if (!waits || rule != VHOSTPCI_RULE_NONE ||
	    vhostpci_mem_is_late(&dev->mem))
		return rule;
	/* The burst left its ring in order, before the packet in question.
	 * release: a burst on the ring finds the regions. */
	__atomic_store_n(&ring->broken, VHOSTPCI_RULE_NONE, __ATOMIC_RELEASE);
	/* Whoever sleeps wants kicks of this ring, too, and the peer may not kick
	 * again for what is in the ring. */
	if (vhostpci_ring_is_rx(ring) && dev->n_rxq > 0)
		vhostpci_intr_rearm(dev, i / 2 % dev->n_rxq);
	return VHOSTPCI_RULE_NONE;
}

static void
adopt_ring(struct vhostpci_dev *dev, const struct vhostpci_peer *peer,
	   unsigned int i, enum vhostpci_rule mem_rule, bool moved)
{
	const struct vhostpci_vring_desc *now = vhostpci_peer_ring(peer, i);
	struct vhostpci_ring *ring = &dev->rings[i];
	enum vhostpci_rule rule = VHOSTPCI_RULE_NONE;

	if (same_ring(vhostpci_peer_ring(&dev->peer, i), now)) {
		rule = keep_ring(dev, now, i, moved);
	} else {
		/* The peer may have restarted the ring before the report came:
		 * count the violation all the same. */
		note_broken(dev, i);
		vhostpci_ring_make_call(ring);
		ring->running = now->run;
		ring->generation = peer->generation;
		if (!vhostpci_rule_is_violation(ring->broken))
			ring->broken = VHOSTPCI_RULE_NONE;
		ring->offload = vhostpci_offload_flags(vhostpci_ring_is_rx(ring),
						       peer->features,
						       dev->taken);
		if (now->run) {
			vhostpci_ring_select(ring, peer->features,
					     dev->tx_offloads);
			rule = vhostpci_ring_start(ring, now, peer->features);
		}
	}
	if (now->run && mem_rule != VHOSTPCI_RULE_NONE && !ring->broken)
		rule = mem_rule;
	if (rule != VHOSTPCI_RULE_NONE)
		vhostpci_ring_stop(ring, rule);
}

/*
 * A ring that was stopped for a violation keeps the link down until the peer
 * begins anew: until it disconnects, or sets up this or any other ring. The
 * peer may have no more use for this ring.
 */
static void
forgive(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	bool anew = !peer->connected;
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		const struct vhostpci_vring_desc *now =
			vhostpci_peer_ring(peer, i);

		anew |= now->run &&
			!same_ring(vhostpci_peer_ring(&dev->peer, i), now);
	}
	for (i = 0; anew && i < dev->n_rings; i++) {
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

	/* Rebuild the table only if it changed: otherwise bursts on other
	 * queues are using it. */
	if (moved &&
	    vhostpci_mem_set(&dev->mem, peer->regions, peer->n_regions) != 0)
		rule = VHOSTPCI_RULE_REGIONS;
	/* The bursts that run now have the same regions as before. */
	__atomic_store_n(&dev->mem.generation, peer->generation,
			 __ATOMIC_RELAXED);
	/* VHOST_USER_F_PROTOCOL_FEATURES (bit 30) concerns only the
	 * transport. */
	if (peer->features & ~dev->transport.offered_features & ~(1ULL << 30))
		rule = VHOSTPCI_RULE_FEATURES;
	for (i = 0; i < dev->n_rings; i++)
		adopt_ring(dev, peer, i, rule, moved);
	forgive(dev, peer);
}

/* Keep @peer for the next comparison. */
static void
remember(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	struct vhostpci_vring_desc *rings = dev->peer.rings;

	dev->peer = *peer;
	dev->peer.rings = rings;
	memcpy(rings, peer->rings, peer->n_rings * sizeof(*rings));
}

/* If the peer asks to be announced, let the first rx queue deliver a RARP
 * packet with the new address. */
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

/* Do other rings run than before, or are there more of them? */
static bool
other_rings(const struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		if (vhostpci_peer_ring(&dev->peer, i)->run !=
		    vhostpci_peer_ring(peer, i)->run)
			return true;
	}
	return dev->peer.n_rings != peer->n_rings;
}

/* A port that is being closed raises no events. */
static void
unlock_and_tell(struct vhostpci_dev *dev, bool queues_changed)
{
	bool link_changed = vhostpci_update_link(dev) && !dev->closed;

	queues_changed = queues_changed && !dev->closed &&
		vhostpci_queues_changed(dev);
	pthread_mutex_unlock(&dev->lock);

	if (queues_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_QUEUE_STATE);
	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
}

int
vhostpci_peer_adopt(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	struct vhostpci_queue_set set;
	bool queues_changed;
	int rc;

	if (peer->n_regions > VHOSTPCI_MAX_REGIONS ||
	    peer->n_rings > dev->n_rings)
		return -EINVAL;
	pthread_mutex_lock(&dev->lock);
	/* Do not count revocations from the time before this port. */
	if (dev->revoked == UINT64_MAX)
		dev->revoked = peer->generation;
	note_revoked(dev);
	set = concerned(dev, peer);
	if (!same_regions(&dev->peer, peer))
		vhostpci_move_begin(dev);
	rc = vhostpci_pause_queues(dev, set);
	if (rc != 0) {
		vhostpci_move_end(dev);
		pthread_mutex_unlock(&dev->lock);
		return rc;
	}
	apply(dev, peer);
	queues_changed = other_rings(dev, peer);
	announce(dev, peer);
	remember(dev, peer);
	dev->unsettled = false;
	dev->unshared &= peer->connected;
	dev->total.adoptions++;
	vhostpci_resume_queues(dev, set);
	vhostpci_move_end(dev);
	unlock_and_tell(dev, queues_changed);
	return 0;
}

/* A new ring stands at 0. It stands there again only after 65536 buffers; by
 * then the peer has moved long ago. */
bool
vhostpci_any_moved(const struct vhostpci_dev *dev)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		const struct vhostpci_ring *ring = &dev->rings[i];

		any |= vhostpci_ring_usable(ring) &&
			(ring->last != 0 || !vhostpci_is_idle(ring));
	}
	return any;
}

bool
vhostpci_peer_moved(struct vhostpci_dev *dev)
{
	bool moved;

	pthread_mutex_lock(&dev->lock);
	moved = vhostpci_any_moved(dev);
	pthread_mutex_unlock(&dev->lock);
	return moved;
}

void
vhostpci_peer_unshared(struct vhostpci_dev *dev)
{
	bool known;

	pthread_mutex_lock(&dev->lock);
	known = dev->unshared;
	dev->unshared = true;
	pthread_mutex_unlock(&dev->lock);
	if (!known)
		VHOSTPCI_PEER_LOG(dev, WARNING,
				  "peer %s: its guest does not use the memory that was sent: is it shared (share=on)?",
				  vhostpci_dev_label(dev));
}

void
vhostpci_dev_removed(struct vhostpci_dev *dev)
{
	bool link_changed;

	pthread_mutex_lock(&dev->lock);
	dev->removed = true;
	/* A burst that does not end in time finds run == 0 when it comes back;
	 * the transport keeps the memory mapped until close. */
	if (vhostpci_pause_all(dev) == 0)
		vhostpci_resume_all(dev);
	link_changed = vhostpci_update_link(dev);
	pthread_mutex_unlock(&dev->lock);

	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
	vhostpci_raise(dev, RTE_ETH_EVENT_INTR_RMV);
}

void
vhostpci_handle_broken(struct vhostpci_dev *dev)
{
	uint8_t rule[VHOSTPCI_MAX_RINGS];
	uint32_t epoch[VHOSTPCI_MAX_RINGS];
	bool link_changed;
	unsigned int i;

	pthread_mutex_lock(&dev->lock);
	note_revoked(dev);
	for (i = 0; i < dev->n_rings; i++) {
		rule[i] = note_broken(dev, i);
		epoch[i] = dev->rings[i].epoch;
	}
	link_changed = vhostpci_update_link(dev);
	pthread_mutex_unlock(&dev->lock);

	for (i = 0; i < dev->n_rings; i++) {
		if (rule[i] != VHOSTPCI_RULE_NONE)
			dev->transport.ops->broken(dev, i, epoch[i],
					vhostpci_rule_text(rule[i]));
	}
	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
}
