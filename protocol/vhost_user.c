/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The session of the vhost-user core: messages are received, checked against
 * one table of rules, run, and answered.
 *
 * A message goes through these steps, the last of which may come later:
 *	vu_check_header()  flags, request, payload size
 *	vu_run()           number of fds; handler; rings judged; update told
 *	vu_complete()      old regions unmapped, old fds closed, reply sent
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_int.h"

/* RFC 791, and the least that virtio-net allows (virtio 1.2, 5.1.4.1). */
#define VU_MIN_MTU	68
#define VU_MAX_MTU	65535

/* No protocol feature is needed. */
#define VU_ALWAYS	(-1)

enum vu_reply_kind {
	VU_REPLY_ACK,		/* a u64, if asked for and negotiated */
	VU_REPLY_U64,		/* core->reply */
	VU_REPLY_STATE,		/* vring state: of the ring it names */
};

static int vu_get_features(struct vu_core *core);
static int vu_set_features(struct vu_core *core);
static int vu_set_owner(struct vu_core *core);
static int vu_reset_owner(struct vu_core *core);
static int vu_get_protocol_features(struct vu_core *core);
static int vu_set_protocol_features(struct vu_core *core);
static int vu_get_queue_num(struct vu_core *core);
static int vu_send_rarp(struct vu_core *core);
static int vu_net_set_mtu(struct vu_core *core);
static int vu_set_backend_req_fd(struct vu_core *core);
static int vu_reset_device(struct vu_core *core);
static int vu_get_max_mem_slots(struct vu_core *core);
static int vu_set_status(struct vu_core *core);
static int vu_get_status(struct vu_core *core);

#define VU_U64		8, 8
#define VU_STATE	8, 8
#define VU_NONE		0, 0
#define VU_NO_FD	0, 0

/* All there is to know of a request before its handler sees it. Those without
 * a handler have a name only: they are refused. */
