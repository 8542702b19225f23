/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * One vring of the peer, of which we play the device side.
 *
 * Ring memory and everything it points to is written by the peer at any time:
 * each field is read once, into a local, and only the local is looked at.
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
/* Most descriptors in a chain; less for smaller rings. As in DPDK's vhost, so no
 * peer of its has more; each may stand for a page that is not there. A packet
 * over several chains begins none once it has taken as many. */
#define VHOSTPCI_MAX_CHAIN	256
/* Descriptors walked in chains after which a burst ends with the packet at hand:
 * a hostile peer may not keep a thread that polls other ports as well. What was
 * not received comes with the next burst; what was not sent is lost, so that
 * limit is one that no honest peer's buffers come near. */
#define VHOSTPCI_RX_WALK	256
#define VHOSTPCI_TX_WALK	1984

/* Sizes of frames are counted as RMON and applications do: up to 64 bytes, to
 * 127, 255, 511, 1023, 1522, and more. */
#define VHOSTPCI_N_SIZES	7

/* datapath: w (one thread at a time), others: r, without tearing. Only ever
 * grow; a reset is a baseline kept by control. */
struct vhostpci_counters {
	uint64_t packets;
	uint64_t bytes;
	uint64_t calls;		/* signals to the peer */
	uint64_t calls_aside;	/* ... left to a thread: they take long */
	uint64_t kicks;		/* signals from the peer (rx interrupts) */
	uint64_t no_mbuf;	/* rx bursts cut short: mempool empty */
	uint64_t oversized;	/* dropped: does not fit the mbuf or buffers */
	uint64_t runt;		/* dropped: shorter than an Ethernet header */
	uint64_t unsupported;	/* dropped: an offload that the application or
				 * the peer cannot take */
	uint64_t full;		/* tx bursts cut short: no buffers offered */
	uint64_t retries;	/* tx: looks again for buffers */
	/* Of packets; see vring/kinds.h. */
	uint64_t multicast, broadcast, sizes[VHOSTPCI_N_SIZES];
	uint64_t steered;	/* rx: of packets, those that rules moved */
	uint64_t steer_full;	/* tx: dropped: steered here, and no room */
	uint64_t steer_lost;	/* rx: steered to a port that closed then */
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
/* Move up to @n packets; returns how many. One call a burst. */
typedef uint16_t (*vhostpci_rx_t)(struct vhostpci_ring *ring,
				  struct rte_mempool *mp,
				  struct rte_mbuf **pkts, uint16_t n);
typedef uint16_t (*vhostpci_tx_t)(struct vhostpci_ring *ring,
				  struct rte_mbuf **pkts, uint16_t n);

/* Receive, and move by rules what can be (net/steer.h). */
struct vhostpci_steer;
typedef uint16_t (*vhostpci_steer_t)(struct vhostpci_ring *ring,
				     struct vhostpci_steer *steer,
				     struct rte_mbuf **pkts, uint16_t n);
/* Send items from other peers' rings (flow/forward.h), with the lock. */
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
	/* constant: whose ring it is, which only these two know more of. Any
	 * thread: signal the peer that ring @i has used buffers, see
	 * base/transport.h; say that a ring has broken. */
	struct vhostpci_dev *dev;
	rte_spinlock_t *lock;	/* constant; even index: taken by tx if shared */
	bool (*signal)(struct vhostpci_dev *dev, unsigned int i);
	void (*report)(struct vhostpci_dev *dev);
	uint32_t epoch;			/* 0: never started */
	uint16_t size;
	uint16_t port;			/* for mbufs */
	uint64_t rearm;			/* rx: of mbufs, see mbuf_init() */
	uint8_t index;
	uint8_t hdr_len;		/* of the virtio-net header */
	/* Layout; driver may use indirect tables; negotiated event indices;
	 * several tx queues, or other ports' bursts, share the ring. */
	bool packed, indirect, event_idx, shared;
	bool trace;		/* packed: keep it traced (vring_find.h) */
	uint16_t tell_after;	/* rx: most of untold that may wait for a call */
	uint64_t features;
	uint16_t offload;		/* VHOSTPCI_OL_* */
	bool running;			/* set up; control: rw */
	bool call;			/* control: w at any time */
	/* rx: the longest frame to be received in several mbufs, 0: none.
	 * ethdev: w at any time */
	uint32_t scatter;

