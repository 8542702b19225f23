/* SPDX-License-Identifier: Apache-2.0
 *
 * rawseq echo IFACE                          sends frames back until SIGTERM
 * rawseq send IFACE MAC COUNT SMALLEST LARGEST [WINDOW]
 *                                            sends COUNT frames, and counts
 *                                            those that come back
 *
 * The frames go straight from and to the network device: no protocol of the
 * kernel repairs damage done by the rings.  Each frame carries a sequence
 * number, its length, and a checksum over a payload that differs from frame to
 * frame.  The echo sends every good frame back.  At most WINDOW (32) frames are
 * under way, which fit any ring, so none may be lost.  Both programs print one
 * line of name=value about the frames that they received; the sender exits with
 * 0 if all frames came back, once, in order and unchanged.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETHERTYPE 0x88b5 /* IEEE 802 reserves it for local experiments */
#define MAGIC 0x57415253u
#define MAX_FRAME 9216
#define WINDOW 32
#define IDLE_MS 20000 /* if no frame comes for so long, the rest is lost */

struct frame {
	struct ether_header eth;
	struct {
		uint32_t magic, seq, len, sum;
	} __attribute__((packed)) h;
	uint8_t data[MAX_FRAME];
} __attribute__((packed));
#define HEADERS offsetof(struct frame, data)

static struct {
	unsigned received, lost, duplicated, reordered, corrupted;
	uint32_t next; /* the sequence number that is due */
	uint32_t late, late_next; /* first late frame; the value of next then */
	unsigned char *seen;
	uint32_t limit;
} counts;

static volatile sig_atomic_t stop;
static uint8_t own_mac[ETH_ALEN];

static void
on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/* Fletcher's checksum finds swapped bytes, too. */
static uint32_t
checksum(const struct frame *f, size_t len)
{
	uint32_t a = 1, b = f->h.seq;

	for (size_t i = HEADERS; i < len; i++) {
		a += ((const uint8_t *)f)[i];
		b += a;
	}
	return b << 16 ^ a ^ f->h.len;
}

/* A payload is a part of one random-looking block: loops over bytes are slow
 * under emulation. */
static void
fill(struct frame *f, uint32_t seq, size_t len)
{
	static uint8_t block[2 * MAX_FRAME];
	uint32_t x = 2463534242u;

	for (size_t i = 0; block[0] == 0 && i < sizeof(block); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		block[sizeof(block) - 1 - i] = x | 1;
	}
	f->h.magic = MAGIC;
	f->h.seq = seq;
	f->h.len = len;
	memcpy(f->data, block + seq * 31 % MAX_FRAME, len - HEADERS);
	f->h.sum = checksum(f, len);
}

static int
open_socket(const char *name)
{
	int sock = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE)), size = 4 << 20;
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETHERTYPE),
				  .sll_ifindex = if_nametoindex(name) };
	struct ifreq r = { 0 };

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof(at)) ||
	    ioctl(sock, SIOCGIFHWADDR, &r)) {
		perror("rawseq");
		exit(2);
	}
	memcpy(own_mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return sock;
}

/* Count a frame; returns true if it is good and comes for the first time. */
static int
judge(const struct frame *f, ssize_t len)
{
	/* A short frame may have been padded to ETH_ZLEN. */
	if (len < (ssize_t)HEADERS || f->h.magic != MAGIC || f->h.len < HEADERS ||
	    f->h.len > len || (f->h.len != len && len > ETH_ZLEN) ||
	    f->h.sum != checksum(f, f->h.len) || f->h.seq >= counts.limit) {
		counts.corrupted++;
		return 0;
	}
	if (counts.seen[f->h.seq]++) {
		counts.duplicated++;
		return 0;
	}
	if (f->h.seq < counts.next && counts.reordered++ == 0) {
		counts.late = f->h.seq;
		counts.late_next = counts.next;
	}
	if (f->h.seq >= counts.next)
		counts.next = f->h.seq + 1;
	counts.received++;
	return 1;
}

