/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The vhost-user core as a session: negotiation, replies, and messages that
 * concern neither memory nor rings.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vu_peer.h"

/* Negotiation */

static void
offered_features_include_protocol_features(void **state)
{
	struct peer *p = *state;

	accepted(p, send_empty(p, VU_GET_FEATURES));
	assert_int_equal(reply_u64(p), ALL_FEATURES | F_PROTOCOL);
	accepted(p, send_empty(p, VU_GET_PROTOCOL_FEATURES));
	assert_int_equal(reply_u64(p), ALL_PROTOCOL);
	assert_int_equal(p->reply_hdr[0], VU_GET_PROTOCOL_FEATURES);
}

static void
features_that_were_not_offered_are_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_u64(p, VU_SET_FEATURES, BIT(33)), -EINVAL,
		"bits 0x200000000 were not offered");
}

static void
dirty_logging_is_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_u64(p, VU_SET_FEATURES, BIT(VU_F_LOG_ALL)), -EINVAL,
		"not offered");
}

static void
protocol_features_that_were_not_offered_are_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_u64(p, VU_SET_PROTOCOL_FEATURES, BIT(9)), -EINVAL,
		"SET_PROTOCOL_FEATURES: bits 0x200");
}

static void
features_are_told_once(void **state)
{
	struct peer *p = *state;

	accepted(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1));
	assert_int_equal(p->changed, VU_CHANGED_FEATURES);
	p->changed = 0;
	/* QEMU repeats them for each queue pair. */
	accepted(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1));
	assert_int_equal(p->changed, 0);
}

static void
features_of_a_running_ring_do_not_change(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_u64(p, VU_SET_FEATURES,
			     F_VERSION_1 | F_EVENT_IDX | F_PROTOCOL));
	refused(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL),
		-EBUSY, "while ring 0 is started");
}

static void
identity_is_said_once(void **state)
{
	struct vu_config config = peer_config();
	struct vu_wire_identity who = { .uuid = { 1, 2 }, .name = "web" };
	struct peer *p = *state;

	config.protocol_features |= BIT(VU_PROTOCOL_F_IDENTITY);
	peer_configure(p, &config);
	refused(p, peer_send(p, VU_SET_IDENTITY, 0, &who, sizeof(who), NULL, 0),
		-EPROTO, "SET_IDENTITY: protocol feature 55 was not");
	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_connect(&p->core), 0);
	accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES,
			     BIT(VU_PROTOCOL_F_IDENTITY)));
	assert_false(p->core.has_identity);
	accepted(p, peer_send(p, VU_SET_IDENTITY, 0, &who, sizeof(who), NULL, 0));
	assert_true(p->core.has_identity);
	assert_string_equal(p->core.name, "web");
	assert_memory_equal(p->core.uuid, who.uuid, 16);
	/* QEMU repeats it for each queue pair. */
	accepted(p, peer_send(p, VU_SET_IDENTITY, 0, &who, sizeof(who), NULL, 0));
	who.uuid[15] = 1;
	refused(p, peer_send(p, VU_SET_IDENTITY, 0, &who, sizeof(who), NULL, 0),
		-EINVAL, "another name or UUID");
	/* The next front-end has to send it again. */
	vu_core_disconnect(&p->core);
	assert_false(p->core.has_identity);
	assert_string_equal(p->core.name, "");
	assert_int_equal(vu_core_connect(&p->core), 0);
	accepted(p, send_u64(p, VU_SET_PROTOCOL_FEATURES,
			     BIT(VU_PROTOCOL_F_IDENTITY)));
	memset(who.name, 'x', sizeof(who.name));
	refused(p, peer_send(p, VU_SET_IDENTITY, 0, &who, sizeof(who), NULL, 0),
		-EINVAL, "a name without a terminating zero");
}

