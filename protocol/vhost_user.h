/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The back-end side of the vhost-user protocol: bytes and file descriptors
 * in, a validated description of the peer and replies out.
 *
 * One struct vu_core serves one connection after the other. The core never
 * blocks, sleeps, spawns, logs or allocates; it knows no socket (the user of
 * the core reads and writes), no QEMU and no DPDK. The core is not thread safe:
 * only one thread may call it at a time, and the callbacks run in that call.
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
 * from then on. Whatever the outcome, the core closes each fd that it does not
 * keep, by vu_ops.close_fd(), because the last close() of a stranger's fd may
 * block. Kick, call and error fds in struct vu_ring belong to the core; users
 * may use them until the next update says that they changed, or dup() them.
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

/* The device tells its driver everything that the core knows of a peer, so both
 * have the same bounds. vhost_pci.h defines them: it is installed alone. */
#define VU_MAX_REGIONS		VHOST_PCI_MAX_REGIONS
#define VU_MAX_RINGS		VHOST_PCI_MAX_RINGS
#define VU_MAX_RING_SIZE	VHOST_PCI_MAX_RING_SIZE
/* Most fds one message may carry (SET_MEM_TABLE: one per region). */
#define VU_MAX_FDS	8
/* Largest payload of a message that the core accepts, bytes. */
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
 * Our own bit: the front-end sends its VM's name and UUID (SET_IDENTITY). Upstream
 * assigns bits from 0 upwards, and has reached 20 in twelve years; other projects
 * tend to take private bits from 63 downwards. 55 is far from both. A stock front-end
 * does not acknowledge a bit that it does not know, so it works without this one.
 */
#define VU_PROTOCOL_F_IDENTITY			55

/* Bits of the virtio feature word. A user cannot offer LOG_ALL (dirty logging)
 * and IOMMU_PLATFORM (ring addresses through an IOTLB). */
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
	/* The ring is configured, started and enabled, and its memory is mapped
	 * in full. The user may touch the ring, and the addresses are valid,
	 * only while this is true. */
	bool run;
	/* Internal to the core. */
	bool have_num, have_addr, started, enabled;
	bool ran;			/* has run since it was started */
	bool named;			/* a message has named the ring */
	bool held;			/* would run, but see vu_core_quiet() */
	int kick_id;			/* kernel's id of kick_fd, -1: unknown */
	uint64_t desc_uva, avail_uva, used_uva;
};

/* The argument of vu_ops.update(): what has changed. */
#define VU_CHANGED_MEM		(1u << 0) /* regions[] */
#define VU_CHANGED_RINGS	(1u << 1) /* ring setup, run flags */
#define VU_CHANGED_FDS		(1u << 2) /* kick_fd, call_fd or err_fd */
#define VU_CHANGED_FEATURES	(1u << 3) /* features */
#define VU_CHANGED_MTU		(1u << 4)
#define VU_CHANGED_RARP		(1u << 5)
#define VU_CHANGED_LINK		(1u << 6) /* connected, disconnected */

/* Return value of vu_ops.update(): the user still uses the old state. */
#define VU_WAIT			1

struct vu_core;

struct vu_ops {
	/*
	 * A region appeared: map it. The core owns @fd and closes it after the
	 * call. The core has checked that the sum of size and offset does not
	 * overflow and lies within the file. The callback sets r->addr and
	 * r->cookie. < 0 ends the connection; the callback may set an error text
	 * with vu_core_set_error().
	 */
	int (*map)(void *opaque, struct vu_region *r, int fd);
	/* A region is gone, and no waiting update uses it any more: unmap it. */
	void (*unmap)(void *opaque, struct vu_region *r);
	/*
	 * The state of the peer changed (VU_CHANGED_*): adopt the new state,
	 * which core->regions, core->rings, ... show during this call. Returns:
	 * 0: nothing uses the old state any more;
	 * VU_WAIT: something uses the old state until the user calls
	 * vu_core_resume(); the core holds back the reply, the unmapping and
	 * further input until then;
	 * < 0: the connection must end.
	 * Old regions stay mapped and old fds stay open until this callback has
	 * returned 0 or the user has called vu_core_resume(). After a failure,
	 * the core does not call this again before vu_core_disconnect(). The
	 * callback must not call vu_core_input(), _resume() or _disconnect().
	 */
	int (*update)(void *opaque, uint32_t changed);
	/*
	 * Returns where the stopped ring @i stands: the value for the reply of
	 * GET_VRING_BASE (split: next avail index; packed: avail index |
	 * wrap << 15 | (used index | wrap << 15) << 16). The core calls this only
	 * for a ring that has run since it was started.
	 */
	uint32_t (*ring_base)(void *opaque, unsigned int i);
	/* Send a reply. Must not block. < 0 ends the connection. */
	int (*send)(void *opaque, const void *buf, size_t len);
	/*
	 * Close @fd, which the peer sent. The peer can make close() take as long
	 * as it likes (a TCP socket with SO_LINGER and unsent data), so a user
	 * that also serves other peers needs another thread for this. NULL: the
	 * core calls close() itself.
	 */
	void (*close_fd)(void *opaque, int fd);
	/*
	 * inflight_new(), inflight() and send_fd() are needed only if the user
	 * offers VU_PROTOCOL_F_INFLIGHT_SHMFD. This one returns an fd, or -errno:
	 * a file that holds the buffer at its beginning and cannot shrink
	 * (F_SEAL_SHRINK). It sets *size to the buffer's size. The core owns the
	 * fd from then on.
	 */
	int (*inflight_new)(void *opaque, uint64_t *size);
	/*
	 * Adopt the buffer. It may be new, it may be the buffer that the last
	 * back-end of these rings left, or it may hold anything. The core owns
	 * @fd and closes it after the call; [offset, offset + size) lies in the
	 * file. No ring runs. @fd < 0: the session is over, so stop using the
	 * buffer. A result < 0 ends the connection.
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
	/* Bound for the sizes of all regions together, bytes; 0: map() bounds the
	 * sum. For a moment a new table is mapped beside the old one. */
	uint64_t max_memory;
	/* Refuse memory files that can shrink (no F_SEAL_SHRINK). */
	bool require_seals;
};

