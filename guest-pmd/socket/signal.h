/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Signalling an eventfd that the peer shares, from the datapath, without ever
 * waiting for the peer.
 *
 * O_NONBLOCK is no help: the flag belongs to the open file, so a peer that
 * clears it and fills the counter holds whoever writes, also one that looked
 * with poll() first. The kernel itself adds to an eventfd without waiting when
 * it completes asynchronous I/O (IOCB_FLAG_RESFD), so that is what we let it
 * do: a read from /dev/null, complete at once.
 */

#ifndef VHOSTPCI_SOCKET_SIGNAL_H
#define VHOSTPCI_SOCKET_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/aio_abi.h>

struct vhostpci_signal {
	aio_context_t context;	/* constant; 0: no asynchronous I/O */
	int nothing;		/* constant: /dev/null */
	uint32_t submitted;	/* any thread: since the start */
	bool looked_only;	/* any thread: the second choice was taken */
	int failure;		/* errno that is to be logged. any thread: w,
				 * control: rw 0 */
};

/* Never fails: without asynchronous I/O what is left is to look first. */
void vhostpci_signal_init(struct vhostpci_signal *signal);
void vhostpci_signal_fini(struct vhostpci_signal *signal);
/* Any thread: add 1 to the eventfd @fd. A full counter is signal enough. The
 * caller has made sure that @fd is an eventfd. Returns whether control is to
 * call vhostpci_signal_report(): once at most. */
bool vhostpci_signal_send(struct vhostpci_signal *signal, int fd);
/* control: log what a burst may not. */
void vhostpci_signal_report(struct vhostpci_signal *signal);

#endif
