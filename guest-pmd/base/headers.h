/* SPDX-License-Identifier: BSD-3-Clause */

/* Where the headers of a packet are, and its checksums. Of packets in our own
 * memory: they may lie, but they stay as they are. */

#ifndef VHOSTPCI_BASE_HEADERS_H
#define VHOSTPCI_BASE_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/* A TCP or UDP packet that is no fragment, as its own headers tell. */
struct vhostpci_headers {
	uint16_t l2_len, l3_len, l4_len;	/* bytes */
	uint32_t l4_bytes;	/* L4 header and payload, as IP counts */
	uint16_t field;		/* offset of the checksum in the packet */
	uint8_t proto;		/* IPPROTO_TCP or IPPROTO_UDP */
	bool v6;
};

/*
 * datapath: false if @m is no unfragmented TCP or UDP packet over IPv4 or IPv6
 * with at most two VLAN tags, or its headers are not in the first segment, or
 * what they say does not fit into the packet.
 */
bool vhostpci_headers_parse(const struct rte_mbuf *m,
			    struct vhostpci_headers *p);

/* datapath: write into the first segment of @m, which vhostpci_headers_parse()
 * has found to be @p: */
/* the checksum of its pseudo header, the rest being left to whoever takes it;
 * the length is the whole packet's, also of one to be segmented: a virtio
 * driver expects that; */
void vhostpci_csum_pseudo(struct rte_mbuf *m, const struct vhostpci_headers *p);
/* the whole checksum. */
void vhostpci_csum_l4(struct rte_mbuf *m, const struct vhostpci_headers *p);

/* datapath: finish the checksum at offset @field of @m, one segment: over all
 * from @start on, what is in the field counting (virtio 1.x, 5.1.6.2). Both
 * are within the packet. */
void vhostpci_csum_partial(struct rte_mbuf *m, uint32_t start, uint32_t field);

/* datapath: write the checksum of the IPv4 header behind @l2_len bytes; false
 * if there is none. */
bool vhostpci_csum_ipv4(struct rte_mbuf *m, uint32_t l2_len);

#endif
