/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A rule: a flow of rte_flow, translated for the burst.
 *
 * vhostpci_flow_translate() makes a vhostpci_flow_spec, which lives on the caller's
 * stack. The table then makes a vhostpci_flow_rule from this spec, or finds that it
 * already has the same rule.
 */

#ifndef VHOSTPCI_FLOW_RULE_H
#define VHOSTPCI_FLOW_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_flow.h>

#include "flow/key.h"

/* The functions of the port that this room needs. Threads that call rte_flow call
 * them, never a burst. The caller of get_dest does not hold the table's lock; the
 * callers of the others may hold it. */
struct vhostpci_flow_env {
	void *ctx;
	uint16_t port_id;	/* of the port itself */
	/* Get the port @port_id as a destination, with a reference. Returns 0,
	 * or -errno if the port is another driver's or takes no packets from
	 * rules. The same port gives the same pointer, a multiple of 4, until
	 * another port gets its id. */
	int (*get_dest)(void *ctx, uint16_t port_id, void **dest);
	void (*put_dest)(void *ctx, void *dest);
	/* Wait until no burst uses anything that it loaded before the call.
	 * Returns 0, or -errno if a burst does not end. */
	int (*quiesce)(void *ctx);
	/* For listings. */
	void (*name_dest)(void *ctx, const void *dest, char *buf, size_t size);
};

enum vhostpci_flow_kind {
	VHOSTPCI_FLOW_OUTPUT,	/* send unchanged to one destination */
	VHOSTPCI_FLOW_DROP,
	VHOSTPCI_FLOW_PROGRAM,	/* edits and outputs: rewrite.h */
	VHOSTPCI_FLOW_MARK,	/* the normal path, with a mark */
};
#define VHOSTPCI_FLOW_KIND_BITS	2

/*
 * Programs are bytes: an operation, then its operand in network byte order
 * (that of OUTPUT: a pointer). The last operation is an OUTPUT.
 */
enum vhostpci_flow_op {
	VHOSTPCI_FLOW_OP_OUTPUT,
	VHOSTPCI_FLOW_OP_MAC_DST,
	VHOSTPCI_FLOW_OP_MAC_SRC,
	VHOSTPCI_FLOW_OP_IP4_SRC,
	VHOSTPCI_FLOW_OP_IP4_DST,
	VHOSTPCI_FLOW_OP_IP6_SRC,
	VHOSTPCI_FLOW_OP_IP6_DST,
	VHOSTPCI_FLOW_OP_TP_SRC,
	VHOSTPCI_FLOW_OP_TP_DST,
	VHOSTPCI_FLOW_OP_TTL,
	VHOSTPCI_FLOW_OP_PUSH,	/* TPID, TCI */
	VHOSTPCI_FLOW_OP_TCI,	/* of the first tag: mask, value */
	VHOSTPCI_FLOW_OP_POP,
	VHOSTPCI_FLOW_N_OPS
};

/* Bytes of the operand. */
extern const uint8_t vhostpci_flow_op_len[VHOSTPCI_FLOW_N_OPS];

/* The fields that a program changes, by bit; a packet must have these fields. */
#define VHOSTPCI_FLOW_EDIT_IP4	0x01	/* addresses */
#define VHOSTPCI_FLOW_EDIT_IP6	0x02	/* addresses */
#define VHOSTPCI_FLOW_EDIT_TTL	0x04
#define VHOSTPCI_FLOW_EDIT_TP	0x08	/* ports of TCP or UDP */
#define VHOSTPCI_FLOW_EDIT_TAG	0x10	/* the tag that the packet has */

/* Tags pushed by one program: each needs 4 bytes before the head. */
#define VHOSTPCI_FLOW_MAX_PUSH	4
#define VHOSTPCI_FLOW_HEADROOM	(4 * VHOSTPCI_FLOW_MAX_PUSH)
#define VHOSTPCI_FLOW_MAX_OUT	16
#define VHOSTPCI_FLOW_MAX_PROG	512
/* Programs of up to this many bytes are part of the rule. */
#define VHOSTPCI_FLOW_INLINE	56

struct vhostpci_flow_spec {
	struct vhostpci_flow_key key, mask;	/* key & ~mask is 0 */
	uint32_t priority;
	uint32_t mark;
	enum vhostpci_flow_kind kind;
	uint8_t edits;
	uint8_t grows;
	uint8_t n_out;
	bool counted;		/* COUNT is among the actions */
	uint16_t prog_len;	/* OUTPUT has a program, too: that one output */
	uint8_t prog[VHOSTPCI_FLOW_MAX_PROG];
};

/* Counters of a rule: two rx queues have one each, all others share the third. */
#define VHOSTPCI_FLOW_SLOTS	3

