/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A port: its queues, its peer's rings, and how control stops the datapath.
 *
 * Quiescence. A queue's lists of rings, the rings' set-up and the peer's
 * memory table change only while no burst uses them:
 *
 *	burst					control
 *	  queue->in_burst = 1			  queue->run = 0
 *	  compiler barrier			  membarrier(PRIVATE_EXPEDITED)
 *	  if (queue->run) ... work ...		  wait until queue->in_burst == 0
 *	  queue->in_burst = 0 (release)		  (acquire), change, then
 *						  queue->run = 1 (release)
 *
 * The membarrier makes every running thread of the process execute a full
 * barrier between two of its instructions. Either that falls before the
 * burst's load of run, which then sees 0; or after it, and then the earlier
 * store to in_burst is visible to control, which waits. So the burst pays no
 * fence. Where the kernel lacks membarrier, `fence` (chosen once, at probe)
 * makes bursts execute the full barrier themselves.
 * The release of in_burst pairs with control's acquire: what the burst did is
 * over. The release of run pairs with the burst's acquire: it sees the change.
 */

#ifndef VHOSTPCI_DEV_H
#define VHOSTPCI_DEV_H

#include <pthread.h>

#include <sys/queue.h>

#include <ethdev_driver.h>

#include "vhostpci_intr.h"
#include "base/limit.h"
#include "port/attach.h"
#include "net/rxtx.h"
#include "net/variants.h"
#include "vring/queue.h"

/* Since creation; reset by baseline. */
struct vhostpci_totals {
	uint64_t rules[VHOSTPCI_N_RULES];
	uint64_t adoptions, timeouts, announced;
};

struct vhostpci_dev {
	/* control and ethdev exclude each other; never held in a burst. */
	pthread_mutex_t lock;
	struct rte_eth_dev *eth_dev;
	struct rte_ether_addr mac;
	bool fence;		/* constant: see above */
	struct vhostpci_transport transport;

	/* Below: rw under lock unless said otherwise. */
	bool started;
	bool admin_down;	/* rte_eth_dev_set_link_down() */
	bool removed;
	bool closed;
	bool stuck;		/* closed while a burst did not end */
	/* An adoption timed out: all queues stand still until the next adoption. */
	bool unsettled;
	uint16_t n_rxq, n_txq;
	/* Tx queues, by bit, of which a burst may still use another ring than
	 * rings[0]. */
	uint64_t tx_moved;
	uint16_t taken;		/* VHOSTPCI_OL_TAKE_*, VHOSTPCI_OL_LEGACY */
	bool tx_offloads;	/* the application asks for some */
	struct vhostpci_queue *rxq[VHOSTPCI_MAX_QUEUES];
	struct vhostpci_queue *txq[VHOSTPCI_MAX_QUEUES];

	struct vhostpci_peer peer;	/* as last adopted */
	/* rings: rw by datapath as vring/ring.h says. */
	struct vhostpci_mem mem;
	struct vhostpci_ring *rings;
	uint16_t n_rings;	/* constant: as many as the transport allows */

	/* vhostpci_broken.c: datapath: w true, EAL interrupt thread: rw. */
	bool has_broken;
	TAILQ_ENTRY(vhostpci_dev) next;
	/* Receive interrupts: an eventfd per rx queue, NULL without; and the
	 * queues that want them, by bit. */
	struct rte_intr_handle *rx_intr;
	uint64_t rx_intr_on;

	struct vhostpci_limit log_limit; /* own lock */
	struct vhostpci_limit link_ups;
	bool link_late;		/* an alarm will update the link */
	enum vhostpci_rule last_rule;
	struct vhostpci_totals total, base;
	struct vhostpci_counters *ring_base;	/* of each ring */
};

extern const struct eth_dev_ops vhostpci_ops;

/* vhostpci_pause.c */

/* Whether bursts need a fence. Registers the process for membarrier: at probe.
 */
bool vhostpci_needs_fence(void);
/* ethdev, lock held: no burst uses any queue any more. 0, or -ETIMEDOUT and
 * bursts go on as before. */
int vhostpci_pause_all(struct vhostpci_dev *dev);
/* ethdev, lock held, after vhostpci_pause_all(): give each queue its rings, and
 * let bursts go on if the device is started. */
