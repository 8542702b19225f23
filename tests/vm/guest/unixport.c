/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixport PORT PATH: connects each client of a TCP port to a UNIX socket of
 * the guest, such as Open vSwitch's control socket.  Each connection has a
 * process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
fail(const char *what)
{
    fprintf(stderr, "unixport: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Move the bytes that are there; returns 0 at the end of the stream. */
static int
move(int from, int to)
{
    char data[65536];
    ssize_t got = read(from, data, sizeof data), done = 0;

    while (done < got) {
        ssize_t put = write(to, data + done, got - done);

        if (put <= 0) {
            return 0;
        }
        done += put;
    }
    return got > 0;
}

static int
serve(int tcp, const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct pollfd fds[2] = { { .fd = tcp, .events = POLLIN } };
    int local = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (local < 0 || connect(local, (struct sockaddr *) &at, sizeof at)) {
        return fail(path);
    }
    fds[1] = (struct pollfd) { .fd = local, .events = POLLIN };
    while (poll(fds, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents && !move(fds[i].fd, fds[!i].fd)) {
                return 0;
            }
        }
    }
    return fail("poll");
}

int
main(int argc, char **argv)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, tcp;

    if (argc != 3) {
        fprintf(stderr, "usage: unixport PORT PATH\n");
        return 2;
    }
    at.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *) &at, sizeof at)
        || listen(listener, 8)) {
        return fail(argv[1]);
    }
    signal(SIGCHLD, SIG_IGN);
    while ((tcp = accept(listener, NULL, NULL)) >= 0) {
        if (!fork()) {
            return serve(tcp, argv[2]);
        }
        close(tcp);
    }
    return fail("accept");
}
