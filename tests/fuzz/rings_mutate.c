/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The writes of the hostile peer. Mostly it writes what a driver would, at
 * places that the port is about to read, so that bursts get far; once in 2^heat
 * times it writes something else. Each step writes one value. The peer's
 * process takes these steps while bursts run, or the loop takes them between
 * two bursts.
 *
 * Rings may lie anywhere, and may overlap: it is only certain that each access
 * is to bytes of the peer's memory.
 */

#include <string.h>

#include "rings.h"

#define WRITE		VRING_DESC_F_WRITE
#define NEXT		VRING_DESC_F_NEXT
#define INDIRECT	VRING_DESC_F_INDIRECT
#define AVAIL		(1u << VRING_PACKED_DESC_F_AVAIL)
#define USED		(1u << VRING_PACKED_DESC_F_USED)
#define DESC_LEN	16u

/* A driver may write 64 bits at once, and the device must not see two values
 * of it; nothing here is ordered. */
#define PUT(where, value) \
	__atomic_store_n(&(where), (value), __ATOMIC_RELAXED)
#define GET(where) __atomic_load_n(&(where), __ATOMIC_RELAXED)

static uint32_t
pick(struct rf_mutator *m, uint32_t n)
{
	return rf_rand(&m->rand) % n;
}

static bool
bad(struct rf_mutator *m)
{
	return pick(m, 1u << m->l.heat) == 0;
}

static bool
has(const struct rf_mutator *m, unsigned int bit)
{
	return m->l.features >> bit & 1;
}

/* For a value of @len bytes, or a descriptor: aligned, as an access in C has to
 * be; a ring that lies otherwise was refused by the driver. */
static void *
where(const struct rf_mutator *m, uint64_t gpa, unsigned int len)
{
	return gpa % (len < 8 ? len : 8) ? NULL : rf_addr(&m->mem, gpa, len);
}

static uint64_t
some_address(struct rf_mutator *m)
{
	static const uint64_t edges[] = {
		RF_LOW, RF_HIGH - 1, RF_HIGH, RF_HIGH + RF_HIGH_SIZE,
		RF_FAR, RF_FAR + RF_FAR_SIZE, 0, UINT64_MAX, 1ULL << 63,
	};
	uint32_t r = rf_rand(&m->rand);

	if (bad(m))
		return edges[r % (sizeof(edges) / 8)] + r / 16 % 4096 - 2048;
	switch (r % 32) {
	case 0:		/* from one region into the next */
		return RF_HIGH - r / 32 % 2000;
	case 1:
		return RF_FAR + r / 32 % (RF_FAR_SIZE - 4096);
	case 2:		/* maybe what the rings are in */
		return RF_LOW + r / 32 % (RF_LOW_SIZE - 4096);
	default:	/* often where mutate_packet() puts one */
		return RF_BUFFERS + r / 32 % RF_N_BUFFERS * RF_BUFFER_SIZE +
			(r & 1U << 31 ? r / 32768 % 8 * 4 : 0);
	}
}

static uint32_t
some_len(struct rf_mutator *m)
{
	uint32_t r = rf_rand(&m->rand);

	if (bad(m))
		return r & 1 ? r : -(r / 2 % 4096);
	switch (r % 16) {
	case 0:
		return r / 16 % 32 ? 12 : r / 512 % 28;
	case 1:
		return 1500 + r / 16 % 2500;
	case 2:
		return r / 16 % 32 == 0 ? 65535 + r / 512 % 16 : 12;
	default:
		return r & 16 ? RF_BUFFER_SIZE - 64 : 26 + r / 32 % 1600;
	}
}

/* Tables of ring @i. */
static uint64_t
some_table(struct rf_mutator *m, unsigned int i)
{
	uint32_t t = pick(m, RF_N_TABLES / 2) * 2 + i;

	return RF_TABLES + t * RF_TABLE_LEN * DESC_LEN;
}

