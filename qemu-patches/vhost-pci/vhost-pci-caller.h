/*
 * vhost-pci: who signals the peer's eventfds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A signal walks everything that waits for the eventfd, and the peer decides
 * how much that is: 100000 watches of epoll take 40 ms. That is nothing for a
 * thread with the big lock. So each device has a thread of its own that
 * signals; calls of a ring that come while it is at work become one.
 *
 * KVM signals by itself where an ioeventfd is bound: in the virtual CPU, which
 * the walk keeps from all else. So the thread finds out now and then what that
 * costs.
 */

#ifndef HW_VHOST_PCI_CALLER_H
#define HW_VHOST_PCI_CALLER_H

typedef struct VhostPciCaller VhostPciCaller;

/* Starts the thread. @slow is scheduled when signals take long of a ring that
 * vhost_pci_caller_watch() names. */
VhostPciCaller *vhost_pci_caller_new(QEMUBH *slow);
/* The thread ends when it has made the calls that there are. */
void vhost_pci_caller_free(VhostPciCaller *c);

/* The functions below never wait for the peer. */

/* Ring @i is called by @fd from now on; -1: not any more. Keeps a duplicate,
 * also for a call that is not made yet. 0 or -errno. */
int vhost_pci_caller_bind(VhostPciCaller *c, unsigned int i, int fd);
/* Somebody else signals ring @i's, as long as it is bound to this one. */
void vhost_pci_caller_watch(VhostPciCaller *c, unsigned int i);
void vhost_pci_caller_call(VhostPciCaller *c, unsigned int i);
/* Signal @fd, which belongs to no ring, once. */
void vhost_pci_caller_once(VhostPciCaller *c, int fd);

#endif
