/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The contract between a transport and a port.
 *
 * A transport (pci, socket) learns the state of the peer and hands it to
 * vhostpci_peer_adopt() (port/attach.h) as one struct vhostpci_peer. Rings and
 * ports do not know the transport; a transport does not know the rings.
 *
 * Threads:
 *   datapath  an lcore in rx_burst/tx_burst
 *   control   the transport's thread: the EAL interrupt thread
 *   ethdev    any thread that calls ethdev ops (OVS main thread)
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

/* The driver has the bounds of both contracts (vhost-user and vhost-pci), so it
 * never copies a table into a smaller one. */
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

/* One vring as the transport describes it. The addresses are guest-physical; the
 * rings, not the transport, check them against the peer's memory. */
struct vhostpci_vring_desc {
	uint64_t desc, avail, used;
	uint32_t base;		/* as in VHOST_USER_GET_VRING_BASE */
	uint32_t epoch;		/* changes when the ring is set up anew */
	uint16_t num;
	bool run;
	bool call;		/* the peer listens for calls */
};

/* Everything about the peer, level triggered. transport: w. */
struct vhostpci_peer {
	/* Only grows; the rings compare it with *transport.revoked. 0 if the
	 * transport has no revoked. */
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
	struct vhostpci_vring_desc *rings;	/* the transport owns these */
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
	 * datapath, or control or ethdev with dev->lock held, perhaps at the same
	 * time: signal the peer that ring @i has used buffers. A burst calls this
	 * at most once for each 32 packets, and only for a ring with .call set.
	 * Never waits. Returns true if a thread signals the peer later, because
	 * signals of this ring take long.
	 */
	bool (*call)(struct vhostpci_dev *dev, unsigned int i);
	/*
	 * EAL interrupt thread, outside any lock of the driver and outside
	 * vhostpci_peer_adopt(): ring @i was stopped because the peer broke
	 * @rule (static storage). Called at most once per start of a ring;
	 * @epoch names the start, because the ring may have started again since.
	 */
	void (*broken)(struct vhostpci_dev *dev, unsigned int i,
		       uint32_t epoch, const char *rule);
	/* control or ethdev, dev->lock held: begin or stop to watch for the
	 * peer's kicks of ring @i, running or not, and report the kicks with
	 * vhostpci_intr_kicked(). NULL: the transport watches no kicks. */
	void (*kick_intr)(struct vhostpci_dev *dev, unsigned int i, bool on);
	/* ethdev, dev->lock held: from now on a kick of ring @i signals the
	 * eventfd fds[i] without the driver; fds[i] == -1, and rings from @n on:
	 * no eventfd. NULL: the transport watches kicks, or has none. Returns 0;
	 * -ENOTSUP: kicks signal nothing, and the transport has logged why;
	 * another -errno: the port is unusable. */
	int (*kick_fds)(struct vhostpci_dev *dev, const int *fds,
			unsigned int n);
	/* ethdev: stop control (no vhostpci_peer_adopt() runs during or after
	 * this), unmap everything, free the transport's part. No burst runs any
	 * more, unless vhostpci_dev_is_stuck(): then everything that a burst may
	 * use stays mapped and allocated. The caller holds no lock of the
	 * driver. */
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
	/* The place of the peer: a path, or a PCI address. Constant, valid as
	 * long as the device exists. */
	const char *place;
	uint16_t function;	/* which of the peer's devices, from 0 */
	uint32_t functions;	/* bit f: the peer has a network device f now */
	uint16_t max_queue_pairs;
	uint64_t offered_features;	/* virtio bits offered to the peer */
	enum vhostpci_window_type window_type;
	/* Received packets show their offloads by RTE_MBUF_F_TX_* flags, for
	 * applications that expect the behaviour of net_vhost with the argument
	 * of the same name. */
	bool legacy_ol_flags;
	/*
	 * The datapath publishes each ring's progress here in a burst: one 64-bit
	 * store of epoch << 32 | base to progress[i * stride]. On the pci
	 * transport this memory survives the process.
	 */
	volatile uint64_t *progress;
	unsigned int progress_stride;	/* in uint64_t */
	/*
	 * Rings that run by a peer's state with a generation below *revoked have
	 * lost their memory, or are about to lose it (doc/device-spec.md, section
	 * 7). The device may write *revoked at any time. NULL: the transport
	 * never revokes memory.
	 */
	const volatile uint64_t *revoked;
	/*
	 * The peer uses the memory of states up to this generation, whether the
	 * driver has adopted them or not. The device may write *grown at any time.
	 * NULL: the transport lets no peer use memory before the driver knows it.
	 */
	const volatile uint64_t *grown;
};

#endif
