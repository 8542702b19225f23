/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end of an interrupted commit. The tests try every point at which the
 * driver can be killed in a commit, at which the one that ends the commit can
 * be killed, and the next one. Each buffer must come back once, and at each
 * point the peer's driver must see all of the commit, or nothing. One file: all
 * tests use the simulated peer.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vring_commit.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED (1u << VRING_PACKED_DESC_F_USED)

#define MAX_NUM 8	 /* of rings that are tried in every state */
#define FIRST_ID 500	 /* of the first chain; they count up */
#define NO_ID 9999	 /* in descriptors that are not the last of a chain */
#define LENGTH 77	 /* of what came back in the commit itself */
#define UNTOLD 0xffffffffu /* in order: nothing was said of this buffer */

/* A ring, and the commit that is interrupted in it. */
struct scene {
	uint32_t num;
	uint16_t used, avail;
	uint32_t n_chains, chains[MAX_NUM]; /* their descriptors */
	bool batch;			    /* one used descriptor for all */
	unsigned int flags;
	struct vring_packed_desc desc[MAX_NUM];
};

/* Memory of @size bytes right before a page without access. */
static void *
at_page_end(size_t size)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	size_t room = (size + page - 1) / page * page;
	uint8_t *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + room, page, PROT_NONE), 0);
	return p + room - size;
}

static void
free_at_page_end(void *p, size_t size)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	size_t room = (size + page - 1) / page * page;

	munmap((uint8_t *)p + size - room, room + page);
}

static uint16_t
used_flags(uint16_t place)
{
	return vring_place_wrap(place) ? F_AVAIL | F_USED : 0;
}

static uint16_t
avail_flags(uint16_t place)
{
	return vring_place_wrap(place) ? F_AVAIL : F_USED;
}

static uint16_t
chain_place(const struct scene *s, uint32_t chain)
{
	uint16_t place = s->used;
	uint32_t i;

	for (i = 0; i < chain; i++)
		place = vring_place_after(place, s->chains[i], s->num);
	return place;
}

/* Peer's driver: make the chains available. The rest of the ring was used in
 * the lap before. */
static void
post(struct scene *s)
{
	uint16_t place = s->used;
	uint32_t i, j;

	for (i = 0; i < s->num; i++) {
		s->desc[vring_place_at(place)] = (struct vring_packed_desc){
			.flags = used_flags(place ^ 0x8000),
		};
		place = vring_place_after(place, 1, s->num);
	}
	place = s->used;
	for (i = 0; i < s->n_chains; i++) {
		for (j = 1; j <= s->chains[i]; j++) {
			bool last = j == s->chains[i];

			s->desc[vring_place_at(place)] =
				(struct vring_packed_desc){
					.addr = 0x1000 + i, .len = 2048,
					.id = last ? FIRST_ID + i : NO_ID,
					.flags = avail_flags(place) |
						 (last ? 0 : VRING_DESC_F_NEXT),
				};
			place = vring_place_after(place, 1, s->num);
		}
	}
	s->avail = place;
}

static void
put_used(struct scene *s, uint16_t place, uint16_t id, uint32_t len)
{
	struct vring_packed_desc *d = &s->desc[vring_place_at(place)];

	d->len = len;
	d->id = id;
	d->flags = used_flags(place);
}

/* Device's driver: write the last @written used descriptors of the commit. */
static void
commit(struct scene *s, uint32_t written)
{
	uint32_t i;

	if (s->batch && written > 0)
		put_used(s, s->used, FIRST_ID + s->n_chains - 1, LENGTH);
	for (i = s->n_chains; !s->batch && i-- > s->n_chains - written;)
		put_used(s, chain_place(s, i), FIRST_ID + i, LENGTH);
}

static void
store(struct scene *s, const struct vring_commit_store *to)
{
	assert_in_range(to->at, 0, s->num - 1);
	if (to->whole)
		put_used(s, vring_place(to->at, to->wrap), to->id, 0);
	else
		s->desc[to->at].len = 0;
}

/* End the commit, but do only the first @most stores; returns the number of
 * stores that it needs. */
static uint32_t
end(struct scene *s, uint32_t most)
{
	const uint32_t length = vring_commit_length(s->avail, s->used, s->num);
	struct vring_packed_desc copy[MAX_NUM];
	struct vring_commit_store stores[MAX_NUM];
	uint16_t place = s->used;
	uint32_t i;
	int n;

	for (i = 0; i < length; i++) {
		copy[i] = s->desc[vring_place_at(place)];
		place = vring_place_after(place, 1, s->num);
	}
	n = vring_commit_end(copy, s->num, s->avail, s->used, s->flags, stores,
			     length);
	assert_in_range(n, 0, length);
	for (i = 0; i < (uint32_t)n && i < most; i++)
		store(s, &stores[i]);
	return n;
}

