/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The vrings: the front-end sets them up in any order, and this code decides
 * which of them may run.
 *
 * A message only records a value. vu_judge_rings() decides after each message.
 * A ring runs while all of these hold: it is started, enabled and complete, the
 * features are known, and each of the ring's three parts lies in one region.
 * The front-end gives the parts by its own addresses; vu_judge_rings()
 * translates them again after every change.
 */

#include <errno.h>
#include <string.h>
#include "vhost_user_int.h"


/* Descriptors are 16 bytes in both layouts. */
#define VU_DESC_SIZE		16u

void
vu_init_ring(struct vu_ring *r)
{
	uint32_t epoch = r->epoch;

	memset(r, 0, sizeof(*r));
	r->epoch = epoch;
	r->kick_fd = r->call_fd = r->err_fd = r->kick_id = -1;
}

/* Returns the ring that the message names, or NULL and an error text. */
static struct vu_ring *
vu_named_ring(struct vu_core *core, uint64_t index)
{
	unsigned int limit = 2u * core->config.max_queue_pairs;

	if (index >= limit) {
		vu_fail(core, -EINVAL, "there is no ring %llu, only %u rings",
			(unsigned long long)index, limit);
		return NULL;
	}
	if (index >= core->n_rings)
		core->n_rings = index + 1;
	core->judged_ring = index;
	core->rings[index].named = true;
	return &core->rings[index];
}

/* As vu_named_ring(), for a message with a vring state; copies the state to
 * @msg. */
static struct vu_ring *
vu_state_ring(struct vu_core *core, struct vu_wire_vring_state *msg)
{
	memcpy(msg, core->payload, sizeof(*msg));
	return vu_named_ring(core, msg->index);
}

/* A front-end may repeat the values of a ring in use, but not change them. */
static int
vu_in_use(struct vu_core *core, const struct vu_ring *r)
{
	return vu_fail(core, -EBUSY, "ring %u is changed while it is started",
		       (unsigned int)(r - core->rings));
}

/*
 * virtio 1.2, 5.1.2: the control queue comes after the last pair. Without
 * VIRTIO_NET_F_MQ there is one pair. A front-end sets the control queue up here
 * only if it does not serve the queue itself. The core refuses: nobody would
 * answer the guest, which waits for ever.
 *
 * With several pairs no message says how many pairs the front-end has; the
 * number is at most max_queue_pairs. If it is less, the control queue has an
 * even index, as a pair's receive queue, but no transmit queue beside it. Until
 * some message names the transmit queue, the core holds the receive queue back:
 * the ring does not run (vu_is_lone()). A guest kicks only after the front-end
 * has set up the device. So if a held ring is kicked and no more messages come,
 * the ring is a control queue (vu_core_quiet()).
 */
int
vu_refuse_control(struct vu_core *core, uint32_t index)
{
	return vu_fail(core, -ENOTSUP, "ring %u is the control queue, which "
		       "the front-end has to serve itself", index);
}

static int
vu_check_data_ring(struct vu_core *core, uint32_t index)
{
	uint32_t control = vu_bit(core->features, VU_NET_F_MQ) ?
		2u * core->config.max_queue_pairs : 2;

	if (!core->have_features || index != control ||
	    !vu_bit(core->features, VU_NET_F_CTRL_VQ))
		return 0;
	return vu_refuse_control(core, index);
}

static bool
vu_is_lone(const struct vu_core *core, const struct vu_ring *r)
{
	unsigned int i = r - core->rings;

	return i >= 2 && i % 2 == 0 && !r[1].named &&
		vu_bit(core->features, VU_NET_F_CTRL_VQ);
}

