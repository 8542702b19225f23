/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The virtio side of a vhost-pci device: bring it up (virtio 1.x, 3.1).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/virtio_config.h>

#include <rte_byteorder.h>
#include <rte_bus_pci.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_io.h>

#include "pci/pci.h"

static_assert(sizeof(struct virtio_pci_common_cfg) >= 56, "virtio 4.1.4.3");

bool
vhostpci_pci_is_gone(const struct vhostpci_pci *p)
{
	/* A missing device reads as all ones; 0xff is not a valid status. */
	return p->gone || rte_read8(&p->common->device_status) == 0xff;
}

int
vhostpci_pci_reset(struct vhostpci_pci *p)
{
	unsigned int ms;

	if (vhostpci_pci_is_gone(p))
		return -ENODEV;
	rte_write8(0, &p->common->device_status);
	/* Reset is done when the status reads 0 (virtio 1.x, 4.1.4.3.2). */
	for (ms = 0; ms < VHOSTPCI_PCI_RESET_MS; ms++) {
		if (rte_read8(&p->common->device_status) == 0)
			return 0;
		rte_delay_us_sleep(1000);
	}
	VHOSTPCI_LOG(ERR, "%s: the device does not finish its reset",
		     p->pci->name);
	return -ETIMEDOUT;
}

static void
add_status(struct vhostpci_pci *p, uint8_t bits)
{
	rte_write8(rte_read8(&p->common->device_status) | bits,
		   &p->common->device_status);
}

static int
negotiate(struct vhostpci_pci *p)
{
	const uint64_t platform = 1ull << VIRTIO_F_ACCESS_PLATFORM;
	const uint64_t version_1 = 1ull << VIRTIO_F_VERSION_1;
	uint64_t features;

	rte_write32(0, &p->common->device_feature_select);
	features = rte_read32(&p->common->device_feature);
	rte_write32(1, &p->common->device_feature_select);
	features |= (uint64_t)rte_read32(&p->common->device_feature) << 32;
	if ((features & version_1) == 0) {
		VHOSTPCI_LOG(ERR, "%s: not a virtio 1.x device", p->pci->name);
		return -ENOTSUP;
	}
	/* Without VIRTIO_F_ACCESS_PLATFORM the device takes our addresses for
	 * physical addresses. */
	if ((features & platform) == 0 && rte_eal_iova_mode() == RTE_IOVA_VA) {
		VHOSTPCI_LOG(ERR,
			     "%s: behind an IOMMU the device needs iommu_platform=on",
			     p->pci->name);
		return -ENOTSUP;
	}
	features &= version_1 | platform;
	rte_write32(0, &p->common->guest_feature_select);
	rte_write32((uint32_t)features, &p->common->guest_feature);
	rte_write32(1, &p->common->guest_feature_select);
	rte_write32(features >> 32, &p->common->guest_feature);
	add_status(p, VIRTIO_CONFIG_S_FEATURES_OK);
	if ((rte_read8(&p->common->device_status) &
	     VIRTIO_CONFIG_S_FEATURES_OK) == 0) {
		VHOSTPCI_LOG(ERR, "%s: the device refuses features 0x%" PRIx64,
			     p->pci->name, features);
		return -ENOTSUP;
	}
	return 0;
}

static void
write_addr(uint64_t addr, volatile uint32_t *lo, volatile uint32_t *hi)
{
	rte_write32((uint32_t)addr, lo);
	rte_write32(addr >> 32, hi);
}

/* Give the device the addresses of the selected queue, and enable the queue. */
static int
enable_queue(struct vhostpci_pci *p, const struct vhostpci_ctrlq *q)
{
	volatile struct virtio_pci_common_cfg *c = p->common;

	rte_write16(q->num, &c->queue_size);
	write_addr(q->desc_iova, &c->queue_desc_lo, &c->queue_desc_hi);
	write_addr(q->avail_iova, &c->queue_avail_lo, &c->queue_avail_hi);
	write_addr(q->used_iova, &c->queue_used_lo, &c->queue_used_hi);
	/* Use vector 0 for everything; after the reset a queue has no
	 * vector. */
	if (p->msix) {
		rte_write16(0, &c->queue_msix_vector);
		if (rte_read16(&c->queue_msix_vector) != 0)
			return -EBUSY;
	}
	rte_write16(1, &c->queue_enable);
	return 0;
}

static int
setup_queue(struct vhostpci_pci *p, struct vhostpci_ctrlq *q, uint16_t index,
	    uint32_t buf_len, bool device_writes)
{
	volatile struct virtio_pci_common_cfg *c = p->common;
	uint64_t offset;
	uint16_t num;
	int ret;

	rte_write16(index, &c->queue_select);
	num = RTE_MIN(rte_read16(&c->queue_size), VHOST_PCI_CTRLQ_SIZE);
	offset = (uint64_t)rte_read16(&c->queue_notify_off) *
		 p->notify_multiplier;
	if (num == 0 || offset > p->notify_area.len - 2) {
		VHOSTPCI_LOG(ERR, "%s: control queue %u is not usable",
			     p->pci->name, index);
		return -ENODEV;
	}
	ret = vhostpci_ctrlq_init(q, p->pci->name, p->pci->device.numa_node,
				  index, num, buf_len, device_writes);
	if (ret != 0) {
		VHOSTPCI_LOG(ERR, "%s: no memory for control queue %u: %s",
			     p->pci->name, index, strerror(-ret));
		return ret;
	}
	q->notify = (volatile uint16_t *)(p->bar_addr[p->notify_area.bar] +
					  p->notify_area.offset + offset);
	return enable_queue(p, q);
}

int
vhostpci_pci_init(struct vhostpci_pci *p)
{
	int ret;

	/* A process that was killed may have left the device running on memory
	 * that is ours now. */
	ret = vhostpci_pci_reset(p);
	if (ret != 0)
		return ret;
	add_status(p, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(p, VIRTIO_CONFIG_S_DRIVER);
	ret = negotiate(p);
	if (ret != 0)
		return ret;
	p->msix = rte_intr_type_get(p->pci->intr_handle) ==
		  RTE_INTR_HANDLE_VFIO_MSIX;
	if (p->msix)
		rte_write16(0, &p->common->msix_config);
	ret = setup_queue(p, &p->eventq, VHOST_PCI_EVENTQ,
			  p->state_len, true);
	if (ret != 0)
		return ret;
	return setup_queue(p, &p->ackq, VHOST_PCI_ACKQ,
			   RTE_ALIGN(sizeof(struct vhost_pci_broken), 64),
			   false);
}

void
vhostpci_pci_driver_ok(struct vhostpci_pci *p)
{
	add_status(p, VIRTIO_CONFIG_S_DRIVER_OK);
}
