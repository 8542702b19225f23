/* SPDX-License-Identifier: Apache-2.0
 *
 * seqstream recv PORT [GAP]      counts a stream of numbered UDP packets
 * seqstream send DEST PORT RATE  sends a stream (RATE packets a second) until
 *                                SIGTERM or the end of its standard input
 *
 * With GAP, the receiver prints "gap MS" at once when a packet comes GAP or
 * more milliseconds after the last one.
 *
 * A test lets a stream run across an event, and so learns exactly how many
 * packets the event lost, duplicated, reordered or changed.  At last the sender
 * sends a few "end" packets, which tell the receiver the number of packets.
 * Both print one line of name=value.
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x53455153u
#define SIZE 200
#define MAX_PACKETS (1u << 22)
#define END_PACKETS 5
#define IDLE_MS 30000 /* the receiver ends if no packet comes for so long */
/* The same with GAP: a machine may boot meanwhile, on cores that others use. */
#define GAP_IDLE_MS (6 * IDLE_MS)

struct packet {
	uint32_t magic, end, seq;
	uint8_t pad[SIZE - 12];
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void
fill(struct packet *p, uint32_t seq, uint32_t end)
{
	p->magic = MAGIC;
	p->end = end;
	p->seq = seq;
	for (size_t i = 0; i < sizeof(p->pad); i++)
		p->pad[i] = seq + i;
}

static int
send_stream(const char *dest, int port, unsigned rate)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int sock = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t next = now_ns(), step = 1000000000ull / rate;
	uint32_t seq = 0, failed = 0, ends = 0;
	struct packet p;

	if (sock < 0 || !inet_aton(dest, &to.sin_addr) ||
	    connect(sock, (struct sockaddr *)&to, sizeof(to))) {
		perror("seqstream");
		return 2;
	}
	while (!stop && seq < MAX_PACKETS) {
		uint64_t now = now_ns();
		if (now < next) {
			struct pollfd in = { 0, POLLIN, 0 };
			struct timespec t = { 0, next - now };
			if (ppoll(&in, 1, &t, NULL) > 0)
				break; /* end of input */
			continue;
		}
		/* After a stall of the emulator go on at the set rate: a burst
		 * that catches up would test the length of queues. */
		next = now - next > 4 * step ? now + step : next + step;
		fill(&p, seq, 0);
		if (send(sock, &p, sizeof(p), 0) == sizeof(p))
			seq++;
		else
			failed++;
	}
	for (int i = 0; i < END_PACKETS; i++) {
		struct timespec t = { 0, 20000000 };
		fill(&p, seq, 1);
		/* send() fails when the receiver has taken one and is gone. */
		ends += send(sock, &p, sizeof(p), 0) == sizeof(p);
		nanosleep(&t, NULL); /* one burst of loss must not take all */
	}
	printf("sent=%u failed=%u ends=%u\n", seq, failed, ends);
	return 0;
}

static void
tell_gap(uint64_t *last, unsigned gap_ms)
{
	uint64_t now = now_ns(), ms = (now - *last) / 1000000;

	if (gap_ms && *last && ms >= gap_ms) {
		printf("gap %u\n", (unsigned)ms);
		fflush(stdout);
	}
	*last = now;
}

/* One function: one loop, and the counters that the loop uses. */
static int
receive_stream(int port, unsigned gap_ms)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int sock = socket(AF_INET, SOCK_DGRAM, 0), buffer = 16 << 20;
	unsigned char *seen = calloc(1, MAX_PACKETS);
	uint32_t received = 0, duplicated = 0, reordered = 0, corrupted = 0;
	uint32_t highest = 0, total = 0, lost = 0;
	uint64_t last = 0;
	int ended = 0;

	if (sock < 0 || !seen || bind(sock, (struct sockaddr *)&at, sizeof(at))) {
		perror("seqstream");
		return 2;
	}
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	printf("ready\n");
	fflush(stdout);
	while (!stop && !ended) {
		struct packet p, good;
		struct pollfd in = { sock, POLLIN, 0 };
		if (poll(&in, 1, gap_ms ? GAP_IDLE_MS : IDLE_MS) <= 0)
			break;
		if (recv(sock, &p, sizeof(p), 0) != sizeof(p)) {
			corrupted++;
			continue;
		}
		tell_gap(&last, gap_ms);
		fill(&good, p.seq, p.end);
		if (memcmp(&p, &good, sizeof(p)) || p.seq >= MAX_PACKETS) {
			corrupted++;
		} else if (p.end) {
			total = p.seq;
			ended = 1;
		} else if (seen[p.seq]++) {
			duplicated++;
		} else {
			reordered += p.seq < highest;
			highest = p.seq > highest ? p.seq : highest;
			received++;
		}
	}
	if (!ended)
		total = received ? highest + 1 : 0;
	for (uint32_t i = 0; i < total; i++)
		lost += !seen[i];
	printf("total=%u received=%u lost=%u duplicated=%u reordered=%u corrupted=%u ended=%d\n",
	       total, received, lost, duplicated, reordered, corrupted, ended);
	return ended ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct sigaction term = { .sa_handler = on_term };

	sigaction(SIGTERM, &term, NULL); /* no SA_RESTART: poll returns */
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "recv"))
		return receive_stream(atoi(argv[2]), argc == 4 ? atoi(argv[3]) : 0);
	if (argc == 5 && !strcmp(argv[1], "send") && atoi(argv[4]) > 0)
		return send_stream(argv[2], atoi(argv[3]), atoi(argv[4]));
	fprintf(stderr, "usage: seqstream recv PORT [GAP] | send DEST PORT RATE\n");
	return 2;
}
