/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A model of the packed ring's commit, and of its end by a successor:
 * doc/device-spec.md, section 9, "Packed rings". A driver hands buffers back to
 * a peer, in bursts of up to the whole ring. The driver is killed again and
 * again, before and after each of its stores; so is its successor while it ends
 * the commit. The peer posts and takes back all the time. Nothing ends: spin
 * visits every state that any number of laps, bursts and deaths can reach.
 *
 * The model checks that each buffer comes back once, in order, from its own
 * place; that the peer never gets the rest of a packet in several buffers
 * without the beginning (MRG); and that nobody waits for ever. A buffer that is
 * lost, or given to the wrong lap, stops the ring: the peer waits for the
 * buffer until it has none left to post, and the driver waits for posted
 * buffers. Spin reports that as an invalid end state.
 *
 * Finished stores of a killed process reach memory in order; later stores do
 * not happen.
 *
 * Right variants:
 *   N=3, N=4		descriptors of the ring
 *   SINGLE		each chain is one descriptor; else one or two
 *   IN_ORDER		one used descriptor for a burst
 *   MRG		packets take several buffers
 *   NO_PLACE_AFTER	the place is published only before the used descriptors:
 *			then the walk finds nothing to do. The real driver
 *			publishes it after them, too, to make both halves equal
 *			at rest.
 *   REVOKE		the device takes the memory away and gives it back, again
 *			and again; nobody is killed. See device().
 * Broken variants, each with one fault:
 *   FIRST_TO_LAST	used descriptors are written from the first to the last
 *   NO_PLACE_BEFORE	the place is published only after the used descriptors
 *   PLACE_TOO_EARLY	the place is published only before them, with the final
 *			values of both halves
 *   ANY_ORDER		the stores reach memory in any order: no release
 *   NO_FINISH		the successor goes on at the next available index
 *   RESUME_AT_USED	the successor does the burst again
 *   PLACE_OF_WALK	the successor publishes the place where its walk ended,
 *			not the place where the unfinished commit would end
 *   WALK_BLINDLY	the walk takes descriptors that are not available
 *   NO_FORGET		MRG: the lengths already written stay
 *   STALE_BASE		the base of a new epoch is not where the page stood
 * Broken variants with REVOKE:
 *   NO_LOOK		the driver does not look whether it may go on
 *   LOOK_FIRST		the driver looks before it publishes its commit
 *   NO_MEMBARRIER	the device does not make the driver's processor execute
 *			a barrier
 *   NO_BEFORE		the device looks at the page only after the memory is gone
 *   GIVEN_UP_IS_NEXT	a burst of the whole ring that was given up looks like
 *			one more
 */

#ifndef N
#define N		3
#endif
#define PAGE		N	/* the ring's progress in the state page */
#define CELLS		(N + 1)

#ifndef TIMES
#define TIMES	2
#endif
bit revoked;		/* the page's word for the driver */
bit gone;		/* the memory is not the peer's: stores are lost */
bit waits;		/* the driver waits for its memory */
bit settled, acked;	/* the device knows the ring's place; the driver no
			 * longer uses the memory */
byte place;		/* the ring's place */
bit place_wrap = 1;
#define REACHES(a)	(!gone || (a) == PAGE)
#include "tso.pml"

/* A descriptor in a byte. More ids than descriptors: what was left behind a lap
 * ago differs from what belongs there. */
#ifdef SINGLE
#define IDS		(2 * N)	/* the same ones in each second lap */
#else
#define IDS		(N + 1)
#endif
#define D_AVAIL		1
#define D_USED		2
#define D_NEXT		4
#define D_ID(d)		(((d) >> 3) & 7)
#define D_LEN(d)	((d) >> 6)
#define D_FLAGS(d)	((d) & (D_AVAIL | D_USED))
#define DESC(flags, id, len)	((flags) | (id) << 3 | (len) << 6)
#define AVAIL_IN(wrap)	((wrap) -> D_AVAIL : D_USED)
#define USED_IN(wrap)	((wrap) -> D_AVAIL | D_USED : 0)

/* Lengths: whatever counts is in which buffer of a packet. */
#define LOST		0
#define FIRST		1
#define REST		2

/* The page in a byte: next available, next used, and whether it is about the
 * present epoch. A place has its wrap counter in bit 2. */
