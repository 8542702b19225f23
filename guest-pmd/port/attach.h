/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a port does for its transport: it is made, told of its peer, asked,
 * and taken apart. Threads: see base/transport.h.
 */

#ifndef VHOSTPCI_PORT_ATTACH_H
#define VHOSTPCI_PORT_ATTACH_H

#include "base/log.h"
#include "base/transport.h"

struct rte_eth_dev;

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

/* For a probe: may this process have the port @name? Rings, peer memory and the
 * thread that serves the peer are the primary's: a secondary process is told so
 * in its log, and not served. */
bool vhostpci_is_primary(const char *name);
/* Was the driver built for the DPDK that loaded it? An ethdev driver is bound to
 * the layout of one release's structures. If not, that is logged. */
bool vhostpci_is_right_release(void);

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
/* The device's copy: a transport may change window_type and functions in it, in
 * control. */
struct vhostpci_transport *vhostpci_dev_transport(struct vhostpci_dev *dev);
/* The port as EAL knows it. */
struct rte_eth_dev *vhostpci_dev_ethdev(const struct vhostpci_dev *dev);
/* For log lines: the peer's name, or the ethdev's while that is unknown. */
const char *vhostpci_dev_label(const struct vhostpci_dev *dev);
/* For ops->close(): a burst does not end. */
bool vhostpci_dev_is_stuck(const struct vhostpci_dev *dev);
/* control: has any ring that runs anything to receive or to send into, or had it?
 * Not where the guest's memory is not the memory that we map. */
bool vhostpci_peer_moved(struct vhostpci_dev *dev);
/* control: it is not, as kicks show: say so, once until the peer's rings change. */
void vhostpci_peer_unshared(struct vhostpci_dev *dev);
/* control: the peer kicked ring @i. Takes dev->lock. */
void vhostpci_intr_kicked(struct vhostpci_dev *dev, unsigned int i);

/* control: the device disappeared (surprise removal): raise RMV. */
void vhostpci_dev_removed(struct vhostpci_dev *dev);

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
