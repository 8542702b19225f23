/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Finding the place of a traced packed ring in the ring itself, wherever the
 * device was killed, and whatever the driver does meanwhile. Successors end an
 * interrupted commit, although they are killed, too, one after the other.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "vring_find.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED (1u << VRING_PACKED_DESC_F_USED)
#define MAX_NUM 20
#define NO_ID 9999 /* in descriptors that are not the last of a chain */

/* Positions count descriptors from the ring's beginning, and never wrap. */
struct sim {
	uint32_t num;
	struct vring_packed_desc desc[MAX_NUM];
	uint64_t avail;		/* driver: the next one made available */
	uint64_t taken;		/* driver: the next one to come back */
	uint64_t place;		/* device: the next one used */
	uint32_t length[MAX_NUM]; /* of the chain that begins there */
	uint16_t id[MAX_NUM];
	uint64_t chains;	/* made available */
};

static unsigned int seed;

static uint32_t
pick(uint32_t from, uint32_t to)
{
	return from + rand_r(&seed) % (to - from + 1);
}

static bool
wrap_of(const struct sim *s, uint64_t at)
{
	return at / s->num % 2 == 0;
}

static uint16_t
place_of(const struct sim *s, uint64_t at)
{
	return vring_place(at % s->num, wrap_of(s, at));
}

static struct vring_packed_desc *
desc_of(struct sim *s, uint64_t at)
{
	return &s->desc[at % s->num];
}

/* Driver: write @written descriptors of a chain of @n; a chain's first
 * descriptor is written last. As in Linux, ids are few, and used again at
 * once. */
static void
post(struct sim *s, uint32_t n, uint32_t written)
{
	const uint64_t at = s->avail;
	const uint16_t id = s->chains % 3;
	uint32_t i, order;

	for (order = 1; order <= written; order++) {
		i = order % n;
		*desc_of(s, at + i) = (struct vring_packed_desc) {
			.id = i == n - 1 ? id : NO_ID,
			.flags = (wrap_of(s, at + i) ? F_AVAIL : F_USED) |
				(i == n - 1 ? 0 : VRING_DESC_F_NEXT),
		};
	}
	if (written < n)
		return;
	s->length[at % s->num] = n;
	s->id[at % s->num] = id;
	s->avail += n;
	s->chains++;
}

static uint32_t
room(const struct sim *s)
{
	return s->taken + s->num - s->avail;
}

static void
post_some(struct sim *s)
{
	uint32_t n;

	while (room(s) > 0 && pick(0, 3) > 0) {
		n = pick(1, room(s) < 4 ? room(s) : 4);
		post(s, n, n);
	}
}

/* Driver: take the chains that came back, and check that each comes once, in
 * order. */
static void
take(struct sim *s)
{
	while (s->taken < s->avail) {
		const struct vring_packed_desc *d = desc_of(s, s->taken);
		uint16_t used = wrap_of(s, s->taken) ? F_AVAIL | F_USED : 0;

		if ((d->flags & (F_AVAIL | F_USED)) != used)
			return;
		assert_int_equal(d->id, s->id[s->taken % s->num]);
		s->taken += s->length[s->taken % s->num];
	}
}

static bool
find(const struct sim *s, uint16_t *avail, uint16_t *used)
{
	uint16_t flags[MAX_NUM], ones[MAX_NUM + 1];
	uint32_t i;

	for (i = 0; i < s->num; i++)
		flags[i] = s->desc[i].flags;
	return vring_find_place(flags, s->num, ones, avail, used);
}

static void
check_found(const struct sim *s, uint64_t avail, uint64_t used)
{
	uint16_t a, u;

	assert_true(find(s, &a, &u));
	assert_int_equal(a, place_of(s, avail));
	assert_int_equal(u, place_of(s, used));
}

static void
mark(struct sim *s, uint64_t at, uint16_t id)
{
	desc_of(s, at)->id = id;
	desc_of(s, at)->flags = wrap_of(s, at) ? F_AVAIL | F_USED : 0;
}

/* A successor ends the commit that it finds, but does only @most stores.
 * Returns the number of stores that it needs. */
static int
end(struct sim *s, int most)
{
	struct vring_packed_desc copy[MAX_NUM];
	struct vring_commit_store stores[MAX_NUM];
	uint16_t avail, used, place;
	uint32_t i, length;
	int n, j;

	assert_true(find(s, &avail, &used));
	length = vring_commit_length(avail, used, s->num);
	for (i = 0, place = used; i < length; i++) {
		copy[i] = s->desc[vring_place_at(place)];
		place = vring_place_after(place, 1, s->num);
	}
	n = vring_commit_end(copy, s->num, avail, used,
			     vring_commit_flags(1, 0), stores, length);
	assert_in_range(n, 0, length);
	for (j = 0; j < n && j < most; j++) {
		struct vring_packed_desc *d = &s->desc[stores[j].at];

		assert_true(stores[j].whole);
		d->id = stores[j].id;
		d->flags = stores[j].wrap ? F_AVAIL | F_USED : 0;
	}
	return n;
}

/* The device returns chains, from the last descriptor to the first; killed after
 * @most stores. Returns where the commit ends. */
static uint64_t
commit(struct sim *s, uint32_t n_chains, uint32_t most)
{
	uint64_t ends[MAX_NUM + 1], at = s->place, i;
	uint32_t n = 0;

	ends[0] = at;
	while (n < n_chains && at < s->avail) {
		at += s->length[at % s->num];
		ends[++n] = at;
	}
	for (; n > 0; n--) {
		const uint16_t id = s->id[ends[n - 1] % s->num];

		for (i = ends[n]; i-- > ends[n - 1]; most--) {
			if (most == 0)
				return at;
			mark(s, i, id);
		}
	}
	return at;
}