static const struct vu_rule {
	const char *name;
	int (*handler)(struct vu_core *core);
	uint16_t min_size, max_size;	/* payload */
	uint8_t min_fds, max_fds;
	int8_t protocol_bit;		/* must be acknowledged; VU_ALWAYS */
	uint8_t reply;			/* enum vu_reply_kind */
} vu_rules[VU_N_REQUESTS] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", vu_get_features,
		VU_NONE, VU_NO_FD, VU_ALWAYS, VU_REPLY_U64 },
	[VU_SET_FEATURES] = { "SET_FEATURES", vu_set_features,
		VU_U64, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_OWNER] = { "SET_OWNER", vu_set_owner,
		VU_NONE, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_RESET_OWNER] = { "RESET_OWNER", vu_reset_owner,
		VU_NONE, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", vu_set_mem_table,
		8, sizeof(struct vu_wire_mem_table), 0, VU_MAX_FDS,
		VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_LOG_BASE] = { .name = "SET_LOG_BASE" },
	[VU_SET_LOG_FD] = { .name = "SET_LOG_FD" },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", vu_set_vring_num,
		VU_STATE, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", vu_set_vring_addr,
		40, 40, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", vu_set_vring_base,
		VU_STATE, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", vu_get_vring_base,
		VU_STATE, VU_NO_FD, VU_ALWAYS, VU_REPLY_STATE },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", vu_set_vring_kick,
		VU_U64, 0, 1, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", vu_set_vring_call,
		VU_U64, 0, 1, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", vu_set_vring_err,
		VU_U64, 0, 1, VU_ALWAYS, VU_REPLY_ACK },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES",
		vu_get_protocol_features,
		VU_NONE, VU_NO_FD, VU_ALWAYS, VU_REPLY_U64 },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES",
		vu_set_protocol_features,
		VU_U64, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", vu_get_queue_num,
		VU_NONE, VU_NO_FD, VU_PROTOCOL_F_MQ, VU_REPLY_U64 },
	/* Needs protocol features, but QEMU sends it before they are
	 * acknowledged in SET_FEATURES. */
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", vu_set_vring_enable,
		VU_STATE, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SEND_RARP] = { "SEND_RARP", vu_send_rarp,
		VU_U64, VU_NO_FD, VU_PROTOCOL_F_RARP, VU_REPLY_ACK },
	[VU_NET_SET_MTU] = { "NET_SET_MTU", vu_net_set_mtu,
		VU_U64, VU_NO_FD, VU_PROTOCOL_F_NET_MTU, VU_REPLY_ACK },
	[VU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD",
		vu_set_backend_req_fd,
		VU_NONE, 1, 1, VU_PROTOCOL_F_BACKEND_REQ, VU_REPLY_ACK },
	[VU_IOTLB_MSG] = { .name = "IOTLB_MSG" },
	[VU_SET_VRING_ENDIAN] = { .name = "SET_VRING_ENDIAN" },
	[VU_GET_CONFIG] = { .name = "GET_CONFIG" },
	[VU_SET_CONFIG] = { .name = "SET_CONFIG" },
	[VU_CREATE_CRYPTO_SESSION] = { .name = "CREATE_CRYPTO_SESSION" },
	[VU_CLOSE_CRYPTO_SESSION] = { .name = "CLOSE_CRYPTO_SESSION" },
	[VU_POSTCOPY_ADVISE] = { .name = "POSTCOPY_ADVISE" },
	[VU_POSTCOPY_LISTEN] = { .name = "POSTCOPY_LISTEN" },
	[VU_POSTCOPY_END] = { .name = "POSTCOPY_END" },
	[VU_GET_INFLIGHT_FD] = { .name = "GET_INFLIGHT_FD" },
	[VU_SET_INFLIGHT_FD] = { .name = "SET_INFLIGHT_FD" },
	[VU_GPU_SET_SOCKET] = { .name = "GPU_SET_SOCKET" },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", vu_reset_device,
		VU_NONE, VU_NO_FD, VU_PROTOCOL_F_RESET_DEVICE, VU_REPLY_ACK },
	[VU_VRING_KICK] = { .name = "VRING_KICK" },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", vu_get_max_mem_slots,
		VU_NONE, VU_NO_FD, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
		VU_REPLY_U64 },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", vu_add_mem_reg,
		sizeof(struct vu_wire_mem_reg), sizeof(struct vu_wire_mem_reg),
		1, 1, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS, VU_REPLY_ACK },
	/* The fd is an old mistake of front-ends; it is closed. */
	[VU_REM_MEM_REG] = { "REM_MEM_REG", vu_rem_mem_reg,
		sizeof(struct vu_wire_mem_reg), sizeof(struct vu_wire_mem_reg),
		0, 1, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS, VU_REPLY_ACK },
	[VU_SET_STATUS] = { "SET_STATUS", vu_set_status,
		VU_U64, VU_NO_FD, VU_PROTOCOL_F_STATUS, VU_REPLY_ACK },
	[VU_GET_STATUS] = { "GET_STATUS", vu_get_status,
		VU_NONE, VU_NO_FD, VU_PROTOCOL_F_STATUS, VU_REPLY_U64 },
	[VU_GET_SHARED_OBJECT] = { .name = "GET_SHARED_OBJECT" },
	[VU_SET_DEVICE_STATE_FD] = { .name = "SET_DEVICE_STATE_FD" },
	[VU_CHECK_DEVICE_STATE] = { .name = "CHECK_DEVICE_STATE" },
};

static bool
vu_known(uint32_t request)
{
	return request < VU_N_REQUESTS && vu_rules[request].name != NULL;
}

const char *
vu_request_name(uint32_t request)
{
	return vu_known(request) ? vu_rules[request].name : "unknown";
}

/* Errors */

