/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The back-end side of the vhost-user protocol: bytes and file descriptors
 * in, a validated description of the peer and replies out.
 *
 * One struct vu_core serves one connection after the other. It neither
 * blocks, sleeps, spawns, logs nor allocates; it knows no socket (the user
 * reads and writes), no QEMU, no DPDK. It is not thread safe: one thread at a
 * time calls it, and the callbacks run in that call.
 *
 * Life of a connection:
 *	vu_core_init()			once
 *	vu_core_connect()		a front-end connected
 *	n = vu_core_want()		read at most n bytes (with fds), then
 *	vu_core_input()			... again; < 0: log vu_core_error(), close
 *	vu_core_disconnect()		before the socket is closed
 *
 * vu_core_want() is 0 while a reply is held back (an update callback returned
 * VU_WAIT): leave the bytes in the socket until vu_core_resume().
 *
 * Ownership of fds: every fd given to vu_core_input() belongs to the core
 * from then on. It closes what it does not keep, whatever the outcome, by
 * vu_ops.close_fd(): the last close() of a stranger's fd may block. Kick,
 * call and error fds in struct vu_ring are the core's; users may use them
 * until the next update says that they changed, or dup() them.
 *
 * Errors are negative errno values; each violation has its own sentence in
 * vu_core_error() that names the message and the rule.
 */

#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost_pci.h"

/* What the core keeps of a peer, the device tells its driver: one definition
 * bounds both. vhost_pci.h has it, since that header is installed alone. */
#define VU_MAX_REGIONS		VHOST_PCI_MAX_REGIONS
#define VU_MAX_RINGS		VHOST_PCI_MAX_RINGS
#define VU_MAX_RING_SIZE	VHOST_PCI_MAX_RING_SIZE
/* Most fds one message may carry (SET_MEM_TABLE: one per region). */
#define VU_MAX_FDS	8
/* Largest payload of any message that is accepted, bytes. */
#define VU_MAX_PAYLOAD	512

/* vhost-user protocol feature bits (vhost-user specification). */
#define VU_PROTOCOL_F_MQ			0
#define VU_PROTOCOL_F_LOG_SHMFD			1
#define VU_PROTOCOL_F_RARP			2
#define VU_PROTOCOL_F_REPLY_ACK			3
#define VU_PROTOCOL_F_NET_MTU			4
#define VU_PROTOCOL_F_BACKEND_REQ		5
#define VU_PROTOCOL_F_INFLIGHT_SHMFD		12
#define VU_PROTOCOL_F_RESET_DEVICE		13
#define VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS	15
#define VU_PROTOCOL_F_STATUS			16
/*
 * Ours: the front-end says its VM's name and UUID (SET_IDENTITY). Upstream counts up
 * from 0, and has come to 20 in twelve years; who adds bits for himself is tempted by
 * the other end. A front-end acknowledges no bit that it does not know, so stock ones
 * do without.
 */
#define VU_PROTOCOL_F_IDENTITY			55

/* In the virtio feature word. LOG_ALL (dirty logging) and IOMMU_PLATFORM
 * (ring addresses through an IOTLB) cannot be offered. */
#define VU_F_LOG_ALL				26
#define VU_F_PROTOCOL_FEATURES			30 /* always offered */
#define VU_F_IOMMU_PLATFORM			33

/* One region of the peer's memory. core: w, user: r unless said otherwise. */
struct vu_region {
	uint64_t gpa;		/* guest-physical address of its start */
	uint64_t size;		/* bytes */
	uint64_t uva;		/* front-end's address of its start */
	uint64_t fd_offset;	/* bytes into the file */
	uint64_t dev, ino;	/* identity of the file (fstat) */
	/* user: rw, from map to unmap. */
	void *addr;		/* where the user mapped it */
	uint64_t cookie;
};

/* One vring. Even index: the peer's receive queue, odd: its transmit queue. */
struct vu_ring {
	uint64_t desc, avail, used;	/* guest-physical addresses */
	uint32_t num;			/* entries */
	uint32_t base;			/* as in SET/GET_VRING_BASE */
	uint32_t epoch;			/* counts starts, never 0 once started */
	int kick_fd, call_fd, err_fd;	/* -1: none */
	/* Configured, its memory mapped in full, started and enabled: only
	 * then may the user touch it, and only then are the addresses
	 * meaningful. */
	bool run;
	/* Internal to the core. */
	bool have_num, have_addr, started, enabled;
	bool ran;			/* since it was started */
	bool named;			/* by any message */
	bool held;			/* would run, but see vu_core_quiet() */
	int kick_id;			/* kernel's id of kick_fd, -1: unknown */
	uint64_t desc_uva, avail_uva, used_uva;
};

