/* SPDX-License-Identifier: BSD-3-Clause */

/* The configuration space of a vhost-pci device: its identity, its peer, and
 * its functions. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_io.h>

#include "pci/pci.h"

static void
to_cpu(struct vhost_pci_config *c)
{
	unsigned int i;

	c->magic = rte_le_to_cpu_32(c->magic);
	c->abi = rte_le_to_cpu_16(c->abi);
	c->n_functions = rte_le_to_cpu_16(c->n_functions);
	c->flags = rte_le_to_cpu_32(c->flags);
	c->status = rte_le_to_cpu_32(c->status);
	c->kick_vector = rte_le_to_cpu_16(c->kick_vector);
	c->n_kick_vectors = rte_le_to_cpu_16(c->n_kick_vectors);
	c->notify_queue = rte_le_to_cpu_16(c->notify_queue);
	c->n_rings = rte_le_to_cpu_16(c->n_rings);
	c->peer_name[VHOST_PCI_PEER_NAME_LEN - 1] = '\0';
	for (i = 0; i < RTE_DIM(c->functions); i++) {
		struct vhost_pci_function_config *f = &c->functions[i];

		f->type = rte_le_to_cpu_16(f->type);
		f->first_ring = rte_le_to_cpu_16(f->first_ring);
		f->max_rings = rte_le_to_cpu_16(f->max_rings);
		f->offered_features = rte_le_to_cpu_64(f->offered_features);
	}
}

/* Read the configuration space. Repeat until it did not change meanwhile. */
static int
read_config(const struct vhostpci_pci *p, struct vhost_pci_config *c)
{
	unsigned int try, i;
	uint8_t generation;

	for (try = 0; try < 100; try++) {
		generation = rte_read8(&p->common->config_generation);
		for (i = 0; i < sizeof(*c); i++)
			((uint8_t *)c)[i] = rte_read8(p->device_cfg + i);
		if (rte_read8(&p->common->config_generation) != generation)
			continue;
		to_cpu(c);
		return 0;
	}
	VHOSTPCI_LOG(ERR, "%s: the configuration of the device keeps changing",
		     p->pci->name);
	return -EAGAIN;
}

/* Can this driver drive a device with this configuration? */
static int
check_device(const struct vhostpci_pci *p, const struct vhost_pci_config *c)
{
	if (c->magic != VHOST_PCI_MAGIC) {
		VHOSTPCI_LOG(ERR, "%s: not a vhost-pci device of ABI %u: its configuration begins with 0x%08x",
			     p->pci->name, VHOST_PCI_ABI, c->magic);
		return -ENODEV;
	}
	if (c->abi != VHOST_PCI_ABI) {
		VHOSTPCI_LOG(ERR, "%s: the device speaks ABI %u, this driver %u",
			     p->pci->name, c->abi, VHOST_PCI_ABI);
		return -EPROTO;
	}
	if (c->n_functions == 0 || c->n_functions > VHOST_PCI_MAX_FUNCTIONS ||
	    c->n_rings == 0 || c->n_rings > VHOST_PCI_MAX_DEVICE_RINGS ||
	    (c->kick_vector != 0 && c->n_kick_vectors == 0) ||
	    /* The buffer that the first probe allocated would be too small. */
	    (p->state != NULL &&
	     vhost_pci_state_len(c->n_rings) != p->state_len)) {
		VHOSTPCI_LOG(ERR, "%s: the device has %u functions, %u rings and %u vectors for kicks",
			     p->pci->name, c->n_functions, c->n_rings,
			     c->n_kick_vectors);
		return -EPROTO;
	}
	if (c->notify_queue != 0) {
		VHOSTPCI_LOG(ERR, "%s: the device has virtqueues in place of doorbells, which this driver cannot serve",
			     p->pci->name);
		return -ENOTSUP;
	}
	return 0;
}

/* Can this driver make a port of the function? */
static int
check_function(const struct vhostpci_pci *p, const struct vhost_pci_config *c,
	       unsigned int function)
{
	const struct vhost_pci_function_config *f = &c->functions[function];
	uint64_t unknown = f->offered_features & ~vhostpci_supported_features();

	if (function >= c->n_functions || f->type == VHOST_PCI_TYPE_NONE) {
		VHOSTPCI_LOG(ERR, "%s: the device has no function %u",
			     p->pci->name, function);
		return -ENODEV;
	}
	if (f->type != VHOST_PCI_TYPE_NET) {
		VHOSTPCI_LOG(ERR, "%s: function %u is a virtio device of type %u, not a network device",
			     p->pci->name, function, f->type);
		return -ENODEV;
	}
	if (f->max_rings < 2 || f->max_rings > VHOST_PCI_MAX_RINGS ||
	    f->max_rings % 2 != 0 || f->max_rings > c->n_rings ||
	    f->first_ring > c->n_rings - f->max_rings) {
		VHOSTPCI_LOG(ERR, "%s: function %u has %u rings from %u on, of %u",
			     p->pci->name, function, f->max_rings,
			     f->first_ring, c->n_rings);
		return -EPROTO;
	}
	if (unknown != 0) {
		VHOSTPCI_LOG(ERR,
			     "%s: the device offers its peer features 0x%" PRIx64 " that this driver cannot serve",
			     p->pci->name, unknown);
		return -ENOTSUP;
	}
	return 0;
}

/* Is @peer, a name or a UUID, the peer of the device? */
static bool
is_peer(const struct vhost_pci_config *c, const char *peer)
{
	rte_uuid_t uuid;

	if (strcmp(peer, c->peer_name) == 0)
		return true;
	return rte_uuid_parse(peer, uuid) == 0 && !rte_uuid_is_null(uuid) &&
	       memcmp(uuid, c->peer_uuid, sizeof(uuid)) == 0;
}

int
vhostpci_pci_check_config(const struct vhostpci_pci_port *port,
			  const char *peer)
{
	struct vhostpci_pci *p = port->p;
	struct vhost_pci_config c;
	int ret = read_config(p, &c);

	if (ret == 0)
		ret = check_device(p, &c);
	if (ret != 0)
		return ret;
	if (peer[0] != '\0' && !is_peer(&c, peer)) {
		VHOSTPCI_LOG(NOTICE, "%s: the peer is \"%s\", not \"%s\"",
			     p->pci->name, c.peer_name, peer);
		return -ENODEV;
	}
	if ((c.flags & VHOST_PCI_F_REVOKE_HARMLESS) == 0)
		VHOSTPCI_LOG(NOTICE, "%s: the device leaves holes where it takes memory away",
			     p->pci->name);
	ret = check_function(p, &c, port->function);
	if (ret == 0)
		p->config = c;
	return ret;
}

uint32_t
vhostpci_pci_functions(const struct vhostpci_pci *p)
{
	uint32_t functions = 0;
	unsigned int f;

	for (f = 0; f < p->config.n_functions; f++) {
		uint16_t type = p->has_state ?
			rte_le_to_cpu_16(p->state->functions[f].type) :
			p->config.functions[f].type;

		if (type == VHOST_PCI_TYPE_NET)
			functions |= 1u << f;
	}
	return functions;
}