static uint32_t
some_table_len(struct rf_mutator *m, unsigned int i)
{
	uint32_t max = m->l.rings[i].num;

	if (max == 0 || bad(m))
		return pick(m, (max + 2) * DESC_LEN);
	return (1 + pick(m, max < RF_TABLE_LEN ? max : RF_TABLE_LEN)) *
		DESC_LEN;
}

/* Flags but for AVAIL and USED. */
static uint16_t
some_flags(struct rf_mutator *m, unsigned int i, bool in_table)
{
	uint16_t way = i == RF_TX ? WRITE : 0;
	uint32_t r = rf_rand(&m->rand);

	if (bad(m))
		return r & ~(AVAIL | USED);
	if (!in_table && has(m, VIRTIO_RING_F_INDIRECT_DESC) && r % 8 == 0)
		return INDIRECT;
	return way | (r / 8 % 4 == 0 ? NEXT : 0);
}

/* A split descriptor, number @at of @n: @whole or one field of it. */
static void
split_desc(struct rf_mutator *m, unsigned int i, struct vring_desc *d,
	   uint16_t at, uint16_t n, bool whole, bool in_table)
{
	uint32_t fields = whole ? 15 : 1u << pick(m, 4);
	uint16_t flags = some_flags(m, i, in_table);

	if (flags & NEXT && at + 1u >= n && !bad(m))
		flags &= (uint16_t)~NEXT;
	if (flags & INDIRECT && fields == 15) {
		PUT(d->addr, some_table(m, i));
		PUT(d->len, some_table_len(m, i));
		PUT(d->flags, flags);
		return;
	}
	if (fields & 1)
		PUT(d->addr, some_address(m));
	if (fields & 2)
		PUT(d->len, some_len(m));
	if (fields & 4)
		PUT(d->next, bad(m) ? pick(m, 65536) :
			pick(m, 8) ? at + 1u : pick(m, n));
	if (fields & 8)
		PUT(d->flags, flags);
}

/* @wrap as the flags of an available packed descriptor have it. */
static uint16_t
wrap_flags(bool wrap)
{
	return wrap ? AVAIL : USED;
}

static void
packed_desc(struct rf_mutator *m, unsigned int i, struct vring_packed_desc *d,
	    uint16_t at, bool in_table, uint16_t more)
{
	uint16_t flags = some_flags(m, i, in_table);

	if (flags & INDIRECT) {
		PUT(d->addr, some_table(m, i));
		PUT(d->len, some_table_len(m, i));
	} else {
		PUT(d->addr, some_address(m));
		PUT(d->len, some_len(m));
	}
	PUT(d->id, bad(m) ? pick(m, 65536) : at);
	/* release: as a driver does, that the device sees the rest. */
	__atomic_store_n(&d->flags, (uint16_t)(flags | more),
			 __ATOMIC_RELEASE);
}

static void
mutate_table(struct rf_mutator *m, unsigned int i)
{
	uint32_t at = pick(m, RF_TABLE_LEN);
	void *d = where(m, some_table(m, i) + at * DESC_LEN, DESC_LEN);

	if (m->l.features & RF_PACKED)
		packed_desc(m, i, d, at, true, 0);
	else
		split_desc(m, i, d, at, RF_TABLE_LEN, pick(m, 4), true);
}

