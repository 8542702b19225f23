/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The messages of the vhost-user core: receive each message, check it against
 * the rules of vhost_user_msg.c, run it, and answer it.
 *
 * A message goes through these steps; the last step may come later:
 *	vu_check_header()  flags, request, payload size
 *	vu_run()           number of fds; handler; rings judged; update told
 *	vu_complete()      old regions unmapped, old fds closed, reply sent
 */

#include <errno.h>
#include <string.h>

#include "vhost_user_int.h"

/* Running a message */

static int
vu_send(struct vu_core *core, const void *payload, uint32_t size)
{
	uint8_t buf[VU_HDR_SIZE + sizeof(struct vu_wire_inflight)];
	uint32_t hdr[3] = { core->hdr.request, VU_VERSION | VU_FLAG_REPLY,
			    size };
	int rc;

	memcpy(buf, hdr, sizeof(hdr));
	memcpy(buf + VU_HDR_SIZE, payload, size);
	core->error[0] = '\0';
	if (core->inflight_fd >= 0)
		rc = vu_reply_inflight(core, buf, VU_HDR_SIZE + size);
	else
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
	case VU_REPLY_INFLIGHT:
		return vu_send(core, core->payload, core->hdr.size);
	case VU_REPLY_ACK:
		if (!ack)
			return 0;
		/* fallthrough */
	default:
		return vu_send(core, &core->reply, sizeof(core->reply));
	}
}

int
vu_complete(struct vu_core *core)
{
	int rc = 0;

	core->waiting = false;
	if (!core->connected)
		vu_drop_inflight(core);
	vu_unmap_gone(core);
	vu_close_retired_fds(core);
	if (core->in_message) {
		core->in_message = false;
		rc = vu_reply(core);
	}
	core->have = 0;
	return rc < 0 ? vu_end(core, rc) : 0;
}

int
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
		return vu_fail(core, -EINVAL, "%u fds; allowed: %u to %u",
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
		return vu_fail(core, -EPROTO, "version %u of the protocol; "
			       "only version 1 is supported",
			       flags & VU_VERSION_MASK);
	if (flags & ~(VU_VERSION_MASK | VU_FLAG_NEED_REPLY))
		return vu_fail(core, -EPROTO, "flags 0x%x in a request", flags);
	if (rule == NULL)
		return vu_fail(core, -ENOTSUP, "unknown request");
	if (rule->handler == NULL)
		return vu_fail(core, -ENOTSUP, "not supported; no offered "
			       "feature calls for this request");
	if (rule->protocol_bit != VU_ALWAYS &&
	    !vu_bit(core->protocol_features, rule->protocol_bit))
		return vu_fail(core, -EPROTO, "protocol feature %d was not "
			       "negotiated", rule->protocol_bit);
	if (core->hdr.size < rule->min_size || core->hdr.size > rule->max_size)
		return vu_fail(core, -EMSGSIZE, "payload of %u bytes; allowed: "
			       "%u to %u", core->hdr.size, rule->min_size,
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

/* Add @fds to those of the message; close the fds beyond VU_MAX_FDS. */
static void
vu_keep_fds(struct vu_core *core, const int *fds, unsigned int n_fds)
{
	unsigned int i;

	for (i = 0; i < n_fds; i++) {
		if (core->n_fds < VU_MAX_FDS)
			core->fds[core->n_fds++] = fds[i];
		else
			vu_close_fd(core, fds[i]);
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
		vu_fail(core, -EINVAL, "unexpected input");
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
