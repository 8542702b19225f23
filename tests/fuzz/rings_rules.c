/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rules between the hostile peer's port and honest ones (--rules). One file:
 * sent packets, rules, and packets that must arrive depend on each other.
 *
 *	hostile -> near		packets of the hostile peer; each one that
 *				arrives has a header without errors
 *	hostile -> hostile	both ends of a rule are its own
 *	near -> hostile, far	an honest peer's packets: each that does not come
 *				up arrives at far, once, in order and unchanged,
 *				whatever the hostile peer makes of its copy
 *
 * No rule leads to or from the pair of rings_honest.c.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <rte_flow.h>

#include "peer/fakepacked.h"
#include "peer/fakepeer.h"
#include "rings.h"
#include "rte_pmd_vhostpci.h"

#define W		VRING_DESC_F_WRITE
#define NUM		32u
#define HDR		12u
#define SLOT		2048u
#define AT_ONCE		8u
#define LONGEST		1400u

/* An honest port, and the driver's side of its rings. */
struct honest {
	struct fakepeer *fp;
	struct fp_packed packed[2];
	bool is_packed;
	uint64_t arrived;
};
static struct honest near, far;
static uint16_t hostile;
static uint32_t n_sent;		/* by near's peer */
static uint64_t n_up, n_here;	/* of those: came up; arrived at far */

static uint64_t
buffer(const struct honest *h, unsigned int ring, unsigned int at)
{
	return h->fp->base + 0x30000 + (ring * NUM + at) * SLOT;
}

/* Driver: where the next buffer of @ring is, and make @len bytes of it
 * available. All are used in their order. */
static uint8_t *
next(const struct honest *h, unsigned int ring)
{
	unsigned int at = h->is_packed ? h->packed[ring].avail :
		h->fp->rings[ring].avail_idx % NUM;

	return fp_addr(buffer(h, ring, at));
}

static void
post(struct honest *h, unsigned int ring, uint32_t len)
{
	struct fp_ring *r = &h->fp->rings[ring];
	unsigned int at = r->avail_idx % NUM;
	const struct fp_packed_buf buf = {
		buffer(h, ring, h->packed[ring].avail), len,
		ring == FP_TO_PEER ? W : 0,
	};

	if (h->is_packed) {
		rf_need(fp_packed_post(&h->packed[ring], &buf, 1) >= 0,
			"honest ring %u is full", ring);
		return;
	}
	fp_desc(r->desc, at, buffer(h, ring, at), len, buf.flags, 0);
	fp_avail(r, at);
	fp_publish(r);
}

/* Driver: the next used buffer; NULL if there is none. */
static uint8_t *
used(struct honest *h, unsigned int ring, uint32_t *len)
{
	const struct vring_used_elem *elem;
	uint16_t id;

	if (h->is_packed) {
		if (!fp_packed_used(&h->packed[ring], &id, len))
			return NULL;
		/* See fakepacked.c: ids are the places backwards. */
		rf_need(id < NUM, "honest buffer %u of %u", id, NUM);
		id = NUM - 1 - id;
	} else {
		elem = fp_used(&h->fp->rings[ring]);
		if (elem == NULL)
			return NULL;
		id = elem->id;
		*len = elem->len;
	}
	rf_need(id < NUM, "honest buffer %u of %u", id, NUM);
	return fp_addr(buffer(h, ring, id));
}

/*
 * What arrives.
 */

static bool
has(const struct honest *h, unsigned int bit)
{
	return h->fp->peer.features >> bit & 1;
}

