/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Internal to the vhost-user core: the messages on the wire, and the functions
 * that the core's files share.
 *
 * Integers on the wire are in the host's byte order (vhost-user, "Message
 * Specification"): both ends live on one machine.
 */

#ifndef VHOST_USER_INT_H
#define VHOST_USER_INT_H

#include <assert.h>

#include "vhost_user.h"

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_SET_VRING_ENDIAN = 23,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_CREATE_CRYPTO_SESSION = 26,
	VU_CLOSE_CRYPTO_SESSION = 27,
	VU_POSTCOPY_ADVISE = 28,
	VU_POSTCOPY_LISTEN = 29,
	VU_POSTCOPY_END = 30,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_GPU_SET_SOCKET = 33,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_GET_SHARED_OBJECT = 41,
	VU_SET_DEVICE_STATE_FD = 42,
	VU_CHECK_DEVICE_STATE = 43,
	VU_N_REQUESTS,
	/* Ours, see VU_PROTOCOL_F_IDENTITY. */
	VU_SET_IDENTITY = 1055
};

/* Header flags. */
#define VU_VERSION		0x1u
#define VU_VERSION_MASK		0x3u
#define VU_FLAG_REPLY		(1u << 2)
#define VU_FLAG_NEED_REPLY	(1u << 3)

#define VU_HDR_SIZE		12u
static_assert(sizeof(((struct vu_core *)0)->hdr) == VU_HDR_SIZE, "wire");

/* Payload of the SET_VRING_KICK family: ring index, and "no fd". */
#define VU_VRING_IDX_MASK	UINT64_C(0xff)
#define VU_VRING_NOFD		(UINT64_C(1) << 8)

struct vu_wire_region {
	uint64_t gpa, size, uva, mmap_offset;
};
static_assert(sizeof(struct vu_wire_region) == 32, "wire");

struct vu_wire_mem_table {
	uint32_t n_regions, padding;
	struct vu_wire_region regions[VU_MAX_FDS];
};
static_assert(sizeof(struct vu_wire_mem_table) == 8 + 8 * 32, "wire");
static_assert(sizeof(struct vu_wire_mem_table) <= VU_MAX_PAYLOAD, "wire");

struct vu_wire_mem_reg {
	uint64_t padding;
	struct vu_wire_region region;
};
static_assert(sizeof(struct vu_wire_mem_reg) == 40, "wire");

struct vu_wire_vring_state {
	uint32_t index, num;
};
static_assert(sizeof(struct vu_wire_vring_state) == 8, "wire");

struct vu_wire_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};
static_assert(sizeof(struct vu_wire_vring_addr) == 40, "wire");

/* Front-ends pad the message to 24 bytes; only the first 20 have a meaning. */
#define VU_INFLIGHT_SIZE	20u
struct vu_wire_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t num_queues, queue_size;
	uint32_t padding;
};
static_assert(sizeof(struct vu_wire_inflight) == 24, "wire");

struct vu_wire_identity {
	uint8_t uuid[16];
	char name[VHOST_PCI_PEER_NAME_LEN]; /* ends with NUL */
};
static_assert(sizeof(struct vu_wire_identity) == 80, "wire");

/* vu_core.judged_ring: the message fails if this ring lies outside the memory
 * table after the message; the core only pauses other such rings. */
#define VU_JUDGE_NONE	UINT32_MAX
#define VU_JUDGE_ALL	(UINT32_MAX - 1)

/* A handler returns 0 (done), a negative errno, or this: refuse the request,
 * but keep the connection. */
#define VU_REFUSED	1

/* Features that decide which rings exist. */
#define VU_NET_F_CTRL_VQ	17
#define VU_NET_F_MQ		22
/* Features that decide how rings look. */
#define VU_RING_F_EVENT_IDX	29
#define VU_RING_F_PACKED	34

static inline bool
vu_bit(uint64_t word, unsigned int bit)
{
	return (word >> bit) & 1;
}

