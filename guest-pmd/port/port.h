/* SPDX-License-Identifier: BSD-3-Clause */

/* A port: its queues and its peer's rings. */

#ifndef VHOSTPCI_PORT_PORT_H
#define VHOSTPCI_PORT_PORT_H

#include <pthread.h>

#include <sys/queue.h>

#include <ethdev_driver.h>

#include "base/limit.h"
#include "flow/key.h"
#include "port/attach.h"
#include "vring/queue.h"

struct vhostpci_flow_table;
struct vhostpci_inlet;
struct vhostpci_steering;

/* Counters since creation; a reset stores a baseline. */
struct vhostpci_totals {
	uint64_t rules[VHOSTPCI_N_RULES];
	uint64_t adoptions, timeouts, announced, revocations;
	uint64_t misses[VHOSTPCI_FLOW_N_MISSES];	/* base only */
};

struct vhostpci_dev {
	/* control and ethdev exclude each other; never held in a burst. */
	pthread_mutex_t lock;
	struct rte_eth_dev *eth_dev;
	struct rte_ether_addr mac;
	bool fence;		/* constant: see vring/queue.h */
	struct vhostpci_transport transport;

	/* Below: rw under lock unless said otherwise. */
	bool started;
	bool admin_down;	/* rte_eth_dev_set_link_down() */
	bool removed;
	bool has_flows;		/* the port has, or had, a rule */
	bool no_steering;	/* rules stay, but move no packets */
	bool closed;
	bool unshared;		/* see vhostpci_peer_unshared() */
	bool stuck;		/* closed while a burst did not end */
	/* An adoption timed out: all queues stay stopped until the next one. */
	bool unsettled;
	uint16_t n_rxq, n_txq;
	/* Tx queues, by bit: a burst may still use a ring other than the queue's
	 * rings[0]. */
	uint64_t tx_moved;
	uint16_t taken;		/* VHOSTPCI_OL_TAKE_*, VHOSTPCI_OL_LEGACY */
	bool tx_offloads;	/* the application enabled tx offloads */
	struct vhostpci_queue *rxq[VHOSTPCI_MAX_QUEUES];
	struct vhostpci_queue *txq[VHOSTPCI_MAX_QUEUES];

	struct vhostpci_peer peer;	/* the last adopted state */
	/* The last value read of *transport.revoked; UINT64_MAX: no state yet */
	uint64_t revoked;
	/* rings: rw by datapath as vring/ring.h says. */
	struct vhostpci_mem mem;
	struct vhostpci_ring *rings;
	uint16_t n_rings;	/* constant: as many as the transport allows */

	/* port/broken.c: datapath: w true, EAL interrupt thread: rw. */
	bool has_broken;
	TAILQ_ENTRY(vhostpci_dev) next;
	/* Receive interrupts: an eventfd for each rx queue, or NULL; and the
	 * queues that enabled them, by bit. */
	struct rte_intr_handle *rx_intr;
	uint64_t rx_intr_on;

	struct vhostpci_limit log_limit; /* own lock */
	struct vhostpci_limit link_ups, queue_changes;
	bool alarm;		/* an alarm will update the link */
	bool queues_late;	/* the alarm will also raise QUEUE_STATE */
	/* Constant while the port is open; each has its own lock: the port's
	 * rules, the steering state of each rx queue, and the port as a
	 * destination of rules. */
	struct vhostpci_flow_table *flows;
	struct vhostpci_steering *steering;
	struct vhostpci_inlet *inlet;
	enum vhostpci_rule last_rule;
	struct vhostpci_totals total, base;
	struct vhostpci_counters *ring_base;	/* of each ring */
};

/* Ring @i of @peer; a missing ring does not run. */
static inline const struct vhostpci_vring_desc *
vhostpci_peer_ring(const struct vhostpci_peer *peer, unsigned int i)
{
	static const struct vhostpci_vring_desc none;

	return peer->connected && i < peer->n_rings ? &peer->rings[i] : &none;
}

#endif
