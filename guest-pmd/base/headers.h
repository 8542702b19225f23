/* SPDX-License-Identifier: BSD-3-Clause */

/* Find a packet's headers and compute its checksums. The packet is in our own
 * memory: its headers may lie, but nobody else changes them. */

#ifndef VHOSTPCI_BASE_HEADERS_H
#define VHOSTPCI_BASE_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/* A TCP or UDP packet that is not a fragment, according to its own headers. */
struct vhostpci_headers {
	uint16_t l2_len, l3_len, l4_len;	/* bytes */
	uint32_t l4_bytes;	/* L4 header and payload, as IP counts */
	uint16_t field;		/* offset of the checksum in the packet */
	uint8_t proto;		/* IPPROTO_TCP or IPPROTO_UDP */
	bool v6;
};

/*
 * datapath: fill @p. Returns true if @m is an unfragmented TCP or UDP packet over
 * IPv4 or IPv6 with at most two VLAN tags, all headers are in the first segment,
 * and the lengths in the headers fit the packet.
 */
bool vhostpci_headers_parse(const struct rte_mbuf *m,
			    struct vhostpci_headers *p);

/* The next two functions write a checksum into the first segment of @m.
 * vhostpci_headers_parse() has filled @p for this packet. */
/* datapath: write the checksum of the pseudo header; the receiver of the packet
 * completes it. The pseudo header has the length of the whole packet, even if the
 * packet will be segmented: virtio drivers expect that. */
void vhostpci_csum_pseudo(struct rte_mbuf *m, const struct vhostpci_headers *p);
/* datapath: write the whole checksum. */
void vhostpci_csum_l4(struct rte_mbuf *m, const struct vhostpci_headers *p);

/* datapath: complete the checksum at offset @field of @m, which has one segment.
 * The checksum covers all bytes from @start on, with the present contents of the
 * field (virtio 1.x, 5.1.6.2). @start and @field are within the packet. */
void vhostpci_csum_partial(struct rte_mbuf *m, uint32_t start, uint32_t field);

/* datapath: write the checksum of the IPv4 header after the first @l2_len bytes.
 * Returns false if there is no such header. */
bool vhostpci_csum_ipv4(struct rte_mbuf *m, uint32_t l2_len);

#endif
