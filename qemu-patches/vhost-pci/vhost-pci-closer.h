/*
 * vhost-pci: close and unmap what a stranger handed over and the device no
 * longer needs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The last close() of a file may take long: with a TCP socket with SO_LINGER
 * and unsent data, as long as its owner chose; with a UNIX socket, as long as
 * the files in its queue take. The last munmap() of a file frees its pages. No
 * thread that serves others may do either: not one with the big lock, nor one
 * that runs RCU's callbacks, nor one of QEMU's thread pools. So each device has
 * a thread of its own for both.
 */

#ifndef HW_VHOST_PCI_CLOSER_H
#define HW_VHOST_PCI_CLOSER_H

typedef struct VhostPciCloser VhostPciCloser;

/* Starts the thread; the caller has the first reference. */
VhostPciCloser *vhost_pci_closer_new(void);
VhostPciCloser *vhost_pci_closer_ref(VhostPciCloser *c);
/* When no reference is left, the thread ends once all is closed. */
void vhost_pci_closer_unref(VhostPciCloser *c);

/* Any thread: never waits. */
void vhost_pci_closer_fd(VhostPciCloser *c, int fd);
void vhost_pci_closer_unmap(VhostPciCloser *c, void *base, size_t len);

/* Does only the caller have a reference, and is all closed? */
bool vhost_pci_closer_unused(VhostPciCloser *c);

/* Is so much left to close that the peer must not send more? */
bool vhost_pci_closer_busy(VhostPciCloser *c);

#endif