#define PLACE(at, wrap)	((at) | (wrap) << 2)
#define PLACE_AT(p)	((p) & 3)
#define PLACE_WRAP(p)	(((p) >> 2) & 1)
#define BASE(avail, used)	((avail) | (used) << 3)
#define P_AVAIL(base)	((base) & 7)
#define P_USED(base)	(((base) >> 3) & 7)
#define P_PRESENT	64

store_buffer sb;	/* of the driver that lives, or lived last */

/* vring/packed.h: packed_step() */
inline step(at, wrap, n)
{
	at = at + n;
	if
	:: at >= N -> at = at - N; wrap = 1 - wrap
	:: else
	fi
}

/*
 * The peer's driver. It keeps its own records and never forges. Its stores need
 * no buffer: it waits for nothing after them, so later ones are stores of a
 * peer that posts later.
 */

byte free = N;		/* descriptors of no chain */
bool two[IDS];		/* chain @id takes two */
bool received[IDS];	/* ... was received; REVOKE */
byte next_id;

inline post_desc(at, wrap, flags)
{
	mem[at] = DESC(AVAIL_IN(wrap) | flags, next_id, 0)
}

/* Take back the oldest chain. */
inline take_back()
{
	assert(free < N);
	free = free + 1 + two[oldest];
	step(last, last_wrap, 1 + two[oldest]);
	two[oldest] = false;
	received[oldest] = false;
	oldest = (oldest + 1) % IDS
}