/* Peer's driver: the number of buffers that came back, and their lengths. */
static uint32_t
take(const struct scene *s, uint32_t lengths[])
{
	uint16_t place = s->used;
	uint32_t n = 0;

	while (n < s->n_chains) {
		const struct vring_packed_desc *d =
			&s->desc[vring_place_at(place)];
		uint32_t chain = d->id - FIRST_ID;

		if ((d->flags & (F_AVAIL | F_USED)) != used_flags(place))
			break;
		assert_false(d->flags & VRING_DESC_F_NEXT);
		/* Only in order one may stand for those before it. */
		assert_in_range(chain, n, s->n_chains - 1);
		assert_true(chain == n || s->flags & VRING_COMMIT_IN_ORDER);
		while (n < chain)
			lengths[n++] = UNTOLD;
		lengths[n++] = d->len;
		place = chain_place(s, n);
	}
	return n;
}

/* Check the ring after the driver returned the last @written chains, and the
 * others came back at the end of the commit. */
static void
check_all_back(const struct scene *s, uint32_t written)
{
	const bool whole = written == s->n_chains || (s->batch && written);
	uint32_t lengths[MAX_NUM], i;

	assert_int_equal(take(s, lengths), s->n_chains);
	for (i = 0; i < s->n_chains; i++) {
		if (lengths[i] == UNTOLD) {
			assert_true(i < s->n_chains - 1);
			continue;
		}
		if (whole || (!(s->flags & VRING_COMMIT_FORGET) && !s->batch &&
			      i >= s->n_chains - written))
			assert_int_equal(lengths[i], LENGTH);
		else
			assert_int_equal(lengths[i], 0);
	}
}

/* Check that no address has changed, and no descriptor outside the commit. */
static void
check_rest(const struct scene *s, const struct scene *before)
{
	const uint32_t length = vring_commit_length(s->avail, s->used, s->num);
	uint16_t place = s->used;
	uint32_t i;

	for (i = 0; i < s->num; i++) {
		uint16_t at = vring_place_at(place);

		assert_int_equal(s->desc[at].addr, before->desc[at].addr);
		if (i >= length)
			assert_memory_equal(&s->desc[at], &before->desc[at],
					    sizeof(s->desc[at]));
		place = vring_place_after(place, 1, s->num);
	}
}

/* In a traced ring, check that no descriptor is still available, of the chains
 * that came back at the end of the commit. */
static void
check_marks(const struct scene *s, uint32_t written)
{
	uint32_t i, n = 0;
	uint16_t place = s->used;

	if (!(s->flags & VRING_COMMIT_TRACE))
		return;
	for (i = 0; i < s->n_chains - written; i++)
		n += s->chains[i];
	for (i = 0; i < n; i++) {
		assert_int_equal(s->desc[vring_place_at(place)].flags,
				 used_flags(place));
		place = vring_place_after(place, 1, s->num);
	}
}

/* Try one sequence: the driver writes @written descriptors; the first one that
 * ends the commit does @cut stores, the second one @again, and the third one
 * all. */
static void
go(const struct scene *posted, uint32_t written, uint32_t cut, uint32_t again)
{
	struct scene s = *posted;
	uint32_t lengths[MAX_NUM], n;
	bool done = written == (s.batch ? 1 : s.n_chains);

	commit(&s, written);
	assert_int_equal(take(&s, lengths), done ? s.n_chains : 0);
	n = end(&s, cut);
	assert_int_equal(n == 0, done);
	assert_true(n <= 1 || !(s.flags & VRING_COMMIT_IN_ORDER));
	done = done || cut >= n;
	assert_int_equal(take(&s, lengths), done ? s.n_chains : 0);
	n = end(&s, again);
	assert_int_equal(n == 0, done);
	done = done || again >= n;
	assert_int_equal(take(&s, lengths), done ? s.n_chains : 0);
	end(&s, UINT32_MAX);
	check_all_back(&s, written);
	check_marks(&s, written);
	check_rest(&s, posted);
	assert_int_equal(end(&s, UINT32_MAX), 0);
}

static void
cut_everywhere(struct scene *s)
{
	const uint32_t most = s->batch ? 1 : s->n_chains;
	uint32_t written, cut, again;

	post(s);
	assert_true(vring_place_is_valid(s->avail, s->num));
	for (written = 0; written <= most; written++) {
		for (cut = 0; cut <= s->num; cut++) {
			for (again = 0; again <= s->num; again++)
				go(s, written, cut, again);
		}
	}
}

/* All ways to make chains of @left descriptors. */
static void
all_chains(struct scene *s, uint32_t left)
{
	uint32_t n;

	if (left == 0) {
		cut_everywhere(s);
		return;
	}
	for (n = 1; n <= left; n++) {
		s->chains[s->n_chains++] = n;
		all_chains(s, left - n);
		s->n_chains--;
	}
}

