/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The PCI side of a vhost-pci device: find its registers, its windows and its
 * doorbells (virtio 1.x, 4.1.4), and map them.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_bus_pci.h>
#include <rte_byteorder.h>
#include <rte_common.h>

#include "pci/pci.h"

#define PCI_STATUS		0x06
#define PCI_STATUS_CAP_LIST	0x10
#define PCI_CAPABILITY_LIST	0x34
#define PCI_CAP_ID_VNDR		0x09
/* No list in 256 bytes of configuration space is longer than this. */
#define PCI_MAX_CAPS		48
#define CAP_TYPE_SHARED_MEMORY	8	/* VIRTIO_PCI_CAP_SHARED_MEMORY_CFG */

/* struct virtio_pci_cap64 of virtio 1.2, which older kernel headers lack. */
struct cap64 {
	uint8_t vndr, next, len, type, bar, id, padding[2];
	uint32_t offset, length, offset_hi, length_hi;
};
static_assert(sizeof(struct cap64) == 24, "virtio 1.2, 4.1.4");
/* In struct virtio_pci_notify_cap the multiplier follows the 32-bit form. */
#define NOTIFY_MULTIPLIER_OFFSET	16

static bool
area_fits(const struct vhostpci_pci *p, const struct vhostpci_pci_area *a)
{
	uint64_t bar_len;

	if (a->bar >= VHOSTPCI_PCI_BARS)
		return false;
	bar_len = p->pci->mem_resource[a->bar].len;
	return a->len != 0 && a->len <= bar_len &&
	       a->offset <= bar_len - a->len;
}

static struct vhostpci_pci_area *
window_area(struct vhostpci_pci *p, uint16_t id)
{
	if (id == VHOST_PCI_AREA_WINDOW)
		return &p->window_areas[0];
	if (id < VHOST_PCI_AREA_NEXT_WINDOW || id > VHOST_PCI_AREA_LAST_WINDOW)
		return NULL;
	return &p->window_areas[1 + id - VHOST_PCI_AREA_NEXT_WINDOW];
}

const struct vhostpci_pci_area *
vhostpci_pci_window(const struct vhostpci_pci *p, uint16_t id)
{
	const struct vhostpci_pci_area *a =
		window_area((struct vhostpci_pci *)(uintptr_t)p, id);

	return a != NULL && a->len != 0 ? a : NULL;
}

static struct vhostpci_pci_area *
area_of_cap(struct vhostpci_pci *p, const struct cap64 *cap)
{
	switch (cap->type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		return &p->common_area;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		return &p->notify_area;
	case VIRTIO_PCI_CAP_ISR_CFG:
		return &p->isr_area;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		return &p->device_area;
	case CAP_TYPE_SHARED_MEMORY:
		break;
	default:
		return NULL;
	}
	switch (cap->id) {
	case VHOST_PCI_AREA_STATE:
		return &p->state_area;
	case VHOST_PCI_AREA_DOORBELL:
		return &p->doorbell_area;
	default:
		return window_area(p, cap->id);
	}
}

/* Note the vendor capability at @pos. If several capabilities have one type,
 * the first usable one counts (virtio 1.x, 4.1.4.1). */
