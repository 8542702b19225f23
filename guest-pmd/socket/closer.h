/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a port leaves what a stranger handed over and it needs no longer.
 *
 * The last close() of a file ends only when the file agrees: a TCP socket with
 * SO_LINGER and unsent data takes as long as its owner chose, and a UNIX socket as
 * long as the files that are queued in it. The last munmap() of a file frees its
 * pages, 0.15 s for each GiB. A thread of the port's own does both; another port's
 * peer cannot hold it up. It starts with the first use.
 */

#ifndef VHOSTPCI_SOCKET_CLOSER_H
#define VHOSTPCI_SOCKET_CLOSER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct vhostpci_closer;

/* NULL: no memory. */
struct vhostpci_closer *vhostpci_closer_new(void);
/* Any thread: close @fd, unmap. Never waits. @fd < 0: nothing. */
void vhostpci_closer_fd(struct vhostpci_closer *c, int fd);
void vhostpci_closer_unmap(struct vhostpci_closer *c, void *addr, size_t len);
/* Is there so much left to do that the peer may not give more? */
bool vhostpci_closer_busy(struct vhostpci_closer *c);
/* @c is done with when all is closed, in its thread: waits for that for 50 ms at
 * most. Returns whether all is closed. */
bool vhostpci_closer_free(struct vhostpci_closer *c);

/* A control thread with a small stack: a process that locks its memory, as Open
 * vSwitch may, would pay for 8 MiB. 0 or -errno. */
int vhostpci_socket_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
