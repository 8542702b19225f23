/* SPDX-License-Identifier: Apache-2.0 */

/* Messages that the core refuses before it looks at the payload, because of the
 * header, the size, or the number of fds. The core must not keep these fds. */

#include <errno.h>
#include <string.h>

#include "vu_peer.h"

static void
unknown_request_is_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_empty(p, 77), -ENOTSUP, "request 77");
}

static void
request_zero_is_refused(void **state)
{
	struct peer *p = *state;

	refused(p, send_empty(p, 0), -ENOTSUP, "request 0");
}

static void
requests_never_offered_are_refused_by_name(void **state)
{
	static const struct {
		uint32_t request;
		const char *name;
	} never[] = {
		{ VU_SET_LOG_BASE, "SET_LOG_BASE" },
		{ VU_SET_LOG_FD, "SET_LOG_FD" },
		{ VU_IOTLB_MSG, "IOTLB_MSG" },
		{ VU_SET_VRING_ENDIAN, "SET_VRING_ENDIAN" },
		{ VU_GET_CONFIG, "GET_CONFIG" },
		{ VU_SET_CONFIG, "SET_CONFIG" },
		{ VU_CREATE_CRYPTO_SESSION, "CREATE_CRYPTO_SESSION" },
		{ VU_CLOSE_CRYPTO_SESSION, "CLOSE_CRYPTO_SESSION" },
		{ VU_POSTCOPY_ADVISE, "POSTCOPY_ADVISE" },
		{ VU_POSTCOPY_LISTEN, "POSTCOPY_LISTEN" },
		{ VU_POSTCOPY_END, "POSTCOPY_END" },
		{ VU_GPU_SET_SOCKET, "GPU_SET_SOCKET" },
		{ VU_VRING_KICK, "VRING_KICK" },
		{ VU_GET_SHARED_OBJECT, "GET_SHARED_OBJECT" },
		{ VU_SET_DEVICE_STATE_FD, "SET_DEVICE_STATE_FD" },
		{ VU_CHECK_DEVICE_STATE, "CHECK_DEVICE_STATE" },
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		int fd = event_fd();

		refused(p, peer_send(p, never[i].request, 0, NULL, 0, &fd, 1),
			-ENOTSUP, never[i].name);
		assert_string_equal(vu_request_name(never[i].request),
				    never[i].name);
		assert_int_equal(vu_core_disconnect(&p->core), 0);
		assert_int_equal(count_fds(), p->fds_before);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
	assert_string_equal(vu_request_name(77), "unknown");
}

static void
other_protocol_version_is_refused(void **state)
{
	struct peer *p = *state;
	uint32_t hdr[3] = { VU_GET_FEATURES, 2, 0 };

	refused(p, vu_core_input(&p->core, hdr, sizeof(hdr), NULL, 0),
		-EPROTO, "GET_FEATURES: version 2");
}

static void
reply_flag_in_a_request_is_refused(void **state)
{
	struct peer *p = *state;

	refused(p, peer_send(p, VU_GET_FEATURES, VU_FLAG_REPLY, NULL, 0, NULL,
			     0), -EPROTO, "flags 0x5");
}

static void
reserved_flags_are_refused(void **state)
{
	struct peer *p = *state;

	refused(p, peer_send(p, VU_GET_FEATURES, 1u << 31, NULL, 0, NULL, 0),
		-EPROTO, "flags 0x80000001");
}

static void
wrong_payload_size_is_refused_before_it_is_read(void **state)
{
	static const struct {
		uint32_t request, size;
	} wrong[] = {
		{ VU_GET_FEATURES, 8 }, { VU_SET_FEATURES, 0 },
		{ VU_SET_FEATURES, 4 }, { VU_SET_FEATURES, 16 },
		{ VU_SET_FEATURES, UINT32_MAX }, { VU_SET_OWNER, 1 },
		{ VU_SET_MEM_TABLE, 0 }, { VU_SET_MEM_TABLE, 7 },
		{ VU_SET_MEM_TABLE, 8 + 9 * 32 },
		{ VU_SET_VRING_NUM, 4 }, { VU_SET_VRING_ADDR, 39 },
		{ VU_SET_VRING_KICK, 4 }, { VU_GET_VRING_BASE, 0 },
	};
	struct peer *p = *state;
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint32_t hdr[3] = { wrong[i].request, VU_VERSION,
				    wrong[i].size };

		refused(p, vu_core_input(&p->core, hdr, sizeof(hdr), NULL, 0),
			-EMSGSIZE, "payload of");
		vu_core_disconnect(&p->core);
		assert_int_equal(vu_core_connect(&p->core), 0);
	}
}

