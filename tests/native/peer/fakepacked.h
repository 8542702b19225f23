/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The driver's side of a packed ring (virtio 1.x, 2.8), for tests: makes
 * buffers available and takes used ones back, as a correct driver does. This
 * code knows only the three parts of the ring in this process's memory, so a
 * test may put them anywhere; fp_packed_of() takes those of a fakepeer.
 */

#ifndef FAKEPACKED_H
#define FAKEPACKED_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "fakepeer.h"

#define FP_PACKED	(1ULL << 34)	/* VIRTIO_F_RING_PACKED */
#define FP_IN_ORDER	(1ULL << 35)	/* VIRTIO_F_IN_ORDER */

#define FP_PACKED_MAX	2048		/* entries of a ring of this helper */
/* The length of a buffer in a batch: the device tells only the last one's. */
#define FP_PACKED_UNTOLD UINT32_MAX
/* Base of a new ring: both places are 0, both wrap counters 1. */
#define FP_PACKED_BASE	0x80008000u

struct fp_packed_buf {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;		/* VRING_DESC_F_WRITE or 0 */
};

struct fp_packed {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver;	/* we write */
	struct vring_packed_desc_event *device;	/* the device writes */
	uint16_t num;
	bool in_order;
	/* Where the next buffer goes, and where the next used one comes. */
	uint16_t avail, used;
	bool avail_wrap, used_wrap;
	uint16_t n_free;	/* descriptors */
	bool in_batch;		/* in order: used up to batch_id */
	uint16_t batch_id;
	uint32_t batch_len;
	uint16_t n_desc[FP_PACKED_MAX];	/* of the buffer with this id */
};

/* Start with an empty ring, and ask for events. Call this before the port
 * adopts the ring, because this clears all three parts. */
void fp_packed_start(struct fp_packed *p, void *desc, void *driver,
		     void *device, uint16_t num, bool in_order);
/* The same with ring @i of @fp, whose features say whether it is in order;
 * fp_new() and fp_restart() have cleared it. */
void fp_packed_of(struct fp_packed *p, struct fakepeer *fp, unsigned int i);

/*
 * Make a buffer of @n >= 1 parts available at once. Returns its id, or -1 if
 * the ring has no room.
 */
int fp_packed_post(struct fp_packed *p, const struct fp_packed_buf *bufs,
		   unsigned int n);
/* The same with an indirect table: @table is the address of @gpa in this
 * process. */
int fp_packed_post_table(struct fp_packed *p, uint64_t gpa,
			 struct vring_packed_desc *table,
			 const struct fp_packed_buf *bufs, unsigned int n);
/*
 * Take the next used buffer. @len may be FP_PACKED_UNTOLD if the ring is in
 * order. Returns false if there is none.
 */
bool fp_packed_used(struct fp_packed *p, uint16_t *id, uint32_t *len);

/* The ring's base, as VHOST_USER_GET_VRING_BASE returns it for a ring at
 * rest. */
uint32_t fp_packed_base(const struct fp_packed *p);
/* Ask for calls: @flags is a VRING_PACKED_EVENT_FLAG_; with _DESC, a call when
 * the buffer at @at (of wrap counter @wrap) is used. */
void fp_packed_want(struct fp_packed *p, uint16_t flags, uint16_t at,
		    bool wrap);

#endif
