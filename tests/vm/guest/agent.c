/* SPDX-License-Identifier: Apache-2.0
 *
 * Command channel of a test VM: runs commands that the host sends over a
 * serial port and sends back their output and exit status.
 *
 * The init script sets the machine up, and then executes this program, which
 * so becomes the guest's init (pid 1).  Therefore the program also reaps
 * orphans, and the VM ends with a kernel panic if the program fails.
 *
 * Every frame, both ways, is four little-endian 32-bit words and a payload:
 *     magic, type, id, payload length
 * The host chooses `id`, which names the command.  Several commands can run at
 * once.
 */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAGIC 0x31415056u /* "VPA1" */
#define MAX_JOBS 32
#define MAX_PAYLOAD 65536u
#define CHUNK 16384

enum {
	/* host to guest */
	FRAME_EXEC = 1,  /* payload: a shell command */
	FRAME_STDIN = 2, /* payload: bytes; answered with FRAME_ACK */
	FRAME_EOF = 3,   /* close the command's stdin */
	FRAME_SIGNAL = 4, /* payload: 32-bit signal number, to its process group */
	/* guest to host */
	FRAME_HELLO = 16,
	FRAME_STDOUT = 17,
	FRAME_STDERR = 18,
	FRAME_EXIT = 19, /* payload: 32-bit wait status */
	FRAME_ACK = 20,
};

struct header {
	uint32_t magic, type, id, len;
};

struct job {
	uint32_t id;
	pid_t pid; /* 0: slot is free */
	int in, out, err;
};

static struct job jobs[MAX_JOBS];
static int tty;

static void
die(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

static void
read_all(void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = read(tty, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("read from the command channel");
		p += n;
		len -= n;
	}
}

static void
send_frame(uint32_t type, uint32_t id, const void *data, uint32_t len)
{
	struct header h = { MAGIC, type, id, len };

	if (write_all(tty, &h, sizeof(h)) || write_all(tty, data, len))
		die("write to the command channel");
}

static struct job *
find_job(uint32_t id)
{
	for (int i = 0; i < MAX_JOBS; i++)
		if (jobs[i].pid && jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Forward output that is in a pipe now; with `all`, forward until the pipe is
 * empty. */
static void
forward(struct job *j, int *fd, uint32_t type, int all)
{
	char buf[CHUNK];

	while (*fd >= 0) {
		ssize_t n = read(*fd, buf, sizeof(buf));
		if (n > 0)
			send_frame(type, j->id, buf, n);
		else if (n == 0)
			close_fd(fd);
		else if (errno == EINTR)
			continue;
		if (n < 0 || !all)
			return;
	}
}

static void
child_exec(const char *command, const int in[2], const int out[2], const int err[2])
{
	sigset_t none;

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in[0], 0);
	dup2(out[1], 1);
	dup2(err[1], 2);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static void
start_job(uint32_t id, const char *command)
{
	int in[2], out[2], err[2];
	uint32_t status = 255 << 8;
	struct job *j = NULL;

	for (int i = 0; i < MAX_JOBS && !j; i++)
		if (!jobs[i].pid)
			j = &jobs[i];
	if (!j) {
		send_frame(FRAME_EXIT, id, &status, sizeof(status));
		return;
	}
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		child_exec(command, in, out, err);
	setpgid(pid, pid);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	*j = (struct job){ id, pid, in[1], out[0], err[0] };
}

static void
handle_frame(void)
{
	static char payload[MAX_PAYLOAD + 1];
	struct header h;

	read_all(&h, sizeof(h));
	if (h.magic != MAGIC || h.len > MAX_PAYLOAD) {
		errno = EPROTO;
		die("frame");
	}
	read_all(payload, h.len);
	payload[h.len] = '\0';

	struct job *j = find_job(h.id);
	switch (h.type) {
	case FRAME_EXEC:
		start_job(h.id, payload);
		break;
	case FRAME_STDIN:
		/* The host sends one frame and waits, so blocking here on a slow
		 * command cannot overrun the serial port. */
		if (j && j->in >= 0 && write_all(j->in, payload, h.len))
			close_fd(&j->in);
		send_frame(FRAME_ACK, h.id, NULL, 0);
		break;
	case FRAME_EOF:
		if (j)
			close_fd(&j->in);
		break;
	case FRAME_SIGNAL:
		if (j && h.len == 4)
			kill(-j->pid, *(uint32_t *)payload);
		break;
	}
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_JOBS; i++) {
			struct job *j = &jobs[i];
			if (j->pid != pid)
				continue;
			/* The command has ended, even if a daemon that it has
			 * left behind holds the pipes open. */
			forward(j, &j->out, FRAME_STDOUT, 1);
			forward(j, &j->err, FRAME_STDERR, 1);
			close_fd(&j->in);
			close_fd(&j->out);
			close_fd(&j->err);
			j->pid = 0;
			uint32_t word = status;
			send_frame(FRAME_EXIT, j->id, &word, sizeof(word));
		}
	}
}

static int
open_tty(const char *path)
{
	struct termios t;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &t))
		die(path);
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	t.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(fd, TCSANOW, &t))
		die(path);
	tcflush(fd, TCIOFLUSH);
	return fd;
}

static void
loop(int sfd)
{
	struct pollfd p[2 + 2 * MAX_JOBS];

	for (;;) {
		p[0] = (struct pollfd){ tty, POLLIN, 0 };
		p[1] = (struct pollfd){ sfd, POLLIN, 0 };
		for (int i = 0; i < MAX_JOBS; i++) {
			int live = jobs[i].pid != 0;
			p[2 + 2 * i] = (struct pollfd){ live ? jobs[i].out : -1, POLLIN, 0 };
			p[3 + 2 * i] = (struct pollfd){ live ? jobs[i].err : -1, POLLIN, 0 };
		}
		if (poll(p, 2 + 2 * MAX_JOBS, -1) < 0 && errno != EINTR)
			die("poll");
		for (int i = 0; i < MAX_JOBS; i++) {
			if (jobs[i].pid && p[2 + 2 * i].revents)
				forward(&jobs[i], &jobs[i].out, FRAME_STDOUT, 0);
			if (jobs[i].pid && p[3 + 2 * i].revents)
				forward(&jobs[i], &jobs[i].err, FRAME_STDERR, 0);
		}
		if (p[1].revents) {
			struct signalfd_siginfo info;
			if (read(sfd, &info, sizeof(info)) > 0)
				reap();
		}
		if (p[0].revents)
			handle_frame();
	}
}

int
main(int argc, char **argv)
{
	sigset_t chld;

	if (argc != 2) {
		fprintf(stderr, "usage: agent TTY\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	tty = open_tty(argv[1]);
	int sfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sfd < 0)
		die("signalfd");
	send_frame(FRAME_HELLO, 0, NULL, 0);
	loop(sfd);
}
