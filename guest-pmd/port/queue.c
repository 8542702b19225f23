/* SPDX-License-Identifier: BSD-3-Clause */

/* The queues of the ethdev. A queue has no ring of its own; port/assign.c and
 * port/txmap.c give it rings of the peer. */

#include <errno.h>
#include <stdio.h>

#include <rte_ether.h>
#include <rte_malloc.h>

#include "port/flow.h"
#include "port/port.h"
#include "port/queue.h"
#include "vring/layout.h"

static struct vhostpci_queue *
queue_new(struct vhostpci_dev *dev, uint16_t id, unsigned int n_rings,
	  unsigned int socket_id)
{
	size_t size = offsetof(struct vhostpci_queue, rings) +
		n_rings * sizeof(struct vhostpci_ring *);
	struct vhostpci_queue *queue;

	queue = rte_zmalloc_socket("vhostpci_queue",
				   RTE_MAX(size, sizeof(*queue)),
				   RTE_CACHE_LINE_SIZE, socket_id);
	if (queue == NULL)
		return NULL;
	queue->id = id;
	queue->port = dev->eth_dev->data->port_id;
	queue->fence = dev->fence;
	queue->inlet = dev->inlet;
	return queue;
}

/* ethdev calls queue_setup and queue_release on a stopped port only. */
static void
queue_put(struct vhostpci_dev *dev, struct vhostpci_queue **slot,
	  struct vhostpci_queue *queue)
{
	pthread_mutex_lock(&dev->lock);
	*slot = queue;
	if (queue != NULL && queue->mp != NULL)
		vhostpci_flow_queue(dev, queue);
	pthread_mutex_unlock(&dev->lock);
}

/* A port starts all of its queues together. ethdev leaves it to the driver to
 * refuse a queue that the application wants to start later. */
static int
refuse_deferred(uint16_t id, const char *direction)
{
	VHOSTPCI_LOG(ERR, "%s queue %u: a deferred start is not supported",
		     direction, id);
	return -EINVAL;
}

int
vhostpci_rx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			uint16_t n_desc __rte_unused, unsigned int socket_id,
			const struct rte_eth_rxconf *conf,
			struct rte_mempool *mp)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	struct vhostpci_queue *queue;

	if (conf->rx_deferred_start)
		return refuse_deferred(id, "rx");
	queue = queue_new(dev, id, dev->n_rings / 2u, socket_id);
	if (queue == NULL)
		return -ENOMEM;
	queue->mp = mp;
	eth_dev->data->rx_queues[id] = queue;
	queue_put(dev, &dev->rxq[id], queue);
	return 0;
}

void
vhostpci_rx_queues_old(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_QUEUES; i++) {
		if (dev->rxq[i] != NULL)
			dev->rxq[i]->old = true;
	}
}

int
vhostpci_check_mtu(struct rte_eth_dev *eth_dev, uint16_t mtu, bool old)
{
	/* A frame of this MTU with a VLAN tag. */
	const uint32_t len = mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
	uint16_t i;

	for (i = 0; !eth_dev->data->scattered_rx &&
	     i < eth_dev->data->nb_rx_queues; i++) {
		const struct vhostpci_queue *queue = eth_dev->data->rx_queues[i];
		uint16_t room;

		if (queue == NULL || (queue->old && !old))
			continue;
		room = rte_pktmbuf_data_room_size(queue->mp) -
			RTE_PKTMBUF_HEADROOM;
		if (len <= room)
			continue;
		VHOSTPCI_LOG(ERR, "%s: an MTU of %u needs the offload SCATTER or room for %u bytes in mbufs: those of rx queue %u have %u",
			     eth_dev->data->name, mtu, len, i, room);
		return -EINVAL;
	}
	return 0;
}

int
vhostpci_tx_queue_setup(struct rte_eth_dev *eth_dev, uint16_t id,
			uint16_t n_desc __rte_unused, unsigned int socket_id,
			const struct rte_eth_txconf *conf)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	struct vhostpci_queue *queue;

	if (conf->tx_deferred_start)
		return refuse_deferred(id, "tx");
	queue = queue_new(dev, id, 1, socket_id);
	if (queue == NULL)
		return -ENOMEM;
	eth_dev->data->tx_queues[id] = queue;
	queue_put(dev, &dev->txq[id], queue);
	return 0;
}

