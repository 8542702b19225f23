/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Checksum and segmentation offloads (virtio 1.x, 5.1.6): between a packet's
 * virtio-net header and its mbuf.
 *
 * Towards us the peer may leave the checksum of a packet to us (CSUM) and send
 * TCP packets of up to 64 KiB (HOST_TSO4, HOST_TSO6). An application is given
 * those only if it asked for them; otherwise the checksum is completed here,
 * and a packet to be segmented is dropped and counted. Towards the peer, what
 * it does not take (GUEST_CSUM) is computed here; what it cannot take
 * (GUEST_TSO4, GUEST_TSO6) is dropped and counted.
 *
 * The peer's header says where the checksum is, never where headers are: the
 * packet is parsed here, from our own copy.
 */

#ifndef VHOSTPCI_NET_OFFLOAD_H
#define VHOSTPCI_NET_OFFLOAD_H

#include <stdbool.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#include "vring/ring.h"

/* virtio feature bits: what the peer may leave to us ... */
#define VHOSTPCI_OFFLOAD_CSUM	(1ULL << VIRTIO_NET_F_CSUM | \
				 1ULL << VIRTIO_NET_F_GUEST_CSUM)
/* ... and only together with those. UFO and USO are never offered. */
#define VHOSTPCI_OFFLOAD_TSO	(1ULL << VIRTIO_NET_F_HOST_TSO4 | \
				 1ULL << VIRTIO_NET_F_HOST_TSO6 | \
				 1ULL << VIRTIO_NET_F_HOST_ECN | \
				 1ULL << VIRTIO_NET_F_GUEST_TSO4 | \
				 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
				 1ULL << VIRTIO_NET_F_GUEST_ECN)
#define VHOSTPCI_OFFLOAD_FEATURES \
	(VHOSTPCI_OFFLOAD_CSUM | VHOSTPCI_OFFLOAD_TSO)

/* struct vhostpci_ring.offload. Negotiated: HOST_* and CSUM for a ring that we
 * receive from, GUEST_* for one that we send to. */
#define VHOSTPCI_OL_CSUM	0x01
#define VHOSTPCI_OL_TSO4	0x02
#define VHOSTPCI_OL_TSO6	0x04
#define VHOSTPCI_OL_ECN		0x08
#define VHOSTPCI_OL_NEGOTIATED	0x0f
/* The application, of received packets: takes unfinished checksums; takes
 * packets to be segmented; wants both told by RTE_MBUF_F_TX_* flags, as
 * net_vhost does with legacy-ol-flags=1. */
#define VHOSTPCI_OL_TAKE_CSUM	0x10
#define VHOSTPCI_OL_TAKE_TSO	0x20
#define VHOSTPCI_OL_LEGACY	0x40

/* Bits of ol_flags with which a packet needs more than a header of zeros. */
#define VHOSTPCI_TX_OFFLOADS	(RTE_MBUF_F_TX_L4_MASK | \
				 RTE_MBUF_F_TX_TCP_SEG | \
				 RTE_MBUF_F_TX_UDP_SEG | \
				 RTE_MBUF_F_TX_IP_CKSUM)

/*
 * control or ethdev, while no burst uses the ring: the value of ring->offload.
 * @features: acknowledged by the peer; @taken: VHOSTPCI_OL_TAKE_* and _LEGACY.
 * 0: no header of this ring says anything.
 */
uint16_t vhostpci_offload_flags(bool rx, uint64_t features, uint16_t taken);

int vhostpci_offload_rx_slow(struct vhostpci_ring *ring, struct rte_mbuf *m,
			     const struct virtio_net_hdr *hdr);
int vhostpci_offload_tx_slow(struct vhostpci_ring *ring, struct rte_mbuf **pkt,
			     struct virtio_net_hdr *hdr);

/*
 * datapath: @m holds a received packet, data_len and pkt_len set, and has no
 * flags beyond its buffer's. @hdr is our copy of its header.
 * Sets ol_flags and the lengths that go with them, and completes the checksum
 * in the packet if that is for us to do. Returns 0, VHOSTPCI_DROPPED or a
 * negative rule that the peer broke; @m is then one mbuf, empty and as fresh as
 * before.
 * With ring->offload == 0 the header says nothing.
 */