/* The driver is in the middle of a chain of less than half the ring. */
static void
be_in_the_middle(struct sim *s)
{
	uint32_t n = room(s) < s->num / 2 ? room(s) : s->num / 2;

	if (n > 1)
		post(s, pick(2, n), 1);
}

/* A successor; perhaps others come before it, and are killed soon. */
static void
survive(struct sim *s, uint64_t avail, uint64_t used)
{
	const bool again = pick(0, 1);

	check_found(s, avail, used);
	if (used < avail) {
		/* Nothing has come back: the first one is still out. */
		assert_int_equal(s->taken <= used, 1);
		while (again && end(s, pick(0, 3)) > 0)
			;
		end(s, MAX_NUM);
	}
	check_found(s, avail, avail);
	s->place = avail;
	take(s);
	assert_int_equal(s->taken, avail);
}

static void
one_ring(uint32_t num)
{
	struct sim s = { .num = num };
	uint32_t round, length, cut;
	uint64_t to;

	for (round = 0; round < 40; round++) {
		post_some(&s);
		if (pick(0, 2) == 0)
			be_in_the_middle(&s);
		check_found(&s, s.place, s.place);
		to = commit(&s, pick(0, num), 0);
		length = to - s.place;
		cut = pick(0, length);
		/* The same chains, as what is in between is in ring order. */
		if (cut > 0) {
			uint32_t chains = 0;
			uint64_t at;

			for (at = s.place; at < to; chains++)
				at += s.length[at % num];
			commit(&s, chains, cut);
		}
		if (cut < length) {
			survive(&s, cut == 0 ? s.place : to, s.place);
			continue;
		}
		/* All of it came back, and the driver goes on at once. */
		if (pick(0, 1)) {
			take(&s);
			post_some(&s);
			if (pick(0, 1))
				be_in_the_middle(&s);
		}
		survive(&s, to, to);
	}
}

static void
place_is_found_wherever_a_device_is_killed(void **state)
{
	uint32_t num, times;

	(void)state;
	for (num = 1; num <= MAX_NUM; num++) {
		for (times = 0; times < 3000; times++)
			one_ring(num);
	}
}

/* Could the driver stand at @at with @wrap if the flags are @bits, and fewer
 * than half of them are disturbed? This follows the comment in vring_find.c
 * word by word. */
static bool
is_place(uint32_t bits, uint32_t num, uint32_t at, bool wrap)
{
	uint32_t i, offset;

	for (i = 0; i < num; i++) {
		offset = (i + num - at) % num;
		if ((bits >> i & 1) != (i < at ? wrap : !wrap) &&
		    (offset == 0 || offset >= num / 2))
			return false;
	}
	return true;
}

static void
no_more_than_one_place_fits(void **state)
{
	uint32_t num, bits, i, n;
	bool found;

	(void)state;
	for (num = 1; num <= 14; num++) {
		for (bits = 0; bits < 1u << num; bits++) {
			struct sim s = { .num = num };
			uint16_t avail, used;

			for (i = 0; i < num; i++)
				s.desc[i].flags = bits >> i & 1 ?
					F_AVAIL | F_USED : 0;
			for (i = n = 0; i < 2 * num; i++)
				n += is_place(bits, num, i / 2, i % 2);
			assert_in_range(n, 0, 1);
			found = find(&s, &avail, &used);
			assert_int_equal(found, n);
			/* Nothing is available: it is the device's place. */
			if (found)
				assert_true(is_place(bits, num,
						     vring_place_at(avail),
						     vring_place_wrap(avail)));
			if (found)
				assert_int_equal(avail, used);
		}
	}
}

/* Any flags at all: places in the ring, or none. */
static void
nonsense_is_bounded(void **state)
{
	uint32_t times, i;
	uint16_t avail, used;

	(void)state;
	for (times = 0; times < 100000; times++) {
		struct sim s = { .num = pick(1, MAX_NUM) };

		for (i = 0; i < s.num; i++)
			s.desc[i].flags = pick(0, 65535);
		if (!find(&s, &avail, &used))
			continue;
		assert_true(vring_place_is_valid(avail, s.num));
		assert_true(vring_place_is_valid(used, s.num));
	}
	assert_false(vring_find_place(NULL, 0, NULL, &avail, &used));
	assert_false(vring_find_place(NULL, 0x7fff, NULL, &avail, &used));
	assert_false(vring_find_place(NULL, UINT32_MAX, NULL, &avail, &used));
}

static void
rings_that_may_be_traced(void **state)
{
	const uint64_t in_order = UINT64_C(1) << 35;

	(void)state;
	assert_true(vring_may_trace(0, 256, in_order));
	assert_true(vring_may_trace(1, 256, ~in_order));
	assert_false(vring_may_trace(1, 256, in_order));
	assert_true(vring_may_trace(1, 0x7ffe, 0));
	assert_false(vring_may_trace(1, 0x7fff, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_is_found_wherever_a_device_is_killed),
		cmocka_unit_test(no_more_than_one_place_fits),
		cmocka_unit_test(nonsense_is_bounded),
		cmocka_unit_test(rings_that_may_be_traced),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	seed = from != NULL ? strtoul(from, NULL, 0) : (unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
