/* SPDX-License-Identifier: BSD-3-Clause */

/* See rule.h. */

#include <errno.h>

#include "flow/rule.h"

void
vhostpci_flow_each_dest(const uint8_t *prog, uint16_t len,
			void (*each)(void *ctx, void *dest), void *ctx)
{
	uint16_t at = 0;
	void *dest;

	while (at < len) {
		if (prog[at] == VHOSTPCI_FLOW_OP_OUTPUT) {
			memcpy(&dest, &prog[at + 1], sizeof(dest));
			each(ctx, dest);
		}
		at += 1 + vhostpci_flow_op_len[prog[at]];
	}
}

void
vhostpci_flow_spec_release(const struct vhostpci_flow_env *env,
			   struct vhostpci_flow_spec *spec)
{
	vhostpci_flow_each_dest(spec->prog, spec->prog_len, env->put_dest,
				env->ctx);
	spec->prog_len = 0;
}

static const char *
check_attr(const struct rte_flow_attr *attr)
{
	if (attr->egress)
		return "attribute: egress";
	if (!attr->ingress && !attr->transfer)
		return "attribute: neither ingress nor transfer";
	if (attr->group != 0)
		return "attribute: a group other than 0";
	return NULL;
}

int
vhostpci_flow_translate(const struct vhostpci_flow_env *env,
			const struct rte_flow_attr *attr,
			const struct rte_flow_item items[],
			const struct rte_flow_action actions[],
			struct vhostpci_flow_spec *spec,
			struct rte_flow_error *error)
{
	const char *wrong = check_attr(attr);

	/* Clear all members except the bytes of the program. */
	memset(spec, 0, offsetof(struct vhostpci_flow_spec, prog));
	spec->priority = attr->priority;
	if (wrong == NULL)
		wrong = vhostpci_flow_pattern(env, items, spec);
	if (wrong == NULL)
		wrong = vhostpci_flow_actions(env, actions, spec);
	if (wrong == NULL)
		return 0;
	vhostpci_flow_spec_release(env, spec);
	return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION,
				  NULL, wrong);
}
