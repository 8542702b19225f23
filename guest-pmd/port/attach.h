/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a transport calls: functions that make a port, tell it of its peer, ask it,
 * and destroy it. Threads: see base/transport.h.
 */

#ifndef VHOSTPCI_PORT_ATTACH_H
#define VHOSTPCI_PORT_ATTACH_H

#include "base/log.h"
#include "base/transport.h"

struct rte_eth_dev;

/*
 * ethdev: virtio feature bits that the rings of this build can serve; a
 * transport offers a subset. These include bits that have no meaning for a ring
 * (control queue, MTU, ...).
 */
uint64_t vhostpci_supported_features(void);

/*
 * control: adopt @peer. When this returns, no burst uses the old state any more,
 * the progress of the old state is published, and the caller may unmap memory that
 * @peer no longer has. Raises link events as needed. Takes dev->lock.
 * Returns 0, or -ETIMEDOUT when a burst did not end within
 * VHOSTPCI_QUIESCE_MS (the old memory must then stay mapped; call again).
 * If the port cannot serve a ring or a feature set, it leaves the ring stopped, and
 * counts and logs that; this is not an error of the call.
 */
int vhostpci_peer_adopt(struct vhostpci_dev *dev,
			const struct vhostpci_peer *peer);
#define VHOSTPCI_QUIESCE_MS	90

/* For a probe: may this process have the port @name? Only the primary process has
 * the rings, the peer's memory and the thread that serves the peer. For a secondary
 * process this logs the reason and returns false. */
bool vhostpci_is_primary(const char *name);
/* Was the driver built for the DPDK that loaded it? An ethdev driver depends on the
 * structure layouts of one release. If not, this logs the reason. */
bool vhostpci_is_right_release(void);

/*
 * Make an ethdev of a transport. The bus glue has allocated @eth_dev (PCI:
 * rte_eth_dev_pci_generic_probe or equivalent; vdev: rte_eth_vdev_allocate), and
 * its dev_private has room for vhostpci_dev_size() zeroed bytes. Returns the
 * device; or NULL with rte_errno (ENOTSUP: built for another DPDK release, or a
 * secondary process), and the caller then releases the port. Copies *@transport.
 * The caller calls rte_eth_dev_probing_finish() (PCI: the generic probe does)
 * and may call vhostpci_peer_adopt() from the return of this call on. The
 * ethdev is closed through eth_dev->dev_ops, which calls ops->close().
 */
size_t vhostpci_dev_size(void);
struct vhostpci_dev *
vhostpci_ethdev_create(struct rte_eth_dev *eth_dev,
		       const struct vhostpci_transport *transport);
/* For a probe that fails after vhostpci_ethdev_create(): undo that call. The caller
 * releases the port and its own resources; this does not call ops->close(). */
void vhostpci_ethdev_abandon(struct vhostpci_dev *dev);
/* For bus remove callbacks: stop, close and release the port. Does nothing
 * for a port that the application has closed already. Returns 0 or -errno. */
int vhostpci_ethdev_destroy(struct rte_eth_dev *eth_dev);
/* The device's copy of its transport. The transport may change window_type and
 * functions in this copy, in control. */
struct vhostpci_transport *vhostpci_dev_transport(struct vhostpci_dev *dev);
/* The port as EAL knows it. */
struct rte_eth_dev *vhostpci_dev_ethdev(const struct vhostpci_dev *dev);
/* For log lines: the peer's name, or the ethdev's name if the peer's is unknown. */
const char *vhostpci_dev_label(const struct vhostpci_dev *dev);
/* For ops->close(): is there a burst that does not end? */
bool vhostpci_dev_is_stuck(const struct vhostpci_dev *dev);
/* control: does, or did, a running ring hold anything to receive or to send into? No
 * ring ever does if the guest does not use the memory that we map. */
bool vhostpci_peer_moved(struct vhostpci_dev *dev);
/* control: kicks show that the guest does not use the memory that we map. Report
 * that, once until the peer's rings change. */
void vhostpci_peer_unshared(struct vhostpci_dev *dev);
/* control: the peer kicked ring @i. Takes dev->lock. */
void vhostpci_intr_kicked(struct vhostpci_dev *dev, unsigned int i);

/* control: the device disappeared (surprise removal): raise RMV. */
void vhostpci_dev_removed(struct vhostpci_dev *dev);

/* A limit, for each port, of log lines that a peer can cause at will. Any thread but
 * the datapath. */
bool vhostpci_dev_may_log(struct vhostpci_dev *dev);
#define VHOSTPCI_PEER_LOG(dev, level, fmt, ...) \
	do { \
		if (rte_log_can_log(vhostpci_logtype, RTE_LOG_ ## level) && \
		    vhostpci_dev_may_log(dev)) \
			VHOSTPCI_LOG(level, fmt, ## __VA_ARGS__); \
	} while (0)

#endif
