/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * One vring of the peer, of which we play the device side.
 *
 * The peer may write ring memory, and everything that it points to, at any time.
 * Therefore this code reads each field once, into a local, and uses the local.
 */

#ifndef VHOSTPCI_VRING_RING_H
#define VHOSTPCI_VRING_RING_H

#include <linux/virtio_ring.h>

#include <rte_spinlock.h>

#include "vring/mem.h"
#include "vring/rules.h"
#include "base/stamp.h"
#include "vring_find.h"

/* Bounds on what a peer may ask of us. */
#define VHOSTPCI_MAX_RING_SIZE	VHOST_PCI_MAX_RING_SIZE
/* Longest packet without its virtio-net header, bytes. */
#define VHOSTPCI_MAX_PKT_LEN	65535
/* Most descriptors in a chain; smaller rings allow fewer. DPDK's vhost has the same
 * limit, so peers that work with DPDK's vhost have no longer chains. Each
 * descriptor may name a page that is not there, so the chain needs a limit. A
 * packet that has taken this many descriptors begins no further chain. */
#define VHOSTPCI_MAX_CHAIN	256
/* A burst ends with the current packet after it has walked this many descriptors
 * in chains: the thread polls other ports as well, and a hostile peer must not
 * hold it up. The next burst receives the rest. Packets that a burst does not send
 * are lost, so the limit for sending is far above what any honest peer needs. */
#define VHOSTPCI_RX_WALK	256
#define VHOSTPCI_TX_WALK	1984

/* The classes of frame sizes are those of RMON and of applications: up to 64
 * bytes, up to 127, 255, 511, 1023, 1522, and more. */
#define VHOSTPCI_N_SIZES	7

/* datapath: w (one thread at a time), others: r, without tearing. Counters only
 * grow; for a reset, control remembers their values as a baseline. */
struct vhostpci_counters {
	uint64_t packets;
	uint64_t bytes;
	uint64_t calls;		/* signals to the peer */
	uint64_t calls_aside;	/* signals left to a thread: they take long */
	uint64_t kicks;		/* signals from the peer (rx interrupts) */
	uint64_t no_mbuf;	/* rx bursts cut short: mempool empty */
	uint64_t oversized;	/* dropped: does not fit the mbuf or buffers */
	uint64_t runt;		/* dropped: shorter than an Ethernet header */
	uint64_t unsupported;	/* dropped: an offload that the application or
				 * the peer cannot take */
	uint64_t full;		/* tx bursts cut short: no buffers offered */
	uint64_t retries;	/* tx: repeated looks for buffers */
	/* Kinds of packets; see vring/kinds.h. */
	uint64_t multicast, broadcast, sizes[VHOSTPCI_N_SIZES];
	uint64_t steered;	/* rx: packets that rules moved */
	uint64_t steer_full;	/* tx: dropped: steered to this full ring */
	uint64_t steer_lost;	/* rx: dropped: the destination port closed */
	uint64_t violations;	/* control: w */
#ifdef VHOSTPCI_STAMPS
#define CYCLES(stage) uint64_t cycles_##stage;
	VHOSTPCI_STAGES(CYCLES)
#undef CYCLES
#endif
};

struct rte_mbuf;
struct rte_mempool;
struct vhostpci_ring;
/* Move up to @n packets; returns how many were moved. One call is one burst. */
typedef uint16_t (*vhostpci_rx_t)(struct vhostpci_ring *ring,
				  struct rte_mempool *mp,
				  struct rte_mbuf **pkts, uint16_t n);
typedef uint16_t (*vhostpci_tx_t)(struct vhostpci_ring *ring,
				  struct rte_mbuf **pkts, uint16_t n);

/* Receive packets, and move those by rules that rules can move (net/steer.h). */
struct vhostpci_steer;
typedef uint16_t (*vhostpci_steer_t)(struct vhostpci_ring *ring,
				     struct vhostpci_steer *steer,
				     struct rte_mbuf **pkts, uint16_t n);
/* Send items from other peers' rings (flow/forward.h); the caller has the lock. */
struct vhostpci_item;
typedef void (*vhostpci_forward_t)(struct vhostpci_ring *ring,
				   const struct vhostpci_item *items,
				   uint16_t n);

struct vhostpci_ring {
	/* control: w while no burst uses the ring; datapath: r. */
	struct vring_desc *desc;	/* packed: the descriptor ring */
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	const struct vhostpci_mem *mem;
	union {
		vhostpci_rx_t rx;	/* odd index */
		vhostpci_tx_t tx;	/* even index */
	};
	union {
		vhostpci_steer_t steer;		/* odd index */
		vhostpci_forward_t forward;	/* even index */
	};
	volatile uint64_t *progress;	/* datapath: w */
	/* constant pointer: as in struct vhostpci_transport, never NULL. */
	const volatile uint64_t *revoked;
	uint64_t generation;		/* of the peer that started the ring */
	/* constant: the device of the ring; only signal() and report() know what
	 * is inside. Any thread may call these: signal() signals the peer that
	 * ring @i has used buffers, see base/transport.h; report() reports a
	 * broken ring. */
	struct vhostpci_dev *dev;
	rte_spinlock_t *lock;	/* constant; even index: tx takes it if shared */
	bool (*signal)(struct vhostpci_dev *dev, unsigned int i);
	void (*report)(struct vhostpci_dev *dev);
	uint32_t epoch;			/* 0: never started */
	uint16_t size;
	uint16_t port;			/* for mbufs */
	uint64_t rearm;			/* rx: of mbufs, see mbuf_init() */
	uint8_t index;
	uint8_t hdr_len;		/* of the virtio-net header */
	/* packed: the layout; indirect: the driver may use indirect tables;
	 * event_idx: event indices are negotiated; shared: several tx queues, or
	 * bursts of other ports, use the ring. */
	bool packed, indirect, event_idx, shared;
	bool trace;		/* packed: keep it traced (vring_find.h) */
	uint16_t tell_after;	/* rx: untold may reach this without a call */
	uint64_t features;
	uint16_t offload;		/* VHOSTPCI_OL_* */
	bool running;			/* set up; control: rw */
	bool call;			/* control: w at any time */
	/* rx: longest frame that is received in several mbufs; 0: no such frame.
	 * ethdev: w at any time */
	uint32_t scatter;

