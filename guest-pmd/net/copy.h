/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Packets off the shortest path: over several descriptors, several buffers or
 * several regions. What the bursts need of it.
 */

#ifndef VHOSTPCI_NET_COPY_H
#define VHOSTPCI_NET_COPY_H

#include "vring/layout.h"
#include "net/offload.h"

/*
 * datapath: copy the chain of @slot, which is the next one, to @m, and hand it
 * back. Returns 0, VHOSTPCI_DROP (handed back all the same) or a rule. @flags
 * are the variant's.
 */
int vhostpci_pull_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
			const struct vhostpci_slot *slot, struct rte_mbuf *m,
			unsigned int flags);

/* datapath: the same, but leave to the caller what @hdr says of the packet, which
 * is a copy of its header. */
int vhostpci_pull_raw(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		      const struct vhostpci_slot *slot, struct rte_mbuf *m,
		      struct virtio_net_hdr *hdr, unsigned int flags);

/* datapath: give the fresh and empty mbuf @m room for @len bytes, more than it
 * has: a large buffer (net/large.h) or mbufs behind it (net/scatter.h). 0,
 * VHOSTPCI_DROP or VHOSTPCI_DROPPED. */
int vhostpci_large_or_scatter(struct vhostpci_ring *ring, struct rte_mbuf *m,
			      uint32_t len, unsigned int flags);

/*
 * datapath: copy @m behind @hdr to the chain of @slot, which is the next one,
 * and as many more as it takes. Unless 0 is returned, nothing has happened:
 * the buffers written to are not handed back.
 */
int vhostpci_push_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
			const struct vhostpci_slot *slot,
			const struct rte_mbuf *m,
			const struct virtio_net_hdr_v1 *hdr,
			unsigned int flags);

#endif