void vhostpci_resume_all(struct vhostpci_dev *dev);

/* vhostpci_peer.c */

/* EAL interrupt thread: report rings that broke. */
void vhostpci_handle_broken(struct vhostpci_dev *dev);

/* vhostpci_broken.c */

/* ethdev: from now on vhostpci_broken_signal() leads to
 * vhostpci_handle_broken(). 0 or -errno. */
int vhostpci_broken_attach(struct vhostpci_dev *dev);
/* ethdev: vhostpci_handle_broken() does not run for @dev and is not called any
 * more. Not from within it. */
void vhostpci_broken_detach(struct vhostpci_dev *dev);
/* ethdev: after a detach, when nobody signals any more. */
void vhostpci_broken_release(void);
/* datapath or control: a ring of @dev has broken. */
void vhostpci_broken_signal(struct vhostpci_dev *dev);

/* Ring @i of @peer; one that is not there does not run. */
static inline const struct vhostpci_vring_desc *
vhostpci_peer_ring(const struct vhostpci_peer *peer, unsigned int i)
{
	static const struct vhostpci_vring_desc none;

	return peer->connected && i < peer->n_rings ? &peer->rings[i] : &none;
}

/* vhostpci_txmap.c; lock held. */

/* The tx queues that may not run while dev->peer becomes @peer, which has
 * another receive ring in each pair of @changed, by bit. */
uint64_t vhostpci_txmap_concerned(const struct vhostpci_dev *dev,
				  const struct vhostpci_peer *peer,
				  uint32_t changed);
/* With those stopped: give all tx queues their rings. Returns whether something
 * is left to vhostpci_txmap_settle(), once no burst is under way that began
 * before. */
bool vhostpci_txmap_assign(struct vhostpci_dev *dev);
void vhostpci_txmap_settle(struct vhostpci_dev *dev);

/* vhostpci_link.c */

void vhostpci_link_init(struct vhostpci_dev *dev);
/* Lock not held; nothing updates the link any more, or closed is set. */
void vhostpci_link_fini(struct vhostpci_dev *dev);
/* Lock held: set the ethdev's link from what is known; returns whether it
 * changed, and then the caller raises LSC with vhostpci_raise() after it
 * unlocked. A link that comes up too often does so later, by itself. */
bool vhostpci_update_link(struct vhostpci_dev *dev);
void vhostpci_raise(struct vhostpci_dev *dev, enum rte_eth_event_type event);

/* vhostpci_capa.c */

/* Which unfinished packets the application takes: VHOSTPCI_OL_*. */
uint16_t vhostpci_taken_offloads(const struct vhostpci_dev *dev,
				 uint64_t rx_offloads);
/* ethdev, lock held, no burst runs: let the rings go by @taken. */
void vhostpci_set_taken(struct vhostpci_dev *dev, uint16_t taken);
int vhostpci_infos_get(struct rte_eth_dev *eth_dev,
		       struct rte_eth_dev_info *info);

/* vhostpci_queue.c: as in struct eth_dev_ops. */
int vhostpci_rx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			    uint16_t n_desc, unsigned int socket_id,
			    const struct rte_eth_rxconf *conf,
			    struct rte_mempool *mp);
int vhostpci_tx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			    uint16_t n_desc, unsigned int socket_id,
			    const struct rte_eth_txconf *conf);
void vhostpci_rx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id);
void vhostpci_tx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id);
void vhostpci_rxq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_rxq_info *info);
void vhostpci_txq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_txq_info *info);
int vhostpci_rx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			       struct rte_eth_burst_mode *mode);
int vhostpci_tx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			       struct rte_eth_burst_mode *mode);

/* vhostpci_stats.c; a lock is taken inside where needed. */
int vhostpci_stats_get(struct rte_eth_dev *eth_dev, struct rte_eth_stats *s);
int vhostpci_stats_reset(struct rte_eth_dev *eth_dev);
int vhostpci_xstats_get(struct rte_eth_dev *eth_dev, struct rte_eth_xstat *x,
			unsigned int n);
int vhostpci_xstats_get_names(struct rte_eth_dev *eth_dev,
			      struct rte_eth_xstat_name *names,
			      unsigned int n);

#endif
