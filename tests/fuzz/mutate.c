/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Mutations of whole records: blind mutations would shift the whole rest of a
 * session, and hardly ever make two messages out of one.
 */

#include <string.h>

#include "records.h"
#include "vhost_user_int.h"

#define MAX_RECORDS	512
#define MAX_INSERT	(RECORD_HEADER + VU_HDR_SIZE + 64)

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

static unsigned int
next(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % below;
}

/* Offsets of the records in @data, the end after the last. */
static unsigned int
index_records(const uint8_t *data, size_t size, size_t *at)
{
	unsigned int n = 0;
	size_t pos = 0, len;
	struct record r;

	while (n < MAX_RECORDS &&
	       (len = record_parse(data + pos, size - pos, &r)) > 0) {
		at[n++] = pos;
		pos += len;
	}
	at[n] = pos;
	return n;
}

/* Put @n bytes at @pos. */
static size_t
insert(uint8_t *data, size_t size, size_t max_size, size_t pos,
       const uint8_t *bytes, size_t n)
{
	if (size + n > max_size)
		return size;
	memmove(data + pos + n, data + pos, size - pos);
	memcpy(data + pos, bytes, n);
	return size + n;
}

static size_t
insert_event(uint8_t *data, size_t size, size_t max_size, size_t pos,
	     unsigned int *seed)
{
	uint32_t record[2] = { 0 };

	record[1] = next(seed, N_EVENTS) | next(seed, 64) << 8;
	return insert(data, size, max_size, pos, (const uint8_t *)record,
		      sizeof(record));
}

/* Make a message with the usual size of its kind, and small numbers. */
static size_t
insert_message(uint8_t *data, size_t size, size_t max_size, size_t pos,
	       unsigned int *seed)
{
	static const uint8_t sizes[] = { 0, 8, 40, 40, 8 };
	uint32_t words[MAX_INSERT / 4] = { 0 };
	unsigned int i, payload = sizes[next(seed, sizeof(sizes))];

	words[0] = VU_HDR_SIZE + payload;
	words[1] = next(seed, 2);
	words[2] = next(seed, VU_N_REQUESTS);
	words[3] = VU_VERSION | (next(seed, 2) ? VU_FLAG_NEED_REPLY : 0);
	words[4] = payload;
	for (i = 0; i < payload / 4; i++)
		words[5 + i] = next(seed, 4);
	return insert(data, size, max_size, pos, (const uint8_t *)words,
		      RECORD_HEADER + words[0]);
}

/* Another request whose payload has the same size. */
static uint32_t
similar_request(uint32_t payload, unsigned int *seed)
{
	static const uint8_t none[] = {
		VU_GET_FEATURES, VU_SET_OWNER, VU_RESET_OWNER,
		VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,
		VU_SET_BACKEND_REQ_FD, VU_RESET_DEVICE, VU_GET_MAX_MEM_SLOTS,
		VU_GET_STATUS,
	};
	static const uint8_t small[] = {
		VU_SET_FEATURES, VU_SET_VRING_NUM, VU_SET_VRING_BASE,
		VU_GET_VRING_BASE, VU_SET_VRING_KICK, VU_SET_VRING_CALL,
		VU_SET_VRING_ERR, VU_SET_PROTOCOL_FEATURES,
		VU_SET_VRING_ENABLE, VU_SEND_RARP, VU_NET_SET_MTU,
		VU_SET_STATUS,
	};
	static const uint8_t region[] = {
		VU_ADD_MEM_REG, VU_REM_MEM_REG, VU_REM_MEM_REG,
		VU_SET_MEM_TABLE, VU_SET_VRING_ADDR,
	};

	switch (payload) {
	case 0: return none[next(seed, sizeof(none))];
	case 8: return small[next(seed, sizeof(small))];
	case 40: return region[next(seed, sizeof(region))];
	case VU_INFLIGHT_SIZE:
	case sizeof(struct vu_wire_inflight):
		return VU_GET_INFLIGHT_FD + next(seed, 2);
	default: return next(seed, VU_N_REQUESTS);
	}
}