/* vhost_user_error.c: set the error text, return @err (negative). */
int vu_fail(struct vu_core *core, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* vhost_user_session.c: end the session; only its disconnect may follow.
 * Returns @err. */
int vu_end(struct vu_core *core, int err);

/* vhost_user.c */

/* Tell the user what changed; complete the update now or in vu_core_resume(). */
int vu_update(struct vu_core *core);
/* Complete an update: nobody uses the old state any more. */
int vu_complete(struct vu_core *core);

/* vhost_user_msg.c: the rules that a request must meet before its handler runs,
 * and the kind of its reply. */
enum vu_reply_kind {
	VU_REPLY_ACK,		/* a u64, if requested and negotiated */
	VU_REPLY_U64,		/* core->reply */
	VU_REPLY_STATE,		/* vring state of the ring in the request */
	VU_REPLY_INFLIGHT,	/* the payload as the handler left it, and an fd */
};

/* vu_rule.protocol_bit: no protocol feature is needed. */
#define VU_ALWAYS	(-1)

struct vu_rule {
	const char *name;
	int (*handler)(struct vu_core *core);	/* NULL: refused */
	uint16_t min_size, max_size;	/* payload, bytes */
	uint8_t min_fds, max_fds;
	int8_t protocol_bit;		/* must be acknowledged; VU_ALWAYS */
	uint8_t reply;			/* enum vu_reply_kind */
};
/* NULL when there is no such request. */
const struct vu_rule *vu_find_rule(uint32_t request);

/* vhost_user_fd.c */

/* Check that @fd is a memory file fit for a region that ends at @end bytes; set
 * dev and ino of @r. @i: the region's number for the error text. */
int vu_check_memory_fd(struct vu_core *core, unsigned int i, int fd,
		       uint64_t end, struct vu_region *r);
/* Check that @fd is an eventfd; make it non-blocking and close-on-exec, and set
 * *id to the eventfd's identity. */
int vu_check_eventfd(struct vu_core *core, int fd, int *id);
/* Close one of the peer's fds; do nothing if @fd is negative. */
void vu_close_fd(struct vu_core *core, int fd);
/* Take fd @i of the message; the caller must close the fd. */
int vu_take_fd(struct vu_core *core, unsigned int i);
/* Close those fds of the message that nobody took. */
void vu_close_message_fds(struct vu_core *core);
/* Set *slot to -1; close its former fd when the update is complete. */
void vu_retire_fd(struct vu_core *core, int *slot);
void vu_close_retired_fds(struct vu_core *core);

/* vhost_user_mem.c: message handlers; and vu_find_uva(), the region that holds
 * all of [uva, uva + len). */
int vu_set_mem_table(struct vu_core *core);
int vu_add_mem_reg(struct vu_core *core);
int vu_rem_mem_reg(struct vu_core *core);
const struct vu_region *vu_find_uva(const struct vu_core *core, uint64_t uva,
				    uint64_t len);
/* Move all regions to gone[]; call unmap for all regions in gone[]. */
void vu_retire_regions(struct vu_core *core);
void vu_unmap_gone(struct vu_core *core);

/* vhost_user_inflight.c: message handlers; vu_reply_inflight() replies with the
 * buffer's fd; vu_drop_inflight() runs at the session's end. */
int vu_get_inflight_fd(struct vu_core *core);
int vu_set_inflight_fd(struct vu_core *core);
int vu_reply_inflight(struct vu_core *core, const void *buf, size_t len);
void vu_drop_inflight(struct vu_core *core);

/* vhost_user_ring.c: message handlers. */
int vu_set_vring_num(struct vu_core *core);
int vu_set_vring_addr(struct vu_core *core);
int vu_set_vring_base(struct vu_core *core);
int vu_get_vring_base(struct vu_core *core);
int vu_set_vring_kick(struct vu_core *core);
int vu_set_vring_call_or_err(struct vu_core *core);
int vu_set_vring_enable(struct vu_core *core);
/* Decide anew which rings run, after a message. */
int vu_judge_rings(struct vu_core *core);
/* Stop and disable all rings, as RESET_OWNER does; @forget: forget their set-up,
 * too. */
void vu_stop_rings(struct vu_core *core, bool forget);
/* Set the error text for a control queue in the place of ring @index. */
int vu_refuse_control(struct vu_core *core, uint32_t index);
/* Bring ring @r to its state at the beginning of a session. */
void vu_init_ring(struct vu_ring *r);

#endif
