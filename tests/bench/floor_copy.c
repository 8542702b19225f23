/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures this machine only: two cores that pass lines of cache to each other,
 * without rings, drivers or a switch.
 *
 *   floor_copy crossing MILLISECONDS
 *	cycles for a line to go to the other core and back
 *   floor_copy copy SIZE MILLISECONDS far|near
 *	cycles to copy a packet of SIZE bytes (0: the usual mix) with its
 *	virtio-net header.  far: from lines that the other core has just
 *	written, into lines that it then reads.  near: the copying core has
 *	written the lines itself, and nobody reads the copies.  The difference
 *	is the cost of the crossing.
 *   floor_copy hertz MILLISECONDS
 *	cycles of the time stamp counter in a second
 *
 * Core 1 copies, in place of the switch; core 0 acts as the peers.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

enum {
	PEER_CORE = 0,
	SWITCH_CORE = 1,
	BATCH = 32,
	BATCHES = 16,  /* as many packets in flight as in the loops */
	STRIDE = 2304, /* an mbuf's */
	LINE = 64,
	HEADER = 12,	  /* a mergeable virtio-net header's bytes */
	AHEAD = 4,	  /* packets for which lines are asked for in advance */
	WARM_TRIPS = 100, /* by then the other thread runs */
};

/* Each in a line of its own. "filled" is written by the peer and read by the
 * copier, "copied" the other way round; both count batches. */
static struct {
	_Alignas(2 * LINE) atomic_ulong filled;
	_Alignas(2 * LINE) atomic_ulong copied;
	_Alignas(2 * LINE) atomic_bool stop;
} shared;

static char *sources, *targets;
static unsigned int sizes[BATCH * BATCHES];

static void
pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
		fprintf(stderr, "floor_copy: no core %d\n", core);
		exit(1);
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The mix of peers.py: 7 of 64, 4 of 594, 1 of 1514 bytes. */
static void
choose_sizes(unsigned int size)
{
	for (unsigned int i = 0; i < BATCH * BATCHES; i++)
		sizes[i] = size != 0 ? size : i % 12 < 7 ? 64 : i % 12 < 11 ? 594 : 1514;
}