/* What vu_ops.update() is told has changed. */
#define VU_CHANGED_MEM		(1u << 0) /* regions[] */
#define VU_CHANGED_RINGS	(1u << 1) /* ring setup, run flags */
#define VU_CHANGED_FDS		(1u << 2) /* kick_fd, call_fd or err_fd */
#define VU_CHANGED_FEATURES	(1u << 3) /* features */
#define VU_CHANGED_MTU		(1u << 4)
#define VU_CHANGED_RARP		(1u << 5)
#define VU_CHANGED_LINK		(1u << 6) /* connected, disconnected */

/* Return value of vu_ops.update(): the user still uses what is to go. */
#define VU_WAIT			1

struct vu_core;

struct vu_ops {
	/*
	 * A region appeared: map it. @fd stays the core's and is closed after
	 * the call; size and offset were checked against each other for
	 * overflow, and against the file's size. Sets r->addr and r->cookie.
	 * < 0 ends the connection; the user may have set an error text with
	 * vu_core_set_error().
	 */
	int (*map)(void *opaque, struct vu_region *r, int fd);
	/* A region is gone, and no update still waits for it: unmap it. */
	void (*unmap)(void *opaque, struct vu_region *r);
	/*
	 * Something of the peer changed (VU_CHANGED_*): adopt it. While this
	 * runs core->regions, core->rings, ... show the new state. Returns 0
	 * when nothing uses the old state any more; VU_WAIT when that takes
	 * until the user calls vu_core_resume() (the core holds back the
	 * reply, the unmapping, and further input); or < 0 to end the
	 * connection. What went away (regions, fds) stays mapped and open
	 * until this returned 0 or vu_core_resume() was called. Once this
	 * failed, nothing is told again before vu_core_disconnect().
	 * It may not call vu_core_input(), _resume() or _disconnect().
	 */
	int (*update)(void *opaque, uint32_t changed);
	/*
	 * Where ring @i stands, now that it is stopped: the value for the
	 * reply of GET_VRING_BASE (split: next avail index; packed: avail
	 * index | wrap << 15 | (used index | wrap << 15) << 16). Asked only
	 * of a ring that ran since it was started.
	 */
	uint32_t (*ring_base)(void *opaque, unsigned int i);
	/* Send a reply. Must not block. < 0 ends the connection. */
	int (*send)(void *opaque, const void *buf, size_t len);
	/*
	 * Close @fd, which the peer sent. That may take as long as the peer
	 * likes (a TCP socket with SO_LINGER and unsent data): who serves others
	 * has another thread do it. NULL: close() in place.
	 */
	void (*close_fd)(void *opaque, int fd);
	/*
	 * The three of them only where VU_PROTOCOL_F_INFLIGHT_SHMFD is offered.
	 * A file for the buffer, which cannot shrink (F_SEAL_SHRINK), and the
	 * buffer's size: at its begin, the core's from then on. Or -errno.
	 */
	int (*inflight_new)(void *opaque, uint64_t *size);
	/*
	 * Here is the buffer: one that was just made, or what whoever served the
	 * rings before has left, or, for all that is known, anything. @fd stays
	 * the core's and is closed after the call; [offset, offset + size) is
	 * in it. No ring runs. @fd < 0: the session is over, let go of it. < 0
	 * ends the connection.
	 */
	int (*inflight)(void *opaque, int fd, uint64_t offset, uint64_t size);
	/* As send(), with @fd beside the first byte. */
	int (*send_fd)(void *opaque, const void *buf, size_t len, int fd);
};

struct vu_config {
	uint64_t features;	/* virtio bits offered; bit 30 is added */
	uint64_t protocol_features;
	uint16_t max_queue_pairs;	/* 1 .. VU_MAX_RINGS / 2 */
	uint16_t max_regions;		/* 1 .. VU_MAX_REGIONS */
	/* Sum of the sizes of all regions, bytes; 0: map() bounds it. For a
	 * moment a new table is mapped beside the old one. */
	uint64_t max_memory;
	/* Refuse memory files that can shrink (no F_SEAL_SHRINK). */
	bool require_seals;
};

/* All that is known of the peer; users read it, only the core writes it. */
struct vu_core {
	struct vu_config config;
	const struct vu_ops *ops;
	void *opaque;