static void
bytes_may_come_one_by_one(void **state)
{
	struct peer *p = *state;
	uint32_t hdr[3] = { VU_SET_PROTOCOL_FEATURES, VU_VERSION, 8 };
	uint64_t bits = BIT(VU_PROTOCOL_F_MQ);
	uint8_t msg[sizeof(hdr) + sizeof(bits)];
	unsigned int i;

	memcpy(msg, hdr, sizeof(hdr));
	memcpy(msg + sizeof(hdr), &bits, sizeof(bits));
	for (i = 0; i < sizeof(msg); i++) {
		size_t want = i < 12 ? 12 - i : sizeof(msg) - i;

		assert_int_equal(vu_core_want(&p->core), want);
		accepted(p, vu_core_input(&p->core, &msg[i], 1, NULL, 0));
	}
	assert_int_equal(p->core.protocol_features, bits);
	assert_int_equal(vu_core_want(&p->core), 12);
}

static void
input_beyond_what_was_wanted_is_refused(void **state)
{
	struct peer *p = *state;
	uint8_t bytes[13] = { VU_GET_FEATURES };

	refused(p, vu_core_input(&p->core, bytes, sizeof(bytes), NULL, 0),
		-EINVAL, "unexpected input");
}

static void
input_without_connection_closes_its_fds(void **state)
{
	struct peer *p = *state;
	uint8_t bytes[12] = { VU_GET_FEATURES };
	int fd = event_fd();

	vu_core_disconnect(&p->core);
	assert_int_equal(vu_core_want(&p->core), 0);
	assert_int_equal(vu_core_input(&p->core, bytes, sizeof(bytes), &fd, 1),
			 -EINVAL);
	assert_int_equal(count_fds(), p->fds_before);
}

static void
fds_where_none_belong_are_refused_and_closed(void **state)
{
	struct peer *p = *state;
	int fds[2] = { event_fd(), mem_fd(MIB) };

	refused(p, peer_send(p, VU_GET_FEATURES, 0, NULL, 0, fds, 2), -EINVAL,
		"GET_FEATURES: 2 fds");
	assert_int_equal(count_fds(), p->fds_before);
}

static void
more_fds_than_any_message_has_are_refused_and_closed(void **state)
{
	struct peer *p = *state;
	int fds[VU_MAX_FDS + 1];
	unsigned int i;

	for (i = 0; i < VU_MAX_FDS + 1; i++)
		fds[i] = event_fd();
	refused(p, peer_send(p, VU_SET_MEM_TABLE, 0, NULL, 8, fds,
			     VU_MAX_FDS + 1), -E2BIG, "more than 8 fds");
	assert_int_equal(count_fds(), p->fds_before);
}

static void
fds_spread_over_the_bytes_of_a_message_are_counted(void **state)
{
	struct peer *p = *state;
	uint32_t hdr[3] = { VU_SET_MEM_TABLE, VU_VERSION, 8 };
	unsigned int i;
	int fd, rc = 0;

	for (i = 0; i < 9 && rc == 0; i++) {
		fd = event_fd();
		rc = vu_core_input(&p->core, (uint8_t *)hdr + i, 1, &fd, 1);
	}
	assert_int_equal(i, 9);
	refused(p, rc, -E2BIG, "more than 8 fds");
	assert_int_equal(count_fds(), p->fds_before);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(unknown_request_is_refused),
		peer_test(request_zero_is_refused),
		peer_test(requests_never_offered_are_refused_by_name),
		peer_test(other_protocol_version_is_refused),
		peer_test(reply_flag_in_a_request_is_refused),
		peer_test(reserved_flags_are_refused),
		peer_test(wrong_payload_size_is_refused_before_it_is_read),
		peer_test(bytes_may_come_one_by_one),
		peer_test(input_beyond_what_was_wanted_is_refused),
		peer_test(input_without_connection_closes_its_fds),
		peer_test(fds_where_none_belong_are_refused_and_closed),
		peer_test(more_fds_than_any_message_has_are_refused_and_closed),
		peer_test(fds_spread_over_the_bytes_of_a_message_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
