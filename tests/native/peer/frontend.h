/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A vhost-user front-end in this process, and a port on the driver's socket
 * transport for it: with a real socket, a real memfd and real eventfds. The
 * test acts as the driver of the rings.
 *
 * A fakepeer's port (fakepeer.h) has a transport of the test instead. This code
 * uses fakepeer.h's EAL, mempool and packets (fp_init(), fp_packet()).
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
#define FE_BUFFERS	0x200000ull	/* offset of the buffers */
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

/* Make a started port with @n_rxq receive queues, which listens. @args as for
 * --vdev, with a comma in front. */
struct frontend *fe_new(const char *args, uint16_t n_rxq, bool rx_intr);
void fe_free(struct frontend *fe);
/* Free a front-end whose port is closed already. */
void fe_free_closed(struct frontend *fe);

/* Connect, negotiate @features, and send the memory table. */
void fe_connect(struct frontend *fe, uint64_t features);
/* Disconnect without a message. */
void fe_disconnect(struct frontend *fe);
/* Call fe_connect(), start the rings of @n_pairs, and wait for the link. */
void fe_start(struct frontend *fe, uint64_t features, unsigned int n_pairs);
/* Set ring @i up again, with indices 0; let it run; do both. */
void fe_place_ring(struct frontend *fe, unsigned int i);
void fe_run_ring(struct frontend *fe, unsigned int i);
void fe_start_ring(struct frontend *fe, unsigned int i);
void fe_enable(struct frontend *fe, unsigned int i, bool on);
/* Send GET_VRING_BASE; returns the base. */
uint32_t fe_stop_ring(struct frontend *fe, unsigned int i);

/* Send a message, with @fd if @n_fds is 1. */
void fe_send(struct frontend *fe, uint32_t request, uint32_t flags,
	     const void *payload, uint32_t size, int fd, unsigned int n_fds);
/* Send a message, and return the u64 of its reply. */
uint64_t fe_ask(struct frontend *fe, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size);
/* Wait until the other end closes; returns false if it does not. */
bool fe_is_closed(struct frontend *fe);

/* Post a packet of 60 bytes in ring @i. fe_kick() kicks if the ring asks for
 * that, as a driver does; returns true if it kicked. */
void fe_post(struct frontend *fe, unsigned int i);
bool fe_kick(struct frontend *fe, unsigned int i);
/* Receive the packets in queue @q; returns their number. */
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
