/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ring fuzzer's parts.
 *
 *	fuzz_rings.c	  the loop: rounds, bursts, figures
 *	rings_peer.c	  the hostile peer's process
 *	rings_layout.c	  features of a round, and addresses of its rings
 *	rings_mutate.c	  the hostile peer's writes
 *	rings_port.c	  the hostile peer's port: set-up, restarts, checks
 *	rings_honest.c	  the other port, whose every packet is checked
 *	rings_rules.c	  rules from the hostile port and to it (--rules)
 *	rings_watch.c	  shows the state if a burst does not end
 *
 * The hostile peer's memory is one memfd. The peer process maps it as it is;
 * the driver's process maps each region between guard pages:
 *
 *	0x100000    LOW   256 KiB  rings, tables, buffers
 *	0x140000    HIGH  128 KiB  adjacent to LOW for the peer, not here
 *	0x40000000  FAR    64 KiB  behind a hole
 */

#ifndef FUZZ_RINGS_H
#define FUZZ_RINGS_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "port/attach.h"

#define RF_LOW		0x100000ull
#define RF_LOW_SIZE	0x40000ull
#define RF_HIGH		(RF_LOW + RF_LOW_SIZE)
#define RF_HIGH_SIZE	0x20000ull
#define RF_FAR		0x40000000ull
#define RF_FAR_SIZE	0x10000ull
#define RF_SIZE		(RF_LOW_SIZE + RF_HIGH_SIZE + RF_FAR_SIZE)
#define RF_REGIONS	3

#define RF_TABLES	(RF_LOW + 0x20000)	/* N_TABLES of TABLE_LEN */
#define RF_N_TABLES	32u
#define RF_TABLE_LEN	32u
#define RF_BUFFERS	(RF_LOW + 0x28000)	/* N_BUFFERS of BUFFER_SIZE */
#define RF_N_BUFFERS	64u			/* the last ones are in HIGH */
#define RF_BUFFER_SIZE	2048u

#define RF_TX		0	/* ring 0: to the peer */
#define RF_RX		1	/* ring 1: from the peer */
#define RF_RINGS	2

#define RF_PACKED	(1ULL << 34)
#define RF_IN_ORDER	(1ULL << 35)

/* The addresses of the regions in a process. */
struct rf_memory {
	uint8_t *addr[RF_REGIONS];
};
extern const struct rf_region {
	uint64_t gpa, size;
} rf_regions[RF_REGIONS];

/* @len bytes at @gpa, or NULL if they are not all in one region. */
void *rf_addr(const struct rf_memory *mem, uint64_t gpa, uint64_t len);

/* What the hostile peer knows of a round. */
struct rf_ring {
	uint64_t desc, avail, used;
	uint32_t base;
	uint16_t num;
};
struct rf_layout {
	uint64_t seed;
	uint64_t features;
	struct rf_ring rings[RF_RINGS];
	unsigned int heat;	/* one write in 2^heat is not nearly valid */
};

/* A sequence of numbers that depends on its state alone. */
static inline uint32_t
rf_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;	/* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) >> 32;
}

/* True once in @n times. */
static inline bool
rf_once_in(uint64_t *state, uint32_t n)
{
	return rf_rand(state) % n == 0;
}

/* rings_layout.c */
void rf_layout_features(struct rf_layout *l, uint64_t *rand);
void rf_layout_ring(struct rf_layout *l, unsigned int i, uint64_t *rand);

/* rings_mutate.c */
struct rf_mutator {
	struct rf_memory mem;
	struct rf_layout l;
	uint64_t rand;
	/* packed: where the next descriptor is made available, and the wrap
	 * counter in the highest bit; the loop and the peer's process share it */
	uint16_t *turn;
	uint64_t writes;
};
/* Use @l from now on, and write nothing. The caller has set @m->turn and
 * @m->mem. */
