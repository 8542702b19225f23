/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Closes and unmaps what a peer handed over and the port no longer needs.
 *
 * The last close() of a file may take long: with a TCP socket with SO_LINGER and
 * unsent data, as long as the owner chose; with a UNIX socket, as long as the files
 * in its queue take. The last munmap() of a file frees the file's pages, which
 * takes 0.15 s for each GiB. A thread of the port does both, so the peer of another
 * port cannot hold it up. The thread starts with the first use.
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
/* Is so much work left that the port must not take more from the peer? */
bool vhostpci_closer_busy(struct vhostpci_closer *c);
/* Waits at most 50 ms until everything is closed; otherwise the thread frees @c
 * later, after its work. Returns whether everything is closed. */
bool vhostpci_closer_free(struct vhostpci_closer *c);

/* Create a control thread with a small stack: a process that locks its memory, as
 * Open vSwitch may, would pay for a stack of 8 MiB. Returns 0 or -errno. */
int vhostpci_socket_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
