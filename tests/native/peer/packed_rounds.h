/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rounds of packets over a packed ring, for the tests of packed rings: a
 * correct driver makes buffers of random layout available, the port moves
 * packets, and the driver must find every packet in the buffers that it takes
 * back.
 */

#ifndef PACKED_ROUNDS_H
#define PACKED_ROUNDS_H

#include "fakepacked.h"

#define PR_HDR 12u /* bytes of the virtio-net header */
#define PR_MAX_PIECES 6

/* A buffer as it was made available. */
struct pr_buf {
	struct fp_packed_buf bufs[PR_MAX_PIECES];
	unsigned int n;
	uint16_t id;
	uint16_t at; /* its first descriptor */
};

/* Call fp_init(), and seed the random choices. VHOSTPCI_TEST_SEED in the
 * environment repeats those of an earlier run. */
void pr_init(const char *program);
uint32_t pr_pick(uint32_t from, uint32_t to);

/* Cut @total bytes into @b->n pieces of fresh memory, at random. */
void pr_cut(struct fakepeer *fp, struct pr_buf *b, uint32_t total,
	    uint16_t flags);
/* Driver: make a buffer of @total bytes available, cut at random, as a chain or
 * (with @table) perhaps in a table; fill it with packet @kind if the device
 * reads it. */
void pr_post(struct fakepeer *fp, struct fp_packed *p, struct pr_buf *b,
	     uint32_t total, uint16_t flags, bool table, uint8_t kind);
/* Driver: the next used buffer has to be @b; returns its length. */
uint32_t pr_take(struct fp_packed *p, const struct pr_buf *b);
/* Driver: no buffer is used. */
void pr_nothing_more(struct fp_packed *p);

/* Driver: take one packet, which begins in @b, and compare it. Returns how many
 * buffers it took. */
unsigned int pr_check_sent(struct fp_packed *p, const struct pr_buf *b,
			   uint32_t len, uint8_t kind);

/* Move as many packets as the ring has room for, up to @most (at most 32 to
 * receive, 8 to send). A round leaves nothing in the ring. */
void pr_receive_round(struct fakepeer *fp, struct fp_packed *p,
		      unsigned int most, bool table);
/* The buffers are just enough for the packets: mergeable buffers have any sizes
 * with the right sum; others are at least as large as their packets. */
void pr_send_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
		   bool table, bool mergeable);

#endif