int
vu_set_vring_num(struct vu_core *core)
{
	struct vu_wire_vring_state msg;
	struct vu_ring *r;

	memcpy(&msg, core->payload, sizeof(msg));
	if (vu_check_data_ring(core, msg.index) < 0)
		return -ENOTSUP;
	r = vu_state_ring(core, &msg);
	if (r == NULL)
		return -EINVAL;
	if (msg.num == 0 || msg.num > VU_MAX_RING_SIZE)
		return vu_fail(core, -EINVAL, "ring %u of %u entries; allowed: "
			       "1 to %u", msg.index, msg.num,
			       VU_MAX_RING_SIZE);
	if (r->started && r->ran && r->num != msg.num)
		return vu_in_use(core, r);
	r->num = msg.num;
	r->have_num = true;
	return 0;
}

int
vu_set_vring_addr(struct vu_core *core)
{
	struct vu_wire_vring_addr msg;
	struct vu_ring *r;

	memcpy(&msg, core->payload, sizeof(msg));
	r = vu_named_ring(core, msg.index);
	if (r == NULL)
		return -EINVAL;
	/* The only flag that the specification has asks for dirty logging. */
	if (msg.flags != 0)
		return vu_fail(core, -ENOTSUP, "ring %u with flags 0x%x; no "
			       "flag is supported", msg.index, msg.flags);
	if (r->started && r->ran &&
	    (r->desc_uva != msg.desc || r->avail_uva != msg.avail ||
	     r->used_uva != msg.used))
		return vu_in_use(core, r);
	r->desc_uva = msg.desc;
	r->avail_uva = msg.avail;
	r->used_uva = msg.used;
	r->have_addr = true;
	return 0;
}

int
vu_set_vring_base(struct vu_core *core)
{
	struct vu_wire_vring_state msg;
	struct vu_ring *r;
	uint32_t mask;

	r = vu_state_ring(core, &msg);
	if (r == NULL)
		return -EINVAL;
	/* Of a packed ring compare the low half only: vu_check_base() has
	 * changed the high half. */
	mask = vu_bit(core->features, VU_RING_F_PACKED) ? 0xffff : UINT32_MAX;
	if (r->started && r->ran) {
		if ((r->base ^ msg.num) & mask)
			return vu_in_use(core, r);
		return 0;
	}
	/* A new base: forget where the ring stopped. */
	if (!r->started)
		r->ran = false;
	r->base = msg.num;
	return 0;
}

static void
vu_stop_ring(struct vu_core *core, struct vu_ring *r)
{
	r->started = false;
	vu_retire_fd(core, &r->kick_fd);
}

int
vu_get_vring_base(struct vu_core *core)
{
	struct vu_wire_vring_state msg;
	struct vu_ring *r = vu_state_ring(core, &msg);

	if (r == NULL)
		return -EINVAL;
	vu_stop_ring(core, r);
	return 0;
}

/* The common part of KICK, CALL and ERR. Returns the ring, or NULL. Sets *@fd
 * to the new fd (-1: none), which still belongs to the message. */
static struct vu_ring *
vu_vring_fd(struct vu_core *core, int *fd, int *id)
{
	struct vu_ring *r;
	uint64_t msg;

	*fd = *id = -1;
	memcpy(&msg, core->payload, sizeof(msg));
	r = vu_named_ring(core, msg & VU_VRING_IDX_MASK);
	if (r == NULL)
		return NULL;
	if (msg & ~(VU_VRING_IDX_MASK | VU_VRING_NOFD)) {
		vu_fail(core, -EINVAL, "reserved bits in 0x%llx",
			(unsigned long long)msg);
		return NULL;
	}
	if (core->n_fds != ((msg & VU_VRING_NOFD) ? 0 : 1)) {
		vu_fail(core, -EINVAL, "%u fds, the message announces %u",
			core->n_fds, (msg & VU_VRING_NOFD) ? 0 : 1);
		return NULL;
	}
	if (core->n_fds == 1) {
		if (vu_check_eventfd(core, core->fds[0], id) < 0)
			return NULL;
		*fd = core->fds[0];
	}
	return r;
}

static void
vu_replace_fd(struct vu_core *core, int *slot, int fd)
{
	vu_retire_fd(core, slot);
	if (fd < 0)
		return;
	*slot = vu_take_fd(core, 0);
	core->changed |= VU_CHANGED_FDS;
}

