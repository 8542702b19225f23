/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sends recorded sessions of stock front-ends, from connect to stop, to the
 * core: the core must refuse no message, and every ring that they kick must
 * run.
 *
 * The sessions (tests/fuzz/corpus-raw/, format in its README.md) were recorded
 * with another back-end. A front-end acknowledges only offered features, and
 * sends no messages that depend on others; so the replay leaves those out.
 */

#define _GNU_SOURCE

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vu_peer.h"

#define OFFERED		((BIT(36) - 1) & ~BIT(VU_F_LOG_ALL) & \
			 ~BIT(VU_F_IOMMU_PLATFORM))
/* The largest machine that was recorded has 3 GiB. */
#define FILE_SIZE	(4096 * MIB)

struct session {
	uint8_t *data;
	size_t size, pos;
};

/* The next message, or false at the end. */
static bool
next_message(struct session *s, uint32_t *hdr, uint8_t *payload,
	     uint32_t *n_fds)
{
	uint32_t length;

	if (s->pos + 8 > s->size)
		return false;
	memcpy(&length, s->data + s->pos, 4);
	memcpy(n_fds, s->data + s->pos + 4, 4);
	s->pos += 8;
	assert_in_range(length, VU_HDR_SIZE, VU_HDR_SIZE + VU_MAX_PAYLOAD);
	assert_in_range(length, VU_HDR_SIZE, s->size - s->pos);
	memcpy(hdr, s->data + s->pos, VU_HDR_SIZE);
	memcpy(payload, s->data + s->pos + VU_HDR_SIZE, length - VU_HDR_SIZE);
	assert_int_equal(hdr[2], length - VU_HDR_SIZE);
	s->pos += length;
	return true;
}

static bool
sent_to_us(const struct peer *p, uint32_t request)
{
	static const int8_t needs[VU_N_REQUESTS] = {
		[VU_GET_QUEUE_NUM] = 1 + VU_PROTOCOL_F_MQ,
		[VU_SEND_RARP] = 1 + VU_PROTOCOL_F_RARP,
		[VU_NET_SET_MTU] = 1 + VU_PROTOCOL_F_NET_MTU,
		[VU_SET_BACKEND_REQ_FD] = 1 + VU_PROTOCOL_F_BACKEND_REQ,
		[VU_SET_STATUS] = 1 + VU_PROTOCOL_F_STATUS,
		[VU_GET_STATUS] = 1 + VU_PROTOCOL_F_STATUS,
	};

	return needs[request] == 0 ||
	       vu_bit(p->core.protocol_features, needs[request] - 1);
}

static void
mask(uint8_t *payload, uint64_t offered)
{
	uint64_t bits;

	memcpy(&bits, payload, sizeof(bits));
	bits &= offered;
	memcpy(payload, &bits, sizeof(bits));
}

/* Replay @s; the core must accept each message. Returns the largest number of
 * rings that ran at one time. */
static unsigned int
replay(struct peer *p, struct session *s, int memory)
{
	uint8_t payload[VU_MAX_PAYLOAD];
	uint32_t hdr[3], n_fds;
	unsigned int i, running, most = 0;

	while (next_message(s, hdr, payload, &n_fds)) {
		int fds[VU_MAX_FDS];

		if (!sent_to_us(p, hdr[0]))
			continue;
		if (hdr[0] == VU_SET_FEATURES)
			mask(payload, OFFERED);
		if (hdr[0] == VU_SET_PROTOCOL_FEATURES)
			mask(payload, p->core.config.protocol_features);
		for (i = 0; i < n_fds; i++)
			fds[i] = hdr[0] == VU_SET_MEM_TABLE ? dup(memory) :
				event_fd();
		accepted(p, peer_send(p, hdr[0], hdr[1] & ~VU_VERSION_MASK,
				      payload, hdr[2], fds, n_fds));
		for (i = 0, running = 0; i < p->core.n_rings; i++)
			running += p->core.rings[i].run;
		if (running > most)
			most = running;
	}
	/* At the end of the session no ring runs. */
	for (i = 0; i < p->core.n_rings; i++)
		assert_false(p->core.rings[i].run);
	return most;
}

static void
replay_file(struct peer *p, const char *path, uint64_t protocol)
{
	struct vu_config config = peer_config();
	struct session s = { .size = 0 };
	int memory = mem_fd(FILE_SIZE);
	unsigned int rings;
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	s.data = malloc(MIB);
	assert_non_null(s.data);
	s.size = fread(s.data, 1, MIB, f);
	fclose(f);

	config.features = OFFERED;
	config.protocol_features = protocol;
	peer_configure(p, &config);
	rings = replay(p, &s, memory);
	print_message("%s: %u rings ran\n", strrchr(path, '/') + 1, rings);
	/* Both recordings of two pairs drive at least one. */
	assert_in_range(rings, 2, 4);
	if (strstr(path, "mq2") != NULL)
		assert_int_equal(rings, 4);
	free(s.data);
	close(memory);
}

static void
replay_all(struct peer *p, uint64_t protocol)
{
	const char *top = getenv("top_srcdir");
	char pattern[4096];
	glob_t g;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/tests/fuzz/corpus-raw/*.vus",
		 top != NULL ? top : ".");
	if (glob(pattern, 0, NULL, &g) != 0)
		fail_msg("no recorded session at %s", pattern);
	for (i = 0; i < g.gl_pathc; i++)
		replay_file(p, g.gl_pathv[i], protocol);
	globfree(&g);
}

static void
recorded_sessions_run_with_all_that_is_offered(void **state)
{
	replay_all(*state, ALL_PROTOCOL);
}

static void
recorded_sessions_run_with_what_the_device_offers(void **state)
{
	replay_all(*state, BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_RARP) |
		   BIT(VU_PROTOCOL_F_REPLY_ACK) | BIT(VU_PROTOCOL_F_NET_MTU));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		peer_test(recorded_sessions_run_with_all_that_is_offered),
		peer_test(recorded_sessions_run_with_what_the_device_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