void rf_mutator_know(struct rf_mutator *m, const struct rf_layout *l);
/* Write ring @i as a correct driver would at its start. */
void rf_mutator_begin(struct rf_mutator *m, unsigned int i);
/* One step of the hostile peer. */
void rf_mutate(struct rf_mutator *m);

/* rings_peer.c */
#define RF_AHEAD	2048u	/* bursts between two looks at the peer */
/* Start the peer's process if this is a @race. Returns memory that all mutators
 * share. */
uint16_t *rf_peer_open(int memfd, bool race);
/* Give @l to the peer's process. */
void rf_peer_tell(const struct rf_layout *l);
/* Wait until the peer has written something since the last time. */
void rf_peer_wait(void);
uint64_t rf_peer_writes(void);
void rf_peer_close(void);

/* rings_port.c */
struct rf_port {
	uint16_t port;
	struct vhostpci_dev *dev;
	struct vhostpci_peer peer;
	struct vhostpci_vring_desc vrings[RF_RINGS];	/* the peer's */
	uint64_t progress[VHOSTPCI_MAX_RINGS];
	struct rf_memory mem;		/* as the driver sees it now */
	struct rf_memory maps[2];	/* one of them is accessible */
	unsigned int map;
	struct rte_mempool *pool;
	/* EAL interrupt thread: w; loop: r */
	unsigned int reports[RF_RINGS];
	unsigned int link_events;
	unsigned int calls;
	/* loop: rw */
	bool link;
	unsigned int link_changes;
	uint64_t violations[RF_RINGS];
	uint64_t restarts;
};
void rf_port_open(struct rf_port *p, int memfd);
void rf_port_close(struct rf_port *p);
/* Stop both rings, and run them with the layout of @m. */
void rf_port_round(struct rf_port *p, struct rf_mutator *m);
/* Run ring @i again, with the layout of @m. */
void rf_port_restart(struct rf_port *p, struct rf_mutator *m, unsigned int i);
/* Move the peer's memory to other addresses of this process. */
void rf_port_move(struct rf_port *p);
/* The number of rings that a violation has stopped. */
unsigned int rf_port_broken(const struct rf_port *p);
/* Wait until the violations of these rings are counted and reported, and the
 * link is down. Returns a set of rings. */
unsigned int rf_port_check_broken(struct rf_port *p);
/* Check that no mbuf is lost. */
void rf_port_check_mbufs(const struct rf_port *p);
/* Call @show for each violation_* statistic that is not zero. */
void rf_port_violations(const struct rf_port *p,
			void (*show)(const char *rule, uint64_t count));

/* rings_honest.c */
void rf_honest_open(uint64_t *rand);
/* Start with other features and other ring sizes. */
void rf_honest_restart(uint64_t *rand);
/* Send packets both ways, and check each. */
void rf_honest_exchange(uint64_t *rand);
uint64_t rf_honest_packets(void);
void rf_honest_close(void);

/* rings_rules.c */
/* Make more honest ports, and rules between them and the hostile peer's
 * @port. */
void rf_rules_open(uint16_t port);
/* Use other rules, and other features of honest peers. */
void rf_rules_round(uint64_t *rand);
/* Call this after a burst of the hostile peer's port: checks the packets that
 * have arrived, and sends packets of an honest peer to the hostile one. */
void rf_rules_step(uint64_t *rand);
void rf_rules_show(void);
void rf_rules_close(void);

/* rings_watch.c */
struct rf_state {
	uint64_t seed, round, bursts, changes;
	const char *mode;
	bool rules;
	const char *volatile doing;	/* what must end; NULL: nothing */
	struct rf_layout l;
};
extern struct rf_state rf_state;
/* From now on, a step that takes more than a few seconds of processor time ends
 * the program, which then shows the state. */
void rf_watch(void);
/* Begin a step of this name. */
void rf_doing(const char *what);
/* End the program with the state if not @ok. */
void rf_need(bool ok, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
#define RF_SECONDS_TO_REPORT	60	/* many, for a busy machine */

#endif