/* Wait at most @ms for the next frame to this host; returns its length or 0. */
static ssize_t
receive(int sock, struct frame *f, int ms)
{
	struct pollfd in = { sock, POLLIN, 0 };

	while (!stop && poll(&in, 1, ms) > 0) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t len = recvfrom(sock, f, sizeof(*f), MSG_DONTWAIT,
				       (struct sockaddr *)&from, &size);

		if (len > 0 && from.sll_pkttype == PACKET_HOST)
			return len;
	}
	return 0;
}

static void
transmit(int sock, struct frame *f, const uint8_t *to, size_t len)
{
	memcpy(f->eth.ether_dhost, to, ETH_ALEN);
	memcpy(f->eth.ether_shost, own_mac, ETH_ALEN);
	f->eth.ether_type = htons(ETHERTYPE);
	while (send(sock, f, len, 0) < 0) {
		struct pollfd out = { sock, POLLOUT, 0 };

		if (errno != ENOBUFS && errno != EINTR) {
			perror("rawseq: send");
			exit(2);
		}
		poll(&out, 1, 10);
	}
}

static void
report(uint32_t total)
{
	for (uint32_t i = 0; i < total; i++)
		counts.lost += !counts.seen[i];
	printf("total=%u received=%u lost=%u duplicated=%u reordered=%u corrupted=%u late=%u "
	       "late_next=%u\n",
	       total, counts.received, counts.lost, counts.duplicated, counts.reordered,
	       counts.corrupted, counts.late, counts.late_next);
}

static int
echo(int sock)
{
	static struct frame f;
	ssize_t len;

	printf("ready\n");
	fflush(stdout);
	while (!stop) {
		len = receive(sock, &f, 1000);
		if (len > 0 && judge(&f, len)) {
			uint8_t back[ETH_ALEN];

			memcpy(back, f.eth.ether_shost, ETH_ALEN);
			transmit(sock, &f, back, f.h.len);
		}
	}
	report(counts.next);
	return 0;
}

static int
send_all(int sock, const uint8_t *to, uint32_t count, uint32_t smallest, uint32_t largest,
	 uint32_t window)
{
	static struct frame f;
	uint32_t sent = 0;
	ssize_t len;

	counts.limit = count;
	while (!stop && counts.received < count) {
		while (sent < count && sent - counts.received < window) {
			/* Each size comes once a round, in mixed order. */
			fill(&f, sent, smallest + sent * 7919ull % (largest - smallest + 1));
			transmit(sock, &f, to, f.h.len);
			sent++;
		}
		len = receive(sock, &f, IDLE_MS);
		if (len == 0)
			break;
		judge(&f, len);
	}
	/* A duplicate of the last frames would come soon. */
	while ((len = receive(sock, &f, 500)) > 0)
		judge(&f, len);
	report(count);
	return counts.received != count || counts.lost || counts.duplicated || counts.reordered ||
	       counts.corrupted;
}

int
main(int argc, char **argv)
{
	struct sigaction term = { .sa_handler = on_term };
	int good = argc == 3 && !strcmp(argv[1], "echo");

	sigaction(SIGTERM, &term, NULL); /* no SA_RESTART: poll returns */
	counts.limit = 1u << 22;
	counts.seen = calloc(1, counts.limit);
	if (good && counts.seen)
		return echo(open_socket(argv[2]));
	if ((argc == 7 || argc == 8) && !strcmp(argv[1], "send") && counts.seen) {
		struct ether_addr *to = ether_aton(argv[3]);
		uint32_t count = atoi(argv[4]), smallest = atoi(argv[5]), largest = atoi(argv[6]);
		uint32_t window = argc == 8 ? atoi(argv[7]) : WINDOW;

		if (to && window > 0 && count > 0 && count <= counts.limit && smallest >= HEADERS &&
		    largest >= smallest && largest <= MAX_FRAME)
			return send_all(open_socket(argv[2]), to->ether_addr_octet, count, smallest,
					largest, window);
	}
	fprintf(stderr, "usage: rawseq echo IFACE | "
			"send IFACE MAC COUNT SMALLEST LARGEST [WINDOW]\n");
	return 2;
}
