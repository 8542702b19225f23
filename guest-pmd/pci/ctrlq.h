/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The driver side of one small split virtqueue with one fixed buffer per
 * descriptor: enough for the device's control queues (vhost_pci.h), where a
 * message is one buffer. DPDK's net_virtio has a queue too, but its own
 * headers are private to it.
 *
 * Not thread safe. The device is trusted with what it says, yet indices and
 * lengths are bounded: a bug there must not become one here.
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
	uint32_t free;			/* bitmap of buffers that are ours */
	uint16_t index;			/* queue number */
	uint16_t num;			/* <= VHOST_PCI_CTRLQ_SIZE */
	uint16_t avail_idx;
	uint16_t last_used;
	bool device_writes;
};

/* Allocate. All buffers are ours. 0 or -errno. */
int vhostpci_ctrlq_init(struct vhostpci_ctrlq *q, const char *dev_name,
			int socket_id, uint16_t index, uint16_t num,
			uint32_t buf_len, bool device_writes);
void vhostpci_ctrlq_free(struct vhostpci_ctrlq *q);

/* A buffer of ours, or -ENOBUFS. It stays ours until it is posted. */
int vhostpci_ctrlq_get(const struct vhostpci_ctrlq *q);
void *vhostpci_ctrlq_buf(const struct vhostpci_ctrlq *q, unsigned int i);
/* Give buffer @i with @len bytes to the device. */
void vhostpci_ctrlq_post(struct vhostpci_ctrlq *q, unsigned int i,
			 uint32_t len);
/* Tell the device of what was posted. */
void vhostpci_ctrlq_kick(struct vhostpci_ctrlq *q);
/*
 * The next buffer that the device is done with; it is ours again. *len: the
 * bytes it wrote, bounded by the buffer. -EAGAIN: none. -EIO: the device
 * named a buffer that it does not have.
 */
int vhostpci_ctrlq_take(struct vhostpci_ctrlq *q, uint32_t *len);

#endif
