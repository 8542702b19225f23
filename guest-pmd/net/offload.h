/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Checksum and segmentation offloads (virtio 1.x, 5.1.6): translation between a
 * packet's virtio-net header and its mbuf.
 *
 * A peer may leave the checksum of a packet to us (CSUM) and may send TCP packets
 * of up to 64 KiB (HOST_TSO4, HOST_TSO6). An application receives such packets
 * only if it asked for them. For other applications this code completes the
 * checksum, and drops and counts packets that need segmentation. If a peer does
 * not take packets without a checksum (GUEST_CSUM), this code computes the
 * checksum before it sends. It drops and counts packets that need segmentation if
 * the peer cannot take them (GUEST_TSO4, GUEST_TSO6).
 *
 * The peer's header says where the checksum is, but this code does not believe
 * what it says about other headers: it parses its own copy of the packet.
 */

#ifndef VHOSTPCI_NET_OFFLOAD_H
#define VHOSTPCI_NET_OFFLOAD_H

#include <stdbool.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#include "vring/ring.h"

/* virtio feature bits that let one side leave checksums to the other. */
#define VHOSTPCI_OFFLOAD_CSUM	(1ULL << VIRTIO_NET_F_CSUM | \
				 1ULL << VIRTIO_NET_F_GUEST_CSUM)
/* Segmentation needs the bits above. The driver never offers UFO and USO. */
#define VHOSTPCI_OFFLOAD_TSO	(1ULL << VIRTIO_NET_F_HOST_TSO4 | \
				 1ULL << VIRTIO_NET_F_HOST_TSO6 | \
				 1ULL << VIRTIO_NET_F_HOST_ECN | \
				 1ULL << VIRTIO_NET_F_GUEST_TSO4 | \
				 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
				 1ULL << VIRTIO_NET_F_GUEST_ECN)
#define VHOSTPCI_OFFLOAD_FEATURES \
	(VHOSTPCI_OFFLOAD_CSUM | VHOSTPCI_OFFLOAD_TSO)

/* Bits of struct vhostpci_ring.offload. Negotiated: HOST_* and CSUM for a ring that
 * we receive from, GUEST_* for a ring that we send to. */
#define VHOSTPCI_OL_CSUM	0x01
#define VHOSTPCI_OL_TSO4	0x02
#define VHOSTPCI_OL_TSO6	0x04
#define VHOSTPCI_OL_ECN		0x08
#define VHOSTPCI_OL_NEGOTIATED	0x0f
/* For received packets, the application: takes packets without a checksum; takes
 * packets that need segmentation; wants RTE_MBUF_F_TX_* flags for both, as from
 * net_vhost with legacy-ol-flags=1. */
#define VHOSTPCI_OL_TAKE_CSUM	0x10
#define VHOSTPCI_OL_TAKE_TSO	0x20
#define VHOSTPCI_OL_LEGACY	0x40

/* A packet with one of these ol_flags needs a header that is not all zeros. */
#define VHOSTPCI_TX_OFFLOADS	(RTE_MBUF_F_TX_L4_MASK | \
				 RTE_MBUF_F_TX_TCP_SEG | \
				 RTE_MBUF_F_TX_UDP_SEG | \
				 RTE_MBUF_F_TX_IP_CKSUM)

/*
 * control or ethdev, while no burst uses the ring: returns the value for
 * ring->offload. @features: acknowledged by the peer; @taken: VHOSTPCI_OL_TAKE_*
 * and _LEGACY. 0: headers of this ring have no meaning.
 */
uint16_t vhostpci_offload_flags(bool rx, uint64_t features, uint16_t taken);

int vhostpci_offload_rx_slow(struct vhostpci_ring *ring, struct rte_mbuf *m,
			     const struct virtio_net_hdr *hdr);
int vhostpci_offload_tx_slow(struct vhostpci_ring *ring, struct rte_mbuf **pkt,
			     struct virtio_net_hdr *hdr);

/*
 * datapath: @m holds a received packet, data_len and pkt_len set, and has no
 * flags beyond its buffer's. @hdr is our copy of its header.
 * Sets ol_flags and the lengths that go with them, and completes the checksum in
 * the packet if the application does not. Returns 0; or VHOSTPCI_DROPPED, or a
 * negative rule that the peer broke: @m is then one mbuf, empty and fresh again.
 * With ring->offload == 0 the header has no meaning.
 */
static __rte_always_inline int
vhostpci_offload_rx(struct vhostpci_ring *ring, struct rte_mbuf *m,
		    const struct virtio_net_hdr *hdr)
{
	/* The other flags have no meaning in this direction. */
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

/* datapath: does @hdr, the header of a packet of @ring, leave nothing to do? */
static __rte_always_inline bool
vhostpci_offload_is_complete(const struct vhostpci_ring *ring,
			     const struct virtio_net_hdr_v1 *hdr)
{
	return likely(ring->offload == 0 ||
		      (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		       hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE));
}

/*
 * datapath: does a packet of @ring lack nothing but the checksum of its TCP or UDP
 * header, and does vhostpci_headers_parse() find this header, too? The packet has
 * @len bytes and begins with @head; @meta is what the parser learned. @hdr is our
 * copy of the packet's virtio-net header, valid if ring->offload is not 0. If
 * false, vhostpci_offload_rx() may write the checksum to any place of the packet,
 * even to a place that a rule looks at.
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
 * datapath: vhostpci_offload_is_l4() is true for a packet of @ring. May the packet
 * go unfinished to a peer that takes @takes (VHOSTPCI_OL_NEGOTIATED)? If yes, sets
 * *@hdr to the header for that peer. If not, *@hdr is unchanged, and the caller
 * must call vhostpci_offload_rx(), which also finds errors of the packet.
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
 * datapath: fill @hdr for the packet *@pkt before it is sent, and write the
 * checksums that the packet needs. The caller may repeat this. If the packet's
 * data is shared, this replaces *@pkt by a copy, and drops the reference to the
 * old packet. Returns 0 or VHOSTPCI_DROPPED (the caller still owns *@pkt). Works
 * for every ring; with ring->offload == 0 it computes all checksums.
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
