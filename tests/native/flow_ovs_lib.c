/* SPDX-License-Identifier: Apache-2.0 */

/* See flow_ovs.h. Built against Open vSwitch's library. */

#include <config.h>

#include <string.h>

#include "csum.h"
#include "dp-packet.h"
#include "flow.h"
#include "netlink.h"
#include "odp-execute.h"
#include "odp-netlink.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"

#include "flow_ovs.h"

void
flow_ovs_init(void)
{
    set_program_name("flow_ovs");
    odp_execute_init();
}

void
flow_ovs_extract(const void *data, size_t len, int vlan_limit,
                 struct flow_ovs_fields *f)
{
    struct dp_packet *packet = dp_packet_clone_data(data, len);
    struct flow flow;

    flow_limit_vlans(vlan_limit);
    pkt_metadata_init(&packet->md, 0);
    memset(&flow, 0, sizeof flow);
    flow_extract(packet, &flow);
    dp_packet_delete(packet);
    memset(f, 0, sizeof *f);
    memcpy(f->dst, &flow.dl_dst, 6);
    memcpy(f->src, &flow.dl_src, 6);
    f->type = flow.dl_type;
    f->tci = flow.vlans[0].tci;
    f->tpid = flow.vlans[0].tpid;
    f->frag_any = (flow.nw_frag & FLOW_NW_FRAG_ANY) != 0;
    f->frag_later = (flow.nw_frag & FLOW_NW_FRAG_LATER) != 0;
    f->proto = flow.nw_proto;
    f->tos = flow.nw_tos;
    f->ttl = flow.nw_ttl;
    memcpy(f->ip4, &flow.nw_src, 4);
    memcpy(f->ip4 + 4, &flow.nw_dst, 4);
    memcpy(f->ip6, &flow.ipv6_src, 16);
    memcpy(f->ip6 + 16, &flow.ipv6_dst, 16);
    f->sport = flow.tp_src;
    f->dport = flow.tp_dst;
    f->tcp_flags = flow.tcp_flags;
}

/* A set action with a mask of whole fields. */
static void
put_set(struct ofpbuf *actions, uint16_t type, const void *key,
        const void *mask, size_t size)
{
    size_t at = nl_msg_start_nested(actions, OVS_ACTION_ATTR_SET_MASKED);
    uint8_t both[128];

    ovs_assert(2 * size <= sizeof both);
    memcpy(both, key, size);
    memcpy(both + size, mask, size);
    nl_msg_put_unspec(actions, type, both, 2 * size);
    nl_msg_end_nested(actions, at);
}

#define PUT(FIELD, BYTES, IF)                           \
    if (IF) {                                           \
        memcpy(&key.FIELD, BYTES, sizeof key.FIELD);    \
        memset(&mask.FIELD, 0xff, sizeof mask.FIELD);   \
    }

/* One function: a case for each edit, none of them long. */
static void
put_edit(struct ofpbuf *actions, const struct flow_ovs_edit *e)
{
    switch (e->op) {
    case FLOW_OVS_MAC: {
        struct ovs_key_ethernet key = { .eth_src = { { { 0 } } } };
        struct ovs_key_ethernet mask = key;

        PUT(eth_src, e->src, e->is_src);
        PUT(eth_dst, e->dst, e->is_dst);
        put_set(actions, OVS_KEY_ATTR_ETHERNET, &key, &mask, sizeof key);
        break;
    }
    case FLOW_OVS_IP4:
    case FLOW_OVS_TTL4: {
        struct ovs_key_ipv4 key = { 0 }, mask = { 0 };

        PUT(ipv4_src, e->src, e->is_src);
        PUT(ipv4_dst, e->dst, e->is_dst);
        PUT(ipv4_ttl, &e->ttl, e->op == FLOW_OVS_TTL4);
        put_set(actions, OVS_KEY_ATTR_IPV4, &key, &mask, sizeof key);
        break;
    }
    case FLOW_OVS_IP6:
    case FLOW_OVS_TTL6: {
        struct ovs_key_ipv6 key, mask;

        memset(&key, 0, sizeof key);
        memset(&mask, 0, sizeof mask);
        PUT(ipv6_src, e->src, e->is_src);
        PUT(ipv6_dst, e->dst, e->is_dst);
        PUT(ipv6_hlimit, &e->ttl, e->op == FLOW_OVS_TTL6);
        put_set(actions, OVS_KEY_ATTR_IPV6, &key, &mask, sizeof key);
        break;
    }
    case FLOW_OVS_TCP: {
        struct ovs_key_tcp key = { 0 }, mask = { 0 };

        PUT(tcp_src, e->src, e->is_src);
        PUT(tcp_dst, e->dst, e->is_dst);
        put_set(actions, OVS_KEY_ATTR_TCP, &key, &mask, sizeof key);
        break;
    }
    case FLOW_OVS_UDP: {
        struct ovs_key_udp key = { 0 }, mask = { 0 };

        PUT(udp_src, e->src, e->is_src);
        PUT(udp_dst, e->dst, e->is_dst);
        put_set(actions, OVS_KEY_ATTR_UDP, &key, &mask, sizeof key);
        break;
    }
    case FLOW_OVS_PUSH: {
        struct ovs_action_push_vlan vlan = {
            .vlan_tpid = e->tpid, .vlan_tci = e->tci | htons(VLAN_CFI),
        };

        nl_msg_put_unspec(actions, OVS_ACTION_ATTR_PUSH_VLAN, &vlan,
                          sizeof vlan);
        break;
    }
    case FLOW_OVS_POP:
        nl_msg_put_flag(actions, OVS_ACTION_ATTR_POP_VLAN);
        break;
    }
}

size_t
flow_ovs_edit(const void *data, size_t len, const struct flow_ovs_edit *edits,
              size_t n, void *out, size_t room)
{
    struct dp_packet *packet
        = dp_packet_clone_data_with_headroom(data, len, 128);
    struct dp_packet_batch batch;
    struct ofpbuf actions;
    struct flow flow;
    size_t i;

    pkt_metadata_init(&packet->md, 0);
    flow_extract(packet, &flow);
    ofpbuf_init(&actions, 512);
    for (i = 0; i < n; i++) {
        put_edit(&actions, &edits[i]);
    }
    dp_packet_batch_init_packet(&batch, packet);
    odp_execute_actions(NULL, &batch, false, actions.data, actions.size, NULL);
    len = MIN(dp_packet_size(packet), room);
    memcpy(out, dp_packet_data(packet), len);
    dp_packet_delete(packet);
    ofpbuf_uninit(&actions);
    return len;
}
