/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A front-end and a user for the real vhost-user core, for tests. The front-end
 * sends messages with real fds. The user does what the core asks for (maps
 * regions), and records it.
 */

#ifndef VU_PEER_H
#define VU_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vhost_user_int.h"

#define BIT(n)		(UINT64_C(1) << (n))
#define KIB		UINT64_C(1024)
#define MIB		(1024 * KIB)

/* Where the standard region of 1 MiB lies. */
#define MEM_GPA		(16 * MIB)
#define MEM_UVA		UINT64_C(0x7f0000000000)
#define MEM_SIZE	MIB

/* Virtio features that the tests' back-end offers. */
#define F_VERSION_1	BIT(32)
#define F_EVENT_IDX	BIT(VU_RING_F_EVENT_IDX)
#define F_PACKED	BIT(VU_RING_F_PACKED)
#define F_PROTOCOL	BIT(VU_F_PROTOCOL_FEATURES)
#define ALL_FEATURES	(F_VERSION_1 | F_EVENT_IDX | F_PACKED)
#define ALL_PROTOCOL	(BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_RARP) | \
			 BIT(VU_PROTOCOL_F_REPLY_ACK) | \
			 BIT(VU_PROTOCOL_F_NET_MTU) | \
			 BIT(VU_PROTOCOL_F_BACKEND_REQ) | \
			 BIT(VU_PROTOCOL_F_RESET_DEVICE) | \
			 BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | \
			 BIT(VU_PROTOCOL_F_STATUS))

#define NEED_REPLY	VU_FLAG_NEED_REPLY

struct peer {
	struct vu_core core;
	int fds_before;
	/* Return values of the callbacks, set by the test. */
	int map_rc, update_rc, send_rc;
	unsigned int map_fails_at;	/* n_map of the map that fails; 0: none */
	uint32_t ring_base;
	const char *error_text;		/* set by a failing callback */
	/* Records of the callbacks' calls. */
	unsigned int n_map, n_unmap, n_update, n_ring_base;
	uint32_t changed;		/* of the last update */
	uint32_t all_changed;
	unsigned int n_given, n_closed;	/* fds: sent, and closed by the user */
	/* Replies: how many, and the last one. */
	unsigned int n_replies;
	uint32_t reply_hdr[3];
	uint8_t reply[64];
	/* INFLIGHT_SHMFD, where a test offers it. */
	int inflight_new_rc, inflight_rc;
	unsigned int n_inflight, n_inflight_gone, n_reply_fds;
	uint64_t inflight_offset, inflight_size;
	int reply_fd;			/* of the last reply that had one */
};

/* For cmocka: make a connected peer in *state. The teardown disconnects, and
 * checks that neither mappings nor fds are left. */
int peer_setup(void **state);
int peer_teardown(void **state);
/* Use another configuration. Call this before any message. */
void peer_configure(struct peer *p, const struct vu_config *config);
struct vu_config peer_config(void);
/* All cmocka tests of these files are of this form. */
#define peer_test(f) cmocka_unit_test_setup_teardown(f, peer_setup, \
						     peer_teardown)

/* Send one message; returns the result of vu_core_input(). The core owns the
 * fds then. */
int peer_send(struct peer *p, uint32_t request, uint32_t flags,
	      const void *payload, uint32_t size, const int *fds,
	      unsigned int n_fds);
int send_u64(struct peer *p, uint32_t request, uint64_t value);
int send_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num);
int send_empty(struct peer *p, uint32_t request);
/* KICK, CALL, ERR; fd < 0: the no-fd flag. */
int send_vring_fd(struct peer *p, uint32_t request, uint64_t index, int fd);
int send_addr(struct peer *p, uint32_t index, uint64_t desc, uint64_t avail,
	      uint64_t used);
int send_mem_table(struct peer *p, const struct vu_wire_region *regions,
		   const int *fds, unsigned int n);
int send_mem_reg(struct peer *p, uint32_t request,
		 const struct vu_wire_region *region, int fd);

uint64_t reply_u64(const struct peer *p);

/* Check that the call failed with @err, and that the error text contains
 * @text. */
void refused(struct peer *p, int rc, int err, const char *text);
#define accepted(p, rc) \
	do { \
		int rc_ = (rc); \
		if (rc_ != 0) \
			fail_msg("%d: %s", rc_, vu_core_error(&(p)->core)); \
	} while (0)

/* A memfd of @size bytes, sealed against shrinking. */
int mem_fd(uint64_t size);
int mem_fd_unsealed(uint64_t size);
int event_fd(void);
/* The number of entries in /proc/self/fd, for comparison with an earlier
 * one. */
int count_fds(void);

extern const struct vu_wire_region standard_region;

void negotiate(struct peer *p, uint64_t features, uint64_t protocol);
/* Negotiate all features but the packed ring, and send the standard region. */
void prepare(struct peer *p);
void set_standard_memory(struct peer *p);
/* Send NUM, BASE and ADDR as QEMU does: 256 entries, rings 64 KiB apart. */
void set_up_ring(struct peer *p, uint32_t index);
uint64_t ring_uva(uint32_t index);
/* Call set_up_ring(), and send KICK and ENABLE, so that the ring runs. */
void run_ring(struct peer *p, uint32_t index);

#endif