static void __attribute__((format(printf, 2, 0)))
vu_vset_error(struct vu_core *core, const char *fmt, va_list ap)
{
	size_t n = 0;

	if (core->have >= VU_HDR_SIZE && vu_known(core->hdr.request))
		n = snprintf(core->error, sizeof(core->error), "%s: ",
			     vu_request_name(core->hdr.request));
	else if (core->have >= VU_HDR_SIZE)
		n = snprintf(core->error, sizeof(core->error), "request %u: ",
			     core->hdr.request);
	vsnprintf(core->error + n, sizeof(core->error) - n, fmt, ap);
}

int
vu_fail(struct vu_core *core, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vu_vset_error(core, fmt, ap);
	va_end(ap);
	return err;
}

void
vu_core_set_error(struct vu_core *core, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vu_vset_error(core, fmt, ap);
	va_end(ap);
}

const char *
vu_core_error(const struct vu_core *core)
{
	return core->error[0] != '\0' ? core->error : "no error";
}

/* The session is over but for its disconnect. */
static int
vu_end(struct vu_core *core, int err)
{
	unsigned int i;

	core->failed = true;
	core->waiting = false;
	vu_close_message_fds(core);
	for (i = 0; i < core->n_rings; i++)
		core->rings[i].run = false;
	return err;
}

/* Handlers of what concerns neither memory nor rings */

static uint64_t
vu_payload_u64(const struct vu_core *core)
{
	uint64_t value;

	memcpy(&value, core->payload, sizeof(value));
	return value;
}

static uint64_t
vu_offered_features(const struct vu_core *core)
{
	return core->config.features | UINT64_C(1) << VU_F_PROTOCOL_FEATURES;
}

static int
vu_get_features(struct vu_core *core)
{
	core->reply = vu_offered_features(core);
	return 0;
}

static int
vu_set_features(struct vu_core *core)
{
	uint64_t features = vu_payload_u64(core);
	uint64_t unknown = features & ~vu_offered_features(core);
	unsigned int i;

	if (unknown != 0)
		return vu_fail(core, -EINVAL, "bits 0x%llx were not offered",
			       (unsigned long long)unknown);
	if (core->have_features && features == core->features)
		return 0;
	for (i = 0; i < core->n_rings; i++) {
		if (core->rings[i].started && core->rings[i].ran)
			return vu_fail(core, -EBUSY, "features change while "
				       "ring %u is started", i);
	}
	core->features = features;
	core->have_features = true;
	core->changed |= VU_CHANGED_FEATURES;
	core->judged_ring = VU_JUDGE_ALL;
	return 0;
}

/* A connection has one owner: its other end. */
static int
vu_set_owner(struct vu_core *core)
{
	(void)core;
	return 0;
}

/* Deprecated: "either ignore this message, or use it to disable all rings". */
static int
vu_reset_owner(struct vu_core *core)
{
	vu_stop_rings(core, false);
	return 0;
}

static int
vu_get_protocol_features(struct vu_core *core)
{
	core->reply = core->config.protocol_features;
	return 0;
}

static int
vu_set_protocol_features(struct vu_core *core)
{
	uint64_t features = vu_payload_u64(core);
	uint64_t unknown = features & ~core->config.protocol_features;

	if (unknown != 0)
		return vu_fail(core, -EINVAL, "bits 0x%llx were not offered",
			       (unsigned long long)unknown);
	core->protocol_features = features;
	return 0;
}

static int
vu_get_queue_num(struct vu_core *core)
{
	core->reply = core->config.max_queue_pairs;
	return 0;
}

static int
vu_send_rarp(struct vu_core *core)
{
	memcpy(core->rarp_mac, core->payload, sizeof(core->rarp_mac));
	core->rarp_count++;
	core->changed |= VU_CHANGED_RARP;
	return 0;
}

static int
vu_net_set_mtu(struct vu_core *core)
{
	uint64_t mtu = vu_payload_u64(core);

	if (mtu < VU_MIN_MTU || mtu > VU_MAX_MTU)
		return VU_REFUSED;
	if (mtu != core->mtu) {
		core->mtu = mtu;
		core->changed |= VU_CHANGED_MTU;
	}
	return 0;
}