	/* datapath: rw; control: rw while no burst uses the ring. */
	struct vhostpci_region cache __rte_cache_aligned;
	/* The place of the ring. A ring is at rest outside one call of rx or tx:
	 * the next avail index then equals the next used index. Split: free
	 * running; packed: a descriptor, and the wrap counter. */
	uint16_t last;
	bool wrap;
	uint16_t end;		/* split: the avail index when last read */
	uint16_t guess;		/* split: the head that probably comes next */
	/* told, told_wrap: our place when we last called the driver, or found
	 * that it wanted no call. untold: chains (packed: descriptors) handed
	 * over since then. untold must stay below twice the ring's size, or
	 * packed_wants_call() takes one place for another. */
	bool told_wrap;
	uint16_t told;
	uint32_t untold;
	/* enum vhostpci_rule. datapath: w once; control: r, w 0 at start. */
	uint8_t broken;
	uint8_t reported;		/* control: rw */
	bool stalled;			/* the last tx burst found no buffer */
	uint32_t walked;		/* descriptors walked in this burst */
	struct vhostpci_counters count;
} __rte_cache_aligned;

/*
 * control: set @ring up as @vr describes, with @features, or return what is wrong
 * with the ring. No burst uses the ring. Sets every field except the constant
 * ones, shared, and the functions that net/variants.h chooses.
 */
enum vhostpci_rule vhostpci_ring_start(struct vhostpci_ring *ring,
				       const struct vhostpci_vring_desc *vr,
				       uint64_t features);
/* control: find the ring's memory again after the peer's memory table has changed.
 * No burst uses the ring. */
enum vhostpci_rule
vhostpci_ring_relocate(struct vhostpci_ring *ring,
		       const struct vhostpci_vring_desc *vr);

/*
 * control or ethdev, the port's lock held, the ring is set up: ask the peer for
 * a kick when the next buffer comes, or for no kicks. Ends with a full barrier, so
 * that a later vhostpci_is_idle() sees buffers that came without a kick.
 */
void vhostpci_ring_kicks(struct vhostpci_ring *ring, bool on);

/* control or ethdev: may bursts use the ring? */
static inline bool
vhostpci_ring_usable(const struct vhostpci_ring *ring)
{
	return ring->running && ring->broken == VHOSTPCI_RULE_NONE;
}

/* control or ethdev, no burst uses the ring: make the call that a burst left to a
 * later burst, because no later burst may come. */
void vhostpci_ring_make_call(struct vhostpci_ring *ring);

static __rte_always_inline bool
vhostpci_ring_is_rx(const struct vhostpci_ring *ring)
{
	return ring->index & 1;	/* the peer's transmit queue */
}

/*
 * Has the ring lost its memory? If not, data that the caller has read from the
 * memory before (with a load barrier after the read) certainly comes from the
 * peer: the device stores revoked before it takes the memory away.
 */
static __rte_always_inline bool
vhostpci_ring_is_revoked(const struct vhostpci_ring *ring)
{
	return __atomic_load_n(ring->revoked, __ATOMIC_RELAXED) >
		ring->generation;
}

/* datapath or control: stop using @ring because of @rule. If the ring is revoked,
 * that is the reason instead. */
void vhostpci_ring_stop(struct vhostpci_ring *ring, enum vhostpci_rule rule);

/* datapath: the same. If the peer uses memory that is not known yet, the ring waits
 * for a state instead. Not for a ring that could not be set up: it must not go
 * on with the next state. */
void vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule);

/* datapath: the ring is revoked. Publish the true place instead of the announced
 * one: we have handed over everything before @used, and nothing after @avail. */
void vhostpci_withdraw(struct vhostpci_ring *ring, uint16_t avail,
		       uint16_t used);

/* datapath or control: signal the peer, even if it wants no call. */
void vhostpci_ring_call(struct vhostpci_ring *ring);

/*
 * datapath: publish where the ring stands, for the next driver: @avail and @used
 * as in VHOST_USER_GET_VRING_BASE, in one 64-bit store. A split ring, and any ring
 * at rest, has one place only. The next driver reads this when the bursts of this
 * process are over. release: if this process is killed, the next driver must have
 * seen this store in the order of the code, between the stores to the ring (see
 * resume_packed()). The device reads this at any time, when it revokes memory: see
 * vhostpci_announce().
 */
static __rte_always_inline void
vhostpci_ring_publish(const struct vhostpci_ring *ring, uint16_t avail,
		      uint16_t used)
{
	uint64_t value = (uint64_t)ring->epoch << 32 | avail;

	if (ring->packed)
		value |= (uint32_t)used << 16;
	__atomic_store_n(ring->progress, value, __ATOMIC_RELEASE);
}

#endif
