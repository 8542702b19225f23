/* SPDX-License-Identifier: BSD-3-Clause */

/* See net/offload.h. */

#include <netinet/in.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "base/headers.h"
#include "flow/key.h"
#include "net/offload.h"
#include "net/scatter.h"

/*
 * From the peer.
 */

static int
drop(struct vhostpci_ring *ring)
{
	ring->count.unsupported++;
	return VHOSTPCI_DROPPED;
}

static void
set_lengths(struct rte_mbuf *m, const struct vhostpci_headers *p)
{
	m->l2_len = p->l2_len;
	m->l3_len = p->l3_len;
}

/* Tell the application that the checksum of @m is unfinished. @p says where it
 * is. */
static void
tell_csum(uint16_t offload, struct rte_mbuf *m, const struct vhostpci_headers *p)
{
	bool tcp = p->proto == IPPROTO_TCP;

	m->packet_type = RTE_PTYPE_L2_ETHER |
		(p->v6 ? RTE_PTYPE_L3_IPV6_EXT_UNKNOWN :
			 RTE_PTYPE_L3_IPV4_EXT_UNKNOWN) |
		(tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP);
	if (offload & VHOSTPCI_OL_LEGACY) {
		set_lengths(m, p);
		m->ol_flags |= (p->v6 ? RTE_MBUF_F_TX_IPV6 :
				RTE_MBUF_F_TX_IPV4) |
			(tcp ? RTE_MBUF_F_TX_TCP_CKSUM :
			 RTE_MBUF_F_TX_UDP_CKSUM);
	} else if (offload & VHOSTPCI_OL_TAKE_CSUM) {
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	} else {
		vhostpci_csum_l4(m, p);
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
}

static void
tell_tso(uint16_t offload, struct rte_mbuf *m, const struct vhostpci_headers *p,
	 uint16_t gso_size)
{
	tell_csum(offload, m, p);
	m->tso_segsz = gso_size;
	if (offload & VHOSTPCI_OL_LEGACY) {
		m->l4_len = p->l4_len;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	} else {
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
	}
}

/* May the peer ask for this kind of segmentation? */
static bool
gso_negotiated(uint16_t offload, uint8_t gso_type)
{
	if (gso_type & VIRTIO_NET_HDR_GSO_ECN && !(offload & VHOSTPCI_OL_ECN))
		return false;
	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return offload & VHOSTPCI_OL_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return offload & VHOSTPCI_OL_TSO6;
	default:
		return false;
	}
}

/* @p: the headers of the packet, or NULL if unknown. */
static int
rx_gso(struct vhostpci_ring *ring, struct rte_mbuf *m, const struct vhostpci_headers *p,
       const struct virtio_net_hdr *hdr)
{
	uint16_t gso_size = rte_le_to_cpu_16(hdr->gso_size);
	uint8_t type = hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if (!gso_negotiated(ring->offload, hdr->gso_type))
		return -VHOSTPCI_RULE_GSO_TYPE;
	if (gso_size == 0)
		return -VHOSTPCI_RULE_GSO_HEADER;
	/* Drop, but do not blame: an honest driver may know protocols that we
	 * do not know. */
	if (p == NULL || p->proto != IPPROTO_TCP ||
	    p->v6 != (type == VIRTIO_NET_HDR_GSO_TCPV6))
		return drop(ring);
	if (p->l4_bytes - p->l4_len <= gso_size)
		tell_csum(ring->offload, m, p);	/* nothing to segment */
	else if (ring->offload & VHOSTPCI_OL_TAKE_TSO)
		tell_tso(ring->offload, m, p, gso_size);
	else
		return drop(ring);
	return 0;
}

static int
rx_packet(struct vhostpci_ring *ring, struct rte_mbuf *m,
	  const struct virtio_net_hdr *hdr)
{
	uint32_t start = rte_le_to_cpu_16(hdr->csum_start);
	uint32_t field = start + rte_le_to_cpu_16(hdr->csum_offset);
	struct vhostpci_headers p;
	bool known;

	/* virtio 1.x, 5.1.6.2.1: a driver that asks for segmentation must leave
	 * the checksum to us. */
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return -VHOSTPCI_RULE_GSO_HEADER;
	if (field + sizeof(uint16_t) > m->pkt_len)
		return -VHOSTPCI_RULE_CSUM;
	/* The application uses mbufs of a few bytes, and the checksum is not in
	 * the first one. */
	if (field + sizeof(uint16_t) > m->data_len)
		return drop(ring);
	known = vhostpci_headers_parse(m, &p) && start == p.l2_len + (uint32_t)p.l3_len &&
		field == p.field;
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return rx_gso(ring, m, known ? &p : NULL, hdr);
	if (known) {
		tell_csum(ring->offload, m, &p);
	} else {
		/* The packet is a tunnel, a fragment, or of a protocol that
		 * mbufs cannot name. Compute the checksum as the specification
		 * says, whatever the packet is. */
		vhostpci_csum_partial(m, start, field);
	}
	return 0;
}

