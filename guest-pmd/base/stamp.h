/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * For the bench: where the cycles of a burst go. In a build with
 * VHOSTPCI_STAMPS each ring counts the cycles of each stage, and xstats show
 * these counts. Other builds contain no stamps.
 *
 * A stamp adds the cycles since the last stamp to its stage. A stamp orders no
 * loads or stores: if one stage prefetches data and the next stage waits for
 * the data, the wait counts for the next stage. A build with stamps reads
 * descriptors and translates them in two loops, to tell both stages apart;
 * other builds use one loop.
 */

#ifndef VHOSTPCI_BASE_STAMP_H
#define VHOSTPCI_BASE_STAMP_H

/* Expands @X with each stage. ring: indices and entries of the ring; translate:
 * check and translate descriptors, prefetch data; mbuf: take or give back mbufs;
 * copy: copy packets and their headers. */
#define VHOSTPCI_STAGES(X) \
	X(ring) \
	X(translate) \
	X(mbuf) \
	X(copy)

#ifdef VHOSTPCI_STAMPS
#include <rte_cycles.h>

#define VHOSTPCI_STAMPED 1
#define VHOSTPCI_STAMP_BEGIN() uint64_t stamp_ = rte_rdtsc()
#define VHOSTPCI_STAMP_AGAIN() (stamp_ = rte_rdtsc())
#define VHOSTPCI_STAMP(ring, stage) do { \
	uint64_t now_ = rte_rdtsc(); \
	(ring)->count.cycles_##stage += now_ - stamp_; \
	stamp_ = now_; \
} while (0)
#else
#define VHOSTPCI_STAMPED 0
#define VHOSTPCI_STAMP_BEGIN()
#define VHOSTPCI_STAMP_AGAIN() do { } while (0)
#define VHOSTPCI_STAMP(ring, stage) do { } while (0)
#endif

#endif