static int
note_cap(struct vhostpci_pci *p, uint8_t pos)
{
	struct vhostpci_pci_area *slot, area;
	uint32_t multiplier = 0;
	struct cap64 cap = { 0 };
	size_t want;

	if (rte_pci_read_config(p->pci, &cap, 16, pos) != 16)
		return -EIO;
	slot = area_of_cap(p, &cap);
	if (slot == NULL || slot->len != 0)
		return 0;
	want = cap.type == CAP_TYPE_SHARED_MEMORY ? sizeof(cap) : 16;
	if (cap.len < want)
		return 0;
	if (want > 16 && rte_pci_read_config(p->pci, &cap, want, pos) !=
			 (int)want)
		return -EIO;
	if (cap.type == VIRTIO_PCI_CAP_NOTIFY_CFG &&
	    rte_pci_read_config(p->pci, &multiplier, 4,
				pos + NOTIFY_MULTIPLIER_OFFSET) != 4)
		return -EIO;

	area.bar = cap.bar;
	area.offset = rte_le_to_cpu_32(cap.offset) |
		      (uint64_t)rte_le_to_cpu_32(cap.offset_hi) << 32;
	area.len = rte_le_to_cpu_32(cap.length) |
		   (uint64_t)rte_le_to_cpu_32(cap.length_hi) << 32;
	if (!area_fits(p, &area))
		return 0;
	*slot = area;
	if (cap.type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		p->notify_multiplier = rte_le_to_cpu_32(multiplier);
	return 0;
}

static int
walk_caps(struct vhostpci_pci *p)
{
	unsigned int n;
	uint16_t status;
	uint8_t head[2], pos;
	int ret;

	if (rte_pci_read_config(p->pci, &status, 2, PCI_STATUS) != 2 ||
	    rte_pci_read_config(p->pci, &pos, 1, PCI_CAPABILITY_LIST) != 1)
		return -EIO;
	if ((rte_le_to_cpu_16(status) & PCI_STATUS_CAP_LIST) == 0)
		return -ENODEV;
	for (n = 0; n < PCI_MAX_CAPS; n++, pos = head[1]) {
		pos &= ~3;
		if (pos < 0x40)
			return 0;
		if (rte_pci_read_config(p->pci, head, 2, pos) != 2)
			return -EIO;
		if (head[0] != PCI_CAP_ID_VNDR)
			continue;
		ret = note_cap(p, pos);
		if (ret != 0)
			return ret;
	}
	return -ELOOP;
}

/* Check that all areas that the driver needs exist and are big enough. */
static int
check_areas(const struct vhostpci_pci *p)
{
	const struct {
		const char *name;
		const struct vhostpci_pci_area *area;
		uint64_t min;
	} need[] = {
		{ "common configuration", &p->common_area, 56 },
		{ "notification", &p->notify_area, 2 },
		{ "ISR", &p->isr_area, 1 },
		{ "device configuration", &p->device_area,
		  sizeof(struct vhost_pci_config) },
		{ "state page", &p->state_area,
		  sizeof(struct vhost_pci_state_page) },
		{ "window", &p->window_areas[0],
		  sizeof(struct vhost_pci_state_page) },
		{ "doorbell", &p->doorbell_area, VHOST_PCI_DOORBELL_STRIDE },
	};
	unsigned int i;

	for (i = 0; i < RTE_DIM(need); i++) {
		if (need[i].area->len >= need[i].min)
			continue;
		VHOSTPCI_LOG(ERR,
			     "%s: the device has no usable %s capability",
			     p->pci->name, need[i].name);
		return -ENODEV;
	}
	return 0;
}

/*
 * Let EAL map interrupts and configuration space. Under uio EAL would also map
 * every BAR, uncached, including the window. So hide the BARs from EAL.
 */
static int
map_device_uio(struct vhostpci_pci *p)
{
	struct rte_mem_resource saved[PCI_MAX_RESOURCE];
	int ret;

	memcpy(saved, p->pci->mem_resource, sizeof(saved));
	memset(p->pci->mem_resource, 0, sizeof(saved));
	ret = rte_pci_map_device(p->pci);
	memcpy(p->pci->mem_resource, saved, sizeof(saved));
	return ret;
}

static int
map_device(struct vhostpci_pci *p)
{
	int ret;

	ret = p->pci->kdrv == RTE_PCI_KDRV_VFIO ?
		rte_pci_map_device(p->pci) : map_device_uio(p);
	if (ret == 0)
		return 0;
	VHOSTPCI_LOG(ERR,
		     "%s: EAL cannot use this device: is it bound to uio_pci_generic or vfio-pci?",
		     p->pci->name);
	return ret < 0 ? ret : -ENODEV;
}

/* Is @bar the BAR of a window? Such a BAR has its own mappings (struct
 * vhostpci_window). */
static bool
is_window_bar(const struct vhostpci_pci *p, unsigned int bar)
{
	unsigned int i;

	if (p->state_area.bar == bar)
		return true;
	for (i = 0; i < RTE_DIM(p->window_areas); i++) {
		if (p->window_areas[i].len != 0 &&
		    p->window_areas[i].bar == bar)
			return true;
	}
	return false;
}

/* Returns the address of @area in the mapping of its BAR, or NULL with
 * errno. */
static void *
map_area(struct vhostpci_pci *p, const struct vhostpci_pci_area *area)
{
	uint8_t **bar = &p->bar_addr[area->bar];

	if (is_window_bar(p, area->bar)) {
		/* Registers in a window's BAR would get the memory type of the
		 * window. */
		errno = EINVAL;
		return NULL;
	}
	if (*bar == NULL && p->pci->kdrv == RTE_PCI_KDRV_VFIO)
		*bar = p->pci->mem_resource[area->bar].addr;
	else if (*bar == NULL)
		*bar = vhostpci_window_map_registers(p->pci, area->bar);
	return *bar != NULL ? *bar + area->offset : NULL;
}

static int
map_registers(struct vhostpci_pci *p)
{
	p->common = map_area(p, &p->common_area);
	p->isr = map_area(p, &p->isr_area);
	p->device_cfg = map_area(p, &p->device_area);
	p->doorbells = map_area(p, &p->doorbell_area);
	if (p->common == NULL || p->isr == NULL || p->device_cfg == NULL ||
	    p->doorbells == NULL || map_area(p, &p->notify_area) == NULL) {
		VHOSTPCI_LOG(ERR, "%s: cannot map the registers: %s",
			     p->pci->name, strerror(errno));
		return -ENXIO;
	}
	return 0;
}

static void *
map_state_page(const struct vhostpci_pci_port *port)
{
	const uint64_t len = sizeof(struct vhost_pci_state_page);

	return vhostpci_pci_window_map(port->p, &port->p->state_area,
				       port->function * len, len);
}

static int
open_windows(struct vhostpci_pci *p)
{
	unsigned int bar;
	int ret;

	for (bar = 0; bar < VHOSTPCI_PCI_BARS; bar++) {
		if (!is_window_bar(p, bar))
			continue;
		ret = vhostpci_window_open(&p->windows[bar], p->pci, bar);
		if (ret != 0)
			return ret;
	}
	return 0;
}

void
vhostpci_pci_window_begin(struct vhostpci_pci *p)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_PCI_BARS; i++)
		vhostpci_window_begin(&p->windows[i]);
	/* The state pages stay mapped, whatever memory the peer has. */
	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL)
			map_state_page(&p->ports[i]);
	}
}

