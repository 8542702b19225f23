/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The socket transport: this process is a vhost-user back-end, with the
 * peer's memory mapped straight from the fds that the front-end passes.
 *
 *   vdev.c       the driver on the vdev bus
 *   listen.c     the socket
 *   io.c         the thread that feeds the vhost-user core from the socket
 *   socket.c     what the core says, as struct vhostpci_peer
 *   map.c        the peer's memory
 *   inflight.c   where the rings' progress is kept
 *   closer.c     what is closed and unmapped aside
 *   transport.c  transport operations
 *   caller.c     calls to the peer: by whom
 *   signal.c     ... and how
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
	bool csum, tso;		/* offloads that the peer is offered */
	bool legacy_ol_flags;	/* see struct vhostpci_transport */
	uint16_t queues;
	uint64_t max_memory;	/* of the peer, bytes */
	char peer_name[VHOSTPCI_NAME_LEN];

	pthread_t thread;
	int wake_fd;		/* eventfd: look at stop and broken */
	bool stop;		/* ethdev: w, thread: r */
	uint64_t watch;		/* rings, by bit: report kicks. control or
				 * ethdev: w; thread: r */
	/* The epoch of a ring that is to be stopped, 0: none. EAL interrupt
	 * thread: w; thread: rw 0. */
	uint32_t broken[VHOSTPCI_MAX_RINGS];

	uint32_t place;		/* see io.c. thread, ethdev: rw */
	uint32_t users;		/* of this: ethdev, and a thread that was left */
	struct vhostpci_closer *closer;
	struct vhostpci_caller *caller;

	/* thread: rw */
	struct vu_core core;
	int listen_fd, conn_fd;	/* -1: none */
	dev_t file_dev;		/* of the path that listen_fd is bound to */
	ino_t file_ino;
	bool busy;		/* the closer is */
	bool waiting;		/* vhostpci_peer_adopt() is to be repeated */
	bool complained;	/* about the same connect error */
	/* What a peer may cause: beyond it, its fds are left alone for a
	 * moment. */
	struct vhostpci_limit messages, kicks;
	bool no_input, no_kicks;	/* until the end of that moment */
	uint64_t quiet_at;	/* timer cycles: see vu_core_quiet() */
	/* Since rings changed: no index was seen to move; when to look again
	 * (timer cycles); kicks. See socket/unshared.c. */
	bool unproven;
	uint64_t look_at, kicked;
	/* Start of the ring that a kick was last seen of. */
	uint32_t kicked_epoch[VHOSTPCI_MAX_RINGS];

	/* See struct vhostpci_transport, and inflight.c. Constant. */
	uint64_t *progress;
	/* thread: rings that did not run since the front-end handed a buffer
	 * back, by bit: that says where they stood. */
	uint64_t from_inflight;
};

/* socket/transport.c */
extern const struct vhostpci_transport_ops vhostpci_socket_ops;
/* thread: drain ring @i's kick fd, never waiting, and report it. */
void vhostpci_socket_kicked(struct vhostpci_socket *s, unsigned int i);

/* socket/socket.c */
extern const struct vu_ops vhostpci_socket_core_ops;
/* thread: adopt what the core shows now: 0, VU_WAIT or -errno. */
int vhostpci_socket_adopt(struct vhostpci_socket *s);
/* thread, or when there is none: @peer was adopted, and no burst is at a ring
 * that does not run: close the call eventfds of those that are not to be called
 * either. */
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
/* thread: the base of ring @i as the core shows it, or, when it runs for the first
 * time since a buffer was handed back, where that says it stood. */
uint32_t vhostpci_inflight_base(const struct vhostpci_socket *s,
				unsigned int i);
/* thread: the port has adopted what the core shows. */
void vhostpci_inflight_adopted(struct vhostpci_socket *s);
/* thread: the front-end knows where ring @i stands, and the buffer no longer. */
void vhostpci_inflight_forget(struct vhostpci_socket *s, unsigned int i);

/* socket/listen.c */
/* A socket to connect or listen with, or -errno. */
int vhostpci_socket_new(void);
/* Listen at s->addr: sets s->listen_fd. 0 or -errno, and logs why. */
int vhostpci_socket_listen(struct vhostpci_socket *s);
/* Stop listening, if we do, and take away the socket if it is still ours. */
void vhostpci_socket_unlisten(struct vhostpci_socket *s);

/* socket/io.c */
/* Open the socket (server) and start the thread. 0 or -errno. */
int vhostpci_socket_start(struct vhostpci_socket *s);
/* End the connection and the thread, unmap everything. Returns whether the thread
 * has ended: one that waits for a stranger is left behind, with @s alone. */
bool vhostpci_socket_stop(struct vhostpci_socket *s);
/* The last one frees it. */
void vhostpci_socket_put(struct vhostpci_socket *s);
void vhostpci_socket_wake(struct vhostpci_socket *s);

#endif
