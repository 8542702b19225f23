/* SPDX-License-Identifier: BSD-3-Clause */

/* See vhostpci_offload.h. */

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include <netinet/in.h>

#include <rte_byteorder.h>
#include <rte_mempool.h>
#include <rte_tcp.h>

#include "base/headers.h"
#include "vhostpci_offload.h"

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

/* The checksum of @m, of which we know where it is, is unfinished. */
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

/* @p: what the packet is, or NULL. */
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
	/* An honest driver may know protocols that we do not. */
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

	/* virtio 1.x, 5.1.6.2.1: a segment's checksum is always ours. */
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return -VHOSTPCI_RULE_GSO_HEADER;
	if (field + sizeof(uint16_t) > m->data_len)
		return -VHOSTPCI_RULE_CSUM;
	known = vhostpci_headers_parse(m, &p) && start == p.l2_len + (uint32_t)p.l3_len &&
		field == p.field;
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return rx_gso(ring, m, known ? &p : NULL, hdr);
	if (known) {
		tell_csum(ring->offload, m, &p);
	} else {
		/* Tunnels, fragments, protocols that mbufs cannot name: as
		 * the specification has it, whatever the packet is. */
		vhostpci_csum_partial(m, start, field);
	}
	return 0;
}

int
vhostpci_offload_rx_slow(struct vhostpci_ring *ring, struct rte_mbuf *m,
			 const struct virtio_net_hdr *hdr)
{
	int rc;

	/* What is left of the mbuf's last packet: flags that are set here say
	 * that it counts. */
	m->tx_offload = 0;
	rc = rx_packet(ring, m, hdr);
	/* The mbuf may serve the next packet: its room depends on this. */
	if (rc != 0) {
		m->data_len = 0;
		m->pkt_len = 0;
	}
	return rc;
}

/*
 * To the peer.
 */

/* May the first segment's data be written to? */
static bool
writable(const struct rte_mbuf *m)
{
	if (rte_mbuf_refcnt_read(m) != 1 || RTE_MBUF_CLONED(m))
		return false;
	return !RTE_MBUF_HAS_EXTBUF(m) ||
		rte_mbuf_ext_refcnt_read(m->shinfo) == 1;
}

/* A copy of *@pkt in its place. */
static bool
make_private(struct rte_mbuf **pkt)
{
	struct rte_mbuf *m = *pkt, *copy;
	/* A clone's own pool may have mbufs without room. */
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

/* Segmentation for the peer to do, or none; false: one it cannot do. */
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
	/* A peer that does not know ECN segments it like any packet. */
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
	/* Also of what is no TCP or UDP, or a fragment. */
	if (flags & RTE_MBUF_F_TX_IP_CKSUM &&
	    !vhostpci_csum_ipv4(*pkt, (*pkt)->l2_len))
		return drop(ring);
	if (flags == RTE_MBUF_F_TX_IP_CKSUM)
		return 0;
	/* ethdev has the application say where its headers are. What they say
	 * themselves is needed anyway, for lengths. */
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
	/* virtio 1.x, 5.1.3.1: each of the others requires it. */
	if (!(flags & VHOSTPCI_OL_CSUM))
		return 0;
	return rx ? flags | taken : flags;
}

/*
 * Buffers for packets larger than an mbuf. All of one size, in a pool, so that
 * a burst allocates nothing. An element is struct big, then the headroom and the
 * packet. Threads keep none for themselves (no mempool cache): those that only
 * free, as packets' receivers do, would soon have all of them.
 */
#define BIG_BUFFERS	255
#define BIG_INFO	RTE_CACHE_LINE_SIZE
#define BIG_LEN		UINT16_MAX	/* struct rte_mbuf's buf_len */
/*
 * A port may hold at most so many times what is free. Alone it gets two thirds;
 * @n ports whose packets all wait somewhere leave one part in 2n + 1, so that
 * none keeps another from receiving. Several queues of a port may look at once:
 * each then exceeds it by one buffer.
 */
#define BIG_SHARE	2

struct big {
	struct rte_mbuf_ext_shared_info info;
	uint16_t port;		/* who received it; m->port is anyone's */
};
static_assert(sizeof(struct big) <= BIG_INFO, "runs into the headroom");

static struct rte_mempool *big_pool;	/* ethdev: w once; datapath: r */
/* datapath: rw, whoever frees: rw. Outlives ports, as the packets do. */
static uint32_t big_held[RTE_MAX_ETHPORTS];

int
vhostpci_offload_init(void)
{
	/* ethdev operations on different ports may run at the same time. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (big_pool == NULL) {
		struct rte_mempool *pool =
			rte_mempool_create("vhostpci_big", BIG_BUFFERS,
					   BIG_INFO + BIG_LEN, 0, 0, NULL, NULL,
					   NULL, NULL, SOCKET_ID_ANY, 0);

		rc = pool == NULL ? -ENOMEM : 0;
		/* release: pairs with the acquire in vhostpci_offload_room(). */
		__atomic_store_n(&big_pool, pool, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Whoever frees the mbuf, on any thread. */
static void
big_free(void *addr __rte_unused, void *element)
{
	struct big *big = element;

	/* relaxed: it is a number and guards nothing. */
	__atomic_fetch_sub(&big_held[big->port], 1, __ATOMIC_RELAXED);
	rte_mempool_put(__atomic_load_n(&big_pool, __ATOMIC_RELAXED), element);
}

/* A buffer for @port, or NULL. */
static struct big *
big_get(struct rte_mempool *pool, uint16_t port)
{
	uint32_t held = __atomic_load_n(&big_held[port], __ATOMIC_RELAXED);
	void *element;

	if (held >= BIG_SHARE * rte_mempool_avail_count(pool) ||
	    rte_mempool_get(pool, &element) != 0)
		return NULL;
	__atomic_fetch_add(&big_held[port], 1, __ATOMIC_RELAXED);
	((struct big *)element)->port = port;
	return element;
}

int
vhostpci_offload_room(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mempool *pool = __atomic_load_n(&big_pool, __ATOMIC_ACQUIRE);
	struct big *big;

	/* A pinned buffer cannot be exchanged. */
	if (len > BIG_LEN - RTE_PKTMBUF_HEADROOM || RTE_MBUF_HAS_EXTBUF(m))
		return -EMSGSIZE;
	big = pool == NULL ? NULL : big_get(pool, m->port);
	if (big == NULL)
		return -ENOBUFS;
	big->info.free_cb = big_free;
	big->info.fcb_opaque = big;
	rte_mbuf_ext_refcnt_set(&big->info, 1);
	rte_pktmbuf_attach_extbuf(m, (uint8_t *)big + BIG_INFO,
				  rte_mempool_virt2iova(big) + BIG_INFO,
				  BIG_LEN, &big->info);
	rte_pktmbuf_reset_headroom(m);
	return 0;
}