active proctype peer()
{
	byte at, last, oldest, id, got;
	bit wrap = 1, last_wrap = 1, w;
	byte i;

	do
	:: d_step {
		free >= 1 ->
		post_desc(at, wrap, 0);
		step(at, wrap, 1);
		free--;
		next_id = (next_id + 1) % IDS
	   }
#ifndef SINGLE
	:: d_step {	/* a chain: its head becomes available last */
		free >= 2 ->
		i = at;
		w = wrap;
		step(i, w, 1);
		post_desc(i, w, 0)
	   };
	   d_step {
		post_desc(at, wrap, D_NEXT);
		step(at, wrap, 2);
		two[next_id] = true;
		free = free - 2;
		next_id = (next_id + 1) % IDS;
		i = 0;
		w = 0
	   }
#endif
	:: d_step {
		D_FLAGS(mem[last]) == USED_IN(last_wrap) ->
		id = D_ID(mem[last]);
#ifdef MRG
		assert(D_LEN(mem[last]) != REST || got != LOST);
		got = D_LEN(mem[last]);
#endif
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

/*
 * The driver.
 */

/* The next store; or the driver is killed before it, after the one before. */
inline put(cell, v)
{
#ifdef REVOKE
	store(sb, cell, v)
#else
	if
	:: goto killed
	:: store(sb, cell, v)
	fi
#endif
}

/* vring/ring.h: vhostpci_ring_publish() */
inline publish(avail, used)
{
	put(PAGE, BASE(avail, used) | P_PRESENT)
}

/* vring/packed.h: packed_peek() and packed_give() of a chain. What is
 * available is the driver's until it is used, so that it makes no difference
 * when it is read. */
inline give(l)
{
	d_step {
		load(sb, at, d);
		given_at[given] = at;
		given_used[given] = DESC(USED_IN(wrap), D_ID(d), l);
		given++;
		step(at, wrap, ((d & D_NEXT) -> 2 : 1));
		d = 0
	}
}

/* vring/layout.h: vhostpci_announce() has looked. What is received from here on
 * comes once. */
inline look()
{
#ifdef REVOKE
	atomic {
#ifndef NO_LOOK
		if
		:: revoked -> goto gives_up
		:: else
		fi;
#endif
		i = 0;
		do
		:: i < given ->
			assert(!received[D_ID(given_used[i])]);
			received[D_ID(given_used[i])] = true;
			i++
		:: else -> break
		od;
		i = 0
	}
#else
	skip
#endif
}

/* vring/packed.h: packed_commit(), from first to (at, wrap) */
inline commit()
{
#ifdef LOOK_FIRST
	look();
#endif
#ifdef PLACE_TOO_EARLY
	publish(PLACE(at, wrap), PLACE(at, wrap));
#elif !defined(NO_PLACE_BEFORE)
	publish(PLACE(at, wrap), first);
#endif
#ifndef LOOK_FIRST
	look();
#endif
#ifdef IN_ORDER
	put(given_at[0], DESC(USED_IN(PLACE_WRAP(first)),
			      D_ID(given_used[given - 1]), FIRST));
#elif defined(FIRST_TO_LAST)
	i = 0;
	do
	:: i < given -> put(given_at[i], given_used[i]); i++
	:: else -> break
	od;
	i = 0;
#else
	i = given;
	do
	:: i > 0 -> put(given_at[i - 1], given_used[i - 1]); i--
	:: else -> break
	od;
#endif
#if !defined(PLACE_TOO_EARLY) && !defined(NO_PLACE_AFTER)
	publish(PLACE(at, wrap), PLACE(at, wrap));
#endif
	forget_burst()
}

/* One state, not one for each history. */
inline forget_burst()
{
	d_step {
		given = 0;
		i = 0;
		do
		:: i < N -> given_at[i] = 0; given_used[i] = 0; i++
		:: else -> break
		od;
		i = 0;
		first = 0;
		d = 0
	}
}

/* vring/resume.c: is_used() */
#define is_used(at, wrap)	(D_FLAGS(mem[at]) == USED_IN(wrap))
/* vring/packed.h: packed_is_avail() */
#ifdef WALK_BLINDLY
#define is_avail(at, wrap)	true
#else
#define is_avail(at, wrap)	(D_FLAGS(mem[at]) == AVAIL_IN(wrap))
#endif

/* vring/resume.c: forget_lengths() */
inline forget_lengths()
{
	i = at;
	w = wrap;
	do
	:: PLACE(i, w) != P_AVAIL(base) ->
		if
		:: is_used(i, w) -> put(i, DESC(D_FLAGS(mem[i]),
						D_ID(mem[i]), LOST))
		:: else
		fi;
		step(i, w, 1)
	:: else -> break
	od;
	w = 0
}

/* vring/resume.c: finish_commit(). The walk is one step: a peer that does not
 * see the first chain as used leaves all of them alone, and one that does ends
 * the walk there. */
inline finish_commit()
{
	atomic {
		first = P_USED(base);
		do
		:: PLACE(at, wrap) != P_AVAIL(base) && !is_used(at, wrap) &&
		   is_avail(at, wrap) -> give(LOST)
		:: else -> break
		od
	};
	if
	:: given > 0 ->
#if defined(MRG) && !defined(NO_FORGET)
		forget_lengths();
#endif
#ifndef PLACE_OF_WALK
		at = PLACE_AT(P_AVAIL(base));
		wrap = PLACE_WRAP(P_AVAIL(base));
#endif
		commit()
	:: else -> forget_burst()
	fi
}

/* vhost-pci-place.c: vhost_pci_ring_place(), when the next driver sets
 * DRIVER_OK: a new epoch, with where the one before stood as its base. */
inline new_epoch()
{
	d_step {
#ifndef STALE_BASE
		if
		:: mem[PAGE] & P_PRESENT -> base = mem[PAGE] & ~P_PRESENT
		:: else
		fi;
#endif
		mem[PAGE] = 0
	}
}

/* vring/resume.c: resume_packed(). The page has nothing of this epoch. */
inline resume_packed()
{
	at = PLACE_AT(P_USED(base));
	wrap = PLACE_WRAP(P_USED(base));
#ifndef RESUME_AT_USED
#ifndef NO_FINISH
	if
	:: P_AVAIL(base) != P_USED(base) -> finish_commit()
	:: else
	fi;
#endif
	at = PLACE_AT(P_AVAIL(base));
	wrap = PLACE_WRAP(P_AVAIL(base));
#endif
	publish(PLACE(at, wrap), PLACE(at, wrap))	/* publish_place() */
}

/* net/rx.h, net/tx.h: the packets of one commit, as many as the burst likes. */
inline burst()
{
	atomic {
		!gone && D_FLAGS(mem[at]) == AVAIL_IN(wrap) ->
		first = PLACE(at, wrap);
		give(FIRST);
		do
		:: load(sb, at, d);
		   if
		   :: given < N && D_FLAGS(d) == AVAIL_IN(wrap) -> give(FIRST)
#ifdef MRG
		   :: given < N && D_FLAGS(d) == AVAIL_IN(wrap) -> give(REST)
#endif
		   :: else -> break
		   fi
		:: break
		od;
		d = 0
	};
	commit()
}

#ifdef REVOKE
byte n;	/* of device(), 0 between two steps */

/* As vhost_pci_end_commit(): the commit from where the ring stands up to @end is
 * ended; the ring stands there. */
inline end_commit(end)
{
	do
	:: PLACE(place, place_wrap) != (end) &&
	   D_FLAGS(mem[place]) == AVAIL_IN(place_wrap) ->
		n = (mem[place] & D_NEXT -> 2 : 1);
		mem[place] = DESC(USED_IN(place_wrap), D_ID(mem[place]), LOST);
		step(place, place_wrap, n)
	:: else -> break
	od;
	n = 0;
	place = PLACE_AT(end);
	place_wrap = PLACE_WRAP(end)
}

/* What the page says of this start of the ring. */
#define page_place()	(mem[PAGE] & P_PRESENT -> mem[PAGE] : \
			 BASE(PLACE(place, place_wrap), PLACE(place, place_wrap)))
#define LAP(p)		(PLACE_AT(p) + (PLACE_WRAP(p) -> 0 : N))
/* protocol/vring_commit.c: vring_commit_length() */
#define LENGTH(from, to)	((LAP(to) + 2 * N - LAP(from)) % (2 * N))
#ifdef GIVEN_UP_IS_NEXT
#define is_given_up	false
#else
#define is_given_up	(P_AVAIL(after) == P_USED(after) && \
			 P_USED(after) == P_USED(before))
