/* SPDX-License-Identifier: Apache-2.0 */

/* When a port that could not be configured is tried again.  The main thread
 * only. */

#ifndef NETDEV_VHOSTPCI_RETRY_H
#define NETDEV_VHOSTPCI_RETRY_H 1

#include <stdbool.h>
#include <stdint.h>

/* A value that changes, all but certainly, when a port may find its device
 * that did not before. */
uint32_t vhostpci_retry_devices(void);

/* A port could not be attached, because of 'error' as
 * vhostpci_target_attach() returns it.  'devices' is what
 * vhostpci_retry_devices() said before the try. */
void vhostpci_retry_failed(uint32_t devices, int error);

/* There was no memory for the packets of the port 'name', which vswitchd is
 * about to try again. */
void vhostpci_retry_starved(const char *name);

/* Has no memory come free since there was none for the port 'name'? */
bool vhostpci_retry_is_starved(const char *name);

/* A port gave its memory back: asks vswitchd to try those again that lack
 * it. */
void vhostpci_retry_memory(void);

/* Asks vswitchd to try again when it is time.  'look': look for devices, too,
 * which takes some system calls. */
void vhostpci_retry_run(bool look);

/* Has the poll loop wake up in time.  Returns true if devices or memory are to
 * be looked for every now and then. */
bool vhostpci_retry_wait(void);

#endif /* netdev-vhostpci-retry.h */
