/* SPDX-License-Identifier: Apache-2.0
 *
 * tcpstall recv PORT        accepts one TCP connection and times its records
 * tcpstall send DEST PORT   connects, and sends a record every RECORD_MS until
 *                           the end of its standard input
 *
 * A test lets such a stream run across an event that must not disturb it. The
 * receiver prints stall=MS, the longest time between two records. Both print
 * lag=MS, the longest time by which a wait ended late. If the machine itself
 * stands still, stall and lag both contain that time: a test can subtract it.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MS 20
#define TICK_MS 10
#define RECORD 64

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void
raise_to(int64_t *most, int64_t value)
{
	if (value > *most)
		*most = value;
}

/* Wait at most @ms for @p; raise @lag if the wait took longer than @ms. */
static int
wait_for(struct pollfd *p, int ms, int64_t *lag)
{
	int64_t before = now_ms();
	int ready = poll(p, 1, ms);

	raise_to(lag, now_ms() - before - ms);
	return ready;
}

static int
receive_records(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	int64_t last, lag = 0, stall = 0;
	uint64_t bytes = 0;
	char data[4096];
	ssize_t n = 1;

	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(sock, (struct sockaddr *)&at, sizeof(at)) || listen(sock, 1)) {
		perror("tcpstall");
		return 2;
	}
	printf("ready\n");
	fflush(stdout);
	sock = accept(sock, NULL, NULL);
	last = now_ms();
	while (n > 0) {
		struct pollfd in = { sock, POLLIN, 0 };

		if (wait_for(&in, TICK_MS, &lag) == 0) {
			/* No record yet: a stall counts before it ends. */
			raise_to(&stall, now_ms() - last);
			continue;
		}
		n = recv(sock, data, sizeof(data), 0);
		raise_to(&stall, now_ms() - last);
		last = now_ms();
		bytes += n > 0 ? n : 0;
	}
	printf("bytes=%llu stall=%d lag=%d\n", (unsigned long long)bytes,
	       (int)stall, (int)lag);
	return n == 0 ? 0 : 1;
}

static int
send_records(const char *dest, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct pollfd in = { 0, POLLIN, 0 };
	char record[RECORD] = { 0 };
	uint64_t bytes = 0;
	int64_t lag = 0;

	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!inet_aton(dest, &to.sin_addr) ||
	    connect(sock, (struct sockaddr *)&to, sizeof(to))) {
		perror("tcpstall");
		return 2;
	}
	printf("connected\n");
	fflush(stdout);
	while (wait_for(&in, RECORD_MS, &lag) == 0) {
		ssize_t n = send(sock, record, sizeof(record), MSG_NOSIGNAL);

		if (n < 0) {
			perror("tcpstall");
			return 1;
		}
		bytes += n;
	}
	close(sock);
	printf("bytes=%llu lag=%d\n", (unsigned long long)bytes, (int)lag);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "recv"))
		return receive_records(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "send"))
		return send_records(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: tcpstall recv PORT | send DEST PORT\n");
	return 2;
}