/* Every ring up to MAX_NUM - 1 entries, every place, every commit. */
static void
all_rings(unsigned int flags, bool batch)
{
	struct scene s = { .flags = flags, .batch = batch };
	uint32_t at, wrap, length;

	for (s.num = 1; s.num < MAX_NUM; s.num++) {
		for (at = 0; at < s.num; at++) {
			for (wrap = 0; wrap < 2; wrap++) {
				s.used = vring_place(at, wrap);
				for (length = 1; length <= s.num; length++)
					all_chains(&s, length);
			}
		}
	}
}

static void
each_buffer_comes_back_once(void **state)
{
	(void)state;
	all_rings(0, false);
}

static void
each_buffer_comes_back_once_in_order(void **state)
{
	(void)state;
	all_rings(VRING_COMMIT_IN_ORDER, true);
	/* With IN_ORDER, too, a driver may write a descriptor for each
	 * buffer. */
	all_rings(VRING_COMMIT_IN_ORDER, false);
}

static void
rest_of_a_packet_has_no_length(void **state)
{
	(void)state;
	all_rings(VRING_COMMIT_FORGET, false);
}

static void
each_descriptor_is_marked_used(void **state)
{
	(void)state;
	all_rings(VRING_COMMIT_TRACE, false);
	all_rings(VRING_COMMIT_TRACE | VRING_COMMIT_FORGET, false);
}

static void
what_is_to_be_done_follows_from_features(void **state)
{
	const uint64_t in_order = UINT64_C(1) << 35, mergeable = 1 << 15;

	(void)state;
	assert_int_equal(vring_commit_flags(1, in_order | mergeable),
			 VRING_COMMIT_IN_ORDER);
	assert_int_equal(vring_commit_flags(58, in_order | mergeable),
			 VRING_COMMIT_FORGET | VRING_COMMIT_TRACE);
	assert_int_equal(vring_commit_flags(59, ~in_order), VRING_COMMIT_TRACE);
	assert_int_equal(vring_commit_flags(0, ~mergeable), VRING_COMMIT_TRACE);
}

static void
length_of_a_commit(void **state)
{
	const uint16_t w = 0x8000;

	(void)state;
	assert_int_equal(vring_commit_length(5, 2, 11), 3);
	assert_int_equal(vring_commit_length(w | 5, w | 2, 11), 3);
	assert_int_equal(vring_commit_length(2, w | 10, 11), 3);
	assert_int_equal(vring_commit_length(w | 2, 2, 11), 11);
	assert_int_equal(vring_commit_length(w, 0, 1), 1);
	assert_int_equal(vring_commit_length(w, 32767, 32768), 1);
	/* Nothing to be ended. */
	assert_int_equal(vring_commit_length(2, 2, 11), 0);
	/* Backwards, and more than a ring. */
	assert_int_equal(vring_commit_length(2, 5, 11), 0);
	assert_int_equal(vring_commit_length(w | 3, 2, 11), 0);
	/* Not in the ring. */
	assert_int_equal(vring_commit_length(11, 2, 11), 0);
	assert_int_equal(vring_commit_length(5, w | 11, 11), 0);
	assert_int_equal(vring_commit_length(0x7fff, 0xffff, 11), 0);
	assert_int_equal(vring_commit_length(w, 0, 0), 0);
	assert_int_equal(vring_commit_length(5, 2, 32769), 0);
	assert_int_equal(vring_commit_length(5, w | 2, UINT32_MAX), 0);
	/* More than a driver may return at once. */
	assert_int_equal(vring_commit_length(4096, 0, 32768), 4096);
	assert_int_equal(vring_commit_length(4097, 0, 32768), 0);
	assert_int_equal(vring_commit_length(w, 0, 32768), 0);
}

static void
too_little_room_for_stores_is_refused(void **state)
{
	struct scene s = { .num = 7, .used = 5, .n_chains = 2,
			   .chains = { 1, 2 } };
	struct vring_packed_desc copy[3];
	struct vring_commit_store stores[3];

	(void)state;
	post(&s);
	copy[0] = s.desc[5];
	copy[1] = s.desc[6];
	copy[2] = s.desc[0];
	assert_int_equal(vring_commit_end(copy, 7, s.avail, 5, 0, stores, 2),
			 -ENOBUFS);
	assert_int_equal(vring_commit_end(copy, 7, s.avail, 5, 0, stores, 3),
			 2);
	assert_int_equal(stores[0].at, 6);
	assert_int_equal(stores[0].id, FIRST_ID + 1);
	assert_int_equal(stores[1].at, 5);
	assert_int_equal(stores[1].id, FIRST_ID);
	/* Places that make no commit need no room, and nothing is read. */
	assert_int_equal(vring_commit_end(NULL, 7, 5, 5, 0, NULL, 0), 0);
	assert_int_equal(vring_commit_end(NULL, 7, 7, 5, 0, NULL, 0), 0);
}