/* The state of the peer; users read it, only the core writes it. */
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
	/* The VM's name and UUID as the front-end sent them; empty and nil if it
	 * sent none. The core checks their lengths only. */
	bool has_identity;
	char name[VHOST_PCI_PEER_NAME_LEN];
	uint8_t uuid[16];		/* RFC 4122 byte order */
	unsigned int n_regions;
	struct vu_region regions[VU_MAX_REGIONS];
	struct vu_ring rings[VU_MAX_RINGS];
	unsigned int n_rings;		/* highest ring named so far + 1 */

	/* Internal to the core. */
	/* Regions that the running update removes. There is room for two tables,
	 * because a disconnect may come while an update waits. */
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
	bool in_message;		/* handler has run, reply is not sent */
	uint32_t changed;		/* VU_CHANGED_* of the message's handler */
	unsigned int judged_ring;	/* ring of the message, or a VU_JUDGE_* */
	uint64_t reply;
	bool waiting;			/* an update returned VU_WAIT */
	bool failed;			/* only a disconnect may follow */
	bool have_features;
	uint8_t status;
	int backend_req_fd;
	int inflight_fd;		/* for the reply only; -1 */
	bool has_inflight;		/* the user has a buffer */
	char error[192];
};

/* Prepare @core. Returns 0, or -EINVAL when @config is out of range;
 * vu_core_error() then says which value is wrong. */
int vu_core_init(struct vu_core *core, const struct vu_config *config,
		 const struct vu_ops *ops, void *opaque);

/*
 * A front-end connected: begin a new session, in which ring epochs continue to
 * count. Calls update with VU_CHANGED_LINK. Returns 0, the update's error, or
 * -EBUSY when the last session has not ended yet.
 */
int vu_core_connect(struct vu_core *core);

/*
 * The front-end is gone: the core stops all rings (update with
 * VU_CHANGED_LINK), then unmaps every region and closes every fd. Returns 0, or
 * VU_WAIT when the disconnect completes only in vu_core_resume(). The core
 * ignores an error of this update. The user may call this while an update
 * waits: one vu_core_resume() then completes both. A second call, or a call
 * before vu_core_connect(), does nothing.
 */
int vu_core_disconnect(struct vu_core *core);

/* How many bytes to read next; never beyond the end of a message, so that
 * received fds belong to the message being read. 0: do not read yet. */
size_t vu_core_want(const struct vu_core *core);

/*
 * Take @len <= vu_core_want() bytes and @n_fds fds that came with them. Runs
 * the message when it is complete. Returns 0, or < 0: the user must end the
 * connection with vu_core_disconnect(), and vu_core_error() says why. The core
 * has then marked every ring as stopped; the update of the disconnect tells the
 * user.
 */
int vu_core_input(struct vu_core *core, const void *buf, size_t len,
		  const int *fds, unsigned int n_fds);

/* The user has adopted the state to which its update answered VU_WAIT. Returns
 * the same values as vu_core_input(). */
int vu_core_resume(struct vu_core *core);

/*
 * vu_core_holds(): does the core hold back a ring that may be the control queue
 * of a front-end with fewer queue pairs than max_queue_pairs? While the core
 * does, call vu_core_quiet() after every VU_QUIET_MS without anything to read: a
 * guest that kicks such a ring waits for an answer that nobody gives.
 * vu_core_quiet() returns the same values as vu_core_input().
 */
#define VU_QUIET_MS	100
bool vu_core_holds(const struct vu_core *core);
int vu_core_quiet(struct vu_core *core);

/* Stop ring @i because the user found a violation. The ring runs again only after
 * the front-end has set it up anew (NUM, ADDR and KICK). Does nothing if the
 * front-end has already stopped the ring. Does not call update. */
void vu_core_break_ring(struct vu_core *core, unsigned int i);

/* Why the last call failed; never empty after a failure. */
const char *vu_core_error(const struct vu_core *core);

/* For callbacks: set the sentence that vu_core_error() returns. The core puts the
 * name of the message before the sentence. */
void vu_core_set_error(struct vu_core *core, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Name of a request, for logs; "unknown" out of range. Static storage. */
const char *vu_request_name(uint32_t request);

/* Guest-physical range -> mapped address (through vu_region.addr), or NULL
 * unless all of [gpa, gpa + len) lies in mapped, adjacent-in-addr regions. */
void *vu_core_translate(const struct vu_core *core, uint64_t gpa,
			uint64_t len);

#endif
