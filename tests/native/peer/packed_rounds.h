/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rounds of packets over a packed ring: a correct driver makes buffers of
 * random layout available, the port moves packets, and every packet has to be
 * in the buffers that the driver takes back. For the tests of packed rings.
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

/* fp_init(), and begin the random choices; they are those of an earlier run if
 * its seed is in the environment (VHOSTPCI_TEST_SEED). */
void pr_init(const char *program);
uint32_t pr_pick(uint32_t from, uint32_t to);

/* Cut @total bytes into @b->n pieces of fresh memory, at random. */
void pr_cut(struct fakepeer *fp, struct pr_buf *b, uint32_t total,
	    uint16_t flags);
/* Driver: @total bytes cut at random, as a chain or (@table) perhaps by a
 * table; filled with packet @kind if they are to be read. */
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

/* As many packets as the ring has room for, up to @most (32; 8). Each ends with
 * nothing left in the ring. */
void pr_receive_round(struct fakepeer *fp, struct fp_packed *p,
		      unsigned int most, bool table);
/* To buffers for these packets and no more: mergeable ones of any size that add
 * up, others each as large as its packet, or larger. */
void pr_send_round(struct fakepeer *fp, struct fp_packed *p, unsigned int most,
		   bool table, bool mergeable);

#endif
