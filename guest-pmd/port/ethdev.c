/* SPDX-License-Identifier: BSD-3-Clause */

/* The ethdev shell: what an application sees of a port. */

#include <errno.h>

#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_jhash.h>
#include <rte_malloc.h>

#include "flow/inlet.h"
#include "net/large.h"
#include "net/offload.h"
#include "net/rxtx.h"
#include "port/assign.h"
#include "port/broken.h"
#include "port/capa.h"
#include "port/ethdev.h"
#include "port/flow.h"
#include "port/intr.h"
#include "port/link.h"
#include "port/pause.h"
#include "port/port.h"
#include "port/queue.h"
#include "port/stats.h"
#include "rte_pmd_vhostpci.h"

RTE_LOG_REGISTER(vhostpci_logtype, pmd.net.vpci, NOTICE);

/* Log lines that one peer can cause: little more than an honest peer needs. */
#define LOG_PER_SECOND	1
#define LOG_AT_ONCE	60

/* Set the longest frame that rules may send: the longest frame that Open
 * vSwitch sends to a port with this MTU, with a VLAN tag or the CRC that Open
 * vSwitch counts. */
static void
set_max_frame(struct vhostpci_dev *dev, uint16_t mtu)
{
	uint32_t len = mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	/* relaxed: rules obey this from now on. */
	__atomic_store_n(&dev->inlet->max_len,
			 RTE_MIN(len, (uint32_t)VHOSTPCI_MAX_PKT_LEN),
			 __ATOMIC_RELAXED);
}

