/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A session of the vhost-user core: begin and end, and the check of a front-end
 * that has been silent for a while.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "vhost_user_int.h"

int
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

static int
vu_check_config(struct vu_core *core, const struct vu_config *config)
{
	const uint64_t never = UINT64_C(1) << VU_F_LOG_ALL |
		UINT64_C(1) << VU_F_IOMMU_PLATFORM;
	const uint64_t protocol = UINT64_C(1) << VU_PROTOCOL_F_MQ |
		UINT64_C(1) << VU_PROTOCOL_F_RARP |
		UINT64_C(1) << VU_PROTOCOL_F_REPLY_ACK |
		UINT64_C(1) << VU_PROTOCOL_F_NET_MTU |
		UINT64_C(1) << VU_PROTOCOL_F_BACKEND_REQ |
		UINT64_C(1) << VU_PROTOCOL_F_INFLIGHT_SHMFD |
		UINT64_C(1) << VU_PROTOCOL_F_RESET_DEVICE |
		UINT64_C(1) << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
		UINT64_C(1) << VU_PROTOCOL_F_STATUS |
		UINT64_C(1) << VU_PROTOCOL_F_IDENTITY;

	if (config->max_queue_pairs == 0 ||
	    config->max_queue_pairs > VU_MAX_RINGS / 2)
		return vu_fail(core, -EINVAL, "%u queue pairs; allowed: 1 "
			       "to %u", config->max_queue_pairs,
			       VU_MAX_RINGS / 2);
	if (config->max_regions == 0 || config->max_regions > VU_MAX_REGIONS)
		return vu_fail(core, -EINVAL, "%u regions; allowed: 1 to "
			       "%u", config->max_regions, VU_MAX_REGIONS);
	if (config->features & never)
		return vu_fail(core, -EINVAL, "features 0x%llx cannot be "
			       "offered", (unsigned long long)
			       (config->features & never));
	if (config->protocol_features & ~protocol)
		return vu_fail(core, -EINVAL, "protocol features 0x%llx cannot "
			       "be offered", (unsigned long long)
			       (config->protocol_features & ~protocol));
	if (vu_bit(config->protocol_features, VU_PROTOCOL_F_INFLIGHT_SHMFD) &&
	    (core->ops->inflight_new == NULL || core->ops->inflight == NULL ||
	     core->ops->send_fd == NULL))
		return vu_fail(core, -EINVAL, "nobody keeps a buffer: "
			       "INFLIGHT_SHMFD cannot be offered");
	return 0;
}

int
vu_core_init(struct vu_core *core, const struct vu_config *config,
	     const struct vu_ops *ops, void *opaque)
{
	unsigned int i;

	memset(core, 0, sizeof(*core));
	core->config = *config;
	core->ops = ops;
	core->opaque = opaque;
	core->backend_req_fd = core->inflight_fd = -1;
	for (i = 0; i < VU_MAX_RINGS; i++)
		vu_init_ring(&core->rings[i]);
	for (i = 0; i < VU_MAX_FDS; i++)
		core->fds[i] = -1;
	return vu_check_config(core, config);
}

int
vu_core_connect(struct vu_core *core)
{
	if (core->connected || core->waiting)
		return vu_fail(core, -EBUSY, "the previous session has not "
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
	core->has_identity = false;
	memset(core->name, 0, sizeof(core->name));
	memset(core->uuid, 0, sizeof(core->uuid));
	vu_stop_rings(core, true);
	for (i = 0; i < n_rings; i++)
		core->rings[i].run = false;
	vu_retire_regions(core);
	vu_close_fd(core, core->backend_req_fd);
	core->backend_req_fd = -1;

	/* vu_core_error() still says what ended the session: restore the text
	 * after update(). */
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

bool
vu_core_holds(const struct vu_core *core)
{
	unsigned int i;

	for (i = 2; i < core->n_rings; i += 2) {
		if (core->rings[i].held)
			return true;
	}
	return false;
}

int
vu_core_quiet(struct vu_core *core)
{
	unsigned int i;

	for (i = 2; i < core->n_rings; i += 2) {
		struct pollfd kick = {
			.fd = core->rings[i].kick_fd, .events = POLLIN,
		};

		/* A front-end in the middle of a message has more to say. */
		if (core->waiting || core->failed || core->have > 0)
			return 0;
		if (core->rings[i].held && poll(&kick, 1, 0) == 1 &&
		    kick.revents & POLLIN)
			return vu_end(core, vu_refuse_control(core, i));
	}
	return 0;
}