/*
 * Most packets need only the first cache line for lookup and sending: it holds
 * three words of the key, enough for five-field rules. Who writes:
 *	next, born, died	table lock; datapath: r. A release publishes.
 *	way to n_out		constant while the rule is visible
 *	limbo, refs		table lock
 *	hits, bytes, used	datapath: w; queries: r
 */
struct vhostpci_flow_rule {
	/* The next rule of the bucket: a pointer with its tag in the upper bits.
	 * The index is the bucket array: a bigger array is built beside the old
	 * one. */
	uint64_t next[2];
	/* A burst with version v sees the rule if born <= v < died. */
	uint64_t born, died;
	/* The lowest bits are an enum vhostpci_flow_kind. Above them: for MARK,
	 * the mark; for OUTPUT, the whole word is the destination's pointer. */
	uint64_t way;
	uint64_t key[VHOSTPCI_FLOW_WORDS];	/* words of its mask, packed */

	struct vhostpci_flow_rule *limbo;
	uint32_t hash;
	uint32_t priority;	/* the lowest number wins, then the oldest */
	uint32_t refs;		/* handles */
	uint16_t subtable;
	uint8_t n_out;

	uint64_t hits[VHOSTPCI_FLOW_SLOTS];
	uint64_t bytes[VHOSTPCI_FLOW_SLOTS];
	uint32_t used[VHOSTPCI_FLOW_SLOTS];	/* vhostpci_flow_now() */
	uint32_t created;

	uint16_t prog_len;
	uint8_t edits;		/* VHOSTPCI_FLOW_EDIT_* */
	uint8_t grows;		/* bytes that edits may add before an output */
	bool counted;		/* a flow of this rule has a COUNT action */
	uint8_t spare[3];
	union {
		uint8_t prog[VHOSTPCI_FLOW_INLINE];
		uint8_t *far;	/* if prog_len is above VHOSTPCI_FLOW_INLINE */
	};
} __rte_cache_aligned;

_Static_assert(sizeof(struct vhostpci_flow_rule) <= 256,
	       "200,000 rules are to fit");
_Static_assert(offsetof(struct vhostpci_flow_rule, key[3]) == 64,
	       "five fields are in the first line");
_Static_assert(offsetof(struct vhostpci_flow_rule, hits) == 128 &&
	       offsetof(struct vhostpci_flow_rule, prog_len) == 192,
	       "the datapath writes one line");

static __rte_always_inline enum vhostpci_flow_kind
vhostpci_flow_kind(const struct vhostpci_flow_rule *rule)
{
	return rule->way & ((1u << VHOSTPCI_FLOW_KIND_BITS) - 1);
}

/* The destination of an OUTPUT. */
static __rte_always_inline void *
vhostpci_flow_dest(const struct vhostpci_flow_rule *rule)
{
	return (void *)(uintptr_t)rule->way;
}

/* The mark of a MARK. */
static __rte_always_inline uint32_t
vhostpci_flow_mark(const struct vhostpci_flow_rule *rule)
{
	return rule->way >> VHOSTPCI_FLOW_KIND_BITS;
}

static inline const uint8_t *
vhostpci_flow_prog(const struct vhostpci_flow_rule *rule)
{
	return rule->prog_len > VHOSTPCI_FLOW_INLINE ? rule->far : rule->prog;
}

/* Translate; the spec holds references to its destinations. Returns 0, or -errno
 * with @error set. The type of @error is always ACTION, because Open vSwitch 3.1
 * logs a warning for each flow with another type. */
int vhostpci_flow_translate(const struct vhostpci_flow_env *env,
			    const struct rte_flow_attr *attr,
			    const struct rte_flow_item items[],
			    const struct rte_flow_action actions[],
			    struct vhostpci_flow_spec *spec,
			    struct rte_flow_error *error);
/* Give the destinations back. */
void vhostpci_flow_spec_release(const struct vhostpci_flow_env *env,
				struct vhostpci_flow_spec *spec);
/* Call @each for each destination of a program. */
void vhostpci_flow_each_dest(const uint8_t *prog, uint16_t len,
			     void (*each)(void *ctx, void *dest), void *ctx);

/* pattern.c and actions.c: the two halves of translate. They return NULL, or a
 * sentence that says what is wrong. */
const char *vhostpci_flow_pattern(const struct vhostpci_flow_env *env,
				  const struct rte_flow_item items[],
				  struct vhostpci_flow_spec *spec);
const char *vhostpci_flow_actions(const struct vhostpci_flow_env *env,
				  const struct rte_flow_action actions[],
				  struct vhostpci_flow_spec *spec);

#endif