int
vhostpci_offload_rx_slow(struct vhostpci_ring *ring, struct rte_mbuf *m,
			 const struct virtio_net_hdr *hdr)
{
	int rc;

	/* Clear the values of the mbuf's last packet: the flags set here make
	 * them count. */
	m->tx_offload = 0;
	rc = rx_packet(ring, m, hdr);
	/* The mbuf may serve the next packet, so restore its room. */
	if (rc != 0)
		vhostpci_scatter_undo(m);
	return rc;
}

/* Adapt segmentation of a packet that goes from ring to ring: see
 * vhostpci_offload_pass(). */
static bool
pass_gso(const struct vhostpci_ring *ring, uint16_t takes,
	 struct virtio_net_hdr_v1 *hdr, const uint8_t *head,
	 const struct vhostpci_flow_meta *meta)
{
	bool v6 = meta->flags & VHOSTPCI_FLOW_IS_IP6;
	uint8_t type = hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	uint16_t gso_size = rte_le_to_cpu_16(hdr->gso_size), tcp_len;

	if (!gso_negotiated(ring->offload, hdr->gso_type) || gso_size == 0 ||
	    meta->proto != IPPROTO_TCP ||
	    v6 != (type == VIRTIO_NET_HDR_GSO_TCPV6) ||
	    !(takes & (v6 ? VHOSTPCI_OL_TSO6 : VHOSTPCI_OL_TSO4)))
		return false;
	tcp_len = (head[meta->l4 + 12] >> 4) * 4;
	hdr->hdr_len = rte_cpu_to_le_16(meta->l4 + tcp_len);
	if (!(takes & VHOSTPCI_OL_ECN))
		hdr->gso_type = type;
	/* Nothing to segment. */
	if (meta->l4_len - tcp_len <= gso_size)
		hdr->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		hdr->gso_size = 0;
		hdr->hdr_len = 0;
	}
	return true;
}

bool
vhostpci_offload_is_l4_slow(const struct virtio_net_hdr_v1 *hdr,
			    const uint8_t *head, uint32_t len,
			    const struct vhostpci_flow_meta *meta)
{
	const uint32_t start = rte_le_to_cpu_16(hdr->csum_start);
	const uint32_t offset = meta->proto == IPPROTO_TCP ? 16 : 6;
	const uint8_t *ip = head + meta->l3;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    meta->flags & (VHOSTPCI_FLOW_IS_LATER | VHOSTPCI_FLOW_HAS_EXT))
		return false;
	if (meta->flags & VHOSTPCI_FLOW_IS_IP4) {
		/* Accept only version 4, and no fragment. Also refuse a wrong
		 * header checksum, because the path through Open vSwitch
		 * repairs it. */
		if (ip[0] >> 4 != 4 || (ip[6] & 0x3f) != 0 || ip[7] != 0 ||
		    rte_raw_cksum(ip, meta->l4 - meta->l3) != 0xffff)
			return false;
	} else if (!(meta->flags & VHOSTPCI_FLOW_IS_IP6) || ip[0] >> 4 != 6) {
		return false;
	}
	if (meta->proto != IPPROTO_TCP &&
	    (meta->proto != IPPROTO_UDP || meta->l4_len < 8))
		return false;
	/* The checksum must lie in the head, because only the head was
	 * parsed. */
	return start == meta->l4 &&
		rte_le_to_cpu_16(hdr->csum_offset) == offset &&
		start + offset + 2 <= RTE_MIN(len, (uint32_t)VHOSTPCI_FLOW_HEAD);
}

bool
vhostpci_offload_pass_slow(const struct vhostpci_ring *ring, uint16_t takes,
			   struct virtio_net_hdr_v1 *hdr, const uint8_t *head,
			   const struct vhostpci_flow_meta *meta)
{
	struct virtio_net_hdr_v1 next = *hdr;

	if (!(takes & VHOSTPCI_OL_CSUM))
		return false;
	next.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	next.num_buffers = 1;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		next.gso_size = 0;
		next.hdr_len = 0;
	} else if (!pass_gso(ring, takes, &next, head, meta)) {
		return false;
	}
	*hdr = next;
	return true;
}

/*
 * To the peer.
 */

/* May this code write to the data of the first segment? */
static bool
writable(const struct rte_mbuf *m)
{
	if (rte_mbuf_refcnt_read(m) != 1 || RTE_MBUF_CLONED(m))
		return false;
	return !RTE_MBUF_HAS_EXTBUF(m) ||
		rte_mbuf_ext_refcnt_read(m->shinfo) == 1;
}

