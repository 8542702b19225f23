/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The session of the vhost-user core: messages are received, checked against
 * the rules of vhost_user_msg.c, run, and answered.
 *
 * A message goes through these steps, the last of which may come later:
 *	vu_check_header()  flags, request, payload size
 *	vu_run()           number of fds; handler; rings judged; update told
 *	vu_complete()      old regions unmapped, old fds closed, reply sent
 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_int.h"

/* Errors */

static void __attribute__((format(printf, 2, 0)))
vu_vset_error(struct vu_core *core, const char *fmt, va_list ap)
{
	size_t n = 0;

	if (core->have >= VU_HDR_SIZE && vu_find_rule(core->hdr.request))
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

	switch (vu_find_rule(core->hdr.request)->reply) {
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
	const struct vu_rule *rule = vu_find_rule(core->hdr.request);
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
	const struct vu_rule *rule = vu_find_rule(core->hdr.request);
	uint32_t flags = core->hdr.flags;

	if ((flags & VU_VERSION_MASK) != VU_VERSION)
		return vu_fail(core, -EPROTO, "version %u of the protocol, "
			       "only 1 is known", flags & VU_VERSION_MASK);
	if (flags & ~(VU_VERSION_MASK | VU_FLAG_NEED_REPLY))
		return vu_fail(core, -EPROTO, "flags 0x%x in a request", flags);
	if (rule == NULL)
		return vu_fail(core, -ENOTSUP, "no such request is known");
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

		/* In the middle of a message it has not said everything. */
		if (core->waiting || core->failed || core->have > 0)
			return 0;
		if (core->rings[i].held && poll(&kick, 1, 0) == 1 &&
		    kick.revents & POLLIN)
			return vu_end(core, vu_refuse_control(core, i));
	}
	return 0;
}

/* Sessions */

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
		UINT64_C(1) << VU_PROTOCOL_F_RESET_DEVICE |
		UINT64_C(1) << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
		UINT64_C(1) << VU_PROTOCOL_F_STATUS;

	if (config->max_queue_pairs == 0 ||
	    config->max_queue_pairs > VU_MAX_RINGS / 2)
		return vu_fail(core, -EINVAL, "%u queue pairs, allowed are 1 "
			       "to %u", config->max_queue_pairs,
			       VU_MAX_RINGS / 2);
	if (config->max_regions == 0 || config->max_regions > VU_MAX_REGIONS)
		return vu_fail(core, -EINVAL, "%u regions, allowed are 1 to "
			       "%u", config->max_regions, VU_MAX_REGIONS);
	if (config->features & never)
		return vu_fail(core, -EINVAL, "features 0x%llx cannot be "
			       "offered", (unsigned long long)
			       (config->features & never));
	if (config->protocol_features & ~protocol)
		return vu_fail(core, -EINVAL, "protocol features 0x%llx cannot "
			       "be offered", (unsigned long long)
			       (config->protocol_features & ~protocol));
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
	core->backend_req_fd = -1;
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
