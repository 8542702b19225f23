/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The fuzzer's input: the messages of a front-end, in the format of recorded
 * sessions (.vus), so that a recording is an input.
 *
 * A sequence of records, little endian:
 *	u32 length	bytes that follow the two words
 *	u32 word	bits 0-7: number of fds that come with the bytes;
 *			bits 8-11, 12-15, ...: what kind the first, second, ...
 *			is (enum fd_kind; 0, as in recordings: the kind that
 *			the request asks for)
 *	bytes		of the stream: a message, but it may be anything
 * A record of length 0 is not a message, but an event: bits 0-7 of the word are
 * an enum event, bits 8-15 its argument.
 */

#ifndef FUZZ_RECORDS_H
#define FUZZ_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER	8u

enum fd_kind {
	FD_SUITABLE,
	FD_MEMORY_A,		/* sealed memfds, large */
	FD_MEMORY_B,
	FD_MEMORY_UNSEALED,
	FD_MEMORY_SHORT,
	FD_MEMORY_READONLY,
	FD_MEMORY_FROZEN,	/* sealed against writing */
	FD_EVENT,		/* one of its own */
	FD_EVENT_SHARED,	/* always the same */
	FD_PIPE,
	FD_NULL,		/* /dev/null */
	FD_SOCKET,
	FD_PROCFS,		/* a regular file, but on no memory */
	N_FD_KINDS
};

enum event {
	EV_NONE,
	EV_RESUME,		/* vu_core_resume() */
	EV_RECONNECT,
	EV_WAIT,		/* from now on: arg & 1: updates wait */
	EV_UPDATE_FAILS,	/* the next one */
	EV_MAP_FAILS,		/* the arg-th from now, counted from 1 */
	EV_SEND_FAILS,		/* the next one */
	EV_BREAK_RING,		/* arg: its number */
	EV_CHUNK,		/* from now on: at most arg bytes at a time */
	EV_CONFIGURE,		/* arg: choice of the back-end's offer */
	EV_UNWANTED,		/* input at any time, want or not */
	N_EVENTS
};

struct record {
	uint32_t length, word;
	const uint8_t *bytes;
};

/* Parse the record at @data, of which @size bytes exist; a longer record is
 * cut. Returns its whole size, or 0 if there is no record. */
size_t record_parse(const uint8_t *data, size_t size, struct record *r);

/* The largest memory file, bytes. */
#define MEMORY_SIZE	(UINT64_C(8) << 30)

/* Call this once before record_fd(). */
void make_fd_templates(void);
/* Make fd @i of @r; the caller gives it to the core. */
int record_fd(const struct record *r, unsigned int i);

#endif
