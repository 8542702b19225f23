/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The driver side of one small split virtqueue with one fixed buffer per
 * descriptor. This is enough for the device's control queues (vhost_pci.h), where
 * a message is one buffer. DPDK's net_virtio has a queue, too, but its headers are
 * private.
 *
 * Not thread safe. The driver trusts the device, but bounds indices and lengths
 * nevertheless: a bug of the device must not become a bug of the driver.
 */

#ifndef VHOSTPCI_PCI_CTRLQ_H
#define VHOSTPCI_PCI_CTRLQ_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "vhost_pci.h"

struct rte_memzone;

struct vhostpci_ctrlq {
	const struct rte_memzone *mz;
	struct vring_desc *desc;	/* driver: w, device: r */
	struct vring_avail *avail;	/* driver: w, device: r */
	struct vring_used *used;	/* driver: r, device: w */
	uint8_t *bufs;			/* num * buf_len */
	uint64_t desc_iova, avail_iova, used_iova, bufs_iova;
	volatile uint16_t *notify;	/* the device's notification register */
	uint32_t buf_len;
	uint32_t free;			/* bitmap of buffers that we own */
	uint16_t index;			/* queue number */
	uint16_t num;			/* <= VHOST_PCI_CTRLQ_SIZE */
	uint16_t avail_idx;
	uint16_t last_used;
	bool device_writes;
};

/* Allocate the queue; we own all buffers. Returns 0 or -errno. */
int vhostpci_ctrlq_init(struct vhostpci_ctrlq *q, const char *dev_name,
			int socket_id, uint16_t index, uint16_t num,
			uint32_t buf_len, bool device_writes);
void vhostpci_ctrlq_free(struct vhostpci_ctrlq *q);

/* Returns a buffer that we own, or -ENOBUFS. We own it until we post it. */
int vhostpci_ctrlq_get(const struct vhostpci_ctrlq *q);
void *vhostpci_ctrlq_buf(const struct vhostpci_ctrlq *q, unsigned int i);
/* Give buffer @i with @len bytes to the device. */
void vhostpci_ctrlq_post(struct vhostpci_ctrlq *q, unsigned int i,
			 uint32_t len);
/* Notify the device of posted buffers. */
void vhostpci_ctrlq_kick(struct vhostpci_ctrlq *q);
/*
 * Returns the next buffer that the device has finished; we own it again. Sets *len
 * to the bytes that the device wrote, at most the buffer's length. -EAGAIN: no such
 * buffer. -EIO: the device named a buffer that it does not have.
 */
int vhostpci_ctrlq_take(struct vhostpci_ctrlq *q, uint32_t *len);

#endif
