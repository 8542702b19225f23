/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_VHOSTPCI_LOG_H
#define NETDEV_VHOSTPCI_LOG_H 1

/* The driver says why it refuses a device only in DPDK's log.  Between start
 * and stop what DPDK logs on this thread is collected, besides going to the
 * log as ever.
 *
 * vhostpci_log_capture_stop() returns the line that tells the cause, or NULL
 * if none does.  The caller frees it. */
void vhostpci_log_capture_init(void);
void vhostpci_log_capture_start(void);
char *vhostpci_log_capture_stop(void);

#endif /* netdev-vhostpci-log.h */
