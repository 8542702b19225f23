/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The socket transport: this process is a vhost-user back-end, with the
 * peer's memory mapped straight from the fds that the front-end passes.
 *
 *   vdev.c       the driver on the vdev bus
 *   listen.c     the socket
 *   io.c         the thread that feeds the vhost-user core from the socket
 *   socket.c     from the core's state to struct vhostpci_peer
 *   map.c        the peer's memory
 *   inflight.c   the memory that keeps the rings' progress
 *   closer.c     the thread that closes and unmaps
 *   transport.c  transport operations
 *   caller.c     calls to the peer: which thread makes them
 *   signal.c     calls to the peer: how to signal an eventfd
 */

#ifndef VHOSTPCI_SOCKET_SOCKET_H
#define VHOSTPCI_SOCKET_SOCKET_H

#include <pthread.h>
#include <sys/types.h>
#include <sys/un.h>

#include "vhost_user.h"
#include "port/attach.h"
#include "base/limit.h"
#include "socket/caller.h"
#include "socket/closer.h"

struct vhostpci_socket {
	/* Constant once the thread runs. */
	struct vhostpci_dev *dev;
	struct sockaddr_un addr;
	bool client;		/* connect to the front-end, not listen */
	bool sealed;		/* take only memory that cannot shrink */
	bool csum, tso;		/* offloads offered to the peer */
	bool legacy_ol_flags;	/* see struct vhostpci_transport */
	uint16_t queues;
	uint64_t max_memory;	/* of the peer, bytes */
	char peer_name[VHOSTPCI_NAME_LEN];

	pthread_t thread;
	int wake_fd;		/* eventfd: look at stop and broken */
	bool stop;		/* ethdev: w, thread: r */
	uint64_t watch;		/* rings, by bit: report kicks. control or
				 * ethdev: w; thread: r */
	/* The epoch of a ring that the thread must stop, 0: none. EAL interrupt
	 * thread: w; thread: rw 0. */
	uint32_t broken[VHOSTPCI_MAX_RINGS];

	uint32_t place;		/* see io.c. thread, ethdev: rw */
	uint32_t users;		/* of this struct: ethdev, an abandoned thread */
	struct vhostpci_closer *closer;
	struct vhostpci_caller *caller;

	/* thread: rw */
	struct vu_core core;
	int listen_fd, conn_fd;	/* -1: none */
	dev_t file_dev;		/* of the path that listen_fd is bound to */
	ino_t file_ino;
	bool busy;		/* the closer is busy */
	bool waiting;		/* repeat vhostpci_peer_adopt() */
	bool complained;	/* the same connect error is logged already */
	/* Limits for a peer; beyond a limit the thread leaves the peer's fds
	 * alone for a moment. */
	struct vhostpci_limit messages, kicks;
	bool no_input, no_kicks;	/* until the end of that moment */
	uint64_t quiet_at;	/* timer cycles: see vu_core_quiet() */
	/* Since the rings changed: unproven: no index has moved; look_at: when
	 * to look again (timer cycles); kicked: the number of kicks. See
	 * socket/unshared.c. */
	bool unproven;
	uint64_t look_at, kicked;
	/* The ring's epoch at its last kick. */
	uint32_t kicked_epoch[VHOSTPCI_MAX_RINGS];

	/* See struct vhostpci_transport, and inflight.c. Constant. */
	uint64_t *progress;
	/* thread: rings, by bit, that have not run since the front-end handed a
	 * buffer back: the buffer says where they stood. */
	uint64_t from_inflight;
};

/* socket/transport.c */
extern const struct vhostpci_transport_ops vhostpci_socket_ops;
/* thread: drain ring @i's kick fd, never waiting, and report it. */
void vhostpci_socket_kicked(struct vhostpci_socket *s, unsigned int i);

/* socket/socket.c */
extern const struct vu_ops vhostpci_socket_core_ops;
/* thread: adopt the core's present state. Returns 0, VU_WAIT or -errno. */
int vhostpci_socket_adopt(struct vhostpci_socket *s);
/* thread, or ethdev without a thread: the port has adopted @peer, so no burst uses a
 * stopped ring. Close the call eventfds of stopped rings that need no calls. */
void vhostpci_socket_drop_calls(struct vhostpci_socket *s,
				const struct vhostpci_peer *peer);

/* socket/map.c: as in struct vu_ops. */
/* The NUMA node of the peer's memory; -1: unknown. */
int8_t vhostpci_socket_node(const struct vu_core *core);
int vhostpci_socket_map(void *opaque, struct vu_region *r, int fd);
void vhostpci_socket_unmap(void *opaque, struct vu_region *r);

/* socket/unshared.c: thread: the peer kicked ring @i, @count > 0 times. */
void vhostpci_socket_count_kicks(struct vhostpci_socket *s, unsigned int i,
				 uint64_t count);
/* socket/unshared.c: thread: does the peer's guest use the memory that we map? */
#define VHOSTPCI_LOOK_MS 500
void vhostpci_socket_look_shared(struct vhostpci_socket *s);

/* socket/inflight.c */
/* A page of our own: an entry for each ring, zero. NULL: no memory. */
uint64_t *vhostpci_inflight_new(void);
void vhostpci_inflight_free(uint64_t *progress);
/* As in struct vu_ops. */
int vhostpci_inflight_file(void *opaque, uint64_t *size);
int vhostpci_inflight_adopt(void *opaque, int fd, uint64_t offset,
			    uint64_t size);
/* thread: the base of ring @i. If the ring runs for the first time since the
 * front-end handed a buffer back, the base comes from the buffer, else from the
 * core. */
uint32_t vhostpci_inflight_base(const struct vhostpci_socket *s,
				unsigned int i);
/* thread: the port has adopted the core's state. */
void vhostpci_inflight_adopted(struct vhostpci_socket *s);
/* thread: the front-end now knows where ring @i stands: clear the buffer's entry. */
void vhostpci_inflight_forget(struct vhostpci_socket *s, unsigned int i);

/* socket/listen.c */
/* A socket to connect or listen with, or -errno. */
int vhostpci_socket_new(void);
/* Listen at s->addr: sets s->listen_fd. 0 or -errno, and logs why. */
int vhostpci_socket_listen(struct vhostpci_socket *s);
/* Stop listening, and remove the socket's file if it is still our own. */
void vhostpci_socket_unlisten(struct vhostpci_socket *s);

/* socket/io.c */
/* Open the socket (server) and start the thread. 0 or -errno. */
int vhostpci_socket_start(struct vhostpci_socket *s);
/* End the connection and the thread, unmap everything. Returns whether the thread
 * has ended; a thread that waits for a peer is left behind and keeps @s. */
bool vhostpci_socket_stop(struct vhostpci_socket *s);
/* Drop a use of @s; the last user frees it. */
void vhostpci_socket_put(struct vhostpci_socket *s);
void vhostpci_socket_wake(struct vhostpci_socket *s);

#endif
