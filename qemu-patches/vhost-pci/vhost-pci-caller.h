/*
 * vhost-pci: signal the peer's eventfds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A signal walks everything that waits for the eventfd, and the peer decides
 * how much that is: 100000 watches of epoll take 40 ms. A thread with the big
 * lock must not spend that time. So each device has a thread of its own that
 * signals; several calls of a ring that come while the thread is busy become
 * one call.
 *
 * If an ioeventfd is bound, KVM signals in the virtual CPU, which the walk
 * stops. So the thread measures now and then what a signal costs.
 */

#ifndef HW_VHOST_PCI_CALLER_H
#define HW_VHOST_PCI_CALLER_H

typedef struct VhostPciCaller VhostPciCaller;

/* Starts the thread. If signals of a ring that vhost_pci_caller_watch() names
 * take long, the thread schedules @slow. */
VhostPciCaller *vhost_pci_caller_new(QEMUBH *slow);
/* The thread makes the pending calls, and ends. */
void vhost_pci_caller_free(VhostPciCaller *c);

/* The functions below never wait for the peer. */

/* Use @fd for calls of ring @i from now on; -1: make no more calls. Keeps a
 * duplicate, also for a call that is still pending. Returns 0 or -errno. */
int vhost_pci_caller_bind(VhostPciCaller *c, unsigned int i, int fd);
/*
 * Somebody else signals the eventfd of ring @i, as long as this one is bound.
 */
void vhost_pci_caller_watch(VhostPciCaller *c, unsigned int i);
void vhost_pci_caller_call(VhostPciCaller *c, unsigned int i);
/* Signal @fd, which belongs to no ring, once. */
void vhost_pci_caller_once(VhostPciCaller *c, int fd);

#endif
