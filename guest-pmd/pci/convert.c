/* SPDX-License-Identifier: BSD-3-Clause */

/* Convert STATE, the message of the device, to struct vhostpci_peer. */

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
	uint16_t id = rte_le_to_cpu_16(in->area);
	const struct vhostpci_pci_area *area = vhostpci_pci_window(p, id);

	out->gpa = rte_le_to_cpu_64(in->gpa);
	out->size = rte_le_to_cpu_64(in->size);
	if (area == NULL) {
		VHOSTPCI_LOG(ERR,
			     "%s: STATE has a region in area %u, which is not a window",
			     p->pci->name, id);
		return -ERANGE;
	}
	if (out->size == 0 || out->gpa > UINT64_MAX - out->size ||
	    out->size > area->len || offset > area->len - out->size) {
		VHOSTPCI_LOG(ERR,
			     "%s: STATE has a region outside the window: 0x%" PRIx64 " bytes at 0x%" PRIx64,
			     p->pci->name, out->size, offset);
		return -ERANGE;
	}
	out->addr = vhostpci_pci_window_map(p, area, offset, out->size);
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

/* Convert the regions of memory space @space. */
static int
convert_regions(struct vhostpci_pci *p, uint16_t space,
		struct vhostpci_peer *peer)
{
	const struct vhost_pci_state *s = p->state;
	unsigned int n = rte_le_to_cpu_16(s->n_regions), i;
	int ret;

	for (i = 0; i < n; i++) {
		if (rte_le_to_cpu_16(s->regions[i].space) != space)
			continue;
		ret = convert_region(p, &s->regions[i],
				     &peer->regions[peer->n_regions]);
		if (ret != 0)
			return ret;
		peer->n_regions++;
	}
	return 0;
}

/* Does STATE agree with the configuration space in the values on which a port
 * relies? */
static bool
is_as_configured(const struct vhostpci_pci_port *port)
{
	const struct vhost_pci_function_config *c = vhostpci_pci_function(port);
	const struct vhostpci_pci *p = port->p;
	const struct vhost_pci_state *s = p->state;
	const struct vhost_pci_function *f = &s->functions[port->function];

	return rte_le_to_cpu_16(s->n_functions) == p->config.n_functions &&
	       rte_le_to_cpu_16(s->n_rings) == p->config.n_rings &&
	       rte_le_to_cpu_16(f->type) == c->type &&
	       rte_le_to_cpu_16(f->first_ring) == c->first_ring &&
	       rte_le_to_cpu_16(f->max_rings) == c->max_rings;
}

int
vhostpci_pci_convert_state(struct vhostpci_pci_port *port,
			   struct vhostpci_peer *peer)
{
	const struct vhost_pci_function_config *c = vhostpci_pci_function(port);
	struct vhostpci_pci *p = port->p;
	const struct vhost_pci_state *s = p->state;
	const struct vhost_pci_function *f = &s->functions[port->function];
	unsigned int i;

	if (!is_as_configured(port)) {
		VHOSTPCI_LOG(ERR, "%s: STATE describes function %u unlike the configuration",
			     p->pci->name, port->function);
		return -EPROTO;
	}
	peer->generation = rte_le_to_cpu_64(s->hdr.generation);
	peer->features = rte_le_to_cpu_64(f->features);
	peer->connected = (rte_le_to_cpu_32(f->status) &
			   VHOST_PCI_S_CONNECTED) != 0;
	peer->mtu = rte_le_to_cpu_16(f->mtu);
	peer->rarp_count = rte_le_to_cpu_16(f->rarp_count);
	memcpy(&peer->rarp_mac, f->rarp_mac, sizeof(peer->rarp_mac));
	/* The NUMA node of the window is the node that the host gave the device
	 * in this VM. */
	peer->numa_node = RTE_MIN(p->pci->device.numa_node, INT8_MAX);
	peer->n_rings = rte_le_to_cpu_16(f->n_rings);
	if (rte_le_to_cpu_16(s->n_regions) > VHOSTPCI_MAX_REGIONS ||
	    peer->n_rings > c->max_rings) {
		VHOSTPCI_LOG(ERR, "%s: STATE has %u regions and %u rings",
			     p->pci->name, rte_le_to_cpu_16(s->n_regions),
			     peer->n_rings);
		return -EINVAL;
	}
	for (i = 0; i < peer->n_rings; i++)
		convert_ring(&s->rings[c->first_ring + i], &peer->rings[i]);
	return peer->connected ?
		convert_regions(p, rte_le_to_cpu_16(f->space), peer) : 0;
}
