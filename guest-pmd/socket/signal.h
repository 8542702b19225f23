/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Signal an eventfd that the peer shares, from the datapath, without ever waiting
 * for the peer.
 *
 * O_NONBLOCK does not help: the flag belongs to the open file, so a peer that
 * clears the flag and fills the counter blocks every writer, even a writer that
 * called poll() first. But the kernel itself adds to an eventfd without waiting
 * when it completes asynchronous I/O (IOCB_FLAG_RESFD). So we submit a read of
 * /dev/null, which completes at once.
 */

#ifndef VHOSTPCI_SOCKET_SIGNAL_H
#define VHOSTPCI_SOCKET_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/aio_abi.h>

struct vhostpci_signal {
	aio_context_t context;	/* constant; 0: no asynchronous I/O */
	int nothing;		/* constant: /dev/null */
	uint32_t submitted;	/* any thread: reads since the start */
	bool looked_only;	/* any thread: poll() and write() were used */
	int failure;		/* errno to be logged. any thread: w,
				 * control: rw 0 */
};

/* Never fails: without asynchronous I/O, signals use poll() before write(). */
void vhostpci_signal_init(struct vhostpci_signal *signal);
void vhostpci_signal_fini(struct vhostpci_signal *signal);
/* Any thread: add 1 to the eventfd @fd; a full counter is a signal already. The
 * caller has checked that @fd is an eventfd. Returns true, at most once, if control
 * must call vhostpci_signal_report(). */
bool vhostpci_signal_send(struct vhostpci_signal *signal, int fd);
/* control: log the failure of a signal; a burst must not log. */
void vhostpci_signal_report(struct vhostpci_signal *signal);

#endif
