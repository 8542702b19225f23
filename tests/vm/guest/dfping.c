/* SPDX-License-Identifier: Apache-2.0
 *
 * dfping DEST FIRST LAST: sends one ICMP echo with the don't-fragment bit for
 * every IP packet size FIRST..LAST (at least 28: the IP and ICMP headers), and
 * compares the whole payload of each reply with that of the request.  Prints
 *     sizes=N answered=N retried=N corrupted=N
 * and exits with 0 if all replies came and are correct.  Busybox's ping can
 * neither set the bit nor compare; one process for each size would take minutes
 * under emulation.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADERS 28
#define MAX_SIZE 9216
#define WINDOW 16 /* echoes under way: 16 of 9000 bytes fit a ring of 256 */
#define TRIES 3
#define TIMEOUT_MS 2000

enum state { WAITING, ANSWERED, CORRUPTED };

static unsigned char state[MAX_SIZE + 1];
static unsigned retried, answered, corrupted;
static uint16_t ident;
static int sock;

/* Each payload is a part of one random-looking block, a different part for each
 * size.  memcpy() and memcmp() work on a whole payload: loops over bytes are
 * slow under emulation. */
static unsigned char block[2 * MAX_SIZE];

static const unsigned char *
pattern(unsigned size)
{
	return block + size * 7 % MAX_SIZE;
}

static void
fill_block(void)
{
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < sizeof(block); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		block[i] = x;
	}
}

static uint16_t
checksum(const unsigned char *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t tail = 0;

	/* RFC 1071: the sum of wider words folds to the same 16 bits. */
	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	for (; len >= 2; p += 2, len -= 2) {
		memcpy(&tail, p, 2);
		sum += tail;
	}
	if (len) {
		tail = 0;
		memcpy(&tail, p, 1);
		sum += tail;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void
send_echo(unsigned size)
{
	unsigned char packet[MAX_SIZE];
	struct icmphdr *icmp = (struct icmphdr *)packet;
	unsigned data = size - HEADERS;

	memset(icmp, 0, sizeof(*icmp));
	icmp->type = ICMP_ECHO;
	icmp->un.echo.id = ident;
	icmp->un.echo.sequence = htons(size); /* the sequence is the size */
	memcpy(packet + sizeof(*icmp), pattern(size), data);
	icmp->checksum = checksum(packet, sizeof(*icmp) + data);
	if (send(sock, packet, sizeof(*icmp) + data, 0) < 0) {
		fprintf(stderr, "dfping: size %u: %s\n", size, strerror(errno));
		if (errno == EMSGSIZE)
			exit(3);
	}
}

/* Take one packet; returns the size whose echo it finishes, or 0. */
static unsigned
receive_reply(void)
{
	unsigned char packet[MAX_SIZE + 64];
	ssize_t n = recv(sock, packet, sizeof(packet), 0);
	unsigned ihl = n > 0 ? (packet[0] & 15) * 4 : 0;

	if (n < (ssize_t)(ihl + sizeof(struct icmphdr)))
		return 0;
	const struct icmphdr *icmp = (const struct icmphdr *)(packet + ihl);
	unsigned size = ntohs(icmp->un.echo.sequence);
	if (icmp->type != ICMP_ECHOREPLY || icmp->un.echo.id != ident ||
	    size > MAX_SIZE || state[size] != WAITING)
		return 0;

	const unsigned char *data = packet + ihl + sizeof(*icmp);
	int bad = (size_t)n != size - HEADERS + ihl + sizeof(*icmp) ||
		memcmp(data, pattern(size), size - HEADERS) != 0;
	state[size] = bad ? CORRUPTED : ANSWERED;
	if (bad) {
		fprintf(stderr, "dfping: the reply of size %u differs\n", size);
		corrupted++;
	} else {
		answered++;
	}
	return size;
}

static void
run_window(unsigned from, unsigned to)
{
	for (int attempt = 0; attempt < TRIES; attempt++) {
		unsigned waiting = 0;
		for (unsigned s = from; s <= to; s++) {
			if (state[s] != WAITING)
				continue;
			send_echo(s);
			waiting++;
			retried += attempt > 0;
		}
		while (waiting > 0) {
			struct pollfd p = { sock, POLLIN, 0 };
			if (poll(&p, 1, TIMEOUT_MS) <= 0)
				break;
			unsigned s = receive_reply();
			if (s >= from && s <= to)
				waiting--;
		}
		if (waiting == 0)
			return;
	}
	for (unsigned s = from; s <= to; s++)
		if (state[s] == WAITING)
			fprintf(stderr, "dfping: no answer at size %u\n", s);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int always = IP_PMTUDISC_DO, buffer = 4 << 20;

	if (argc != 4 || !inet_aton(argv[1], &to.sin_addr)) {
		fprintf(stderr, "usage: dfping DEST FIRST LAST\n");
		return 2;
	}
	unsigned first = atoi(argv[2]), last = atoi(argv[3]);
	if (first < HEADERS || last > MAX_SIZE || first > last) {
		fprintf(stderr, "dfping: sizes are %d..%d\n", HEADERS, MAX_SIZE);
		return 2;
	}
	fill_block();
	ident = htons(getpid() & 0xffff);
	sock = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(sock, IPPROTO_IP, IP_MTU_DISCOVER, &always, sizeof(always))) {
		perror("dfping");
		return 2;
	}
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));

	for (unsigned s = first; s <= last; s += WINDOW)
		run_window(s, s + WINDOW - 1 < last ? s + WINDOW - 1 : last);
	printf("sizes=%u answered=%u retried=%u corrupted=%u\n",
	       last - first + 1, answered, retried, corrupted);
	return answered == last - first + 1 ? 0 : 1;
}
