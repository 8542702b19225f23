/* SPDX-License-Identifier: BSD-3-Clause */

/* A small split virtqueue, driver side (virtio 1.x, 2.7). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_atomic.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_errno.h>
#include <rte_io.h>
#include <rte_memzone.h>

#include "pci/ctrlq.h"

/* The three parts of the ring share the first page of the memzone. Offsets
 * fit VHOST_PCI_CTRLQ_SIZE and satisfy the alignments of virtio 1.x, 2.7. */
#define AVAIL_OFFSET	1024
#define USED_OFFSET	2048
#define BUFS_OFFSET	4096

static_assert(sizeof(struct vring_desc) * VHOST_PCI_CTRLQ_SIZE <=
	      AVAIL_OFFSET, "descriptors fit");
static_assert(VHOST_PCI_CTRLQ_SIZE <= 32, "the free bitmap has 32 bits");

int
vhostpci_ctrlq_init(struct vhostpci_ctrlq *q, const char *dev_name,
		    int socket_id, uint16_t index, uint16_t num,
		    uint32_t buf_len, bool device_writes)
{
	char name[RTE_MEMZONE_NAMESIZE];
	unsigned int i;

	memset(q, 0, sizeof(*q));
	if (num == 0 || num > VHOST_PCI_CTRLQ_SIZE || !rte_is_power_of_2(num))
		return -EINVAL;
	snprintf(name, sizeof(name), "vhostpci_%s_q%u", dev_name, index);
	q->mz = rte_memzone_reserve_aligned(name,
			BUFS_OFFSET + (size_t)num * buf_len, socket_id,
			RTE_MEMZONE_IOVA_CONTIG, 4096);
	if (q->mz == NULL)
		return rte_errno != 0 ? -rte_errno : -ENOMEM;
	memset(q->mz->addr, 0, q->mz->len);

	q->desc = q->mz->addr;
	q->avail = RTE_PTR_ADD(q->mz->addr, AVAIL_OFFSET);
	q->used = RTE_PTR_ADD(q->mz->addr, USED_OFFSET);
	q->bufs = RTE_PTR_ADD(q->mz->addr, BUFS_OFFSET);
	q->desc_iova = q->mz->iova;
	q->avail_iova = q->mz->iova + AVAIL_OFFSET;
	q->used_iova = q->mz->iova + USED_OFFSET;
	q->bufs_iova = q->mz->iova + BUFS_OFFSET;
	q->index = index;
	q->num = num;
	q->buf_len = buf_len;
	q->device_writes = device_writes;
	for (i = 0; i < num; i++)
		q->free |= 1u << i;
	/* Only buffers that the device writes are worth an interrupt. */
	if (!device_writes)
		q->avail->flags = rte_cpu_to_le_16(VRING_AVAIL_F_NO_INTERRUPT);
	return 0;
}

void
vhostpci_ctrlq_free(struct vhostpci_ctrlq *q)
{
	rte_memzone_free(q->mz);
	memset(q, 0, sizeof(*q));
}

int
vhostpci_ctrlq_get(const struct vhostpci_ctrlq *q)
{
	return q->free != 0 ? __builtin_ctz(q->free) : -ENOBUFS;
}

void *
vhostpci_ctrlq_buf(const struct vhostpci_ctrlq *q, unsigned int i)
{
	return q->bufs + (size_t)i * q->buf_len;
}

void
vhostpci_ctrlq_post(struct vhostpci_ctrlq *q, unsigned int i, uint32_t len)
{
	struct vring_desc *d = &q->desc[i];

	d->addr = rte_cpu_to_le_64(q->bufs_iova + (uint64_t)i * q->buf_len);
	d->len = rte_cpu_to_le_32(len);
	d->flags = rte_cpu_to_le_16(q->device_writes ? VRING_DESC_F_WRITE : 0);
	d->next = 0;
	q->avail->ring[q->avail_idx & (q->num - 1)] = rte_cpu_to_le_16(i);
	q->free &= ~(1u << i);
	q->avail_idx++;
	/* release: pairs with the device's acquire of avail->idx; it must see
	 * the descriptor and the buffer's content. */
	__atomic_store_n(&q->avail->idx, rte_cpu_to_le_16(q->avail_idx),
			 __ATOMIC_RELEASE);
}

void
vhostpci_ctrlq_kick(struct vhostpci_ctrlq *q)
{
	/* Full: the index must be visible before the flags are read; pairs
	 * with the device's own store of flags before it reads the index. */
	rte_mb();
	if (*(volatile uint16_t *)&q->used->flags &
	    rte_cpu_to_le_16(VRING_USED_F_NO_NOTIFY))
		return;
	rte_write16(rte_cpu_to_le_16(q->index), q->notify);
}

int
vhostpci_ctrlq_take(struct vhostpci_ctrlq *q, uint32_t *len)
{
	const struct vring_used_elem *e;
	uint32_t id;

	/* acquire: pairs with the device's release of used->idx. */
	if (rte_le_to_cpu_16(__atomic_load_n(&q->used->idx,
					     __ATOMIC_ACQUIRE)) == q->last_used)
		return -EAGAIN;
	e = &q->used->ring[q->last_used & (q->num - 1)];
	q->last_used++;
	id = rte_le_to_cpu_32(e->id);
	*len = RTE_MIN(rte_le_to_cpu_32(e->len), q->buf_len);
	if (id >= q->num || (q->free & (1u << id)) != 0)
		return -EIO;
	q->free |= 1u << id;
	return id;
}
