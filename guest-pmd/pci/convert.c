/* SPDX-License-Identifier: BSD-3-Clause */

/* What the device tells the pci transport: STATE to struct vhostpci_peer. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_byteorder.h>

#include "pci/pci.h"

static int
convert_region(struct vhostpci_pci *p, const struct vhost_pci_region *in,
	       struct vhostpci_region *out)
{
	uint64_t offset = rte_le_to_cpu_64(in->window_offset);

	out->gpa = rte_le_to_cpu_64(in->gpa);
	out->size = rte_le_to_cpu_64(in->size);
	if (out->size == 0 || out->gpa > UINT64_MAX - out->size ||
	    out->size > p->window_area.len ||
	    offset > p->window_area.len - out->size) {
		VHOSTPCI_LOG(ERR,
			     "%s: STATE has a region outside the window: 0x%" PRIx64 " bytes at 0x%" PRIx64,
			     p->pci->name, out->size, offset);
		return -ERANGE;
	}
	out->addr = vhostpci_window_map(&p->window,
					p->window_area.offset + offset,
					out->size);
	if (out->addr == NULL) {
		VHOSTPCI_LOG(ERR,
			     "%s: cannot map 0x%" PRIx64 " bytes of the window: %s",
			     p->pci->name, out->size, strerror(errno));
		return -ENOMEM;
	}
	return 0;
}

static void
convert_ring(const struct vhost_pci_ring *in, struct vhostpci_vring_desc *out)
{
	uint16_t flags = rte_le_to_cpu_16(in->flags);

	out->desc = rte_le_to_cpu_64(in->desc);
	out->avail = rte_le_to_cpu_64(in->avail);
	out->used = rte_le_to_cpu_64(in->used);
	out->base = rte_le_to_cpu_32(in->base);
	out->epoch = rte_le_to_cpu_32(in->epoch);
	out->num = rte_le_to_cpu_16(in->num);
	out->run = (flags & VHOST_PCI_RING_RUN) != 0;
	out->call = (flags & VHOST_PCI_RING_CALL) != 0;
}

int
vhostpci_pci_convert_state(struct vhostpci_pci *p, struct vhostpci_peer *peer)
{
	const struct vhost_pci_state *s = &p->state;
	uint32_t status = rte_le_to_cpu_32(s->status);
	unsigned int i;
	int ret;

	peer->generation = rte_le_to_cpu_64(s->hdr.generation);
	peer->features = rte_le_to_cpu_64(s->features);
	peer->connected = (status & VHOST_PCI_S_CONNECTED) != 0;
	peer->mtu = rte_le_to_cpu_16(s->mtu);
	peer->rarp_count = rte_le_to_cpu_16(s->rarp_count);
	memcpy(&peer->rarp_mac, s->rarp_mac, sizeof(peer->rarp_mac));
	/* The window is where the host put the device, for this VM. */
	peer->numa_node = RTE_MIN(p->pci->device.numa_node, INT8_MAX);
	peer->n_regions = rte_le_to_cpu_16(s->n_regions);
	peer->n_rings = rte_le_to_cpu_16(s->n_rings);
	if (peer->n_regions > VHOSTPCI_MAX_REGIONS ||
	    peer->n_rings > p->config.max_queue_pairs * 2) {
		VHOSTPCI_LOG(ERR, "%s: STATE has %u regions and %u rings",
			     p->pci->name, peer->n_regions, peer->n_rings);
		return -EINVAL;
	}
	for (i = 0; i < peer->n_regions; i++) {
		ret = convert_region(p, &s->regions[i], &peer->regions[i]);
		if (ret != 0)
			return ret;
	}
	for (i = 0; i < peer->n_rings; i++)
		convert_ring(&s->rings[i], &peer->rings[i]);
	return 0;
}
