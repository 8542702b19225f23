/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The socket at which a port listens. It replaces a socket that a killed
 * process left behind, but no other file.
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <rte_cycles.h>
#include <rte_string_fns.h>

#include "socket/socket.h"

#define LOCK_MS	1000	/* for other ports to begin to listen */

int
vhostpci_socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static bool
is_socket(const char *path)
{
	struct stat st;

	/* lstat: what unlink() would remove, not what a link points to. */
	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Is nobody listening at the socket? */
static bool
is_stale(const struct sockaddr_un *addr)
{
	int fd = vhostpci_socket_new();
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/*
 * Lock the directory of @path. Two ports that begin to listen at the same path
 * would otherwise each remove the other's socket: until listen(), a socket
 * looks like one that was left behind. The lock needs no file of its own.
 *
 * Returns an fd, or -1 if no lock is possible; then bind() tells the reason.
 * Anybody who can read the directory can hold the lock, so this gives up after
 * LOCK_MS with -ETIMEDOUT.
 */
static int
lock_directory(const char *path)
{
	uint64_t end = rte_get_timer_cycles() +
		rte_get_timer_hz() / 1000 * LOCK_MS;
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd, rc = -1;

	strlcpy(copy, path, sizeof(copy));
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		/* A file system without locks: go on without a lock. */
		if (errno != EWOULDBLOCK)
			goto fail;
		rc = -ETIMEDOUT;
		if (rte_get_timer_cycles() > end)
			goto fail;
		rte_delay_us_sleep(1000);
	}
	return fd;
fail:
	close(fd);
	return rc;
}

/* Returns 0 or -errno. Removes a socket at the path that was left behind. */
static int
bind_path(int fd, const struct sockaddr_un *un, const char **why)
{
	const struct sockaddr *addr = (const struct sockaddr *)un;

	if (bind(fd, addr, sizeof(*un)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_socket(un->sun_path)) {
		*why = "it exists and is not a socket";
		return -EADDRINUSE;
	}
	if (!is_stale(un))
		return -EADDRINUSE;
	unlink(un->sun_path);
	return bind(fd, addr, sizeof(*un)) < 0 ? -errno : 0;
}

/* Under the lock. */
static int
listen_at(struct vhostpci_socket *s, const char **why)
{
	struct stat st;
	int fd = vhostpci_socket_new(), rc;

	if (fd < 0)
		return fd;
	rc = bind_path(fd, &s->addr, why);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	s->listen_fd = fd;
	if (lstat(s->addr.sun_path, &st) < 0)
		return -errno;
	s->file_dev = st.st_dev;
	s->file_ino = st.st_ino;
	return listen(fd, 1) < 0 ? -errno : 0;
}

int
vhostpci_socket_listen(struct vhostpci_socket *s)
{
	int lock = lock_directory(s->addr.sun_path), rc;
	const char *why = NULL;

	if (lock == -ETIMEDOUT) {
		why = "somebody holds the lock of its directory";
		rc = -EBUSY;
	} else {
		rc = listen_at(s, &why);
	}
	if (rc < 0) {
		VHOSTPCI_LOG(ERR, "%s: cannot listen: %s", s->addr.sun_path,
			     why != NULL ? why : strerror(-rc));
		vhostpci_socket_unlisten(s);
	}
	if (lock >= 0)
		close(lock);
	return rc;
}

void
vhostpci_socket_unlisten(struct vhostpci_socket *s)
{
	struct stat st;

	if (s->listen_fd < 0)
		return;
	/* Unlink before close(): nobody replaces the socket while we listen. If
	 * the file is not ours, the user put another one there. */
	if (lstat(s->addr.sun_path, &st) == 0 && st.st_dev == s->file_dev &&
	    st.st_ino == s->file_ino)
		unlink(s->addr.sun_path);
	/* The closer closes the socket, because close() also closes waiting
	 * connections and the fds that they sent. */
	vhostpci_closer_fd(s->closer, s->listen_fd);
	s->listen_fd = -1;
}