	/* datapath: rw; control: rw while no burst uses the ring. */
	struct vhostpci_region cache __rte_cache_aligned;
	/* Next avail index == next used index: a ring at rest, and we are only
	 * ever not at rest inside one call of rx or tx. Split: free running;
	 * packed: a descriptor, and the wrap counter. */
	uint16_t last;
	bool wrap;
	uint16_t end;		/* split: the avail index as last read */
	uint16_t guess;		/* split: which head may come next */
	/* Where we stood when the driver was last called or found not to want
	 * it, and what was handed over since: chains, packed: descriptors. Of
	 * those no more than fit twice into the ring, or packed_wants_call()
	 * takes one place for another. */
	bool told_wrap;
	uint16_t told;
	uint32_t untold;
	/* enum vhostpci_rule. datapath: w once; control: r, w 0 at start. */
	uint8_t broken;
	uint8_t reported;		/* control: rw */
	bool stalled;			/* the last tx burst found no buffer */
	uint32_t walked;		/* descriptors, by chain, in a burst */
	struct vhostpci_counters count;
} __rte_cache_aligned;

/*
 * control: set @ring up as @vr describes, with @features, or say what is wrong
 * with it. No burst uses the ring. Sets everything but what is constant, shared
 * and what the bursts choose (net/variants.h).
 */
enum vhostpci_rule vhostpci_ring_start(struct vhostpci_ring *ring,
				       const struct vhostpci_vring_desc *vr,
				       uint64_t features);
/* control: find the ring's memory again after the peer's memory table changed.
 * No burst uses the ring. */
enum vhostpci_rule
vhostpci_ring_relocate(struct vhostpci_ring *ring,
		       const struct vhostpci_vring_desc *vr);

/*
 * control or ethdev, the port's lock held, the ring is set up: ask the peer for
 * a kick when the next buffer comes, or for none. Ends with a full barrier, so
 * that vhostpci_is_idle() after it sees what came without a kick.
 */
void vhostpci_ring_kicks(struct vhostpci_ring *ring, bool on);

/* control or ethdev: may bursts use the ring? */
static inline bool
vhostpci_ring_usable(const struct vhostpci_ring *ring)
{
	return ring->running && ring->broken == VHOSTPCI_RULE_NONE;
}

/* control or ethdev, no burst uses the ring: make the call that bursts left to
 * later bursts, of which there may be none now. */
void vhostpci_ring_make_call(struct vhostpci_ring *ring);

static __rte_always_inline bool
vhostpci_ring_is_rx(const struct vhostpci_ring *ring)
{
	return ring->index & 1;	/* the peer's transmit queue */
}

/*
 * Did the ring lose its memory? What the caller read from it before, and a load
 * barrier behind that, is the peer's for certain if not: whoever takes the memory
 * away says so first.
 */
static __rte_always_inline bool
vhostpci_ring_is_revoked(const struct vhostpci_ring *ring)
{
	return __atomic_load_n(ring->revoked, __ATOMIC_RELAXED) >
		ring->generation;
}

/* datapath: stop using @ring because of @rule; or, if the ring is revoked,
 * because of that. */
void vhostpci_ring_break(struct vhostpci_ring *ring, enum vhostpci_rule rule);

/* datapath: the ring is revoked. Of what was announced nothing behind @avail is
 * handed over, and all before @used was: to be published. */
void vhostpci_withdraw(struct vhostpci_ring *ring, uint16_t avail,
		       uint16_t used);

/* datapath or control: signal the peer, whatever it asked for. */
void vhostpci_ring_call(struct vhostpci_ring *ring);

/*
 * datapath: where the ring stands, for whoever comes next: @avail and @used as
 * in VHOST_USER_GET_VRING_BASE, in one 64-bit store. A split ring and one at
 * rest stand at one place. A later driver only reads it when this process's
 * bursts are over; release: for one that was killed, the store has to come
 * between those to the ring as the code has it (see resume_packed()). The device
 * reads it at any time, when it revokes: see vhostpci_announce().
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