/* KVM refuses a second irqfd for one eventfd, with EBUSY. So refuse one kick
 * for two rings. */
static int
vu_check_kick_unused(struct vu_core *core, const struct vu_ring *r, int id)
{
	unsigned int i;

	for (i = 0; id >= 0 && i < core->n_rings; i++) {
		const struct vu_ring *o = &core->rings[i];

		if (o != r && o->kick_fd >= 0 && o->kick_id == id)
			return vu_fail(core, -EBUSY, "ring %u brings the "
				       "eventfd of ring %u",
				       (unsigned int)(r - core->rings), i);
	}
	return 0;
}

int
vu_set_vring_kick(struct vu_core *core)
{
	struct vu_ring *r;
	int fd, id, rc;

	r = vu_vring_fd(core, &fd, &id);
	if (r == NULL)
		return -EINVAL;
	rc = vu_check_kick_unused(core, r, id);
	if (rc < 0)
		return rc;
	vu_replace_fd(core, &r->kick_fd, fd);
	r->kick_id = id;
	if (!r->started) {
		r->started = true;
		r->ran = false;
		if (++r->epoch == 0)
			r->epoch = 1;
	}
	return 0;
}

int
vu_set_vring_call_or_err(struct vu_core *core)
{
	struct vu_ring *r;
	int fd, id;

	r = vu_vring_fd(core, &fd, &id);
	if (r == NULL)
		return -EINVAL;
	vu_replace_fd(core, core->hdr.request == VU_SET_VRING_CALL ?
		      &r->call_fd : &r->err_fd, fd);
	return 0;
}

int
vu_set_vring_enable(struct vu_core *core)
{
	struct vu_wire_vring_state msg;
	struct vu_ring *r = vu_state_ring(core, &msg);

	if (r == NULL)
		return -EINVAL;
	if (msg.num > 1)
		return vu_fail(core, -EINVAL, "ring %u with enable value %u, "
			       "neither 0 nor 1", msg.index, msg.num);
	r->enabled = msg.num;
	return 0;
}

/* Translate one part of a ring; all of the part must lie in one region. */
static int
vu_place_part(struct vu_core *core, const struct vu_ring *r, const char *part,
	      uint64_t uva, uint64_t len, unsigned int align, uint64_t *gpa)
{
	unsigned int i = r - core->rings;
	const struct vu_region *region;

	if (uva & (align - 1))
		return vu_fail(core, -EINVAL, "the %s of ring %u at 0x%llx is "
			       "not aligned to %u bytes", part, i,
			       (unsigned long long)uva, align);
	region = vu_find_uva(core, uva, len);
	if (region == NULL)
		return vu_fail(core, -EFAULT, "the %s of ring %u, %llu bytes "
			       "at 0x%llx, is not within one region", part, i,
			       (unsigned long long)len,
			       (unsigned long long)uva);
	*gpa = region->gpa + (uva - region->uva);
	/* Page alignment of regions keeps the part's alignment. */
	return 0;
}

/* Check the addresses of @r and translate them into @to (virtio 1.2, 2.7 and
 * 2.8). */
static int
vu_place_ring(struct vu_core *core, const struct vu_ring *r, struct vu_ring *to)
{
	bool packed = vu_bit(core->features, VU_RING_F_PACKED);
	uint64_t event = vu_bit(core->features, VU_RING_F_EVENT_IDX) ? 2 : 0;
	uint64_t num = r->num;
	int rc;

	if (!packed && (num & (num - 1)))
		return vu_fail(core, -EINVAL, "split ring %u of %u entries, "
			       "not a power of two",
			       (unsigned int)(r - core->rings), r->num);
	rc = vu_place_part(core, r, packed ? "descriptor ring" :
			   "descriptor table", r->desc_uva, VU_DESC_SIZE * num,
			   16, &to->desc);
	if (rc < 0)
		return rc;
	rc = vu_place_part(core, r, packed ? "driver event area" :
			   "available ring", r->avail_uva,
			   packed ? 4 : 4 + 2 * num + event, packed ? 4 : 2,
			   &to->avail);
	if (rc < 0)
		return rc;
	return vu_place_part(core, r, packed ? "device event area" :
			     "used ring", r->used_uva,
			     packed ? 4 : 4 + 8 * num + event, 4, &to->used);
}

