/* SPDX-License-Identifier: BSD-3-Clause */

/* A rule as text, for people. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "flow/table.h"

struct text {
	char *buf;
	size_t size, len;
};

static void __rte_format_printf(2, 3)
add(struct text *t, const char *format, ...)
{
	size_t room = t->len < t->size ? t->size - t->len : 0;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(room > 0 ? t->buf + t->len : NULL, room, format, args);
	va_end(args);
	if (n > 0)
		t->len += n;
}

/* Add a number, and its mask unless the mask covers all bits. */
static void
add_number(struct text *t, const char *name, uint32_t value, uint32_t mask,
	   uint32_t all)
{
	if (mask == 0)
		return;
	add(t, ",%s=%u", name, value);
	if (mask != all)
		add(t, "/0x%x", mask);
}

static void
add_mac(struct text *t, const char *name, uint64_t value, uint64_t mask)
{
	uint8_t v[8], m[8];
	unsigned int i;

	memcpy(v, &value, sizeof(v));
	memcpy(m, &mask, sizeof(m));
	if ((mask << 16) == 0)
		return;
	add(t, ",%s=%02x", name, v[0]);
	for (i = 1; i < 6; i++)
		add(t, ":%02x", v[i]);
	if (mask << 16 != UINT64_MAX << 16) {
		add(t, "/%02x", m[0]);
		for (i = 1; i < 6; i++)
			add(t, ":%02x", m[i]);
	}
}

static void
add_addr(struct text *t, const char *name, int family, const void *value,
	 const void *mask, size_t len)
{
	static const uint8_t none[16], all[16] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	char buf[INET6_ADDRSTRLEN];

	if (memcmp(mask, none, len) == 0)
		return;
	add(t, ",%s=%s", name, inet_ntop(family, value, buf, sizeof(buf)));
	if (memcmp(mask, all, len) != 0)
		add(t, "/%s", inet_ntop(family, mask, buf, sizeof(buf)));
}

static void
add_addrs(struct text *t, const uint64_t *key, const uint64_t *mask, bool ip6)
{
	uint64_t k[4], m[4];

	if (!ip6) {
		const uint8_t *v = (const uint8_t *)&key[VHOSTPCI_FLOW_ADDR];
		const uint8_t *b = (const uint8_t *)&mask[VHOSTPCI_FLOW_ADDR];

		add_addr(t, "src", AF_INET, v, b, 4);
		add_addr(t, "dst", AF_INET, v + 4, b + 4, 4);
		return;
	}
	k[0] = key[VHOSTPCI_FLOW_ADDR];
	m[0] = mask[VHOSTPCI_FLOW_ADDR];
	memcpy(&k[1], &key[VHOSTPCI_FLOW_SRC6], 24);
	memcpy(&m[1], &mask[VHOSTPCI_FLOW_SRC6], 24);
	add_addr(t, "src", AF_INET6, &k[0], &m[0], 16);
	add_addr(t, "dst", AF_INET6, &k[2], &m[2], 16);
}

static void
add_l2(struct text *t, uint64_t key, uint64_t mask)
{
	uint8_t flags = mask >> 56, frag = mask >> 48;

	if ((mask & UINT16_MAX) != 0)
		add(t, ",type=0x%04x", rte_be_to_cpu_16(key & UINT16_MAX));
	if ((flags & VHOSTPCI_FLOW_TAGGED) != 0)
		add(t, ",tag=%s",
		    key >> 56 & VHOSTPCI_FLOW_TAGGED ? "yes" : "no");
	if ((mask >> 32 & UINT16_MAX) != 0)
		add(t, ",tpid=0x%04x",
		    rte_be_to_cpu_16(key >> 32 & UINT16_MAX));
	add_number(t, "tci", rte_be_to_cpu_16(key >> 16 & UINT16_MAX),
		   rte_be_to_cpu_16(mask >> 16 & UINT16_MAX), 0xefff);
	if (frag & VHOSTPCI_FLOW_LATER)
		add(t, ",frag=%s", key >> 48 & VHOSTPCI_FLOW_LATER ? "later" :
		    key >> 48 & VHOSTPCI_FLOW_FRAG ? "first" : "no");
	else if (frag != 0)
		add(t, ",frag=%s",
		    key >> 48 & VHOSTPCI_FLOW_FRAG ? "yes" : "no");
}

static void
add_ports(struct text *t, uint64_t key, uint64_t mask)
{
	uint16_t k[4], m[4];

	memcpy(k, &key, sizeof(k));
	memcpy(m, &mask, sizeof(m));
	add_number(t, "sport", rte_be_to_cpu_16(k[0]), rte_be_to_cpu_16(m[0]),
		   UINT16_MAX);
	add_number(t, "dport", rte_be_to_cpu_16(k[1]), rte_be_to_cpu_16(m[1]),
		   UINT16_MAX);
	add_number(t, "tcp_flags", rte_be_to_cpu_16(k[2]),
		   rte_be_to_cpu_16(m[2]), 0x0fff);
}