static void
messages_of_protocol_features_need_them(void **state)
{
	static const struct {
		uint32_t request, size;
	} gated[] = {
		{ VU_GET_QUEUE_NUM, 0 }, { VU_SEND_RARP, 8 },
		{ VU_NET_SET_MTU, 8 }, { VU_SET_BACKEND_REQ_FD, 0 },
		{ VU_RESET_DEVICE, 0 }, { VU_GET_MAX_MEM_SLOTS, 0 },
		{ VU_ADD_MEM_REG, 40 }, { VU_REM_MEM_REG, 40 },
		{ VU_SET_STATUS, 8 }, { VU_GET_STATUS, 0 },
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(gated) / sizeof(gated[0]); i++) {
		uint8_t payload[40] = { 0 };

		refused(p, peer_send(p, gated[i].request, 0, payload,
				     gated[i].size, NULL, 0),
			-EPROTO, "was not negotiated");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
queue_number_counts_pairs(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, send_empty(p, VU_GET_QUEUE_NUM));
	assert_int_equal(reply_u64(p), 2);
	accepted(p, send_empty(p, VU_GET_MAX_MEM_SLOTS));
	assert_int_equal(reply_u64(p), VU_MAX_REGIONS);
}

/* Replies */

static void
success_is_acknowledged_when_asked_for(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	assert_int_equal(p->n_replies, 0);
	accepted(p, peer_send(p, VU_SET_OWNER, NEED_REPLY, NULL, 0, NULL, 0));
	assert_int_equal(p->n_replies, 1);
	assert_int_equal(p->reply_hdr[0], VU_SET_OWNER);
	assert_int_equal(reply_u64(p), 0);
	accepted(p, send_empty(p, VU_SET_OWNER));
	assert_int_equal(p->n_replies, 1);
}

static void
nothing_is_acknowledged_without_reply_ack(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, BIT(VU_PROTOCOL_F_MQ));
	accepted(p, peer_send(p, VU_SET_OWNER, NEED_REPLY, NULL, 0, NULL, 0));
	assert_int_equal(p->n_replies, 0);
}

static void
messages_with_a_reply_are_not_acknowledged_again(void **state)
{
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, peer_send(p, VU_GET_FEATURES, NEED_REPLY, NULL, 0, NULL,
			      0));
	assert_int_equal(p->n_replies, 1);
}

static void
reply_that_cannot_be_sent_ends_the_connection(void **state)
{
	struct peer *p = *state;

	p->send_rc = -EPIPE;
	refused(p, send_empty(p, VU_GET_FEATURES), -EPIPE,
		"GET_FEATURES: the reply cannot be sent");
}

static void
failing_callback_may_say_why(void **state)
{
	struct peer *p = *state;

	p->send_rc = -EPIPE;
	p->error_text = "nobody there";
	refused(p, send_empty(p, VU_GET_FEATURES), -EPIPE,
		"GET_FEATURES: nobody there");
}

static void
failing_update_ends_the_connection(void **state)
{
	struct peer *p = *state;

	p->update_rc = -ENOSPC;
	refused(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1), -ENOSPC,
		"SET_FEATURES: the change cannot be adopted");
	assert_int_equal(p->n_replies, 0);
}

/* MTU, RARP, status, the back-end's channel */

static void
mtu_is_told(void **state)
{
	struct peer *p = *state;
	uint64_t mtu = 9000;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, peer_send(p, VU_NET_SET_MTU, NEED_REPLY, &mtu, 8, NULL,
			      0));
	assert_int_equal(reply_u64(p), 0);
	assert_int_equal(p->core.mtu, 9000);
	assert_int_equal(p->changed, VU_CHANGED_MTU);
}

static void
impossible_mtu_is_answered_with_no(void **state)
{
	static const uint64_t wrong[] = { 0, 67, 65536, UINT64_MAX };
	struct peer *p = *state;
	unsigned int i;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		accepted(p, peer_send(p, VU_NET_SET_MTU, NEED_REPLY, &wrong[i],
				      8, NULL, 0));
		assert_int_equal(reply_u64(p), 1);
		assert_int_equal(p->core.mtu, 0);
	}
}

static void
rarp_is_counted(void **state)
{
	static const uint8_t mac[8] = { 2, 3, 4, 5, 6, 7 };
	struct peer *p = *state;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	accepted(p, peer_send(p, VU_SEND_RARP, 0, mac, sizeof(mac), NULL, 0));
	accepted(p, peer_send(p, VU_SEND_RARP, 0, mac, sizeof(mac), NULL, 0));
	assert_int_equal(p->core.rarp_count, 2);
	assert_memory_equal(p->core.rarp_mac, mac, 6);
	assert_int_equal(p->changed, VU_CHANGED_RARP);
}

static void
status_is_kept_and_zero_stops_the_rings(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_u64(p, VU_SET_STATUS, 15));
	accepted(p, send_empty(p, VU_GET_STATUS));
	assert_int_equal(reply_u64(p), 15);
	assert_true(p->core.rings[0].run);
	accepted(p, send_u64(p, VU_SET_STATUS, 0));
	assert_false(p->core.rings[0].run);
	refused(p, send_u64(p, VU_SET_STATUS, 256), -EINVAL, "beyond a byte");
}