/* A driver believes all of this. */
static void
check_header(const struct honest *h, const uint8_t *data, uint32_t len)
{
	struct virtio_net_hdr_v1 hdr;
	uint8_t gso;

	memcpy(&hdr, data, sizeof(hdr));
	gso = hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	rf_need(len >= 14 && len <= 65535, "frame of %u bytes", len);
	rf_need((hdr.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0,
		"header flags 0x%x", hdr.flags);
	if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		rf_need(has(h, VIRTIO_NET_F_GUEST_CSUM) &&
			hdr.csum_start + hdr.csum_offset + 2u <= len,
			"checksum at %u + %u in %u bytes", hdr.csum_start,
			hdr.csum_offset, len);
	if (hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		rf_need(hdr.gso_size == 0 && hdr.hdr_len == 0,
			"segments of %u bytes in no such packet", hdr.gso_size);
		return;
	}
	rf_need((gso == VIRTIO_NET_HDR_GSO_TCPV4 &&
		 has(h, VIRTIO_NET_F_GUEST_TSO4)) ||
		(gso == VIRTIO_NET_HDR_GSO_TCPV6 &&
		 has(h, VIRTIO_NET_F_GUEST_TSO6)),
		"segmentation 0x%x", hdr.gso_type);
	rf_need(gso == hdr.gso_type || has(h, VIRTIO_NET_F_GUEST_ECN),
		"ECN was not negotiated");
	rf_need(hdr.flags != 0 && hdr.gso_size > 0 &&
		hdr.hdr_len >= hdr.csum_start + 20u && hdr.hdr_len <= len,
		"segments of %u bytes, header of %u, in %u bytes",
		hdr.gso_size, hdr.hdr_len, len);
}

/* Byte @at of frame @seq of near's peer, @len bytes long. */
static uint8_t
pattern(uint32_t at, uint32_t seq, uint32_t len)
{
	static const uint8_t begin[] = {
		2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 9, 8, 0,
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1,
		10, 0, 0, 2, 0, 5, 0, 6,
	};

	if (at == 16 || at == 17)
		return (len - 14) >> (at == 16 ? 8 : 0);
	if (at == 38 || at == 39)
		return (len - 34) >> (at == 38 ? 8 : 0);
	if (at < sizeof(begin))
		return begin[at];
	if (at >= 42 && at < 46)
		return seq >> 8 * (at - 42);
	return fp_pattern(at, seq);
}

static void
check_frame(const uint8_t *data, uint32_t len, uint32_t seq, const char *where)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		rf_need(data[i] == pattern(i, seq, len),
			"frame %u, %s: byte %u of %u is wrong", seq, where, i,
			len);
}

/* Take what has arrived at @h and offer the buffers again. Returns how many
 * packets that was; the last one's frame is in its first buffer. */
static unsigned int
take(struct honest *h, bool (*each)(const uint8_t *frame, uint32_t len))
{
	unsigned int n = 0, more, i;
	uint8_t *data, *next_data;
	uint32_t len, total;

	while ((data = used(h, FP_TO_PEER, &len)) != NULL) {
		more = data[10] | data[11] << 8;
		rf_need(more >= 1 && (more == 1 || has(h,
			VIRTIO_NET_F_MRG_RXBUF)), "%u buffers", more);
		rf_need(len > HDR && len <= SLOT, "%u bytes used", len);
		for (i = 1, total = len; i < more; i++, total += len) {
			next_data = used(h, FP_TO_PEER, &len);
			rf_need(next_data != NULL && len > 0 && len <= SLOT,
				"buffer %u of %u", i, more);
		}
		check_header(h, data, total - HDR);
		if (each != NULL)
			rf_need(each(data + HDR, total - HDR),
				"a frame for somebody else");
		for (i = 0; i < more; i++)
			post(h, FP_TO_PEER, SLOT);
		n++;
	}
	h->arrived += n;
	return n;
}

/*
 * What near's peer sends.
 */

static uint32_t first, n_posted;	/* of this burst */
static uint32_t lens[AT_ONCE];
static bool came_up[AT_ONCE];

static bool
is_own(const uint8_t *frame, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < n_posted; i++) {
		if (came_up[i])
			continue;
		came_up[i] = true;
		if (lens[i] != len)
			return false;
		check_frame(frame, len, first + i, "from ring to ring");
		return true;
	}
	return false;
}

static void
check_up(struct rte_mbuf **pkts, unsigned int n)
{
	const uint8_t *frame;
	uint32_t seq, at;
	unsigned int i;

	for (i = 0; i < n; i++) {
		frame = rte_pktmbuf_mtod(pkts[i], uint8_t *);
		memcpy(&seq, frame + 42, sizeof(seq));
		at = seq - first;
		rf_need(at < n_posted && !came_up[at] &&
			lens[at] == pkts[i]->pkt_len, "frame %u came up", seq);
		came_up[at] = true;
		check_frame(frame, lens[at], seq, "up");
	}
}

static void
send_some(uint64_t *rand)
{
	struct rte_mbuf *pkts[32];
	unsigned int i, j, n, here;
	uint32_t len;

	first = n_sent;
	n_posted = 1 + rf_rand(rand) % AT_ONCE;
	for (i = 0; i < n_posted; i++) {
		uint8_t *data = next(&near, FP_FROM_PEER);

		lens[i] = 60 + rf_rand(rand) % (i == 0 ? LONGEST - 60 : 100);
		came_up[i] = false;
		memset(data, 0, HDR);
		for (j = 0; j < lens[i]; j++)
			data[HDR + j] = pattern(j, first + i, lens[i]);
		post(&near, FP_FROM_PEER, HDR + lens[i]);
	}
	n_sent += n_posted;
	rf_doing("rx burst of the honest port with rules");
	n = fp_rx(near.fp, pkts, 32);
	rf_doing(NULL);
	check_up(pkts, n);
	rte_pktmbuf_free_bulk(pkts, n);
	here = take(&far, is_own);
	rf_need(n + here == n_posted, "%u frames sent, %u up, %u arrived",
		n_posted, n, here);
	n_up += n;
	n_here += here;
	for (i = 0; i < n_posted; i++)
		rf_need(used(&near, FP_FROM_PEER, &len) != NULL,
			"honest buffer was not handed back");
}