static char *
area(void)
{
	size_t bytes = (size_t)STRIDE * BATCH * BATCHES;
	char *p = aligned_alloc(2 << 20, (bytes + (2 << 20) - 1) & ~((2UL << 20) - 1));

	if (p == NULL)
		exit(1);
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

/* Where packet @i of @from begins; its header ends there. */
static char *
data(char *from, unsigned int i)
{
	return from + (size_t)i * STRIDE + 4 * LINE;
}

static void
fill_batch(unsigned int first, unsigned char byte)
{
	for (unsigned int i = first; i < first + BATCH; i++)
		memset(data(sources, i) - HEADER, byte, sizes[i] + HEADER);
}

/* Read a word of every line, so that all of them move. */
static unsigned long
read_batch(unsigned int first)
{
	unsigned long sum = 0;

	for (unsigned int i = first; i < first + BATCH; i++) {
		volatile char *p = data(targets, i);

		sum += p[-HEADER];
		for (unsigned int at = 0; at < sizes[i]; at += LINE)
			sum += p[at];
	}
	return sum;
}

static void
ask_for(unsigned int i)
{
	char *from = data(sources, i), *to = data(targets, i);

	for (int at = -LINE; at < (int)sizes[i]; at += LINE) {
		__builtin_prefetch(from + at, 0);
		__builtin_prefetch(to + at, 1);
	}
}

static void
copy_batch(unsigned int first)
{
	for (unsigned int i = first; i < first + AHEAD; i++)
		ask_for(i);
	for (unsigned int i = first; i < first + BATCH; i++) {
		if (i + AHEAD < first + BATCH)
			ask_for(i + AHEAD);
		memcpy(data(targets, i) - HEADER, data(sources, i) - HEADER, HEADER);
		memcpy(data(targets, i), data(sources, i), sizes[i]);
	}
}

static void *
play_peers(void *unused)
{
	unsigned long filled = 0, read = 0;
	static volatile unsigned long sink;

	(void)unused;
	pin(PEER_CORE);
	while (!atomic_load_explicit(&shared.stop, memory_order_relaxed)) {
		/* Pairs with the release in copy_far(): the copies are seen. */
		unsigned long copied = atomic_load_explicit(&shared.copied, memory_order_acquire);

		for (; read < copied; read++)
			sink += read_batch(read % BATCHES * BATCH);
		for (; filled < read + BATCHES; filled++) {
			fill_batch(filled % BATCHES * BATCH, filled);
			/* Pairs with the acquire in copy_far(). */
			atomic_store_explicit(&shared.filled, filled + 1, memory_order_release);
		}
	}
	return NULL;
}

static double
copy_far(double until)
{
	unsigned long batches = 0, cycles = 0, seen = 0;
	pthread_t peer;

	pthread_create(&peer, NULL, play_peers, NULL);
	while (batches < 4 * BATCHES || now() < until) {
		while (seen == batches)
			/* Pairs with the release in play_peers(). */
			seen = atomic_load_explicit(&shared.filled, memory_order_acquire);
		/* Full batches are waiting: no other core's time is in this. */
		unsigned long began = __rdtsc();
		copy_batch(batches % BATCHES * BATCH);
		cycles += __rdtsc() - began;
		batches++;
		/* Pairs with the acquire in play_peers(). */
		atomic_store_explicit(&shared.copied, batches, memory_order_release);
	}
	atomic_store(&shared.stop, true);
	pthread_join(peer, NULL);
	return (double)cycles / batches / BATCH;
}

static double
copy_near(double until)
{
	unsigned long batches = 0, cycles = 0;

	while (batches < 4 * BATCHES || now() < until) {
		unsigned int first = batches++ % BATCHES * BATCH;

		fill_batch(first, batches);
		unsigned long began = __rdtsc();
		copy_batch(first);
		cycles += __rdtsc() - began;
	}
	return (double)cycles / batches / BATCH;
}

static void *
send_back(void *unused)
{
	unsigned long seen = 0;

	(void)unused;
	pin(PEER_CORE);
	while (!atomic_load_explicit(&shared.stop, memory_order_relaxed)) {
		/* Pairs with crossing()'s release; its acquire with ours. */
		unsigned long n = atomic_load_explicit(&shared.filled, memory_order_acquire);

		if (n != seen)
			atomic_store_explicit(&shared.filled, seen = n + 1, memory_order_release);
	}
	return NULL;
}

static double
crossing(double until)
{
	unsigned long trips = 0, began = 0;
	pthread_t peer;

	pthread_create(&peer, NULL, send_back, NULL);
	while (trips < 1000 || (trips % 64 != 0 || now() < until)) {
		if (trips == WARM_TRIPS)
			began = __rdtsc();
		atomic_store_explicit(&shared.filled, 2 * trips + 1, memory_order_release);
		while (atomic_load_explicit(&shared.filled, memory_order_acquire) == 2 * trips + 1)
			;
		trips++;
	}
	unsigned long cycles = __rdtsc() - began;
	atomic_store(&shared.stop, true);
	pthread_join(peer, NULL);
	return (double)cycles / (trips - WARM_TRIPS);
}

static double
hertz(double seconds)
{
	double began = now();
	unsigned long cycles = __rdtsc();

	while (now() < began + seconds)
		;
	cycles = __rdtsc() - cycles;
	return cycles / (now() - began);
}

static int
usage(void)
{
	fprintf(stderr, "usage: floor_copy crossing MILLISECONDS\n"
			"       floor_copy hertz MILLISECONDS\n"
			"       floor_copy copy SIZE MILLISECONDS far|near\n");
	return 2;
}

int
main(int argc, char **argv)
{
	pin(SWITCH_CORE);
	if (argc == 3 && strcmp(argv[1], "crossing") == 0) {
		printf("%.1f\n", crossing(now() + atoi(argv[2]) / 1e3));
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "hertz") == 0) {
		printf("%.0f\n", hertz(atoi(argv[2]) / 1e3));
		return 0;
	}
	if (argc != 5 || strcmp(argv[1], "copy") != 0)
		return usage();
	if (atoi(argv[2]) < 0 || atoi(argv[2]) > STRIDE - 8 * LINE)
		return usage();
	choose_sizes(atoi(argv[2]));
	sources = area();
	targets = area();

	double until = now() + atoi(argv[3]) / 1e3;
	printf("%.1f\n", strcmp(argv[4], "far") == 0 ? copy_far(until) : copy_near(until));
	return 0;
}
