/* SPDX-License-Identifier: BSD-3-Clause */

/* One instance of the bursts for each combination of flags in use, and the
 * choice of the instance for a ring. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "flow/forward.h"
#include "net/rx.h"
#include "net/steered.h"
#include "net/tx.h"
#include "net/variants.h"

#define RX(name, flags) \
	static uint16_t \
	name(struct vhostpci_ring *ring, struct rte_mempool *mp, \
	     struct rte_mbuf **pkts, uint16_t n) \
	{ \
		return burst_rx(ring, mp, pkts, n, flags); \
	}

#define TX(name, flags) \
	static uint16_t \
	name(struct vhostpci_ring *ring, struct rte_mbuf **pkts, uint16_t n) \
	{ \
		return burst_tx(ring, pkts, n, flags); \
	}

#define STEER(name, flags) \
	static uint16_t \
	name(struct vhostpci_ring *ring, struct vhostpci_steer *steer, \
	     struct rte_mbuf **pkts, uint16_t n) \
	{ \
		return burst_steer(ring, steer, pkts, n, flags); \
	}

RX(rx_split, 0)
RX(rx_split_in_order, F_IN_ORDER)
RX(rx_split_offload, F_OFFLOAD)
RX(rx_split_in_order_offload, F_IN_ORDER | F_OFFLOAD)
RX(rx_packed, F_PACKED)
RX(rx_packed_in_order, F_PACKED | F_IN_ORDER)
RX(rx_packed_offload, F_PACKED | F_OFFLOAD)
RX(rx_packed_in_order_offload, F_PACKED | F_IN_ORDER | F_OFFLOAD)

STEER(steer_split, 0)
STEER(steer_split_in_order, F_IN_ORDER)
STEER(steer_split_offload, F_OFFLOAD)
STEER(steer_split_in_order_offload, F_IN_ORDER | F_OFFLOAD)
STEER(steer_packed, F_PACKED)
STEER(steer_packed_in_order, F_PACKED | F_IN_ORDER)
STEER(steer_packed_offload, F_PACKED | F_OFFLOAD)
STEER(steer_packed_in_order_offload, F_PACKED | F_IN_ORDER | F_OFFLOAD)

TX(tx_split, 0)
TX(tx_split_mrg, F_MRG_RXBUF)
TX(tx_split_offload, F_OFFLOAD)
TX(tx_split_mrg_offload, F_MRG_RXBUF | F_OFFLOAD)
TX(tx_packed, F_PACKED)
TX(tx_packed_mrg, F_PACKED | F_MRG_RXBUF)
TX(tx_packed_offload, F_PACKED | F_OFFLOAD)
TX(tx_packed_mrg_offload, F_PACKED | F_MRG_RXBUF | F_OFFLOAD)

static const vhostpci_rx_t rx_variants[] = {
	[0] = rx_split,
	[F_IN_ORDER] = rx_split_in_order,
	[F_OFFLOAD] = rx_split_offload,
	[F_IN_ORDER | F_OFFLOAD] = rx_split_in_order_offload,
	[F_PACKED] = rx_packed,
	[F_PACKED | F_IN_ORDER] = rx_packed_in_order,
	[F_PACKED | F_OFFLOAD] = rx_packed_offload,
	[F_PACKED | F_IN_ORDER | F_OFFLOAD] = rx_packed_in_order_offload,
};

static const vhostpci_steer_t steer_variants[] = {
	[0] = steer_split,
	[F_IN_ORDER] = steer_split_in_order,
	[F_OFFLOAD] = steer_split_offload,
	[F_IN_ORDER | F_OFFLOAD] = steer_split_in_order_offload,
	[F_PACKED] = steer_packed,
	[F_PACKED | F_IN_ORDER] = steer_packed_in_order,
	[F_PACKED | F_OFFLOAD] = steer_packed_offload,
	[F_PACKED | F_IN_ORDER | F_OFFLOAD] = steer_packed_in_order_offload,
};

static const vhostpci_tx_t tx_variants[] = {
	[0] = tx_split,
	[F_MRG_RXBUF] = tx_split_mrg,
	[F_OFFLOAD] = tx_split_offload,
	[F_MRG_RXBUF | F_OFFLOAD] = tx_split_mrg_offload,
	[F_PACKED] = tx_packed,
	[F_PACKED | F_MRG_RXBUF] = tx_packed_mrg,
	[F_PACKED | F_OFFLOAD] = tx_packed_offload,
	[F_PACKED | F_MRG_RXBUF | F_OFFLOAD] = tx_packed_mrg_offload,
};

static unsigned int
flag_if(uint64_t features, uint64_t bits, unsigned int flag)
{
	return features & bits ? flag : 0;
}

static uint64_t
mbuf_rearm(uint16_t port)
{
	struct rte_mbuf m = {
		.data_off = RTE_PKTMBUF_HEADROOM, .nb_segs = 1, .port = port,
	};
	uint64_t rearm;

	rte_mbuf_refcnt_set(&m, 1);
	memcpy(&rearm, (const uint8_t *)&m + VHOSTPCI_MBUF_REARM,
	       sizeof(rearm));
	return rearm;
}

void
vhostpci_ring_select(struct vhostpci_ring *ring, uint64_t features,
		     bool tx_offloads)
{
	unsigned int mrg = flag_if(features, 1ULL << VIRTIO_NET_F_MRG_RXBUF,
				   F_MRG_RXBUF);
	unsigned int in_order = flag_if(features, 1ULL << VIRTIO_F_IN_ORDER,
					F_IN_ORDER);
	unsigned int flags =
		flag_if(features, 1ULL << VIRTIO_F_RING_PACKED, F_PACKED);

	ring->rearm = mbuf_rearm(ring->port);
	/* Transmit offloads of the application are done whatever the peer
	 * negotiated. */
	if (ring->offload != 0 ||
	    (!vhostpci_ring_is_rx(ring) && tx_offloads))
		flags |= F_OFFLOAD;
	if (vhostpci_ring_is_rx(ring)) {
		ring->rx = rx_variants[flags | in_order];
		ring->steer = steer_variants[flags | in_order];
	} else {
		ring->tx = tx_variants[flags | mrg];
		vhostpci_forward_select(ring, features);
	}
}