#endif

/* vhost-pci-place.c: vhost_pci_settle_packed(). One step: what it stores the peer
 * sees last, with the first descriptor. */
inline settle()
{
	d_step {
		place = PLACE_AT(P_USED(before));
		place_wrap = PLACE_WRAP(P_USED(before));
		end_commit(P_AVAIL(before));
		if
		:: !is_given_up && LENGTH(P_AVAIL(before), P_AVAIL(after)) > 0 &&
		   LENGTH(P_AVAIL(before), P_AVAIL(after)) <= N ->
			end_commit(P_AVAIL(after))
		:: else
		fi;
		before = 0;
		after = 0
	}
}

/*
 * vhost-pci-state.c: vhost_pci_ack_timeout(), and vhost_pci_unrevoke() once the
 * driver has answered. TIMES times, so that who waits for ever is found.
 */
active proctype device()
{
	byte before, after, times;

end:	do
	:: times < TIMES ->
		times++;
		revoked = 1;
#ifndef NO_MEMBARRIER
		fence(sb);
#endif
#ifdef NO_BEFORE
		gone = 1;
		before = page_place();
#else
		before = page_place();
		gone = 1;
#endif
		after = page_place();
		settle();
		settled = 1;
		acked;
		d_step {
			acked = 0;
			settled = 0;
			gone = 0;
			revoked = 0;
			mem[PAGE] = 0	/* a new epoch */
		};
		!waits
	od
}

active proctype driver()
{
	byte base;
	byte at, first, given, i, d;
	byte given_at[N], given_used[N];
	bit wrap;

successor:
	skip;
	d_step {
		base = BASE(PLACE(place, place_wrap), PLACE(place, place_wrap));
		at = PLACE_AT(P_AVAIL(base));
		wrap = PLACE_WRAP(P_AVAIL(base))
	};
	publish(PLACE(at, wrap), PLACE(at, wrap));	/* publish_place() */
	do
	:: burst()
	:: settled -> goto lets_go
	od;
gives_up:
	publish(first, first);	/* vring/ring.c: vhostpci_withdraw() */
	settled;
lets_go:
	atomic {
		fence(sb);
		forget_burst();
		acked = 1;
		waits = true
	};
	d_step {
		!revoked;
		waits = false
	};
	goto successor
}
#else
active proctype driver()
{
	byte base = BASE(PLACE(0, 1), PLACE(0, 1));
	byte at, first, given, i, d;
	byte given_at[N], given_used[N];
	bit wrap, w;

successor:
	new_epoch();
	resume_packed();
	do
	:: burst()
	od;
killed:
	atomic {
		fence(sb);
		forget_burst();
		w = 0;
		goto successor
	}
}
#endif

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
