/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A model of the successor in a split ring: it goes on at the used index,
 * whatever the state page says (doc/device-spec.md, section 9). As in
 * packed.pml, a driver is killed again and again, before and after each of its
 * stores, while the peer posts and takes back.
 *
 * The model checks that each buffer comes back once, in order, and that nobody
 * waits for ever.
 *
 * Right variants:
 *   N=2, N=4		entries of the ring
 *   IN_ORDER		one used entry for a burst
 * Broken variants, each with one fault:
 *   RESUME_AT_PAGE	the successor goes on at the place in the page
 *   RESUME_AT_AVAIL	the successor skips the available buffers
 *   PAGE_FIRST		the successor goes on at the place in the page, which
 *			the driver writes before the ring
 *   IDX_FIRST		the used index is stored before the used entries
 *   ANY_ORDER		the stores reach memory in any order: no release
 */

#ifndef N
#define N		4
#endif
#define USED_IDX	N	/* the used entries are before it */
#define PAGE		(N + 1)	/* the ring's progress in the state page */
#define CELLS		(N + 2)

#include "tso.pml"

/* Indices count modulo INDICES, which stands for 65536. One id more than
 * entries: what was left behind a lap ago differs from what belongs there. */
#define INDICES		(4 * N)
#define IDS		(N + 1)
#define DISTANCE(from, to)	(((to) + INDICES - (from)) % INDICES)

store_buffer sb;	/* of the driver that lives, or lived last */

/* The avail ring: the peer's stores need no buffer (see packed.pml). */
byte avail_ring[N];
byte avail_idx;

/* Take back the oldest chain. */
inline take_back()
{
	assert(seen != mem[USED_IDX]);	/* within what was announced, ... */
	assert(seen != avail_idx);	/* ... and posted */
	seen = (seen + 1) % INDICES;
	oldest = (oldest + 1) % IDS
}

/* The peer's driver: it keeps its own records and never forges. */
active proctype peer()
{
	byte next_id, seen, oldest, id;

	do
	:: d_step {
		DISTANCE(seen, avail_idx) < N ->
		avail_ring[avail_idx % N] = next_id;
		next_id = (next_id + 1) % IDS;
		avail_idx = (avail_idx + 1) % INDICES
	   }
	:: d_step {
		seen != mem[USED_IDX] ->
		id = mem[seen % N];
#ifdef IN_ORDER
		do	/* those before it come with it */
		:: oldest != id -> take_back()
		:: else -> break
		od;
#else
		assert(id == oldest);
#endif
		take_back();
		id = 0
	   }
	od
}

/* The next store; or the driver is killed before it, after the one before. */
inline put(cell, v)
{
	if
	:: goto killed
	:: store(sb, cell, v)
	fi
}

/* vring/split.h: split_put(), which leaves out what changes nothing. */
inline put_entry(i, id)
{
	load(sb, (i) % N, old);
	if
	:: old != id -> put((i) % N, id)
	:: else
	fi;
	old = 0
}

/* vring/split.h: the used entries, by split_give() or split_commit() */
inline put_entries()
{
#ifdef IN_ORDER
	put_entry(last, avail_ring[(at + INDICES - 1) % N]);
#else
	i = last;
	do
	:: i != at -> put_entry(i, avail_ring[i % N]); i = (i + 1) % INDICES
	:: else -> break
	od;
	i = 0
#endif
}

/* vring/split.h: split_commit(). What is available is the driver's until it
 * is used, so that it makes no difference when it is read. */
inline commit()
{
#ifdef PAGE_FIRST
	put(PAGE, at);
#endif
#ifdef IDX_FIRST
	put(USED_IDX, at);
	put_entries();
#else
	put_entries();
#ifndef PAGE_FIRST
	put(PAGE, at);	/* vhostpci_announce() */
#endif
	put(USED_IDX, at);
#endif
	last = at
}

/* vring/resume.c: resume_split(). An honest peer's used index is never out of
 * the range in which it counts. */
inline resume_split()
{
	d_step {
#if defined(RESUME_AT_PAGE) || defined(PAGE_FIRST)
		last = mem[PAGE];
#elif defined(RESUME_AT_AVAIL)
		last = avail_idx;
#else
		assert(DISTANCE(mem[USED_IDX], avail_idx) <= N);
		last = mem[USED_IDX];
#endif
		at = last
	}
	put(PAGE, last)	/* publish_place() */
}

active proctype driver()
{
	byte last, at, i, old;

successor:
	resume_split();
	do
	::	/* as many as the burst likes; split_pending(), split_peek() */
		atomic {
			at != avail_idx -> at = (at + 1) % INDICES;
			do
			:: at != avail_idx -> at = (at + 1) % INDICES
			:: break
			od
		};
		commit()
	od;
killed:
	atomic {
		fence(sb);
		i = 0;
		old = 0;
		goto successor
	}
}

active proctype processor()
{
end:
	do
#ifdef ANY_ORDER
	:: drain_one(sb, 1)
#endif
	:: drain(sb)
	od
}
