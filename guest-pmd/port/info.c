/* SPDX-License-Identifier: BSD-3-Clause */

/* rte_pmd_vhostpci.h: what a port knows of its peer. */

#include <errno.h>

#include <rte_string_fns.h>

#include "port/ethdev.h"
#include "port/peer.h"
#include "port/port.h"
#include "rte_pmd_vhostpci.h"

static const char *
window_text(enum vhostpci_window_type type)
{
	switch (type) {
	case VHOSTPCI_WINDOW_WB:
		return "write-back";
	case VHOSTPCI_WINDOW_UC:
		return "uncached";
	case VHOSTPCI_WINDOW_SHM:
		return "shared memory";
	case VHOSTPCI_WINDOW_UNKNOWN:
		break;
	}
	return "unknown";
}

static void
fill_rings(const struct vhostpci_dev *dev, struct rte_pmd_vhostpci_info *info)
{
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		const struct vhostpci_ring *ring = &dev->rings[i];

		info->violations += ring->count.violations;
		if (vhostpci_rule_is_violation(ring->broken))
			info->broken_rings++;
		if (!ring->running || ring->broken)
			continue;
		if (vhostpci_ring_is_rx(ring))
			info->rx_rings++;
		else
			info->tx_rings++;
		if (info->ring_size == 0)
			info->ring_size = ring->size;
	}
}

static void
fill(const struct vhostpci_dev *dev, struct rte_pmd_vhostpci_info *info)
{
	const struct vhostpci_transport *t = &dev->transport;
	const struct vhostpci_peer *peer = &dev->peer;
	unsigned int i;

	strlcpy(info->transport, t->ops->name, sizeof(info->transport));
	strlcpy(info->peer_name, t->peer_name, sizeof(info->peer_name));
	memcpy(info->peer_uuid, t->peer_uuid, sizeof(info->peer_uuid));
	info->function = t->function;
	info->functions = t->functions;
	strlcpy(info->window, window_text(t->window_type),
		sizeof(info->window));
	info->connected = peer->connected;
	info->unshared = dev->unshared && peer->connected &&
		!vhostpci_any_moved(dev);
	info->link_up = dev->eth_dev->data->dev_link.link_status;
	info->features = peer->features;
	info->offered_features = t->offered_features;
	info->n_regions = peer->n_regions;
	for (i = 0; i < peer->n_regions; i++)
		info->mem_size += peer->regions[i].size;
	info->max_queue_pairs = t->max_queue_pairs;
	info->peer_mtu = peer->mtu;
	info->revoked = peer->connected && *t->revoked > peer->generation;
	info->revocations = dev->total.revocations;
	strlcpy(info->broken_rule, vhostpci_rule_text(dev->last_rule),
		sizeof(info->broken_rule));
	fill_rings(dev, info);
}

int
vhostpci_port_of(uint16_t port_id, struct vhostpci_dev **dev)
{
	if (!rte_eth_dev_is_valid_port(port_id))
		return -ENODEV;
	if (rte_eth_devices[port_id].dev_ops != &vhostpci_ops)
		return -ENOTSUP;
	*dev = rte_eth_devices[port_id].data->dev_private;
	return 0;
}

/* The rx queues that have a ring to poll; see assign_rx(). */
static uint64_t
rx_enabled(const struct vhostpci_dev *dev)
{
	uint64_t set = 0;
	unsigned int pair;

	for (pair = 0; dev->n_rxq > 0 && pair < dev->n_rings / 2u; pair++) {
		if (vhostpci_ring_usable(&dev->rings[2 * pair + 1]))
			set |= 1ULL << pair % dev->n_rxq;
	}
	return set;
}

static bool
is_running(const struct vhostpci_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		if (vhostpci_ring_usable(&dev->rings[i]))
			return true;
	}
	return false;
}

int
rte_pmd_vhostpci_queues_get(uint16_t port_id,
			    struct rte_pmd_vhostpci_queues *queues)
{
	struct vhostpci_dev *dev;
	int rc = vhostpci_port_of(port_id, &dev);

	if (rc != 0)
		return rc;
	memset(queues, 0, sizeof(*queues));
	pthread_mutex_lock(&dev->lock);
	queues->rx_enabled = rx_enabled(dev);
	queues->pairs = dev->peer.connected ? (dev->peer.n_rings + 1) / 2 : 0;
	queues->running = is_running(dev);
	queues->numa_node = dev->peer.connected ? dev->peer.numa_node : -1;
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

int
rte_pmd_vhostpci_info_get(uint16_t port_id, struct rte_pmd_vhostpci_info *info)
{
	struct vhostpci_dev *dev;
	int rc = vhostpci_port_of(port_id, &dev);

	if (rc != 0)
		return rc;
	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&dev->lock);
	fill(dev, info);
	pthread_mutex_unlock(&dev->lock);
	return 0;
}
