/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The messages of the vhost-user core: a table of the rules for each message,
 * and the handlers of messages that concern neither memory nor rings.
 */

#include <errno.h>
#include <string.h>

#include "vhost_user_int.h"

/* RFC 791, and the least that virtio-net allows (virtio 1.2, 5.1.4.1). */
#define VU_MIN_MTU	68
#define VU_MAX_MTU	65535

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

/* Each connection has one owner, the front-end, so there is nothing to do. */
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

/* The core never sends requests to this fd. But a front-end that acknowledged
 * BACKEND_REQ may pass one. */
static int
vu_set_backend_req_fd(struct vu_core *core)
{
	vu_close_fd(core, core->backend_req_fd);
	core->backend_req_fd = vu_take_fd(core, 0);
	return 0;
}

/* Keep the memory: a front-end with memory slots does not send it again. */
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

/* QEMU sends this message once for each queue pair. */
static int
vu_set_identity(struct vu_core *core)
{
	struct vu_wire_identity msg;

	memcpy(&msg, core->payload, sizeof(msg));
	if (memchr(msg.name, '\0', sizeof(msg.name)) == NULL)
		return vu_fail(core, -EINVAL, "a name without a terminating "
			       "zero");
	if (core->has_identity && (strcmp(core->name, msg.name) != 0 ||
				   memcmp(core->uuid, msg.uuid, 16) != 0))
		return vu_fail(core, -EINVAL, "the VM has given another name "
			       "or UUID before");
	strcpy(core->name, msg.name);
	memcpy(core->uuid, msg.uuid, sizeof(core->uuid));
	core->has_identity = true;
	return 0;
}

#define VU_U64		8, 8
#define VU_STATE	8, 8
#define VU_NONE		0, 0
#define VU_NO_FD	0, 0

/* The core refuses a message without a handler; the entry only gives its
 * name. */
static const struct vu_rule vu_rules[VU_N_REQUESTS] = {
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
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", vu_set_vring_call_or_err,
		VU_U64, 0, 1, VU_ALWAYS, VU_REPLY_ACK },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", vu_set_vring_call_or_err,
		VU_U64, 0, 1, VU_ALWAYS, VU_REPLY_ACK },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES",
		vu_get_protocol_features,
		VU_NONE, VU_NO_FD, VU_ALWAYS, VU_REPLY_U64 },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES",
		vu_set_protocol_features,
		VU_U64, VU_NO_FD, VU_ALWAYS, VU_REPLY_ACK },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", vu_get_queue_num,
		VU_NONE, VU_NO_FD, VU_PROTOCOL_F_MQ, VU_REPLY_U64 },
	/* The specification requires VHOST_USER_F_PROTOCOL_FEATURES, but QEMU
	 * sends this message before it acknowledges that bit in
	 * SET_FEATURES. */
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
	[VU_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", vu_get_inflight_fd,
		VU_INFLIGHT_SIZE, sizeof(struct vu_wire_inflight), VU_NO_FD,
		VU_PROTOCOL_F_INFLIGHT_SHMFD, VU_REPLY_INFLIGHT },
	[VU_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", vu_set_inflight_fd,
		VU_INFLIGHT_SIZE, sizeof(struct vu_wire_inflight), 1, 1,
		VU_PROTOCOL_F_INFLIGHT_SHMFD, VU_REPLY_ACK },
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
	/* Some front-ends pass an fd by mistake; the core closes it. */
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

static const struct vu_rule vu_identity_rule = {
	"SET_IDENTITY", vu_set_identity,
	sizeof(struct vu_wire_identity), sizeof(struct vu_wire_identity),
	VU_NO_FD, VU_PROTOCOL_F_IDENTITY, VU_REPLY_ACK
};

const struct vu_rule *
vu_find_rule(uint32_t request)
{
	if (request == VU_SET_IDENTITY)
		return &vu_identity_rule;
	if (request >= VU_N_REQUESTS || vu_rules[request].name == NULL)
		return NULL;
	return &vu_rules[request];
}

const char *
vu_request_name(uint32_t request)
{
	const struct vu_rule *rule = vu_find_rule(request);

	return rule != NULL ? rule->name : "unknown";
}