static void
backend_channel_is_kept_and_replaced(void **state)
{
	struct peer *p = *state;
	int fd;

	negotiate(p, F_PROTOCOL, ALL_PROTOCOL);
	for (int i = 0; i < 2; i++) {
		fd = event_fd();
		accepted(p, peer_send(p, VU_SET_BACKEND_REQ_FD, NEED_REPLY,
				      NULL, 0, &fd, 1));
		assert_int_equal(count_fds(), p->fds_before + 1);
	}
	refused(p, send_empty(p, VU_SET_BACKEND_REQ_FD), -EINVAL, "0 fds");
}

/* Resets */

static void
reset_owner_stops_rings_and_keeps_memory(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 0);
	accepted(p, send_empty(p, VU_RESET_OWNER));
	assert_false(p->core.rings[0].run);
	assert_int_equal(p->core.rings[0].kick_fd, -1);
	assert_int_equal(p->core.n_regions, 1);
	assert_int_equal(p->changed, VU_CHANGED_RINGS | VU_CHANGED_FDS);
	/* It is disabled, too. */
	set_up_ring(p, 0);
	accepted(p, send_vring_fd(p, VU_SET_VRING_KICK, 0, event_fd()));
	assert_false(p->core.rings[0].run);
	accepted(p, send_state(p, VU_SET_VRING_ENABLE, 0, 1));
	assert_true(p->core.rings[0].run);
}

static void
reset_device_forgets_rings_and_features(void **state)
{
	struct peer *p = *state;

	prepare(p);
	run_ring(p, 1);
	accepted(p, send_vring_fd(p, VU_SET_VRING_CALL, 1, event_fd()));
	accepted(p, send_empty(p, VU_RESET_DEVICE));
	assert_int_equal(p->changed, VU_CHANGED_RINGS | VU_CHANGED_FDS |
			 VU_CHANGED_FEATURES);
	assert_false(p->core.rings[1].run);
	assert_int_equal(p->core.rings[1].call_fd, -1);
	assert_int_equal(p->core.features, 0);
	assert_int_equal(p->core.n_regions, 1);
	accepted(p, send_u64(p, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL));
	run_ring(p, 1);
	assert_int_equal(p->core.rings[1].epoch, 2);
}

/* Configuration */

static void
configurations_out_of_range_are_refused(void **state)
{
	struct peer *p = *state;
	const struct vu_ops *ops = p->core.ops;
	struct vu_config good = peer_config(), bad;
	struct vu_core core;

	assert_int_equal(vu_core_init(&core, &good, ops, NULL), 0);
	for (unsigned int i = 0; i < 7; i++) {
		bad = good;
		switch (i) {
		case 0: bad.max_queue_pairs = 0; break;
		case 1: bad.max_queue_pairs = VU_MAX_RINGS / 2 + 1; break;
		case 2: bad.max_regions = 0; break;
		case 3: bad.max_regions = VU_MAX_REGIONS + 1; break;
		case 4: bad.features |= BIT(VU_F_LOG_ALL); break;
		case 5: bad.features |= BIT(VU_F_IOMMU_PLATFORM); break;
		case 6: bad.protocol_features |=
				BIT(VU_PROTOCOL_F_LOG_SHMFD); break;
		}
		assert_int_equal(vu_core_init(&core, &bad, ops, NULL),
				 -EINVAL);
		assert_string_not_equal(vu_core_error(&core), "no error");
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(offered_features_include_protocol_features),
		peer_test(features_that_were_not_offered_are_refused),
		peer_test(dirty_logging_is_refused),
		peer_test(protocol_features_that_were_not_offered_are_refused),
		peer_test(features_are_told_once),
		peer_test(features_of_a_running_ring_do_not_change),
		peer_test(identity_is_said_once),
		peer_test(messages_of_protocol_features_need_them),
		peer_test(queue_number_counts_pairs),
		peer_test(success_is_acknowledged_when_asked_for),
		peer_test(nothing_is_acknowledged_without_reply_ack),
		peer_test(messages_with_a_reply_are_not_acknowledged_again),
		peer_test(reply_that_cannot_be_sent_ends_the_connection),
		peer_test(failing_callback_may_say_why),
		peer_test(failing_update_ends_the_connection),
		peer_test(mtu_is_told),
		peer_test(impossible_mtu_is_answered_with_no),
		peer_test(rarp_is_counted),
		peer_test(status_is_kept_and_zero_stops_the_rings),
		peer_test(backend_channel_is_kept_and_replaced),
		peer_test(reset_owner_stops_rings_and_keeps_memory),
		peer_test(reset_device_forgets_rings_and_features),
		peer_test(configurations_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