static int
dev_configure(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	uint16_t taken;
	int rc = 0;

	taken = vhostpci_taken_offloads(
		dev, eth_dev->data->dev_conf.rxmode.offloads);
	if (taken & VHOSTPCI_OL_TAKE_TSO &&
	    dev->transport.offered_features & VHOSTPCI_OFFLOAD_TSO)
		rc = vhostpci_large_init();
	if (rc != 0) {
		VHOSTPCI_LOG(ERR, "%s: no memory for large packets",
			     eth_dev->data->name);
		return rc;
	}
	pthread_mutex_lock(&dev->lock);
	rc = vhostpci_pause_all(dev);
	if (rc == 0) {
		vhostpci_set_taken(dev, taken);
		/* ethdev has set a new MTU without calling mtu_set(). */
		set_max_frame(dev, eth_dev->data->mtu);
		vhostpci_set_scatter(dev, eth_dev->data->mtu);
		vhostpci_rx_queues_old(eth_dev);
		/* First, because this still needs the old number of queues. */
		rc = vhostpci_intr_configure(dev);
		dev->n_rxq = eth_dev->data->nb_rx_queues;
		dev->n_txq = eth_dev->data->nb_tx_queues;
		vhostpci_resume_all(dev);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

/* Change a flag that decides whether bursts run, while no burst runs. */
static int
set_flag(struct vhostpci_dev *dev, bool *flag, bool value)
{
	bool link_changed = false;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vhostpci_pause_all(dev);
	if (rc == 0) {
		*flag = value;
		vhostpci_resume_all(dev);
		link_changed = vhostpci_update_link(dev);
	}
	pthread_mutex_unlock(&dev->lock);
	if (rc != 0)
		VHOSTPCI_LOG(ERR, "%s: a burst does not end",
			     dev->eth_dev->data->name);
	if (link_changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
	return rc;
}

/* Queues start and stop with the port. */
static void
set_queue_states(struct rte_eth_dev_data *data, uint8_t state)
{
	memset(data->rx_queue_state, state, data->nb_rx_queues);
	memset(data->tx_queue_state, state, data->nb_tx_queues);
}

static int
dev_start(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	int rc = dev->removed ? -EIO :
		vhostpci_check_mtu(eth_dev, eth_dev->data->mtu, true);

	if (rc == 0)
		rc = set_flag(dev, &dev->started, true);
	if (rc == 0)
		set_queue_states(eth_dev->data, RTE_ETH_QUEUE_STATE_STARTED);
	return rc;
}

static int
dev_stop(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	eth_dev->data->dev_started = 0;
	set_queue_states(eth_dev->data, RTE_ETH_QUEUE_STATE_STOPPED);
	return set_flag(dev, &dev->started, false);
}

static int
dev_set_link_up(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	return set_flag(dev, &dev->admin_down, false);
}

static int
dev_set_link_down(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	return set_flag(dev, &dev->admin_down, true);
}

/* The port updates the link at each change, so there is nothing to do here. */
static int
link_update(struct rte_eth_dev *eth_dev __rte_unused, int wait __rte_unused)
{
	return 0;
}

static int
is_removed(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	return dev->removed;
}

/* The link has one peer, and the port receives everything that the peer
 * sends. */
static int
accept_all(struct rte_eth_dev *eth_dev __rte_unused)
{
	return 0;
}

/* The driver only reports the address, and filters nothing by it. */
static int
mac_addr_set(struct rte_eth_dev *eth_dev __rte_unused,
	     struct rte_ether_addr *addr __rte_unused)
{
	return 0;
}

/* Buffers belong to the application and to the peer, so no size of ours
 * changes. By the rules of ethdev the MTU limits what an application sends; the
 * application and the rules see to that. The port receives a longer packet if
 * the packet fits an mbuf. An application that configures the port anew sets
 * the MTU before the queues. */
static int
mtu_set(struct rte_eth_dev *eth_dev, uint16_t mtu)
{
	int rc = vhostpci_check_mtu(eth_dev, mtu, false);

	if (rc != 0)
		return rc;
	set_max_frame(eth_dev->data->dev_private, mtu);
	vhostpci_set_scatter(eth_dev->data->dev_private, mtu);
	return 0;
}

static int
flow_ctrl_get(struct rte_eth_dev *eth_dev __rte_unused,
	      struct rte_eth_fc_conf *conf __rte_unused)
{
	return -ENOTSUP;
}

/* A burst copies packets and frees their mbufs itself. */
static int
tx_done_cleanup(void *queue __rte_unused, uint32_t n __rte_unused)
{
	return 0;
}

/* Free what belongs to the device, except the memory that belongs to the
 * port. */
static void
free_parts(struct vhostpci_dev *dev)
{
	vhostpci_flow_detach(dev);
	/* Rules of other ports may still refer to the inlet. */
	if (dev->inlet != NULL)
		vhostpci_inlet_put(dev->inlet);
	dev->inlet = NULL;
	/* ethdev must not free the address: it is a part of @dev. */
	dev->eth_dev->data->mac_addrs = NULL;
	dev->n_rings = 0;
	rte_free(dev->rings);
	dev->rings = NULL;
}

static void
release_queues(struct rte_eth_dev *eth_dev)
{
	uint16_t i;

	for (i = 0; i < eth_dev->data->nb_rx_queues; i++)
		vhostpci_rx_queue_release(eth_dev, i);
	for (i = 0; i < eth_dev->data->nb_tx_queues; i++)
		vhostpci_tx_queue_release(eth_dev, i);
	eth_dev->data->nb_rx_queues = 0;
	eth_dev->data->nb_tx_queues = 0;
}

/* A burst does not end, because its thread was stopped or hangs. Keep the
 * memory that the burst uses, for ever; dev_close() lets the peer and
 * everything else go. */
static void
leave_stuck(struct vhostpci_dev *dev)
{
	VHOSTPCI_LOG(ERR, "%s: closed although a burst does not end; its "
		     "memory stays", dev->eth_dev->data->name);
	pthread_mutex_lock(&dev->lock);
	dev->stuck = true;
	/* From now on no burst begins, whatever the transport still adopts. */
	dev->removed = true;
	vhostpci_pause_all(dev);
	pthread_mutex_unlock(&dev->lock);
}

static int
dev_close(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	unsigned int tries = 0;
	int rc;

	if (dev->closed)
		return 0;
	/* ethdev frees the port even after a failure, so a burst that is
	 * preempted right now gets one more second. */
	do {
		rc = dev_stop(eth_dev);
	} while (rc != 0 && ++tries < 1000 / VHOSTPCI_QUIESCE_MS);
	if (rc != 0)
		leave_stuck(dev);
	dev->closed = true;
	vhostpci_flow_unlist(dev);
	/* Before the transport closes: nothing may call ops->broken() after its
	 * close(). */
	vhostpci_broken_detach(dev);
	dev->transport.ops->close(dev);
	vhostpci_link_fini(dev);
	vhostpci_intr_free(dev);
	if (dev->stuck) {
		/* ethdev must not free @dev, which has the rings and the
		 * rules. */
		eth_dev->data->dev_private = NULL;
		eth_dev->data->mac_addrs = NULL;
		return 0;
	}
	/* After the transport has closed: until then an adoption may signal a
	 * broken ring. */
	vhostpci_broken_release();
	release_queues(eth_dev);
	free_parts(dev);
	pthread_mutex_destroy(&dev->lock);
	return 0;
}

/* Go back to the state after probe. The connection to the peer goes on. */
static int
dev_reset(struct rte_eth_dev *eth_dev)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;

	return dev->removed ? -EIO : dev_stop(eth_dev);
}

const struct eth_dev_ops vhostpci_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_set_link_up = dev_set_link_up,
	.dev_set_link_down = dev_set_link_down,
	.dev_close = dev_close,
	.dev_reset = dev_reset,
	.link_update = link_update,
	.is_removed = is_removed,
	.promiscuous_enable = accept_all,
	.promiscuous_disable = accept_all,
	.allmulticast_enable = accept_all,
	.allmulticast_disable = accept_all,
	.mac_addr_set = mac_addr_set,
	.mtu_set = mtu_set,
	.stats_get = vhostpci_stats_get,
	.stats_reset = vhostpci_stats_reset,
	.xstats_get = vhostpci_xstats_get,
	.xstats_reset = vhostpci_stats_reset,
	.xstats_get_names = vhostpci_xstats_get_names,
	.dev_infos_get = vhostpci_infos_get,
	.rxq_info_get = vhostpci_rxq_info_get,
	.txq_info_get = vhostpci_txq_info_get,
	.rx_burst_mode_get = vhostpci_rx_burst_mode_get,
	.tx_burst_mode_get = vhostpci_tx_burst_mode_get,
	.rx_queue_setup = vhostpci_rx_queue_setup,
	.rx_queue_release = vhostpci_rx_queue_release,
	.rx_queue_intr_enable = vhostpci_rx_intr_enable,
	.rx_queue_intr_disable = vhostpci_rx_intr_disable,
	.tx_queue_setup = vhostpci_tx_queue_setup,
	.tx_queue_release = vhostpci_tx_queue_release,
	.tx_done_cleanup = tx_done_cleanup,
	.flow_ctrl_get = flow_ctrl_get,
	.flow_ops_get = vhostpci_flow_ops_get,
	.rx_metadata_negotiate = vhostpci_flow_negotiate,
};

/* Make a stable address: others that have learned it find the port after a
 * restart. The hash uses the name of the peer rather than the place of the
 * device, because hot-plug may change the place. */
static void
set_mac(struct vhostpci_dev *dev)
{
	const char *name = dev->transport.peer_name[0] != '\0' ||
		dev->transport.place == NULL ? dev->transport.peer_name :
		dev->transport.place;
	struct rte_ether_addr *addr = &dev->mac;
	/* rte_jhash() reads words. */
	char copy[PATH_MAX] __rte_aligned(sizeof(uint32_t));
	uint32_t hash[2];
	size_t len;

	rte_eth_random_addr(addr->addr_bytes);
	if (name[0] != '\0') {
		len = strnlen(name, sizeof(copy));
		memcpy(copy, name, len);
		hash[0] = rte_jhash(copy, len,
				    0x76706369 + dev->transport.function);
		hash[1] = rte_jhash(copy, len, hash[0]);
		memcpy(addr->addr_bytes, hash, RTE_ETHER_ADDR_LEN);
		addr->addr_bytes[0] &= (uint8_t)~RTE_ETHER_GROUP_ADDR;
		addr->addr_bytes[0] |= RTE_ETHER_LOCAL_ADMIN_ADDR;
	}
	dev->eth_dev->data->mac_addrs = addr;
}

/* Make as many rings as the transport allows. VHOSTPCI_MAX_RINGS for every port
 * would take most of its memory. */
static int
make_rings(struct vhostpci_dev *dev)
{
	const struct vhostpci_transport *t = &dev->transport;
	unsigned int n = t->max_queue_pairs * 2u, i;

	dev->rings = rte_zmalloc_socket("vhostpci_rings",
					n * (sizeof(*dev->rings) +
					     sizeof(*dev->ring_base) +
					     sizeof(*dev->peer.rings)),
					RTE_CACHE_LINE_SIZE,
					dev->eth_dev->data->numa_node);
	dev->inlet = vhostpci_inlet_new(dev->eth_dev->data->name, n / 2,
					dev->eth_dev->data->numa_node);
	if (dev->rings == NULL || dev->inlet == NULL)
		return -ENOMEM;
	dev->inlet->fence = dev->fence;
	set_max_frame(dev, dev->eth_dev->data->mtu);
	dev->ring_base = (struct vhostpci_counters *)&dev->rings[n];
	dev->peer.rings = (struct vhostpci_vring_desc *)&dev->ring_base[n];
	dev->n_rings = n;
	for (i = 0; i < n; i++) {
		struct vhostpci_ring *ring = &dev->rings[i];

		ring->index = i;
		ring->dev = dev;
		ring->signal = t->ops->call;
		ring->report = vhostpci_broken_signal;
		ring->port = dev->eth_dev->data->port_id;
		ring->mem = &dev->mem;
		ring->progress = &t->progress[i * t->progress_stride];
		ring->revoked = t->revoked;
		ring->lock = &dev->inlet->lanes[i / 2].lock;
	}
	return 0;
}

static void
set_transport(struct vhostpci_dev *dev,
	      const struct vhostpci_transport *transport)
{
	static const volatile uint64_t never;

	dev->transport = *transport;
	if (transport->revoked == NULL)
		dev->transport.revoked = &never;
	if (transport->grown == NULL)
		dev->transport.grown = &never;
	dev->mem.grown = dev->transport.grown;
	/* A transport may have nothing to read here before the first state. */
	dev->revoked = UINT64_MAX;
}

struct vhostpci_dev *
vhostpci_ethdev_create(struct rte_eth_dev *eth_dev,
		       const struct vhostpci_transport *transport)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	int rc;

	if (!vhostpci_is_right_release() || rte_eal_process_type() != RTE_PROC_PRIMARY) {
		rte_errno = ENOTSUP;
		return NULL;
	}
	memset(dev, 0, sizeof(*dev));
	dev->eth_dev = eth_dev;
	set_transport(dev, transport);
	dev->fence = vhostpci_needs_fence();
	pthread_mutex_init(&dev->lock, NULL);
	vhostpci_limit_init(&dev->log_limit, LOG_PER_SECOND, LOG_AT_ONCE);
	vhostpci_link_init(dev);
	rc = make_rings(dev);
	if (rc == 0)
		rc = vhostpci_flow_attach(dev);
	if (rc == 0)
		rc = vhostpci_broken_attach(dev);
	if (rc != 0) {
		free_parts(dev);
		rte_errno = -rc;
		return NULL;
	}
	set_mac(dev);
	eth_dev->dev_ops = &vhostpci_ops;
	/* ethdev may see a handle for receive interrupts only; a handle of the
	 * bus concerns only the transport. */
	eth_dev->intr_handle = NULL;
	eth_dev->rx_pkt_burst = vhostpci_rx_burst;
	eth_dev->tx_pkt_burst = vhostpci_tx_burst;
	eth_dev->rx_queue_count = vhostpci_rx_queue_count;
	eth_dev->rx_descriptor_status = vhostpci_rx_descriptor_status;
	eth_dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC |
		RTE_ETH_DEV_INTR_RMV | RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE |
		RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	vhostpci_update_link(dev);
	vhostpci_flow_list(dev);
	return dev;
}

void
vhostpci_ethdev_abandon(struct vhostpci_dev *dev)
{
	vhostpci_broken_detach(dev);
	vhostpci_broken_release();
	vhostpci_link_fini(dev);
	free_parts(dev);
	pthread_mutex_destroy(&dev->lock);
}

int
vhostpci_ethdev_destroy(struct rte_eth_dev *eth_dev)
{
	int rc;

	if (eth_dev->state == RTE_ETH_DEV_UNUSED)
		return 0;
	rc = dev_close(eth_dev);
	if (rc != 0)
		return rc;
	return rte_eth_dev_release_port(eth_dev);
}