static void
add_match(struct text *t, const struct vhostpci_flow_info *info)
{
	const uint64_t *key = info->key.w, *mask = info->mask.w;
	uint64_t l4 = key[VHOSTPCI_FLOW_L4], l4m = mask[VHOSTPCI_FLOW_L4];

	add_l2(t, key[VHOSTPCI_FLOW_L2], mask[VHOSTPCI_FLOW_L2]);
	add_mac(t, "eth_src", key[VHOSTPCI_FLOW_SRC], mask[VHOSTPCI_FLOW_SRC]);
	add_mac(t, "eth_dst", key[VHOSTPCI_FLOW_DST], mask[VHOSTPCI_FLOW_DST]);
	add_addrs(t, key, mask, (key[VHOSTPCI_FLOW_L2] & UINT16_MAX) ==
		  RTE_BE16(0x86dd));
	add_number(t, "proto", l4 >> 48 & UINT8_MAX, l4m >> 48 & UINT8_MAX,
		   UINT8_MAX);
	add_number(t, "tos", l4 >> 56, l4m >> 56, UINT8_MAX);
	add_number(t, "ttl", key[VHOSTPCI_FLOW_DST] >> 48,
		   mask[VHOSTPCI_FLOW_DST] >> 48, UINT8_MAX);
	add_ports(t, l4, l4m);
}

static const struct {
	const char *name;
	enum { BYTES, MAC, IP4, IP6, NUMBER } how;
} ops[VHOSTPCI_FLOW_N_OPS] = {
	[VHOSTPCI_FLOW_OP_MAC_DST] = { "eth_dst", MAC },
	[VHOSTPCI_FLOW_OP_MAC_SRC] = { "eth_src", MAC },
	[VHOSTPCI_FLOW_OP_IP4_SRC] = { "src", IP4 },
	[VHOSTPCI_FLOW_OP_IP4_DST] = { "dst", IP4 },
	[VHOSTPCI_FLOW_OP_IP6_SRC] = { "src", IP6 },
	[VHOSTPCI_FLOW_OP_IP6_DST] = { "dst", IP6 },
	[VHOSTPCI_FLOW_OP_TP_SRC] = { "sport", NUMBER },
	[VHOSTPCI_FLOW_OP_TP_DST] = { "dport", NUMBER },
	[VHOSTPCI_FLOW_OP_TTL] = { "ttl", NUMBER },
	[VHOSTPCI_FLOW_OP_PUSH] = { "push_vlan", BYTES },
	[VHOSTPCI_FLOW_OP_TCI] = { "tci", BYTES },
	[VHOSTPCI_FLOW_OP_POP] = { "pop_vlan", BYTES },
};

static void
add_op(struct text *t, uint8_t op, const uint8_t *operand)
{
	uint8_t len = vhostpci_flow_op_len[op], i;
	char buf[INET6_ADDRSTRLEN];

	add(t, "%s", ops[op].name);
	if (ops[op].how == IP4 || ops[op].how == IP6) {
		add(t, "=%s", inet_ntop(ops[op].how == IP4 ? AF_INET : AF_INET6,
					operand, buf, sizeof(buf)));
	} else if (ops[op].how == NUMBER) {
		add(t, "=%u", len == 1 ? operand[0] :
		    operand[0] << 8 | operand[1]);
	} else {
		for (i = 0; i < len; i++)
			add(t, "%s%02x", i == 0 ? "=" :
			    ops[op].how == MAC ? ":" : "", operand[i]);
	}
}

static void
add_program(struct text *t, const struct vhostpci_flow_env *env,
	    const struct vhostpci_flow_rule *rule)
{
	const uint8_t *prog = vhostpci_flow_prog(rule);
	uint16_t at = 0;
	char name[64];
	void *dest;

	while (at < rule->prog_len) {
		if (at > 0)
			add(t, ",");
		if (prog[at] == VHOSTPCI_FLOW_OP_OUTPUT) {
			memcpy(&dest, &prog[at + 1], sizeof(dest));
			name[0] = '\0';
			env->name_dest(env->ctx, dest, name, sizeof(name));
			add(t, "output:%s", name);
		} else {
			add_op(t, prog[at], &prog[at + 1]);
		}
		at += 1 + vhostpci_flow_op_len[prog[at]];
	}
}

int
vhostpci_flow_format_match(const struct vhostpci_flow_info *info, char *buf,
			   size_t size)
{
	struct text t = { .buf = buf, .size = size };

	add(&t, "priority=%u", info->rule->priority);
	add_match(&t, info);
	return t.len;
}

int
vhostpci_flow_format_actions(const struct vhostpci_flow_env *env,
			     const struct vhostpci_flow_info *info, char *buf,
			     size_t size)
{
	const struct vhostpci_flow_rule *rule = info->rule;
	struct text t = { .buf = buf, .size = size };

	if (vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_DROP)
		add(&t, "drop");
	else if (vhostpci_flow_kind(rule) == VHOSTPCI_FLOW_MARK)
		add(&t, "mark:%u", vhostpci_flow_mark(rule));
	else
		add_program(&t, env, rule);
	return t.len;
}

uint64_t
vhostpci_flow_age_ms(const struct vhostpci_flow_info *info)
{
	uint64_t ticks = (uint32_t)(vhostpci_flow_now() - info->used);

	return (ticks << 20) / (rte_get_tsc_hz() / 1000);
}

int
vhostpci_flow_format(const struct vhostpci_flow_env *env,
		     const struct vhostpci_flow_info *info, char *buf,
		     size_t size)
{
	uint64_t ms = vhostpci_flow_age_ms(info);
	struct text t = { .buf = buf, .size = size };
	char match[1024], actions[1024];

	vhostpci_flow_format_match(info, match, sizeof(match));
	vhostpci_flow_format_actions(env, info, actions, sizeof(actions));
	add(&t, "%s actions=%s packets=%" PRIu64 " bytes=%" PRIu64
	    " used=%" PRIu64 ".%03us", match, actions, info->hits, info->bytes,
	    ms / 1000, (unsigned int)(ms % 1000));
	return t.len;
}