static void
chain_that_does_not_end_ends_the_walk(void **state)
{
	struct scene s = { .num = 7, .used = 5, .n_chains = 3,
			   .chains = { 1, 2, 3 } };
	uint32_t lengths[MAX_NUM];

	(void)state;
	post(&s);
	s.desc[3].flags |= VRING_DESC_F_NEXT;
	assert_int_equal(end(&s, UINT32_MAX), 2);
	assert_int_equal(take(&s, lengths), 2);
	/* It is still the peer's driver's. */
	post(&s);
	s.flags = VRING_COMMIT_FORGET;
	s.desc[3].flags |= VRING_DESC_F_NEXT;
	assert_int_equal(end(&s, UINT32_MAX), 2);
	assert_int_equal(s.desc[1].len, 2048);
	/* Neither marked available nor used: nobody's. */
	post(&s);
	s.desc[6].flags ^= F_AVAIL | F_USED;
	assert_int_equal(end(&s, UINT32_MAX), 1);
	assert_int_equal(take(&s, lengths), 1);
}

/* One round with random contents: reads and writes must stay within the arrays
 * (or fault), and stores within the commit. */
static void
nonsense(void)
{
	const uint32_t num = rand() % 4 ? rand() % 60 : 32768;
	const uint16_t avail = rand(), used = rand() % 2 ? rand() : avail + 1;
	uint32_t length = vring_commit_length(avail, used, num), i;
	const size_t size = length * sizeof(struct vring_packed_desc);
	const size_t room = length * sizeof(struct vring_commit_store);
	struct vring_packed_desc *copy = at_page_end(size);
	struct vring_commit_store *stores = at_page_end(room);
	bool whole = false;
	int n;

	for (i = 0; i < length; i++) {
		copy[i].id = rand();
		copy[i].flags = rand();
		if (rand() % 2)
			copy[i].flags = F_AVAIL |
				(rand() % 2 ? VRING_DESC_F_NEXT : F_USED);
	}
	n = vring_commit_end(copy, num, avail, used, rand(), stores, length);
	assert_in_range(n, 0, length);
	for (i = 0; i < (uint32_t)n; i++) {
		uint16_t place = vring_place(stores[i].at, stores[i].wrap);

		assert_true(place == used ||
			    vring_commit_length(place, used, num) < length);
		assert_true(vring_place_is_valid(place, num));
		/* Lengths, then used descriptors. */
		assert_true(stores[i].whole || !whole);
		whole = stores[i].whole;
	}
	assert_true(n == 0 || stores[n - 1].at == vring_place_at(used));
	free_at_page_end(copy, size);
	free_at_page_end(stores, room);
}

static void
nonsense_is_bounded(void **state)
{
	unsigned int i;

	(void)state;
	srand(4711);
	for (i = 0; i < 20000; i++)
		nonsense();
}

static void
split_ring_stands_at_its_used_index(void **state)
{
	const uint16_t base = 100;

	(void)state;
	/* At rest, and lost between used index and state page. */
	assert_int_equal(vring_split_place(100, 100, 256, base), 100);
	assert_int_equal(vring_split_place(140, 132, 256, base), 132);
	assert_int_equal(vring_split_place(8, 65530, 256, base), 65530);
	/* The whole ring is available. */
	assert_int_equal(vring_split_place(384, 128, 256, base), 128);
	/* Behind the page: what that says was written elsewhere (revoked). */
	assert_int_equal(vring_split_place(140, 90, 256, base), 90);
	/* DPDK's virtio-user: 0 as the base of any ring. */
	assert_int_equal(vring_split_place(40100, 40000, 256, 0), 40000);
	/* Not a device's: ahead of what is available, or a lap behind. */
	assert_int_equal(vring_split_place(100, 101, 256, base), base);
	assert_int_equal(vring_split_place(100, 356, 256, base), base);
	assert_int_equal(vring_split_place(400, 143, 256, base), base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_buffer_comes_back_once),
		cmocka_unit_test(each_buffer_comes_back_once_in_order),
		cmocka_unit_test(rest_of_a_packet_has_no_length),
		cmocka_unit_test(each_descriptor_is_marked_used),
		cmocka_unit_test(what_is_to_be_done_follows_from_features),
		cmocka_unit_test(length_of_a_commit),
		cmocka_unit_test(too_little_room_for_stores_is_refused),
		cmocka_unit_test(chain_that_does_not_end_ends_the_walk),
		cmocka_unit_test(nonsense_is_bounded),
		cmocka_unit_test(split_ring_stands_at_its_used_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
