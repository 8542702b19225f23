/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A model of how control stops bursts: "Quiescence" in doc/architecture.md.
 * There is one queue, one thread that polls it for ever, and one thread of
 * control that changes the set-up again and again. Both run on processors with
 * store buffers.
 *
 * The model checks that control never changes the set-up while a burst uses it;
 * that a burst sees a set-up that is complete and the newest; and that control
 * sees all stores of bursts to the ring.
 *
 * Without a macro, the kernel has membarrier. A right variant:
 *   FENCE		the kernel lacks membarrier
 * Broken variants, each with one fault:
 *   NO_BARRIER		control executes a barrier of its own, bursts do not
 *   FENCE_BURST_ONLY	bursts execute a barrier, control does not
 *   BARRIER_FIRST	control clears run after the barrier, not before it
 *   CHECK_FIRST	control looks at in_burst before it clears run
 *   LOAD_FIRST		a burst loads run before it stores in_burst: without the
 *			compiler barrier
 *   LEAVE_EARLY	a burst clears in_burst before its last store
 *   RUN_EARLY		control sets run before the change
 *   LET_RUN_CHANGED	control gives up waiting and changes all the same
 */

#define IN_BURST	0	/* queue->in_burst */
#define RUN		1	/* queue->run */
#define RINGS		2	/* queue->rings, n_rings: the set-up, ... */
#define MEMORY		3	/* ... of several words, as dev->mem */
#define LAST		4	/* ring->last: bursts' work */
#define CELLS		5

#include "tso.pml"

#define VERSIONS	3	/* of the set-up: one, the next, neither */
#define PLACES		3	/* of the ring, likewise */

store_buffer burst_sb, control_sb;

/* What is true, whatever memory shows. */
bool in_use;		/* a burst is between its load of run and its end */
byte version;		/* of the set-up that was let run last */
byte place;		/* where bursts have come to */

/* membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), called by control: a barrier of
 * its own, and then one of the burst's thread at some moment. What the barrier
 * is to the model is that the buffer is empty once. The burst's thread is
 * between two of its instructions there as it is everywhere. */
inline membarrier()
{
	fence(control_sb);
	fence(burst_sb)
}

/* port/pause.c: full_barrier() */
inline full_barrier()
{
#if defined(FENCE) || defined(NO_BARRIER)
	fence(control_sb)
#elif defined(FENCE_BURST_ONLY)
	skip
#else
	membarrier()
#endif
}

/* vring/queue.h: vhostpci_queue_enter(), whose end is that run says "go on" or not. A burst
 * counts as using the set-up from its load of run on. */
inline load_run()
{
	atomic {
		load(burst_sb, RUN, go);
		in_use = go
	}
}

inline enter()
{
#ifdef LOAD_FIRST
	load_run();
#endif
	store(burst_sb, IN_BURST, 1);
#if defined(FENCE) || defined(FENCE_BURST_ONLY)
	fence(burst_sb);	/* queue->fence: rte_smp_mb() */
#endif
#ifndef LOAD_FIRST
	load_run()
#endif
}

/* net/rxtx.c: rx_rings() and the like; vring/layout.h: the commit */
inline work()
{
	load(burst_sb, RINGS, seen);
	assert(seen == version);
	load(burst_sb, MEMORY, seen);
	assert(seen == version);
	load(burst_sb, LAST, seen);
	assert(seen == place);
	seen = 0;
#ifdef LEAVE_EARLY
	store(burst_sb, IN_BURST, 0);
#endif
	place = (place + 1) % PLACES;
	store(burst_sb, LAST, place)
}

/* vring/queue.h: vhostpci_queue_leave(), and _enter() where run is 0 */
inline leave()
{
	atomic {
		store(burst_sb, IN_BURST, 0);
		in_use = false;
		go = 0
	}
}

active proctype burst()
{
	byte go, seen;

	do
	::	enter();
		if
		:: go -> work()
		:: else
		fi;
		leave()
	od
}

/* port/pause.c: wait_idle(). Each load is a step, and so is to give up at
 * the deadline. */
inline wait_idle()
{
	late = false;
	do
	:: atomic { load(control_sb, IN_BURST, busy); !busy -> break }
	:: late = true -> break
	od
}

/* port/peer.c: the adoption; rings of another memory, another list of them.
 * Control stands in a burst's place here: it sees where the ring stands. */
inline change()
{
	assert(!in_use);
	load(control_sb, LAST, seen);
	assert(seen == place);
	seen = 0;
	store(control_sb, RINGS, (version + 1) % VERSIONS);
	assert(!in_use);
	store(control_sb, MEMORY, (version + 1) % VERSIONS);
	assert(!in_use);
	version = (version + 1) % VERSIONS
}

active proctype control()
{
	byte busy, seen;
	bool late;

	store(control_sb, RUN, 1);	/* rte_eth_dev_start() */
	do
	::	/* port/pause.c: vhostpci_pause_queues() */
#ifdef CHECK_FIRST
		wait_idle();
		store(control_sb, RUN, 0);
		full_barrier();
#elif defined(BARRIER_FIRST)
		full_barrier();
		store(control_sb, RUN, 0);
		wait_idle();
#else
		store(control_sb, RUN, 0);	/* ask_to_stop() */
		full_barrier();
		wait_idle();
#endif
#ifdef RUN_EARLY
		store(control_sb, RUN, 1);
#endif
		if
#ifdef LET_RUN_CHANGED
		:: late -> change()
#else
		:: late		/* vhostpci_pause_all(): all as it was */
		:: late -> goto again	/* the queues stay stopped */
#endif
		:: !late -> change()
		fi;
		/* let_run() */
		store(control_sb, RUN, 1);
again:
		skip
	od
}

active proctype processors()
{
	do
	:: drain(burst_sb)
	:: drain(control_sb)
	od
}