/* A header and the packet's beginning, which checksum offloads look at. */
static void
mutate_packet(struct rf_mutator *m)
{
	/* TCP, to be segmented, over both; UDP, finished. */
	static const uint8_t sound[4][84] = {
		{ 1, 1, 54, 0, 0xa0, 5, 34, 0, 16, 0, 1, 0,
		  2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		  0x45, 0, 5, 0xdc, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1,
		  10, 0, 0, 2, 0, 5, 0, 6, [58] = 0x50, 0x10 },
		{ 1, 4, 74, 0, 0xa0, 5, 54, 0, 16, 0, 1, 0,
		  2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd,
		  0x60, 0, 0, 0, 5, 0xb4, 6, 64, 0xfd, 0, 0, 0, 0, 0, 0, 1,
		  [78] = 0x50, 0x10 },
		{ [10] = 1,
		  [12] = 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		  0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1,
		  10, 0, 0, 2, 0, 5, 0, 6, 0, 20 },
		{ 1, 1, 54, 0, 50, 0, 34, 0, 16, 0, 1, 0,
		  2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		  0x45, 0, 0, 150, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1,
		  10, 0, 0, 2, 0, 5, 0, 6, [58] = 0x50, 0x10 },
	};
	uint64_t gpa = RF_BUFFERS + pick(m, RF_N_BUFFERS) * RF_BUFFER_SIZE;
	uint8_t *p = where(m, gpa, 128);
	uint32_t r = rf_rand(&m->rand);

	if (p == NULL)
		return;
	if (r % 4 == 0) {
		memset(p, 0, 12);
		return;
	}
	memcpy(p, sound[r / 4 % 4], sizeof(sound[0]));
	/* One byte of the header is another, or one of the packet. */
	if (r / 16 % 4 == 0)
		p[r / 64 % 12] = r / 1024;
	else if (bad(m))
		p[r / 64 % 80] = r / 8192;
}

/* What the driver asks for: calls at an index, or none. */
static void
mutate_event(struct rf_mutator *m, unsigned int i)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t *used_idx = where(m, r->used + 2, 2);
	uint16_t *flags, *event;

	if (m->l.features & RF_PACKED) {
		/* off_wrap, flags */
		event = where(m, r->avail, 2);
		flags = where(m, r->avail + 2, 2);
		if (event != NULL)
			PUT(*event, bad(m) ? pick(m, 65536) : GET(m->turn[i]));
		if (flags != NULL)
			PUT(*flags, bad(m) ? pick(m, 65536) : pick(m, 4));
		return;
	}
	flags = where(m, r->avail, 2);
	event = where(m, r->avail + 4 + 2u * r->num, 2);
	if (flags != NULL)
		PUT(*flags, bad(m) ? pick(m, 65536) : pick(m, 2));
	if (event != NULL && used_idx != NULL)
		PUT(*event, GET(*used_idx) + pick(m, 4));
}

/* Write to a field that only the device may write. */
static void
mutate_device_part(struct rf_mutator *m, unsigned int i)
{
	uint16_t *p = where(m, m->l.rings[i].used + pick(m, 4) * 2, 2);

	if (p != NULL && bad(m))
		PUT(*p, pick(m, 65536));
}

static void
mutate_avail(struct rf_mutator *m, unsigned int i)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t *used_idx = where(m, r->used + 2, 2);
	uint16_t *idx = where(m, r->avail + 2, 2), used, avail, at;
	uint16_t *entry;

	if (used_idx == NULL || idx == NULL || r->num == 0)
		return;
	used = GET(*used_idx);
	avail = GET(*idx);
	if ((uint16_t)(avail - used) > r->num)
		avail = used;
	at = used + pick(m, r->num);
	entry = where(m, r->avail + 4 + 2u * (at % r->num), 2);
	if (entry != NULL && pick(m, 2))
		PUT(*entry, bad(m) ? pick(m, 65536) : pick(m, r->num));
	/* release: as a driver does, that the device sees the entries. */
	avail += pick(m, r->num - (uint16_t)(avail - used) + 1);
	__atomic_store_n(idx, bad(m) ? pick(m, 65536) : avail,
			 __ATOMIC_RELEASE);
}

static void
mutate_split(struct rf_mutator *m, unsigned int i)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t at = r->num > 0 ? pick(m, r->num) : 0;
	struct vring_desc *d = where(m, r->desc + 16ull * at, 16);

	if (pick(m, 4) == 0)
		mutate_avail(m, i);
	else if (d != NULL)
		split_desc(m, i, d, at, r->num, pick(m, 4), false);
}

/* The wrap counter of the next one in turn. */
static bool
wrap(const struct rf_mutator *m, unsigned int i)
{
	return GET(m->turn[i]) >> 15;
}

