/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Bursts of a queue: enter the queue, let its rings move packets, and leave.
 * vhostpci_ring_select() chooses the function of a ring when the ring starts.
 */

#include <rte_arp.h>

#include "flow/inlet.h"
#include "net/rxtx.h"
#include "net/steer.h"
#include "vring/layout.h"
#include "vring/queue.h"

/* The peer has moved and asks us to announce that: receive a RARP packet with
 * its address. */
static uint16_t
receive_announcement(struct vhostpci_queue *queue, uint64_t value,
		     struct rte_mbuf **pkts)
{
	struct rte_ether_addr addr;
	unsigned int i;

	for (i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		addr.addr_bytes[i] = value >> 8 * (RTE_ETHER_ADDR_LEN - 1 - i);
	pkts[0] = rte_net_make_rarp_packet(queue->mp, &addr);
	if (pkts[0] == NULL)
		return 0; /* no mbuf: the next burst tries again */
	/* Keep a later request that has come meanwhile. */
	__atomic_compare_exchange_n(&queue->announce, &value, 0, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	pkts[0]->port = queue->port;
	queue->announced++;
	return 1;
}

/* Rings take turns in being the first, so that a busy ring leaves room for the
 * others. A ring that takes long ends the burst: all rings of the queue belong
 * to the same peer. */
static __rte_always_inline uint16_t
rx_rings(struct vhostpci_queue *queue, struct vhostpci_steer *steer,
	 struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t done = 0, tried, at = queue->next;
	uint32_t walked = 0;

	for (tried = 0; tried < queue->n_rings && done < n &&
			walked < VHOSTPCI_RX_WALK; tried++) {
		struct vhostpci_ring *ring = queue->rings[at];

		if (likely(!ring->broken)) {
			done += steer != NULL ?
				ring->steer(ring, steer, pkts + done,
					    n - done) :
				ring->rx(ring, queue->mp, pkts + done,
					 n - done);
			walked = ring->walked;
		}
		at = at + 1 == queue->n_rings ? 0 : at + 1;
	}
	queue->next = at;
	return done;
}

/* As rx_rings(), for a port with rules. */
static __rte_noinline uint16_t
steer_rings(struct vhostpci_queue *queue, struct vhostpci_steering *steering,
	    struct rte_mbuf **pkts, uint16_t n)
{
	struct vhostpci_steer steer;
	uint16_t done;

	if (!vhostpci_steer_begin(&steer, steering, queue->mp))
		return rx_rings(queue, NULL, pkts, n);
	done = rx_rings(queue, &steer, pkts, n);
	vhostpci_steer_end(&steer);
	return done;
}

/* Not inline, so that polls that find nothing do not save its registers. */
static __rte_noinline uint16_t
receive(struct vhostpci_queue *queue, uint64_t announce, struct rte_mbuf **pkts,
	uint16_t n)
{
	struct vhostpci_steering *steering =
		__atomic_load_n(&queue->steering, __ATOMIC_ACQUIRE);
	uint16_t done = 0;

	if (unlikely(announce != 0))
		done = receive_announcement(queue, announce, pkts);
	if (steering != NULL)
		done += steer_rings(queue, steering, pkts + done, n - done);
	else
		done += rx_rings(queue, NULL, pkts + done, n - done);
	vhostpci_queue_leave(queue);
	return done;
}

uint16_t
vhostpci_rx_burst(void *rxq, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhostpci_queue *queue = rxq;
	uint64_t announce;

	if (unlikely(n == 0) || !vhostpci_queue_enter(queue))
		return 0;
	announce = __atomic_load_n(&queue->announce, __ATOMIC_RELAXED);
	/* Most polls of most ports end here. */
	if (queue->n_rings == 1 && announce == 0 &&
	    vhostpci_is_idle(queue->rings[0])) {
		vhostpci_queue_leave(queue);
		return 0;
	}
	return receive(queue, announce, pkts, n);
}

uint16_t
vhostpci_tx_burst(void *txq, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhostpci_queue *queue = txq;
	struct vhostpci_ring *ring;
	uint16_t done = 0;
	bool shared;

	if (unlikely(n == 0))
		return 0;
	if (unlikely(!vhostpci_queue_enter(queue)) &&
	    !vhostpci_queue_enter_moved(queue))
		return 0;
	/* acquire: pairs with the release in vhostpci_txmap_assign(). */
	ring = __atomic_load_n(&queue->rings[0], __ATOMIC_ACQUIRE);
	/* relaxed: the acquire orders. The value may change before the burst
	 * ends. */
	shared = __atomic_load_n(&ring->shared, __ATOMIC_RELAXED);
	vhostpci_inlet_note_queue(queue->inlet, queue->id);
	if (shared)
		rte_spinlock_lock(ring->lock);
	/* Look with the lock held, because a burst of another queue may just
	 * have broken the ring. */
	if (likely(!ring->broken))
		done = ring->tx(ring, pkts, n);
	if (shared)
		rte_spinlock_unlock(ring->lock);
	vhostpci_queue_leave(queue);
	return done;
}
