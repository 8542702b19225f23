/* SPDX-License-Identifier: BSD-3-Clause */

/* The capabilities of a port, for its peer and for its application. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "net/offload.h"
#include "net/variants.h"
#include "port/capa.h"
#include "port/port.h"

/* Bytes of a frame that the MTU does not count: Ethernet header, two VLAN tags
 * or one and a CRC. */
#define OVERHEAD	(RTE_ETHER_HDR_LEN + 8)

#define RX_CSUM	(RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)

uint64_t
vhostpci_supported_features(void)
{
	return 1ULL << VIRTIO_F_VERSION_1 |
		1ULL << VIRTIO_F_ANY_LAYOUT |
		1ULL << VIRTIO_RING_F_INDIRECT_DESC |
		1ULL << VIRTIO_RING_F_EVENT_IDX |
		1ULL << VIRTIO_F_RING_PACKED |
		1ULL << VIRTIO_F_IN_ORDER |
		1ULL << VIRTIO_NET_F_MRG_RXBUF |
		VHOSTPCI_OFFLOAD_FEATURES |
		/* These have no meaning for the rings. */
		1ULL << VIRTIO_NET_F_MQ |
		1ULL << VIRTIO_NET_F_MTU |
		1ULL << VIRTIO_NET_F_MAC |
		1ULL << VIRTIO_NET_F_STATUS |
		1ULL << VIRTIO_NET_F_GUEST_ANNOUNCE |
		1ULL << VIRTIO_NET_F_CTRL_VQ |
		1ULL << VIRTIO_NET_F_CTRL_RX |
		1ULL << VIRTIO_NET_F_CTRL_VLAN |
		1ULL << VIRTIO_NET_F_CTRL_RX_EXTRA |
		1ULL << VIRTIO_NET_F_CTRL_MAC_ADDR |
		/* VHOST_USER_F_PROTOCOL_FEATURES: the transport's own. */
		1ULL << 30;
}

uint16_t
vhostpci_taken_offloads(const struct vhostpci_dev *dev, uint64_t rx_offloads)
{
	uint16_t taken = 0;

	if (dev->transport.legacy_ol_flags)
		return VHOSTPCI_OL_LEGACY | VHOSTPCI_OL_TAKE_CSUM |
			VHOSTPCI_OL_TAKE_TSO;
	/* UDP and TCP or neither: the driver would have to look into packets to
	 * tell one from the other. The checksum of a large packet is
	 * unfinished, too. */
	if ((rx_offloads & RX_CSUM) == RX_CSUM)
		taken |= VHOSTPCI_OL_TAKE_CSUM;
	if (rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		taken |= VHOSTPCI_OL_TAKE_TSO;
	return taken;
}

void
vhostpci_set_taken(struct vhostpci_dev *dev, uint16_t taken)
{
	const uint64_t none = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	unsigned int i;

	dev->taken = taken;
	/* Applications that know net_vhost's flags request no offloads, and
	 * expect the driver to do whatever the flags of a packet say. */
	dev->tx_offloads = taken & VHOSTPCI_OL_LEGACY ||
		dev->eth_dev->data->dev_conf.txmode.offloads & ~none;
	for (i = 0; i < dev->n_rings; i++) {
		struct vhostpci_ring *ring = &dev->rings[i];

		ring->offload = vhostpci_offload_flags(vhostpci_ring_is_rx(ring),
						       ring->features,
						       taken);
		if (ring->running)
			vhostpci_ring_select(ring, ring->features,
					     dev->tx_offloads);
	}
}

void
vhostpci_set_scatter(struct vhostpci_dev *dev, uint16_t mtu)
{
	bool on = dev->eth_dev->data->dev_conf.rxmode.offloads &
		RTE_ETH_RX_OFFLOAD_SCATTER;
	unsigned int i;

	dev->eth_dev->data->scattered_rx = on;
	for (i = 1; i < dev->n_rings; i += 2)
		/* relaxed: later frames obey this. */
		__atomic_store_n(&dev->rings[i].scatter,
				 on ? mtu + OVERHEAD : 0, __ATOMIC_RELAXED);
}

/*
 * Report only offloads that are offered to the peer. IPV4_CKSUM is missing on
 * receive, because nobody here checks that checksum. Open vSwitch asks for all
 * three checksum offloads or none, so otherwise it would forward unfinished
 * packets as they are.
 */
static void
offloads_get(const struct vhostpci_dev *dev, struct rte_eth_dev_info *info)
{
	uint64_t offered = dev->transport.offered_features;

	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (offered & (1ULL << VIRTIO_NET_F_GUEST_CSUM)) {
		info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |
			RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
			RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
		if (offered & (1ULL << VIRTIO_NET_F_GUEST_TSO4) &&
		    offered & (1ULL << VIRTIO_NET_F_GUEST_TSO6))
			info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	}
	/* With legacy_ol_flags the driver does not set the mbuf flags of these
	 * offloads. */
	if (dev->transport.legacy_ol_flags ||
	    !(offered & (1ULL << VIRTIO_NET_F_CSUM)))
		return;
	info->rx_offload_capa |= RX_CSUM;
	if (offered & (1ULL << VIRTIO_NET_F_HOST_TSO4 |
		       1ULL << VIRTIO_NET_F_HOST_TSO6)) {
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
		info->max_lro_pkt_size = VHOSTPCI_MAX_PKT_LEN;
	}
}

int
vhostpci_infos_get(struct rte_eth_dev *eth_dev, struct rte_eth_dev_info *info)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	const struct rte_eth_desc_lim any = {
		/* No descriptors of our own: the peer sizes its rings. */
		.nb_max = VHOSTPCI_MAX_RING_SIZE,
		.nb_min = 1,
		.nb_align = 1,
	};

	info->max_mac_addrs = 1;
	info->max_rx_pktlen = VHOSTPCI_MAX_PKT_LEN;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_mtu = VHOSTPCI_MAX_PKT_LEN - OVERHEAD;
	info->min_rx_bufsize = RTE_ETHER_MIN_LEN;
	/* The peer's rings can fill any number of rx queues up to their own
	 * number. More tx queues than rings are possible: they share rings. */
	info->max_rx_queues = dev->transport.max_queue_pairs;
	info->max_tx_queues = VHOSTPCI_MAX_QUEUES;
	info->rx_desc_lim = any;
	info->tx_desc_lim = any;
	info->speed_capa = RTE_ETH_LINK_SPEED_10G | RTE_ETH_LINK_SPEED_FIXED;
	offloads_get(dev, info);
	info->default_rxportconf.burst_size = 32;
	info->default_txportconf.burst_size = 32;
	info->default_rxportconf.ring_size = 1024;
	info->default_txportconf.ring_size = 1024;
	info->default_rxportconf.nb_queues = 1;
	info->default_txportconf.nb_queues = 1;
	return 0;
}