/* The next one in turn becomes available. */
static void
packed_next(struct rf_mutator *m, unsigned int i, bool force)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t turn = GET(m->turn[i]), at = turn & 0x7fff;
	struct vring_packed_desc *d = where(m, r->desc + 16ull * at, 16);
	uint16_t flags;

	if (d == NULL)
		return;
	flags = GET(d->flags);
	/* Not used yet, it seems; but chains leave such descriptors behind. */
	if ((flags & (AVAIL | USED)) == wrap_flags(!(turn >> 15)) && !force)
		return;
	packed_desc(m, i, d, at, false, wrap_flags(turn >> 15));
	PUT(m->turn[i], at + 1u >= r->num ? (turn & 0x8000) ^ 0x8000 :
		turn + 1);
}

static void
mutate_packed(struct rf_mutator *m, unsigned int i)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t at = r->num > 0 ? pick(m, r->num) : 0;
	struct vring_packed_desc *d = where(m, r->desc + 16ull * at,
					      16);

	if (pick(m, 4)) {
		packed_next(m, i, pick(m, 16) == 0);
		return;
	}
	if (d == NULL)
		return;
	switch (pick(m, 8)) {
	case 0:		/* flags alone, and sometimes of the other wrap */
		PUT(d->flags, some_flags(m, i, false) |
		    wrap_flags(wrap(m, i) ^ bad(m)) | (bad(m) ? USED : 0));
		break;
	case 1:
		PUT(d->id, pick(m, 65536));
		break;
	case 2:
		PUT(d->len, some_len(m));
		break;
	case 3:
		PUT(d->addr, some_address(m));
		break;
	default:
		packed_desc(m, i, d, at, false, wrap_flags(wrap(m, i)));
	}
}

void
rf_mutate(struct rf_mutator *m)
{
	unsigned int i = pick(m, RF_RINGS);

	m->writes++;
	switch (pick(m, 16)) {
	case 0:
		mutate_event(m, i);
		break;
	case 1:
		mutate_device_part(m, i);
		break;
	case 2:
		mutate_table(m, i);
		break;
	case 3:
	case 4:
		mutate_packet(m);
		break;
	default:
		if (m->l.features & RF_PACKED)
			mutate_packed(m, i);
		else
			mutate_split(m, i);
	}
}

void
rf_mutator_know(struct rf_mutator *m, const struct rf_layout *l)
{
	m->l = *l;
	m->rand = l->seed;
}

static void
zero(struct rf_mutator *m, uint64_t gpa, uint64_t len)
{
	void *p = rf_addr(&m->mem, gpa, len);

	if (p != NULL)
		memset(p, 0, len);
}

static void
fill_tables(struct rf_mutator *m, unsigned int i)
{
	unsigned int t, at;

	for (t = i; t < RF_N_TABLES; t += RF_RINGS) {
		for (at = 0; at < RF_TABLE_LEN; at++) {
			void *d = rf_addr(&m->mem, RF_TABLES + DESC_LEN *
					  (t * RF_TABLE_LEN + at), DESC_LEN);

			if (m->l.features & RF_PACKED)
				packed_desc(m, i, d, at, true, 0);
			else
				split_desc(m, i, d, at, RF_TABLE_LEN, true,
					   true);
		}
	}
}

void
rf_mutator_begin(struct rf_mutator *m, unsigned int i)
{
	const struct rf_ring *r = &m->l.rings[i];
	uint16_t *used_idx = where(m, r->used + 2, 2);
	unsigned int at;

	PUT(m->turn[i], r->base);
	fill_tables(m, i);
	zero(m, r->desc, 16ull * r->num);
	if (m->l.features & RF_PACKED) {
		zero(m, r->avail, 4);
		zero(m, r->used, 4);
		for (at = 0; at < r->num / 2u + 1; at++)
			packed_next(m, i, true);
		return;
	}
	zero(m, r->avail, 4 + 2ull * r->num);
	zero(m, r->used, 4 + 8ull * r->num);
	if (used_idx != NULL)
		PUT(*used_idx, r->base);
	for (at = 0; at < r->num; at++) {
		struct vring_desc *d = where(m, r->desc + 16ull * at, 16);

		if (d != NULL)
			split_desc(m, i, d, at, r->num, true, false);
	}
	mutate_avail(m, i);
}