void *
vhostpci_pci_window_map(struct vhostpci_pci *p,
			const struct vhostpci_pci_area *area, uint64_t offset,
			uint64_t len)
{
	if (len > area->len || offset > area->len - len) {
		errno = ERANGE;
		return NULL;
	}
	return vhostpci_window_map(&p->windows[area->bar],
				   area->offset + offset, len);
}

void
vhostpci_pci_window_keep(struct vhostpci_pci *p)
{
	unsigned int bar;

	for (bar = 0; bar < VHOSTPCI_PCI_BARS; bar++)
		vhostpci_window_keep(&p->windows[bar]);
}

void
vhostpci_pci_window_commit(struct vhostpci_pci *p)
{
	unsigned int bar;

	for (bar = 0; bar < VHOSTPCI_PCI_BARS; bar++)
		vhostpci_window_commit(&p->windows[bar]);
}

int
vhostpci_pci_map_state(struct vhostpci_pci_port *port)
{
	struct vhostpci_pci *p = port->p;
	int ret;

	if (p->doorbell_area.len < (uint64_t)p->config.n_rings *
				   VHOST_PCI_DOORBELL_STRIDE) {
		VHOSTPCI_LOG(ERR, "%s: the device has %u rings and no doorbell for some",
			     p->pci->name, p->config.n_rings);
		return -EPROTO;
	}
	port->state_page = map_state_page(port);
	if (port->state_page == NULL) {
		ret = -errno;
		VHOSTPCI_LOG(ERR, "%s: cannot map the state page: %s",
			     p->pci->name, strerror(-ret));
		return ret;
	}
	/* Keep the mapping: the caller uses its address, so the next adoption
	 * must not unmap it as the left-over of a failed attempt. */
	vhostpci_pci_window_keep(p);
	return 0;
}

int
vhostpci_pci_map(struct vhostpci_pci *p)
{
	unsigned int bar;
	int ret;

	for (bar = 0; bar < VHOSTPCI_PCI_BARS; bar++)
		p->windows[bar].fd = -1;
	ret = map_device(p);
	if (ret != 0)
		return ret;
	ret = walk_caps(p);
	if (ret == 0)
		ret = check_areas(p);
	if (ret == 0)
		ret = map_registers(p);
	if (ret == 0)
		ret = open_windows(p);
	if (ret != 0)
		vhostpci_pci_unmap(p);
	return ret;
}

void
vhostpci_pci_unmap(struct vhostpci_pci *p)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_PCI_BARS; i++) {
		vhostpci_window_close(&p->windows[i]);
		if (p->bar_addr[i] != NULL &&
		    p->pci->kdrv != RTE_PCI_KDRV_VFIO)
			munmap(p->bar_addr[i], p->pci->mem_resource[i].len);
		p->bar_addr[i] = NULL;
	}
	rte_pci_unmap_device(p->pci);
}