/*
 * Bring the base into the form that users expect. Of a packed ring only the low
 * half counts: whoever stopped the ring had used all available descriptors, so
 * both halves are the same place; and some front-ends leave the high half zero.
 */
static int
vu_check_base(struct vu_core *core, struct vu_ring *r)
{
	unsigned int i = r - core->rings;
	uint32_t base = r->base;

	if (!vu_bit(core->features, VU_RING_F_PACKED)) {
		if (base > UINT16_MAX)
			return vu_fail(core, -EINVAL, "base 0x%x of split "
				       "ring %u is beyond 65535", base, i);
		return 0;
	}
	base &= 0xffff;
	if ((base & 0x7fff) >= r->num)
		return vu_fail(core, -EINVAL, "base 0x%x of packed ring %u is "
			       "beyond its %u entries", base, i, r->num);
	r->base = base | base << 16;
	return 0;
}

static bool
vu_may_run(const struct vu_core *core, const struct vu_ring *r)
{
	/* Without protocol features no SET_VRING_ENABLE exists, and rings begin
	 * enabled. */
	bool enabled = r->enabled ||
		!vu_bit(core->features, VU_F_PROTOCOL_FEATURES);

	return core->connected && core->have_features && r->started &&
	       enabled && r->have_num && r->have_addr;
}

static int
vu_judge_ring(struct vu_core *core, struct vu_ring *r)
{
	struct vu_ring to = *r;
	int rc = 0;

	to.run = r->held = false;
	if (vu_may_run(core, r)) {
		rc = vu_place_ring(core, r, &to);
		if (rc == 0)
			rc = vu_check_base(core, &to);
		if (rc == 0 && vu_is_lone(core, r))
			r->held = true;
		else if (rc == 0)
			to.run = to.ran = true;
		to.held = r->held;
	}
	if (!to.run && r->run)
		core->changed |= VU_CHANGED_RINGS;
	if (to.run && (!r->run || to.desc != r->desc || to.avail != r->avail ||
		       to.used != r->used))
		core->changed |= VU_CHANGED_RINGS;
	if (to.run)
		*r = to;
	else
		r->run = false;
	return rc;
}

/*
 * A ring outside the memory is a violation if the message concerned the ring or
 * gave the whole memory table. With memory slots the table changes piece by
 * piece: a ring whose region is removed pauses until a new region holds the
 * ring.
 */
int
vu_judge_rings(struct vu_core *core)
{
	unsigned int i;
	int rc, err = 0;

	for (i = 0; i < core->n_rings; i++) {
		rc = vu_judge_ring(core, &core->rings[i]);
		if (rc < 0 && err == 0 && core->n_regions > 0 &&
		    (core->judged_ring == VU_JUDGE_ALL ||
		     core->judged_ring == i))
			err = rc;
		if (err < 0)
			break;
	}
	return err;
}

void
vu_stop_rings(struct vu_core *core, bool forget)
{
	unsigned int i;

	for (i = 0; i < core->n_rings; i++) {
		struct vu_ring *r = &core->rings[i];
		bool run = r->run;

		vu_stop_ring(core, r);
		r->enabled = false;
		if (!forget)
			continue;
		vu_retire_fd(core, &r->call_fd);
		vu_retire_fd(core, &r->err_fd);
		vu_init_ring(r);
		/* vu_judge_ring() must see that the ring ran. */
		r->run = run;
	}
}

void
vu_core_break_ring(struct vu_core *core, unsigned int i)
{
	struct vu_ring *r;

	if (i >= core->n_rings)
		return;
	r = &core->rings[i];
	/* The front-end has stopped the ring already: the values belong to the
	 * next start. */
	if (!r->started)
		return;
	r->run = r->started = r->have_num = r->have_addr = false;
}
