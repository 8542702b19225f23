/* SPDX-License-Identifier: BSD-3-Clause */

/* The actions of a rule: translate actions of rte_flow to a program. */

#include <rte_ip.h>

#include "flow/rule.h"

const uint8_t vhostpci_flow_op_len[VHOSTPCI_FLOW_N_OPS] = {
	[VHOSTPCI_FLOW_OP_OUTPUT] = sizeof(void *),
	[VHOSTPCI_FLOW_OP_MAC_DST] = 6,
	[VHOSTPCI_FLOW_OP_MAC_SRC] = 6,
	[VHOSTPCI_FLOW_OP_IP4_SRC] = 4,
	[VHOSTPCI_FLOW_OP_IP4_DST] = 4,
	[VHOSTPCI_FLOW_OP_IP6_SRC] = 16,
	[VHOSTPCI_FLOW_OP_IP6_DST] = 16,
	[VHOSTPCI_FLOW_OP_TP_SRC] = 2,
	[VHOSTPCI_FLOW_OP_TP_DST] = 2,
	[VHOSTPCI_FLOW_OP_TTL] = 1,
	[VHOSTPCI_FLOW_OP_PUSH] = 4,
	[VHOSTPCI_FLOW_OP_TCI] = 4,
	[VHOSTPCI_FLOW_OP_POP] = 0,
};

struct builder {
	const struct vhostpci_flow_env *env;
	struct vhostpci_flow_spec *spec;
	bool drop, mark;
	bool up;		/* an action such as RSS: packets go up */
	uint16_t end;		/* of the last output */
	/* The operand of the last PUSH, as long as vid and pcp may still be
	 * stored there. NULL: there is none. */
	uint8_t *push;
	uint8_t n_push;		/* in the whole program */
	uint8_t tags;		/* pushed and not popped */
	bool popped;		/* the packet has lost its own tag */
};

static const char *
add_op(struct builder *b, enum vhostpci_flow_op op, const void *operand)
{
	struct vhostpci_flow_spec *spec = b->spec;
	uint8_t len = vhostpci_flow_op_len[op];

	if (spec->prog_len + 1u + len > sizeof(spec->prog))
		return "actions: too many";
	spec->prog[spec->prog_len++] = op;
	memcpy(&spec->prog[spec->prog_len], operand, len);
	spec->prog_len += len;
	if (op == VHOSTPCI_FLOW_OP_OUTPUT)
		b->end = spec->prog_len;
	return NULL;
}

static const char *
add_output(struct builder *b, uint32_t port_id)
{
	const char *wrong;
	void *dest;

	if (b->spec->n_out == VHOSTPCI_FLOW_MAX_OUT)
		return "actions: too many outputs";
	if (port_id > UINT16_MAX ||
	    b->env->get_dest(b->env->ctx, port_id, &dest) != 0)
		return "action: output to a port that is not of this driver";
	wrong = add_op(b, VHOSTPCI_FLOW_OP_OUTPUT, &dest);
	if (wrong != NULL) {
		b->env->put_dest(b->env->ctx, dest);
		return wrong;
	}
	b->spec->n_out++;
	b->push = NULL;
	return NULL;
}

/* The ethertype that the pattern requires, or 0. */
static uint16_t
sure_type(const struct vhostpci_flow_spec *spec)
{
	uint64_t mask = spec->mask.w[VHOSTPCI_FLOW_L2];

	return (mask & UINT16_MAX) == UINT16_MAX ?
		spec->key.w[VHOSTPCI_FLOW_L2] & UINT16_MAX : 0;
}

static uint8_t
sure_proto(const struct vhostpci_flow_spec *spec)
{
	uint64_t mask = spec->mask.w[VHOSTPCI_FLOW_L4] >> 48;

	return (mask & UINT8_MAX) == UINT8_MAX ?
		spec->key.w[VHOSTPCI_FLOW_L4] >> 48 & UINT8_MAX : 0;
}

static const char *
add_edit(struct builder *b, enum vhostpci_flow_op op, const void *operand)
{
	struct vhostpci_flow_spec *spec = b->spec;
	uint16_t type = sure_type(spec);
	uint8_t proto = sure_proto(spec);

	switch (op) {
	case VHOSTPCI_FLOW_OP_IP4_SRC:
	case VHOSTPCI_FLOW_OP_IP4_DST:
		if (type != RTE_BE16(0x0800))
			return "action set_ipv4: the pattern is not of IPv4";
		break;
	case VHOSTPCI_FLOW_OP_IP6_SRC:
	case VHOSTPCI_FLOW_OP_IP6_DST:
		if (type != RTE_BE16(0x86dd))
			return "action set_ipv6: the pattern is not of IPv6";
		break;
	case VHOSTPCI_FLOW_OP_TTL:
		if (type != RTE_BE16(0x0800) && type != RTE_BE16(0x86dd))
			return "action set_ttl: the pattern is not of IP";
		break;
	case VHOSTPCI_FLOW_OP_TP_SRC:
	case VHOSTPCI_FLOW_OP_TP_DST:
		if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
			return "action set_tp: the pattern is not of TCP or UDP";
		break;
	default:
		break;
	}
	return add_op(b, op, operand);
}

