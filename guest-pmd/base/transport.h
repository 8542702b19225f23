/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The contract between a transport and a port.
 *
 * A transport (pci, socket) learns what the peer looks like and hands it to
 * vhostpci_peer_adopt() (port/attach.h) as one struct vhostpci_peer. Rings and
 * ports do not know where it came from; a transport does not know rings.
 *
 * Threads:
 *   datapath  an lcore in rx_burst/tx_burst
 *   control   the transport's thread: the EAL interrupt thread
 *   ethdev    whoever calls ethdev ops (OVS main thread)
 * control and ethdev exclude each other by vhostpci_dev.lock. The datapath
 * takes no such lock: see "Quiescence" in vring/queue.h.
 */

#ifndef VHOSTPCI_BASE_TRANSPORT_H
#define VHOSTPCI_BASE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "vhost_pci.h"

/* The contracts' bounds are the driver's: no table of one is copied into a
 * smaller one of the other. */
#define VHOSTPCI_MAX_REGIONS	VHOST_PCI_MAX_REGIONS
#define VHOSTPCI_MAX_RINGS	VHOST_PCI_MAX_RINGS
#define VHOSTPCI_NAME_LEN	VHOST_PCI_PEER_NAME_LEN

struct vhostpci_dev;

/* The peer's memory as this process sees it. Immutable once adopted. */
struct vhostpci_region {
	uint64_t gpa;	/* peer guest-physical address of its start */
	uint64_t size;	/* bytes */
	uint8_t *addr;	/* of its start, in this process */
};

/* One vring as the transport describes it. Guest-physical addresses, not yet
 * checked against memory: the rings do that. */
struct vhostpci_vring_desc {
	uint64_t desc, avail, used;
	uint32_t base;		/* as in VHOST_USER_GET_VRING_BASE */
	uint32_t epoch;		/* a new one: set up anew */
	uint16_t num;
	bool run;
	bool call;		/* the peer listens for calls */
};

/* Everything about the peer, level triggered. transport: w. */
struct vhostpci_peer {
	/* Grows; what *transport.revoked is compared with. 0 without that. */
	uint64_t generation;
	uint64_t features;	/* virtio bits acknowledged by the peer */
	bool connected;
	uint16_t mtu;		/* 0: not told */
	uint16_t rarp_count;
	struct rte_ether_addr rarp_mac;
	uint16_t n_regions;
	uint16_t n_rings;
	int8_t numa_node;	/* of its memory; -1: unknown */
	struct vhostpci_region regions[VHOSTPCI_MAX_REGIONS];
	struct vhostpci_vring_desc *rings;	/* whoever filled this owns them */
};

/* How the memory window is mapped, for status and logs. */
enum vhostpci_window_type {
	VHOSTPCI_WINDOW_UNKNOWN = 0,
	VHOSTPCI_WINDOW_WB,	/* write-back: full speed */
	VHOSTPCI_WINDOW_UC,	/* uncached: works, slow */
	VHOSTPCI_WINDOW_SHM,	/* ordinary shared memory (socket transport) */
};

struct vhostpci_transport_ops {
	const char *name;	/* "pci", "socket" */
	/*
	 * datapath, or control or ethdev with dev->lock held, at the same time
	 * perhaps: signal the peer that ring @i has used buffers. A burst calls
	 * it once for each 32 packets at most, for a ring with .call set.
	 * Never waits. Returns whether the call is made later, by a thread,
	 * because the ring's calls take long.
	 */
	bool (*call)(struct vhostpci_dev *dev, unsigned int i);
	/*
	 * EAL interrupt thread, outside any lock of the driver and outside
	 * vhostpci_peer_adopt(): ring @i was stopped because the peer broke
	 * @rule (static storage). Called once per start of a ring; @epoch is
	 * that start's, as it may have been started again since.
	 */
	void (*broken)(struct vhostpci_dev *dev, unsigned int i,
		       uint32_t epoch, const char *rule);
	/* control or ethdev, dev->lock held: watch, or no longer, for the
	 * peer's kicks of ring @i, running or not, and report them with
	 * vhostpci_intr_kicked(). NULL: there is nothing to watch. */
	void (*kick_intr)(struct vhostpci_dev *dev, unsigned int i, bool on);
	/* ethdev, dev->lock held: from now on a kick of ring @i signals the
	 * eventfd fds[i], past the driver; -1, and rings from @n on: none.
	 * NULL: kicks are watched, or there are none. 0; -ENOTSUP, having
	 * logged why, and nothing is signalled; or another -errno, and the
	 * port is of no use. */
	int (*kick_fds)(struct vhostpci_dev *dev, const int *fds,
			unsigned int n);
	/* ethdev: stop control (no vhostpci_peer_adopt() runs or comes after
	 * this), unmap everything, free the transport's part. No burst runs
	 * any more, unless vhostpci_dev_is_stuck(): then everything that a
	 * burst may use stays. Called without a lock of the driver held. */
	void (*close)(struct vhostpci_dev *dev);
};

/*
 * What a transport fills in before it registers a device with
 * vhostpci_ethdev_create().
 */
struct vhostpci_transport {
	const struct vhostpci_transport_ops *ops;
	void *priv;
	char peer_name[VHOSTPCI_NAME_LEN];
	uint8_t peer_uuid[16];
	/* Where the peer is found: a path, a PCI address. Constant, valid as
	 * long as the device. */
	const char *place;
	uint16_t function;	/* which of the peer's devices, from 0 */
	uint32_t functions;	/* bit f: the peer has a network device f now */
	uint16_t max_queue_pairs;
	uint64_t offered_features;	/* virtio bits offered to the peer */
	enum vhostpci_window_type window_type;
	/* Offloads of received packets are told by RTE_MBUF_F_TX_* flags, to
	 * applications that expect what net_vhost does with the argument of
	 * that name. */
	bool legacy_ol_flags;
	/*
	 * Where the datapath publishes each ring's progress in a burst:
	 * one 64-bit store of epoch << 32 | base to progress[i * stride].
	 * Survives this process on the pci transport.
	 */
	volatile uint64_t *progress;
	unsigned int progress_stride;	/* in uint64_t */
	/*
	 * Rings that a peer of a generation below *revoked runs have lost their
	 * memory, or are about to (doc/device-spec.md, section 7). Somebody else
	 * writes it at any time. NULL: that does not happen.
	 */
	const volatile uint64_t *revoked;
};

#endif