	bool connected;
	uint64_t features;		/* acknowledged by the front-end */
	uint64_t protocol_features;	/* acknowledged by the front-end */
	uint16_t mtu;			/* bytes; 0: not told */
	uint16_t rarp_count;
	uint8_t rarp_mac[6];
	/* What the front-end calls its VM; name: empty, uuid: nil if it says
	 * nothing. Neither is checked beyond its length. */
	bool has_identity;
	char name[VHOST_PCI_PEER_NAME_LEN];
	uint8_t uuid[16];		/* RFC 4122 byte order */
	unsigned int n_regions;
	struct vu_region regions[VU_MAX_REGIONS];
	struct vu_ring rings[VU_MAX_RINGS];
	unsigned int n_rings;		/* highest ring named so far + 1 */

	/* Internal to the core. */
	/* What the running update takes away: twice, since a disconnect may
	 * come on top of an update that waits. */
	struct vu_region gone[2 * VU_MAX_REGIONS];
	unsigned int n_gone;
	int gone_fds[3 * VU_MAX_RINGS + VU_MAX_FDS];
	unsigned int n_gone_fds;
	/* The message being received or run. */
	struct {
		uint32_t request, flags, size;
	} hdr;
	uint8_t payload[VU_MAX_PAYLOAD];
	size_t have;			/* bytes of hdr and payload received */
	int fds[VU_MAX_FDS];
	unsigned int n_fds;
	bool in_message;		/* its handler ran, its reply did not */
	uint32_t changed;		/* VU_CHANGED_* of its handler */
	unsigned int judged_ring;	/* the ring it is about, or a VU_JUDGE_* */
	uint64_t reply;
	bool waiting;			/* an update returned VU_WAIT */
	bool failed;			/* only disconnect is left */
	bool have_features;
	uint8_t status;
	int backend_req_fd;
	int inflight_fd;		/* for the reply only; -1 */
	bool has_inflight;		/* the user has a buffer */
	char error[192];
};

/* Prepare @core. Returns 0, or -EINVAL when @config is out of range, as
 * vu_core_error() says. */
int vu_core_init(struct vu_core *core, const struct vu_config *config,
		 const struct vu_ops *ops, void *opaque);

/*
 * A front-end connected: a new session, ring epochs go on counting. Calls
 * update with VU_CHANGED_LINK. Returns 0, the update's error, or -EBUSY when
 * the session before has not ended yet.
 */
int vu_core_connect(struct vu_core *core);

/*
 * The front-end is gone: all rings stop (update with VU_CHANGED_LINK), then
 * every region is unmapped and every fd closed. Returns 0, or VU_WAIT when
 * that completes in vu_core_resume() only; an error of this update is
 * ignored. May be called while an update waits: one vu_core_resume() then
 * completes both. Calling it again, or before vu_core_connect(), does nothing.
 */
int vu_core_disconnect(struct vu_core *core);

/* How many bytes may be read next; never beyond the end of a message, so
 * that fds received belong to the message being read. 0: held back. */
size_t vu_core_want(const struct vu_core *core);

/*
 * Take @len <= vu_core_want() bytes and @n_fds fds that came with them. Runs
 * the message when it is complete. Returns 0, or < 0: the connection must be
 * ended with vu_core_disconnect(), vu_core_error() says why. Every ring is
 * marked stopped then; the user learns so from the update of the disconnect.
 */
int vu_core_input(struct vu_core *core, const void *buf, size_t len,
		  const int *fds, unsigned int n_fds);

/* The user adopted what its update answered with VU_WAIT. As vu_core_input().
 */
int vu_core_resume(struct vu_core *core);

/*
 * Does a ring not run because it may be the control queue of a front-end with
 * fewer queue pairs than may be? While so, call vu_core_quiet() every
 * VU_QUIET_MS in which there was nothing to read: a guest that kicks such a
 * ring waits for an answer that nobody gives. As vu_core_input().
 */
#define VU_QUIET_MS	100
bool vu_core_holds(const struct vu_core *core);
int vu_core_quiet(struct vu_core *core);

/* Stop ring @i because of a violation found by the user; it runs again only
 * after the front-end has set it up anew (NUM, ADDR and KICK). One that the
 * front-end has stopped already is left alone. Does not call update. */
void vu_core_break_ring(struct vu_core *core, unsigned int i);

/* Why the last call failed; never empty after a failure. */
const char *vu_core_error(const struct vu_core *core);

/* For callbacks: the sentence that vu_core_error() is to return. The core
 * puts the name of the message before it. */
void vu_core_set_error(struct vu_core *core, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Name of a request, for logs; "unknown" out of range. Static storage. */
const char *vu_request_name(uint32_t request);

/* Guest-physical range -> mapped address (through vu_region.addr), or NULL
 * unless all of [gpa, gpa + len) lies in mapped, adjacent-in-addr regions. */
void *vu_core_translate(const struct vu_core *core, uint64_t gpa,
			uint64_t len);

#endif
