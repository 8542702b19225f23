/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where the cycles of a burst go, for a bench: built with VHOSTPCI_STAMPS, each
 * ring counts those of each stage, and xstats show them. Otherwise nothing of
 * this is there.
 *
 * A stamp adds the cycles since the one before to its stage. It orders nothing:
 * what one stage asks for in advance and the next waits for counts as the
 * next one's. Reading a descriptor and translating it, otherwise done in one
 * loop, are done in two, to be told apart.
 */

#ifndef VHOSTPCI_BASE_STAMP_H
#define VHOSTPCI_BASE_STAMP_H

/* @X is called with each: indices and entries of the ring; descriptors checked
 * and translated, data asked for; mbufs taken or given back; packets copied,
 * with their headers. */
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
