/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The functions by which bursts copy packets off the shortest path: packets in
 * several descriptors, several buffers or several regions.
 */

#ifndef VHOSTPCI_NET_COPY_H
#define VHOSTPCI_NET_COPY_H

#include "vring/layout.h"
#include "net/offload.h"

/*
 * datapath: copy the next chain, that of @slot, to @m, and give the chain back.
 * Returns 0, VHOSTPCI_DROP (the chain is given back, too) or a rule. @flags are
 * those of the burst's variant.
 */
int vhostpci_pull_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
			const struct vhostpci_slot *slot, struct rte_mbuf *m,
			unsigned int flags);

/* datapath: the same, but only copy the packet's header to @hdr; the caller acts on
 * the header's offloads. */
int vhostpci_pull_raw(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		      const struct vhostpci_slot *slot, struct rte_mbuf *m,
		      struct virtio_net_hdr *hdr, unsigned int flags);

/* datapath: give the fresh and empty mbuf @m room for @len bytes, which is more than
 * its own room: a large buffer (net/large.h) or further mbufs (net/scatter.h).
 * Returns 0, VHOSTPCI_DROP or VHOSTPCI_DROPPED. */
int vhostpci_large_or_scatter(struct vhostpci_ring *ring, struct rte_mbuf *m,
			      uint32_t len, unsigned int flags);

/*
 * datapath: copy @hdr and then @m to the next chain, that of @slot, and to as many
 * further chains as the packet needs. If the result is not 0, the call gave no
 * chain back.
 */
int vhostpci_push_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
			const struct vhostpci_slot *slot,
			const struct rte_mbuf *m,
			const struct virtio_net_hdr_v1 *hdr,
			unsigned int flags);

#endif
