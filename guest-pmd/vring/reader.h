/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Copy a packet out of a chain of several descriptors or regions.
 */

#ifndef VHOSTPCI_VRING_READER_H
#define VHOSTPCI_VRING_READER_H

#include <linux/virtio_net.h>

#include "vring/cursor.h"

/* Receives the contents of a chain, the header first. The caller sets room and
 * data, or room, put and to, and sets the rest to 0. */
struct vhostpci_reader {
	union {
		struct virtio_net_hdr hdr;
		uint8_t bytes[sizeof(struct virtio_net_hdr_v1)];
	};
	uint32_t got;		/* of the header */
	uint32_t total;		/* of the packet */
	uint32_t room;		/* bytes at data, or that put() takes */
	uint8_t *data;		/* our own memory */
	/* Takes the packet's next bytes if data is not in one piece. */
	void (*put)(struct vhostpci_reader *reader, const uint8_t *from,
		    uint32_t len);
	void *to;		/* put()'s own */
};

/*
 * datapath: copy the chain of @slot, which begins at @b, to @reader, as far as
 * reader->room allows. reader->total is the packet's whole length nevertheless, at
 * most VHOSTPCI_MAX_PKT_LEN. Leaves @chain at the end of the chain. Returns 0, or
 * a rule as a negative number. Does not give the chain back.
 */
int vhostpci_read_chain(struct vhostpci_ring *ring,
			const struct vhostpci_burst *b,
			const struct vhostpci_slot *slot,
			struct vhostpci_reader *reader,
			struct vhostpci_chain *chain);

#endif