/*
 * Rules.
 */

#define ACT(name, conf) { RTE_FLOW_ACTION_TYPE_ ## name, conf }

/* @tcp: only TCP over IPv4. */
static void
create(uint16_t from, uint16_t type, bool tcp,
       const struct rte_flow_action *actions)
{
	const struct rte_flow_item_eth spec = { .type = rte_cpu_to_be_16(type) };
	const struct rte_flow_item_eth mask = { .type = 0xffff };
	const struct rte_flow_item_ipv4 ip = { .hdr.next_proto_id = 6 };
	const struct rte_flow_item_ipv4 ip_mask = {
		.hdr.next_proto_id = 0xff,
	};
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &spec,
		  .mask = &mask },
		{ .type = tcp ? RTE_FLOW_ITEM_TYPE_IPV4 :
			RTE_FLOW_ITEM_TYPE_END, .spec = &ip,
		  .mask = &ip_mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_attr transfer = { .transfer = 1 };
	struct rte_flow_error error = { .message = "" };

	rf_need(rte_flow_create(from, &transfer, items, actions, &error) !=
		NULL, "no rule: %s", error.message != NULL ?
		error.message : "?");
}

/* One of several kinds of rule for what the hostile peer sends as @type. One
 * function: lists of actions. */
static void
create_hostile(uint16_t type, uint64_t *rand)
{
	const struct rte_flow_action_port_id to_near = { .id = near.fp->port },
		to_self = { .id = hostile };
	const struct rte_flow_action_set_mac mac = { { 2, 0, 0, 0, 0, 9 } };
	const struct rte_flow_action_set_ttl ttl = { 7 };
	const struct rte_flow_action_set_ipv4 ip = { RTE_BE32(0x0a000009) };
	const struct rte_flow_action_set_tp tp = { RTE_BE16(99) };
	const struct rte_flow_action_of_push_vlan push = { RTE_BE16(0x8100) };
	const struct rte_flow_action_of_set_vlan_vid vid = { RTE_BE16(7) };
	const struct rte_flow_action one[] = {
		ACT(COUNT, NULL), ACT(PORT_ID, &to_near), ACT(END, NULL),
	}, back[] = {
		ACT(PORT_ID, &to_self), ACT(END, NULL),
	}, edits[] = {
		ACT(COUNT, NULL), ACT(SET_MAC_DST, &mac), ACT(SET_TTL, &ttl),
		ACT(PORT_ID, &to_near), ACT(OF_PUSH_VLAN, &push),
		ACT(OF_SET_VLAN_VID, &vid), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(END, NULL),
	}, nat[] = {
		ACT(SET_IPV4_SRC, &ip), ACT(SET_TP_DST, &tp),
		ACT(PORT_ID, &to_near), ACT(SET_IPV4_DST, &ip),
		ACT(PORT_ID, &to_near), ACT(END, NULL),
	}, many[] = {
		ACT(PORT_ID, &to_near), ACT(OF_PUSH_VLAN, &push),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(OF_PUSH_VLAN, &push), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(SET_MAC_SRC, &mac), ACT(PORT_ID, &to_near),
		ACT(OF_POP_VLAN, NULL), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(PORT_ID, &to_near), ACT(PORT_ID, &to_self),
		ACT(END, NULL),
	}, drop[] = {
		ACT(DROP, NULL), ACT(END, NULL),
	};
	const struct rte_flow_action *const kinds[] = {
		one, one, back, edits, many, drop, nat,
	};
	const unsigned int n = sizeof(kinds) / sizeof(kinds[0]);
	unsigned int kind;

	kind = rf_rand(rand) % (type == 0x0800 ? n : n - 1);
	create(hostile, type, kinds[kind] == nat, kinds[kind]);
}

static void
flush(void)
{
	struct rte_flow_error error;

	rf_need(rte_flow_flush(hostile, &error) == 0 &&
		rte_flow_flush(near.fp->port, &error) == 0, "no flush");
}