static const char *
push_vlan(struct builder *b, uint16_t tpid)
{
	const uint16_t operand[2] = { tpid, 0 };
	const char *wrong;

	if (!vhostpci_flow_is_vlan(tpid))
		return "action of_push_vlan: no TPID";
	if (b->n_push == VHOSTPCI_FLOW_MAX_PUSH)
		return "action of_push_vlan: too many";
	wrong = add_op(b, VHOSTPCI_FLOW_OP_PUSH, operand);
	if (wrong != NULL)
		return wrong;
	b->push = &b->spec->prog[b->spec->prog_len - sizeof(operand)];
	b->n_push++;
	b->tags++;
	return NULL;
}

static const char *
pop_vlan(struct builder *b)
{
	if (b->tags > 0)
		b->tags--;
	else if (b->popped)
		return "action of_pop_vlan: more tags than packets have";
	else
		b->popped = true;
	b->push = NULL;
	return add_op(b, VHOSTPCI_FLOW_OP_POP, b);
}

/* Set the bits @mask of the first tag. */
static const char *
set_tci(struct builder *b, uint16_t mask, uint16_t value)
{
	const uint16_t operand[2] = { mask, value };
	uint16_t tci;

	if (b->push != NULL) {
		tci = (vhostpci_flow_get16(b->push + 2) & ~mask) | value;
		memcpy(b->push + 2, &tci, sizeof(tci));
		return NULL;
	}
	if (b->tags == 0 && b->popped)
		return "action of_set_vlan: no tag";
	return add_op(b, VHOSTPCI_FLOW_OP_TCI, operand);
}

static const char *
add_vlan(struct builder *b, const struct rte_flow_action *action)
{
	const struct rte_flow_action_of_push_vlan *push = action->conf;
	const struct rte_flow_action_of_set_vlan_vid *vid = action->conf;
	const struct rte_flow_action_of_set_vlan_pcp *pcp = action->conf;

	if (action->type == RTE_FLOW_ACTION_TYPE_OF_POP_VLAN)
		return pop_vlan(b);
	if (action->conf == NULL)
		return "action of_vlan: no configuration";
	if (action->type == RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN)
		return push_vlan(b, push->ethertype);
	if (action->type == RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID)
		return (vid->vlan_vid & RTE_BE16(0xf000)) != 0 ?
			"action of_set_vlan_vid: above 4095" :
			set_tci(b, RTE_BE16(0x0fff), vid->vlan_vid);
	return pcp->vlan_pcp > 7 ? "action of_set_vlan_pcp: above 7" :
		set_tci(b, RTE_BE16(0xe000),
			rte_cpu_to_be_16(pcp->vlan_pcp << 13));
}

static const char *
add_fate(struct builder *b, const struct rte_flow_action *action)
{
	const struct rte_flow_action_port_id *id = action->conf;
	const struct rte_flow_action_ethdev *dev = action->conf;
	const struct rte_flow_action_mark *mark = action->conf;

	if (action->conf == NULL)
		return "action: no configuration";
	if (action->type == RTE_FLOW_ACTION_TYPE_MARK) {
		b->mark = true;
		b->spec->mark = mark->id;
		return NULL;
	}
	if (action->type == RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT)
		return add_output(b, dev->port_id);
	if (id->original || id->reserved != 0)
		return "action port_id: original";
	return add_output(b, id->id);
}

/* The operation for each action that is just an operand; 0: none. */
static const uint8_t edit_ops[] = {
	[RTE_FLOW_ACTION_TYPE_SET_MAC_SRC] = VHOSTPCI_FLOW_OP_MAC_SRC,
	[RTE_FLOW_ACTION_TYPE_SET_MAC_DST] = VHOSTPCI_FLOW_OP_MAC_DST,
	[RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC] = VHOSTPCI_FLOW_OP_IP4_SRC,
	[RTE_FLOW_ACTION_TYPE_SET_IPV4_DST] = VHOSTPCI_FLOW_OP_IP4_DST,
	[RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC] = VHOSTPCI_FLOW_OP_IP6_SRC,
	[RTE_FLOW_ACTION_TYPE_SET_IPV6_DST] = VHOSTPCI_FLOW_OP_IP6_DST,
	[RTE_FLOW_ACTION_TYPE_SET_TP_SRC] = VHOSTPCI_FLOW_OP_TP_SRC,
	[RTE_FLOW_ACTION_TYPE_SET_TP_DST] = VHOSTPCI_FLOW_OP_TP_DST,
	[RTE_FLOW_ACTION_TYPE_SET_TTL] = VHOSTPCI_FLOW_OP_TTL,
};