/* Nothing is ever sent there, but who acknowledged the bit may give it. */
static int
vu_set_backend_req_fd(struct vu_core *core)
{
	if (core->backend_req_fd >= 0)
		close(core->backend_req_fd);
	core->backend_req_fd = vu_take_fd(core, 0);
	return 0;
}

/* Memory stays: with memory slots the front-end would not tell it again. */
static int
vu_reset_device(struct vu_core *core)
{
	vu_stop_rings(core, true);
	if (core->have_features)
		core->changed |= VU_CHANGED_FEATURES;
	core->features = 0;
	core->have_features = false;
	core->status = 0;
	return 0;
}

static int
vu_get_max_mem_slots(struct vu_core *core)
{
	core->reply = core->config.max_regions;
	return 0;
}

static int
vu_set_status(struct vu_core *core)
{
	uint64_t status = vu_payload_u64(core);

	if (status > UINT8_MAX)
		return vu_fail(core, -EINVAL, "status 0x%llx is beyond a byte",
			       (unsigned long long)status);
	core->status = status;
	/* Status 0 is a reset (virtio 1.2, 2.1.2). */
	return status == 0 ? vu_reset_owner(core) : 0;
}

static int
vu_get_status(struct vu_core *core)
{
	core->reply = core->status;
	return 0;
}

/* Running a message */

static int
vu_send(struct vu_core *core, const void *payload, uint32_t size)
{
	uint8_t buf[VU_HDR_SIZE + 8];
	uint32_t hdr[3] = { core->hdr.request, VU_VERSION | VU_FLAG_REPLY,
			    size };
	int rc;

	memcpy(buf, hdr, sizeof(hdr));
	memcpy(buf + VU_HDR_SIZE, payload, size);
	core->error[0] = '\0';
	rc = core->ops->send(core->opaque, buf, VU_HDR_SIZE + size);
	if (rc < 0 && core->error[0] == '\0')
		vu_fail(core, rc, "the reply cannot be sent: %s",
			strerror(-rc));
	return rc < 0 ? rc : 0;
}

static int
vu_reply_state(struct vu_core *core)
{
	struct vu_wire_vring_state state;
	struct vu_ring *r;

	memcpy(&state, core->payload, sizeof(state));
	/* The handler checked the index. */
	r = &core->rings[state.index];
	if (r->ran)
		r->base = core->ops->ring_base(core->opaque, state.index);
	r->ran = false;
	state.num = r->base;
	return vu_send(core, &state, sizeof(state));
}

static int
vu_reply(struct vu_core *core)
{
	bool ack = (core->hdr.flags & VU_FLAG_NEED_REPLY) &&
		vu_bit(core->protocol_features, VU_PROTOCOL_F_REPLY_ACK);

	switch (vu_rules[core->hdr.request].reply) {
	case VU_REPLY_STATE:
		return vu_reply_state(core);
	case VU_REPLY_ACK:
		if (!ack)
			return 0;
		/* fallthrough */
	default:
		return vu_send(core, &core->reply, sizeof(core->reply));
	}
}

/* Nobody uses the old state any more. */
static int
vu_complete(struct vu_core *core)
{
	int rc = 0;

	core->waiting = false;
	vu_unmap_gone(core);
	vu_close_retired_fds(core);
	if (core->in_message) {
		core->in_message = false;
		rc = vu_reply(core);
	}
	core->have = 0;
	return rc < 0 ? vu_end(core, rc) : 0;
}

/* Tell what changed; complete it, now or in vu_core_resume(). */
static int
vu_update(struct vu_core *core)
{
	uint32_t changed = core->changed;
	int rc = 0;

	core->changed = 0;
	if (changed != 0) {
		core->error[0] = '\0';
		rc = core->ops->update(core->opaque, changed);
	}
	if (rc < 0) {
		if (core->error[0] == '\0')
			vu_fail(core, rc, "the change cannot be adopted: %s",
				strerror(-rc));
		return vu_end(core, rc);
	}
	if (rc == VU_WAIT) {
		core->waiting = true;
		return 0;
	}
	return vu_complete(core);
}