/* Replace *@pkt by a copy. */
static bool
make_private(struct rte_mbuf **pkt)
{
	struct rte_mbuf *m = *pkt, *copy;
	/* The pool of a clone may have mbufs without room for data. */
	struct rte_mempool *pool = RTE_MBUF_CLONED(m) ?
		rte_mbuf_from_indirect(m)->pool : m->pool;

	if (rte_pktmbuf_data_room_size(pool) <= RTE_PKTMBUF_HEADROOM)
		return false;
	copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
	if (copy == NULL)
		return false;
	rte_pktmbuf_free(m);
	*pkt = copy;
	return true;
}

/* Fill @hdr for a packet that the peer must segment, if the packet is one.
 * Returns false if the peer cannot segment it. */
static bool
tx_gso(const struct vhostpci_ring *ring, const struct rte_mbuf *m,
       const struct vhostpci_headers *p, struct virtio_net_hdr *hdr)
{
	uint16_t need = VHOSTPCI_OL_CSUM |
		(p->v6 ? VHOSTPCI_OL_TSO6 : VHOSTPCI_OL_TSO4);
	const struct rte_tcp_hdr *tcp;

	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) ||
	    (p->proto == IPPROTO_TCP && m->tso_segsz > 0 &&
	     p->l4_bytes - p->l4_len <= m->tso_segsz))
		return true;
	if (p->proto != IPPROTO_TCP || m->tso_segsz == 0 ||
	    (ring->offload & need) != need)
		return false;
	hdr->gso_type = p->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
		VIRTIO_NET_HDR_GSO_TCPV4;
	tcp = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *,
				      p->l2_len + p->l3_len);
	/* A peer without ECN segments such a packet like any other. */
	if (tcp->tcp_flags & RTE_TCP_CWR_FLAG && ring->offload & VHOSTPCI_OL_ECN)
		hdr->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	hdr->gso_size = rte_cpu_to_le_16(m->tso_segsz);
	hdr->hdr_len = rte_cpu_to_le_16(p->l2_len + p->l3_len + p->l4_len);
	return true;
}

static void
tx_csum(const struct vhostpci_ring *ring, struct rte_mbuf *m,
	const struct vhostpci_headers *p, struct virtio_net_hdr *hdr)
{
	uint16_t start = p->l2_len + p->l3_len;

	if (!(ring->offload & VHOSTPCI_OL_CSUM)) {
		vhostpci_csum_l4(m, p);
		return;
	}
	vhostpci_csum_pseudo(m, p);
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = rte_cpu_to_le_16(start);
	hdr->csum_offset = rte_cpu_to_le_16(p->field - start);
}

int
vhostpci_offload_tx_slow(struct vhostpci_ring *ring, struct rte_mbuf **pkt,
			 struct virtio_net_hdr *hdr)
{
	uint64_t flags = (*pkt)->ol_flags & VHOSTPCI_TX_OFFLOADS;
	uint64_t l4 = flags & RTE_MBUF_F_TX_L4_MASK;
	struct vhostpci_headers p;

	if (flags & RTE_MBUF_F_TX_UDP_SEG || l4 == RTE_MBUF_F_TX_SCTP_CKSUM)
		return drop(ring);
	if (!writable(*pkt) && !make_private(pkt))
		return drop(ring);
	/* This includes packets that are not TCP or UDP, and fragments. */
	if (flags & RTE_MBUF_F_TX_IP_CKSUM &&
	    !vhostpci_csum_ipv4(*pkt, (*pkt)->l2_len))
		return drop(ring);
	if (flags == RTE_MBUF_F_TX_IP_CKSUM)
		return 0;
	/* ethdev requires that the application gives the lengths of the
	 * headers. But the headers must be parsed anyway, for other lengths. */
	if (!vhostpci_headers_parse(*pkt, &p) || !tx_gso(ring, *pkt, &p, hdr))
		return drop(ring);
	if (l4 != 0 && (l4 == RTE_MBUF_F_TX_TCP_CKSUM) !=
	    (p.proto == IPPROTO_TCP))
		return drop(ring);
	tx_csum(ring, *pkt, &p, hdr);
	return 0;
}

uint16_t
vhostpci_offload_flags(bool rx, uint64_t features, uint16_t taken)
{
	static const uint8_t bits[2][4] = {
		{ VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
		  VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN },
		{ VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4,
		  VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN },
	};
	uint16_t flags = 0;
	unsigned int i;

	for (i = 0; i < RTE_DIM(bits[0]); i++)
		flags |= (features >> bits[rx][i] & 1) << i;
	/* virtio 1.x, 5.1.3.1: each other offload requires CSUM. */
	if (!(flags & VHOSTPCI_OL_CSUM))
		return 0;
	return rx ? flags | taken : flags;
}
