/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The map from tx queues to the peer's receive rings: of n rings that run,
 * queue q sends to the q % n-th. A peer starts its rings one after the other,
 * and uses the first rings meanwhile. The caller drops packets that a burst
 * does not send. So a queue stops only if its own ring changes; a queue that
 * moves to another ring keeps running.
 *
 * Each ring has a lock. Bursts take it if several queues may send to the ring:
 *
 *	control				burst
 *	  stop the queue of a ring to	  ring = queue->rings[0] (acquire)
 *	  which another one comes	  if (ring->shared) lock
 *	  unless it is shared already	  ... send ...
 *	  shared = true where needed	  unlock, if it locked
 *	  queue->rings[0] = ring
 *	  (release)
 *	  wait for all bursts to end
 *	  shared = false, where only
 *	  one queue is left
 *
 * The release pairs with the acquire: a burst that comes to a ring sees that
 * the ring is shared. A burst that still uses the ring which its queue has left
 * must end before that ring loses its lock, stops or starts again. If waiting
 * for such bursts takes too long, control remembers their queues (tx_moved),
 * and stops these queues, too, at the next change.
 */

#include "flow/inlet.h"
#include "port/port.h"
#include "port/txmap.h"

/* The pairs whose receive rings run, in order. */
struct pairs {
	unsigned int n;
	uint8_t at[VHOSTPCI_MAX_PAIRS];
};

/* By the state of the transport: a broken ring counts until it is stopped, and
 * bursts do not use it. */
static struct pairs
running(const struct vhostpci_peer *peer)
{
	struct pairs p = { 0 };
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_PAIRS; i++) {
		if (vhostpci_peer_ring(peer, 2 * i)->run)
			p.at[p.n++] = i;
	}
	return p;
}

/* Do several queues, or bursts of other ports, send to the @k-th of @n
 * rings? */
static bool
is_shared(const struct vhostpci_dev *dev, unsigned int k, unsigned int n)
{
	return k + n < dev->n_txq || vhostpci_inlet_used(dev->inlet);
}

/* The pairs, by bit, whose ring has no lock yet and gets another queue. The
 * queue that sends to the ring now must stop, even if it leaves the ring. */
static uint32_t
get_another(const struct vhostpci_dev *dev, const struct pairs *was,
	    const struct pairs *is)
{
	uint32_t set = 0;
	unsigned int q;

	for (q = 0; is->n > 0 && q < dev->n_txq; q++) {
		uint8_t to = is->at[q % is->n];

		if (was->at[q % was->n] != to && !dev->rings[2 * to].shared)
			set |= 1u << to;
	}
	return set;
}

uint64_t
vhostpci_txmap_concerned(const struct vhostpci_dev *dev,
			 const struct vhostpci_peer *peer, uint32_t changed)
{
	struct pairs was = running(&dev->peer), is = running(peer);
	uint64_t set = 0;
	unsigned int q;

	RTE_BUILD_BUG_ON(VHOSTPCI_MAX_PAIRS > 32);
	/* No ring runs. */
	if (was.n == 0)
		return is.n > 0 ? UINT64_MAX : 0;
	changed |= get_another(dev, &was, &is);
	if (changed != 0)
		set = dev->tx_moved;
	for (q = 0; q < dev->n_txq; q++) {
		if (changed >> was.at[q % was.n] & 1)
			set |= 1ULL << q;
	}
	return set;
}

void
vhostpci_txmap_share(struct vhostpci_dev *dev)
{
	struct pairs p = running(&dev->peer);
	unsigned int i;

	for (i = 0; i < p.n; i++)
		__atomic_store_n(&dev->rings[2 * p.at[i]].shared, true,
				 __ATOMIC_RELAXED);
}

bool
vhostpci_txmap_assign(struct vhostpci_dev *dev)
{
	struct pairs p = running(&dev->peer);
	bool left = false;
	unsigned int i;

	for (i = 0; i < p.n; i++) {
		struct vhostpci_ring *ring = &dev->rings[2 * p.at[i]];

		if (is_shared(dev, i, p.n))
			__atomic_store_n(&ring->shared, true, __ATOMIC_RELAXED);
		else
			left |= ring->shared;
	}
	for (i = 0; i < dev->n_txq; i++) {
		struct vhostpci_queue *queue = dev->txq[i];
		struct vhostpci_ring *to = p.n == 0 ? NULL :
			&dev->rings[2 * p.at[i % p.n]];

		if (queue == NULL)
			continue;
		if (queue->run && queue->rings[0] != to)
			dev->tx_moved |= 1ULL << i;
		queue->n_rings = p.n > 0;
		/* release: pairs with the acquire in a burst; see above. */
		__atomic_store_n(&queue->rings[0], to, __ATOMIC_RELEASE);
	}
	return left || dev->tx_moved != 0;
}

void
vhostpci_txmap_settle(struct vhostpci_dev *dev)
{
	struct pairs p = running(&dev->peer);
	unsigned int k;

	dev->tx_moved = 0;
	for (k = 0; k < p.n; k++) {
		if (!is_shared(dev, k, p.n))
			__atomic_store_n(&dev->rings[2 * p.at[k]].shared,
					 false, __ATOMIC_RELAXED);
	}
}
