/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * End a commit whose writer was lost in the middle: see vring_commit.h.
 *
 * A device writes used descriptors from the last one to the first one. So the
 * descriptors from some place up to @avail are written, and the chains before
 * that place are as the peer's driver made them. The lengths of the packets in
 * these chains are lost. If a packet may take several buffers, the lengths of
 * the written descriptors must go, too: otherwise the peer's driver takes the
 * rest of a packet that lost its beginning for a new packet, and packet data
 * for a header.
 *
 * The copy of the ring bounds the work: this code looks at each descriptor of
 * the commit at most twice, whatever the descriptor says.
 */

#include <endian.h>
#include <errno.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vring_commit.h"

#define F_AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED	(1u << VRING_PACKED_DESC_F_USED)

/* A walk through the commit. */
struct walk {
	const struct vring_packed_desc *desc;
	uint32_t i, length;	/* of @desc: next index, count */
	uint32_t num;		/* entries of the ring */
	uint16_t place;		/* of desc[i] */
};

uint32_t
vring_commit_length(uint16_t avail, uint16_t used, uint32_t num)
{
	int32_t n = vring_place_at(avail) - vring_place_at(used);

	if (num > VHOST_PCI_MAX_RING_SIZE ||
	    !vring_place_is_valid(avail, num) ||
	    !vring_place_is_valid(used, num))
		return 0;
	if (vring_place_wrap(avail) != vring_place_wrap(used))
		n += num;
	if (n < 0 || n > (int32_t)num || n > VHOST_PCI_MAX_COMMIT)
		return 0;
	return n;
}

unsigned int
vring_commit_flags(unsigned int index, uint64_t features)
{
	const bool receives = !(index & 1);	/* the peer's receive queue */
	unsigned int flags = 0;

	if (!receives && features & UINT64_C(1) << VIRTIO_F_IN_ORDER)
		flags |= VRING_COMMIT_IN_ORDER;
	else
		flags |= VRING_COMMIT_TRACE;
	if (receives && features & UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
		flags |= VRING_COMMIT_FORGET;
	return flags;
}

static uint16_t
flags_of(const struct walk *w, uint32_t i)
{
	return le16toh(w->desc[i].flags);
}

/* Was the used descriptor at @w written (virtio 1.x, 2.8.1)? */
static bool
is_used(const struct walk *w)
{
	return (flags_of(w, w->i) & (F_AVAIL | F_USED)) ==
		(vring_place_wrap(w->place) ? F_AVAIL | F_USED : 0);
}

static void
step(struct walk *w, uint32_t n)
{
	w->i += n;
	w->place = vring_place_after(w->place, n, w->num);
}

static struct vring_commit_store
store_at(const struct walk *w, uint16_t id, bool whole)
{
	return (struct vring_commit_store) {
		.at = vring_place_at(w->place),
		.id = id,
		.wrap = vring_place_wrap(w->place),
		.whole = whole,
	};
}

/* The number of descriptors of the chain at @w. 0: no chain begins there, or
 * the chain does not end within the commit. */
static uint32_t
chain_length(const struct walk *w)
{
	const uint16_t avail = vring_place_wrap(w->place) ? F_AVAIL : F_USED;
	uint32_t n = 1;

	if ((flags_of(w, w->i) & (F_AVAIL | F_USED)) != avail)
		return 0;
	while (flags_of(w, w->i + n - 1) & VRING_DESC_F_NEXT) {
		if (w->i + n == w->length)
			return 0;
		n++;
	}
	return n;
}

/* List the chains that are not marked as used, first to last; with @trace, list
 * all of their descriptors. Leaves @w at the first chain that is marked, or
 * that breaks a rule. The last chain may end with descriptors that are marked
 * already: a marked descriptor has the id of its chain, and no NEXT flag. */
static uint32_t
list_chains(struct walk *w, bool trace, struct vring_commit_store *stores)
{
	uint32_t n, end, count = 0;
	uint16_t id;

	while (w->i < w->length) {
		n = chain_length(w);
		if (n == 0)
			break;
		end = w->i + n;
		/* The last descriptor has the id (virtio 1.x, 2.8.6). */
		id = le16toh(w->desc[end - 1].id);
		stores[count++] = store_at(w, id, true);
		for (step(w, 1); w->i < end; step(w, 1)) {
			if (trace)
				stores[count++] = store_at(w, id, true);
		}
	}
	return count;
}

/* List the descriptors from @w on that are marked as used. A used descriptor
 * does not say how many descriptors its chain had, so this looks at every
 * descriptor. It may store a length in the middle of a chain. That does no
 * harm: nobody reads that descriptor until the peer's driver writes it anew. */
static uint32_t
list_lengths(struct walk *w, struct vring_commit_store *stores)
{
	uint32_t count = 0;

	for (; w->i < w->length; step(w, 1)) {
		if (is_used(w))
			stores[count++] = store_at(w, 0, false);
	}
	return count;
}

static void
reverse(struct vring_commit_store *stores, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count / 2; i++) {
		struct vring_commit_store first = stores[i];

		stores[i] = stores[count - 1 - i];
		stores[count - 1 - i] = first;
	}
}

int
vring_commit_end(const struct vring_packed_desc *desc, uint32_t num,
		 uint16_t avail, uint16_t used, unsigned int flags,
		 struct vring_commit_store *stores, size_t max)
{
	struct walk w = {
		.desc = desc, .num = num, .place = used,
		.length = vring_commit_length(avail, used, num),
	};
	uint32_t count;

	if (w.length > max)
		return -ENOBUFS;
	count = list_chains(&w, flags & VRING_COMMIT_TRACE, stores);
	if (count == 0)
		return 0;
	if (flags & VRING_COMMIT_IN_ORDER) {
		/* One used descriptor, in the place of the first chain, with
		 * the id of the last chain. */
		stores[0].id = stores[count - 1].id;
		count = 1;
	}
	if (flags & VRING_COMMIT_FORGET)
		count += list_lengths(&w, stores + count);
	/* Store lengths first: a later call lists them again as long as a chain
	 * is left. */
	reverse(stores, count);
	return count;
}
