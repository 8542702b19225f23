/* SPDX-License-Identifier: Apache-2.0 */

/* The fields of a frame as Open vSwitch sees them, for a test that compares
 * them with those of guest-pmd/flow/. One file cannot include the headers of
 * both. */

#ifndef FLOW_OVS_H
#define FLOW_OVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the packet, but for what is 8 bits. */
struct flow_ovs_fields {
    uint8_t dst[6], src[6];
    uint16_t type, tci, tpid;
    uint8_t frag_any, frag_later;
    uint8_t proto, tos, ttl;
    uint8_t ip4[8];
    uint8_t ip6[32];
    uint16_t sport, dport, tcp_flags;
};

/* An edit; each has the operand of the rte_flow action of that name. */
enum flow_ovs_op {
    FLOW_OVS_MAC, FLOW_OVS_IP4, FLOW_OVS_IP6, FLOW_OVS_TCP, FLOW_OVS_UDP,
    FLOW_OVS_TTL4, FLOW_OVS_TTL6, FLOW_OVS_PUSH, FLOW_OVS_POP
};

struct flow_ovs_edit {
    enum flow_ovs_op op;
    bool is_src, is_dst;        /* which of the two */
    uint8_t src[16], dst[16];
    uint8_t ttl;
    uint16_t tpid, tci;         /* in network order */
};

void flow_ovs_init(void);
void flow_ovs_extract(const void *data, size_t len, int vlan_limit,
                      struct flow_ovs_fields *fields);
/* Edit a copy of a frame; returns its length, at most @room. */
size_t flow_ovs_edit(const void *data, size_t len,
                     const struct flow_ovs_edit *edits, size_t n,
                     void *out, size_t room);

#endif
