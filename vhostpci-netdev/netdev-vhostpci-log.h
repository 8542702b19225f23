/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_VHOSTPCI_LOG_H
#define NETDEV_VHOSTPCI_LOG_H 1

/* The driver says only in DPDK's log why it refuses a device.  Between start
 * and stop, this code collects all lines that DPDK logs on this thread; the
 * lines go to the log as well.
 *
 * vhostpci_log_capture_stop() returns the line that tells the cause, or NULL
 * if no line does.  The caller frees the line. */
void vhostpci_log_capture_init(void);
void vhostpci_log_capture_start(void);
char *vhostpci_log_capture_stop(void);

#endif /* netdev-vhostpci-log.h */