static int
vu_run(struct vu_core *core)
{
	const struct vu_rule *rule = &vu_rules[core->hdr.request];
	int rc;

	if (core->n_fds < rule->min_fds || core->n_fds > rule->max_fds)
		return vu_fail(core, -EINVAL, "%u fds, allowed are %u to %u",
			       core->n_fds, rule->min_fds, rule->max_fds);
	core->reply = 0;
	core->changed = 0;
	core->judged_ring = VU_JUDGE_NONE;
	rc = rule->handler(core);
	if (rc < 0)
		return rc;
	if (rc == VU_REFUSED)
		core->reply = 1;
	rc = vu_judge_rings(core);
	if (rc < 0)
		return rc;
	vu_close_message_fds(core);
	core->in_message = true;
	return vu_update(core);
}

/* Receiving */

static int
vu_check_header(struct vu_core *core)
{
	const struct vu_rule *rule;
	uint32_t flags = core->hdr.flags;

	if ((flags & VU_VERSION_MASK) != VU_VERSION)
		return vu_fail(core, -EPROTO, "version %u of the protocol, "
			       "only 1 is known", flags & VU_VERSION_MASK);
	if (flags & ~(VU_VERSION_MASK | VU_FLAG_NEED_REPLY))
		return vu_fail(core, -EPROTO, "flags 0x%x in a request", flags);
	if (!vu_known(core->hdr.request))
		return vu_fail(core, -ENOTSUP, "no such request is known");
	rule = &vu_rules[core->hdr.request];
	if (rule->handler == NULL)
		return vu_fail(core, -ENOTSUP, "not supported, and nothing "
			       "was offered that would ask for it");
	if (rule->protocol_bit != VU_ALWAYS &&
	    !vu_bit(core->protocol_features, rule->protocol_bit))
		return vu_fail(core, -EPROTO, "protocol feature %d was not "
			       "negotiated", rule->protocol_bit);
	if (core->hdr.size < rule->min_size || core->hdr.size > rule->max_size)
		return vu_fail(core, -EMSGSIZE, "payload of %u bytes, allowed "
			       "are %u to %u", core->hdr.size, rule->min_size,
			       rule->max_size);
	return 0;
}

size_t
vu_core_want(const struct vu_core *core)
{
	if (!core->connected || core->waiting || core->failed)
		return 0;
	if (core->have < VU_HDR_SIZE)
		return VU_HDR_SIZE - core->have;
	return VU_HDR_SIZE + core->hdr.size - core->have;
}

/* Keep @fds with those of the message, close what is too much. */
static void
vu_keep_fds(struct vu_core *core, const int *fds, unsigned int n_fds)
{
	unsigned int i;

	for (i = 0; i < n_fds; i++) {
		if (core->n_fds < VU_MAX_FDS)
			core->fds[core->n_fds++] = fds[i];
		else
			close(fds[i]);
	}
}

int
vu_core_input(struct vu_core *core, const void *buf, size_t len,
	      const int *fds, unsigned int n_fds)
{
	bool in_header = core->have < VU_HDR_SIZE;
	bool too_many = n_fds > VU_MAX_FDS - core->n_fds;
	size_t want = vu_core_want(core);
	int rc = 0;

	vu_keep_fds(core, fds, n_fds);
	if (want == 0 || len > want) {
		vu_close_message_fds(core);
		vu_fail(core, -EINVAL, "input that was not wanted");
		return core->connected ? vu_end(core, -EINVAL) : -EINVAL;
	}
	if (too_many) {
		vu_fail(core, -E2BIG, "more than %u fds with one message",
			VU_MAX_FDS);
		return vu_end(core, -E2BIG);
	}
	if (in_header)
		memcpy((uint8_t *)&core->hdr + core->have, buf, len);
	else
		memcpy(core->payload + (core->have - VU_HDR_SIZE), buf, len);
	core->have += len;
	if (core->have < VU_HDR_SIZE)
		return 0;
	if (in_header)
		rc = vu_check_header(core);
	if (rc == 0 && core->have == VU_HDR_SIZE + core->hdr.size)
		rc = vu_run(core);
	return rc < 0 ? vu_end(core, rc) : 0;
}