void
vhostpci_rx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	struct vhostpci_queue *queue = eth_dev->data->rx_queues[id];

	pthread_mutex_lock(&dev->lock);
	dev->rxq[id] = NULL;
	/* The next queue counts from 0, but the sum must go on. */
	if (queue != NULL)
		dev->base.announced -= queue->announced;
	pthread_mutex_unlock(&dev->lock);
	rte_free(queue);
	eth_dev->data->rx_queues[id] = NULL;
}

void
vhostpci_tx_queue_release(struct rte_eth_dev *eth_dev, uint16_t id)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	queue_put(dev, &dev->txq[id], NULL);
	rte_free(eth_dev->data->tx_queues[id]);
	eth_dev->data->tx_queues[id] = NULL;
}

void
vhostpci_rxq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
		      struct rte_eth_rxq_info *info)
{
	struct vhostpci_queue *queue = eth_dev->data->rx_queues[id];

	info->mp = queue->mp;
	info->scattered_rx = eth_dev->data->scattered_rx;
	info->nb_desc = queue->n_rings > 0 ? queue->rings[0]->size : 0;
}

void
vhostpci_txq_info_get(struct rte_eth_dev *eth_dev, uint16_t id,
		      struct rte_eth_txq_info *info)
{
	struct vhostpci_queue *queue = eth_dev->data->tx_queues[id];

	info->nb_desc = queue->n_rings > 0 ? queue->rings[0]->size : 0;
}

static int
burst_mode(const struct vhostpci_queue *queue, struct rte_eth_burst_mode *mode)
{
	const char *layout = queue->n_rings == 0 ? "No ring" :
		queue->rings[0]->packed ? "Packed ring" : "Split ring";

	snprintf(mode->info, sizeof(mode->info), "%s", layout);
	return 0;
}

int
vhostpci_rx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_burst_mode *mode)
{
	return burst_mode(eth_dev->data->rx_queues[id], mode);
}

int
vhostpci_tx_burst_mode_get(struct rte_eth_dev *eth_dev, uint16_t id,
			   struct rte_eth_burst_mode *mode)
{
	return burst_mode(eth_dev->data->tx_queues[id], mode);
}

/* The most descriptors that counting a packed ring may look at. */
#define COUNT_MOST	1024

/* The peer may write any index, so bound the count by the ring's size. */
static uint32_t
count_split(const struct vhostpci_ring *ring)
{
	uint16_t n = __atomic_load_n(&ring->avail->idx, __ATOMIC_RELAXED) -
		ring->last;

	return RTE_MIN(n, ring->size);
}

/* Count available descriptors: a packet in several descriptors counts several
 * times. */
static uint32_t
count_packed(const struct vhostpci_ring *ring)
{
	const struct vring_packed_desc *desc =
		(const struct vring_packed_desc *)ring->desc;
	uint32_t n, most = RTE_MIN(ring->size, COUNT_MOST);
	uint16_t at = ring->last;
	bool wrap = ring->wrap;

	for (n = 0; n < most; n++) {
		if (!packed_is_avail(__atomic_load_n(&desc[at].flags,
						     __ATOMIC_RELAXED), wrap))
			break;
		packed_step(ring, &at, &wrap, 1);
	}
	return n;
}

uint32_t
vhostpci_rx_queue_count(void *rxq)
{
	struct vhostpci_queue *queue = rxq;
	uint32_t n = 0;
	unsigned int i;

	if (queue == NULL || !vhostpci_queue_enter(queue))
		return 0;
	for (i = 0; i < queue->n_rings; i++)
		n += queue->rings[i]->packed ? count_packed(queue->rings[i]) :
			count_split(queue->rings[i]);
	vhostpci_queue_leave(queue);
	return n;
}

int
vhostpci_rx_descriptor_status(void *rxq, uint16_t offset)
{
	return vhostpci_rx_queue_count(rxq) > offset ?
		RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}
