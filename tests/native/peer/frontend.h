/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A vhost-user front-end in this process, and a port on the driver's socket
 * transport for it: a real socket, a real memfd, real eventfds. The test plays
 * the driver of the rings.
 *
 * Unlike fakepeer.h, whose port has a transport of the test's own; its EAL,
 * mempool and packets serve here too (fp_init(), fp_packet()).
 */

#ifndef FRONTEND_H
#define FRONTEND_H

#include <pthread.h>

#include "fakepeer.h"
#include "vhost_user_int.h"
#include "socket/socket.h"

#define FE_SIZE		0x400000ull
#define FE_GPA		0x10000000ull
#define FE_UVA		0x7e0000000000ull
#define FE_NUM		64
#define FE_HDR		12u
#define FE_BUFFERS	0x200000ull	/* offset of what is no ring */
#define FE_FEATURES	(FP_MODERN | FP_MRG | 1ULL << VU_F_PROTOCOL_FEATURES)

struct frontend {
	char name[32];			/* of the port */
	char dir[32], path[64];		/* of the socket */
	uint16_t port;
	struct vhostpci_socket *socket;	/* the port's transport */
	int fd;				/* the connection, -1: none */
	int mem_fd;
	uint8_t *mem;
	uint64_t features;
	bool event_idx;
	struct fp_ring rings[VHOSTPCI_MAX_RINGS];
	int kick[VHOSTPCI_MAX_RINGS], call[VHOSTPCI_MAX_RINGS];
};

/* A started port with @n_rxq receive queues that listens; @args as for --vdev,
 * with a comma before them. */
struct frontend *fe_new(const char *args, uint16_t n_rxq, bool rx_intr);
void fe_free(struct frontend *fe);
/* ... whose port is closed already. */
void fe_free_closed(struct frontend *fe);

/* Connect, negotiate @features, tell the memory. */
void fe_connect(struct frontend *fe, uint64_t features);
/* Go away without a word. */
void fe_disconnect(struct frontend *fe);
/* fe_connect() and the rings of @n_pairs; waits for the link. */
void fe_start(struct frontend *fe, uint64_t features, unsigned int n_pairs);
/* Set ring @i up anew, its indices zero; let it run; both. */
void fe_place_ring(struct frontend *fe, unsigned int i);
void fe_run_ring(struct frontend *fe, unsigned int i);
void fe_start_ring(struct frontend *fe, unsigned int i);
void fe_enable(struct frontend *fe, unsigned int i, bool on);
/* GET_VRING_BASE */
uint32_t fe_stop_ring(struct frontend *fe, unsigned int i);

/* A message; with @n_fds 1, @fd goes along. */
void fe_send(struct frontend *fe, uint32_t request, uint32_t flags,
	     const void *payload, uint32_t size, int fd, unsigned int n_fds);
/* ... that is answered by one u64. */
uint64_t fe_ask(struct frontend *fe, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size);
/* Has the other end closed? Waits for it. */
bool fe_is_closed(struct frontend *fe);

/* A packet of 60 bytes in ring @i; fe_kick() as a driver does, if the ring asks
 * for it: returns whether it did. */
void fe_post(struct frontend *fe, unsigned int i);
bool fe_kick(struct frontend *fe, unsigned int i);
/* Receive what is there in queue @q; how many. */
unsigned int fe_receive(const struct frontend *fe, uint16_t q);
/* A thread that receives from queue 0 all the time, between start and stop. */
struct fe_receiver {
	const struct frontend *fe;
	pthread_t thread;
	uint64_t ended;		/* bursts; thread: w, test: r */
	bool stop;		/* test: w, thread: r */
};
void fe_receiver_start(struct fe_receiver *r, const struct frontend *fe);
void fe_receiver_stop(struct fe_receiver *r);
bool fe_wait_link(const struct frontend *fe, bool up);
uint64_t fe_xstat(const struct frontend *fe, const char *name);

/* Wait until @cond, at most @seconds. */
#define fe_wait(cond, seconds) \
	({ \
		uint64_t end_ = rte_get_timer_cycles() + \
			(seconds) * rte_get_timer_hz(); \
		bool is_ = (cond); \
		while (!is_ && rte_get_timer_cycles() < end_) { \
			rte_delay_us_sleep(200); \
			is_ = (cond); \
		} \
		is_; \
	})

#endif
