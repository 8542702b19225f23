/* SPDX-License-Identifier: Apache-2.0 */

/* The driver's side of a packed ring: see fakepacked.h. */

#include <string.h>

#include "fakepacked.h"

#define AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define USED	(1u << VRING_PACKED_DESC_F_USED)

static void
init(struct fp_packed *p, void *desc, void *driver, void *device, uint16_t num,
     bool in_order)
{
	memset(p, 0, sizeof(*p));
	p->desc = desc;
	p->driver = driver;
	p->device = device;
	p->num = num;
	p->n_free = num;
	p->in_order = in_order;
	p->avail_wrap = true;
	p->used_wrap = true;
}

void
fp_packed_start(struct fp_packed *p, void *desc, void *driver, void *device,
		uint16_t num, bool in_order)
{
	init(p, desc, driver, device, num, in_order);
	memset(p->desc, 0, num * sizeof(p->desc[0]));
	memset(p->driver, 0, sizeof(*p->driver));
	memset(p->device, 0, sizeof(*p->device));
}

void
fp_packed_of(struct fp_packed *p, struct fakepeer *fp, unsigned int i)
{
	struct fp_ring *r = &fp->rings[i];

	init(p, r->desc, r->avail, r->used, r->num,
	     fp->peer.features & FP_IN_ORDER);
}

/* Go on by @n descriptors. */
static void
step(const struct fp_packed *p, uint16_t *at, bool *wrap, uint16_t n)
{
	*at += n;
	if (*at >= p->num) {
		*at -= p->num;
		*wrap = !*wrap;
	}
}

/* In order, ids tell the place; else any that are not in use would do, and the
 * place read backwards is one that a device cannot mistake for it. */
static uint16_t
id_of(const struct fp_packed *p, uint16_t at)
{
	return p->in_order ? at : p->num - 1 - at;
}

int
fp_packed_post(struct fp_packed *p, const struct fp_packed_buf *bufs,
	       unsigned int n)
{
	uint16_t head = p->avail, id = id_of(p, head), head_flags = 0;
	unsigned int i;

	if (n == 0 || n > p->n_free)
		return -1;
	for (i = 0; i < n; i++) {
		struct vring_packed_desc *d = &p->desc[p->avail];
		uint16_t flags = bufs[i].flags |
			(i + 1 < n ? VRING_DESC_F_NEXT : 0) |
			(p->avail_wrap ? AVAIL : USED);

		d->addr = bufs[i].gpa;
		d->len = bufs[i].len;
		d->id = id;
		if (i == 0)
			head_flags = flags;
		else
			d->flags = flags;
		step(p, &p->avail, &p->avail_wrap, 1);
	}
	p->n_free -= n;
	p->n_desc[id] = n;
	/* release: pairs with the device's acquire of the head's flags; all of
	 * the chain is there by then. */
	__atomic_store_n(&p->desc[head].flags, head_flags, __ATOMIC_RELEASE);
	return id;
}

int
fp_packed_post_table(struct fp_packed *p, uint64_t gpa,
		     struct vring_packed_desc *table,
		     const struct fp_packed_buf *bufs, unsigned int n)
{
	const struct fp_packed_buf all = {
		.gpa = gpa,
		.len = n * sizeof(table[0]),
		.flags = VRING_DESC_F_INDIRECT,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		table[i] = (struct vring_packed_desc) {
			.addr = bufs[i].gpa, .len = bufs[i].len,
			.flags = bufs[i].flags,
		};
	return fp_packed_post(p, &all, 1);
}

/* Is there a used descriptor at our place? */
static bool
is_used(const struct fp_packed *p, struct vring_packed_desc *d)
{
	/* acquire: pairs with the device's release of the flags; id, length
	 * and data are there. */
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

	return !(flags & AVAIL) == !p->used_wrap &&
		!(flags & USED) == !p->used_wrap;
}

bool
fp_packed_used(struct fp_packed *p, uint16_t *id, uint32_t *len)
{
	struct vring_packed_desc *d = &p->desc[p->used];
	uint16_t n;

	if (!p->in_batch) {
		/* n_free: a ring in which nothing is out has nothing used. */
		if (p->n_free == p->num || !is_used(p, d))
			return false;
		p->batch_id = d->id;
		p->batch_len = d->len;
	}
	/* In order, one descriptor may stand for all up to its id. */
	*id = p->in_order ? p->used : p->batch_id;
	p->in_batch = *id != p->batch_id;
	*len = p->in_batch ? FP_PACKED_UNTOLD : p->batch_len;
	n = *id < p->num ? p->n_desc[*id] : 0;
	/* An id that is not out: the caller sees that it expected another. */
	if (n == 0) {
		p->in_batch = false;
		return true;
	}
	p->n_desc[*id] = 0;
	p->n_free += n;
	step(p, &p->used, &p->used_wrap, n);
	return true;
}

uint32_t
fp_packed_base(const struct fp_packed *p)
{
	return p->avail | (uint32_t)p->avail_wrap << 15 |
		(uint32_t)p->used << 16 | (uint32_t)p->used_wrap << 31;
}

void
fp_packed_want(struct fp_packed *p, uint16_t flags, uint16_t at, bool wrap)
{
	__atomic_store_n(&p->driver->off_wrap,
			 at | wrap << VRING_PACKED_EVENT_F_WRAP_CTR,
			 __ATOMIC_RELAXED);
	/* release: pairs with the device's acquire of the flags; the place
	 * they are about is there. */
	__atomic_store_n(&p->driver->flags, flags, __ATOMIC_RELEASE);
}
