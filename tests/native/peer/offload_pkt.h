/* SPDX-License-Identifier: Apache-2.0 */

/* Packets for the tests of offloads, and simple, slow code for checksums. */

#ifndef OFFLOAD_PKT_H
#define OFFLOAD_PKT_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

struct op_packet {
	bool v6;
	bool udp;
	unsigned int vlans;
	unsigned int extensions;	/* of IPv6, 16 bytes each */
	unsigned int ip_options;	/* of IPv4, 4 bytes each */
	unsigned int tcp_options;	/* 4 bytes each */
	uint32_t payload;		/* bytes */

	/* Set by op_build(): offsets and lengths in bytes. */
	uint32_t l3, l4, field, l4_len, len;
	uint8_t data[65536];
};

/* For all tests of a program. */
extern struct rte_mempool *op_pool;
extern struct op_packet op_pkt;	/* too large for a stack */

/* After fp_init(). */
void op_init(void);
int op_setup(void **state);
/* Fail a test that leaks an mbuf. */
int op_teardown(void **state);
/* Call @check once for each kind of packet, with that packet in op_pkt. */
void op_each_kind(void (*check)(void));

/* Build a packet whose L4 checksum is only that of its pseudo header, as a
 * virtio driver leaves it. */
void op_build(struct op_packet *p);
/* Is the L4 checksum in @data right? @data has the layout of @p. */
bool op_l4_right(const struct op_packet *p, const uint8_t *data);
bool op_ip_right(const struct op_packet *p, const uint8_t *data);
/* Complete the checksum as @hdr asks, in place of a virtio driver. */
void op_finish(uint8_t *data, uint32_t len, const struct virtio_net_hdr *hdr);
/* The header by which a driver leaves @p's checksum to the device. */
struct virtio_net_hdr op_header(const struct op_packet *p);

/* An mbuf whose data is in a malloc() buffer of exactly @len bytes, so that a
 * sanitizer sees accesses beyond its ends. */
struct rte_mbuf *op_mbuf(struct rte_mempool *pool, const uint8_t *data,
			 uint32_t len);
/* The same in several mbufs: the first has @first bytes, others up to
 * @piece. */
struct rte_mbuf *op_chain(struct rte_mempool *pool, const uint8_t *data,
			  uint32_t len, uint32_t first, uint32_t piece);

/* Make op_pkt a TCP packet of @payload bytes, to be segmented to 1000 bytes. */
struct rte_mbuf *op_tso_packet(bool v6, uint32_t payload,
			       struct virtio_net_hdr *hdr);

#endif
