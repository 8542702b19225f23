/*
 * vhost-pci: where the device leaves what a stranger handed over and it needs
 * no longer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The last close() of a file ends only when the file agrees: a TCP socket with
 * SO_LINGER and unsent data takes as long as its owner chose, and a UNIX
 * socket as long as the files that are queued in it. The last munmap() of a
 * file frees its pages. Neither is for a thread that serves others, with the
 * big lock or with RCU's callbacks; QEMU's thread pools serve others, too. So
 * each device has a thread of its own for both.
 */

#ifndef HW_VHOST_PCI_CLOSER_H
#define HW_VHOST_PCI_CLOSER_H

typedef struct VhostPciCloser VhostPciCloser;

/* Starts the thread; the caller has the first reference. */
VhostPciCloser *vhost_pci_closer_new(void);
VhostPciCloser *vhost_pci_closer_ref(VhostPciCloser *c);
/* With the last one gone, the thread ends when all is closed. */
void vhost_pci_closer_unref(VhostPciCloser *c);

/* Any thread: never waits. */
void vhost_pci_closer_fd(VhostPciCloser *c, int fd);
void vhost_pci_closer_unmap(VhostPciCloser *c, void *base, size_t len);

/* Has nobody but the caller a reference, and is all closed? */
bool vhost_pci_closer_unused(VhostPciCloser *c);

/* Is there so much left to close that the peer may not give more? */
bool vhost_pci_closer_busy(VhostPciCloser *c);

#endif
