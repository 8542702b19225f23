/* SPDX-License-Identifier: Apache-2.0 */

/* Decides when vswitchd tries again to configure a port, after a failure.  The
 * main thread only. */

#ifndef NETDEV_VHOSTPCI_RETRY_H
#define NETDEV_VHOSTPCI_RETRY_H 1

#include <stdbool.h>
#include <stdint.h>

/* Returns a value that changes, all but certainly, when a port may now find a
 * device that it did not find before. */
uint32_t vhostpci_retry_devices(void);

/* Notes that attaching a port failed with 'error', a result of
 * vhostpci_target_attach().  'devices' is the value of
 * vhostpci_retry_devices() before the try. */
void vhostpci_retry_failed(uint32_t devices, int error);

/* Notes that memory for the packets of the port 'name' was lacking; vswitchd
 * will try the port again. */
void vhostpci_retry_starved(const char *name);

/* Returns true if memory was lacking for the port 'name', and no memory has
 * come free since. */
bool vhostpci_retry_is_starved(const char *name);

/* Notes that a port gave its memory back, and asks vswitchd to try the ports
 * again that lack memory. */
void vhostpci_retry_memory(void);

/* Asks vswitchd to try ports again when it is time.  'look': look for devices,
 * too, which takes some system calls. */
void vhostpci_retry_run(bool look);

/* Makes the poll loop wake up in time.  Returns true if the caller must look
 * for devices or memory every now and then. */
bool vhostpci_retry_wait(void);

#endif /* netdev-vhostpci-retry.h */