int
vu_core_resume(struct vu_core *core)
{
	return core->waiting ? vu_complete(core) : 0;
}

/* Sessions */

int
vu_core_init(struct vu_core *core, const struct vu_config *config,
	     const struct vu_ops *ops, void *opaque)
{
	const uint64_t never = UINT64_C(1) << VU_F_LOG_ALL |
		UINT64_C(1) << VU_F_IOMMU_PLATFORM;
	const uint64_t protocol = UINT64_C(1) << VU_PROTOCOL_F_MQ |
		UINT64_C(1) << VU_PROTOCOL_F_RARP |
		UINT64_C(1) << VU_PROTOCOL_F_REPLY_ACK |
		UINT64_C(1) << VU_PROTOCOL_F_NET_MTU |
		UINT64_C(1) << VU_PROTOCOL_F_BACKEND_REQ |
		UINT64_C(1) << VU_PROTOCOL_F_RESET_DEVICE |
		UINT64_C(1) << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
		UINT64_C(1) << VU_PROTOCOL_F_STATUS;
	unsigned int i;

	if (config->max_queue_pairs == 0 ||
	    config->max_queue_pairs > VU_MAX_RINGS / 2 ||
	    config->max_regions == 0 ||
	    config->max_regions > VU_MAX_REGIONS ||
	    (config->features & never) ||
	    (config->protocol_features & ~protocol))
		return -EINVAL;
	memset(core, 0, sizeof(*core));
	core->config = *config;
	core->ops = ops;
	core->opaque = opaque;
	core->backend_req_fd = -1;
	for (i = 0; i < VU_MAX_RINGS; i++)
		vu_init_ring(&core->rings[i]);
	for (i = 0; i < VU_MAX_FDS; i++)
		core->fds[i] = -1;
	return 0;
}

int
vu_core_connect(struct vu_core *core)
{
	if (core->connected || core->waiting)
		return vu_fail(core, -EBUSY, "the session before has not "
			       "ended yet");
	core->connected = true;
	core->failed = false;
	core->changed = VU_CHANGED_LINK;
	return vu_update(core);
}

int
vu_core_disconnect(struct vu_core *core)
{
	char error[sizeof(core->error)];
	unsigned int i, n_rings = core->n_rings;
	int rc;

	if (!core->connected)
		return 0;
	vu_close_message_fds(core);
	core->connected = core->failed = core->waiting = false;
	core->in_message = core->have_features = false;
	core->have = 0;
	core->changed = VU_CHANGED_LINK | VU_CHANGED_RINGS |
		VU_CHANGED_FEATURES;
	core->features = core->protocol_features = 0;
	core->mtu = 0;
	core->status = 0;
	vu_stop_rings(core, true);
	for (i = 0; i < n_rings; i++)
		core->rings[i].run = false;
	vu_retire_regions(core);
	if (core->backend_req_fd >= 0)
		close(core->backend_req_fd);
	core->backend_req_fd = -1;

	/* The text of what ended the session stays readable. */
	memcpy(error, core->error, sizeof(error));
	rc = core->ops->update(core->opaque, core->changed);
	memcpy(core->error, error, sizeof(error));
	core->changed = 0;
	core->n_rings = 0;
	if (rc == VU_WAIT) {
		core->waiting = true;
		return VU_WAIT;
	}
	vu_complete(core);
	return 0;
}
