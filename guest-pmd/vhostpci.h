/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * net_vhostpci: what the rooms of the driver share.
 *
 * A transport (pci, socket) learns what the peer looks like and hands it to
 * vhostpci_peer_adopt() as one struct vhostpci_peer. The rings and the ethdev
 * shell know nothing of where it came from; the transport knows nothing of
 * rings.
 *
 * Threads:
 *   datapath  an lcore in rx_burst/tx_burst
 *   control   the transport's thread: the EAL interrupt thread
 *   ethdev    whoever calls ethdev ops (OVS main thread)
 * control and ethdev exclude each other by vhostpci_dev.lock. The datapath
 * takes no lock: see "Quiescence" in vhostpci_dev.h.
 */

#ifndef VHOSTPCI_H
#define VHOSTPCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ether.h>
#include <rte_log.h>

#define VHOSTPCI_MAX_REGIONS	32
#define VHOSTPCI_MAX_RINGS	60
#define VHOSTPCI_NAME_LEN	64

struct rte_eth_dev;
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
	uint64_t features;	/* virtio bits acknowledged by the peer */
	bool connected;
	uint16_t mtu;		/* 0: not told */
	uint16_t rarp_count;
	struct rte_ether_addr rarp_mac;
	uint16_t n_regions;
	uint16_t n_rings;
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
	 */
	void (*call)(struct vhostpci_dev *dev, unsigned int i);
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
	uint16_t max_queue_pairs;
	uint64_t offered_features;	/* virtio bits offered to the peer */
	enum vhostpci_window_type window_type;
	/* Offloads of received packets are told by RTE_MBUF_F_TX_* flags, to
	 * applications that expect what net_vhost does with the argument of
	 * that name. */
	bool legacy_ol_flags;
	/*
	 * Where the datapath publishes each ring's progress after a burst:
	 * one 64-bit store of epoch << 32 | base to progress[i * stride].
	 * Survives this process on the pci transport.
	 */
	volatile uint64_t *progress;
	unsigned int progress_stride;	/* in uint64_t */
};

/*
 * ethdev: virtio feature bits that the rings of this build can serve; a
 * transport offers a subset. Bits that mean nothing to a ring (control queue,
 * MTU, ...) are among them.
 */
uint64_t vhostpci_supported_features(void);

/*
 * control: adopt @peer. Returns when no burst uses the previous state any
 * more, its progress is published, and the caller may unmap what @peer no
 * longer has. Raises link events as needed. Takes dev->lock.
 * Returns 0, or -ETIMEDOUT when a burst did not end within
 * VHOSTPCI_QUIESCE_MS (the old memory must then stay mapped; call again).
 * A ring or feature set that cannot be served is left stopped, counted and
 * logged; that is not an error of this call.
 */
int vhostpci_peer_adopt(struct vhostpci_dev *dev,
			const struct vhostpci_peer *peer);
#define VHOSTPCI_QUIESCE_MS	90

/*
 * Make an ethdev of a transport. @eth_dev was allocated by the bus glue (PCI:
 * rte_eth_dev_pci_generic_probe or equivalent; vdev: rte_eth_vdev_allocate),
 * its dev_private has room for vhostpci_dev_size() zeroed bytes. Returns the
 * device or NULL with rte_errno (ENOTSUP: built for another DPDK release, or a
 * secondary process); the caller then releases the port. Copies *@transport.
 * The caller calls rte_eth_dev_probing_finish() (PCI: the generic probe does)
 * and may call vhostpci_peer_adopt() from the return of this call on. The
 * ethdev is closed through eth_dev->dev_ops, which calls ops->close().
 */
size_t vhostpci_dev_size(void);
struct vhostpci_dev *
vhostpci_ethdev_create(struct rte_eth_dev *eth_dev,
		       const struct vhostpci_transport *transport);
/* For a probe that fails after vhostpci_ethdev_create(): undo it. The caller
 * releases the port and what is its own; ops->close() is not called. */
void vhostpci_ethdev_abandon(struct vhostpci_dev *dev);
/* For bus remove callbacks: stop, close and release the port. Does nothing
 * for a port that the application has closed already. 0 or -errno. */
int vhostpci_ethdev_destroy(struct rte_eth_dev *eth_dev);
/* The device's copy: a transport may change window_type in it, in control. */
struct vhostpci_transport *vhostpci_dev_transport(struct vhostpci_dev *dev);
/* For log lines: the peer's name, or the ethdev's while that is unknown. */
const char *vhostpci_dev_label(const struct vhostpci_dev *dev);
/* For ops->close(): a burst does not end. */
bool vhostpci_dev_is_stuck(const struct vhostpci_dev *dev);
/* control: the device disappeared (surprise removal): raise RMV. */
void vhostpci_dev_removed(struct vhostpci_dev *dev);

/* Logging: one dynamic log type, "pmd.net.vhostpci". */
extern int vhostpci_logtype;
#define VHOSTPCI_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_ ## level, vhostpci_logtype, \
		"net_vhostpci: " fmt "\n", ## __VA_ARGS__)
/* Lines that a peer can cause at will: only so many of them, per port. Any
 * thread but the datapath. */
bool vhostpci_dev_may_log(struct vhostpci_dev *dev);
#define VHOSTPCI_PEER_LOG(dev, level, fmt, ...) \
	do { \
		if (rte_log_can_log(vhostpci_logtype, RTE_LOG_ ## level) && \
		    vhostpci_dev_may_log(dev)) \
			VHOSTPCI_LOG(level, fmt, ## __VA_ARGS__); \
	} while (0)

#endif