static const char *
add_action(struct builder *b, const struct rte_flow_action *action)
{
	switch (action->type) {
	case RTE_FLOW_ACTION_TYPE_VOID:
		return NULL;
	case RTE_FLOW_ACTION_TYPE_COUNT:
		b->spec->counted = true;
		return NULL;
	/* The peer decides on which queue a packet arrives, and a mark does not
	 * change the queue. */
	case RTE_FLOW_ACTION_TYPE_RSS:
	case RTE_FLOW_ACTION_TYPE_PASSTHRU:
		b->up = true;
		return NULL;
	case RTE_FLOW_ACTION_TYPE_DROP:
		b->drop = true;
		return NULL;
	case RTE_FLOW_ACTION_TYPE_MARK:
	case RTE_FLOW_ACTION_TYPE_PORT_ID:
	case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
		return add_fate(b, action);
	case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN:
	case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID:
	case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP:
	case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN:
		return add_vlan(b, action);
	default:
		break;
	}
	if (action->type < 0 || (size_t)action->type >= RTE_DIM(edit_ops) ||
	    edit_ops[action->type] == 0)
		return "actions: an action of this type is not supported";
	if (action->conf == NULL)
		return "action set: no configuration";
	return add_edit(b, edit_ops[action->type], action->conf);
}

/* The headers that a packet must have for the program, by bit. */
static uint8_t
needed(const struct vhostpci_flow_spec *spec)
{
	unsigned int tags = 0;
	uint8_t edits = 0;
	uint16_t at = 0;

	while (at < spec->prog_len) {
		enum vhostpci_flow_op op = spec->prog[at];

		if (op == VHOSTPCI_FLOW_OP_IP4_SRC ||
		    op == VHOSTPCI_FLOW_OP_IP4_DST)
			edits |= VHOSTPCI_FLOW_EDIT_IP4;
		else if (op == VHOSTPCI_FLOW_OP_IP6_SRC ||
			 op == VHOSTPCI_FLOW_OP_IP6_DST)
			edits |= VHOSTPCI_FLOW_EDIT_IP6;
		else if (op == VHOSTPCI_FLOW_OP_TP_SRC ||
			 op == VHOSTPCI_FLOW_OP_TP_DST)
			edits |= VHOSTPCI_FLOW_EDIT_TP;
		else if (op == VHOSTPCI_FLOW_OP_TTL)
			edits |= VHOSTPCI_FLOW_EDIT_TTL;
		else if (op == VHOSTPCI_FLOW_OP_PUSH)
			tags++;
		else if (tags == 0 && (op == VHOSTPCI_FLOW_OP_POP ||
				       op == VHOSTPCI_FLOW_OP_TCI))
			edits |= VHOSTPCI_FLOW_EDIT_TAG;
		else if (op == VHOSTPCI_FLOW_OP_POP)
			tags--;
		at += 1 + vhostpci_flow_op_len[op];
	}
	return edits;
}

/* The number of bytes by which a frame has grown, at the output where it is
 * longest. */
static uint8_t
growth(const struct vhostpci_flow_spec *spec)
{
	int tags = 0, most = 0;
	uint16_t at = 0;

	while (at < spec->prog_len) {
		enum vhostpci_flow_op op = spec->prog[at];

		if (op == VHOSTPCI_FLOW_OP_PUSH)
			tags++;
		else if (op == VHOSTPCI_FLOW_OP_POP)
			tags--;
		else if (op == VHOSTPCI_FLOW_OP_OUTPUT)
			most = RTE_MAX(most, tags);
		at += 1 + vhostpci_flow_op_len[op];
	}
	return 4 * most;
}

static const char *
finish(struct builder *b)
{
	struct vhostpci_flow_spec *spec = b->spec;

	if (b->drop + b->mark + (spec->n_out > 0) != 1)
		return "actions: not one of drop, mark and output";
	if (b->up && !b->mark)
		return "action rss: without a mark";
	if (b->mark && spec->prog_len > 0)
		return "actions: edits of a marked packet";
	/* Edits after the last output change nothing. */
	spec->prog_len = b->end;
	spec->edits = needed(spec);
	spec->grows = growth(spec);
	if (b->drop)
		spec->kind = VHOSTPCI_FLOW_DROP;
	else if (b->mark)
		spec->kind = VHOSTPCI_FLOW_MARK;
	else if (spec->prog_len == 1 + sizeof(void *))
		spec->kind = VHOSTPCI_FLOW_OUTPUT;
	else
		spec->kind = VHOSTPCI_FLOW_PROGRAM;
	return NULL;
}

const char *
vhostpci_flow_actions(const struct vhostpci_flow_env *env,
		      const struct rte_flow_action actions[],
		      struct vhostpci_flow_spec *spec)
{
	struct builder b = { .env = env, .spec = spec };
	const char *wrong = NULL;

	for (; actions->type != RTE_FLOW_ACTION_TYPE_END && wrong == NULL;
	     actions++)
		wrong = add_action(&b, actions);
	return wrong != NULL ? wrong : finish(&b);
}