static void
change_rules(uint64_t *rand)
{
	const struct rte_flow_action_port_id to_far = { .id = far.fp->port },
		to_hostile = { .id = hostile };
	const struct rte_flow_action both[] = {
		ACT(COUNT, NULL), ACT(PORT_ID, &to_hostile),
		ACT(PORT_ID, &to_far), ACT(END, NULL),
	};

	flush();
	if (!rf_once_in(rand, 8))
		create_hostile(0x0800, rand);
	if (!rf_once_in(rand, 4))
		create_hostile(0x86dd, rand);
	if (!rf_once_in(rand, 8))
		create(near.fp->port, 0x0800, false, both);
}

/*
 * Ports.
 */

static void
begin(struct honest *h)
{
	unsigned int i;

	h->is_packed = h->fp->peer.features & FP_PACKED;
	for (i = 0; i < 2 && h->is_packed; i++)
		fp_packed_of(&h->packed[i], h->fp, i);
	for (i = 0; i < NUM; i++)
		post(h, FP_TO_PEER, SLOT);
}

static void
restart(struct honest *h, uint64_t *rand)
{
	static const uint64_t guest_offloads =
		1ULL << VIRTIO_NET_F_GUEST_CSUM |
		1ULL << VIRTIO_NET_F_GUEST_TSO4 |
		1ULL << VIRTIO_NET_F_GUEST_TSO6 |
		1ULL << VIRTIO_NET_F_GUEST_ECN;
	uint64_t bits = rf_rand(rand);
	uint64_t features = FP_MODERN | (bits & 1 ? FP_MRG : 0) |
		(bits & 2 ? FP_PACKED : 0) | (bits & 4 ? FP_EVENT_IDX : 0);

	if (bits & 8)
		features |= guest_offloads;
	if (bits & 16)
		features |= 1ULL << VIRTIO_NET_F_GUEST_CSUM;
	h->fp->peer.features = features & vhostpci_supported_features();
	fp_restart(h->fp, FP_TO_PEER);
	fp_restart(h->fp, FP_FROM_PEER);
	begin(h);
	rf_need(fp_link(h->fp), "honest port's link is down");
}

void
rf_rules_open(uint16_t port)
{
	hostile = port;
	near.fp = fp_new_number(1, FP_MODERN, NUM);
	far.fp = fp_new_number(2, FP_MODERN, NUM);
	begin(&near);
	begin(&far);
}

void
rf_rules_round(uint64_t *rand)
{
	rf_doing("rules");
	take(&near, NULL);
	if (rf_once_in(rand, 4))
		restart(&near, rand);
	if (rf_once_in(rand, 4))
		restart(&far, rand);
	change_rules(rand);
	rf_doing(NULL);
}

/* Destinations that come and go. */
static void
toggle(uint64_t *rand)
{
	uint16_t port = rf_once_in(rand, 2) ? near.fp->port : hostile;

	switch (rf_rand(rand) % 4) {
	case 0:
		rf_need(rte_pmd_vhostpci_steering_set(port, false) == 0,
			"steering off");
		break;
	case 1:
		change_rules(rand);
		break;
	default:
		rf_need(rte_pmd_vhostpci_steering_set(near.fp->port, true) ==
			0 && rte_pmd_vhostpci_steering_set(hostile, true) == 0,
			"steering on");
		break;
	}
}

void
rf_rules_step(uint64_t *rand)
{
	take(&near, NULL);
	rf_need(far.arrived == n_here, "%" PRIu64 " frames arrived, not %"
		PRIu64, far.arrived, n_here);
	if (rf_once_in(rand, 4))
		send_some(rand);
	if (rf_once_in(rand, 64))
		toggle(rand);
}

void
rf_rules_show(void)
{
	uint64_t value = 0;

	rf_need(fp_port_xstat(hostile, "rx_ring0_steered", &value),
		"no statistic");
	printf("rules: %" PRIu64 " hostile packets steered, %" PRIu64
	       " arrived; %u honest ones, %" PRIu64 " arrived, %" PRIu64
	       " up\n", value, near.arrived, n_sent, n_here, n_up);
}

void
rf_rules_close(void)
{
	flush();
	rf_need(fp_xstat(near.fp, "tx_ring0_violations") == 0 &&
		fp_xstat(near.fp, "rx_ring0_violations") == 0 &&
		fp_xstat(far.fp, "tx_ring0_violations") == 0 &&
		fp_xstat(near.fp, "rx_ring0_packets") == n_sent &&
		fp_xstat(near.fp, "rx_ring0_steered") == n_here &&
		fp_xstat(far.fp, "tx_ring0_packets") == n_here &&
		fp_link(near.fp) && fp_link(far.fp),
		"statistics of honest ports are wrong: %s", near.fp->rule);
	fp_free(near.fp);
	fp_free(far.fp);
}