/* Payload and header of one message, lengths kept right. */
static size_t
mutate_message(uint8_t *data, size_t size, size_t max_size, size_t pos,
	       unsigned int *seed)
{
	uint8_t buf[VU_HDR_SIZE + VU_MAX_PAYLOAD + 64];
	uint32_t length, payload;
	struct record r;
	size_t whole = record_parse(data + pos, size - pos, &r), n;

	if (r.length < VU_HDR_SIZE || r.length > sizeof(buf))
		return LLVMFuzzerMutate(data, size, max_size);
	n = r.length;
	memcpy(buf, r.bytes, n);
	if (next(seed, 4) == 0) {
		uint32_t request = similar_request(n - VU_HDR_SIZE, seed);

		memcpy(buf, &request, sizeof(request));
	} else if (next(seed, 8) == 0 || n == VU_HDR_SIZE)
		LLVMFuzzerMutate(buf, VU_HDR_SIZE, VU_HDR_SIZE);
	else if (next(seed, 4) == 0)
		n = VU_HDR_SIZE + LLVMFuzzerMutate(buf + VU_HDR_SIZE,
						   n - VU_HDR_SIZE,
						   sizeof(buf) - VU_HDR_SIZE);
	else
		LLVMFuzzerMutate(buf + VU_HDR_SIZE, n - VU_HDR_SIZE,
				 n - VU_HDR_SIZE);
	payload = n - VU_HDR_SIZE;
	if (next(seed, 16) != 0)
		memcpy(buf + 8, &payload, sizeof(payload));
	if (size - whole + RECORD_HEADER + n > max_size)
		return size;
	memmove(data + pos + RECORD_HEADER + n, data + pos + whole,
		size - pos - whole);
	length = n;
	memcpy(data + pos, &length, sizeof(length));
	memcpy(data + pos + RECORD_HEADER, buf, n);
	return size - whole + RECORD_HEADER + n;
}

/* A random 64-bit field of the payload at @record. Most fields that matter are
 * addresses or sizes of 64 bits. */
static uint8_t *
random_field(uint8_t *record, size_t whole, unsigned int *seed)
{
	size_t start = RECORD_HEADER + VU_HDR_SIZE;

	if (whole < start + 8)
		return NULL;
	return record + start + 8 * next(seed, (whole - start) / 8);
}

/* Copy a value of one message to another, perhaps with a small change: that
 * makes regions that overlap, and rings at the very end of a region. */
static void
copy_field(uint8_t *from, size_t from_size, uint8_t *to, size_t to_size,
	   unsigned int *seed)
{
	static const int32_t near[] = {
		0, 0, 0, 2, -2, 4, -4, 16, -16, 4096, -4096,
	};
	uint8_t *source = random_field(from, from_size, seed);
	uint8_t *target = random_field(to, to_size, seed);
	uint64_t value, old;

	if (source == NULL || target == NULL)
		return;
	memcpy(&value, source, sizeof(value));
	memcpy(&old, target, sizeof(old));
	if (next(seed, 2))	/* the end of something */
		value += old;
	value += next(seed, 2) ? near[next(seed, sizeof(near) / 4)] :
		-(uint64_t)next(seed, 8192) * 2;
	memcpy(target, &value, sizeof(value));
}

static void
mutate_fds(uint8_t *record, unsigned int *seed)
{
	uint32_t word;

	memcpy(&word, record + 4, sizeof(word));
	if (next(seed, 2))
		word = (word & ~0xffu) | next(seed, VU_MAX_FDS + 2);
	else
		word ^= (1 + next(seed, 15)) << (8 + 4 * next(seed, 6));
	memcpy(record + 4, &word, sizeof(word));
}

/* One function: a switch of mutations. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			unsigned int seed)
{
	uint8_t copy[RECORD_HEADER + VU_HDR_SIZE + VU_MAX_PAYLOAD];
	size_t at[MAX_RECORDS + 1], len;
	unsigned int n = index_records(data, size, at);
	unsigned int i, j;

	if (n == 0)
		return insert_message(data, 0, max_size, 0, &seed);
	size = at[n];
	i = next(&seed, n);
	j = next(&seed, n + 1);
	len = at[i + 1] - at[i];
	switch (next(&seed, 16)) {
	case 0:	/* forget one */
		memmove(data + at[i], data + at[i + 1], size - at[i + 1]);
		return size - len;
	case 1:	/* repeat one elsewhere */
	case 2:
		if (len > sizeof(copy))
			return size;
		memcpy(copy, data + at[i], len);
		return insert(data, size, max_size, at[j], copy, len);
	case 3:	/* end early, so that what follows is not lost time */
		return at[i + 1];
	case 4:
	case 5:
		return insert_event(data, size, max_size, at[j], &seed);
	case 6:
	case 7:
		return insert_message(data, size, max_size, at[j], &seed);
	case 8:
	case 9:
		mutate_fds(data + at[i], &seed);
		return size;
	case 10:
		return LLVMFuzzerMutate(data, size, max_size);
	case 11:
	case 12:
		/* Regions and ring addresses have one size. */
		while (j < n && at[j + 1] - at[j] != len)
			j++;
		if (j < n)
			copy_field(data + at[i], len, data + at[j],
				   at[j + 1] - at[j], &seed);
		return size;
	default:
		return mutate_message(data, size, max_size, at[i], &seed);
	}
}