static __rte_always_inline int
vhostpci_offload_rx(struct vhostpci_ring *ring, struct rte_mbuf *m,
		    const struct virtio_net_hdr *hdr)
{
	/* Of the other flags, none means anything in this direction. */
	if (likely(!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		   hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) ||
	    ring->offload == 0)
		return 0;
	return vhostpci_offload_rx_slow(ring, m, hdr);
}

struct vhostpci_flow_meta;

bool vhostpci_offload_is_l4_slow(const struct virtio_net_hdr_v1 *hdr,
				 const uint8_t *head, uint32_t len,
				 const struct vhostpci_flow_meta *meta);
bool vhostpci_offload_pass_slow(const struct vhostpci_ring *ring,
				uint16_t takes, struct virtio_net_hdr_v1 *hdr,
				const uint8_t *head,
				const struct vhostpci_flow_meta *meta);

/* datapath: is all complete in a packet of @ring, as its header @hdr says? */
static __rte_always_inline bool
vhostpci_offload_is_complete(const struct vhostpci_ring *ring,
			     const struct virtio_net_hdr_v1 *hdr)
{
	return likely(ring->offload == 0 ||
		      (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		       hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE));
}

/*
 * datapath: is what is missing in a packet of @ring nothing but the checksum of its
 * TCP or UDP header, one that vhostpci_headers_parse() also finds? It has @len
 * bytes, begins with @head, which is as parsed, and @hdr is our copy of its header,
 * if ring->offload is not 0. False: vhostpci_offload_rx() may write the checksum
 * to any place of the packet, also to one that a rule looks at.
 */
static __rte_always_inline bool
vhostpci_offload_is_l4(const struct vhostpci_ring *ring,
		       const struct virtio_net_hdr_v1 *hdr,
		       const uint8_t *head, uint32_t len,
		       const struct vhostpci_flow_meta *meta)
{
	return vhostpci_offload_is_complete(ring, hdr) ||
		vhostpci_offload_is_l4_slow(hdr, head, len, meta);
}

/*
 * datapath: may a packet of @ring, for which vhostpci_offload_is_l4() is true, go
 * on unfinished to a peer that takes @takes (VHOSTPCI_OL_NEGOTIATED)? Makes *@hdr
 * the header to go with it. False: the packet is one to be looked at by
 * vhostpci_offload_rx(), which also says what is wrong with it; *@hdr is as it
 * was.
 */
static __rte_always_inline bool
vhostpci_offload_pass(const struct vhostpci_ring *ring, uint16_t takes,
		      struct virtio_net_hdr_v1 *hdr, const uint8_t *head,
		      const struct vhostpci_flow_meta *meta)
{
	if (likely(vhostpci_offload_is_complete(ring, hdr))) {
		*hdr = (struct virtio_net_hdr_v1) { .num_buffers = 1 };
		return true;
	}
	return vhostpci_offload_pass_slow(ring, takes, hdr, head, meta);
}

/*
 * datapath: fill @hdr for the packet *@pkt that is about to be sent, and write
 * the checksums that the packet needs. May be repeated. Data that is shared is
 * not written to: *@pkt is then exchanged for a copy, and the reference to the
 * old one is given up. Returns 0 or VHOSTPCI_DROPPED (*@pkt stays the
 * caller's). Works for every ring; with ring->offload == 0 all checksums are
 * computed here.
 */
static __rte_always_inline int
vhostpci_offload_tx(struct vhostpci_ring *ring, struct rte_mbuf **pkt,
		    struct virtio_net_hdr *hdr)
{
	memset(hdr, 0, sizeof(*hdr));
	if (likely(!((*pkt)->ol_flags & VHOSTPCI_TX_OFFLOADS)))
		return 0;
	return vhostpci_offload_tx_slow(ring, pkt, hdr);
}

#endif
